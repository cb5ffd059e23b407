"""The table of silences."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class SilenceRow(RecordColumns, table=True):
    __tablename__ = "silences"
    system: str = ""
    remote: str = Field(default="", index=True)
    robot: str = Field(default="", index=True)
    owner: str = ""
    case: str = ""
    ends_at: float = 0.0
