"""What the definitions in these tests are checked against."""

from __future__ import annotations

from typing import Any

from engine.language import Declared, Signature, World, read

ACTIONS = {
    "fleet.plan": Signature(
        inputs={
            "release": Declared(type="string"),
            "limit": Declared(type="integer", required=False),
            "dry": Declared(type="boolean", required=False),
        },
        outputs={
            "robots": Declared(type="integer"),
            "rate": Declared(type="number"),
            "previous": Declared(type="string"),
            "names": Declared(type="array"),
        },
        effect="read",
    ),
    "fleet.install": Signature(inputs={"release": Declared(type="string")}, outputs={}, effect="idempotent"),
    "fleet.page": Signature(inputs={"text": Declared(type="string")}, effect="once"),
    "fleet.health": Signature(outputs={"rate": Declared(type="number"), "ok": Declared(type="boolean")}, effect="read"),
}
PEOPLE: dict[str, tuple[str, ...]] = {
    "ana": ("release-manager", "operator"),
    "bo": ("safety-officer", "operator"),
    "cy": ("fleet-operator",),
}
WORLD = World(
    actions=ACTIONS,
    roles=("release-manager", "safety-officer", "operator", "fleet-operator", "duty-director"),
    people=PEOPLE,
    windows=("change-freeze",),
)

HEAD = """\
quarterdeck: 1
workflow: probe
version: 1
inputs:
  release: {type: string}
  rate: {type: number, default: 0.5}
  count: {type: integer, default: 3}
  names: {type: array, default: []}
"""
"""Eight lines: what a test adds begins on line 9."""

GATE = "{seats: [{role: operator}], expires: 1h, on_timeout: {goto: done}, on_reject: {goto: done}, gate: 'Go on?'"


def text(rest: str) -> str:
    return HEAD + rest


def findings(source: str, world: World = WORLD) -> list[Any]:
    return list(read(source, world).findings)
