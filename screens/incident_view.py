"""An incident as lines: the head, the matrix of ways out, who is suspected, what runs against time. Pure: views in, lines out.

Rules: the abnormal has a tone, a glyph and a word; a number never stands without its n; what is not known is said to be.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.incidents import OPTION_KINDS, Clock, HoldView, IncidentDetail, IncidentView, OptionRow, Suspect
from screens.figures import clock
from screens.layout import Line, table
from screens.model import coarse
from screens.widgets.parts import Part, fit

OVER = ("closed", "false_alarm")
TONE = {1: "alarm", 2: "alarm", 3: "caution", 4: ""}
SHORT = {
    "rollback": "roll back",
    "forward": "forward",
    "hotfix": "hotfix",
    "config": "setting",
    "restrict": "restrict",
    "monitor": "watch",
}


def sev(incident: IncidentView) -> Part:
    """`SEV-2`, loud while it is open."""
    text = f"SEV-{incident.sev}" if incident.sev else "SEV-?"
    return (text, "muted") if incident.state in OVER else (text, TONE.get(incident.sev, "caution") or "strong")


def title(detail: IncidentDetail, me: str, now: float) -> Line:
    """Who commands, since when it is known, what is held: the line that stands still while everything else moves."""
    one = detail.incident
    commands: Part = (
        ("IC: you", "strong") if one.ic and one.ic == me else (f"IC: {one.ic}" if one.ic else ("! IC: nobody", "alarm"))
    )
    aware: Part = (
        f"aware {clock(one.became_aware_at, now)}" if one.became_aware_at else ("aware: not recorded", "muted")
    )
    kept: Part = f"preserved {one.preserved}/{one.to_preserve}"
    if one.to_preserve and one.preserved < one.to_preserve:
        kept = (f"\u2026 preserved {one.preserved}/{one.to_preserve}", "caution")
    held = sum(hold.state == "active" for hold in detail.holds)
    contained: Part = "contained" if one.contained_at else ("! not contained yet", "alarm")
    parts: Line = [commands, "  ", aware, "  ", contained, "  ", kept]
    if held:
        parts += ["  ", (f"hold {held}", "strong")]
    return parts


def verdict(detail: IncidentDetail, now: float) -> list[Part]:
    """One sentence: what is wrong on how many, and what is being done."""
    one = detail.incident
    line: list[Part] = [(one.id, "strong"), " ", sev(one), "  "]
    said = one.title
    line.append(said)
    if one.affected or one.unsure:
        line.append(f"; {len(one.affected)} affected")
        if one.unsure:
            line.append((f", {len(one.unsure)} can't be asked", "caution"))
    line.append(". ")
    state = one.state.replace("_", " ")
    line.append(
        (
            f"{state}" + (f": {one.phase}" if one.phase and one.phase != state else ""),
            "muted" if one.state in OVER else "info",
        )
    )
    return line


def facts(detail: IncidentDetail, now: float, cells: int, *, roomy: bool) -> list[Line]:
    """The page: head, options, suspects, clocks, what was done."""
    one = detail.incident
    lines: list[Line] = []
    if one.options:
        lines += options(one, cells, blocked=roomy)
    else:
        lines.append([("The options are being worked out: robots are contained and evidence is kept first.", "muted")])
    lines += suspects(one, cells, most=6 if roomy else 3)
    if roomy:
        lines.append([""])
    lines += running(detail, now)
    lines += done(detail, now, cells, roomy=roomy)
    return lines


def options(one: IncidentView, cells: int, *, blocked: bool) -> list[Line]:
    """All six, always. The chosen one is marked; what is not feasible says why."""
    by_kind = {row.kind: row for row in one.options}
    rows = [_option(number, by_kind[kind], one) for number, kind in enumerate(OPTION_KINDS, 1) if kind in by_kind]
    head = ("", "option", "reaches", "95 %", "idle", "case", "needs", "note")
    lines = table(rows, cells, head=head, right=frozenset({2, 3}), gap=1)
    if one.phase == "waiting for a choice":
        lines.append(
            [
                (" \u25b8 ", "strong"),
                ("1 to 6", "key"),
                " chooses; it is frozen and goes to the gate, nothing is done yet",
            ]
        )
    if blocked:
        for row in one.options:
            if row.blocked and row.kind in (one.chosen or "rollback", "rollback"):
                lines.append(
                    [("   not reached: ", "muted"), "; ".join(f"{name} {why}" for name, why in row.blocked[:8])]
                )
                break
    return lines


def _option(number: int, row: OptionRow, one: IncidentView) -> tuple[Part | list[Part], ...]:
    chosen = one.chosen == row.kind
    mark: Part = (f"\u25b6{number}", "strong") if chosen else (f" {number}", "key" if row.feasible else "muted")
    tone = "" if row.feasible else "muted"
    reaches = f"{len(row.covered)}/{row.of}" if row.of else "-"
    short = len(row.covered) < row.of and row.feasible
    needs = "IC" if row.seats <= 1 else f"IC+{row.seats - 1}"
    case: Part = ("no", "caution") if row.case_valid == "no" and row.feasible else row.case_valid
    return (
        mark,
        (row.title, "strong" if chosen else tone) if (chosen or tone) else row.title,
        (reaches, "caution") if short else (reaches, tone) if tone else reaches,
        (_minutes(row.estimate_s), tone) if tone else _minutes(row.estimate_s),
        ("yes" if row.needs_idle else "no", tone) if tone else "yes" if row.needs_idle else "no",
        case,
        (needs, tone) if tone else needs,
        (row.note, "muted") if row.feasible else (f"\u2717 {row.note}", "muted"),
    )


def _minutes(seconds: float | None) -> str:
    if not seconds:
        return "-"
    return f"{max(1, round(seconds / 60))} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def suspects(one: IncidentView, cells: int, *, most: int) -> list[Line]:
    """Ranked by how far their lower bound lies from 1; what came along with the first is said beside it."""
    if not one.suspects:
        return [[("suspects: none can be named yet", "muted")]]
    lines: list[Line] = []
    for number, row in enumerate(one.suspects[:most]):
        tone = "alarm" if row.blamed else "" if (row.low or 0) > 1 else "muted"
        said: Part = ("! " if row.blamed else "  ") + _suspect(row)
        line: Line = [("suspects: " if not number else "          ", "muted"), (str(said), tone) if tone else said]
        lines.append(list(fit(line, cells)))
    if one.also_changed:
        lines.append([("            also changed with it: ", "muted"), ", ".join(one.also_changed[:4])])
    return lines


def _suspect(row: Suspect) -> str:
    return row.text or row.change


def running(detail: IncidentDetail, now: float) -> list[Line]:
    """What runs against time: clocks, the standing rule, the next word to everybody."""
    one = detail.incident
    lines: list[Line] = []
    clocks: Line = [("clocks: ", "muted")]
    if not one.clocks:
        clocks.append(("none started", "muted"))
    for number, running_clock in enumerate(one.clocks):
        clocks += [" | " if number else "", *_clock(running_clock, now)]
    rule = detail.rule
    if rule is not None and rule.state == "active":
        clocks += [("   rule: ", "muted"), (f"{rule.act} on reconnect ({len(rule.waiting)})", "caution")]
    elif rule is not None:
        clocks += [("   rule: ", "muted"), rule.state]
    lines.append(clocks)
    if one.state not in (*OVER, "resolved", "reviewed") and one.update_due:
        late = now > one.update_due
        due: Part = (
            (f"! update overdue {coarse(now - one.update_due)}", "caution")
            if late
            else f"next update due {clock(one.update_due, now)}"
        )
        lines.append([("", ""), due])
    return lines


def _clock(clock: Clock, now: float) -> list[Part]:
    name = clock.title or clock.regime
    if clock.filed_at:
        return [f"{name} ", ("filed", "good"), f" by {clock.filed_by}"]
    left = clock.due - now
    if left <= 0 or clock.overdue:
        return [(f"\u2717 {name} overdue {coarse(-left)}", "alarm")]
    return [(f"{name} {coarse(left)} left", "caution" if left < clock.hours * 3600 / 4 else "strong")]


def done(detail: IncidentDetail, now: float, cells: int, *, roomy: bool) -> list[Line]:
    """What was executed, how it was verified, what is owed."""
    one = detail.incident
    lines: list[Line] = []
    for wave in one.waves[-3 if roomy else -1 :]:
        tone = {"failed": "alarm", "done": "good", "running": "info"}.get(wave.state, "caution")
        head: Line = [
            (f"{SHORT.get(wave.option, wave.option)} {wave.version} ".replace("  ", " "), "strong"),
            (wave.state or "?", tone),
        ]
        left = f", {len(wave.left)} left" if wave.left else ""
        lines.append([*head, f"  {wave.done}/{wave.robots} robots{left}"])
        if roomy:
            lines += [[("   left: ", "muted"), f"{name}: {why}"] for name, why in wave.left[:6]]
    if one.recovery:
        lines.append([("recovery: ", "muted"), f"mended {one.recovery}"])
    if one.state == "monitoring":
        lines.append([("watched: ", "muted"), f"{one.monitored_h:.0f} of {one.monitor_h:.0f} robot-h"])
    if detail.follow_ups:
        owed = [ref for ref in detail.follow_ups if ref.state == "open"]
        said: Part = (f"{len(owed)} of {len(detail.follow_ups)} open", "caution") if owed else ("all filed", "good")
        names = ", ".join(f"{ref.id} {ref.what}" for ref in (owed or detail.follow_ups)[: 6 if roomy else 3])
        lines.append([("follow-ups: ", "muted"), said, f"  {names}"])
    if one.break_glass_by:
        lines.append(
            [(f"! glass broken by {one.break_glass_by}", "caution"), f", review: {one.break_glass_review or 'open'}"]
        )
    if detail.gate:
        lines.append([("\u2691 ", "strong"), (detail.gate_question, "strong"), ("  A or R", "key")])
    return lines


def timeline(detail: IncidentDetail, cells: int) -> list[Line]:
    """Who did what when, newest first: blameless, for whoever takes over and for the review."""
    rows = [
        ((clock(line.at, detail.incident.updated_at), "muted"), (line.who, "strong"), line.what)
        for line in reversed(detail.incident.timeline)
    ]
    return table(rows, cells, gap=2) if rows else [[("Nothing has happened yet.", "muted")]]


def robots(detail: IncidentDetail, cells: int) -> list[Line]:
    """Each robot concerned: before, now, held, why it is left."""
    one = detail.incident
    left = {name: why for wave in one.waves[-1:] for name, why in wave.left}
    held = {hold.robot: hold for hold in detail.holds if hold.state == "active"}
    unsure = dict(one.unsure)
    names = sorted({*one.before, *one.affected, *unsure, *one.involved, *held})
    rows = []
    for name in names:
        now_on = one.after.get(name, "")
        mended = bool(now_on) and now_on != one.version
        state: Part = (
            ("on hold", "strong")
            if name in held
            else ("mended", "good")
            if mended
            else ("can't be asked", "caution")
            if name in unsure
            else "affected"
        )
        why = left.get(name) or unsure.get(name) or _held(held.get(name))
        rows.append(
            (
                name,
                state,
                one.before.get(name, one.version),
                now_on or "-",
                "involved" if name in one.involved else "",
                (why, "muted"),
            )
        )
    head = ("robot", "state", "before", "now", "part", "why")
    return table(rows, cells, head=head) if rows else [[("No robot is known to be affected yet.", "muted")]]


def evidence(detail: IncidentDetail, cells: int) -> list[Line]:
    """What is kept, under which digest, and what stands on hold for it."""
    one = detail.incident
    rows: list[Sequence[Part]] = [(name, digest, "") for name, digest in one.bundles]
    nothing: list[Line] = [[("No bundle is kept yet.", "muted")]]
    lines: list[Line] = table(rows, cells, head=("robot", "bundle", "")) if rows else nothing
    if detail.holds:
        lines += [
            [""],
            *table(
                [(h.id, h.robot, h.state, h.purpose, (h.reason, "muted")) for h in detail.holds],
                cells,
                head=("hold", "robot", "state", "for", "why"),
            ),
        ]
    if detail.follow_ups:
        lines += [
            [""],
            *table(
                [(f.id, f.what, f.state, f.owner, f.robot, (f.ref or f.note, "muted")) for f in detail.follow_ups],
                cells,
                head=("owed", "what", "state", "owner", "robot", "where"),
            ),
        ]
    return lines


def _held(hold: HoldView | None) -> str:
    return f"{hold.id}: {hold.reason}" if hold is not None else ""
