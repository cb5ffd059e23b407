"""JSON that moves no cursor wherever it is printed: C1, DEL and bidi controls leave as escapes (C0 is, by the format)."""

from __future__ import annotations

import re

import msgspec

_ENCODE = msgspec.json.Encoder().encode
_CONTROLS = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")


def encode(value: object) -> bytes:
    """A contract struct as JSON text."""
    raw = _ENCODE(value)
    if raw.isascii() and b"\x7f" not in raw:
        return raw
    return _CONTROLS.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), raw)
