"""The thread of causes: every event told outward, the runs that events started or moved, and what became of each event.

All three are projections of the journal; `seq` is the sequence of the fact a row was derived from.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer
from sqlmodel import Field, SQLModel


class EventThreadRow(SQLModel, table=True):
    """An event by the sequence of the fact it was derived from, which is also how people name it.

    `key` is what runs know it by; `cause` the sequence of the event it follows from (0 = none, or not ours); `depth` counts
    the different runs its causes lead through; `subject_n` counts the events of its subject.
    """

    __tablename__ = "event_threads"
    __table_args__ = (
        Index("event_threads_event", "event", "at"),
        Index("event_threads_subject", "subject", "seq"),
        Index("event_threads_cause", "cause"),
        Index("event_threads_run", "run"),
        Index("event_threads_record", "record"),
    )
    seq: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    key: str = Field(unique=True)
    event: str
    source: str
    subject: str = ""
    at: float = 0.0
    run: str = ""
    record: str = ""
    cause: int = 0
    depth: int = 1
    subject_n: int = 1


class RunThreadRow(SQLModel, table=True):
    """A run that an event started or moved. `cause` started it (its parent's, for a child); `latest` moved it last."""

    __tablename__ = "run_threads"
    __table_args__ = (Index("run_threads_cause", "cause"), {"sqlite_with_rowid": False})
    run: str = Field(primary_key=True)
    cause: int = 0
    latest: int = 0


class RunGroupRow(SQLModel, table=True):
    """A run that stands for its group (`attributes.correlate`): while it is open, events of the group go to it."""

    __tablename__ = "run_groups"
    __table_args__ = {"sqlite_with_rowid": False}
    workflow: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    run: str = Field(primary_key=True)


class EventFateRow(SQLModel, table=True):
    """What one rule made of one event: opened, attached, ignored, failed. An empty `rule` is a run that waited for it."""

    __tablename__ = "event_fates"
    __table_args__ = (
        Index("event_fates_event", "event"),
        Index("event_fates_rule", "rule", "outcome", "at"),
        Index("event_fates_key", "rule", "key", "at"),
        Index("event_fates_run", "run"),
        {"sqlite_with_rowid": False},
    )
    seq: int = Field(primary_key=True)
    rule: str = Field(primary_key=True)
    event: int
    outcome: str
    run: str = ""
    key: str = ""
    reason: str = ""
    at: float = 0.0
