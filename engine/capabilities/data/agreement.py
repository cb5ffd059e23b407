"""Whether labels can be trusted: agreement of people who labelled the same session, and an audit of a sample.

Krippendorff's alpha for nominal labels (Krippendorff 2004, chapter 11; equal to the `krippendorff` package's): spans are
read every `resolution` seconds, since phase edges are no finer than that, and each reading is a unit. Readings of one
session are not independent, so the interval is a bootstrap over sessions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from random import Random

from engine.contract.datasets import Agreement, Audit, Label
from engine.core.statistics import cp

Unit = tuple[str, ...]
"""What each person said of one unit."""
Table = dict[tuple[str, str], float]


def alpha(units: Iterable[Unit]) -> float | None:
    """1 - observed/expected disagreement. None when no unit was judged twice; 1.0 when all that was said is the same word."""
    return _alpha([_coincidences(units)])


def agreement(
    sessions: Sequence[tuple[float, Sequence[Sequence[Label]]]],
    *,
    resolution: float,
    accept: float,
    tentative: float,
    rounds: int,
    seed: str,
) -> Agreement:
    """Of sessions labelled by at least two people: (length in s, each person's labels). The 95 % interval is the 2.5 % and
    97.5 % point of `rounds` bootstrap samples of sessions; the same input gives the same interval.
    """
    twice = [(length, every) for length, every in sessions if len(every) >= 2]
    if not twice:
        return Agreement()
    counted = [_coincidences(units(length, every, resolution)) for length, every in twice]
    found = _alpha(counted)
    if found is None:
        return Agreement(n=len(twice))
    random = Random(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]))
    drawn = []
    for _ in range(rounds):
        value = _alpha([counted[random.randrange(len(counted))] for _ in counted])
        if value is not None:
            drawn.append(value)
    drawn.sort()
    low = drawn[int(0.025 * (len(drawn) - 1))] if drawn else found
    high = drawn[int(0.975 * (len(drawn) - 1))] if drawn else found
    overlaps = [one for _, every in twice if (one := iou(every[0], every[1])) is not None]
    return Agreement(
        alpha=round(found, 4),
        low=round(min(low, found), 4),
        high=round(max(high, found), 4),
        n=len(twice),
        samples=round(sum(sum(table.values()) for table in counted) / 2),
        iou=round(sum(overlaps) / len(overlaps), 4) if overlaps else None,
        word="accept" if found >= accept else "tentative" if found >= tentative else "reject",
    )


def units(length: float, every: Sequence[Sequence[Label]], resolution: float) -> list[Unit]:
    """What each person said at each reading, and of the session as a whole."""
    found: list[Unit] = []
    spans = sorted({one.name for labels in every for one in labels if one.t0 >= 0})
    for name in spans:
        for i in range(max(1, int(length / resolution))):
            at = (i + 0.5) * resolution
            found.append(tuple(f"{name}:{_at(labels, name, at)}" for labels in every))
    whole = sorted({one.name for labels in every for one in labels if one.t0 < 0})
    for name in whole:
        said = [next((one.value for one in labels if one.name == name and one.t0 < 0), None) for labels in every]
        found.append(tuple(f"{name}={value}" for value in said if value is not None))
    return found


def iou(first: Sequence[Label], second: Sequence[Label]) -> float | None:
    """Mean overlap of spans with the same name and value: how well the edges agree. None without spans."""
    mine = [one for one in first if one.t0 >= 0]
    if not mine:
        return None
    total = 0.0
    for one in mine:
        best = 0.0
        for other in second:
            if (other.name, other.value) != (one.name, one.value) or other.t0 < 0:
                continue
            shared = min(one.t1, other.t1) - max(one.t0, other.t0)
            either = max(one.t1, other.t1) - min(one.t0, other.t0)
            best = max(best, shared / either if shared > 0 and either > 0 else 0.0)
        total += best
    return total / len(mine)


def audit(*, wrong: int, checked: int, need: int, waiting: int, population: int, allowed: int) -> Audit:
    """`wrong` of `checked` labels. `need` is the sample asked for (59 without a defect bound the share by 5 % at 95 %);
    fewer labels than that are all looked at. One defect too many fails; too few looked at is no result.
    """
    wanted = min(need, population)
    word = "fail" if wrong > allowed else "pass" if checked >= wanted > 0 else "waiting"
    bound = cp(wrong, checked)[1] if checked else 1.0
    if checked and checked >= population:
        bound = wrong / population  # every label was looked at: nothing is left to infer
    return Audit(k=wrong, n=checked, need=wanted, open=waiting, population=population, u95=round(bound, 4), word=word)


def sentence(agreed: Agreement, audited: Audit) -> str:
    """One sentence, with every n."""
    if agreed.alpha is None:
        first = "no session was labelled twice"
    else:
        first = f"agreement a={agreed.alpha:.2f} [{agreed.low or 0:.2f} {agreed.high or 0:.2f}] on {agreed.n} sessions"
    if not audited.n:
        return f"{first}; nothing was audited"
    bound = f"{100 * audited.u95:.1f}%"
    return f"{first}; audit {audited.k}/{audited.n} wrong, at most {bound} (95%)"


def _at(labels: Sequence[Label], name: str, at: float) -> str:
    return next((one.value for one in labels if one.name == name and one.t0 <= at < one.t1), "-")


def _coincidences(units: Iterable[Unit]) -> Table:
    """How often each pair of words was said of the same unit; a unit of m judges has m(m-1) pairs of weight 1/(m-1)."""
    table: Table = {}
    for unit in units:
        for i, one in enumerate(unit):
            for j, other in enumerate(unit):
                if i != j:
                    pair = (one, other)
                    table[pair] = table.get(pair, 0.0) + 1.0 / (len(unit) - 1)
    return table


def _alpha(tables: Sequence[Table]) -> float | None:
    total: Table = {}
    for table in tables:
        for pair, count in table.items():
            total[pair] = total.get(pair, 0.0) + count
    marginal: dict[str, float] = {}
    for (one, _), count in total.items():
        marginal[one] = marginal.get(one, 0.0) + count
    n = sum(marginal.values())
    if n <= 1:
        return None
    observed = sum(count for (one, other), count in total.items() if one != other)
    expected = n * n - sum(count * count for count in marginal.values())
    return 1.0 if expected <= 0 else 1.0 - (n - 1) * observed / expected
