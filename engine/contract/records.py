"""Records: what the patterns are about (cases, incidents, candidates …), as every screen and command sees them."""

from __future__ import annotations

from typing import Any

from msgspec import field

from engine.contract.common import ActorView, Json, Page, View


class RecordView(View, frozen=True, kw_only=True):
    """Base of every record's shape. `rev` counts its changes; `run` is the run that works on it.

    `source_system` and `observed_at` say where and when it was seen, when that was not here and now.
    """

    id: str = ""
    kind: str = ""
    rev: int = 0
    state: str = ""
    title: str = ""
    run: str = ""
    created_at: float = 0.0
    created_by: str = ""
    updated_at: float = 0.0
    region: str = ""
    source_system: str = ""
    observed_at: float = 0.0


class RecordMark(View, frozen=True, kw_only=True):
    """That a record changed: enough to know whether to ask for it again."""

    kind: str
    id: str
    rev: int
    state: str


class RecordEvent(View, frozen=True, kw_only=True):
    """One change of a record, as the journal has it. `from_` and `to` are states; `set` the fields that were given."""

    seq: int
    at: float
    actor: ActorView
    cause: str
    rev: int
    from_: str = ""
    to: str = ""
    set: dict[str, Json] = field(default_factory=dict)
    reason: str = ""
    run: str = ""


class RecordPage(Page, frozen=True, kw_only=True):
    """Records of one kind, each in the shape of its kind."""

    kind: str
    rows: tuple[Any, ...] = ()
    states: dict[str, int] = field(default_factory=dict)


class EvidenceView(RecordView, frozen=True, kw_only=True):
    """Something kept for good under its digest (`id` is the digest). Deletable only when no hold and the retention passed."""

    media: str = ""
    size_b: int = 0
    name: str = ""
    retention_until: float = 0.0
    legal_hold: str = ""
    redaction: str = ""


class EvidenceText(View, frozen=True, kw_only=True):
    """What was kept, when it is text that can be shown."""

    digest: str
    media: str = ""
    size_b: int = 0
    sound: bool = True
    text: str = ""
    cut: bool = False
