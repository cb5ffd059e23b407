"""Queries in RSQL (FIQL) as far as contract servers need them: `;` and, `,` or, parentheses, `==` with `*`, `=in=`, order.

Grammar after the rsql-parser documentation; a value may stand in single or double quotes, a backslash escapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_OPERATORS = ("=in=", "=out=", "=ge=", "=gt=", "=le=", "=lt=", "==", "!=")
Get = Callable[[Any], Any]


class BadQuery(Exception):
    """`code` is what the server calls it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Query:
    """A parsed query over rows; `fields` (lower-case names) say how a field is read from a row."""

    def __init__(self, text: str, fields: Mapping[str, Get]) -> None:
        self._text, self._at, self._fields = text, 0, fields
        self.test = self._or()
        if self._at != len(text):
            raise BadQuery("hawkbit.server.error.rest.param.rsqlParamSyntax", f"unexpected at {self._at}: {text}")

    def _or(self) -> Callable[[Any], bool]:
        tests = [self._and()]
        while self._take(","):
            tests.append(self._and())
        return lambda row: any(test(row) for test in tests)

    def _and(self) -> Callable[[Any], bool]:
        tests = [self._one()]
        while self._take(";"):
            tests.append(self._one())
        return lambda row: all(test(row) for test in tests)

    def _one(self) -> Callable[[Any], bool]:
        if self._take("("):
            inner = self._or()
            if not self._take(")"):
                raise BadQuery("hawkbit.server.error.rest.param.rsqlParamSyntax", "a parenthesis is not closed")
            return inner
        found = re.compile(r"[A-Za-z][\w.]*").match(self._text, self._at)
        operator = ""
        if found:
            operator = next((o for o in _OPERATORS if self._text.startswith(o, found.end())), "")
        if not found or not operator:
            raise BadQuery(
                "hawkbit.server.error.rest.param.rsqlParamSyntax", f"no comparison: {self._text[self._at :]}"
            )
        self._at = found.end() + len(operator)
        get = self._fields.get(found.group().lower())
        if get is None:
            code = "hawkbit.server.error.rest.param.rsqlInvalidField"
            raise BadQuery(code, f"field {found.group()} is not supported")
        if operator in ("=in=", "=out="):
            values = self._list()
            if operator == "=in=":
                return lambda row: any(p.fullmatch(_text(get(row))) for p in values)
            return lambda row: not any(p.fullmatch(_text(get(row))) for p in values)
        raw = self._value()
        if operator in ("==", "!="):
            pattern = _pattern(raw)
            return lambda row: (pattern.fullmatch(_text(get(row))) is not None) == (operator == "==")
        limit = float("".join(c for c, _ in raw))
        compare = {
            "=ge=": lambda v: v >= limit,
            "=gt=": lambda v: v > limit,
            "=le=": lambda v: v <= limit,
            "=lt=": lambda v: v < limit,
        }
        return lambda row: bool(compare[operator](float(get(row) or 0)))

    def _list(self) -> list[re.Pattern[str]]:
        if not self._take("("):
            raise BadQuery("hawkbit.server.error.rest.param.rsqlParamSyntax", "a list is expected")
        values = [_pattern(self._value())]
        while self._take(","):
            values.append(_pattern(self._value()))
        if not self._take(")"):
            raise BadQuery("hawkbit.server.error.rest.param.rsqlParamSyntax", "a list is not closed")
        return values

    def _value(self) -> list[tuple[str, bool]]:
        """Characters, and whether each stands for itself."""
        text, out = self._text, []
        quote = text[self._at] if self._at < len(text) and text[self._at] in "'\"" else ""
        self._at += len(quote)
        while self._at < len(text):
            c = text[self._at]
            if c == "\\" and self._at + 1 < len(text):
                out.append((text[self._at + 1], True))
                self._at += 2
                continue
            if c == quote:
                self._at += 1
                return out
            if not quote and c in ";,() '\"":
                break
            out.append((c, c != "*"))
            self._at += 1
        if quote or not out:
            raise BadQuery("hawkbit.server.error.rest.param.rsqlParamSyntax", "a value is not closed")
        return out

    def _take(self, c: str) -> bool:
        if self._text.startswith(c, self._at):
            self._at += 1
            return True
        return False


def _pattern(value: list[tuple[str, bool]]) -> re.Pattern[str]:
    return re.compile("".join(re.escape(c) if itself else ".*" for c, itself in value), re.I | re.S)


def _text(value: Any) -> str:
    return {True: "true", False: "false", None: ""}.get(value, str(value)) if not isinstance(value, int | float) or isinstance(value, bool) else str(value)  # fmt: skip
