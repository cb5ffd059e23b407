"""Evidence that is a health sample of a rollout stage, shown as the rollout screen shows it: verdict, signals, what is worst.

Known by its shape, never by a workflow's name: a verdict with a word and a sentence, signals with canary and control.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from engine.contract.rollouts import Counts, SignalRow
from screens import figures, rollout_view
from screens.layout import Line
from screens.widgets.clean import clean
from screens.widgets.parts import Part

SHOWN = frozenset(
    {
        *(
            "verdict",
            "signals",
            "worst",
            "permutation_p",
            "dispersion",
            "control",
            "controls",
            "coverage",
            "coverage_ok",
        ),
        *("exposure_h", "exposure_needed_h", "series", "counts", "extension_s", "soak_until", "at", "stage"),
    }
)
"""Fields these lines speak for; all others are shown as they are."""


def is_health(value: Any) -> bool:
    return isinstance(value, Mapping) and _is_verdict(value.get("verdict")) and _rows(value.get("signals")) is not None


def is_counts(value: Any) -> bool:
    return isinstance(value, Mapping) and {"planned", "executed"} <= set(value) and _counts(value) is not None


def counts(value: Mapping[str, Any], cells: int) -> Line:
    row = _counts(value)
    return figures.counts(row, cells) if row is not None else []


def lines(sample: Mapping[str, Any], now: float, cells: int) -> list[Line]:
    """The sample; fields that are not spoken for here are the caller's."""
    out: list[Line] = list(_verdict(sample["verdict"]))
    if is_counts(sample.get("counts")):
        out.append(counts(sample["counts"], cells))
    out += rollout_view.signal_table(_rows(sample.get("signals")) or (), cells)
    line: Line = []
    if sample.get("worst"):
        line += [("worst: ", "muted"), clean(sample["worst"], 80), "   "]
    for name, label in (("permutation_p", "permutation p "), ("dispersion", "dispersion ")):
        value = sample.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            line += [(label, "muted"), f"{value:.3g}", "   "]
    if line:
        out.append(line)
    if sample.get("control"):
        out.append([("control: ", "muted"), clean(sample["control"], 200)])
    out += _exposure(sample, now)
    return out


def _exposure(sample: Mapping[str, Any], now: float) -> list[Line]:
    done, needed, until = sample.get("exposure_h"), sample.get("exposure_needed_h"), sample.get("soak_until")
    line: Line = []
    if isinstance(done, int | float):
        line += [("exposure: ", "muted"), f"{figures.number(float(done))} robot-h"]
        if isinstance(needed, int | float) and needed:
            line.append(f" of {figures.number(float(needed))} needed")
    if isinstance(until, int | float):
        line += [("   soak until ", "muted"), figures.clock(float(until), now)]
    if isinstance(sample.get("at"), int | float):
        line.append((f"   measured {figures.clock(float(sample['at']), now)}", "muted"))
    return [line] if line else []


def _verdict(verdict: Mapping[str, Any]) -> list[Line]:
    word = str(verdict.get("word", ""))
    head: Part = figures.verdict(word)
    out: list[Line] = [[head, "  ", (clean(verdict.get("sentence", ""), 400), "strong")]]
    reasons = verdict.get("reasons")
    if isinstance(reasons, list | tuple):
        out += [["  \u00b7 ", clean(reason, 400)] for reason in reasons[:12] if reason != verdict.get("sentence")]
    return out


def _is_verdict(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("word"), str) and isinstance(value.get("sentence"), str)


def _rows(value: Any) -> tuple[SignalRow, ...] | None:
    try:
        return msgspec.convert(value, tuple[SignalRow, ...], strict=False)
    except (msgspec.ValidationError, TypeError):
        return None


def _counts(value: Any) -> Counts | None:
    try:
        return msgspec.convert(dict(value), Counts, strict=False)
    except (msgspec.ValidationError, TypeError):
        return None
