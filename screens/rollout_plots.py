"""Signals of a rollout over time, as lines: canary over its control and the control's band, and E against its alarm.

Pure: a `RolloutDetail`, the engine's time and a size in; lines out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.contract.rollouts import RolloutDetail, Series
from screens import figures, layout, plots
from screens.layout import Line
from screens.rollout_view import E_ALARM, policy_number


def plot_lines(detail: RolloutDetail, now: float, cells: int, rows: int, *, ascii: bool = False) -> list[Line]:
    """Signals over time: the rate of canary (dots) over control (rule, band), then E against its alarm."""
    if not detail.series:
        return [[("No signal has been measured yet: a stage is observed after it has settled.", "muted")]]
    first = detail.series[0]
    alarm = policy_number(detail.policy.get("e_alarm"), E_ALARM)
    with_e = bool(plots.finite([point.e for point in first.points]))
    shown = list(detail.series) if rows >= 30 else list(detail.series[:1])
    parts = len(shown) + with_e
    each = max(3, min(10, rows // parts - 2))
    lines: list[Line] = []
    for index, series in enumerate(shown):
        lines += _plot(series, now, cells, rows=each, ascii=ascii)
        if index == 0 and with_e and rows >= 12:
            lines += _e_plot(series, alarm, now, cells, rows=each, ascii=ascii)
    return lines


def trend(detail: RolloutDetail, cells: int, *, ascii: bool = False) -> list[Line]:
    """The first signal in one line: canary and control on one scale, then E. The plots proper are a key away."""
    if not detail.series or not detail.series[0].points:
        return []
    series = detail.series[0]
    canary, control, e = _timed(series, "canary", cells), _timed(series, "control", cells), _timed(series, "e", cells)
    top = max([0.0, *plots.finite(canary), *plots.finite(control)])
    size = max(8, min(20, (cells - 52) // 3))
    line: Line = [
        (f"{detail.series[0].name} ", "muted"),
        "canary ",
        (plots.sparkline(canary, size, ascii=ascii, top=top), "key"),
    ]
    line += [
        f" {_last(canary)}  control ",
        (plots.sparkline(control, size, ascii=ascii, top=top), "muted"),
        f" {_last(control)}",
    ]
    if plots.finite(e):
        line += [
            "  E ",
            (
                plots.sparkline(
                    [None if v is None else max(0.0, math.log10(max(v, 1e-9)) + 2) for v in e], size, ascii=ascii, top=4
                ),
                "key",
            ),
            f" {_last(e)}",
        ]
    return [line]


def _plot(series: Series, now: float, cells: int, *, rows: int, ascii: bool) -> list[Line]:
    canary, control = _timed(series, "canary", cells), _timed(series, "control", cells)
    line: Line = [(series.name, "strong"), (f" {series.unit}  ", "muted")]
    line += [
        ("*" if ascii else "\u28e4", "key"),
        f" canary {_last(canary)}  ",
        ("-" if ascii else "\u2500", "muted"),
        f" control {_last(control)}",
    ]
    low, high = _timed(series, "low", cells), _timed(series, "high", cells)
    banded = bool(plots.finite(low) and plots.finite(high))
    if banded:
        line = layout.if_room(line, [("  . band" if ascii else "  \u2591 its bounds", "muted")], cells)
    curves = [
        plots.Curve("control", control, "", dots=False, low=low if banded else (), high=high if banded else ()),
        plots.Curve("canary", canary, "key"),
    ]
    return [line, *plots.plot(curves, cells=cells, rows=rows, ascii=ascii, times=_times(series, now))]


def _e_plot(series: Series, alarm: float, now: float, cells: int, *, rows: int, ascii: bool) -> list[Line]:
    values = _timed(series, "e", cells)
    line: Line = [
        ("E", "strong"),
        (" evidence against the canary, log scale  ", "muted"),
        f"now {_last(values)}",
        (f"  alarm at {alarm:g}", "muted"),
    ]
    curve = plots.Curve("E", values, "key")
    lines = plots.plot(
        [curve],
        cells=cells,
        rows=rows,
        ascii=ascii,
        log=True,
        limit=alarm,
        limit_name=f" alarm {alarm:g}",
        times=_times(series, now),
    )
    return [line, *lines]


def _timed(series: Series, name: str, cells: int) -> list[float | None]:
    """One curve at even steps of time, fine enough for braille."""
    points = series.points
    return plots.evenly([point.t for point in points], [getattr(point, name) for point in points], 2 * cells)


def _times(series: Series, now: float) -> tuple[str, str]:
    if not series.points:
        return ("", "")
    return figures.clock(series.points[0].t, now), figures.clock(series.points[-1].t, now)


def _last(values: Sequence[float | None]) -> str:
    """The newest value, or that there is none now (a hole at the end is news)."""
    if not values:
        return "\u2014"
    return figures.number(values[-1]) if values[-1] is not None else "no data now"
