"""Table of messages to people."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class NoticeRow(RecordColumns, table=True):
    __tablename__ = "notices"
    channel: str = Field(default="", index=True)
    severity: str = ""
    gate: str = Field(default="", index=True)
    event: str = ""
    told_at: float = 0.0
