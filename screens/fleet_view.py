"""Robots and cohorts as rows and lines. Pure: structs, the engine's time and a width in; cells and lines out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from engine.contract.fleet import CohortView, RobotRow
from engine.contract.robots import RobotRecord
from screens import figures, layout, plots
from screens.layout import Line
from screens.model import age, coarse
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

MODE_TONES = {
    "OFFLINE": "muted",
    "CONNECTION_BROKEN": "caution",
    "INTERVENED": "caution",
    "MANUAL": "",
    "SERVICE": "",
}
PEOPLE_MODES = ("MANUAL", "TEACH_IN", "SERVICE", "INTERVENED")
"""Modes in which a person is at the robot (VDA 5050): it takes no update by itself."""


def silent_s(robot: RobotRow, now: float) -> float:
    """How long it had not been heard when it was last looked at; how old that look is stands elsewhere."""
    return max(0.0, (robot.as_of or now) - robot.last_seen_at)


def stale(robot: RobotRow, now: float) -> bool:
    """Not heard for more than two of its own poll intervals."""
    return bool(robot.last_seen_at) and silent_s(robot, now) > 2 * max(robot.poll_s, 1.0)


def seen(robot: RobotRow, now: float) -> Part:
    if not robot.last_seen_at:
        return ("never seen", "caution")
    old = silent_s(robot, now)
    if not robot.online:
        return (f"\u25cb {coarse(old)}", "muted")
    return (f"STALE {coarse(old)}", "caution") if stale(robot, now) else (coarse(old), "muted")


def flags(robot: RobotRow, record: RobotRecord | None = None) -> Line:
    """What is odd about a robot, in words; with `record`, what keeps it from work."""
    out: Line = []
    if record is not None and not record.dispatchable:
        out.append((f"\u2717 {', '.join(record.holds[:2]) or 'out'} ", "caution"))
    if robot.drift:
        out.append(("\u2260 drift ", "caution"))
    if robot.hold:
        out.append((f"\u2016 held {robot.hold} ", "caution"))
    if robot.lookalike:
        out.append((f"\u2248 {_apart(robot.id, robot.lookalike)} ", "caution"))
    return out


def cells(robot: RobotRow, now: float, record: RobotRecord | None = None) -> Cells:
    """One row: name and serial (two identifiers), mode, versions, what is odd, when it was heard."""
    tone = MODE_TONES.get(robot.mode, "")
    return (
        robot.id,
        (_tail(robot.serial), "muted"),
        (robot.mode, tone) if tone else robot.mode,
        versions(robot),
        flags(robot, record),
        robot.site,
        robot.variant,
        robot.customer,
        "" if robot.battery is None else f"{100 * robot.battery:.0f}%",
        f"{robot.rollout} {robot.state}".strip(),
        seen(robot, now),
    )


def versions(robot: RobotRow) -> Part | list[Part]:
    """What it says it runs, and what it should run when that is something else."""
    reported = robot.reported or "\u2014"
    if robot.desired == robot.reported or not robot.desired:
        return reported
    return [(reported, "caution") if robot.drift else reported, " \u2192 ", (robot.desired, "strong")]


def summary(robots: Sequence[RobotRow], now: float, total: int) -> list[Part]:
    """The verdict line: how many, on what, and what is odd."""
    if not robots:
        return ["No robot is known."]
    offline = sum(not robot.online for robot in robots)
    drifting = sum(robot.drift for robot in robots)
    old = sum(stale(robot, now) and robot.online for robot in robots)
    versions = Counter(robot.reported for robot in robots).most_common(3)
    line: list[Part] = [(f"{total} robots", "strong"), ": "]
    line.append(", ".join(f"{count} on {version or 'unknown'}" for version, count in versions))
    for count, word, tone in ((drifting, "drift", "caution"), (old, "STALE", "caution"), (offline, "offline", "muted")):
        if count:
            line += [", ", (f"{count} {word}", tone)]
    return [*line, "."]


def detail(
    robot: RobotRow, now: float, cells_wide: int, expected_s: float = 300.0, record: RobotRecord | None = None
) -> list[Line]:
    """Everything known about one robot, with the age of it."""
    reported: Part = robot.reported or "\u2014"
    if robot.drift:
        reported = (f"{robot.reported}  \u2260 desired past its deadline (drift)", "caution")
    elif robot.desired != robot.reported:
        reported = (f"{robot.reported}  (an update to {robot.desired} is wanted)", "strong")
    people = "  a person is at it: it takes no update by itself" if robot.mode in PEOPLE_MODES else ""
    rows: list[tuple[str, layout.Cell]] = [
        ("serial", robot.serial),
        ("site", f"{robot.site}, {robot.region}"),
        ("customer", robot.customer),
        ("variant", robot.variant),
        ("mode", [robot.mode, (people, "caution")]),
        ("reports", reported),
        ("desired", robot.desired or "\u2014"),
        (
            "battery",
            "unknown"
            if robot.battery is None
            else [f"{100 * robot.battery:.0f}% of charge ", (plots.bar(robot.battery, 1, 10), "muted")],
        ),
        (
            "last heard",
            [seen(robot, now), (f"  it is expected every {age(robot.poll_s)}", "muted") if robot.poll_s else ""],
        ),
    ]
    if record is not None:
        rows += _life(record)
    if robot.rollout:
        rows.append(("rollout", f"{robot.rollout}, {robot.state or 'not started'}"))
    if robot.hold:
        rows.append(("held", (f"{robot.hold}: left out of bulk acts until its logs are taken", "caution")))
    if robot.lookalike:
        rows.append(("looks like", (f"{robot.lookalike} (compare the serial before you act)", "caution")))
    rows.append(("record", figures.aged(robot.as_of, now, expected_s)))
    return [[("ROBOT ", "muted"), (robot.id, "strong")], [""], *layout.pairs(rows, cells_wide)]


def _life(record: RobotRecord) -> list[tuple[str, layout.Cell]]:
    """In service or out, by what, and which serial numbers it has had."""
    holds = ", ".join(record.holds)
    told: Line = [figures.state(record.state)]
    if not record.dispatchable:
        told.append((f"  gets no tasks{f': {holds}' if holds else ''}", "caution"))
    rows: list[tuple[str, layout.Cell]] = [("service", told)]
    if record.serial_history:
        rows.append(("was", ", ".join(one.serial or "no serial" for one in record.serial_history)))
    if record.lease:
        rows.append(("control", (f"under lease {record.lease}", "caution")))
    return rows


def cohort_name(cohort: CohortView) -> str:
    """Its name, or the beginning of its digest when it has no other."""
    return figures.short(cohort.id) if ":" in cohort.id and len(cohort.id) > 40 else cohort.id


def cohort_cells(cohort: CohortView, now: float) -> Cells:
    strata = ", ".join(f"{name} {count}" for name, count in list(cohort.strata.items())[:6])
    return (
        cohort_name(cohort),
        str(cohort.robots),
        (figures.short(cohort.digest), "muted"),
        figures.clock(cohort.frozen_at, now),
        cohort.used_by or ("\u2014", "muted"),
        cohort.selector,
        (strata, "muted"),
    )


def cohort_detail(cohort: CohortView, now: float, cells_wide: int) -> list[Line]:
    """A frozen list: what chose it, when, its digest, and who is in it."""
    rows: list[tuple[str, layout.Cell]] = [
        ("chosen by", cohort.selector),
        ("frozen", [figures.clock(cohort.frozen_at, now), ("  robots that join later are not in it", "muted")]),
        ("digest", figures.short(cohort.digest, 24)),
        ("used by", cohort.used_by or "nothing"),
    ]
    lines: list[Line] = [
        [("COHORT ", "muted"), (cohort_name(cohort), "strong"), f"  {figures.plural(cohort.robots, 'robot')}"],
        [""],
        *layout.pairs(rows, cells_wide),
    ]
    if cohort.strata:
        strata: list[list[layout.Cell]] = [
            [name, str(count), (plots.bar(count, max(cohort.strata.values()), 20), "muted")]
            for name, count in cohort.strata.items()
        ]
        lines += [[""], layout.heading("Strata"), *layout.table(strata, cells_wide, right=frozenset({1}), indent=2)]
    if cohort.members:
        more = f", \u2026 {cohort.robots - len(cohort.members)} more" if cohort.robots > len(cohort.members) else ""
        lines += [[""], layout.heading("Robots"), ["  ", ", ".join(cohort.members[:400]) + more]]
    return lines


def _apart(name: str, other: str) -> str:
    """Of a look-alike only what is not the same: `\u202671` for HAM2-AMR-71 beside HAM2-AMR-17."""
    same = 0
    while same < min(len(name), len(other)) and name[same] == other[same]:
        same += 1
    while same and other[same - 1].isalnum():
        same -= 1
    return f"\u2026{other[same:]}" if same > 3 else other


def _tail(serial: str) -> str:
    return f"\u2026{serial[-6:]}" if len(serial) > 8 else serial
