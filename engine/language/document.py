"""Reads YAML strictly into nodes that know their lines. PyYAML's parser is used; its opinions on scalars are not.

A plain scalar is a number, a boolean or null only where it can be nothing else: `true`, `false`, `null`, `~`, `12`, `-3`,
`0.25`. `on`, `yes`, `1:30`, `1.10`, `012`, `1e3`, `0x1F`, `True` stay text. Anchors, aliases, tags, merge keys, several
documents, tabs, keys that are no text and keys given twice are findings, not surprises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from engine.language.findings import Findings, quoted

MAX_BYTES = 262_144
MAX_DEPTH = 24
MAX_NODES = 20_000

_QUICK: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_INTEGER = re.compile(r"-?[1-9][0-9]{0,17}|0")
_DECIMAL = re.compile(r"-?(?:[1-9][0-9]{0,14}|0)\.(?:[0-9]{0,15}[1-9]|0)")


@dataclass(slots=True)
class Scalar:
    """A leaf. `text` is what stands there; `plain` tells that it was not quoted."""

    line: int
    text: str
    plain: bool

    @property
    def value(self) -> Any:
        """What the scalar means: itself when quoted, else null, boolean or number where it can be nothing else."""
        if not self.plain:
            return self.text
        if self.text in ("", "~", "null"):
            return None
        if self.text in ("true", "false"):
            return self.text == "true"
        if _INTEGER.fullmatch(self.text):
            return int(self.text)
        return float(self.text) if _DECIMAL.fullmatch(self.text) else self.text


@dataclass(slots=True)
class Sequence:
    line: int
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Mapping:
    line: int
    entries: dict[str, tuple[int, Node]] = field(default_factory=dict)
    """Key to (line of the key, value), in the order of the text."""


Node = Scalar | Sequence | Mapping


def plain(node: Node) -> Any:
    """The node as JSON."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key: plain(value) for key, (_, value) in node.entries.items()}


def kind(node: Node) -> str:
    """What stands there, in words for a message."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    value = node.value
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    return f"the number {node.text}" if isinstance(value, (int, float)) else f"the text {quoted(value)}"


class _Stop(Exception):
    """The text can't be read on: what follows would be guesses."""


def parse(text: str, findings: Findings, *, shipped: bool = False) -> Mapping | None:
    """The document's top mapping, or None when there is none to go on with. What is wrong is added to `findings`.

    `shipped` texts are read by libyaml where PyYAML has it: ten times as fast, but in rare corners (tabs after values,
    `{a:}`) another language. A test holds the two equal for every text that comes with the project.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        findings.add(
            1, "", f"the text is larger than {MAX_BYTES // 1024} KiB", "split it: a child workflow can take a part"
        )
        return None
    if "\0" in text:
        findings.add(text[: text.index("\0")].count("\n") + 1, "", "the text holds a NUL character", "remove it")
        return None
    try:
        for number, line in enumerate(text.splitlines(), 1):
            if "\t" in line[: len(line) - len(line.lstrip())]:
                findings.add(number, "", "a tab stands in the indentation", "indent with spaces")
                raise _Stop
        grammar = _QUICK if shipped else yaml.SafeLoader
        return _top(_Builder(findings, yaml.parse(text, Loader=grammar)).document(), findings)
    except _Stop:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = mark.line + 1 if mark else 1
        findings.add(at, "", f"this is no YAML: {error.problem or error.context}", _hint(error, text, at))
    except yaml.reader.ReaderError as error:
        at = text[: error.position].count("\n") + 1 if isinstance(error.position, int) else 1
        findings.add(at, "", "a character stands here that YAML does not allow", "remove it")
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # PyYAML lets chr() and int() of absurd escapes and directives through.
        findings.add(1, "", f"this is no YAML: {quoted(error)}")
    return None


def _top(node: Node | None, findings: Findings) -> Mapping | None:
    if isinstance(node, Mapping):
        return node
    if node is None or (isinstance(node, Scalar) and node.value is None):
        findings.add(1, "", "the text is empty", "begin with `quarterdeck: 1`")
    else:
        findings.add(node.line, "", f"a mapping is expected, not {kind(node)}", "begin with `quarterdeck: 1`")
    return None


def _hint(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    problem = str(error.problem)
    lines = text.splitlines()
    shown = lines[line - 1] if 0 < line <= len(lines) else ""
    if "mapping values are not allowed" in problem:
        return "quote the value when it holds `: `"
    if "found character '%'" in problem or "found character '@'" in problem or "found character '`'" in problem:
        return "quote the value"
    if "'}'" in problem or "',' or '}'" in problem or "flow" in str(error.context):
        return "close what is open; inside { } and [ ] quote values that hold { } [ ] ? or ,"
    return "look at the indentation" if shown[:1] == " " else ""


class _Builder:
    """Builds nodes from parser events without recursion, so that depth is a finding and not a crash."""

    def __init__(self, findings: Findings, events: Iterator[Any]) -> None:
        self.findings, self.events, self.nodes = findings, events, 0

    def document(self) -> Node | None:
        top: Node | None = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._stop(event, "a second document starts here", "one file holds one document")
            elif isinstance(event, yaml.NodeEvent):
                top = self._tree(event)
        return top

    def _tree(self, event: Any) -> Node:
        top = self._node(event)
        open_nodes: list[tuple[Sequence | Mapping, list[tuple[str, int] | None]]] = []
        if not isinstance(top, Scalar):
            open_nodes.append((top, [None]))
        while open_nodes:
            event = next(self.events)
            parent, pending = open_nodes[-1]
            if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                open_nodes.pop()
                continue
            node = self._node(event)
            if isinstance(parent, Sequence):
                parent.items.append(node)
            elif pending[0] is None:
                pending[0] = self._key(node)
                continue
            else:
                key, line = pending[0]
                pending[0] = None
                self._enter(parent, key, line, node)
            if not isinstance(node, Scalar):
                if len(open_nodes) >= MAX_DEPTH:
                    self._stop(event, f"nested deeper than {MAX_DEPTH}", "flatten it")
                open_nodes.append((node, [None]))
        return top

    def _enter(self, parent: Mapping, key: str, line: int, node: Node) -> None:
        if key in parent.entries:
            first = parent.entries[key][0]
            self.findings.add(
                line, "", f"the key {quoted(key)} is given twice (first on line {first})", "remove one of the two"
            )
        else:
            parent.entries[key] = (line, node)

    def _key(self, node: Node) -> tuple[str, int]:
        if not isinstance(node, Scalar):
            self.findings.add(node.line, "", f"{kind(node)} stands where a key is expected", "a key is plain text")
            raise _Stop
        return node.text, node.line

    def _node(self, event: Any) -> Node:
        line = event.start_mark.line + 1
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES} values", "split it: a child workflow can take a part")
        if isinstance(event, yaml.AliasEvent):
            self._stop(
                event, f"`*{str(event.anchor)[:40]}` refers to an anchor", "write the value out; a leading * is quoted"
            )
        if event.anchor is not None:
            self._stop(event, f"`&{event.anchor[:40]}` is an anchor", "write the value out; a leading & is quoted")
        if event.tag is not None:
            self._stop(event, f"`{event.tag[:40]}` is a tag", "remove it; a leading ! is quoted")
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(line, event.value, not event.style)  # libyaml: empty for none
        return Sequence(line) if isinstance(event, yaml.SequenceStartEvent) else Mapping(line)

    def _stop(self, event: Any, message: str, fix: str) -> None:
        self.findings.add(event.start_mark.line + 1, "", message, fix)
        raise _Stop
