"""Which corrections look alike: same cause and task, and near in what the person had to do. Pure and in a fixed order.

The description of a correction is a short vector: where the takeover was, which way the person moved, how long and how
far, how fast the robot was, how sure its own detector was. Nearness is cosine distance of the centred vector.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

DIMENSIONS = ("x", "y", "z", "dx", "dy", "dz", "length", "distance", "speed", "anomaly")


class Item(Struct, frozen=True, kw_only=True):
    id: str
    cause: str
    task: str
    zone: str
    features: tuple[float, ...]
    t0: float = 0.0


class Group(Struct, frozen=True, kw_only=True):
    """A cluster as known so far; `key` is its id, or empty for one that this pass would open."""

    key: str
    cause: str
    task: str
    zone: str
    centre: tuple[float, ...]
    n: int


def describe(facts: Mapping[str, float]) -> tuple[float, ...]:
    """The vector, each part squashed into -1..1 so that none outweighs the others: metres by 1 m, seconds by 10 s."""
    scale = {"length": 10.0, "distance": 1.0, "speed": 0.5}
    return tuple(round(math.tanh(facts.get(name, 0.0) / scale.get(name, 1.0)), 4) for name in DIMENSIONS)


def distance(one: Sequence[float], two: Sequence[float]) -> float:
    """1 - cosine similarity; two vectors of nothing are equal, nothing and something are far."""
    a, b = math.hypot(*one), math.hypot(*two)
    if a < 1e-9 and b < 1e-9:
        return 0.0
    if a < 1e-9 or b < 1e-9 or len(one) != len(two):
        return 1.0
    return 1 - sum(x * y for x, y in zip(one, two, strict=True)) / (a * b)


def assign(items: Sequence[Item], groups: Sequence[Group], *, reach: float) -> dict[str, str]:
    """Item id -> key of a group; a new group's key is `new:<id of its first item>`. Oldest first, so that order in does not
    matter."""
    known = list(groups)
    found: dict[str, str] = {}
    for item in sorted(items, key=lambda each: (each.t0, each.id)):
        near = [
            (distance(item.features, group.centre), not _same_zone(item, group), at)
            for at, group in enumerate(known)
            if group.cause == item.cause and group.task == item.task
        ]
        best = min(near, default=(math.inf, True, -1))
        if best[0] <= reach:
            at = best[2]
            known[at] = _with(known[at], item)
        else:
            at = len(known)
            known.append(
                Group(key=f"new:{item.id}", cause=item.cause, task=item.task, zone=item.zone, centre=item.features, n=1)
            )
        found[item.id] = known[at].key
    return found


def centre(vectors: Sequence[Sequence[float]]) -> tuple[float, ...]:
    if not vectors:
        return ()
    size = min(len(vector) for vector in vectors)
    return tuple(round(sum(vector[i] for vector in vectors) / len(vectors), 4) for i in range(size))


def nearest(vector: Sequence[float], others: Sequence[Sequence[float]]) -> float:
    """Similarity (0..1) to the nearest of others; 0 when there are none."""
    return max((max(0.0, 1 - distance(vector, other)) for other in others), default=0.0)


def representative(items: Sequence[Item], count: int = 3) -> tuple[str, ...]:
    """The clips that show a cluster: the one nearest its middle, then those farthest from what was chosen."""
    if not items:
        return ()
    middle = centre([item.features for item in items])
    left = sorted(items, key=lambda item: (distance(item.features, middle), item.id))
    picked = [left.pop(0)]
    while left and len(picked) < count:
        far = max(left, key=lambda item: (min(distance(item.features, p.features) for p in picked), item.id))
        left.remove(far)
        picked.append(far)
    return tuple(item.id for item in picked)


def _same_zone(item: Item, group: Group) -> bool:
    return not item.zone or item.zone == group.zone


def _with(group: Group, item: Item) -> Group:
    n = group.n + 1
    if len(group.centre) != len(item.features):
        return Group(key=group.key, cause=group.cause, task=group.task, zone=group.zone, centre=group.centre, n=n)
    moved = tuple(c + (f - c) / n for c, f in zip(group.centre, item.features, strict=True))
    return Group(key=group.key, cause=group.cause, task=group.task, zone=group.zone, centre=moved, n=n)
