"""A gate as lines: the question, what it rests on, who has a seat, what each answer does, and what silence does.

Pure: a `GateDetail`, the engine's time and a width in; lines out. The evidence is shown with its age and digest, because
a vote is bound to exactly what was seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.contract.gates import GateDetail, GateSummary
from engine.contract.history import DiffView, Looker
from screens import difference, evidence, figures, layout
from screens.layout import Line
from screens.model import coarse
from screens.widgets.parts import Part

STALE_S = 86_400.0
"""Evidence older than a day is pointed out; whether it changed since is the digest's business."""


def sentence(detail: GateDetail, now: float) -> Line:
    """The verdict line: may I vote, how many seats are open, how long is left."""
    gate = detail.gate
    if gate.state != "open":
        tone = {"passed": "good", "rejected": "caution", "expired": "caution"}.get(gate.state, "muted")
        return [(f"{gate.state.upper()}: this question is closed.", tone), f" {_last_vote(detail, now)}"]
    left = figures.until(gate.expires_at, now)
    line: Line = [(f"{gate.seats_open} of {gate.seats_total} seats open", "strong"), ", expires ", left, ". "]
    if gate.mine:
        line.append((f"You can't vote: {gate.mine}.", "caution"))
    else:
        line.append(("You can vote.", "strong"))
    if gate.escalated:
        line.append((" Escalated.", "caution"))
    return line


CHANGES = 5
"""Differences since the last look that are shown; d shows all."""


def since(changed: DiffView | None, others: Sequence[Looker], now: float, cells: int) -> list[Line]:
    """Who else has it before them now, and what changed since this person saw it last."""
    lines: list[Line] = []
    if others:
        names = ", ".join(one.person for one in others[:6]) + (", \u2026" if len(others) > 6 else "")
        lines.append([("also looking now: ", "muted"), (names, "strong")])
    if changed is not None and changed.changes:
        many = len(changed.changes)
        head: Line = [("Changed since you looked last", "strong")]
        lines.append([*head, (f"  {figures.plural(changed.events, 'event')}, d shows all", "muted")])
        for one in changed.changes[:CHANGES]:
            lines += difference.difference(one, now, cells, indent=2)
        if many > CHANGES:
            lines.append([(f"  \u2026 {many - CHANGES} more", "muted")])
    return [*lines, [""]] if lines else []


def facts(
    detail: GateDetail, now: float, cells: int, before: Sequence[Line] = (), *, grounded: bool = True
) -> list[Line]:
    """Everything about the question. `before`: the evidence lines shown earlier, when the evidence has changed since.

    `grounded=False` leaves the evidence out: it stands beside.
    """
    gate = detail.gate
    head: Line = [(gate.kind.replace("_", " ").upper(), "muted"), "  ", (gate.id, "strong")]
    head += [(f"  asked {figures.clock(gate.opened_at, now)}", "muted"), (f"  in {gate.path} of {gate.run}", "muted")]
    lines: list[Line] = [head, [(gate.question, "strong")]]
    if gate.subject and gate.subject not in gate.question:
        lines.append([("about: ", "muted"), gate.subject])
    if gate.claimed_by:
        lines.append(
            [("claimed by: ", "muted"), gate.claimed_by, (" (a claim stops nobody else from voting)", "muted")]
        )
    if gate.state == "open":
        lines += [[""], *consequences(detail, cells)]
    lines += [[""], *seats(detail, now)]
    if grounded:
        lines += [[""], *grounds(detail, now, cells, before)]
    if detail.form:
        lines += [[""], *form(detail, cells)]
    if detail.comments:
        said: list[Line] = [["  ", comment] for comment in detail.comments[-20:]]
        lines += [[""], layout.heading("Asked and said"), *said]
    return lines


def consequences(detail: GateDetail, cells: int) -> list[Line]:
    """What follows from each answer, and from no answer."""
    rows: list[tuple[str, layout.Cell]] = []
    for index, text in enumerate(detail.consequences or implied(detail)):
        rows.append(("if approved" if not index else "", text))
    if detail.on_reject:
        rows.append(("if rejected", detail.on_reject))
    rows.append(("if nobody answers", detail.on_timeout or "it stays closed: silence never approves"))
    if detail.answers and detail.answers != ("approve", "reject"):
        rows.append(("answers", ", ".join(detail.answers)))
    if detail.phrase:
        rows.append(("to approve, type", (detail.phrase, "strong")))
    return layout.pairs(rows, cells)


def implied(detail: GateDetail) -> tuple[str, ...]:
    """What the evidence of a sign-off says approval would begin, where the engine said nothing itself."""
    found = detail.evidence if isinstance(detail.evidence, Mapping) else {}
    plan, cohort = found.get("plan"), found.get("cohort")
    stages = plan.get("stages") if isinstance(plan, Mapping) else None
    if not isinstance(cohort, Mapping) or not isinstance(stages, list | tuple) or not stages:
        return ()
    first = stages[0] if isinstance(stages[0], Mapping) else {}
    sites, customers = cohort.get("sites"), cohort.get("customers")
    text = f"{cohort.get('robots', '?')} robots"
    if isinstance(sites, list | tuple):
        text += f", {figures.plural(len(sites), 'site')}"
    if isinstance(customers, list | tuple):
        text += f", {figures.plural(len(customers), 'customer')}"
    return (
        f"{text}, in {figures.plural(len(stages), 'stage')}",
        f"first {first.get('name', '?')}: {first.get('robots', '?')} robots",
    )


def seats(detail: GateDetail, now: float) -> list[Line]:
    """Seats filled and open, who can still fill them, who may not, and every vote with its fate."""
    lines: list[Line] = []
    taken = sum(min(len(seat.filled_by), seat.count) for seat in detail.seats)
    lines.append(layout.heading("Seats", (f"{taken}/{sum(seat.count for seat in detail.seats)} filled", "muted")))
    for seat in detail.seats:
        for index in range(seat.count):
            if index < len(seat.filled_by):
                lines.append(["  ", "\u25cf ", _seat(seat.label), "  ", (seat.filled_by[index], "strong")])
            else:
                lines.append(["  ", ("\u25cb ", "caution"), _seat(seat.label), ("  open", "caution")])
    if detail.who_can and detail.gate.state == "open":
        lines.append(
            [
                ("  who can: ", "muted"),
                ", ".join(_seat(who) for who in detail.who_can[:8]),
                "" if len(detail.who_can) <= 8 else ", \u2026",
            ]
        )
    elif detail.gate.state == "open":
        lines.append([("  nobody known can fill the open seats", "alarm")])
    if detail.excluded:
        lines.append([("  may not: ", "muted"), ", ".join(detail.excluded[:8])])
    for vote in detail.votes:
        lines.append(["  ", *_vote(vote, now)])
    return lines


def grounds(detail: GateDetail, now: float, cells: int, before: Sequence[Line] = ()) -> list[Line]:
    """The evidence with age and digest."""
    note: Line = [
        figures.aged(detail.evidence_at, now, STALE_S / 2),
        (f"  digest {figures.short(detail.evidence_digest)}", "muted"),
    ]
    head: Line = [*layout.heading("Evidence"), "  ", *note]
    body = evidence.lines(detail.evidence, now, cells - 3)
    if before:
        return [
            head,
            [
                (
                    "  The evidence has changed: ~ marks what is new, - what is gone. Votes on the old one do not count.",
                    "caution",
                )
            ],
            *evidence.marked(body, before),
        ]
    return [head, *[["  ", *line] for line in body]]


def form(detail: GateDetail, cells: int) -> list[Line]:
    """What the form asks, before it is opened."""
    rows: list[tuple[str, layout.Cell]] = []
    for name, spec in detail.form.items():
        rows.append((f"  {spec_title(name, spec)}", describe(spec)))
    return [layout.heading("To be filled in with the vote"), *layout.pairs(rows, cells)]


def spec_title(name: str, spec: Any) -> str:
    return str(spec.get("title") or name) if isinstance(spec, Mapping) else name


def describe(spec: Any) -> str:
    """A field's type and limits in words."""
    if not isinstance(spec, Mapping):
        return "text"
    if spec.get("enum"):
        words = "one of " + ", ".join(str(item) for item in spec["enum"])
    else:
        words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "yes or no"}.get(
            str(spec.get("type", "string")), str(spec.get("type"))
        )
    low, high = spec.get("minimum"), spec.get("maximum")
    if low is not None and high is not None:
        words += f", {low:g} to {high:g}"
    elif low is not None:
        words += f", at least {low:g}"
    elif high is not None:
        words += f", at most {high:g}"
    if spec.get("pattern"):
        words += f", like {spec['pattern']}"
    if spec.get("default") is not None:
        words += (
            f", normally {'yes' if spec['default'] is True else 'no' if spec['default'] is False else spec['default']}"
        )
    return words if spec.get("required", True) else f"{words} (may be left out)"


def inbox_row(gate: GateSummary, now: float, away: str = "") -> tuple[layout.Cell, ...]:
    """One row of the inbox: mark, deadline, question, seats, whether I can vote, who claimed it. `away`: why it was put off."""
    mark: Part = ("\u2691", "strong") if not gate.mine else ("\u00b7", "muted")
    left = figures.until(gate.expires_at, now)
    if gate.state != "open":
        left = (gate.state, "muted")
    you: Part = (away, "muted") if away else "yes" if not gate.mine else (f"no: {gate.mine}", "muted")
    kind = gate.kind.replace("_", " ")
    question: Line = [("escalated ", "caution")] if gate.escalated else []
    question.append(gate.question)
    return (
        mark,
        left,
        question,
        f"{gate.seats_total - gate.seats_open}/{gate.seats_total}",
        you,
        gate.claimed_by or "",
        kind,
        coarse(max(0.0, now - gate.opened_at)),
    )


def _seat(label: str) -> str:
    """Each seat stands on a line of its own: `1 x role site-lead` says too much."""
    head, times, rest = label.partition(" x ")
    return (rest if times and head.isdigit() else label).removeprefix("role ")


def _vote(vote: Any, now: float) -> Line:
    line: Line = [figures.clock(vote.at, now), " ", (vote.person, "strong")]
    if vote.on_behalf_of:
        line.append(f" for {vote.on_behalf_of}")
    if vote.refused:
        line += [f" wanted {vote.answer}: ", (f"refused, {vote.refused}", "caution")]
    elif vote.void:
        line += [f" {vote.answer} ", ("void: the evidence changed", "caution")]
    elif vote.answer == "abstain":
        line.append(" abstains")
    else:
        line.append(f" {vote.answer}")
    if vote.rationale:
        line.append((f"  \u201c{vote.rationale}\u201d", "muted"))
    return line


def _last_vote(detail: GateDetail, now: float) -> str:
    counted = [vote for vote in detail.votes if not vote.void and not vote.refused and vote.answer != "abstain"]
    if not counted:
        return "Nobody's vote counted."
    newest = counted[-1]
    return f"Last vote: {newest.person} {newest.answer}, {figures.clock(newest.at, now)}."
