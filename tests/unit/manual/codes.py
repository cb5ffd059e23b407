"""The codes a refusal can have, read from the source: what the door, the desks and the core refuse with, and the names of
errors of actions and of the journal, which the door writes small."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from screens.manual_text import snake

ROOT = Path(__file__).parents[3]
REFUSERS = {"Denied": 1, "Refusal": 0, "refuse": 0, "_refuse": 0, "record": 2, "Problem": 0}
"""Callables that refuse, and which of their arguments is the code."""
WITH_CODE = {"Refusal", "Problem", "_refuse_vote", "Opening", "refuse", "denied"}
CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")
NAME = re.compile(r"[A-Z][A-Za-z0-9]+\Z")


def codes() -> dict[str, str]:
    """Each code with the module that may give it."""
    found: dict[str, str] = {}
    modules = [path for room in ("engine", "connectors") for path in (ROOT / room).rglob("*.py")]
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in modules}
    errors = _errors(trees.values())
    for path, tree in trees.items():
        if (
            "conformance" in path.parts or "sandbox" in path.parts
        ):  # their refusals are said to developers of connectors
            continue
        where = str(path.relative_to(ROOT))
        for node in ast.walk(tree):
            for code in _of(node, errors):
                found.setdefault(code, where)
            if where == "engine/store/errors.py" and isinstance(node, ast.ClassDef):
                found[snake(node.name)] = where
    return found


def _of(node: ast.AST, errors: set[str]) -> Iterable[str]:
    if isinstance(node, ast.Call):
        name = _called(node)
        place = REFUSERS.get(name)
        if place is not None and len(node.args) > place:
            yield from (snake(text) for text in _texts(node.args[place]) if CODE.match(text) or NAME.match(text))
        if name in WITH_CODE:
            for given in node.keywords:
                if given.arg == "code":
                    yield from (text for text in _texts(given.value) if CODE.match(text))
        if name in errors or name == "__init__":
            yield from (snake(text) for text in _texts(node.args[0]) if NAME.match(text)) if node.args else ()
    elif isinstance(node, ast.FunctionDef) and node.name in (
        "_problem",
        "_gone",
    ):  # the core's votes: (code, reason, …)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Tuple) and len(inner.elts) > 1:
                yield from (text for text in _texts(inner.elts[0]) if CODE.match(text))


def _errors(trees: Iterable[ast.AST]) -> set[str]:
    """Classes of errors with a name in their first argument."""
    bases = {"ActionError"}
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while True:
        more = {one.name for one in classes if {_name(base) for base in one.bases} & bases} - bases
        if not more:
            return bases
        bases |= more


def _called(node: ast.Call) -> str:
    return _name(node.func)


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _texts(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return _texts(node.body) + _texts(node.orelse)
    return []
