"""What lies ahead as a picture: windows as bars over days, and under them when something ends or is due, by kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from engine.contract.calendar import CalendarView, WindowView
from engine.contract.oncall import ShiftLine
from screens import figures
from screens.model import coarse
from screens.pictures import gantt
from screens.pictures.gantt import Window
from screens.pictures.lanes import joined
from screens.widgets.parts import Part, fit, width

CLOSED, OPEN, EDGE = "\u2592", "\u2500", "\u2502"
KINDS = {
    "gate": "decisions",
    "incident": "incident clocks",
    "case": "case clocks",
    "rollout": "rollouts wait",
    "run": "runs wait",
    "grant": "access ends",
    "silence": "silences end",
    "duty": "shifts end",
    "snapshot": "recordings due",
    "collection": "recordings due",
}
"""What a kind of deadline is called; the order in which they stand."""
TONES = {"alarm": "alarm", "warning": "caution", "notice": "", "info": "muted"}
_RANK = ("info", "notice", "warning", "alarm")
NAME = 18


def picture(view: CalendarView, window: Window, cells: int) -> list[list[Part]]:
    """Axis, a row for each window, a row for each kind of deadline with how many there are. Never wider than `cells`."""
    name = min(NAME, max(8, cells // 4))
    room = max(10, cells - name - 1)
    lines: list[list[Part]] = [[(" " * (name + 1) + gantt.axis(window, room), "muted")]]
    for one in view.windows:
        lines.append(
            [*fit((one.name, "caution") if not one.open else one.name, name), " ", *_bar(one, view, window, room)]
        )
    if not view.windows:
        lines.append([("no window: changes may go through at any time", "muted")])
    for word, found in grouped(view.deadlines).items():
        lines.append([*fit((word, "muted"), name), " ", *_marks(found, view.as_of, window, room)])
    return lines


def grouped(deadlines: Sequence[ShiftLine]) -> dict[str, list[ShiftLine]]:
    """Deadlines by what they are called; only what there is."""
    found: dict[str, list[ShiftLine]] = defaultdict(list)
    for one in deadlines:
        found[KINDS.get(one.kind, one.kind.replace("_", " "))].append(one)
    order = list(dict.fromkeys(KINDS.values()))
    return {
        word: found[word] for word in sorted(found, key=lambda word: (order.index(word) if word in order else 99, word))
    }


def _bar(one: WindowView, view: CalendarView, window: Window, cells: int) -> list[Part]:
    """Open stretches as a line, closed ones as a shade; what was not asked for stays empty."""
    line: list[tuple[str, str]] = []
    size = window.seconds / cells
    for place in range(cells):
        first, last = window.first + place * size, window.first + (place + 1) * size
        if last <= view.start or first >= view.end:
            line.append((" ", ""))
        elif any(start < last and end > first for start, end in one.closed):
            line.append(
                (
                    CLOSED,
                    "caution" if any(s <= view.as_of < e and first <= view.as_of < last for s, e in one.closed) else "",
                )
            )
        else:
            line.append((OPEN, "muted"))
    _now(line, view.as_of, window)
    return joined(line)


def _now(line: list[tuple[str, str]], now: float, window: Window) -> None:
    place = window.cell(now, len(line))
    if 0 <= place < len(line) and line[place][0] in (" ", OPEN):
        line[place] = (gantt.NOW, "muted")


def _marks(found: Sequence[ShiftLine], now: float, window: Window, cells: int) -> list[Part]:
    """How many fall into each cell (`+` from ten on), as loud as the gravest; overdue ones stand at now."""
    held: dict[int, list[ShiftLine]] = defaultdict(list)
    for one in found:
        place = window.cell(max(one.at, now), cells)
        if 0 <= place < cells:
            held[place].append(one)
    line: list[tuple[str, str]] = [(" ", "")] * cells
    _now(line, now, window)
    for place, here in held.items():
        overdue = any(one.at < now for one in here)
        level = max((one.level for one in here), key=lambda level: _RANK.index(level) if level in _RANK else 0)
        sign = str(len(here)) if len(here) < 10 else "+"
        line[place] = (sign, "alarm" if overdue else TONES.get(level, ""))
    return joined(line)


def state(one: WindowView, now: float) -> list[Part]:
    """A window in words: open or closed, until when, why, whom it holds."""
    said: list[Part] = [(one.name, "strong"), " "]
    said.append("open" if one.open else ("closed", "caution"))
    if one.until is not None:
        said.append(f" until {figures.clock(one.until, now)} ({coarse(max(0.0, one.until - now))})")
    elif one.open:
        said.append((", nothing closes it", "muted"))
    if not one.open and one.reason:
        said.append(f": {one.reason}")
    if one.holds:
        said.append((f"  holds {', '.join(one.holds[:3])}{' …' if len(one.holds) > 3 else ''}", "caution"))
    said.append((f"  {one.zone}", "muted"))
    return said


def left(one: ShiftLine, now: float) -> Part:
    """`in 2h`, or that it is overdue."""
    if one.at < now:
        return (f"{coarse(now - one.at)} over", "alarm")
    return f"in {coarse(one.at - now)}"


def lines(view: CalendarView, cells: int, *, most: int = 200) -> list[list[Part]]:
    """The whole as text: the picture, then every deadline by day."""
    now = view.as_of
    out = picture(view, Window(view.start, view.end), cells)
    out += [[""], *([*state(one, now)] for one in view.windows)]
    day = ""
    for one in view.deadlines[:most]:
        today = "overdue" if one.at < now else figures.day(one.at)
        if today != day:
            day = today
            out += [[""], [(day, "alarm" if one.at < now else "strong")]]
        words: list[Part] = [one.text, (f"  {one.who}", "muted") if one.who else ""]
        line: list[Part] = [
            f"  {figures.clock(one.at, now):<14}",
            *fit(left(one, now), 9),
            *fit((one.id, "key"), 12),
            " ",
        ]
        out.append([*line, *fit(words, max(10, cells - width(line)))])
    if not view.deadlines:
        out += [[""], [("Nothing ends and nothing is due in this time.", "muted")]]
    if view.cut or len(view.deadlines) > most:
        out.append([("\u2026 and more", "muted")])
    return out
