"""Expressions: CEL behind four functions (`parse`, `check`, `evaluate`, `render`) and the class the core is given.

No other module knows which evaluator this is; `tests/unit/language/conformance.yaml` says what it must answer.

What is made sure here, because the evaluator does not: an error comes back as a value whose text is true, so the type is
looked at before the value; only a real boolean is a truth; memory is not limited, so length and nesting are; it takes
a reference from None for each null it hands out, so each is given back. Plain dotted paths, most of what definitions
hold, never reach it.
"""

from __future__ import annotations

import ctypes
import datetime
import math
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from cel_expr_python import cel

from engine.core.evaluator import ExpressionError
from engine.language import tokens

Json = Any

MAX_LENGTH = 512
"""Characters of one expression. Six nested `map` within a longer one took 1.8 GB (measured)."""
MAX_NESTING = 2
"""Macros inside macros. The evaluator itself stops at 10,000 iterations, which bounds time but not memory."""
MAX_TEMPLATE = 8_192
"""Characters of one template text."""

ANY = "any"
TYPES = {
    "any": cel.Type.DYN,
    "string": cel.Type.STRING,
    "integer": cel.Type.INT,
    "number": cel.Type.DOUBLE,
    "boolean": cel.Type.BOOL,
    "array": cel.Type.List(cel.Type.DYN),
    "object": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
}
"""The JSON Schema words for types, as the evaluator calls them."""

_NONE_IS_COUNTED = sys.version_info < (3, 12)
_NONE = ctypes.py_object(None)
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_MIXED = re.compile(r"no matching overload for '_(?:[<>]=?|[=!]=)_' applied to '\((?:int, double|double, int)\)'")

Program = Any
Trie = dict[str, Any]

_UNCHECKED = cel.NewEnv()


class Expression:
    """One parsed expression. `path` is set when it is a plain dotted path, else `program` holds the compiled form."""

    __slots__ = ("needs", "path", "program", "reading", "text")

    def __init__(self, text: str, reading: tokens.Reading, path: tokens.Path | None, program: Program) -> None:
        self.text, self.reading, self.path, self.program = text, reading, path, program
        self.needs = _trie([r.path for r in reading.references if not r.asked])


@lru_cache(maxsize=8_192)
def parse(text: str) -> Expression:
    """The expression of a text, compiled. Raises ExpressionError when it is no CEL, too long or too deep."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the expression has {len(text)} characters, more than {MAX_LENGTH}")
    stripped = text.strip()
    if not stripped:
        raise ExpressionError("the expression is empty")
    reading = tokens.read(stripped)
    if reading.nesting > MAX_NESTING:
        raise ExpressionError(
            f"macros (all, exists, filter, map) nest {reading.nesting} deep, at most {MAX_NESTING} do"
        )
    if _PATH.fullmatch(stripped) and stripped.split(".", 1)[0] not in tokens.RESERVED:
        return Expression(stripped, reading, tuple(stripped.split(".")), None)
    # Declared types are looked at by `check` alone: a definition that was accepted once goes on being evaluated.
    try:
        program = _UNCHECKED.compile(reading.text, disable_check=True)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ExpressionError(_sentence(error)) from None
    return Expression(stripped, reading, None, program)


def check(text: str, names: Mapping[str, str]) -> str:
    """The static type of an expression, as a JSON Schema word, `timestamp`, `duration` or `any`.

    `names` maps what may be used (`inputs.release`, `steps`, …) to its type. Raises ExpressionError when a name is
    none of them or types do not fit. Integers and floats may be compared with each other, not added or multiplied.
    """
    expression = parse(text)
    reading = expression.reading
    asked = {variable: "boolean" for variable, _ in reading.asked}
    try:
        return _static(reading.text, tuple(sorted({**names, **asked}.items())))
    except ExpressionError as error:
        if _MIXED.search(str(error)):
            loose = {name: ANY if kind in ("integer", "number") else kind for name, kind in names.items()}
        elif "null" in str(error):
            loose = dict.fromkeys(names, ANY)  # the checker lets null be of no other type; evaluation does
        else:
            raise
        return _static(reading.text, tuple(sorted({**loose, **asked}.items())))


def evaluate(expression: Expression, env: Mapping[str, Json]) -> Json:
    """The value of an expression as JSON (timestamps as RFC 3339 text, durations as seconds). Raises ExpressionError."""
    if expression.path is not None:
        return _walk(expression.path, env)
    data = _prune(expression.needs, env)
    for variable, path in expression.reading.asked:
        data[variable] = _has(path, env)
    try:
        result = expression.program.eval(data=data)
        if result.type() == cel.Type.ERROR and "Non-CEL value type" in str(result.plain_value()):
            result = expression.program.eval(data=_builtins(data))
        kind = result.type()
        if kind in (cel.Type.ERROR, cel.Type.UNKNOWN):
            raise ExpressionError(f"{expression.text}: {_sentence(result.plain_value())}")
        return _json(_owned(result.plain_value()), expression.text)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise ExpressionError(f"{expression.text}: {_sentence(error)}") from None


def render(value: Json) -> str:
    """How a value stands inside text: text as it is, a whole float without its `.0`, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return msgspec.json.encode(value).decode()


class Expressions:
    """The core's Evaluator. Holds nothing; compiled forms are kept by text for the whole process."""

    def value(self, template: Json, env: Mapping[str, Json]) -> Json:
        """`template` with every `${cel}` replaced; one `${cel}` alone keeps its type. Raises ExpressionError."""
        if isinstance(template, str):
            if "${" not in template:
                return template
            parts = template_parts(template)
            if len(parts) == 1:
                return parts[0] if isinstance(parts[0], str) else evaluate(parts[0], env)
            return "".join(part if isinstance(part, str) else render(evaluate(part, env)) for part in parts)
        if isinstance(template, Mapping):
            return {key: self.value(item, env) for key, item in template.items()}
        if isinstance(template, (list, tuple)):
            return [self.value(item, env) for item in template]
        return template

    def truth(self, cel: str, env: Mapping[str, Json]) -> bool:
        """The boolean that bare CEL gives. Anything else, a text `true` included, raises ExpressionError."""
        value = evaluate(parse(cel), env)
        if value is True or value is False:
            return value
        raise ExpressionError(f"{cel.strip()}: gives {_named(value)}, not true or false")


@lru_cache(maxsize=8_192)
def template_parts(template: str) -> tuple[str | Expression, ...]:
    """The texts and expressions a template is made of. `$${` stands for a literal `${`. Raises ExpressionError."""
    if len(template) > MAX_TEMPLATE:
        raise ExpressionError(f"the text has {len(template)} characters, more than {MAX_TEMPLATE}")
    parts: list[str | Expression] = []
    literal: list[str] = []
    at = 0
    while True:
        found = template.find("${", at)
        if found < 0:
            literal.append(template[at:])
            break
        if found > at and template[found - 1] == "$":
            literal += [template[at : found - 1], "${"]
            at = found + 2
            continue
        literal.append(template[at:found])
        end = _closing(template, found + 2)
        if "".join(literal):
            parts.append("".join(literal))
        literal = []
        parts.append(parse(template[found + 2 : end]))
        at = end + 1
    if "".join(literal) or not parts:
        parts.append("".join(literal))
    return tuple(parts)


def _closing(template: str, start: int) -> int:
    """Where the `}` stands that closes the `${` before `start`; those in texts and inner braces do not count."""
    depth = 0
    for token in tokens.tokens(template[start:]):
        if token.text == "{":
            depth += 1
        elif token.text == "}":
            if not depth:
                return start + token.start
            depth -= 1
    raise ExpressionError("`${` is never closed by `}` (a literal `${` is written `$${`)")


@lru_cache(maxsize=8_192)
def _static(text: str, names: tuple[tuple[str, str], ...]) -> str:
    try:
        compiled = _checker(names).compile(text)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ExpressionError(_sentence(error)) from None
    kind = compiled.return_type().name()
    if kind.startswith("LIST"):
        return "array"
    if kind.startswith("MAP"):
        return "object"
    plain = {"BOOL": "boolean", "INT": "integer", "UINT": "integer", "DOUBLE": "number", "STRING": "string"}
    plain |= {"NULL": "null", "TIMESTAMP": "timestamp", "DURATION": "duration", "BYTES": "bytes"}
    return plain.get(kind, "type" if kind.startswith("TYPE") else ANY)


@lru_cache(maxsize=256)
def _checker(names: tuple[tuple[str, str], ...]) -> Any:
    return cel.NewEnv(variables={name: TYPES[kind] for name, kind in names})


def _trie(paths: list[tokens.Path]) -> Trie:
    """The paths as nested dictionaries; None at the end of one: everything below is needed."""
    root: Trie = {}
    for path in paths:
        node: Trie | None = root
        for name in path[:-1]:
            below: Trie | None = node.setdefault(name, {}) if node is not None else None
            node = below
        if node is not None:
            node[path[-1]] = None
    return root


def _prune(needs: Trie, source: Mapping[str, Json]) -> dict[str, Json]:
    kept: dict[str, Json] = {}
    for name, below in needs.items():
        if name in source:
            value = source[name]
            kept[name] = _prune(below, value) if below is not None and isinstance(value, Mapping) else value
    return kept


def _builtins(value: Json) -> Json:
    """The value with only lists, dictionaries and leaves in it: CEL takes no tuple and no mapping of another make."""
    if isinstance(value, Mapping):
        return {str(key): _builtins(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_builtins(item) for item in value]
    return value


def _walk(path: tokens.Path, env: Mapping[str, Json]) -> Json:
    value: Json = env
    for depth, name in enumerate(path):
        if not isinstance(value, Mapping) or name not in value:
            where = ".".join(path[:depth]) or "the environment"
            what = "is " + _named(value) if not isinstance(value, Mapping) else f"has no {name!r}"
            raise ExpressionError(f"{'.'.join(path)}: {where} {what}")
        value = value[name]
    if isinstance(value, float) and not math.isfinite(value):
        raise ExpressionError(f"{'.'.join(path)}: is not a finite number")
    return value


def _has(path: tokens.Path, env: Mapping[str, Json]) -> bool:
    value: Json = env
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return False
        value = value[name]
    return True


def _owned(value: Any) -> Any:
    """A converted result, with the references of None returned that the conversion took.

    cel-expr-python 0.1.3 hands out None without counting it, once for each null at any depth. Until Python 3.12, where
    None lives for ever, that ends the process after some ten thousand evaluations. A test holds the count at zero.
    """
    if _NONE_IS_COUNTED:
        for _ in range(_nulls(value)):
            ctypes.pythonapi.Py_IncRef(_NONE)
    return value


def _nulls(value: Any) -> int:
    if value is None:
        return 1
    if isinstance(value, list):
        return sum(map(_nulls, value))
    return sum(map(_nulls, value.values())) if isinstance(value, dict) else 0


def _json(value: Any, text: str) -> Json:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ExpressionError(f"{text}: is not a finite number")
        return value
    if isinstance(value, list):
        return [_json(item, text) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ExpressionError(f"{text}: a map's keys must be text")
        return {key: _json(item, text) for key, item in value.items()}
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    raise ExpressionError(f"{text}: gives {type(value).__name__}, which is no JSON value")


def _named(value: Json) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", tuple: "a list"}
    return names.get(type(value), "an object")


def _sentence(error: object) -> str:
    """The evaluator's message without its codes, its drawing of the place, and anything after the first error."""
    first = str(error).split("\n", 1)[0]
    first = re.sub(r"^(?:[A-Z_]+: )?(?:ERROR: <input>:\d+:(\d+): )?", lambda m: f"at {m[1]}: " if m[1] else "", first)
    first = re.sub(r"\s*\(in container ''\)|\s*\[[A-Z_]+\]$", "", first)
    return first[:300]
