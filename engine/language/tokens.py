"""Reads the words of a CEL expression without evaluating it: which names it uses, how deep its macros nest.

Two uses. The checks need the names (is `steps.check.output` there yet?). The evaluator needs them to hand CEL only the
values an expression looks at: converting a whole environment costs 500 µs with 500 robots in it, the pruned one 6 µs.

`has(steps.check.output)` of a plain path is answered here and given to CEL as a boolean variable: in CEL it is an error,
not false, when `steps.check` is missing, and a step that was not entered is exactly what authors ask it about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
RESERVED = frozenset(
    {
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "package",
        "namespace",
        "null",
        "return",
        "true",
        "var",
        "void",
        "while",
    }
)
"""Words that are no names in CEL."""

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<text>(?:[rR][bB]?|[bB][rR]?)?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
  | (?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>&&|\|\||[<>=!]=|.)
    """,
    re.VERBOSE | re.DOTALL,
)

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A dotted path an expression reads. `asked` when it stands in `has(...)`; `column` counts from 0."""

    path: Path
    column: int
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says: its references, the depth of its macros, and the text CEL is given, `has` answered apart."""

    references: tuple[Reference, ...]
    nesting: int
    text: str
    asked: tuple[tuple[str, Path], ...]
    functions: tuple[str, ...]


def tokens(text: str) -> list[Token]:
    found = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "sign"
        if kind != "space":
            found.append(Token(kind, match.group(), match.start(), match.end()))
    return found


def read(text: str) -> Reading:
    words = tokens(text)
    references: list[Reference] = []
    functions: list[str] = []
    asked: list[tuple[str, Path]] = []
    pieces: list[str] = []
    copied = 0
    deepest = 0
    brackets: list[str | None] = []  # one entry per open bracket: the variable a macro binds inside it, "" for none
    i = 0
    while i < len(words):
        word = words[i]
        if word.kind == "sign":
            if word.text in "([{":
                brackets.append(None)
            elif word.text in ")]}" and brackets:
                brackets.pop()
            i += 1
            continue
        if word.kind != "name" or (i and words[i - 1].text == "."):
            bound = _macro(words, i)
            if bound is not None:
                brackets.append(bound)
                deepest = max(deepest, sum(1 for b in brackets if b is not None))
                i += 3  # past the name, the bracket and the variable
                continue
            i += 1
            continue
        if word.text == "has" and (inner := _plain_has(words, i, brackets)) is not None:
            path, after = inner
            variable = f"has_{len(asked)}_"
            references.append(Reference(path, word.start, asked=True))
            asked.append((variable, path))
            pieces += [text[copied : word.start], variable]
            copied = words[after].end
            i = after + 1
            continue
        if word.text in RESERVED:
            i += 1
            continue
        if i + 1 < len(words) and words[i + 1].text == "(":
            functions.append(word.text)
            i += 1
            continue
        path, after = _path(words, i)
        if path[0] not in brackets:
            references.append(Reference(path, word.start))
        i = after
    pieces.append(text[copied:])
    return Reading(tuple(references), deepest, "".join(pieces), tuple(asked), tuple(functions))


def _macro(words: list[Token], i: int) -> str | None:
    """The variable bound by `.map(x, …)` whose name stands at i; None when no macro starts here."""
    if words[i].text not in MACROS or i + 3 >= len(words):
        return None
    bracket, variable, comma = words[i + 1 : i + 4]
    return variable.text if (bracket.text, variable.kind, comma.text) == ("(", "name", ",") else None


def _path(words: list[Token], i: int) -> tuple[Path, int]:
    """The dotted path that starts at i, without a method at its end, and the index after it."""
    path = [words[i].text]
    i += 1
    while i + 1 < len(words) and words[i].text == "." and words[i + 1].kind == "name":
        if i + 2 < len(words) and words[i + 2].text == "(":
            break
        path.append(words[i + 1].text)
        i += 2
    return tuple(path), i


def _plain_has(words: list[Token], i: int, brackets: list[str | None]) -> tuple[Path, int] | None:
    """The path of `has(a.b.c)` and the index of its closing bracket; None for anything less plain."""
    if i + 4 >= len(words) or words[i + 1].text != "(" or words[i + 2].kind != "name":
        return None
    path, after = _path(words, i + 2)
    plain = after < len(words) and words[after].text == ")" and len(path) > 1 and path[0] not in brackets
    return (path, after) if plain else None
