"""Tables of who is on duty, what one shift hands to the next, what people watch, and which alerts somebody has."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class DutyRow(RecordColumns, table=True):
    __tablename__ = "duties"
    person: str = Field(default="", index=True)
    scope: str = ""
    since: float = 0.0
    until: float = 0.0
    ended_at: float = 0.0


class HandoverRow(RecordColumns, table=True):
    __tablename__ = "handovers"
    giver: str = Field(default="", index=True)
    to: str = ""
    receiver: str = Field(default="", index=True)
    offered_at: float = 0.0
    answered_at: float = 0.0


class WatchRow(RecordColumns, table=True):
    __tablename__ = "watches"
    person: str = Field(default="", index=True)
    of_kind: str = ""
    of: str = Field(default="", index=True)


class AcknowledgementRow(RecordColumns, table=True):
    __tablename__ = "acknowledgements"
    person: str = Field(default="", index=True)
    system: str = ""
    alert: str = Field(default="", index=True)
    robot: str = ""
