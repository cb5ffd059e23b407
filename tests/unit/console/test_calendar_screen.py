"""The calendar: its picture keeps to its cells, its list opens what a line is about, its keys move what is asked for."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from engine.contract.calendar import CalendarView, WindowView
from engine.contract.oncall import ShiftLine
from screens.pictures import ahead
from screens.pictures.gantt import Window
from screens.widgets.parts import plain, width
from tests.fakes import FakeClient
from tests.unit.console.conftest import Open, screen_text, settled

DAY = 86_400.0
NOW = 1_793_606_400.0  # Mon 02 Nov 2026 08:00Z


def calendar(now: float = NOW, **more: Any) -> CalendarView:
    return CalendarView(
        start=now,
        end=now + 7 * DAY,
        as_of=now,
        windows=(
            WindowView(name="freeze", open=False, until=now + DAY, reason="peak trade", closed=((now, now + DAY),), holds=("run-2",)),
            WindowView(name="always", zone="Europe/Berlin"),
        ),
        deadlines=(
            ShiftLine(kind="case", id="M-1", text="P1 respond: belt", at=now - 600, who="tom", level="warning"),
            ShiftLine(kind="gate", id="run-1.3", text="decision: install?", at=now + 2 * DAY, level="warning"),
            *[ShiftLine(kind="run", id=f"run-{n}", text="waits", at=now + 3 * DAY) for n in range(12)],
            ShiftLine(kind="grant", id="G-4", text="access ends", at=now + 4 * DAY, who="vera", level="notice"),
        ),
        **more,
    )  # fmt: skip


@pytest.mark.parametrize("cells", [40, 80, 200])
def test_the_picture_keeps_to_its_cells(cells: int) -> None:
    page = ahead.lines(calendar(), cells)
    assert all(width(line) <= cells for line in ahead.picture(calendar(), Window(NOW, NOW + 7 * DAY), cells))
    text = "\n".join(plain(line) for line in page)
    assert "overdue" in text and "M-1" in text and "peak trade" in text


def test_a_closed_stretch_is_shaded_and_deadlines_are_counted() -> None:
    lines = [plain(line) for line in ahead.picture(calendar(), Window(NOW, NOW + 7 * DAY), 89)]
    bar = next(line for line in lines if line.startswith("freeze"))[19:]
    assert bar.startswith(ahead.CLOSED * 10) and bar.count(ahead.CLOSED) == 10 and bar.endswith(ahead.OPEN)
    assert next(line for line in lines if line.startswith("runs wait")).rstrip().endswith("+"), "more than nine"
    assert next(line for line in lines if line.startswith("case clocks"))[19] == "1", "overdue ones stand at now"


def test_nothing_ahead_is_said() -> None:
    text = "\n".join(plain(line) for line in ahead.lines(CalendarView(start=NOW, end=NOW + DAY, as_of=NOW), 80))
    assert "no window" in text and "Nothing ends" in text


class Asked(FakeClient):
    """Notes with what the calendar was asked for."""

    asked: ClassVar[list[dict[str, object]]] = []

    async def read(self, path: str, shape: Any, **query: object) -> Any:
        if path == "/v1/calendar":
            self.answers_to[path] = calendar(self.now())
            self.asked.append(query)
        return await super().read(path, shape, **query)


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_by_keyboard(opened: Open, size: tuple[int, int]) -> None:
    client = Asked()
    client.asked.clear()
    async with opened(size=size, client=client) as (console, pilot):
        console.go("calendar")
        await settled(pilot)
        text = " ".join(screen_text(console).split())
        assert "1 thing overdue" in text and "M-1" in text and "Closed: freeze." in text
        await pilot.press("minus")
        await settled(pilot)
        await pilot.press("greater_than_sign")
        await settled(pilot)
        assert [query["days"] for query in client.asked][-2:] == [14, 14]
        assert "from" in client.asked[-1]
        await pilot.press("t", "j")
        await settled(pilot)
        assert "from" not in client.asked[-1]
        screen = console.screen
        assert screen.target().id == "run-1.3"  # type: ignore[attr-defined]
        await pilot.press("enter")
        await settled(pilot)
        assert console.screen is not screen and console.screen.NAME == "gate"  # type: ignore[attr-defined]
