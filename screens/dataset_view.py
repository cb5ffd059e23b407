"""A snapshot as lines (domain section 4): what became of the recordings, can the labels be trusted, which cells are short.

Pure: records, the engine's time and a width in; lines out. What is short or flagged stands first; every share has its k
and n, every estimate its interval.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.datasets import EpisodePage, SnapshotDiff, SnapshotView, TrainingView
from screens import figures, layout
from screens.layout import Line
from screens.model import age
from screens.pictures import coverage
from screens.widgets.parts import Part

"""Columns of a matrix; more run on as a list."""
OPEN = ("building", "review")


def title(s: SnapshotView, now: float, cells: int) -> Line:
    line: Line = [("DATASET ", "muted"), (s.dataset, "strong"), f" v{s.version}  ", state(s.state)]
    line = layout.if_room(line, [f"  {s.region}"] if s.region else [], cells)
    line = layout.if_room(line, [(f"  line {s.line}", "muted")] if s.line else [], cells)
    line = layout.if_room(line, [(f"  {s.episodes:,} episodes, {length(s.hours)}", "")] if s.episodes else [], cells)
    return layout.if_room(line, [(f"  {age(max(0.0, now - s.created_at))} old", "muted")], cells)


def state(word: str) -> Part:
    tone = {"review": "strong", "finalized": "good", "superseded": "muted", "withdrawn": "caution"}.get(word, "")
    glyph = {"review": "\u2691", "finalized": "\u2713", "withdrawn": "\u2717", "superseded": "\u00b7"}.get(
        word, "\u25b8"
    )
    text = f"{glyph} {word}"
    return (text, tone) if tone else text


def sentence(s: SnapshotView, doing: str = "") -> Line:
    """The verdict line: what is in the way, or what should be seen before it is signed. `doing` is what its run does now."""
    if s.state == "withdrawn":
        return [("\u2717 WITHDRAWN ", "caution"), s.withdrawn_for or "no reason was given"]
    if s.state == "superseded":
        return [("superseded: ", "muted"), "a newer version took its place"]
    if s.state == "finalized":
        who = ", ".join(s.signed_by) or "nobody"
        return [("\u2713 FINALIZED ", "good"), f"signed by {who}; nothing in it changes any more"]
    waits = waiting(s)
    if waits:
        return [("NOT READY: ", "alarm"), ", ".join(waits), "."]
    if s.state == "building":
        return [("building: ", "muted"), doing or "t shows what its run does"]
    flags = f" Look at: {'; '.join(s.flags)}." if s.flags else ""
    return [("\u2691 READY TO SIGN ", "strong"), f"{s.episodes} episodes, leak {s.contamination}/{s.episodes}.", flags]


def length(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"


def waiting(s: SnapshotView) -> list[str]:
    """What is in the way of a signature, in short words."""
    found = [figures.plural(s.audit.open, "audit") + " open"] if s.audit.open else []
    short = sum(one.short for one in s.coverage)
    found += [figures.plural(short, "coverage gap")] if short else []
    known = ("coverage gap", "audits are still open")
    found += [one for one in s.blockers if not any(word in one for word in known)]
    shifted = sum(one.flag for one in s.shift)
    if found and shifted:
        found.append(figures.plural(shifted, "shift flag"))
    return found


def facts(s: SnapshotView, cells: int, *, room: int) -> list[Line]:
    """The overview."""
    lines = [funnel(s, cells), quality(s, cells), *_gap(room)]
    lines += coverage.matrix(s.coverage, cells)
    lines += [*_gap(room), *shifts(s, cells)]
    lines.append(rest(s, cells))
    if s.flags and s.state in OPEN:
        lines.append([("flags ", "muted"), ("; ".join(s.flags), "caution")])
    if s.dependants:
        lines += [[("made from it", "strong")], *[_line(f"  {one}") for one in s.dependants]]
    return lines


def funnel(s: SnapshotView, cells: int) -> Line:
    f = s.funnel
    line: Line = [f"ingested {f.ingested} > valid {f.valid} > labelled {f.labelled} > kept ", (str(f.kept), "strong")]
    bad: Part = (f"   quarantined {f.quarantined}", "caution") if f.quarantined else "   quarantined 0"
    return layout.if_room(layout.if_room(line, [bad], cells), [f"  repaired {f.repaired}"], cells)


def quality(s: SnapshotView, cells: int) -> Line:
    a = s.agreement
    tone = {"accept": "good", "tentative": "caution", "reject": "alarm"}.get(a.word, "muted")
    if a.alpha is None:
        line: Line = [("agreement not known yet", "muted")]
    else:
        line = ["agreement ", (f"a={_share(a.alpha)}", tone), f" [{_share(a.low)} {_share(a.high)}] n={a.n}"]
    b = s.audit
    if b.n:
        tone = {"pass": "good", "fail": "alarm"}.get(b.word, "caution")
        line += ["   audit ", (f"{b.k}/{b.n} bad", tone), f" -> \u2264{100 * b.u95:.1f}% (95%)"]
    else:
        line += [("   audit not done yet", "muted")]
    leak: Part = (f"   leak {s.contamination}/{s.episodes}", "alarm") if s.contamination else f"   leak 0/{s.episodes}"
    return layout.if_room(line, [leak], cells)


def shifts(s: SnapshotView, cells: int) -> list[Line]:
    if not s.shift_against:
        return []
    line: Line = [(f"shift vs {s.shift_against.rpartition('-')[2] or s.shift_against}", "muted"), "   "]
    if not s.shift:
        return [[*line, "nothing both have enough values of"]]
    for one in s.shift[:5]:
        said = f"{one.feature.replace('_', ' ')} {'PSI ' if one.flag else ''}{one.psi:.2f}"
        more: Line = [(f"{said} !", "caution") if one.flag else said, "   "]
        line = layout.if_room(line, more, cells)
    return [line]


def rest(s: SnapshotView, cells: int) -> Line:
    if not s.episodes:
        return [("not frozen yet: no split, no digest", "muted")]
    split = " ".join(f"{name} {count}" for name, count in s.splits.items())
    line: Line = [f"split {split} in {s.groups} groups"]
    line = layout.if_room(line, [f"   interventions {s.interventions}  failures {s.failures}"], cells)
    line = layout.if_room(line, [(f"   ~{s.gpu_hours:g} h to train", "muted")], cells)
    return layout.if_room(line, [("   root ", "muted"), figures.short(s.root_digest)], cells)


def findings(s: SnapshotView, left_out: EpisodePage | None, cells: int) -> list[Line]:
    """What was set aside or left out, by reason, then by session."""
    lines: list[Line] = [layout.heading("What did not get in, and why")]
    rows: list[Sequence[Part]] = [[code.replace("_", " "), str(count)] for code, count in s.funnel.reasons.items()]
    lines += layout.table(rows, cells, right=frozenset({1})) or [[("Nothing was left out.", "muted")]]
    v = s.curation
    if v.rule:
        lines += [[""], layout.heading("Curation", (f"rule {v.rule}", "muted"))]
        same = "not known" if v.rank_correlation is None else f"{v.rank_correlation:.2f}"
        lines += [
            [
                f"kept {v.kept}, left out {v.excluded}; length alone would leave out {v.baseline_excluded}, {v.both_excluded} of them the same"
            ],
            [f"rank correlation of score and length {same}"],
        ]
    if left_out is not None and left_out.rows:
        lines += [[""], layout.heading("Left out", (f"{left_out.total} sessions", "muted"))]
        body = [[r.session, r.why, f"{r.score:.2f}", f"{r.baseline:.2f}"] for r in left_out.rows]
        lines += layout.table(body, cells, head=("session", "why", "score", "length"), right=frozenset({2, 3}))
    c = s.checks
    lines += [[""], layout.heading("Checks of the freeze")]
    lines += layout.pairs(
        [
            ("held by evaluation packs", f"{c.contaminated} left out, {c.pack_cases} cases compared"),
            ("same or nearly the same", f"{c.near_duplicates} left out"),
            ("no basis or withdrawn", f"{c.consent} left out"),
            ("other regions", f"{c.residency} left out"),
            ("licence", f"{c.unlicensed} left out"),
            ("still leaking", (str(c.left), "alarm") if c.left else "0"),
        ],
        cells,
    )
    return lines


def difference(found: SnapshotDiff | None, cells: int) -> list[Line]:
    if found is None:
        return [[("Comparing \u2026", "muted")]]
    if not found.before:
        return [["It is the first of its dataset: there is nothing to compare it with."]]
    lines: list[Line] = [layout.heading(f"{found.snapshot} against {found.before}")]
    moved: Part = (f"{len(found.moved)}: {', '.join(found.moved[:6])}", "alarm") if found.moved else "0"
    lines += layout.pairs(
        [
            ("added", _names(found.added)),
            ("removed", _names(found.removed)),
            ("labelled anew", _names(found.relabelled)),
            ("in another split", moved),
        ],
        cells,
    )
    if found.cells:
        lines += [
            [""],
            *layout.table(
                [[key, str(old), str(now)] for key, old, now in found.cells],
                cells,
                head=("cell", "before", "now"),
                right=frozenset({1, 2}),
            ),
        ]
    return lines


def trained(rows: Sequence[TrainingView], cells: int) -> list[Line]:
    """What was trained from it."""
    if not rows:
        return []
    body = [[t.id, figures.state(t.state), progress(t), f"{t.spent_s:.0f}/{t.budget_s:.0f} s", t.error] for t in rows]
    return [layout.heading("Trainings"), *layout.table(body, cells)]


def progress(t: TrainingView) -> str:
    done = f"{t.done}/{t.of} {t.unit}" if t.of else ""
    loss = t.metrics.get("val_loss", t.metrics.get("loss"))
    return f"{done} loss {loss:.3g}".strip() if isinstance(loss, int | float) else done


def _share(value: float | None) -> str:
    """`.84`: the nought says nothing where all are below one."""
    text = f"{value or 0:.2f}"
    return text[1:] if text.startswith("0") else text


def _names(names: Sequence[str]) -> str:
    more = f" \u2026 {len(names) - 6} more" if len(names) > 6 else ""
    return f"{len(names)}: {', '.join(names[:6])}{more}" if names else "0"


def _line(text: str) -> Line:
    return [text]


def _gap(room: int) -> list[Line]:
    return [[""]] if room >= 18 else []
