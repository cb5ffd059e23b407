"""A maintenance case as lines of text: clocks, what is known, runbook, what it needs to be verified. Pure.

The build is compared before anything else is said: a bad release looks like a broken robot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.contract.cases import CASE_OVER, UNWATCHED, CaseDetail, CaseView, Clock, QueueLine
from engine.contract.records import RecordEvent
from screens import figures, layout, ticket_view
from screens.layout import Line
from screens.model import age, coarse
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

Json = Any
SOON_S = 1_800.0
HOUR = 3_600.0
GUESS = {
    "release": ("points to the release, not the robot", "alarm"),
    "hardware": ("points to this robot", "strong"),
    "site": ("points to the site", "caution"),
    "unknown": ("does not say yet", "muted"),
}


def rank(case: CaseView) -> Part:
    """P1 and P2 stand out; a case that is not weighed yet has none."""
    if not case.priority:
        return ("\u2014", "muted")
    tone = {1: "alarm", 2: "caution"}.get(case.priority)
    return (f"P{case.priority}", tone) if tone else f"P{case.priority}"


def clock(one: Clock | None, case: CaseView, *, fine: bool = False) -> Part:
    """The clock that matters, in words: `restore in 1h`, `ack late 4m`; `fine` counts the seconds of the last hour."""
    if case.state in CASE_OVER:
        return (case.state, "muted")
    if one is None:
        return ("no clock", "muted") if case.priority else ("being sorted", "muted")
    if one.state == "stopped":
        left = f", {coarse(max(0.0, one.left_s))} left" if fine else ""
        return (f"{one.name} stopped{left}", "muted")
    if one.left_s <= 0:
        return (f"{one.name} late {coarse(-one.left_s)}", "alarm")
    text = f"{one.name} in {age(one.left_s) if fine and one.left_s < HOUR else coarse(one.left_s)}"
    return (text, "caution") if one.left_s < SOON_S else text


def ticked(one: Clock | None, now: float, as_of: float) -> Clock | None:
    """A clock as it stands by now, when it was read a while ago."""
    if one is None or one.state not in ("running", "breached"):
        return one
    return Clock(
        name=one.name,
        limit_s=one.limit_s,
        used_s=one.used_s + max(0.0, now - as_of),
        due=one.due,
        met_at=one.met_at,
        state=one.state,
    )


def who(case: CaseView) -> Part:
    if case.state == "on_hold" and case.holds:
        return (f"hold: {case.holds[-1].reason}", "caution")
    if case.state in ("resolved", "verifying", "reopened"):
        return figures.state(case.state)
    return case.assignee or ("unclaimed", "muted" if case.priority > 2 else "caution")


def unwatched(case: CaseView) -> bool:
    """Its run ended before it."""
    return any(one.startswith(UNWATCHED) for one in case.warnings)


def cells(line: QueueLine, now: float, as_of: float) -> Cells:
    """One row of the queue."""
    case = line.case
    mark: Part = ("\u2691", "strong") if line.gate and case.state not in CASE_OVER else " "
    if line.disagree:
        mark = ("\u2260", "caution")
    if unwatched(case) and case.state not in CASE_OVER:
        mark = ("!", "alarm")
    symptom = f"{case.symptom}" + (f"  +{case.reports - 1}" if case.reports > 1 else "")
    return (mark, case.id, rank(case), case.robot, symptom, clock(ticked(line.clock, now, as_of), case), who(case))


def heading(detail: CaseDetail, cells: int) -> list[Line]:
    case = detail.case
    tail = f"sn \u2026{case.serial[-4:]}" if case.serial else "no serial known"
    first: Line = [
        (case.id, "strong"), " ", rank(case), " ", (case.robot, "strong"), f" {case.site} {case.variant} {tail}  ",
        figures.state(case.state),
    ]  # fmt: skip
    if case.safety_related:
        first.append(("  ! safety", "alarm"))
    second: Line = [case.symptom, (f"  {case.source}", "muted")]
    if case.reports > 1:
        second.append((f", reported {case.reports} times", "muted"))
    if case.reopened:
        second.append((f"  reopened {case.reopened}x", "caution"))
    return [first, second]


def clocks(detail: CaseDetail, now: float, as_of: float) -> Line:
    """All clocks on one line; what is met is said once."""
    line: Line = []
    for one in detail.clocks:
        if one.state in ("met", "late"):
            part: Part = (f"{one.name} {'met' if one.state == 'met' else 'met late'}", "muted")
        elif not one.limit_s:
            continue
        else:
            part = clock(ticked(one, now, as_of), detail.case, fine=True)
        line += [part, "   "]
    case = detail.case
    if case.state == "on_hold" and case.holds:
        span = case.holds[-1]
        line += [("hold: ", "muted"), (span.reason, "caution"), f" ({span.ref})", f" {age(now - span.since)}"]
    if case.level and case.level != "L1":
        line += [("   level ", "muted"), (case.level, "caution")]
    return line or [("no clock: best effort", "muted")]


def build(detail: CaseDetail) -> list[Line]:
    """Same build elsewhere, and what that points to."""
    found = detail.bundle.get("same_build")
    if not isinstance(found, Mapping) or "robots" not in found:
        return [[("same build elsewhere: ", "muted"), ("not known", "caution"), " (the fleet could not be read)"]]
    faulty = [str(one) for one in found.get("with_fault", ())]
    words, tone = GUESS.get(detail.case.hypothesis or "unknown", GUESS["unknown"])
    return [
        [
            ("same build elsewhere: ", "muted"), f"{found['robots']} robots, ",
            (f"{len(faulty)} with this fault", "alarm") if faulty else "0 with this fault",
            "  \u2192 ", (words, tone),
        ]
    ]  # fmt: skip


def known(detail: CaseDetail, now: float) -> list[Line]:
    """Software, similar cases, what changed."""
    lines: list[Line] = []
    bundle = detail.bundle
    software = bundle.get("software")
    robot = bundle.get("robot")
    line: Line = []
    if isinstance(software, Mapping) and software.get("reported"):
        line += [
            ("runs ", "muted"),
            str(software["reported"]),
            _desired(software),
        ]
    if isinstance(robot, Mapping) and robot.get("mode"):
        line += [("  mode ", "muted"), str(robot["mode"])]
        if isinstance(robot.get("soc"), int | float):
            line += [("  soc ", "muted"), f"{robot['soc']:.2f}".lstrip("0")]
    if detail.robot_state:
        line += [("  robot ", "muted"), figures.state(detail.robot_state)]
        others = [one for one in detail.robot_holds if one != detail.case.id]
        if others:
            line += [(f" ({', '.join(others[:3])})", "muted")]
    if line:
        lines.append(line)
    similar = bundle.get("similar")
    if isinstance(similar, Mapping) and similar.get("n"):
        fixed = "; ".join(f"{count} by {what.replace('_', ' ')}" for what, count in similar.get("fixed_by", ()))
        median = f" (median {similar['median_h']:g} h)" if similar.get("median_h") is not None else ""
        lines.append(
            [("similar: ", "muted"), f"{similar['n']} in {similar.get('window_d', 90):g} d, fixed {fixed}{median}"]
        )
    elif bundle:
        lines.append([("similar: ", "muted"), "none in 90 d"])
    if detail.changed:
        told = ", ".join(f"{one.what} ({coarse(now - one.at)})" for one in detail.changed[:3])
        lines.append([("changed in 14 d: ", "muted"), told])
    if detail.case.site_closed_until > now:
        opens = figures.clock(detail.case.site_closed_until, now)
        lines.append([(f"{detail.case.site} is closed until {opens}: nobody gets in before", "caution")])
    if detail.problem is not None:
        lines.append(
            [
                ("problem: ", "muted"),
                (detail.problem.id, "strong"),
                f" {detail.problem.title}, {detail.problem.state.replace('_', ' ')}: {detail.problem.rule}",
            ]
        )
    for warning in detail.case.warnings[:3]:
        lines.append([("! ", "caution"), (warning, "caution")])
    if detail.case.partial:
        lines.append([("bundle is partial: ", "caution"), ", ".join(detail.case.partial), " could not be read"])
    return lines


def _desired(software: Mapping[str, Json]) -> Part:
    """Whether it runs what it should; nothing when nobody says what it should run."""
    if not software.get("desired"):
        return ""
    same = software["desired"] == software.get("reported")
    return " = desired" if same else (f" \u2260 desired {software['desired']}", "caution")


def runbook(detail: CaseDetail, *, whole: bool) -> list[Line]:
    if not detail.runbook:
        return []
    done = sum(step.done for step in detail.runbook)
    coming = next((step for step in detail.runbook if not step.done), None)
    marks = "".join("[x]" if step.done else "[ ]" for step in detail.runbook)
    line: Line = [("runbook ", "muted"), f"{detail.case.runbook} {done}/{len(detail.runbook)} {marks}"]
    if coming is not None:
        line += [f" {coming.number}. {coming.text}"]
    if not whole:
        return [line]
    lines: list[Line] = [[("runbook ", "muted"), (f"{detail.case.runbook} {detail.runbook_title}", "strong")]]
    for step in detail.runbook:
        lines.append([
            "  [x] " if step.done else "  [ ] ", f"{step.number}. {step.text}",
            f"  {step.value}" if step.value else "", (f"  {step.by}", "muted") if step.by else "",
        ])  # fmt: skip
    return lines


def needs(detail: CaseDetail, now: float) -> list[Line]:
    """What stands between this case and a robot that works."""
    case = detail.case
    second = " + second person" if detail.four_eyes else ""
    if case.state == "closed":
        return [
            [
                ("\u2713 ", "good"),
                f"returned by {case.verifier} {figures.clock(case.closed_at, now)}, down {coarse(case.downtime_h * 3600)}",
            ]
        ]
    if case.state == "duplicate":
        return [[("duplicate of ", "muted"), (case.merged_into, "strong")]]
    if case.state == "cancelled":
        return [[("cancelled: ", "muted"), case.resolution]]
    if case.state in ("resolved", "verifying"):
        seen = case.exposure
        lines: list[Line] = []
        if seen is not None and seen.known:
            upper = f", gives \u2264{seen.upper * 100:.0f}/100 h at 95 %" if seen.upper is not None else ""
            lines.append(
                [
                    ("verified so far: ", "muted"),
                    f"{seen.hours:.1f} of {seen.need_hours:g} robot-h, {seen.tasks:.0f} of {seen.need_tasks:g} tasks, ",
                    (f"{seen.events} times the fault", "alarm") if seen.events else "clean",
                    upper,
                ]
            )
        elif seen is not None:
            lines.append([("verified so far: ", "muted"), ("nothing yet, or its counters can't be read", "caution")])
        ticks = sum(case.checklist.values())
        lines.append(
            [
                ("checklist: ", "muted"),
                f"{ticks} of {len(detail.checklist)}",
                (f" by {case.checked_by}" if case.checked_by else "  v fills it in", "muted"),
            ]
        )
        if detail.gate:
            lines.append([("\u2691 ", "strong"), "the return to service is asked: ", ("A opens it", "strong")])
        return lines
    bound = f"{300 / detail.need_hours:.0f}" if detail.need_hours else "?"
    lines = [
        [
            ("to verify: ", "muted"),
            f"{detail.need_hours:g} robot-h or {detail.need_tasks:g} tasks clean (\u2264{bound}/100 h at 95 %){second}",
        ]
    ]
    if detail.gate:
        lines.append([("\u2691 ", "strong"), "a question about it is open: ", ("A opens it", "strong")])
    if detail.missing and case.state in ("in_progress", "assigned", "on_hold", "reopened"):
        lines.append([("to resolve, code: ", "muted"), ", ".join(detail.missing), ("  f", "key")])
    return lines


def coding(detail: CaseDetail) -> list[Line]:
    case = detail.case
    given = [
        f"{name} {value.replace('_', ' ')}"
        for name in ("mode", "mechanism", "cause", "detection", "item")
        if (value := getattr(case, name))
    ]
    lines: list[Line] = [[("coded: ", "muted"), ", ".join(given)]] if given else []
    if case.resolution:
        lines.append([("resolution: ", "muted"), case.resolution])
    if case.parts:
        lines.append(
            [
                ("parts: ", "muted"),
                "; ".join(f"{one.name} {one.out_serial or '?'} \u2192 {one.in_serial or '?'}" for one in case.parts),
            ]
        )
    if case.software_before and case.software_after and case.software_before != case.software_after:
        lines.append(
            [
                ("software ", "muted"),
                f"{case.software_before} \u2192 {case.software_after}",
                ("  it changed while the robot was out", "caution"),
            ]
        )
    return lines


def facts(detail: CaseDetail, now: float, as_of: float, cells: int, *, whole: bool = True) -> list[Line]:
    """The case on one page; not `whole`: the summary beside a list."""
    lines: list[Line] = [*heading(detail, cells), clocks(detail, now, as_of), *build(detail), *known(detail, now)]
    lines += ticket_view.line(detail, now)
    lines += runbook(detail, whole=False)
    lines += coding(detail) if whole else []
    lines += needs(detail, now)
    if not whole:
        return lines
    lines += [[""], *runbook(detail, whole=True)]
    if detail.checklist:
        lines += [[""], [("Checklist before it returns", "strong")]]
        lines += [["  [x] " if detail.case.checklist.get(item) else "  [ ] ", item] for item in detail.checklist]
    if detail.case.grounds:
        lines += [[""], [("Why this hypothesis", "strong")], *_points(detail.case.grounds)]
    if detail.case.escalations:
        lines += [[""], [("Told", "strong")]]
        for one in reversed(detail.case.escalations[-8:]):
            what = one.reason or f"{one.share:.0%} of {one.clock}"
            lines.append(
                [f"  {figures.clock(one.at, now)} ", (one.level, "strong"), f" {one.to.removeprefix('role:')}: {what}"]
            )
    if detail.case.holds:
        lines += [[""], [("Holds", "strong")]]
        for span in detail.case.holds:
            lasted = age((span.ended or now) - span.since)
            lines.append(
                [f"  {figures.clock(span.since, now)} {span.reason} {lasted} ", span.ref, (f"  {span.by}", "muted")]
            )
    if detail.case.attachments:
        lines += [[""], [("Attached", "strong")]]
        lines += [
            [f"  {one.name} ", (f"{one.media} {figures.short(one.digest)} {one.by}", "muted")]
            for one in detail.case.attachments
        ]
    if detail.case.notes:
        lines += [[""], [("Notes", "strong")]]
        lines += [
            [f"  {figures.clock(note.at, now)} ", (f"{note.by}: ", "muted"), note.text]
            for note in detail.case.notes[-10:]
        ]
    return lines


def comparison(detail: CaseDetail, now: float, cells: int) -> list[Line]:
    """The same build on other robots, the same site on any build; as it was when the case was opened."""
    found = detail.bundle.get("same_build")
    lines: list[Line] = [[("Same build elsewhere", "strong")]]
    if not isinstance(found, Mapping) or "robots" not in found:
        return [*lines, [("not known: the fleet could not be read when the case was opened", "caution")]]
    faulty, at_site = list(found.get("with_fault", ())), list(found.get("site_with_fault", ()))
    rows: list[list[layout.Cell]] = [
        [
            f"runs {found.get('build')}",
            str(found["robots"]),
            (str(len(faulty)), "alarm") if faulty else "0",
            ", ".join(faulty[:8]),
        ],
        [
            f"at {detail.case.site or 'its site'}, any build",
            str(found.get("site_robots", "?")),
            (str(len(at_site)), "alarm") if at_site else "0",
            ", ".join(at_site[:8]),
        ],
    ]
    lines += layout.table(rows, cells, head=["others", "robots", "with this fault", "which"], right=frozenset({1, 2}))
    lines += [[""], *_points(detail.case.grounds)]
    at = detail.bundle.get("at")
    if isinstance(at, int | float):
        lines.append([(f"as of {figures.clock(float(at), now)}, when the case was opened", "muted")])
    similar = detail.bundle.get("similar")
    if isinstance(similar, Mapping) and similar.get("cases"):
        lines += [[""], [("Similar cases", "strong")]]
        rows = [
            [str(one["case"]), str(one["robot"]), str(one["cause"]), str(one["item"]), str(one["resolution"])]
            for one in similar["cases"]
        ]
        lines += layout.table(rows, cells, head=["case", "robot", "cause", "item", "resolution"])
    return lines


def bundle(detail: CaseDetail, cells: int) -> list[Line]:
    """The kept context as it stands in the vault."""
    case = detail.case
    lines: list[Line] = [[("Context bundle ", "strong"), (figures.short(case.bundle), "muted")]]
    if not detail.bundle:
        return [*lines, [("none was kept: the case was opened without it", "caution")]]
    for name, value in sorted(detail.bundle.items()):
        lines += [[""], [(name.replace("_", " "), "strong")]]
        lines += _flat(value, cells)
    return lines


def _points(texts: Sequence[str]) -> list[Line]:
    return [["  \u00b7 ", text] for text in texts]


def _flat(value: Json, cells: int, depth: int = 1) -> list[Line]:
    pad = "  " * depth
    if isinstance(value, Mapping):
        lines: list[Line] = []
        for name, inner in value.items():
            if isinstance(inner, Mapping | list) and inner:
                lines += [[pad, (str(name), "muted")], *_flat(inner, cells, depth + 1)]
            else:
                lines.append([pad, (f"{name} ", "muted"), _short(inner)])
        return lines or [[pad, ("nothing", "muted")]]
    if isinstance(value, list):
        return [line for one in value[:20] for line in _flat(one, cells, depth)] or [[pad, ("none", "muted")]]
    return [[pad, _short(value)]]


def _short(value: Json) -> str:
    return "none" if value in (None, "", [], {}) else f"{value:g}" if isinstance(value, float) else str(value)


def history(events: Sequence[RecordEvent], now: float) -> list[Line]:
    """Every change, newest first: when, who, from where to where, why."""
    if not events:
        return [[("Nothing has happened yet.", "muted")]]
    lines: list[Line] = []
    for event in sorted(events, key=lambda one: -one.seq):
        move = (
            f" {event.from_} \u2192 {event.to}"
            if event.from_ != event.to and event.from_
            else f" {event.to}"
            if not event.from_
            else ""
        )
        changed = ", ".join(sorted(event.set)[:5])
        lines.append([
            f"{figures.clock(event.at, now)} ", (f"{event.actor.kind} {event.actor.id}", "muted"), (move, "strong"),
            f"  {event.reason}" if event.reason else (f"  {changed}", "muted"),
        ])  # fmt: skip
    return lines
