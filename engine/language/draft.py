"""A definition as it was read, before it is made: what the checks look at, also when parts of it could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.definition import DONE, FAIL
from engine.language.shapes import Reader

WAITING = ("wait", "gate", "observe")
"""The kinds that may close a loop: each round takes time, or a person, or an event."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from a step to another. `via`: next, case, catch, interrupt, on_timeout or on_reject."""

    target: str
    via: str
    field: str


@dataclass(slots=True)
class Step:
    name: str
    id: str
    kind: str
    line: int
    field: str
    values: Mapping[str, Any]
    next: str

    def edges(self) -> Iterator[Edge]:
        values, at = self.values, self.field
        if self.kind == "choice":
            for index, case in enumerate(values.get("choice", ())):
                if "goto" in case:
                    yield Edge(case["goto"], "case", f"{at}.choice.{index}.goto")
            if "else" in values:
                yield Edge(values["else"], "case", f"{at}.else")
            if values.get("when") is not None:
                yield Edge(self.next, "next", f"{at}.when")
        else:
            yield Edge(self.next, "next", f"{at}.next")
        for key in ("catch", "interrupt"):
            for index, way in enumerate(values.get(key, ())):
                if "goto" in way:
                    yield Edge(way["goto"], key, f"{at}.{key}.{index}.goto")
        for key in ("on_timeout", "on_reject"):
            if "goto" in values.get(key, {}):
                yield Edge(values[key]["goto"], key, f"{at}.{key}.goto")


@dataclass(slots=True)
class Scope:
    """The steps of one graph: the run's, a map's body, or on_failure's. `names` also holds steps that were not readable."""

    prefix: str
    field: str
    names: list[str]
    steps: dict[str, Step]
    outer: Scope | None = None
    owner: Step | None = None

    @property
    def whole(self) -> bool:
        return len(self.names) == len(self.steps)

    def around(self) -> Iterator[Scope]:
        """This scope, then those it stands in, inside out."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def find(self, name: str) -> Step | None:
        return next((scope.steps[name] for scope in self.around() if name in scope.steps), None)


@dataclass(slots=True)
class Draft:
    values: Mapping[str, Any]
    reader: Reader
    scopes: list[Scope] = field(default_factory=list)
    below: dict[str, list[str]] = field(init=False)
    """Each section's names in their order, also of what could not be read."""

    def __post_init__(self) -> None:
        self.below = {}
        for key in self.reader.lines:
            section, _, name = key.rpartition(".")
            self.below.setdefault(section, []).append(name)

    def line(self, field: str) -> int:
        """The line of a field, or of the nearest field around it."""
        while field and field not in self.reader.lines:
            field = field.rpartition(".")[0]
        return self.reader.lines.get(field, 1)

    def error(self, field: str, message: str, fix: str = "") -> None:
        self.reader.findings.add(self.line(field), field, message, fix)

    def warn(self, field: str, message: str, fix: str = "") -> None:
        self.reader.findings.add(self.line(field), field, message, fix, "warning")

    def steps(self) -> Iterator[tuple[Scope, Step]]:
        for scope in self.scopes:
            for step in scope.steps.values():
                yield scope, step

    def declared(self, section: str) -> list[str]:
        """The names in a section (`inputs`), also of those that could not be read."""
        return self.below.get(section, [])


def draft(values: Mapping[str, Any], reader: Reader) -> Draft:
    made = Draft(values, reader)
    main = _scope(made, values.get("steps", {}), "", "steps", outer=None, owner=None)
    failing = values.get("on_failure", {}).get("then")
    if failing is not None and main is not None:
        _scope(made, failing, "on_failure.", "on_failure.then", outer=main, owner=None)
    return made


def _scope(
    made: Draft, read: Mapping[str, Any], prefix: str, field: str, *, outer: Scope | None, owner: Step | None
) -> Scope | None:
    names = made.declared(field)
    scope = Scope(prefix, field, names, {}, outer, owner)
    made.scopes.append(scope)
    for name, following in zip(names, [*names, DONE][1:], strict=True):
        if name in read:
            values = read[name]["values"]
            at = f"{field}.{name}"
            scope.steps[name] = Step(
                name, prefix + name, read[name]["kind"], read[name]["line"], at, values, values.get("next", following)
            )
    for step in list(scope.steps.values()):
        if step.kind == "map" and "do" in step.values:
            _scope(made, step.values["do"], f"{step.id}.", f"{step.field}.do", outer=scope, owner=step)
    return scope


ENDS = (DONE, FAIL)
