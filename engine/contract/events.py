"""Events told outward, the rules that wait for them, and the thread of causes.

An event is named by `seq`, the sequence of the fact in the history that it was derived from.
"""

from __future__ import annotations

from msgspec import field

from engine.contract.common import Json, Page, View


class FateView(View, frozen=True, kw_only=True):
    """What one rule made of one event. `outcome`: opened, attached, ignored, failed; an empty `rule` is a run that waited."""

    outcome: str
    rule: str = ""
    run: str = ""
    key: str = ""
    reason: str = ""
    at: float = 0.0


class OutEvent(View, frozen=True, kw_only=True):
    """An event as it was told. `cause` is the event it follows from (0 = none known); `depth` how many different runs (and
    events from outside) its causes lead through, itself included.

    `run` emitted it, or `record` (kind/id) told it with a change, or it came from `source`. `delivered` is false while
    what it starts is still being seen to (a debounced rule waits for quiet).
    """

    seq: int
    key: str
    event: str
    at: float
    source: str
    subject: str = ""
    actor: str = ""
    run: str = ""
    record: str = ""
    cause: int = 0
    depth: int = 1
    subject_n: int = 1
    delivered: bool = True
    data: Json = None
    fates: tuple[FateView, ...] = ()
    envelope: dict[str, Json] = field(default_factory=dict)
    """The CloudEvent as it leaves; only where one event is asked for."""


class OutEventPage(Page, frozen=True, kw_only=True):
    rows: tuple[OutEvent, ...] = ()


class TriggerView(View, frozen=True, kw_only=True):
    """A rule. `kind`: event, webhook, cron, manual. `counts` by outcome, over all time; `next_at` of a cron line."""

    name: str
    workflow: str
    version: int
    kind: str
    on: str
    filter: str = ""
    dedupe: str = ""
    within_s: float | None = None
    debounce_s: float | None = None
    correlate: str = ""
    rate: str = ""
    burst: str = ""
    opens: bool = True
    must: bool = False
    muted: bool = False
    zone: str = ""
    missed: str = ""
    roles: tuple[str, ...] = ()
    next_at: float = 0.0
    last_at: float = 0.0
    counts: dict[str, int] = {}


class RuleWord(View, frozen=True, kw_only=True):
    """What a rule would make of an event if it came now."""

    rule: str
    outcome: str
    reason: str = ""
    key: str = ""
    group: str = ""
    run: str = ""
    inputs: Json = None


class Explanation(View, frozen=True, kw_only=True):
    """Why an event started what it did (`fates`, when it happened), and what each rule would say to it now."""

    event: str
    happened: OutEvent | None = None
    fates: tuple[FateView, ...] = ()
    now: tuple[RuleWord, ...] = ()
    waiting: tuple[str, ...] = ()
    """Runs that wait for this event now."""
    near: tuple[str, ...] = ()
    """Names of events some rule waits for, when none waits for this one."""


class TraceNode(View, frozen=True, kw_only=True):
    """A step of the thread, in the order in which a tree is read. `kind`: event or run; `how` it follows from the line above
    it at the level before: opened, attached, emitted, followed, child, took (of another thread), later (another run goes on with the
    record: what follows stands there). `here`: what was asked for.
    """

    kind: str
    id: str
    level: int
    how: str = ""
    label: str = ""
    title: str = ""
    at: float = 0.0
    state: str = ""
    actor: str = ""
    subject: str = ""
    depth: int = 0
    records: tuple[str, ...] = ()
    fates: tuple[FateView, ...] = ()
    here: bool = False


class Trace(View, frozen=True, kw_only=True):
    """The whole thread that something belongs to, from its first cause. `path` are the ids from the root to what was asked."""

    id: str
    kind: str
    nodes: tuple[TraceNode, ...] = ()
    path: tuple[str, ...] = ()
    cut: bool = False
