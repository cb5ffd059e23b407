"""The engine itself: who am I, is it well, what is going on."""

from __future__ import annotations

from engine.contract.common import Json, View
from engine.contract.gates import GateSummary
from engine.contract.records import RecordMark
from engine.contract.rollouts import RolloutSummary
from engine.contract.runs import RunSummary


class ConnectorHealth(View, frozen=True, kw_only=True):
    name: str
    kind: str
    url: str
    ok: bool
    checked_at: float = 0.0
    message: str = ""
    suspended: bool = False
    """Somebody gave it a rest: that it is not ok is meant."""


class EngineStatus(View, frozen=True, kw_only=True):
    """`state`: starting, ok, read_only (disk full or file read-only; `message` says what to do), damaged
    (the history does not hold), stopping."""

    pid: int
    socket: str
    version: str
    database: str
    uptime_s: float
    state: str
    environment: str
    now: float
    speed: float = 1.0
    scenario: str = ""
    seed: int = 0
    message: str = ""
    head: int = 0
    epoch: int = 0
    runs_open: int = 0
    gates_open: int = 0
    clients: int = 0
    zone: str = ""
    """IANA zone of the site; empty = the zone of the machine that shows it."""
    connectors: tuple[ConnectorHealth, ...] = ()


class Me(View, frozen=True, kw_only=True):
    """Who the kernel says connected. `via`: socket, ssh, sudo, sandbox. `warning` is shown (root through sudo …)."""

    person: str
    uid: int
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    via: str
    verbs: tuple[str, ...] = ()
    warning: str = ""
    people: tuple[str, ...] = ()


class FeedLine(View, frozen=True, kw_only=True):
    """One event, as a sentence. `level`: info, notice, warning, alarm."""

    seq: int
    at: float
    run: str
    type: str
    actor: str
    text: str
    level: str = "info"


class WatchSnapshot(View, frozen=True, kw_only=True):
    """All that the first screen needs, in one answer."""

    status: EngineStatus
    me: Me
    seq: int
    needs: tuple[GateSummary, ...] = ()
    rollouts: tuple[RolloutSummary, ...] = ()
    runs: tuple[RunSummary, ...] = ()
    feed: tuple[FeedLine, ...] = ()
    counts: dict[str, int] = {}


class Changes(View, frozen=True, kw_only=True):
    """One tick of `GET /v1/feed`: the latest state of what changed since the last tick. `seq` is the resume point.

    `closed_gates` are gates that stopped being open. `at` is the newest commit time (the engine's clock), `sent` the
    real time of sending, from which the client tells its lag.
    """

    seq: int
    at: float
    sent: float
    runs: tuple[RunSummary, ...] = ()
    gates: tuple[GateSummary, ...] = ()
    closed_gates: tuple[str, ...] = ()
    rollouts: tuple[RolloutSummary, ...] = ()
    records: tuple[RecordMark, ...] = ()
    lines: tuple[FeedLine, ...] = ()
    counts: dict[str, int] = {}
    status: EngineStatus | None = None
    dropped: int = 0


class VerifyReport(View, frozen=True, kw_only=True):
    ok: bool
    events: int
    head: str
    seconds: float
    first_bad: int | None = None
    problem: str = ""


class ValidationFinding(View, frozen=True, kw_only=True):
    line: int
    field: str
    message: str
    fix: str = ""
    severity: str = "error"


class WorkflowView(View, frozen=True, kw_only=True):
    workflow: str
    version: int
    digest: str
    title: str
    source: str
    registered_at: float
    runs: int = 0
    triggers: tuple[str, ...] = ()
    starters: tuple[str, ...] = ()
    """Roles that may start it by hand; empty: whoever may start runs."""
    text: str = ""
    graph: tuple[Json, ...] = ()
    inputs: dict[str, Json] = {}
