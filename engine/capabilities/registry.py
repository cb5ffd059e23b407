"""The actions this engine knows, by name. The loader reads their signatures, the host runs them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from engine.capabilities.ports import Action


class Registry:
    """Frozen after it was made. Two actions of one name are a mistake of whoever composes: ValueError."""

    def __init__(self, actions: Mapping[str, Action]) -> None:
        self.actions: Mapping[str, Action] = MappingProxyType(dict(actions))

    def get(self, name: str) -> Action | None:
        return self.actions.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self.actions

    def extended(self, more: Mapping[str, Action]) -> Registry:
        """With further actions (a connector's own, a test's)."""
        twice = sorted(set(self.actions) & set(more))
        if twice:
            raise ValueError(f"actions named twice: {', '.join(twice)}")
        return Registry({**self.actions, **more})


def builtin() -> Registry:
    """Everything Quarterdeck brings itself."""
    from engine.capabilities import subjects

    return Registry(subjects.actions())
