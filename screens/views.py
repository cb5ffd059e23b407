"""Saved views: a list with a filter, an order and its columns, under a name. Values in, values out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from screens.places import BY_NOUN

_NAME = re.compile(r"[\w.+-]{1,40}")


@dataclass(frozen=True, slots=True)
class View:
    """`noun` is the list, `shape` how its table is wanted (order, groups, columns)."""

    noun: str
    filter: str = ""
    shape: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        order = self.shape.get("sort")
        return f"{self.noun}  {f'/{self.filter}' if self.filter else 'all'}{f'  by {order}' if order else ''}"


def wrong_name(name: str) -> str:
    """Why a view can't be called this; empty when it can."""
    return "" if _NAME.fullmatch(name) else f"a view is called by one word of letters, digits, . _ + -, not {name!r}"


def read(value: Any) -> dict[str, View]:
    """The views of a settings file; what is none is left out."""
    found: dict[str, View] = {}
    for name, one in value.items() if isinstance(value, dict) else ():
        if not isinstance(one, dict) or not _NAME.fullmatch(str(name)):
            continue
        noun, text, shape = one.get("noun"), one.get("filter", ""), one.get("shape", {})
        if isinstance(noun, str) and noun in BY_NOUN and isinstance(text, str) and isinstance(shape, dict):
            found[name] = View(noun, text, shape)
    return dict(sorted(found.items()))


def stored(views: Mapping[str, View]) -> dict[str, Any]:
    return {
        name: {"noun": view.noun, "filter": view.filter} | ({"shape": dict(view.shape)} if view.shape else {})
        for name, view in views.items()
    }
