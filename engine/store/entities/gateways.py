"""The table of sessions on gateways."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class SshSessionRow(RecordColumns, table=True):
    __tablename__ = "ssh_sessions"
    gateway: str = Field(default="", index=True)
    site: str = ""
    person: str = Field(default="", index=True)
    grant: str = Field(default="", index=True)
    started_at: float = 0.0
    ended_at: float = 0.0
    recording: str = ""
