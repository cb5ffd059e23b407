"""Runs: what is shown in lists, and everything about one."""

from __future__ import annotations

from engine.contract.common import ActorView, Json, Page, View

RUN_STATUS = (
    "running",
    "waiting",
    "suspended",
    "compensating",
    "cancelling",
    "completed",
    "failed",
    "cancelled",
    "terminated",
)
"""`waiting` = nothing runs and a person, a timer or an event is awaited. The last four are final."""


class RunSummary(View, frozen=True, kw_only=True):
    """One row. `status` as RUN_STATUS; `ending` is the definition's own word for how it ended; `version` = row version."""

    id: str
    workflow: str
    title: str
    status: str
    started_at: float
    updated_at: float
    ended_at: float | None = None
    ending: str = ""
    waiting_on: str = ""
    step: str = ""
    started_by: str = ""
    gates: int = 0
    attention: str = ""
    version: int = 0


class RunPage(Page, frozen=True, kw_only=True):
    rows: tuple[RunSummary, ...] = ()


class StepView(View, frozen=True, kw_only=True):
    """One visit of a step by a token. `status`: scheduled, running, retrying, waiting, completed, failed, skipped,
    cancelled, compensated, in_doubt. `path` is `scope.step`.
    """

    path: str
    step: str
    kind: str
    status: str
    fence: int
    attempt: int = 1
    started_at: float | None = None
    ended_at: float | None = None
    due: float | None = None
    input: Json = None
    output: Json = None
    error: str = ""
    detail: str = ""


class GraphNode(View, frozen=True, kw_only=True):
    """A step of the definition. `edges` are (label, target) with targets `done` and `fail` among them."""

    id: str
    name: str
    kind: str
    title: str
    parent: str = ""
    edges: tuple[tuple[str, str], ...] = ()
    detail: str = ""


class Waiting(View, frozen=True, kw_only=True):
    """One thing a run waits for: on what, who or what can move it, until when, and what happens then."""

    path: str
    what: str
    who: tuple[str, ...] = ()
    until: float | None = None
    then: str = ""
    can: tuple[str, ...] = ()
    gate: str = ""


class EventView(View, frozen=True, kw_only=True):
    seq: int
    run: str
    n: int
    type: str
    at: float
    actor: ActorView
    cause: str
    data: Json
    text: str = ""
    hash: str = ""


class EventPage(Page, frozen=True, kw_only=True):
    rows: tuple[EventView, ...] = ()


class CauseView(View, frozen=True, kw_only=True):
    """An event that started or moved a run, by its number."""

    seq: int
    event: str
    subject: str = ""
    at: float = 0.0


class RunDetail(View, frozen=True, kw_only=True):
    run: RunSummary
    definition: str
    digest: str
    inputs: Json
    output: Json = None
    error: str = ""
    graph: tuple[GraphNode, ...] = ()
    steps: tuple[StepView, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    parent: str = ""
    children: tuple[str, ...] = ()
    rollout: str = ""
    cause: CauseView | None = None
    """The event that started it (its parent's, for a child); None when a person or the clock did."""
    told: int = 0
    """Events it told itself."""
    verbs: dict[str, str] = {}
    """Verb -> empty when it can be used now, else the reason why not."""
