"""How deep values from outside may nest."""

from __future__ import annotations

from typing import Any


def deep(value: Any, levels: int) -> bool:
    """Whether lists and objects nest deeper than that: what is recorded is read again by code that recurses."""
    layer = [value]
    for _ in range(levels):
        layer = [
            inner
            for each in layer
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not layer:
            return False
    return any(isinstance(each, dict | list) for each in layer)
