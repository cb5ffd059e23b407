"""The part of PromQL the simulated metrics server speaks: one instant vector selector, as `name{a="b",c=~"d|e"}`.

The name may also stand as a label: `{__name__=~"a|b"}` selects several metrics at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

MAX_LENGTH = 64_000
_NAME = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)?\s*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\\n]|\\.)*)"\s*')
_ESCAPE = re.compile(r"\\(.)")
_PLAIN_LIST = re.compile(r"(?:[\w ]|\\[-.])+(?:\|(?:[\w ]|\\[-.])+)*")
_NAMED = {"n": "\n", "t": "\t", "r": "\r"}


class BadQuery(Exception):
    """In Prometheus's words."""


Matcher = Callable[[Mapping[str, str]], bool]


class Query:
    """A parsed selector: which metrics it asks for, and which of their series."""

    def __init__(self, name: str, tests: list[tuple[str, Matcher]]) -> None:
        self._name = name
        self._names = [test for label, test in tests if label == "__name__"]
        self._labels = [test for label, test in tests if label != "__name__"]

    def names(self, known: Iterable[str]) -> list[str]:
        wanted = [self._name] if self._name else known
        return [name for name in wanted if all(test({"__name__": name}) for test in self._names)]

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(test(labels) for test in self._labels)


def parse(query: str) -> Query:
    """Raises BadQuery for everything but a plain selector."""
    if len(query) > MAX_LENGTH:
        raise BadQuery("query too long")
    head = _NAME.match(query)
    assert head is not None  # every part of it is optional
    name, at = head.group(1) or "", head.end()
    tests: list[tuple[str, Matcher]] = []
    if at < len(query) and query[at] == "{":
        at += 1
        while at < len(query) and query[at] != "}":
            found = _LABEL.match(query, at)
            if found is None:
                raise BadQuery(
                    f'1:{at + 1}: parse error: unexpected character in label matching, expected identifier or "}}"'
                )
            tests.append((found.group(1), _test(found.group(1), found.group(2), _unescape(found.group(3)))))
            at = found.end()
            if at < len(query) and query[at] == ",":
                at += 1
                while at < len(query) and query[at].isspace():
                    at += 1
            elif at >= len(query) or query[at] != "}":
                raise BadQuery(f"1:{at + 1}: parse error: unexpected end of input inside braces")
        if at >= len(query):
            raise BadQuery("1:1: parse error: unexpected end of input inside braces")
        at += 1
    if query[at:].strip() or not (name or any(label == "__name__" for label, _ in tests)):
        raise BadQuery(f"1:{at + 1}: parse error: the simulated server answers plain selectors only")
    return Query(name, tests)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda m: _NAMED.get(m.group(1), m.group(1)), text)


def _test(label: str, operator: str, value: str) -> Matcher:
    if operator in ("=", "!="):
        wanted = operator == "="
        return lambda labels: (labels.get(label, "") == value) is wanted
    wanted = operator == "=~"
    if _PLAIN_LIST.fullmatch(value):  # a list of names, as connectors send: no regular expression needed
        names = {re.sub(r"\\(.)", r"\1", part) for part in value.split("|")}
        return lambda labels: (labels.get(label, "") in names) is wanted
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise BadQuery(f"1:1: parse error: error parsing regexp: {error}") from error
    return lambda labels: bool(pattern.fullmatch(labels.get(label, ""))) is wanted
