"""The tables, as SQLModel classes. The journal inserts through SQLAlchemy Core on these same tables; no ORM session
ever writes.

`events` is the truth. Everything else is either a projection that can be rebuilt from it (runs, steps, gates, timers,
waits, locks, rollouts …), a cache (snapshots), or a record of its own (commands, inbox, definitions, blobs, anchors).
Times in `events` are whole microseconds, so that the text that is hashed is the same on every machine; elsewhere they
are UTC epoch seconds.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel


class EventRow(SQLModel, table=True):
    """One fact. `data` is NULL when it is kept in `blobs` (large) or was redacted; `digest` then is its SHA-256."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("run", "n", name="events_run_n"),)
    seq: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    run: str
    n: int
    type: str
    v: int
    at: int
    actor: str
    cause: str
    data: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    digest: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    prev: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class BlobRow(SQLModel, table=True):
    """A payload above the inline limit, by its SHA-256."""

    __tablename__ = "blobs"
    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class RunRow(SQLModel, table=True):
    """One run as lists show it. `seq` is the sequence of its newest event: the order of "newest first".

    An index that moves is paid for by every commit (a page more to sync), so there is one, and it covers the two
    common filters; the others hold what never changes of a run.
    """

    __tablename__ = "runs"
    __table_args__ = (
        Index("runs_status", "status", "seq", "workflow"),
        Index("runs_workflow", "workflow"),
        Index("runs_attention", "seq", sqlite_where=Column("attention", Integer) != ""),
        Index("runs_parent", "parent", sqlite_where=Column("parent", Integer).isnot(None)),
    )
    number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    id: str = Field(unique=True)
    workflow: str
    digest: str
    title: str
    status: str
    n: int
    seq: int
    started_at: float
    updated_at: float
    ended_at: float | None = None
    ending: str = ""
    waiting_on: str = ""
    step: str = ""
    started_by: str = ""
    gates: int = 0
    attention: str = ""
    parent: str | None = None
    attributes: str = ""


class StepRow(SQLModel, table=True):
    """One attempt of one visit of a step. `first` and `last` are the sequences of the events that hold input and output."""

    __tablename__ = "steps"
    __table_args__ = {"sqlite_with_rowid": False}
    run: str = Field(primary_key=True)
    path: str = Field(primary_key=True)
    fence: int = Field(primary_key=True)
    kind: str
    status: str
    attempt: int
    started_at: float
    ended_at: float | None = None
    due: float | None = None
    first: int
    last: int | None = None
    error: str = ""
    detail: str = ""


class GateRow(SQLModel, table=True):
    """One question to people. `view` holds what the detail needs beside the columns."""

    __tablename__ = "gates"
    __table_args__ = (
        Index("gates_open", "expires_at", sqlite_where=Column("state", Integer) == "open"),
        Index("gates_run", "run"),
        Index("gates_seq", "seq"),
    )
    id: str = Field(primary_key=True)
    run: str
    path: str
    kind: str
    question: str
    state: str
    opened_at: float
    expires_at: float
    seats_open: int
    seats_total: int
    claimed_by: str = ""
    subject: str = ""
    escalated: bool = False
    rollout: str = ""
    seq: int
    closed_at: float | None = None
    view: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class TimerRow(SQLModel, table=True):
    """A durable timer: the truth that the alarm clock is re-read from."""

    __tablename__ = "timers"
    __table_args__ = (Index("timers_due", "due"), {"sqlite_with_rowid": False})
    run: str = Field(primary_key=True)
    scope: str = Field(primary_key=True)
    step: str = Field(primary_key=True)
    fence: int = Field(primary_key=True)
    purpose: str = Field(primary_key=True)
    due: float


class WaitRow(SQLModel, table=True):
    """A run that waits for an event: how a published event finds it."""

    __tablename__ = "waits"
    __table_args__ = (Index("waits_event", "event", "correlate"), {"sqlite_with_rowid": False})
    run: str = Field(primary_key=True)
    path: str = Field(primary_key=True)
    event: str = Field(primary_key=True)
    correlate: str = ""


class LockRow(SQLModel, table=True):
    """Who holds or asks for a concurrency key, in the order of asking (`seq`)."""

    __tablename__ = "locks"
    __table_args__ = (Index("locks_run", "run"), {"sqlite_with_rowid": False})
    key: str = Field(primary_key=True)
    run: str = Field(primary_key=True)
    seq: int
    held: bool = False


class SnapshotRow(SQLModel, table=True):
    """The state of a run after event `n`: a cache, thrown away when the core that wrote it is not this one."""

    __tablename__ = "snapshots"
    run: str = Field(primary_key=True)
    n: int
    core: str
    state: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class CommandRow(SQLModel, table=True):
    """A command that was answered: a repeat of its id gets this answer."""

    __tablename__ = "commands"
    __table_args__ = {"sqlite_with_rowid": False}
    id: str = Field(primary_key=True)
    at: float
    run: str
    answer: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class InboxRow(SQLModel, table=True):
    """An outside event that was taken in: the second one with the same source and id is a repeat."""

    __tablename__ = "inbox"
    __table_args__ = {"sqlite_with_rowid": False}
    source: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    at: float
    event: str


class OutboxRow(SQLModel, table=True):
    """An event for the outside, as a CloudEvent, by the sequence of the fact it was derived from."""

    __tablename__ = "outbox"
    __table_args__ = (Index("outbox_todo", "seq", sqlite_where=Column("delivered", Integer) == 0),)
    seq: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    run: str
    event: str
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    delivered: bool = False


class DefinitionRow(SQLModel, table=True):
    """A registered workflow: its text as written and the checked form that runs are pinned to."""

    __tablename__ = "definitions"
    __table_args__ = (UniqueConstraint("workflow", "version", name="definitions_version"),)
    digest: str = Field(primary_key=True)
    workflow: str
    version: int
    title: str
    source: str
    text: str
    doc: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    registered_at: float
    registered_by: str


class AnchorRow(SQLModel, table=True):
    """The head of the chain at a time, signed; the same line stands in a file outside the database."""

    __tablename__ = "anchors"
    seq: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    at: float
    signature: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class EngineRow(SQLModel, table=True):
    """The one engine of this database. A higher `epoch` than one's own means: taken over, write nothing any more."""

    __tablename__ = "engine"
    one: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    epoch: int
    owner: str
    since: float
    clean: bool = False


class MirrorRow(SQLModel, table=True):
    """A remote object as last read from its owner. `at`: when it was last written, `digest`: of what changes are told of,
    `deleted_at`: its owner no longer has it (the row stays a while, so that one that comes back is known again).
    """

    __tablename__ = "mirror"
    __table_args__ = {"sqlite_with_rowid": False}
    system: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    etag: str = ""
    at: float
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    name: str = Field(default="", sa_column_kwargs={"server_default": ""})
    state: str = Field(default="", sa_column_kwargs={"server_default": ""})
    url: str = Field(default="", sa_column_kwargs={"server_default": ""})
    changed_at: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    deleted_at: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    digest: bytes = Field(default=b"", sa_column=Column(LargeBinary, nullable=False, server_default=""))


class RobotRecord(SQLModel, table=True):
    """A robot as mirrored. `view` is the contract's `RobotRow` as JSON."""

    __tablename__ = "robots"
    __table_args__ = (Index("robots_site", "site"), Index("robots_rollout", "rollout"), {"sqlite_with_rowid": False})
    id: str = Field(primary_key=True)
    site: str = ""
    region: str = ""
    customer: str = ""
    variant: str = ""
    mode: str = ""
    desired: str = ""
    reported: str = ""
    rollout: str = ""
    state: str = ""
    hold: str = ""
    seq: int = 0
    at: float = 0.0
    view: bytes = Field(default=b"{}", sa_column=Column(LargeBinary, nullable=False))


class CohortRow(SQLModel, table=True):
    """A frozen cohort. `view` is the contract's `CohortView` as JSON."""

    __tablename__ = "cohorts"
    id: str = Field(primary_key=True)
    digest: str
    selector: str
    robots: int
    frozen_at: float
    used_by: str = ""
    seq: int = 0
    view: bytes = Field(default=b"{}", sa_column=Column(LargeBinary, nullable=False))


class RolloutRow(SQLModel, table=True):
    """A rollout by its run's id. `view` holds what the screens need beside the columns."""

    __tablename__ = "rollouts"
    __table_args__ = (Index("rollouts_seq", "seq"), Index("rollouts_state", "state", "seq"))
    id: str = Field(primary_key=True)
    artifact: str = ""
    version: str = ""
    previous: str = ""
    cohort: str = ""
    state: str = "draft"
    stage: str = ""
    stage_index: int = 0
    verdict: str = ""
    robots: int = 0
    started_at: float = 0.0
    updated_at: float = 0.0
    started_by: str = ""
    seq: int = 0
    view: bytes = Field(default=b"{}", sa_column=Column(LargeBinary, nullable=False))


class RobotUpdateRow(SQLModel, table=True):
    """One robot in one rollout. `view` is the contract's `RobotUpdate` as JSON."""

    __tablename__ = "robot_updates"
    __table_args__ = (Index("robot_updates_robot", "robot"), {"sqlite_with_rowid": False})
    rollout: str = Field(primary_key=True)
    robot: str = Field(primary_key=True)
    stage: str = ""
    state: str = ""
    from_version: str = ""
    to_version: str = ""
    reported: str = ""
    at: float = 0.0
    seq: int = 0
    view: bytes = Field(default=b"{}", sa_column=Column(LargeBinary, nullable=False))
