"""A recording as lines (domain section 4): what it is, what was found where, what a repair could not save.

Pure: a record, its report, the engine's time and a width in; lines out. The worst finding comes first; every place is in
seconds from the recording's start, as a player of clips counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.sessions import Finding, Mark, SessionFunnel, SessionReport, SessionView, Topic
from screens import figures, layout
from screens.layout import Line
from screens.model import coarse
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

GLYPHS = {
    "quarantined": ("\u2717", "alarm"), "repaired": ("\u2692", "caution"), "valid": ("\u2713", "good"), "labelled": ("\u2713", ""),
    "curated": ("\u2713", ""), "excluded": ("\u00b7", "muted"), "withdrawn": ("\u2717", "caution"),
    "ingested": ("\u25b8", ""), "discovered": ("\u25b8", "muted"),
}  # fmt: skip
WORDS = {"quarantined": "set aside"}
SEVERITY: dict[str, Part] = {
    "fail": ("\u2717 fails", "alarm"), "repair": ("\u2692 repair", "caution"), "warn": ("! look", "caution"), "note": ("\u00b7 note", "muted"),
}  # fmt: skip
DROPPED = 0.01
"""Above it a share of missing messages stands out; the profile's own limit makes the finding."""


def state(word: str) -> Part:
    glyph, tone = GLYPHS.get(word, ("\u25b8", ""))
    text = f"{glyph} {WORDS.get(word, word)}"
    return (text, tone) if tone else text


def cells(one: SessionView, now: float) -> Cells:
    """One row of the list."""
    return (
        one.id, state(one.state), one.robot or one.claimed_robot or ("unnamed", "muted"), one.task or ("\u2014", "muted"),
        says(one), length(one.duration_s) if one.digest else ("\u2014", "muted"), (one.site, "muted"),
        str(one.interventions) if one.interventions else ("0", "muted"), size(one.bytes),
        (coarse(max(0.0, now - one.start)) if one.start else "\u2014", "muted"),
    )  # fmt: skip


def says(one: SessionView) -> Part:
    """The worst finding, or that there is none."""
    first = one.findings[0] if one.findings else None
    if one.state == "quarantined":
        why = (
            f"{first.topic + ': ' if first and first.topic else ''}{first.text}"
            if first
            else one.code.replace("_", " ")
        )
        return why if one.code != "by_hand" else "set aside by hand"
    if first is not None and first.severity != "note":
        return (first.text, "muted" if one.state != "repaired" else "")
    return ("nothing found", "muted") if one.verdict else ("not checked yet", "muted")


def length(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def size(count: int) -> str:
    """Bytes in thousands."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def funnel(found: SessionFunnel) -> Line:
    """The list's verdict line: how many may be used, how many not and mostly why."""
    if not found.sessions:
        return ["No recording yet: ", ("+", "strong"), " takes a folder in."]
    aside = found.states.get("quarantined", 0)
    usable = sum(found.states.get(word, 0) for word in ("valid", "repaired", "labelled", "curated"))
    line: Line = [f"{usable} of {found.sessions} usable, {found.hours:.1f} h"]
    if found.repaired:
        line.append(f", {found.repaired} repaired")
        if found.lost_bytes:
            line.append(f" ({size(found.lost_bytes)} lost)")
    if aside:
        most = [f"{count} {code.replace('_', ' ')}" for code, count in list(found.reasons.items())[:3]]
        more = ", others" if len(found.reasons) > 3 else ""
        line += [", ", (f"\u2717 {aside} set aside", "caution"), f": {', '.join(most)}{more}"]
    return [*line, "."]


def sentence(one: SessionView) -> Line:
    """The verdict line of one recording."""
    first = one.findings[0] if one.findings else None
    if one.state == "quarantined":
        return [("\u2717 SET ASIDE ", "alarm"), f"{first.text if first else one.code}."]
    if one.state == "withdrawn":
        return [("\u2717 WITHDRAWN ", "caution"), "it may never be used again."]
    if one.state == "repaired" or (one.repairs and one.state in ("labelled", "curated")):
        lost = f"{size(one.lost_bytes)} (about {one.lost_s:g} s) are lost" if one.lost_bytes else "nothing is lost"
        return [("\u2692 REPAIRED ", "caution"), f"{lost}; the file that came in is untouched."]
    if one.state in ("discovered", "ingested"):
        return [("\u25b8 being checked ", "muted"), f"({one.verdict or 'not judged yet'})."]
    looks = sum(finding.severity == "warn" for finding in one.findings)
    more = f"; {figures.plural(looks, 'thing')} to look at" if looks else ""
    return [
        (f"\u2713 {one.state.upper()} ", "good"),
        f"{length(one.duration_s)} of {one.task or 'an unnamed task'}{more}.",
    ]


def page(one: SessionView, report: SessionReport | None, now: float, room: int) -> list[Line]:
    """The overview: whose it is, the strip of time, findings, topics."""
    lines = [*_about(one, now, room), []]
    findings = report.findings if report is not None else one.findings
    topics = report.topics if report is not None else one.topics
    if one.duration_s > 0:
        lines += [*strip(one, findings, room), []]
    lines += [*findings_table(findings, room), []]
    lines += topics_table(topics, room)
    if one.marks:
        lines += [[], *marks_table(one.marks, room)]
    return lines


def _about(one: SessionView, now: float, room: int) -> list[Line]:
    who: Line = [
        (one.robot or "no robot named", "strong"),
        f"  {one.variant}" if one.variant else "",
        f"  {one.site}" if one.site else "",
    ]
    who = layout.if_room(who, [(f"  {one.region}", "muted")] if one.region else [], room)
    who = layout.if_room(who, [(f"  by {one.operator}", "muted")] if one.operator else [], room)
    what: Line = [one.task or "no task named", f"  {one.outcome}" if one.outcome else ""]
    what += [(f"  {name} {value}", "muted") for name, value in sorted(one.conditions.items())]
    rows: list[tuple[str, Line]] = [("robot", who), ("task", what)]
    when = figures.clock(one.start, now) if one.start else "time unknown"
    measure = f"{when}  {length(one.duration_s)}  {size(one.bytes)}  {one.frames:,} frames at {one.fps:g} Hz"
    rows.append(
        ("recorded", [measure, f"  {figures.plural(one.interventions, 'intervention')}" if one.interventions else ""])
    )
    if one.claimed_robot and one.claimed_robot != one.robot:
        rows.append(("sent as", [(one.claimed_robot, "caution")]))
    consent: Line = [
        one.consent_basis or ("no basis given", "caution"),
        ("  personal data", "caution") if one.pii else "",
    ]
    rows.append(("consent", [*consent, (f"  licence {one.licence}", "muted") if one.licence else ""]))
    episode = f"  episode {one.episode}" if one.episode >= 0 else ""
    rows.append(("file", [one.uri, episode]))
    rows.append(("content", [_digest(one.content or one.digest), ("  mended; came as ", "muted") if one.content != one.digest else "",
                             _digest(one.digest) if one.content != one.digest else ""]))  # fmt: skip
    if one.duplicate_of:
        rows.append(("the same as", [(one.duplicate_of, "strong")]))
    if one.bill:
        rows.append(("software", [f"{name} {figures.short(digest, 8)}  " for name, digest in sorted(one.bill.items())]))
    rows.append(
        (
            "judged by",
            [(one.profile or "nothing yet", "muted"), (f"  for {one.dataset}" if one.dataset else "", "muted")],
        )
    )
    return layout.pairs(rows, room)


def _digest(text: str) -> str:
    return f"{text[:19]}\u2026" if len(text) > 20 else text or "never read"


def strip(one: SessionView, findings: Sequence[Finding], room: int) -> list[Line]:
    """The recording's length as one row: where something was found, and where a person stepped in."""
    begin, end = "0.0 ", f" {one.duration_s:.1f} s"
    count = max(10, min(100, room - len(begin) - len(end)))
    marks: list[tuple[str, str]] = [("\u2500", "muted")] * count

    def paint(t0: float, t1: float, glyph: str, tone: str) -> None:
        first = min(count - 1, max(0, int(t0 / one.duration_s * count)))
        last = min(count - 1, max(first, int(t1 / one.duration_s * count)))
        for at in range(first, last + 1):
            marks[at] = (glyph, tone)

    for mark in one.marks:
        paint(mark.t0, mark.t1, "\u2592", "strong" if mark.kind == "intervention" else "muted")
    for finding in reversed(findings):
        if finding.t_from >= 0 and finding.severity in ("fail", "repair"):
            paint(finding.t_from, finding.t_to, "!", "alarm" if finding.severity == "fail" else "caution")
    line: Line = [(begin, "muted"), *marks, (end, "muted")]
    legend: Line = [("    ! a finding", "muted"), ("   \u2592 a person stepped in" if one.marks else "", "muted")]
    placed = any(finding.t_from >= 0 for finding in findings)
    return [line, legend] if placed or one.marks else [line]


def findings_table(findings: Sequence[Finding], room: int) -> list[Line]:
    if not findings:
        return [[("No findings.", "muted")]]
    rows = [
        (
            SEVERITY.get(one.severity, one.severity),
            one.check.replace("_", " "),
            place(one.t_from, one.t_to),
            _where(one),
        )
        for one in findings[:200]
    ]
    return layout.table(rows, room, head=("", "check", "at", "finding"))


def _where(one: Finding) -> Line:
    return [(f"{one.topic}: ", "muted") if one.topic else "", one.text]


def place(t0: float, t1: float) -> str:
    """Seconds from the start; an empty word for the whole."""
    if t0 < 0:
        return ""
    return f"{t0:.1f} s" if t1 - t0 < 0.05 else f"{t0:.1f}\u2013{t1:.1f} s"


def topics_table(topics: Sequence[Topic], room: int) -> list[Line]:
    if not topics:
        return [[("No topics.", "muted")]]
    rows = [
        (
            one.name, one.role, f"{one.hz:g}", f"{one.messages:,}",
            (f"{one.drop_ratio:.1%}", "alarm") if one.drop_ratio > DROPPED else f"{one.drop_ratio:.1%}",
            f"{one.gap_s:.3g} s", (one.type.rpartition("/")[2] or one.encoding, "muted"),
        )
        for one in topics
    ]  # fmt: skip
    return layout.table(
        rows,
        room,
        head=("topic", "role", "Hz", "messages", "missing", "silence", "type"),
        right=frozenset({2, 3, 4, 5}),
    )


def marks_table(marks: Sequence[Mark], room: int) -> list[Line]:
    rows = [(place(one.t0, one.t1), one.kind.replace("_", " "), one.text) for one in marks[:100]]
    return layout.table(rows, room, head=("at", "it says", ""))
