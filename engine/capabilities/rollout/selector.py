"""The selector language: `region:eu variant:rev-C|rev-B -site:HAM2,HAM5 robot:HAM2-*`.

Terms are `key:value`, with `|` or `,` between alternatives and `*` as wildcard. Terms of different keys all have to hold;
several of one key are alternatives; a leading `-` excludes. `all` alone is the whole fleet. A selector is resolved
once, into a frozen list: robots that match later are not in the rollout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from engine.capabilities.ports import ActionError, Robot

KEYS = ("robot", "serial", "site", "region", "customer", "variant", "version")


class Selector:
    """A checked selector. Raises ActionError `BadSelector` naming the term."""

    def __init__(self, text: str) -> None:
        self.text = " ".join(text.split())
        self.wanted: dict[str, list[str]] = {}
        self.excluded: list[tuple[str, str]] = []
        if not self.text:
            raise _bad("", "a selector is needed; `all` means the whole fleet")
        for term in [] if self.text == "all" else self.text.split(" "):
            sign, body = term.startswith("-"), term.removeprefix("-")
            key, colon, value = body.partition(":")
            if not colon or not value:
                raise _bad(term, "a term is key:value, such as site:HAM2")
            if key not in KEYS:
                raise _bad(term, f"unknown key {key!r}; known are {', '.join(KEYS)}")
            for alternative in re.split(r"[|,]", value):
                if not alternative:
                    raise _bad(term, "an alternative is empty")
                if sign:
                    self.excluded.append((key, alternative))
                else:
                    self.wanted.setdefault(key, []).append(alternative)

    def matches(self, robot: Robot) -> bool:
        return all(any(_is(robot, key, v) for v in values) for key, values in self.wanted.items()) and not any(
            _is(robot, key, v) for key, v in self.excluded
        )

    def select(self, robots: Iterable[Robot]) -> list[Robot]:
        return sorted((robot for robot in robots if self.matches(robot)), key=lambda robot: robot.id)


def _is(robot: Robot, key: str, pattern: str) -> bool:
    value = robot.id if key == "robot" else str(getattr(robot, key))
    return fnmatchcase(value.replace(" ", "_"), pattern)


def _bad(term: str, why: str) -> ActionError:
    return ActionError("BadSelector", f"selector term {term!r}: {why}", kind="validation", retryable=False)
