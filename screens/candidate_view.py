"""A candidate beside its baseline, as lines: the table people decide on, what stands behind it, what is ready.

Pure: a `Scoreboard`, the engine's time and a width in; lines out. "worse" only when a bound excludes it; never a share
without its counts.
"""

from __future__ import annotations

import math

from engine.contract.models import ArtifactView, CandidateView, Check, ComparisonView, Scoreboard, TaskRow, TrialView
from screens import figures, layout, plots
from screens.layout import Line
from screens.model import coarse
from screens.widgets.parts import Part

K_ALARM = 20.0
WORDS: dict[str, Part] = {
    "better": ("\u2713 better", "good"),
    "no worse": ("  no worse", "good"),
    "worse": ("\u2717 worse", "alarm"),
    "undecided": ("? undecided", "caution"),
}
VERDICTS: dict[str, Part] = {
    "better": ("\u2713 better", "good"),
    "non_inferior": ("\u2713 no worse", "good"),
    "inconclusive": ("? inconclusive", "caution"),
    "worse": ("\u2717 worse", "alarm"),
    "safety_fail": ("\u2717 safety failure", "alarm"),
    "more": ("\u2026 under way", "muted"),
    "": ("\u2014", "muted"),
}
STATES: dict[str, Part] = {
    "registered": ("\u00b7 registered", "muted"),
    "evaluating": "\u2026 evaluating",
    "compared": ("\u2691 compared", "strong"),
    "approved": "\u2026 approved",
    "built": "\u2026 built",
    "eligible": ("\u2713 eligible", "good"),
    "rejected": ("\u2717 rejected", "muted"),
    "expired": ("expired", "muted"),
    "revoked": ("\u2717 revoked", "alarm"),
    "draft": ("\u00b7 draft", "muted"),
    "locked": "locked",
    "retired": ("retired", "muted"),
    "signed": "\u2026 signed",
}


def state(word: str) -> Part:
    return STATES.get(word, word)


def k(value: float) -> str:
    """An e-value: `2.3`, `>1000`."""
    if value > 1000:
        return ">1000"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def points(row: TaskRow) -> str:
    """Difference in points with its 90 % interval, each number in a place of its own."""
    if not row.n1 or not row.n0:
        return "no pair"
    low, high = f"{100 * row.low:+.0f}", f"{100 * row.high:+.0f}"
    return f"{100 * row.diff:+.0f} [{low:>3} {high:>3}]"


def title(board: Scoreboard, cells: int) -> Line:
    """Who against whom, on how many robots, by which pack."""
    c = board.candidate
    line: Line = [("CANDIDATE ", "muted"), (c.title or c.id, "strong")]
    if c.baseline.label:
        robots = f" (on {c.baseline.robots} robots now)" if c.baseline.robots else " (on no robot that says so)"
        line += [(" vs BASELINE ", "muted"), (c.baseline.label, "strong"), (robots, "muted")]
    if c.pack:
        where = "hardware" if board.comparison is not None and board.comparison.purpose == "hardware" else "sim"
        line = layout.if_room(line, [("  PACK ", "muted"), c.pack, (f" {where}", "muted")], cells)
    return line


def verdict(board: Scoreboard) -> list[Part]:
    """The sentence, with what bars approval before it."""
    c = board.candidate
    if c.frozen_by:
        return [("\u2016 ", "caution"), (f"Approvals of {c.line} wait for {c.frozen_by}. ", "caution"), c.sentence]
    if c.state == "rejected":
        return [("\u2717 Rejected: ", "alarm"), c.why]
    if c.state == "revoked":
        return [("\u2717 Revoked: ", "alarm"), c.why]
    word = VERDICTS.get(c.verdict, c.verdict)
    if c.state in ("registered", "evaluating") or not c.verdict:
        return [state(c.state), ". ", c.sentence or "Trials are under way; t shows how far."]
    said, tone = word if isinstance(word, tuple) else (word, "")
    glyph, _, plain = said.rpartition(" ")
    if glyph and c.sentence.casefold().startswith(plain.casefold()):
        return [(f"{glyph} ", tone), c.sentence]  # the sentence begins with the word
    return [word, ". ", c.sentence]


def table(comparison: ComparisonView, cells: int) -> list[Line]:
    """Task by task, undecided and worse first; the whole last."""
    order = {"worse": 0, "undecided": 1, "no worse": 2, "better": 3}
    rows: list[list[Part]] = []
    tasks = sorted(comparison.tasks, key=lambda one: order.get(one.word, 9))
    for row in tasks:
        rows.append(_cells(row))
    if comparison.overall is not None and comparison.overall.pairs:
        rows.append(_cells(comparison.overall))
    head = ("task", "cand", "base", "diff [90%]", "K better/no-worse", "verdict")
    return layout.table(rows, cells, head=head, right=frozenset({1, 2}), indent=1)


def _cells(row: TaskRow) -> list[Part]:
    both = f"{k(row.k_better):>6} / {k(row.k_no_worse)}"
    name: Part = (row.task, "muted") if row.task == "overall" else row.task
    return [name, _count(row.k1, row.n1), _count(row.k0, row.n0), points(row), both, WORDS.get(row.word, row.word)]


def _count(k: float, n: int) -> str:
    return f"{k:g}/{n}" if n else "\u2014"


def facts(board: Scoreboard, cells: int, now: float) -> list[Line]:
    """The lines under the table: cases, latency, simulation; what was left out; what is ready; who has approved."""
    c, found = board.candidate, board.comparison
    lines: list[Line] = []
    if found is not None:
        cases = f"{found.regressions_passed}/{found.regressions}"
        bad = found.regressions_passed < found.regressions
        line: Line = [("incident cases ", "muted"), (cases, "alarm") if bad else cases]
        line += [("  latency ", "muted"), *_latency(c)]
        lines.append(layout.if_room(line, [("  sim fit ", "muted"), *_simulation(c)], cells))
        out = ", ".join(f"{n} {word}" for word, n in found.reasons.items())
        left: Line = [("excluded ", "muted"), f"{found.excluded} trials" + (f" ({out})" if out else "")]
        left += [("  blind: ", "muted"), "yes" if c.blind else ("no", "caution")]
        left += [("  pack vs train overlap: ", "muted"), _overlap(c)]
        lines.append(left)
        upper = found.safety_upper_100h
        if upper is not None:
            says = f"{found.safety_events} in {_hours(found.hours)}, at most {figures.number(upper)} per 100 h (95%)"
            lines.append([("safety events ", "muted"), (says, "alarm") if found.safety_events else says])
        if found.new_modes:
            lines.append([("new failure modes ", "muted"), (", ".join(found.new_modes), "caution")])
    lines.append([("ready: ", "muted"), *_ready(c), *_approvals(board)])
    if board.artifact is not None:
        lines.append(_artifact_line(board.artifact, now))
    return lines


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"


def _latency(c: CandidateView) -> list[Part]:
    if not c.latency.frames:
        return [("not measured", "caution")]
    slow = c.latency.p99_ms > c.latency.limit_ms
    says = f"p99 {figures.number(c.latency.p99_ms)} of {figures.number(c.latency.limit_ms)} ms"
    return [(says, "alarm") if slow else says]


def _simulation(c: CandidateView) -> list[Part]:
    found = c.simulator_validity
    if found.r is None or found.mmrv is None:
        return [(f"not known ({found.policies} policies on hardware)", "muted")]
    says = f"r {found.r:.2f} MMRV {found.mmrv:.2f} ({found.policies} pols)"
    return [(says + " advisory only", "caution") if found.advisory else says]


def _overlap(c: CandidateView) -> Part:
    if c.left_out:
        return (f"{len(c.left_out)} left out", "caution")
    known = next((one for one in c.checks if one.name == "pack vs train"), None)
    return "0" if known is not None and "known" not in known.says else ("not known", "caution")


STEPS = (("build", "build"), ("sign", "sign"), ("sbom", "sbom"), ("golden", "golden"))


def _ready(c: CandidateView) -> list[Part]:
    by_name = {one.name: one for one in c.checks}
    parts: list[Part] = []
    for name, label in STEPS:
        parts += [f"{label} ", mark(by_name.get(name)), "  "]
    return parts


def mark(check: Check | None) -> Part:
    if check is None or check.ok is None:
        return ("-", "muted")
    return ("\u2713", "good") if check.ok else ("\u2717", "alarm")


def _approvals(board: Scoreboard) -> list[Part]:
    if board.open_gate:
        return [("  approvals ", "muted"), (board.seats, "strong")]
    if board.candidate.decisions:
        people = ", ".join(board.candidate.decisions[-1].people) or "policy"
        return [("  approved by ", "muted"), people]
    return []


def _artifact_line(artifact: ArtifactView, now: float) -> Line:
    line: Line = [("artifact ", "muted"), artifact.id, " ", artifact.version, " ", state(artifact.state)]
    if artifact.state == "eligible" and artifact.expires_at:
        line.append((f"  expires in {coarse(max(0.0, artifact.expires_at - now))}", "muted"))
    return line


def worst(trials: tuple[TrialView, ...], cells: int, most: int = 5) -> list[Line]:
    """What went worst, first what the baseline got right."""
    if not trials:
        return []
    rows: list[list[Part]] = [
        [one.id, one.task, str(one.seed), f"{one.rubric:.2f}", (one.mode or one.outcome, "caution")]
        for one in trials[:most]
    ]
    return [[("worst trials of the candidate", "strong")], *layout.table(rows, cells, head=("trial", "task", "seed", "rubric", "how"), right=frozenset({2, 3}), indent=1)]  # fmt: skip


def checks(c: CandidateView, cells: int) -> list[Line]:
    """Every readiness line in full."""
    lines: list[Line] = []
    for one in c.checks:
        lines.append([" ", mark(one), " ", (f"{one.name}: ", "muted"), one.says])
    return lines


def baseline(board: Scoreboard, cells: int) -> list[Line]:
    """What the candidate is compared with, and how that was found out."""
    c = board.candidate
    pairs: list[tuple[str, layout.Cell]] = [
        ("baseline", c.baseline.label or "none yet"),
        (
            "runs on",
            f"{c.baseline.robots} robots of the target cohort say so" if c.baseline.robots else "no robot says so",
        ),
        ("found", c.baseline.found or "-"),
        ("its model", c.baseline.model_digest or "-"),
        ("candidate", c.model_digest),
        ("learnt from", c.snapshot or "not known"),
        ("training", c.training or "not known"),
        ("recipe", c.recipe_digest or "not known"),
        ("seed", str(c.seed)),
        ("parameters", f"{c.params} ({c.precision or 'precision not known'}), {c.size_b} bytes"),
        ("tasks shown", ", ".join(c.tasks) or "not known"),
        ("notes", c.notes or "-"),
    ]
    return [[("baseline and candidate", "strong")], *layout.pairs(pairs, cells, indent=1)]


def trace(found: ComparisonView, cells: int, rows: int, *, ascii: bool = False) -> list[Line]:
    """The not-worse process of each task, pair by pair, on a logarithmic scale against what decides."""
    alpha = found.plan.alpha or 0.05
    alarm = 1 / alpha * max(1, len(found.tasks))
    each = max(3, min(8, rows // max(1, len(found.tasks)) - 2))
    lines: list[Line] = []
    for row in found.tasks:
        line: Line = [
            (row.task, "strong"),
            (f"  {row.pairs} pairs, {row.for_it} for it, {row.against} against  ", "muted"),
        ]
        lines.append([*line, f"K {k(row.path[-1]) if row.path else '-'} ", WORDS.get(row.word, row.word)])
        values = [max(1e-3, min(1e6, one)) for one in row.path]
        if not any(math.isfinite(one) for one in values):
            continue
        curve = plots.Curve("K", plots.resample(values, 2 * cells), "key")
        lines += plots.plot(
            [curve], cells=cells, rows=each, ascii=ascii, log=True, limit=alarm, limit_name=f" {alarm:.0f} decides",
            times=("1", str(row.pairs)),
        )  # fmt: skip
    return lines or [[("No pair of trials yet.", "muted")]]


def artifact(found: ArtifactView | None, cells: int, now: float) -> list[Line]:
    """What was built, what it is made of, and how it went on the lab's robots."""
    if found is None:
        return [[("Nothing was built of it yet: that follows an approval.", "muted")]]
    again = "not tried" if found.reproduced is None else "built twice, same digest" if found.reproduced else "differs"
    pairs: list[tuple[str, layout.Cell]] = [
        ("artifact", [found.id, "  ", state(found.state)]),
        ("version", f"{found.line} {found.version}, {found.size_b} bytes, {found.precision}"),
        ("digest", found.digest),
        ("made for", ", ".join(found.targets) + "".join(f"; {name} {value}" for name, value in found.requires.items())),
        ("goes back to", f"{found.rollback_target or 'not known'}  (index {found.anti_rollback_index})"),
        ("reproducible", again),
        ("signature", f"Ed25519, key {found.key_id[7:23]}" if found.key_id else "none yet"),
        ("materials", found.sbom or "none yet"),
        ("provenance", found.provenance or "none yet"),
    ]
    if found.why:
        pairs.append((found.state, [(found.why, "alarm" if found.state == "revoked" else "muted")]))
    lines: list[Line] = [[("artifact", "strong")], *layout.pairs(pairs, cells, indent=1)]
    if found.smoke:
        rows: list[list[Part]] = [
            [("\u2713", "good") if one.ok else ("\u2717", "alarm"), one.robot, one.variant, one.step, one.says]
            for one in found.smoke
        ]
        lines += [
            [""],
            [("lab robots", "strong")],
            *layout.table(rows, cells, head=("", "robot", "variant", "step", "says"), indent=1),
        ]
    return lines


def sessions(c: CandidateView, cells: int) -> list[Line]:
    """Recordings that were replayed: how far the candidate would have acted from what was done."""
    if not c.replay:
        return [[("No session was replayed.", "muted")]]
    rows: list[list[Part]] = [
        [
            one.session,
            str(one.frames),
            f"{one.divergence:.3f}",
            f"{one.worst:.2f}",
            str(one.violations),
            (one.trouble, "caution"),
        ]
        for one in c.replay
    ]
    head = ("session", "frames", "mean m/s\u00b2", "worst", "violations", "trouble")
    said: Line = [("replayed sessions ", "strong"), ("(open loop: a smoke test, weak evidence of success)", "muted")]
    return [said, *layout.table(rows, cells, head=head, right=frozenset({1, 2, 3, 4}), indent=1)]


def decisions(c: CandidateView, cells: int, now: float) -> list[Line]:
    """Who decided what on which evidence."""
    rows: list[list[Part]] = [
        [coarse(max(0.0, now - one.at)), one.answer + (f" ({one.course})" if one.course else ""), ", ".join(one.people) or "policy", one.evidence[7:15], one.reason]
        for one in c.decisions
    ]  # fmt: skip
    return (
        [
            [("decisions", "strong")],
            *layout.table(rows, cells, head=("age", "answer", "who", "evidence", "why"), indent=1),
        ]
        if rows
        else []
    )


def overview(board: Scoreboard, cells: int, now: float, *, room: int) -> list[Line]:
    """The screen people decide on: who against whom, the table, the facts; what else there is room for."""
    lines: list[Line] = [title(board, cells), [""]]
    if board.comparison is not None:
        lines += table(board.comparison, cells)
    else:
        lines.append([("No comparison yet. ", "muted"), *(["Trials are under way."] if board.candidate.pack else [])])
    lines += [[""], *facts(board, cells, now)]
    for more in (worst(board.worst, cells), decisions(board.candidate, cells, now), checks(board.candidate, cells)):
        if more and len(lines) + 1 + len(more) <= room:
            lines += [[""], *more]
    return lines
