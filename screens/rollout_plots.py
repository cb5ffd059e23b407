"""Signals of a rollout over time, as lines: canary over its control and the control's band, and E against its alarm.

Pure: a `RolloutDetail`, the engine's time and a size in; lines out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.contract.rollouts import RolloutDetail, Series
from screens import figures, layout, plots
from screens.layout import Line
from screens.pictures.lanes import joined
from screens.rollout_view import E_ALARM, policy_number

VERDICT_SIGNS = {
    "PASS": ("\u2713", "good"),
    "FAIL": ("\u2717", "alarm"),
    "INCONCLUSIVE": ("?", "caution"),
}
ASCII_SIGNS = {"\u2713": "+", "\u2717": "x"}


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
        marks = verdict_marks(detail, series, cells, ascii=ascii) if rows >= 10 else []
        lines += marks
        if index == 0 and with_e and rows >= 12:
            lines += _e_plot(series, alarm, now, cells, rows=each, ascii=ascii)
            lines += marks
    return lines


def verdict_marks(detail: RolloutDetail, series: Series, cells: int, *, ascii: bool = False) -> list[Line]:
    """When a verdict was given, and which, under the plot it was given on; the stage where there is room to name it.

    Of several in one cell the last stands. What was judged before or after the plot's time stands at its edge.
    """
    if not detail.verdicts or len(series.points) < 2:
        return []
    first, last = series.points[0].t, series.points[-1].t
    if last <= first:
        return []
    wide = max(4, cells - plots.GUTTER)
    found: dict[int, tuple[str, str, str]] = {}
    before = ""
    for one in sorted(detail.verdicts, key=lambda verdict: verdict.at):
        if one.word == "PENDING":
            continue
        place = max(0, min(wide - 1, int((one.at - first) / (last - first) * wide)))
        word, tone = VERDICT_SIGNS.get(one.word, (".", "muted"))
        word = ASCII_SIGNS.get(word, word) if ascii else word
        if before != f"{one.stage} {one.word}" or place not in found:
            said = f"{one.stage} {one.word.lower()}" if before != f"{one.stage} {one.word}" else ""
            found[place] = (word, tone, said or found.get(place, ("", "", ""))[2])
        before = f"{one.stage} {one.word}"
    line: list[tuple[str, str]] = [(" ", "")] * wide
    places = sorted(found)
    for n, place in enumerate(places):
        sign, tone, said = found[place]
        line[place] = (sign, tone)
        end = places[n + 1] if n + 1 < len(places) else wide
        start = places[n - 1] + 2 if n else 0
        if said and place + 1 + len(said) < end:
            at = place + 1
        elif said and place - len(said) >= start:  # no room behind it: named before it
            at = place - len(said)
        else:
            continue
        for x, character in enumerate(said, start=at):
            line[x] = (character, tone)
    return [[("judge ", "muted"), *joined(line)]]


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
