"""What the embedded host is given, and what it answers."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from engine.capabilities.entities import Catalogue
from engine.capabilities.ports import Action
from engine.capabilities.vault import Vault
from engine.core.commands import Refusal
from engine.core.definition import Definition
from engine.core.evaluator import Evaluator
from engine.hosts.clock import Clock, RealClock
from engine.store.records import Projector

Json = Any


def owner_name() -> str:
    """Who this process is, also after a reboot or under the same host name: host, pid, boot, random."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        boot = "noboot"
    return f"{socket.gethostname()}:{os.getpid()}:{boot}:{os.urandom(4).hex()}"


class Config(Struct, kw_only=True):
    """Everything the host needs, handed in by the composition root.

    `load` turns a definition's text into a checked Definition (raises with findings); `ports` are the implementations
    by capability; `policy` gives a policy pack by name; `catalogue` are the kinds of records, `vault` where files are
    kept (beside the database, when not given); `live` bounds the states kept in memory.
    """

    database: Path
    actions: Mapping[str, Action]
    evaluator: Evaluator
    clock: Clock = field(default_factory=RealClock)
    load: Callable[[str], Definition] | None = None
    ports: Mapping[str, Any] = field(default_factory=dict)
    policy: Callable[[str], dict[str, Json]] = lambda pack: {}
    projectors: Sequence[Projector] = ()
    catalogue: Catalogue = field(default_factory=lambda: Catalogue(()))
    vault: Vault | None = None
    owner: str = field(default_factory=owner_name)
    live: int = 20_000
    horizon_s: float = 60.0


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a command. `seq` is the sequence of its last event (the head, when it made none)."""

    seq: int
    run: str
    events: tuple[str, ...] = ()
    refusal: Refusal | None = None
    result: Json = None
    repeated: bool = False
