"""Alerts as other systems raise them, and silences: who silenced what, why, and until when."""

from __future__ import annotations

from msgspec import field

from engine.contract.records import RecordView

SILENCE_STATES = ("asked", "active", "expired", "ended", "refused")
SILENCE_OVER = ("expired", "ended", "refused")


class SilenceRecord(RecordView, frozen=True, kw_only=True):
    """A silence somebody answers for. Times UTC epoch s.

    `owner` asked for it and is who is asked about it; `remote` is its id at the alert manager `system`. `case` is what it is
    for, if anything. `ended_by` ended it before its time; `ended_at` when it was over in fact.
    """

    system: str = ""
    remote: str = ""
    matchers: dict[str, str] = field(default_factory=dict)
    robot: str = ""
    owner: str = ""
    comment: str = ""
    case: str = ""
    starts_at: float = 0.0
    ends_at: float = 0.0
    ended_at: float = 0.0
    ended_by: str = ""
