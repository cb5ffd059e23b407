"""The columns that every record has, and the list of all changes of all records."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary
from sqlmodel import Field, SQLModel


class RecordColumns(SQLModel):
    """`data` is the whole record in the shape of its kind, as JSON; `seq` the event of its newest change."""

    id: str = Field(primary_key=True)
    rev: int = 1
    state: str = Field(default="", index=True)
    title: str = ""
    run: str = Field(default="", index=True)
    created_at: float = 0.0
    created_by: str = ""
    updated_at: float = 0.0
    region: str = ""
    source_system: str = ""
    observed_at: float = 0.0
    seq: int = Field(default=0, index=True)
    data: bytes = Field(default=b"{}", sa_type=LargeBinary)


class RecordChangeRow(SQLModel, table=True):
    """Where in the history a record changed: `seq` is the event."""

    __tablename__ = "record_changes"
    __table_args__ = (
        Index("record_changes_run", "run", sqlite_where=Column("run") != ""),
        {"sqlite_with_rowid": False},
    )
    kind: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    rev: int = Field(primary_key=True)
    seq: int
    run: str = ""


class EvidenceRow(RecordColumns, table=True):
    """What is kept in the vault; `id` is its digest."""

    __tablename__ = "evidence"
    media: str = ""
    size_b: int = 0
    name: str = ""
    retention_until: float = 0.0
    legal_hold: str = ""
