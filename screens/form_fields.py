"""Fields of a form: what is asked, what may be answered, and answers read back from what was typed or chosen.

Pure. The engine judges again; this is so that a mistake is said while it is being made.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "choice", "multi", "number", "bool", "robot", "person", "duration", "long", "secret"]
Match = tuple[str, str]
"""A value that completes what was typed, and what tells it apart from its like."""
Completer = Callable[[str], "Sequence[str | Match] | Awaitable[Sequence[str | Match]]"]

LONGEST = 2_000
LONGEST_LONG = 8_000
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(d|h|m|s)\s*", re.I)
_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True, slots=True)
class FormField:
    """One thing to fill in.

    `choices` are values or (value, how people call it) pairs. `default` is the answer that stands there at first, in
    the field's own type (a duration in seconds). `complete` gives the values that fit what was typed so far (a `robot`
    or `person` field has one of its own). `when` hides a field while it is false of what else was filled in. `strict`
    takes nothing but a completion. A `secret` is shown as dots and never kept as a draft. `minimum` and `maximum` bound a
    number, or a duration in seconds. `of` names the kinds of things it may be (`site`, `run`, `artifact` …): the engine is
    asked for those that fit. `pattern` is what a text must look like; `check` says what else is wrong with one, or nothing.
    """

    name: str
    label: str
    kind: Kind = "text"
    required: bool = False
    choices: tuple[str | Match, ...] = ()
    default: Any = ""
    hint: str = ""
    complete: Completer | None = None
    when: Callable[[Mapping[str, Any]], bool] | None = None
    strict: bool = False
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    of: tuple[str, ...] = ()
    pattern: str = ""
    check: Callable[[str], str] | None = None

    @property
    def completes(self) -> bool:
        """Values that fit are offered while it is typed."""
        return bool(self.complete is not None or self.of or self.kind in ("robot", "person"))

    @property
    def options(self) -> tuple[Match, ...]:
        """(value, how people call it) of each choice; empty for fields that are typed."""
        if self.kind == "bool":
            return (("yes", "yes"), ("no", "no"))
        return tuple((one, one) if isinstance(one, str) else one for one in self.choices)

    @property
    def start(self) -> str:
        """What stands in the field at first, as text (several choices joined by commas)."""
        if self.kind == "bool":
            return "yes" if self.default is True else "no" if self.default is False else ""
        if self.kind == "duration" and isinstance(self.default, int | float) and not isinstance(self.default, bool):
            return span(float(self.default))
        if isinstance(self.default, list | tuple):
            return ",".join(str(one) for one in self.default)
        return "" if self.default is None else str(self.default)


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a text is not an answer to the field."""

    field: str
    reason: str


def read(field: FormField, text: str) -> Any:
    """The answer a text means, None for an empty optional field, or `Wrong`. Durations become seconds."""
    text = text.strip()
    if not text:
        return Wrong(field.name, f"{field.label}: needed") if field.required else None
    longest = LONGEST_LONG if field.kind in ("long", "secret") else LONGEST
    if len(text) > longest:
        return Wrong(field.name, f"{field.label}: at most {longest:,} characters, these are {len(text):,}")
    if field.kind == "bool":
        return {"yes": True, "no": False}.get(text.lower(), Wrong(field.name, f"{field.label}: yes or no"))
    if field.kind == "multi":
        return _several(field, text)
    if field.kind == "choice":
        values = [value for value, _ in field.options]
        return text if text in values else Wrong(field.name, f"{field.label}: one of {', '.join(values)}")
    if field.kind == "number":
        return _bounded(field, _number(text), f"a number, not {text[:20]!r}")
    if field.kind == "duration":
        return _bounded(field, seconds(text), f"a time like 30m, 2h or 1d12h, not {text[:20]!r}")
    if field.pattern and not _fits(field.pattern, text):
        return Wrong(field.name, f"{field.label}: must look like {field.pattern}")
    reason = field.check(text) if field.check is not None else ""
    return Wrong(field.name, f"{field.label}: {reason}") if reason else text


def values(fields: Sequence[FormField], texts: Mapping[str, str]) -> tuple[dict[str, Any], list[Wrong]]:
    """All answers by name (only what was filled in, and only of fields that are shown), and what is wrong."""
    out: dict[str, Any] = {}
    wrong: list[Wrong] = []
    for field in fields:
        if field.when is not None and not field.when(out):
            continue
        value = read(field, texts.get(field.name, ""))
        if isinstance(value, Wrong):
            wrong.append(value)
        elif value is not None:
            out[field.name] = value
    return out, wrong


def shown(fields: Sequence[FormField], texts: Mapping[str, str]) -> list[FormField]:
    """The fields that apply to what was filled in so far."""
    out: dict[str, Any] = {}
    kept = []
    for field in fields:
        if field.when is not None and not field.when(out):
            continue
        kept.append(field)
        value = read(field, texts.get(field.name, ""))
        if value is not None and not isinstance(value, Wrong):
            out[field.name] = value
    return kept


def seconds(text: str) -> float | None:
    """`30m`, `2h`, `1d12h`, `90s` in seconds; None for anything else."""
    found, at = 0.0, 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            return None
        found += float(part[1]) * _SECONDS[part[2].lower()]
        at = part.end()
    return found if at else None


def span(length_s: float) -> str:
    """Seconds as one writes them: `1d12h`, `45m`; what `seconds` reads back."""
    out, rest = "", round(length_s)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        out += f"{count}{unit}" if count else ""
    return out or "0s"


def matching(text: str, known: Sequence[Match], most: int = 200) -> list[Match]:
    """Values that fit what was typed: the same one, then those that begin or end with it, then those that hold it (in
    their name or in what tells them apart, such as a serial number)."""
    words = text.strip().lower()
    if not words:
        return list(known[:most])
    ranked: list[tuple[int, int, Match]] = []
    for place, (value, about) in enumerate(known):
        low = value.lower()
        if low == words:
            rank = 0
        elif low.startswith(words):
            rank = 1
        elif low.endswith(words) or f"-{words}" in low:
            rank = 2
        elif words in low:
            rank = 3
        elif all(word in f"{low} {about.lower()}" for word in words.split()):
            rank = 4
        else:
            continue
        ranked.append((rank, place, (value, about)))
    ranked.sort(key=lambda one: one[:2])
    return [match for _, _, match in ranked[:most]]


def json_as(shape: type) -> Callable[[str], str]:
    """A check for a text that must be JSON: an object (`dict`) or a list."""
    word = "object" if shape is dict else "list"

    def check(text: str) -> str:
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            return f"not JSON at line {error.lineno}, column {error.colno}: {error.msg.lower()}"
        except RecursionError:
            return "it nests too deep"
        return "" if isinstance(value, shape) else f"a JSON {word}, not {type(value).__name__}"

    return check


def _fits(pattern: str, text: str) -> bool:
    """Whether a text looks as it must. A pattern of the engine's own dialect is left to the engine."""
    try:
        return re.search(pattern, text[:500]) is not None
    except re.error:
        return True


def _several(field: FormField, text: str) -> Any:
    """Chosen values in the order of the choices; free words, without repetition, where there are none to choose from."""
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    known = [value for value, _ in field.options]
    if not known:
        return list(dict.fromkeys(wanted))
    strange = [one for one in wanted if one not in known]
    if strange:
        return Wrong(field.name, f"{field.label}: {strange[0]!r} is none of {', '.join(known)}")
    return [value for value in known if value in wanted]


def _number(text: str) -> float | int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and "." not in text and "e" not in text.lower() else value


def _bounded(field: FormField, value: float | int | None, must: str) -> Any:
    if value is None:
        return Wrong(field.name, f"{field.label}: {must}")
    write = span if field.kind == "duration" else "{:g}".format
    if field.minimum is not None and value < field.minimum:
        return Wrong(field.name, f"{field.label}: at least {write(field.minimum)}")
    if field.maximum is not None and value > field.maximum:
        return Wrong(field.name, f"{field.label}: at most {write(field.maximum)}")
    return value
