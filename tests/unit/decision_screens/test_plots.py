"""Plots: values in, lines out, at the size asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screens import plots
from screens.widgets.parts import plain, width

VALUES = st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True, width=32)), max_size=60)


@given(values=VALUES, cells=st.integers(1, 60), ascii=st.booleans())
def test_a_sparkline_is_exactly_as_wide_as_asked(values: list[float | None], cells: int, ascii: bool) -> None:
    line = plots.sparkline(values, cells, ascii=ascii)
    assert len(line) == cells
    assert not ascii or line.isascii()


@given(
    first=VALUES,
    second=VALUES,
    cells=st.integers(12, 90),
    rows=st.integers(2, 12),
    log=st.booleans(),
    ascii=st.booleans(),
)
def test_a_plot_never_exceeds_its_box(  # noqa: PLR0917  hypothesis names them
    first: list[float | None], second: list[float | None], cells: int, rows: int, log: bool, ascii: bool
) -> None:
    curves = [
        plots.Curve("control", second, "muted", dots=False, low=second, high=first),
        plots.Curve("canary", first, "key"),
    ]
    lines = plots.plot(curves, cells=cells, rows=rows, limit=20, limit_name=" alarm 20", log=log, ascii=ascii)
    assert len(lines) == rows
    assert all(width(line) <= max(cells, len("      no data in this window")) for line in lines)
    assert not ascii or all(plain(line).isascii() for line in lines)


def test_a_hole_in_the_data_is_a_hole_in_the_plot() -> None:
    values: list[float | None] = [1.0] * 20 + [None] * 20
    lines = plots.plot([plots.Curve("canary", values)], cells=46, rows=4)
    drawn = [plain(line)[6:] for line in lines]
    assert all(not line[21:].strip() for line in drawn)
    assert any(line[:19].strip() for line in drawn)


def test_no_data_says_so() -> None:
    text = "\n".join(plain(line) for line in plots.plot([plots.Curve("canary", [None, None])], cells=50, rows=4))
    assert "no data in this window" in text


def test_canary_and_control_differ_without_colour() -> None:
    curves = [plots.Curve("control", [2.0] * 40, dots=False), plots.Curve("canary", [8.0] * 40)]
    text = "\n".join(plain(line) for line in plots.plot(curves, cells=46, rows=6))
    assert "─" in text and any(0x2800 < ord(character) <= 0x28FF for character in text)
    ascii = "\n".join(plain(line) for line in plots.plot(curves, cells=46, rows=6, ascii=True))
    assert "*" in ascii and "-" in ascii


def test_the_alarm_is_always_inside_the_scale() -> None:
    lines = plots.plot(
        [plots.Curve("E", [0.2, 0.5, 1.0])], cells=50, rows=6, limit=20, limit_name=" alarm 20", log=True
    )
    assert "alarm 20" in "\n".join(plain(line) for line in lines)


@pytest.mark.parametrize(("k", "n", "full"), [(0, 10, 0), (5, 10, 5), (10, 10, 10), (3, 0, 0), (20, 10, 10)])
def test_a_share_as_a_bar(k: float, n: float, full: int) -> None:
    assert plots.bar(k, n, 10).count("█") == full
    assert len(plots.bar(k, n, 10)) == 10


def test_values_keep_their_time() -> None:
    """Irregular points are held until the next one; silence for long leaves a hole."""
    times = [0.0, 10.0, 20.0, 30.0, 40.0, 140.0, 150.0, 160.0]
    even = plots.evenly(times, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 33)
    assert even[0] == 1.0 and even[-1] == 8.0 and even[2] == 2.0
    assert even[15:27] == [None] * 12
    assert plots.evenly([5.0], [1.0], 10) == [1.0]
    assert plots.evenly([], [], 10) == []


@given(
    points=st.lists(st.tuples(st.floats(0, 1e6), st.one_of(st.none(), st.floats(-1e6, 1e6))), min_size=2, max_size=50),
    size=st.integers(1, 80),
)
def test_even_steps_invent_nothing(points: list[tuple[float, float | None]], size: int) -> None:
    times, values = [t for t, _ in points], [v for _, v in points]
    assert all(value is None or value in values for value in plots.evenly(times, values, size))
