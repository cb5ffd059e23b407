"""Shapes of values in a text: each reads a node into a plain value, and describes itself as JSON Schema.

One table of shapes (`grammar.py`) therefore is the loader and the published schema at once; they cannot drift apart.
A shape that can't read a node adds a finding and gives BAD; reading goes on, so that an author sees everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.durations import seconds
from engine.language import document
from engine.language.document import Node, Scalar, Sequence
from engine.language.findings import Findings, did_you_mean, quoted

Json = Any

BAD: Any = type("Bad", (), {"__repr__": lambda self: "BAD"})()
"""What a shape gives for a node it could not read."""


@dataclass(slots=True)
class Site:
    """A place where an expression stands. `bare` is CEL itself, else a template with `${cel}` in it.

    `gives` is what is expected of the value: boolean, duration, time, list, text or any. `also` names what may be used
    here beside the usual names. `owner` is the id of the step, `on_failure`'s included, or `""`.
    """

    line: int
    field: str
    text: str
    bare: bool
    gives: str
    also: tuple[str, ...]
    owner: str = ""


@dataclass(slots=True)
class Reader:
    """What is gathered while a text is read: findings, places of expressions, and the line of every field."""

    findings: Findings
    sites: list[Site] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    owner: str = ""

    def bad(self, line: int, field: str, message: str, fix: str = "") -> Any:
        self.findings.add(line, field, message, fix)
        return BAD

    def site(self, node: Node, field: str, text: str, *, bare: bool, gives: str, also: tuple[str, ...] = ()) -> None:
        self.sites.append(Site(node.line, field, text, bare, gives, also, self.owner))


class Shape:
    """Base of all shapes."""

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        raise NotImplementedError

    def schema(self) -> dict[str, Json]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Text(Shape):
    """Text. With `template`, `${cel}` may stand in it. `what` names it in messages."""

    what: str = "text"
    pattern: str = ""
    template: bool = False
    gives: str = "text"
    limit: int = 8_192

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        if not isinstance(node, Scalar):
            return reader.bad(node.line, field, f"{self.what} is expected, not {document.kind(node)}")
        value = node.value
        if not isinstance(value, str):
            fix = f'quote it: "{node.text}"' if value is not None else f"write {self.what} here"
            return reader.bad(node.line, field, f"{self.what} is expected, not {document.kind(node)}", fix)
        if not value or len(value) > self.limit:
            return reader.bad(node.line, field, f"{self.what} has 1 to {self.limit} characters, not {len(value)}")
        if self.pattern and not re.fullmatch(self.pattern, value):
            return reader.bad(node.line, field, f"{quoted(value)} is not {self.what}", f"it must match {self.pattern}")
        if self.template and "${" in value:
            reader.site(node, field, value, bare=False, gives=self.gives)
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": "string"} | ({"pattern": f"^(?:{self.pattern})$"} if self.pattern else {"minLength": 1})


@dataclass(frozen=True, slots=True)
class Cel(Shape):
    """Bare CEL. Any scalar is taken by its text: `when: true` is an expression too."""

    gives: str = "any"
    also: tuple[str, ...] = ()

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        if not isinstance(node, Scalar) or (node.plain and node.value is None):
            return reader.bad(node.line, field, f"an expression is expected, not {document.kind(node)}")
        text = node.text.strip()
        if text.startswith("${") and text.endswith("}"):
            return reader.bad(
                node.line, field, "this field holds bare CEL", f"write it without ${{ }}: {text[2:-1].strip()[:80]}"
            )
        reader.site(node, field, text, bare=True, gives=self.gives, also=self.also)
        return text

    def schema(self) -> dict[str, Json]:
        return {"type": ["string", "boolean", "number"], "description": "CEL, without ${ }"}


@dataclass(frozen=True, slots=True)
class Duration(Shape):
    """A length of time with its unit, as seconds; with `template` also `${cel}` that gives one when the run gets there."""

    template: bool = False
    zero: bool = False

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        if not isinstance(node, Scalar):
            return reader.bad(
                node.line, field, f"a duration is expected, not {document.kind(node)}", "such as 30s, 5m, 1h or 10d"
            )
        if self.template and "${" in node.text:
            reader.site(node, field, node.text, bare=False, gives="duration")
            return node.text
        try:
            length = seconds(node.text)
        except ValueError:
            digits = re.fullmatch(r"\d+", node.text)
            fix = f"give the unit: {node.text}s" if digits else "such as 30s, 5m, 1h or 10d"
            return reader.bad(node.line, field, f"{quoted(node.text)} is not a duration", fix)
        if not length and not self.zero:
            return reader.bad(node.line, field, "a duration of zero is no duration", "such as 30s, 5m, 1h or 10d")
        return length

    def schema(self) -> dict[str, Json]:
        pattern = r"^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+$"
        return {"type": "string", "pattern": rf"{pattern}|\$\{{" if self.template else pattern}


@dataclass(frozen=True, slots=True)
class Number(Shape):
    """A number, whole unless `whole` is false, between `least` and `most`."""

    least: float | None = None
    most: float | None = None
    whole: bool = True

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        value = node.value if isinstance(node, Scalar) else None
        what = "a whole number" if self.whole else "a number"
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return reader.bad(node.line, field, f"{what} is expected, not {document.kind(node)}")
        if self.least is not None and value < self.least:
            return reader.bad(node.line, field, f"at least {self.least:g} is needed, not {value}")
        if self.most is not None and value > self.most:
            return reader.bad(node.line, field, f"at most {self.most:g} is allowed, not {value}")
        return value if self.whole else float(value)

    def schema(self) -> dict[str, Json]:
        bounds = {"minimum": self.least, "maximum": self.most}
        return {"type": "integer" if self.whole else "number"} | {k: v for k, v in bounds.items() if v is not None}


@dataclass(frozen=True, slots=True)
class Boolean(Shape):
    def read(self, node: Node, field: str, reader: Reader) -> Any:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool):
            return value
        text = node.text.lower() if isinstance(node, Scalar) else ""
        fix = {"yes": "write true", "on": "write true", "true": "write true"}.get(text, "")
        fix = fix or {"no": "write false", "off": "write false", "false": "write false"}.get(text, "")
        return reader.bad(node.line, field, f"true or false is expected, not {document.kind(node)}", fix)

    def schema(self) -> dict[str, Json]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Word(Shape):
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        text = node.text if isinstance(node, Scalar) else ""
        if text in self.words:
            return text
        shown = quoted(text) if isinstance(node, Scalar) else document.kind(node)
        return reader.bad(
            node.line,
            field,
            f"{shown} is none of {', '.join(self.words)}",
            did_you_mean(text, self.words, f"write {self.words[0]}"),
        )

    def schema(self) -> dict[str, Json]:
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class ListOf(Shape):
    """A list; with `single`, one value alone is taken as a list of one."""

    item: Shape
    least: int = 0
    single: bool = False

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        if not isinstance(node, Sequence):
            if self.single and isinstance(node, Scalar):
                one = self.item.read(node, field, reader)
                return BAD if one is BAD else (one,)
            return reader.bad(
                node.line, field, f"a list is expected, not {document.kind(node)}", "write [ … ] or lines with -"
            )
        if len(node.items) < self.least:
            return reader.bad(node.line, field, f"at least {self.least} is needed here", "")
        read = [self.item.read(item, f"{field}.{index}", reader) for index, item in enumerate(node.items)]
        return tuple(value for value in read if value is not BAD)

    def schema(self) -> dict[str, Json]:
        many: dict[str, Json] = {"type": "array", "items": self.item.schema()}
        if self.least:
            many["minItems"] = self.least
        return {"anyOf": [self.item.schema(), many]} if self.single else many


@dataclass(frozen=True, slots=True)
class MapOf(Shape):
    """A mapping from names of the author's own to values of one shape."""

    item: Shape
    pattern: str = r"[A-Za-z_][A-Za-z0-9_]*"
    what: str = "a name"
    least: int = 0

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        if not isinstance(node, document.Mapping):
            return reader.bad(node.line, field, f"a mapping is expected, not {document.kind(node)}")
        if len(node.entries) < self.least:
            return reader.bad(node.line, field, f"at least {self.least} is needed here")
        values = {}
        for key, (line, below) in node.entries.items():
            where = f"{field}.{key}" if field else key
            reader.lines[where] = line
            if not re.fullmatch(self.pattern, key):
                proper = re.sub(r"[^A-Za-z0-9_]", "_", key)
                fix = (
                    f"did you mean {proper!r}?"
                    if re.fullmatch(self.pattern, proper)
                    else f"it must match {self.pattern}"
                )
                reader.bad(line, where, f"{quoted(key)} is not {self.what}", fix)
                continue
            value = self.item.read(below, where, reader)
            if value is not BAD:
                values[key] = value
        return values

    def schema(self) -> dict[str, Json]:
        below = {
            "type": "object",
            "propertyNames": {"pattern": f"^(?:{self.pattern})$"},
            "additionalProperties": self.item.schema(),
        }
        return below | ({"minProperties": self.least} if self.least else {})


@dataclass(frozen=True, slots=True)
class Any_(Shape):
    """JSON of any form; with `template`, texts in it may hold `${cel}`."""

    template: bool = False
    gives: str = "any"

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        if self.template:
            self._sites(node, field, reader, self.gives)
        return document.plain(node)

    def _sites(self, node: Node, field: str, reader: Reader, gives: str) -> None:
        reader.lines.setdefault(field, node.line)
        if isinstance(node, Scalar):
            if "${" in node.text:
                reader.site(node, field, node.text, bare=False, gives=gives)
        elif isinstance(node, Sequence):
            for index, item in enumerate(node.items):
                self._sites(item, f"{field}.{index}", reader, "any")
        else:
            for key, (_, below) in node.entries.items():
                self._sites(below, f"{field}.{key}", reader, "any")

    def schema(self) -> dict[str, Json]:
        return {}


@dataclass(frozen=True, slots=True)
class Either(Shape):
    """One shape for mappings, one for lists or scalars, told apart by the kind of node."""

    mapping: Shape
    other: Shape

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        return (self.mapping if isinstance(node, document.Mapping) else self.other).read(node, field, reader)

    def schema(self) -> dict[str, Json]:
        return {"anyOf": [self.mapping.schema(), self.other.schema()]}


@dataclass(frozen=True, slots=True)
class Record(Shape):
    """A mapping with known keys. `one_of`: exactly one of these must stand. `needs`: a key that asks for others."""

    keys: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hint: Callable[[str], str] | None = None
    what: str = ""

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        if not isinstance(node, document.Mapping):
            fix = f"with the keys {', '.join(list(self.keys)[:8])}"
            return reader.bad(node.line, field, f"a mapping is expected, not {document.kind(node)}", fix)
        values: dict[str, Any] = {}
        prefix = f"{field}." if field else ""
        for key, (line, below) in node.entries.items():
            where = prefix + key
            reader.lines[where] = line
            shape = self.keys.get(key)
            if shape is None:
                special = self.hint(key) if self.hint is not None else ""
                fix = special or did_you_mean(key, self.keys)
                reader.bad(line, where, f"unknown key {quoted(key)}{f' in {self.what}' if self.what else ''}", fix)
            else:
                value = shape.read(below, where, reader)
                if value is not BAD:
                    values[key] = value
        for key in self.required:
            if key not in node.entries:
                reader.bad(
                    node.line,
                    prefix + key,
                    f"{quoted(key)} is missing{f' in {self.what}' if self.what else ''}",
                    f"add `{key}:`",
                )
        standing = [key for key in self.one_of if key in node.entries]
        if self.one_of and len(standing) != 1:
            choice = " or ".join(self.one_of)
            told = f"exactly one of {choice} is needed" + (f", not {' and '.join(standing)}" if standing else "")
            reader.bad(node.line, field, told, "remove the others" if standing else f"add `{self.one_of[0]}:`")
        for key, others in self.needs.items():
            for other in others:
                if key in node.entries and other not in node.entries:
                    reader.bad(
                        node.line, prefix + other, f"{quoted(key)} needs {quoted(other)} beside it", f"add `{other}:`"
                    )
        return values

    def schema(self) -> dict[str, Json]:
        told: dict[str, Json] = {
            "type": "object",
            "properties": {key: shape.schema() for key, shape in self.keys.items()},
            "additionalProperties": False,
        }
        if self.required:
            told["required"] = list(self.required)
        if self.one_of:
            told["oneOf"] = [{"required": [key]} for key in self.one_of]
        if self.needs:
            told["dependentRequired"] = {key: list(others) for key, others in self.needs.items()}
        return told
