"""What can be asked for, verb by verb: the shape of its arguments, and what it is called towards people.

A verb is one frozen struct. Unknown fields and wrong types end at its border, with the field named. `risk` says
whether doing it makes things more dangerous: such a verb wants a phrase typed from its blast radius.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from engine.contract.common import CommandRequest, Json

Short = Annotated[str, Meta(max_length=200)]
Text = Annotated[str, Meta(max_length=4000)]
Given = Annotated[str, Meta(min_length=1, max_length=4000)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class Request(CommandRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `CommandRequest` as the door takes it: with an id of sane size and not a field more."""

    id: Annotated[str, Meta(min_length=8, max_length=100)]
    target: Short = ""
    args: dict[str, Json] = field(default_factory=dict)
    preview: bool = False


class Args(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all arguments."""


class RunStart(Args, frozen=True, kw_only=True):
    """Starts a run of the workflow named by `target`."""

    inputs: dict[str, Json] = {}
    attributes: dict[str, Json] = {}


class RunSuspend(Args, frozen=True, kw_only=True):
    reason: Text = ""


class RunResume(Args, frozen=True, kw_only=True):
    pass


class RunCancel(Args, frozen=True, kw_only=True):
    """Stops, waits for what is in flight, then undoes."""

    reason: Text = ""


class RunTerminate(Args, frozen=True, kw_only=True):
    """Stops now and undoes nothing."""

    reason: Given
    phrase: Short = ""


class RunRetry(Args, frozen=True, kw_only=True):
    path: Name


class RunSkip(Args, frozen=True, kw_only=True):
    path: Name
    reason: Given
    output: Json = None
    phrase: Short = ""


class RunRedrive(Args, frozen=True, kw_only=True):
    step: Name
    reason: Text = ""
    inputs: dict[str, Json] | None = None


class RunMigrate(Args, frozen=True, kw_only=True):
    digest: Name
    reason: Text = ""


class RunComment(Args, frozen=True, kw_only=True):
    text: Given
    step: Short | None = None


class RunOverrideWindow(Args, frozen=True, kw_only=True):
    path: Name
    reason: Given
    phrase: Short = ""


class RunSignal(Args, frozen=True, kw_only=True):
    """An event for this run alone. Rollout verbs have names of their own and can't be sent this way."""

    event: Name
    data: dict[str, Json] = {}


class GateVote(Args, frozen=True, kw_only=True):
    answer: Name
    evidence_digest: Name
    rationale: Text = ""
    form: dict[str, Json] = {}
    phrase: Short = ""


class GateWithdraw(Args, frozen=True, kw_only=True):
    pass


class GateAbstain(Args, frozen=True, kw_only=True):
    """No vote, on the record: another has to answer."""

    reason: Text = ""


class GateDelegate(Args, frozen=True, kw_only=True):
    """`until` is UTC epoch seconds on the engine's clock."""

    to: Name
    until: float


class GateClaim(Args, frozen=True, kw_only=True):
    pass


class GateAsk(Args, frozen=True, kw_only=True):
    question: Given


class RolloutStart(Args, frozen=True, kw_only=True):
    """Starts `staged-rollout`. `inputs` are those of the definition."""

    inputs: dict[str, Json] = {}


class RolloutPause(Args, frozen=True, kw_only=True):
    reason: Text = ""


class RolloutHold(Args, frozen=True, kw_only=True):
    """Nothing of this rollout moves, and `robots` (all, when empty) are left as they are."""

    reason: Text = ""
    robots: tuple[Short, ...] = ()


class RolloutResume(Args, frozen=True, kw_only=True):
    reason: Text = ""
    phrase: Short = ""


class RolloutPromote(Args, frozen=True, kw_only=True):
    reason: Text = ""
    phrase: Short = ""


class RolloutRollback(Args, frozen=True, kw_only=True):
    reason: Text = ""
    scope: Literal["stage", "all"] = "all"
    phrase: Short = ""


class RolloutExtend(Args, frozen=True, kw_only=True):
    """Soaks for `hours` more."""

    hours: Annotated[float, Meta(gt=0, le=24 * 30)]
    reason: Text = ""


class WorkflowRegister(Args, frozen=True, kw_only=True):
    text: Annotated[str, Meta(min_length=1, max_length=512 * 1024)]


class EngineStop(Args, frozen=True, kw_only=True):
    reason: Text = ""


class Verb(Struct, frozen=True):
    """`says` completes the sentence "may not ..."; `risk` wants a typed phrase."""

    name: str
    args: type[Struct]
    says: str
    risk: bool = False
    needs_target: bool = True


VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb("run.start", RunStart, "start a run"),
        Verb("run.suspend", RunSuspend, "suspend a run"),
        Verb("run.resume", RunResume, "resume a run"),
        Verb("run.cancel", RunCancel, "cancel a run"),
        Verb("run.terminate", RunTerminate, "terminate a run", risk=True),
        Verb("run.retry", RunRetry, "retry a step"),
        Verb("run.skip", RunSkip, "skip a step", risk=True),
        Verb("run.redrive", RunRedrive, "redrive a run"),
        Verb("run.migrate", RunMigrate, "migrate a run"),
        Verb("run.comment", RunComment, "comment on a run"),
        Verb("run.override-window", RunOverrideWindow, "override a window", risk=True),
        Verb("run.signal", RunSignal, "signal a run"),
        Verb("gate.vote", GateVote, "vote"),
        Verb("gate.withdraw", GateWithdraw, "take back a vote"),
        Verb("gate.abstain", GateAbstain, "abstain"),
        Verb("gate.delegate", GateDelegate, "delegate a vote"),
        Verb("gate.claim", GateClaim, "claim a gate"),
        Verb("gate.ask", GateAsk, "ask on a gate"),
        Verb("rollout.start", RolloutStart, "start a rollout", needs_target=False),
        Verb("rollout.pause", RolloutPause, "pause a rollout"),
        Verb("rollout.hold", RolloutHold, "hold a rollout"),
        Verb("rollout.resume", RolloutResume, "resume a rollout", risk=True),
        Verb("rollout.promote", RolloutPromote, "promote a rollout", risk=True),
        Verb("rollout.rollback", RolloutRollback, "roll back a rollout", risk=True),
        Verb("rollout.extend", RolloutExtend, "extend a soak"),
        Verb("workflow.register", WorkflowRegister, "register a workflow", needs_target=False),
        Verb("engine.stop", EngineStop, "stop the engine", needs_target=False),
    )
}


def with_desk() -> None:
    """Adds the verbs on records. The shapes of their arguments stand with their subjects."""
    from engine.capabilities import subjects

    for verb in subjects.verbs().values():
        if verb.name in VERBS:
            raise ValueError(f"two verbs are called {verb.name}")
        VERBS[verb.name] = Verb(verb.name, verb.args, verb.says, risk=verb.risk, needs_target=bool(verb.kind))


with_desk()


def payload(args: Args) -> dict[str, Any]:
    """The arguments of a rollout's signal as event data: what was set, without the phrase."""
    names = [name for name in args.__struct_fields__ if name != "phrase"]
    return {name: getattr(args, name) for name in names if getattr(args, name) not in ("", None, ())}
