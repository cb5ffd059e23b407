"""From text to a checked `Definition`. Either everything is well, or every finding is told and nothing is made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from msgspec import Struct

from engine.core.definition import Definition
from engine.language import build, contracts, document, graph, names, seats, typecheck
from engine.language.draft import draft
from engine.language.findings import DefinitionError, Finding, Findings
from engine.language.grammar import WORKFLOW
from engine.language.shapes import BAD, Reader
from engine.language.signatures import ActionSignature


class World(Struct, frozen=True, kw_only=True):
    """What a definition is checked against. None means: not known here, so not checked.

    `people` maps a person to the roles they hold; with it, seats that nobody can fill are found. A person `@name` stands
    for the members of a group, however many they are.
    """

    actions: Mapping[str, ActionSignature]
    roles: Collection[str] | None = None
    people: Mapping[str, Collection[str]] | None = None
    windows: Collection[str] | None = None


class Reading(Struct, frozen=True, kw_only=True):
    """What came of a text: the definition when no finding is an error, and all findings in the order of lines."""

    definition: Definition | None
    findings: tuple[Finding, ...]


def load(
    text: str,
    *,
    actions: Mapping[str, ActionSignature],
    roles: Collection[str] | None = None,
    people: Mapping[str, Collection[str]] | None = None,
    windows: Collection[str] | None = None,
    source: str = "",
    shipped: bool = False,
) -> Definition:
    """The definition of a text. Raises DefinitionError with every finding; warnings alone raise nothing.

    `shipped`: a text that comes with the project (see `document.parse`).
    """
    reading = read(text, World(actions=actions, roles=roles, people=people, windows=windows), shipped=shipped)
    if reading.definition is None:
        error = DefinitionError(reading.findings)
        error.add_note(f"in {source}") if source else None
        raise error
    return reading.definition


def read(text: str, world: World, *, shipped: bool = False) -> Reading:
    """The definition of a text, if it is well, with all findings, warnings included."""
    findings = Findings()
    top = document.parse(text, findings, shipped=shipped)
    made = None
    if top is not None:
        reader = Reader(findings)
        values = WORKFLOW.read(top, "", reader)
        if values is not BAD:
            _check(values, reader, world)
            if not findings.errors:
                made = build.definition(values, world.actions)
    return Reading(definition=made, findings=tuple(sorted(findings.found, key=lambda finding: finding.line)))


def _check(values: Mapping[str, Any], reader: Reader, world: World) -> None:
    """Everything a table of shapes can't say. Each check works on what could be read, so none hides another."""
    drafted = draft(values, reader)
    graph.check(drafted)
    names.check(drafted)
    typecheck.check_types(drafted, world.actions)
    contracts.check(drafted, world.actions, world.roles, world.windows)
    if world.people is not None:
        seats.check(drafted, world.people, world.roles)
