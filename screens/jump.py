"""The `:` line as a pure function: words in, where to go or what is wrong out.

Grammar: `noun [rest]`. A plural noun is a list and `rest` its filter (`:runs failed`); a singular noun opens one
(`:run 42`, `:rollout 9`, `:gate run-42.7`, `:robot HAM2-amr-0117`); `:theme day`, `:acts`, `:q`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from screens.places import BY_NOUN, ONE, PLACES

LISTS = tuple(BY_NOUN)
ONES = {noun: thing.root for noun, thing in ONE.items()}
SHORT = {
    **{place.short: place.noun for place in PLACES if place.short},
    "robots": "fleet",
    "cohorts": "fleet",
    "quit": "q",
    "exit": "q",
    "x": "q",
    "themes": "theme",
    "messages": "notices",
    "views": "view",
    "?": "help",
    "man": "manual",
    "h": "help",
}
OTHERS = (
    "theme",
    "as",
    "help",
    "manual",
    "marks",
    "back",
    "forward",
    "view",
    "save",
    "forget",
    "hints",
    "tour",
    "notices",
    "refresh",
    "q",
)
NEED = {
    "as": "the name of a person of the sandbox",
    "return": "the letter of a mark",
    "save": "a name for how this list looks now, like :save late",
    "forget": "the name of a view",
}
WORDS = (*LISTS, *ONES, *OTHERS)


@dataclass(frozen=True, slots=True)
class Jump:
    """`noun` is one of WORDS; `rest` the id, the filter or the option."""

    noun: str
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Not understood; `reason` is for the person who typed it."""

    reason: str


def parse(line: str) -> Jump | Unknown:
    """What a line means."""
    words = line.strip().lstrip(":").split(None, 1)
    if not words:
        return Unknown("nothing was typed")
    noun = SHORT.get(words[0].lower(), words[0].lower())
    rest = words[1].strip() if len(words) > 1 else ""
    if noun not in WORDS:
        close = difflib.get_close_matches(noun, WORDS, 1)
        hint = f"; did you mean :{close[0]}?" if close else f"; there are {', '.join(':' + word for word in WORDS)}"
        return Unknown(f"no command is called {words[0]!r}{hint}")
    if noun in ONES and not rest:
        return Unknown(f":{noun} needs an id, like :{noun} {ONE[noun].example}")
    if noun in NEED and not rest:
        return Unknown(f":{noun} needs {NEED[noun]}")
    if noun in ONE and ONE[noun].prefix and rest.isdigit():
        rest = f"{ONE[noun].prefix}-{rest}"
    return Jump(noun, rest)


def suggest(line: str, options: Iterable[str] = ()) -> str:
    """The line completed as far as it is certain; `options` are what may follow its word. Empty when nothing fits."""
    head, space, rest = line.partition(" ")
    if not space:
        if not head:
            return ""
        return next((word for word in WORDS if word.startswith(head.lower()) and word != head), "")
    wanted = rest.lower()
    match = next((one for one in options if rest and one.lower().startswith(wanted) and one.lower() != wanted), "")
    return f"{head} {match}" if match else ""
