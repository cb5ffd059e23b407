"""Notices: what people were told outside the console, through which channel, and whether it arrived."""

from __future__ import annotations

from engine.contract.records import RecordView

NOTICE_STATES = ("waiting", "sending", "told", "doubtful", "failed", "over")


class NoticeView(RecordView, frozen=True, kw_only=True):
    """One message to one channel. `once` is what it is told once for (a gate, an event); `link` how to look at it.

    `doubtful`: it was sent and not answered for, and is not sent again; `over`: the gate was decided before anybody was told.
    """

    channel: str = ""
    system: str = ""
    severity: str = "info"
    text: str = ""
    link: str = ""
    once: str = ""
    gate: str = ""
    event: str = ""
    tries: int = 0
    error: str = ""
    told_at: float = 0.0
