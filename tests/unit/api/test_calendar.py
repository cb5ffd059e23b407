"""What lies ahead: windows as stretches, endings and waits by their time."""

from __future__ import annotations

import calendar as dates
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from engine.api.calendar import DAY, LONGEST_D, view
from engine.api.problems import Denied
from engine.capabilities.reads import Look
from engine.capabilities.windows import Dated, Weekly, Window
from engine.contract.calendar import CalendarView

NOW = float(dates.timegm((2026, 11, 2, 8, 0, 0)))  # a Monday


class Looking:
    """A look over rows given by hand."""

    person = "cy"

    def __init__(self, timers: Sequence[tuple[Any, ...]] = (), gates: Sequence[tuple[Any, ...]] = ()) -> None:
        self.timers, self.gates = timers, gates

    def now(self) -> float:
        return NOW

    def policy(self, pack: str) -> dict[str, Any]:
        return {}

    def find(self, kind: str, **_: Any) -> list[Any]:
        return []

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        if "from timers" in sql:
            return [row for row in self.timers if row[4] <= parameters[-2]]
        return [row for row in self.gates if row[2] <= parameters[0]]


def asked(windows: Sequence[Window] = (), look: Any = None, **query: str) -> CalendarView:
    named: Mapping[str, Window] = {window.name: window for window in windows}
    return view(named, cast("Look", look or Looking()), query)


def test_a_window_is_told_by_the_stretches_in_which_it_is_closed() -> None:
    nights = Window(name="nights", deny=(Weekly(days=frozenset(range(7)), start=22 * 60, end=4 * 60),), reason="night")
    (one,) = asked([nights], days="2").windows
    assert (one.open, one.until) == (True, NOW + 14 * 3600)
    assert one.closed == ((NOW + 14 * 3600, NOW + 20 * 3600), (NOW + 38 * 3600, NOW + 44 * 3600))


def test_a_stretch_is_cut_to_what_was_asked_for() -> None:
    freeze = Window(name="freeze", deny=(Dated(start=NOW - DAY, end=NOW + 30 * DAY),))
    (one,) = asked([freeze], days="7").windows
    assert not one.open and one.closed == ((NOW, NOW + 7 * DAY),) and one.until == NOW + 30 * DAY
    (later,) = asked([freeze], days="7", **{"from": str(NOW + 28 * DAY)}).windows
    assert later.closed == ((NOW + 28 * DAY, NOW + 30 * DAY),) and not later.open, "open or closed is said of now"


def test_deadlines_come_by_their_time_and_a_held_run_stands_at_its_window() -> None:
    look = Looking(
        timers=[
            ("run-2", "", "go", "window", NOW + 7200, "Rollout", "w", "go: window nights", 1),
            ("run-3", "stages#0", "settle", "wait", NOW + 60, "", "w", "", 0),
            ("run-4", "", "x", "wait", NOW + 90 * DAY, "", "w", "", 0),
        ],
        gates=[("run-1.2", "Install?", NOW - 5, "")],
    )
    found = asked([Window(name="nights")], look)
    assert [one.id for one in found.deadlines] == ["run-1.2", "run-3", "run-2"]
    assert [one.kind for one in found.deadlines] == ["gate", "run", "rollout"]
    assert found.windows[0].holds == ("run-2",)
    assert "stages#0.settle" in found.deadlines[1].text


@pytest.mark.parametrize(
    "query", [{"days": "0"}, {"days": str(LONGEST_D + 1)}, {"days": "x"}, {"from": "-1"}, {"from": "nan"}]
)
def test_a_time_that_is_none_is_refused_by_its_name(query: dict[str, str]) -> None:
    with pytest.raises(Denied) as found:
        view({}, cast("Look", Looking()), query)
    assert found.value.problem.field in query
