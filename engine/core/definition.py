"""What a workflow definition is, once the loader has resolved it.

Everything here is a value. A `Definition` is what a run is pinned to: the loader has made `start` and every `next`
explicit, turned durations into seconds and checked the graph, so that hashing or sending it anywhere can't change its
meaning. Steps live in one flat table; a step of a `map` body has a dotted id (`stages.dispatch`).

Values marked *template* are JSON in which a string may hold `${cel}`; strings marked *cel* are bare CEL.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

Kind = Literal["action", "gate", "wait", "observe", "choice", "map", "child", "emit"]
Effect = Literal["read", "idempotent", "once"]

DONE = "done"
"""The reserved target that ends a scope well."""
FAIL = "fail"
"""The reserved target that ends a scope with an error."""


class Retry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often and how patiently an action is tried. Times in seconds."""

    attempts: int = 1
    first: float = 2.0
    factor: float = 2.0
    cap: float = 300.0
    jitter: Literal["full", "none"] = "full"
    never: tuple[str, ...] = ()


class Catch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fallback: the first whose `error` names the error (or holds `*`) and whose `when` (cel) is true is taken."""

    error: tuple[str, ...]
    when: str | None = None
    goto: str | None = None
    raise_: str | None = None


class Interrupt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event that takes a waiting step (wait, gate, observe) elsewhere at once; an action is first waited for."""

    event: str
    filter: str | None = None
    goto: str | None = None
    raise_: str | None = None


class Escalation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who is asked, and for how many seconds, when a step is out of retries and no catch takes it.

    The people choose `retry`, `skip` or `abort`; silence aborts (it never approves). `runbook` (a link or a text) is
    shown with the question.
    """

    role: str = "operator"
    expires: float = 86_400.0
    runbook: str = ""


class Compensate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The action that undoes a step. Recorded with the first `StepScheduled`, ahead of what it undoes."""

    action: str
    with_: dict[str, Any] = field(default_factory=dict)
    retry: Retry = field(default_factory=lambda: Retry(attempts=5))
    timeout: float = 600.0


class Seat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`count` votes by holders of one role, members of one group, or one person; only needed while `when` (cel)."""

    count: int = 1
    role: str | None = None
    group: str | None = None
    person: str | None = None
    when: str | None = None


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a gate goes on rejection or expiry, or a step on time-out: a step, or a raised error.

    `escalate` (a role) asks that role first, for `expires` seconds more.
    """

    goto: str | None = None
    raise_: str | None = None
    escalate: str | None = None
    expires: float | None = None


class FormField(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One typed field of a gate's form or of a run's inputs (the JSON Schema words; `default` is a template in forms)."""

    type: Literal["string", "integer", "number", "boolean", "array", "object"]
    title: str = ""
    description: str = ""
    enum: tuple[Any, ...] | None = None
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    default: Any = None
    required: bool = True
    items: FormField | None = None


class Gate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question to people. `question` and `evidence` are templates, `exclude` are cel giving a person or a list."""

    question: str
    seats: tuple[Seat, ...]
    expires: str | float
    on_timeout: Outcome
    on_reject: Outcome
    kind: str = "review"
    evidence: dict[str, Any] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    form: dict[str, FormField] = field(default_factory=dict)
    remind: tuple[float, ...] = ()


class Wait(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Exactly one of: for a time (seconds or template), until a time (template), for an event."""

    for_: str | float | None = None
    until: str | None = None
    event: str | None = None
    filter: str | None = None
    correlate: str | None = None


class Limits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many samples of each sort an observation stands before it is concluded that way.

    `fail: 0` = the first failing sample concludes; `error_in_a_row: 3` = the third consecutive error concludes no-data.
    """

    fail: int = 0
    unsure: int | None = None
    error_in_a_row: int = 3


class Observe(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Samples an action (`source`, effect read or idempotent) `every` seconds until it passes, fails or time is up.

    `pass_`, `fail`, `exposure` are cel over `sample` (the latest output). A sample that fails counts against
    `limits.fail`. `pass_` is asked once `min_samples` were taken, `exposure` (if any) is true, and, with `hold`,
    only at the end of `for_`; without `hold` the first passing sample concludes. A time that runs out with no pass
    is `unsure`; samples that can't be had are `no data`, never a pass.
    """

    source: str
    every: str | float
    pass_: str
    for_: str | float | None = None
    exposure: str | None = None
    fail: str | None = None
    min_samples: int = 1
    hold: bool = False
    limits: Limits = field(default_factory=Limits)


class Case(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One arm of a choice: the first whose `when` (cel) is true is taken."""

    when: str
    goto: str


class Map(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Runs a body once per item of `over` (template giving a list), at most `parallel` at a time.

    `tolerate` items may fail (a number, or a share such as `"10%"`). `start` is the id of the body's first step.
    """

    over: Any
    start: str
    as_: str = "item"
    parallel: int = 1
    tolerate: int | str = 0


class Child(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Starts another workflow as a run of its own. `key` (cel) makes the start idempotent."""

    workflow: str
    key: str
    on_cancel: Literal["wait", "cancel", "leave"] = "cancel"


class Emit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Publishes an event (outward a CloudEvent) whose data is the step's `with`."""

    event: str
    subject: str | None = None


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step. Exactly one of the eight kind fields is set, and `kind` names it. Times in seconds or templates.

    Every target (`next`, `goto`, `otherwise`, `Map.start`) is the full id of a step of the same scope, `done` or `fail`.
    `reads_back` is resolved from the action's signature: it can be asked what became of a try that was not answered.
    """

    id: str
    kind: Kind
    next: str = DONE
    line: int = 0
    title: str = ""
    with_: dict[str, Any] = field(default_factory=dict)
    when: str | None = None
    timeout: str | float | None = None
    heartbeat: float | None = None
    retry: Retry = field(default_factory=Retry)
    catch: tuple[Catch, ...] = ()
    interrupt: tuple[Interrupt, ...] = ()
    on_timeout: Outcome | None = None
    escalate: Escalation | None = None
    compensate: Compensate | None = None
    key: str | None = None
    effect: Effect = "idempotent"
    reads_back: bool = False
    action: str | None = None
    gate: Gate | None = None
    wait: Wait | None = None
    observe: Observe | None = None
    choice: tuple[Case, ...] = ()
    otherwise: str | None = None
    map: Map | None = None
    child: Child | None = None
    emit: Emit | None = None

    @property
    def name(self) -> str:
        """The id without the maps it stands in: `dispatch` for `stages.dispatch`. Siblings refer to it by this."""
        return self.id.rpartition(".")[2]

    @property
    def parent(self) -> str:
        """The id of the map step whose body this step belongs to; empty at the top."""
        return self.id.rpartition(".")[0]


class Rate(Struct, frozen=True, kw_only=True):
    """At most `limit` starts in `per` seconds."""

    limit: int
    per: float


class Burst(Struct, frozen=True, kw_only=True):
    """Starts only once `count` different values of `of` (cel) came in `within` seconds."""

    count: int
    within: float
    of: str


class Trigger(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way a run starts: an event, a cron line, a person with a role, or a webhook source.

    `dedupe` names what counts as the same occurrence: once ever, or with `within` once in so many seconds. While a run of
    the same `correlate` group is open the event goes to it; with `opens` false it never starts one. `must`: no mute, rate
    or depth limit stops it.
    """

    event: str | None = None
    filter: str | None = None
    dedupe: str | None = None
    within: float | None = None
    debounce: float | None = None
    correlate: str | None = None
    rate: Rate | None = None
    burst: Burst | None = None
    opens: bool = True
    must: bool = False
    with_: dict[str, Any] = field(default_factory=dict)
    cron: str | None = None
    zone: str = "UTC"
    missed: Literal["skip", "once", "all"] = "once"
    roles: tuple[str, ...] = ()
    webhook: str | None = None


class Concurrency(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """At most `limit` runs hold the same `key` (cel) at once; the next one queues or is refused."""

    key: str
    limit: int = 1
    when_full: Literal["queue", "refuse"] = "queue"


class Windows(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Names of the calendar windows (policy) the run's risky steps honour, and the role that may override them.

    Risky are actions whose effect is not `read`, children, and the approval of gates. `exempt` are ids of steps never
    held: the way back must stay open in a freeze. Compensations and `on_failure` steps are never held.
    """

    honour: tuple[str, ...] = ()
    override: str | None = None
    exempt: tuple[str, ...] = ()


class OnFailure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a failing run does before it ends: compensate in reverse, then the steps of `start` (ids `on_failure.x`)."""

    compensate: Literal["reverse", "none"] = "reverse"
    start: str | None = None


class Definition(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A checked workflow. `digest` is the SHA-256 of the canonical form without the digest itself and without lines."""

    workflow: str
    version: int
    steps: dict[str, Step]
    start: str
    title: str = ""
    description: str = ""
    digest: str = ""
    inputs: dict[str, FormField] = field(default_factory=dict)
    triggers: tuple[Trigger, ...] = ()
    concurrency: Concurrency | None = None
    windows: Windows | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    escalate: Escalation = field(default_factory=Escalation)
    on_failure: OnFailure = field(default_factory=OnFailure)
