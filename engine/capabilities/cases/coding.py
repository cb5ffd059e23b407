"""Codes of a fault and items of a checklist against what the policy knows. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence


def coded(given: Mapping[str, str], codes: Mapping[str, Sequence[str]]) -> tuple[str, str, str] | None:
    """The first code nobody knows, as (field, reason, fix); None when all are known or empty."""
    for name, value in given.items():
        if value and value not in codes[name]:
            near = difflib.get_close_matches(value, codes[name], 1)
            fix = f"did you mean {near[0]}?" if near else f"one of {', '.join(codes[name])}"
            return name, f"{value[:40]!r} is no {name} this policy knows", fix
    return None


def checked(done: Sequence[str], items: Sequence[str]) -> dict[str, bool] | str:
    """The checklist with what was done ticked (by its words, or by its number from 1); a sentence about what it lacks."""
    ticked = dict.fromkeys(items, False)
    for one in done:
        place = int(one) - 1 if one.isdigit() else next((i for i, item in enumerate(items) if item == one), -1)
        if not 0 <= place < len(items):
            return f"the checklist has no {one[:60]!r}"
        ticked[items[place]] = True
    return ticked
