"""The table of remote systems, and how far each of their feeds is mirrored."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary
from sqlmodel import Field, SQLModel

from engine.store.entities.base import RecordColumns


class SystemRow(RecordColumns, table=True):
    __tablename__ = "systems"
    system_kind: str = ""
    url: str = ""
    origin: str = ""


class SyncStateRow(SQLModel, table=True):
    """How far one feed of a system is: `state` is `engine.store.mirror.SyncState` as JSON."""

    __tablename__ = "sync_state"
    __table_args__ = {"sqlite_with_rowid": False}
    system: str = Field(primary_key=True)
    feed: str = Field(primary_key=True)
    at: float
    state: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
