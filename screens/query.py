"""The language of filters as pure functions: words in, a test of rows or what is wrong out.

    waiting                     a word anywhere in the row
    "two words"                 as they stand, together
    -slow                       not this
    site:HAM2,HAM3              the field holds one of these (case aside); -site:HAM2 holds none of them
    state=new                   the field is exactly this
    age>2h  score<=0.5          numbers and durations are compared; so are times of day and dates

All of it must be true. Fields are the columns of the list (and what a screen adds); a field may be shortened as long as
it means one of them. A row that has no number there is in neither part of a comparison.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

ANYWHERE = ""
"""The field that is the whole row."""
_TOKEN = re.compile(
    r'(?P<not>-?)(?:(?P<field>[^\s":<>=!-][^\s":<>=!]*)(?P<op>>=|<=|!=|[:=<>]))?(?P<value>(?:"[^"]*"?|[^\s"])*)'
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s?(d|h|min|m|s)(?![A-Za-z_/])")
_UNITS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}
_NUMBER = re.compile(r"[-+]?\d[\d,\u202f\u00a0]*(?:\.\d+)?|[-+]?\.\d+")
_SCALE = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "B": 1.0}
_CLOCK = re.compile(r"(?:(\d{4})-(\d\d)-(\d\d)[T ]?)?(\d\d):(\d\d)(?::(\d\d))?Z?")


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `op` is `:`, `=`, `!=`, `<`, `<=`, `>`, `>=`; `said` is how it was typed."""

    field: str
    op: str
    values: tuple[str, ...]
    negated: bool = False
    said: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """What was asked for. Without terms everything fits."""

    terms: tuple[Term, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether a row fits; `fields` by lower-case name, `ANYWHERE` holding all of it."""
        return all(_holds(term, fields) for term in self.terms)

    @property
    def words(self) -> str:
        """The plain words alone, for a search elsewhere that knows no fields."""
        return " ".join(term.values[0] for term in self.terms if term.field == ANYWHERE and not term.negated)

    def of(self, field: str) -> tuple[str, ...]:
        """What a field is asked to be, by `:` or `=` and not negated."""
        return tuple(
            value
            for term in self.terms
            if term.field == field and term.op in (":", "=") and not term.negated
            for value in term.values
        )


@dataclass(frozen=True, slots=True)
class Wrong:
    """Not understood; `word` is the part it is about, `reason` is for the person who typed it."""

    word: str
    reason: str


def parse(text: str, fields: Collection[str] = ()) -> Filter | Wrong:
    """What a filter means. With `fields`, a name that is none of them is wrong; without, any name goes."""
    terms: list[Term] = []
    names = [name for name in fields if name]
    for found in _TOKEN.finditer(text.strip()):
        said = found[0].strip()
        if not said:
            continue
        if said.count('"') % 2:
            return Wrong(said, f'{said} has no closing "')
        if said == "-":
            return Wrong(said, "- stands alone: -word leaves out rows with the word")
        term = _term(found, said, names)
        if isinstance(term, Wrong):
            return term
        terms.append(term)
    return Filter(tuple(terms))


def _term(found: re.Match[str], said: str, names: Sequence[str]) -> Term | Wrong:
    typed, op, value = found["field"], found["op"], found["value"]
    negated = bool(found["not"])
    if typed is None:
        return Term(ANYWHERE, ":", (_plain(value),), negated, said)
    if names and ":" in op and (re.fullmatch(r"\d\d?", typed) or value.startswith("//")):
        return Term(ANYWHERE, ":", (_plain(f"{typed}{op}{value}"),), negated, said)  # 09:14, http://...: only words
    field = field_of(typed, names) if names else typed.casefold()
    if field is None:
        close = difflib.get_close_matches(typed.casefold(), list(map(spelled, names)), 1, 0.5)
        hint = f"did you mean {close[0]}{op}?" if close else f"fields here: {', '.join(map(spelled, names))}"
        return Wrong(said, f"no field is called {typed}; {hint}")
    values = tuple(filter(None, (_plain(one) for one in _split(value))))
    if not values:
        return Wrong(said, f"{typed}{op} needs a value")
    if op in ("<", "<=", ">", ">="):
        if len(values) > 1:
            return Wrong(said, f"{said} compares with one value, not {len(values)}")
        if amount(values[0]) is None:
            return Wrong(said, f"{values[0]} is no number, duration (2h30m), time (09:30) or date")
    return Term(field, "=" if op == "!=" else op, values, negated != (op == "!="), said)


def field_of(typed: str, names: Iterable[str]) -> str | None:
    """The field somebody means: its name, its name as one word, or the only one that begins like this."""
    wanted = typed.casefold()
    known = list(names)
    for name in known:
        if wanted in (name, spelled(name)):
            return name
    begin = [name for name in known if spelled(name).startswith(wanted)]
    inside = [name for name in known if wanted in re.split(r"[^\w]+", name)]
    return (begin or inside)[0] if len(begin) == 1 or (not begin and len(inside) == 1) else None


def spelled(name: str) -> str:
    """A field's name as it is typed: one word, lower case."""
    return re.sub(r"[^\w/%#]+", "-", name.casefold()).strip("-")


def _split(value: str) -> list[str]:
    """At commas that stand in no quotes."""
    return re.findall(r'(?:"[^"]*"|[^,"])+', value)


def _plain(value: str) -> str:
    return value.replace('"', "").strip()


def _holds(term: Term, fields: Mapping[str, str]) -> bool:
    text = fields.get(term.field, "")
    if term.op in (":", "="):
        held = text.casefold().strip()
        wanted = [value.casefold() for value in term.values]
        if term.op == ":":
            fits = any(value in held for value in wanted)
        else:
            fits = held in wanted or bare(held) in wanted
        return fits != term.negated
    held_amount, limit = amount(text), amount(term.values[0])
    if held_amount is None or limit is None:
        return False
    fits = {
        "<": held_amount < limit,
        "<=": held_amount <= limit,
        ">": held_amount > limit,
        ">=": held_amount >= limit,
    }[term.op]
    return fits != term.negated


def amount(text: str) -> float | None:
    """A text as a number that can be compared: `1,234`, `12 %`, `4.2 GB`, `2h30m` and `<1m` in seconds, `09:14:03`
    and `2026-11-23 09:14` in seconds too. The first such thing in the text counts; None when there is none.
    """
    text = text.strip()
    if not text:
        return None
    if clock := _CLOCK.search(text):
        year, month, day, hour, minute, second = (int(part) if part else 0 for part in clock.groups())
        return ((year * 372 + month * 31 + day) * 86400.0) + hour * 3600 + minute * 60 + second
    if date := re.search(r"(\d{4})-(\d\d)-(\d\d)", text):
        year, month, day = map(int, date.groups())
        return (year * 372 + month * 31 + day) * 86400.0
    parts = list(_DURATION.finditer(text))
    if parts:
        run = [parts[0], *(after for before, after in pairwise(parts) if after.start() == before.end())]
        return sum(float(one[1]) * _UNITS[one[2]] for one in run)
    number = _NUMBER.search(text)
    if number is None:
        return None
    value = float(re.sub(r"[,\u202f\u00a0]", "", number[0]))
    scale = re.match(r"\s?([kMGT])i?B?\b|\s?([kMGT])\b", text[number.end() :])
    return value * _SCALE[(scale[1] or scale[2])] if scale else value


def narrowing(text: str, titles: Iterable[str]) -> Callable[[Mapping[str, str]], bool] | None:
    """A test for the rows of a list with these columns; None for one plain word, which needs none.

    A list that lacks a field somebody named shows nothing: that field is another list's.
    """
    if re.fullmatch(r"[\w./+][\w./+-]*", text.strip()):
        return None
    asked = parse(text, [ANYWHERE, *(title.casefold() for title in titles if title)])
    return (lambda fields: False) if isinstance(asked, Wrong) else asked.matches


def bare(text: str) -> str:
    """A cell's text without the sign in front of it."""
    return re.sub(r"^[^\w\s]{1,2}\s+", "", text.strip())


def complete(text: str, fields: Collection[str], values: Callable[[str], Iterable[str]] = lambda name: ()) -> str:
    """The text with its last word completed, to a field's name or to a value that occurs; empty when nothing fits."""
    head, _, last = text.rpartition(" ")
    begin = f"{head} " if head else ""
    sign = "-" if last.startswith("-") else ""
    word = last[len(sign) :]
    if not word or '"' in word:
        return ""
    name, op, value = re.match(r"([^:=<>]*)([:=]?)(.*)", word).groups()  # type: ignore[union-attr]
    if not op:
        wanted = name.casefold()
        match = next((spelled(one) for one in fields if one and spelled(one).startswith(wanted)), "")
        return f"{begin}{sign}{match}:" if match else ""
    field = field_of(name, [one for one in fields if one])
    before, comma, wanted = value.rpartition(",")
    if field is None or not wanted:
        return ""
    match = next((one for one in values(field) if one.casefold().startswith(wanted.casefold()) and one != wanted), "")
    if not match:
        return ""
    shown = f'"{match}"' if " " in match else match
    return f"{begin}{sign}{name}{op}{before}{comma}{shown}"
