"""A rollout as a map: sites down, stages across, a cell for each robot, so that one sees where the wave stands and where it hurts.

Where there are more robots than cells, a cell stands for several and shows the worst of them; how many is said.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from engine.contract.rollouts import RobotUpdate, RolloutDetail
from screens.pictures.lanes import joined
from screens.widgets.parts import Part, fit, width

SIGNS: Mapping[str, tuple[str, str, str]] = {
    "failed": ("\u2717", "alarm", "failed"),
    "rejected": ("\u2717", "alarm", "failed"),
    "timed_out": ("\u2717", "alarm", "failed"),
    "rolling_back": ("\u21ba", "alarm", "rolling back"),
    "unknown": ("?", "caution", "unknown"),
    "on_hold": ("\u2016", "caution", "on hold"),
    "notified": ("\u25b8", "strong", "at work"),
    "downloading": ("\u25b8", "strong", "at work"),
    "installing": ("\u25b8", "strong", "at work"),
    "rebooting": ("\u25b8", "strong", "at work"),
    "commit_pending": ("\u25b8", "strong", "at work"),
    "rolled_back": ("\u21ba", "", "back"),
    "healthy": ("\u25cf", "", "healthy"),
    "offline": ("\u25cb", "muted", "offline"),
    "deferred": ("\u25cb", "muted", "deferred"),
    "planned": ("\u00b7", "muted", "planned"),
}
"""What a robot's state looks like (sign, tone, word), the worst first."""
RANK = {state: place for place, state in enumerate(SIGNS)}
_LAST = len(SIGNS)
BAD = ("failed", "rejected", "timed_out", "unknown")


def lines(detail: RolloutDetail, cells: int, *, by: str = "site", chosen: int | None = None) -> list[list[Part]]:
    """The map, never wider than `cells`. `by`: site or variant; `chosen`: the stage whose name stands out."""
    if not detail.robots:
        return [[("No robot of this rollout is known yet: its targets are not frozen.", "muted")]]
    stages = _stages(detail)
    held: dict[str, dict[str, list[RobotUpdate]]] = defaultdict(lambda: defaultdict(list))
    for robot in detail.robots:
        held[getattr(robot, by) or "\u2014"][robot.stage].append(robot)
    for found in held.values():
        for robots in found.values():
            robots.sort(key=lambda robot: (RANK.get(robot.state, _LAST), robot.robot))
    names = sorted(held, key=lambda name: (-_bad(held[name]), name))
    first = min(14, max(width(by), *(width(name) for name in names)))
    lead = first + 2 + 5 + 1 + 8 + 2
    counts = [[len(held[name].get(stage, ())) for name in names] for stage in stages]
    named = [min(width(stage), 8) for stage in stages]
    each, wide = _scale(counts, named, cells - lead)
    shown = [stage for stage, size in zip(stages, wide, strict=True) if size]
    wide = [size for size in wide if size]
    now = next((one.name for one in detail.stages if one.index == chosen), detail.rollout.stage)
    head: list[Part] = [(f"{by:<{first}}  robots   failed  ", "muted")]
    for stage, size in zip(shown, wide, strict=True):
        tone = "strong" if stage == now else "muted"
        head += [*((text, tone) for text, _ in fit(stage, size)), (" ", "")]
    out: list[list[Part]] = [head]
    for name in names:
        total, bad = sum(map(len, held[name].values())), _bad(held[name])
        line: list[Part] = [*fit((name, "strong") if bad else name, first), "  ", f"{total:>6}  "]
        line.append((f"{bad:>6}", "alarm") if bad else (f"{0:>6}", "muted"))
        line.append("   ")
        for stage, size in zip(shown, wide, strict=True):
            line += [*_strip(held[name].get(stage, []), each, size), " "]
        out.append(line)
    return [*out, [""], *_legend(detail, each, cells)]


def _stages(detail: RolloutDetail) -> list[str]:
    """In order; a stage that only robots name (after a change of plan) comes last."""
    known = [stage.name for stage in detail.stages]
    return [*known, *sorted({robot.stage for robot in detail.robots} - set(known))]


def _bad(found: Mapping[str, Sequence[RobotUpdate]]) -> int:
    return sum(robot.state in BAD for robots in found.values() for robot in robots)


def _scale(counts: Sequence[Sequence[int]], named: Sequence[int], room: int) -> tuple[int, list[int]]:
    """Robots a cell, so that the widest site of each stage fits, and the cells of each stage: enough for its name too."""
    room = max(room, sum(named) + len(named))
    most = [max(column, default=0) for column in counts]
    each = 1
    while True:
        wide = [max(-(-one // each), name) if one else 0 for one, name in zip(most, named, strict=True)]
        if sum(wide) + len(wide) <= room or each > max(most, default=0):
            return each, wide
        each += 1


def _strip(robots: Sequence[RobotUpdate], each: int, cells: int) -> list[Part]:
    """Robots as cells, the worst first; `each` robots a cell."""
    line: list[tuple[str, str]] = []
    for first in range(0, len(robots), each):
        sign, tone, _ = SIGNS.get(robots[first].state, ("?", "caution", "unknown"))  # the worst: they are in that order
        line.append((sign, tone))
    return joined([*line, *[(" ", "")] * (cells - len(line))])


def _legend(detail: RolloutDetail, each: int, cells: int) -> list[list[Part]]:
    """What the signs mean, of those that are there, with how many; wrapped by what belongs together."""
    counted: Counter[tuple[str, str, str]] = Counter(
        SIGNS.get(robot.state, ("?", "caution", robot.state.replace("_", " "))) for robot in detail.robots
    )
    out: list[list[Part]] = [[]]
    order = sorted(counted, key=lambda sign: list(SIGNS.values()).index(sign) if sign in SIGNS.values() else _LAST)
    for glyph, tone, word in order:
        part: list[Part] = [(glyph, tone) if tone else glyph, (f" {word} {counted[glyph, tone, word]}   ", "muted")]
        if out[-1] and width(out[-1]) + width(part) > cells:
            out.append([])
        out[-1] += part
    if each > 1:
        said: Part = (f"a cell stands for {each} robots and shows the worst", "muted")
        out = [*out, [said]] if width(out[-1]) + width(said) > cells else [*out[:-1], [*out[-1], said]]
    return out
