"""The subjects that Quarterdeck brings: what each adds to the engine, gathered in one place.

A subject is a package beside this module. Of its modules `entities` has `ENTITIES`, `actions` has `actions()`, `desk`
has `VERBS`, `reads` has `READS`, `embedded` has `embedded(home)`; a subject has those it needs.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from engine.capabilities.desk import DeskVerb
from engine.capabilities.entities import Catalogue, Entity
from engine.capabilities.ports import Action, Clock
from engine.capabilities.reads import Read
from engine.contract.records import EvidenceView

SUBJECTS = (
    "events", "rollout", "data", "models", "incidents", "corrections", "cases", "fleet", "access", "systems", "tickets", "alerts",
    "model_registry", "labelling", "objects", "gateways", "notices", "decisions", "hooks", "oncall",
)  # fmt: skip

EVIDENCE = Entity(
    kind="evidence",
    table="evidence",
    prefix="EV",
    shape=EvidenceView,
    start=("kept",),
    moves={"kept": ("held", "deleted"), "held": ("kept",)},
    title="piece of evidence",
    quiet=True,
)


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """All kinds of records."""
    return Catalogue((EVIDENCE, *_gathered("entities", "ENTITIES")))


def entities() -> tuple[Entity, ...]:
    return tuple(catalogue())


def actions() -> dict[str, Action]:
    """All actions by name. Two of one name: ValueError."""
    found: dict[str, Action] = {}
    for subject in SUBJECTS:
        module = _module(subject, "actions")
        for name, action in (module.actions() if module else {}).items():
            if name in found:
                raise ValueError(f"two actions are called {name}")
            found[name] = action
    return found


def verbs() -> dict[str, DeskVerb]:
    return {verb.name: verb for verb in _gathered("desk", "VERBS")}


def reads() -> tuple[Read, ...]:
    return tuple(_gathered("reads", "READS"))


class Home(Struct, frozen=True, kw_only=True):
    """What an embedded implementation of a port may build on. `state` is the engine's own folder, `policy` gives a pack."""

    config: Path
    state: Path
    clock: Clock
    secrets: Any
    policy: Callable[[str], dict[str, Any]]


def embedded(home: Home) -> dict[str, Any]:
    """Port -> an implementation that needs no remote system. A configured connector takes its place."""
    found: dict[str, Any] = {"secrets": home.secrets}
    for subject in SUBJECTS:
        if module := _module(subject, "embedded"):
            found.update(module.embedded(home))
    return found


def _gathered(module: str, name: str) -> tuple[Any, ...]:
    return tuple(one for subject in SUBJECTS if (found := _module(subject, module)) for one in getattr(found, name, ()))


def _module(subject: str, name: str) -> Any:
    path = f"{__package__}.{subject}.{name}"
    return importlib.import_module(path) if importlib.util.find_spec(path) else None
