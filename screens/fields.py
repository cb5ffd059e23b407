"""What a person has to fill in before an act: typed fields, and their values read back from text.

Pure. The engine judges again; this is so that a mistake is said while it is being typed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from screens.acts import Field

LONGEST = 4_000


@dataclass(frozen=True, slots=True)
class Item:
    """One field. `group` puts its value into a mapping of that name in the command's arguments (`form`)."""

    name: str
    label: str
    kind: str = "string"
    required: bool = False
    choices: tuple[Any, ...] = ()
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str = ""
    hint: str = ""
    group: str = ""

    @property
    def start(self) -> str:
        """What stands in the field at first."""
        if self.default is None:
            return ""
        if isinstance(self.default, bool):
            return "yes" if self.default else "no"
        return str(self.default)

    @property
    def options(self) -> tuple[str, ...]:
        """The words one can choose from; empty for free text."""
        if self.kind == "boolean":
            return ("yes", "no")
        return tuple(str(choice) for choice in self.choices)


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a text is not a value of the field."""

    reason: str


def of_act(fields: Iterable[Field]) -> list[Item]:
    return [
        Item(name=one.name, label=one.label, required=one.required, choices=one.choices, default=one.default or None)
        for one in fields
    ]


def of_form(form: Mapping[str, Any]) -> list[Item]:
    """A gate's form (JSON Schema words) as fields whose values go into `form`."""
    items = []
    for name, spec in form.items():
        words = spec if isinstance(spec, Mapping) else {}
        items.append(
            Item(
                name=str(name),
                label=str(words.get("title") or name),
                kind=str(words.get("type") or "string"),
                required=bool(words.get("required", True)),
                choices=tuple(words.get("enum") or ()),
                default=words.get("default"),
                minimum=words.get("minimum"),
                maximum=words.get("maximum"),
                pattern=str(words.get("pattern") or ""),
                hint=str(words.get("description") or ""),
                group="form",
            )
        )
    return items


def read(item: Item, text: str) -> Any:
    """The value a text means, None for an empty optional field, or `Wrong`."""
    text = text.strip()
    if not text:
        return Wrong(f"{item.label}: needed") if item.required else None
    if len(text) > LONGEST:
        return Wrong(f"{item.label}: at most {LONGEST:,} characters")
    if item.kind == "boolean":
        return {"yes": True, "no": False}.get(text.lower(), Wrong(f"{item.label}: yes or no"))
    if item.choices:
        return _choice(item, text)
    if item.kind in ("integer", "number"):
        return _number(item, text)
    if item.kind == "array":
        return [part.strip() for part in text.split(",") if part.strip()]
    if item.kind == "object":
        return Wrong(f"{item.label}: can't be typed here, use  qd gates approve --form FILE")
    return _text(item, text)


def values(items: Sequence[Item], texts: Mapping[str, str]) -> tuple[dict[str, Any], list[Wrong]]:
    """All fields read: arguments by name (grouped ones nested), and what is wrong."""
    out: dict[str, Any] = {}
    wrong: list[Wrong] = []
    for item in items:
        value = read(item, texts.get(key(item), ""))
        if isinstance(value, Wrong):
            wrong.append(value)
        elif item.group:
            group = out.setdefault(item.group, {})
            if value is not None:
                group[item.name] = value
        elif value is not None:
            out[item.name] = value
    return out, wrong


def key(item: Item) -> str:
    return f"{item.group}.{item.name}" if item.group else item.name


def _choice(item: Item, text: str) -> Any:
    for choice in item.choices:
        if str(choice) == text:
            return choice
    return Wrong(f"{item.label}: one of {', '.join(item.options)}")


def _number(item: Item, text: str) -> Any:
    try:
        value: float = int(text) if item.kind == "integer" else float(text)
    except ValueError:
        return Wrong(f"{item.label}: {'a whole number' if item.kind == 'integer' else 'a number'}, not {text[:20]!r}")
    if not math.isfinite(value):
        return Wrong(f"{item.label}: a finite number")
    if item.minimum is not None and value < item.minimum:
        return Wrong(f"{item.label}: at least {item.minimum:g}")
    if item.maximum is not None and value > item.maximum:
        return Wrong(f"{item.label}: at most {item.maximum:g}")
    return value


def _text(item: Item, text: str) -> Any:
    if item.pattern:
        try:
            fits = re.search(item.pattern, text[:500]) is not None
        except re.error:
            return text  # the engine knows its own dialect; it will judge
        if not fits:
            return Wrong(f"{item.label}: must look like {item.pattern}")
    return text
