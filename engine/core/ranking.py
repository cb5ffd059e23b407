"""Does the simulation rank policies as the hardware does? (domain section 3.9; SIMPLER 2024)

Each policy has a success rate in simulation and one on hardware.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Pair = tuple[float, float]


def pearson(pairs: Sequence[Pair]) -> float | None:
    """The correlation of the two rates (`scipy.stats.pearsonr`); None under two policies or without any spread."""
    n = len(pairs)
    if n < 2:
        return None
    mx, my = sum(x for x, _ in pairs) / n, sum(y for _, y in pairs) / n
    sxy = sum((x - mx) * (y - my) for x, y in pairs)
    sx, sy = sum((x - mx) ** 2 for x, _ in pairs), sum((y - my) ** 2 for _, y in pairs)
    return None if sx <= 0 or sy <= 0 else sxy / math.sqrt(sx * sy)


def rank_violation(pairs: Sequence[Pair]) -> float | None:
    """Mean maximum rank violation: per policy the largest hardware difference that simulation orders the other way."""
    if len(pairs) < 2:
        return None
    total = 0.0
    for sim, real in pairs:
        total += max(abs(real - other) for theirs, other in pairs if (sim < theirs) != (real < other) or other == real)
    return total / len(pairs)


def inverted(pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """Pairs of policies that simulation orders strictly the other way than hardware."""
    return [
        (i, j)
        for i in range(len(pairs))
        for j in range(i + 1, len(pairs))
        if (pairs[i][0] - pairs[j][0]) * (pairs[i][1] - pairs[j][1]) < 0
    ]
