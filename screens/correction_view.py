"""A cluster's card and a clip's phases as lines of text. Pure: records in, parts out.

A score is never shown without its factors, a rate never without its events, hours and bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.contract.corrections import ClipView, ClusterView, CorrectionCase, EffectView, Factors, Span
from screens import figures, plots
from screens.clip_edit import Edits
from screens.layout import Cell, Line, table
from screens.model import coarse
from screens.widgets.parts import Part, width

SHORT = {
    "autonomous": "auto",
    "pre_intervention": "pre",
    "handover": "pause",
    "recovery": "recovery",
    "correction": "correction",
    "resume": "resume",
    "post": "post",
}
FILL = {"autonomous": "\u00b7", "pre_intervention": "\u2236", "handover": "\u2016"}
PEOPLE = ("handover", "recovery", "correction")
STATES: dict[str, Part] = {
    "captured": ("\u2691 say the cause", "strong"),
    "annotating": ("\u2691 annotate", "strong"),
    "adjudicating": ("\u2691 settle", "strong"),
    "in_review": ("\u2691 in review", "strong"),
    "stale": ("! stale", "caution"),
    "lost": ("\u2717 lost", "caution"),
    "not_fixed": ("\u2717 not fixed", "alarm"),
    "effect_confirmed": ("\u2713 confirmed", "good"),
    "confirmed": ("\u2713 confirmed", "good"),
    "discarded": ("discarded", "muted"),
    "closed": ("closed", "muted"),
    "merged": ("merged", "muted"),
    "dropped": ("dropped", "muted"),
    "handed_over": ("\u2192 maintenance", "muted"),
    "safety_case": ("\u2192 safety case", "muted"),
}


def state(word: str) -> Part:
    return STATES.get(word, f"\u25b8 {word.replace('_', ' ')}")


def short(version: str) -> str:
    """A version as people say it: of a digest the first letters."""
    return version.removeprefix("sha256:")[:7] if version.startswith("sha256:") else version


def fraction(value: float | None) -> str:
    """`.86`, as shares and coefficients are written beside each other."""
    if value is None:
        return "-"
    text = f"{value:.2f}"
    return text[1:] if text.startswith("0.") else text


def rate(cluster: ClusterView) -> str:
    """Events, hours and the rate with its bounds; without hours no rate."""
    events = figures.plural(cluster.n_30d, "event")
    if cluster.rate is None:
        return f"{events} in 30 d, robot-h on the task unknown"
    low, high = figures.number(cluster.low), figures.number(cluster.high)
    return (
        f"{events} / {figures.number(cluster.exposure_h)} robot-h ({figures.number(cluster.rate)}/100h [{low} {high}])"
    )


def score(factors: Factors) -> str:
    """The score with the five factors and the age that make it."""
    if not factors.at:
        return "score after the labels"
    age = 2 ** (-factors.age_d / factors.half_life_d)
    return (
        f"score {figures.number(factors.score)} = sev {factors.w_sev:g} x ln{1 + factors.n_30d} x gap "
        f"{fraction(1 - factors.coverage)} x nov {fraction(factors.novelty)} x q {fraction(factors.quality)} x {fraction(age)}"
    )


def counted(counts: dict[str, int], most: int = 4) -> str:
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    told = "  ".join(f"{short(name)} {n}" for name, n in rows[:most])
    return told + (f"  +{len(rows) - most}" if len(rows) > most else "")


def card(cluster: ClusterView, now: float, cells: int, *, roomy: bool = True) -> list[Line]:
    """What the label review decides on, worst first. Without room, what the score says already is left out."""
    head: Line = [(cluster.id, "strong"), f" {cluster.title}  "]
    told = score(cluster.factors)
    lines: list[Line] = []
    if width(head) + len(told) <= cells:
        lines.append([*head, told])
    else:
        lines += [head, [" ", told]]
    lines.append([f" {rate(cluster)}  ", ("weeks " + " ".join(str(n) for n in cluster.trend), "muted")])
    where = f" {counted(cluster.versions)}   {counted(cluster.sites)}"
    lines.append([where])
    causes = dict(cluster.causes)
    told = "  ".join(
        f"{cause} {n}" + (f" (\u2192{', '.join(cluster.handed[:1])})" if cause == "hardware" and cluster.handed else "")
        for cause, n in sorted(causes.items(), key=lambda row: -row[1])
    )
    lines.append([f" cause {told or 'not known'}  ", *agreement(cluster)])
    if cluster.factors.coverage_says and roomy:
        lines.append([(f" covered: {cluster.factors.coverage_says}", "muted")])
    if cluster.copiers:
        lines.append([(f" ! left known edges as shown: {', '.join(cluster.copiers)}", "caution")])
    if cluster.split_says and (roomy or cluster.effect is None):
        lines.append([f" split: {cluster.split_says}"])
    if cluster.effect is not None and cluster.effect.word:
        lines += effect(cluster.effect)
    if cluster.after:
        lines.append([(f" looks like {cluster.after} again", "caution")])
    if cluster.merged_into:
        lines.append([(f" merged into {cluster.merged_into}", "muted")])
    if cluster.state == "routed" and cluster.stale_at:
        lines.append([(f" waits for a snapshot; asked about {_in(cluster.stale_at, now)}", "muted")])
    return lines


def _in(moment: float, now: float) -> str:
    return f"in {coarse(moment - now)}" if moment > now else "now"


def agreement(cluster: ClusterView) -> Line:
    a = cluster.agreement
    if a.alpha is None:
        return [("agreement not known yet", "muted")]
    tone = "" if a.alpha >= 0.8 else "caution" if a.alpha >= 0.667 else "alarm"
    word = "" if a.alpha >= 0.8 else " tentative" if a.alpha >= 0.667 else " too low"
    told = f"agreement {fraction(a.alpha)} [{fraction(a.low)} {fraction(a.high)}] n={a.n}{word}"
    return [(told, tone) if tone else told]


def effect(found: EffectView) -> list[Line]:
    glyph: dict[str, Part] = {
        "CONFIRMED": ("\u2713 effect confirmed", "good"),
        "NOT_FIXED": ("\u2717 not fixed", "alarm"),
        "INCONCLUSIVE": ("? can't tell", "caution"),
    }
    return [[" ", glyph.get(found.word, ("\u25b8 measuring", "strong")), f" {short(found.version)}: {found.sentence}"]]


def clip_head(case: CorrectionCase, place: tuple[int, int]) -> Line:
    """Which clip of how many, where it comes from, who drove."""
    at = f"clip {place[0]}/{place[1]}" if place[1] else "clip"
    window = case.window
    offset = f" {figures.clock(case.t0, case.t0)}" if case.t0 else ""
    parts: Line = [(at, "strong"), f"  {case.id}  {case.session or case.trigger}{offset}  {case.robot} {case.site}"]
    if case.version:
        parts.append(f"  {short(case.version)}")
    if window is not None and window.digest and window.covered < 0.985:
        parts.append((f"  {100 * window.covered:.0f} % of the window", "muted"))
    return parts


def clips(rows: Sequence[CorrectionCase], here: str, cells: int) -> list[Line]:
    """The clips of a cluster: which is open, what each waits for, who said something, where it goes."""
    listed: list[Sequence[Cell]] = [
        (
            ("\u25b8", "strong") if one.id == here else " ", one.id, state(one.state), one.robot, one.site,
            figures.clock(one.t0, one.t0 + 86_400), f"{len(one.annotations)}/{2 if one.double else 1}",
            str(one.quality or ""), one.route or (f"{one.wanted}?" if one.wanted else ""), (one.snapshot or one.pack, "muted"),
        )
        for one in rows[:60]
    ]  # fmt: skip
    head = ("", "clip", "state", "robot", "site", "when", "people", "quality", "goes to", "held by")
    return table(listed, cells, head=head, right=frozenset({6, 7}))


def facts(case: CorrectionCase, me: str) -> list[Line]:
    """What is known beside the phases: cause, flags, who said what, where it goes."""
    lines: list[Line] = []
    if case.cause:
        lines.append(
            [
                f" cause {case.cause} ",
                (f"by {case.cause_by}", "muted"),
                f"   severity {case.severity.replace('_', ' ')}",
            ]
        )
    elif case.suggested.cause:
        why = f"{case.suggested.rule}: {case.suggested.why}"
        lines.append([" suggested ", (case.suggested.cause, "strong"), (f"  {why}", "muted")])
    if case.flags:
        lines.append([(f" ! {'; '.join(case.flags)}", "caution")])
    if case.lost_why:
        lines.append([(f" \u2717 lost: {case.lost_why}", "caution")])
    people = [one.author + ("" if one.author != me else " (you)") for one in case.annotations]
    needed = 2 if case.double else 1
    if people or case.state == "annotating":
        lines.append([f" annotated by {len(people)} of {needed}", (f"  {', '.join(people)}", "muted")])
    if case.adjudicated_by:
        lines.append([f" settled by {case.adjudicated_by}"])
    if case.quality:
        note = "" if case.use != "detection" else "  kept for detection, not imitated"
        lines.append([f" quality {case.quality} of 5", (note, "muted")])
    if case.wanted and not case.route:
        lines.append([f" asked for: {case.wanted}"])
    if case.route:
        lines.append([f" route {case.route} ", (case.route_why, "muted"), f"   {case.snapshot or case.pack}"])
    if case.reason and case.state in ("closed", "discarded", "handed_over"):
        lines.append([(f" {case.state.replace('_', ' ')}: {case.reason}", "muted")])
    if case.count:
        lines.append([(f" round {case.count + 1}: not fixed before", "caution")])
    return lines


def reach(spans: Sequence[Span], start: float, end: float, *, whole: bool) -> tuple[float, float]:
    """The stretch that is drawn: around what the person did, or the whole clip."""
    people = [span for span in spans if span.phase in PEOPLE]
    if whole or not people:
        return start, end
    return max(start, people[0].t0 - 3.5), min(end, people[-1].t1 + 3.5)


def strip(spans: Sequence[Span], reach: tuple[float, float], cells: int, *, ascii: bool = False) -> Line:
    """Phases as one line: each as wide as it is long, with its name where it fits."""
    low, high = reach
    scale = cells / max(1e-6, high - low)
    out: Line = []
    used = 0
    for span in spans:
        left, right = max(span.t0, low), min(span.t1, high)
        if right <= left:
            continue
        to = min(cells, round((right - low) * scale))
        size = to - used
        if size <= 0:
            continue
        body = size - 1 if used else size
        fill = "." if ascii else FILL.get(span.phase, "\u00b7")
        name = SHORT.get(span.phase, span.phase)
        text = (name if len(name) <= body else name[:body]).ljust(body, fill)
        if used:
            out.append(("|" if ascii else "\u2502", "muted"))
        out.append((text, "strong" if span.phase in PEOPLE else "muted"))
        used = to
    return out


def ruler(reach: tuple[float, float], cells: int, spans: Sequence[Span]) -> Line:
    """Seconds from the takeover at the edges that have room."""
    low, high = reach
    scale = cells / max(1e-6, high - low)
    row = [" "] * cells
    free = 0
    for t in sorted({0.0, *(span.t0 for span in spans if low <= span.t0 <= high)}, key=lambda t: (t != 0, t)):
        text = f"{t:.1f}"
        at = min(cells - len(text), max(0, round((t - low) * scale)))
        if all(c == " " for c in row[max(0, at - 1) : at + len(text) + 1]):
            row[at : at + len(text)] = text
            free += 1
    return [("".join(row).rstrip() + " s", "muted")]


def pointer(reach: tuple[float, float], cells: int, cursor: float, *, ascii: bool = False) -> Line:
    low, high = reach
    at = min(cells - 1, max(0, int((cursor - low) / max(1e-6, high - low) * cells)))
    return [" " * at, ("^" if ascii else "\u25b2", "strong")]


def signals(
    clip: ClipView | None, reach: tuple[float, float], cells: int, *, ascii: bool = False
) -> list[tuple[str, Line]]:
    """Speed and the robot's own detector over the same stretch."""
    if clip is None or not clip.points:
        return []
    low, high = reach
    inside = [point for point in clip.points if low <= point.t <= high]
    if len(inside) < 2:
        return []
    speed = plots.sparkline([point.speed for point in inside], cells, ascii=ascii)
    doubt = plots.sparkline([point.anomaly for point in inside], cells, ascii=ascii, top=1.0)
    return [("speed", [speed]), ("detector", [doubt])]


def under(edits: Edits, clip: ClipView | None) -> Line:
    """What stands under the cursor."""
    told = f"{edits.cursor:+.1f} s  {edits.phase().replace('_', ' ')}"
    point = None
    if clip is not None and clip.points:
        point = min(clip.points, key=lambda one: abs(one.t - edits.cursor))
    if point is not None and math.isfinite(point.speed):
        told += f"   {point.speed:.2f} m/s  detector {fraction(point.anomaly)}  link {point.link_ms:.0f} ms"
        told += "  human" if point.human else ""
    return [told]


def moved(edits: Edits) -> Line:
    rows = edits.moved()
    told = ", ".join(f"{SHORT.get(phase, phase)} {by:+.1f} s" for phase, by in rows[:4])
    if told:
        return [f"moved {told}"]
    return [("phases changed" if edits.changed else "as shown", "muted")]
