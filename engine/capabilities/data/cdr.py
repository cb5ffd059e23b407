"""ROS 2 messages as bytes: where the numbers of a message stand (CDR, OMG DDSI-RTPS 10; `.msg` text as MCAP's `ros2msg`).

Messages of one topic are mostly of one layout. So one message is walked, and those that are alike are read as one array.
What can't be understood is said, never guessed.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

PRIMITIVES = {
    "bool": ("?", 1), "byte": ("u1", 1), "char": ("u1", 1), "int8": ("i1", 1), "uint8": ("u1", 1), "int16": ("i2", 2),
    "uint16": ("u2", 2), "int32": ("i4", 4), "uint32": ("u4", 4), "int64": ("i8", 8), "uint64": ("u8", 8),
    "float32": ("f4", 4), "float64": ("f8", 8),
}  # fmt: skip
BUILT_IN = {
    "builtin_interfaces/Time": "int32 sec\nuint32 nanosec",
    "builtin_interfaces/Duration": "int32 sec\nuint32 nanosec",
}
MAX_VISITED = 20_000
"""Fields of one message: a message of more is none of numbers."""

_FIELD = re.compile(
    r"^(?P<type>[A-Za-z][\w/]*)(?:<=\d+)?(?P<array>\[(?:<=)?\d*\])?\s+(?P<name>[A-Za-z]\w*)\s*(?P<rest>.*)$"
)
_SEPARATOR = re.compile(r"^=+\s*$", re.MULTILINE)


class SchemaUnknown(Exception):
    """The schema, or a message against it, can't be understood: the sentence says why."""


class Field(Struct, frozen=True):
    """`array`: None one value, 0 any number, n exactly n."""

    name: str
    type: str
    array: int | None


class Numbers(Struct, frozen=True):
    """`count` numbers of type `code` (numpy, without byte order) at `offset`, called `path`."""

    path: str
    code: str
    offset: int
    count: int


class Layout(Struct, frozen=True):
    """Where things stand in a message of `size` bytes. `lengths` are the places of the length fields: messages of one size
    that are equal there are laid out alike. `texts`: path, offset, length."""

    size: int
    little: bool
    numbers: tuple[Numbers, ...]
    lengths: tuple[int, ...]
    texts: tuple[tuple[str, int, int], ...]


Types = dict[str, tuple[Field, ...]]


def types_of(name: str, text: str) -> tuple[str, Types]:
    """The fields of each type in a `ros2msg` schema, and the name of the outermost. Raises SchemaUnknown."""
    parts = _SEPARATOR.split(text)
    found: Types = {_short(name): _fields(parts[0])}
    for part in parts[1:]:
        head, _, body = part.strip().partition("\n")
        if not head.startswith("MSG:"):
            raise SchemaUnknown("the schema has a part that names no type")
        found[_short(head[4:].strip())] = _fields(body)
    for built_in, body in BUILT_IN.items():
        found.setdefault(built_in, _fields(body))
    return _short(name), found


def _short(name: str) -> str:
    """`sensor_msgs/msg/Image` and `sensor_msgs/Image` are one type."""
    return name.replace("/msg/", "/")


def _fields(text: str) -> tuple[Field, ...]:
    fields = []
    for line in text.splitlines():
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        match = _FIELD.match(line)
        if match is None:
            raise SchemaUnknown(f"the schema's line {line[:60]!r} is none that is known")
        if match["rest"].startswith("="):
            continue  # a constant: it is not in the message
        array = match["array"]
        digits = "" if array is None or "<=" in array else array.strip("[]")
        fields.append(Field(match["name"], _short(match["type"]), None if array is None else int(digits or 0)))
    return tuple(fields)


def layout_of(top: str, types: Types, message: bytes | memoryview) -> Layout:
    """Walks one message. Raises SchemaUnknown when it does not fit its schema."""
    if len(message) < 4:
        raise SchemaUnknown("the message is shorter than its header")
    kind = message[1]
    if message[0] != 0 or kind not in (0, 1, 6, 7):
        raise SchemaUnknown("the message is in an encoding that is not read (only plain CDR is)")
    walk = _Walk(message, types, little=bool(kind & 1), widest=4 if kind >= 6 else 8)
    walk.type(top, "", 0)
    return Layout(len(message), walk.little, tuple(walk.numbers), tuple(walk.lengths), tuple(walk.texts))


class _Walk:
    def __init__(self, message: bytes | memoryview, types: Types, *, little: bool, widest: int) -> None:
        self.message, self.types, self.little, self.widest = message, types, little, widest
        self.at = 4
        self.visited = 0
        self.numbers: list[Numbers] = []
        self.lengths: list[int] = []
        self.texts: list[tuple[str, int, int]] = []

    def type(self, name: str, path: str, depth: int) -> None:
        fields = self.types.get(name)
        if fields is None and "/" not in name:
            fields = next((found for full, found in self.types.items() if full.endswith(f"/{name}")), None)
        if fields is None:
            raise SchemaUnknown(f"the schema does not say what {name[:60]} is")
        if depth > 16:
            raise SchemaUnknown("the schema's types hold each other")
        for field in fields:
            self.field(field, f"{path}.{field.name}" if path else field.name, depth)

    def field(self, field: Field, path: str, depth: int) -> None:
        self._visit()
        count = field.array
        if count == 0:
            count = self._length()
        if field.type in PRIMITIVES:
            code, width = PRIMITIVES[field.type]
            many = 1 if count is None else count
            if many:
                self._align(width)
                if self.at + many * width > len(self.message):
                    raise SchemaUnknown("the message ends inside a list of numbers")
                self.numbers.append(Numbers(path, code, self.at, many))
                self.at += many * width
            return
        for index in range(1 if count is None else count):
            self._visit()
            inner = path if count is None else f"{path}[{index}]"
            if field.type == "string":
                length = self._length()
                if self.at + length > len(self.message):
                    raise SchemaUnknown("the message ends inside a text")
                self.texts.append((inner, self.at, max(0, length - 1)))
                self.at += length
            elif field.type == "wstring":
                raise SchemaUnknown("wide strings are not read")
            else:
                self.type(field.type, inner, depth + 1)

    def _visit(self) -> None:
        self.visited += 1
        if self.visited > MAX_VISITED:
            raise SchemaUnknown("the message has too many fields to be read as numbers")

    def _align(self, width: int) -> None:
        width = min(width, self.widest)
        self.at += (4 - self.at) % width if width > 1 else 0

    def _length(self) -> int:
        self._align(4)
        if self.at + 4 > len(self.message):
            raise SchemaUnknown("the message ends before a length")
        length = int.from_bytes(self.message[self.at : self.at + 4], "little" if self.little else "big")
        if length > len(self.message):
            raise SchemaUnknown("a length in the message is longer than the message")
        self.lengths.append(self.at)
        self.at += 4
        return length


def text_at(message: bytes | memoryview, layout: Layout, path: str, limit: int = 200) -> str | None:
    """A text of the message by its path."""
    for name, offset, length in layout.texts:
        if name == path:
            return bytes(message[offset : offset + min(length, limit)]).decode("utf-8", "replace")
    return None


def value_names(layout: Layout, message: bytes | memoryview, field: str) -> list[str]:
    """Names of a list of numbers, from the list of texts `name` beside it (joint states have one)."""
    parent = field.rpartition(".")[0]
    prefix = f"{parent}.name[" if parent else "name["
    names: list[Any] = [text_at(message, layout, path, 60) for path, _, _ in layout.texts if path.startswith(prefix)]
    return [name or "" for name in names]
