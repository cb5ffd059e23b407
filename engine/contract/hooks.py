"""Webhooks as people see them: who may tell, how it went, and what could not be understood."""

from __future__ import annotations

from msgspec import field

from engine.contract.common import View
from engine.contract.records import RecordView

DELIVERY_STATES = ("quarantined", "taken", "discarded")


class DeliveryView(RecordView, frozen=True, kw_only=True):
    """A delivery that was proven and could not be understood. `digest` names its bytes in the vault; `headers` are those it
    came with, the secret in them replaced by a mark. `times`: how often the same bytes came. `events`: what was read from it
    when it was taken after all.
    """

    source: str = ""
    reason: str = ""
    digest: str = ""
    size_b: int = 0
    media: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    received_at: float = 0.0
    wall_at: float = 0.0
    times: int = 1
    events: tuple[str, ...] = ()


class HookSourceView(View, frozen=True, kw_only=True):
    """Somebody who may tell. `proof` is how it proves itself, in words. Counts are since the engine started; times are the
    engine's clock, 0 for never. `waiting` deliveries are in quarantine."""

    name: str
    url: str = ""
    kind: str = ""
    proof: str = ""
    replay_window_s: float = 0.0
    taken: int = 0
    repeated: int = 0
    quarantined: int = 0
    unproven: int = 0
    slowed: int = 0
    waiting: int = 0
    last_at: float = 0.0
    unproven_at: float = 0.0
    trouble: str = ""


class HooksView(View, frozen=True, kw_only=True):
    """The listener (`address` empty: it does not listen, `why` says so) and its sources. `unknown`: deliveries for nobody."""

    address: str = ""
    why: str = ""
    unknown: int = 0
    sources: tuple[HookSourceView, ...] = ()
