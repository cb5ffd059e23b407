"""What the update server can't do, said where it matters: before a rollout is signed, paused, rolled back. Pure.

Connectors declare it as `traits` (what -> why). The words all of them use, after what platforms differ in: `pause`, `stop`,
`targets`, `failure rule`, `gate`, `health`; each adds what is its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BEARS_ON = {
    "rollout.start": ("pause", "stop", "targets", "failure rule", "gate", "health", "roll back"),
    "rollout.pause": ("pause", "stop", "latency"),
    "rollout.hold": ("pause", "stop", "latency"),
    "rollout.rollback": ("roll back", "stop", "order"),
    "rollout.promote": ("failure rule", "health"),
    "rollout.resume": ("retry", "latency"),
    "signoff": ("pause", "stop", "roll back", "failure rule", "health"),
}
"""Which limits bear on what is about to be done."""
UNNAMED = "the update server"


def limits(updates: Any) -> dict[str, str]:
    """As the connector declares them, cut to what a screen holds."""
    found = getattr(updates, "traits", None)
    return {str(what)[:40]: str(why)[:300] for what, why in list((found or {}).items())[:30]}


def server(updates: Any) -> str:
    return str(getattr(updates, "server", "") or "")[:60]


def sentences(name: str, known: Mapping[str, str], about: str) -> tuple[str, ...]:
    """Those that bear on a verb (or a gate), each with whose limit it is."""
    return tuple(f"{name or UNNAMED}, {what}: {known[what]}" for what in BEARS_ON.get(about, ()) if what in known)
