"""Sessions: one row per recording that was ever seen, whatever became of it."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class SessionRow(RecordColumns, table=True):
    """Columns are what lists filter by and what duplicates are looked up with."""

    __tablename__ = "sessions"
    uri: str = Field(default="", index=True)
    robot: str = Field(default="", index=True)
    site: str = ""
    task: str = ""
    digest: str = Field(default="", index=True)
    content: str = Field(default="", index=True)
    fingerprint: str = Field(default="", index=True)
    trajectory: str = Field(default="", index=True)
    container: str = Field(default="", index=True)
    episode: int = -1
    format: str = ""
    start_ns: int = 0
    duration_s: float = 0.0
    bytes: int = 0
    verdict: str = ""
    code: str = ""
    campaign: str = Field(default="", index=True)
    dataset: str = Field(default="", index=True)
    group: str = ""
