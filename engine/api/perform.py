"""One command, from its bytes to its answer: shape, permission, phrase, then the host, which alone decides and records.

Votes are not filtered by the policy here: the core is their only judge, so that a refused one is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
from collections.abc import Callable
from typing import Any

import msgspec

from engine.api import asking, desk, verbs
from engine.api.access import Caller, forbidden
from engine.api.consequences import NONE, Consequences, consequences, fits
from engine.api.door import Door, Host
from engine.api.problems import Denied, malformed
from engine.capabilities.desk import DeskVerb
from engine.capabilities.nesting import deep
from engine.capabilities.policy import Reason
from engine.contract.common import CommandAnswer, Json
from engine.core import commands as core
from engine.language import DefinitionError
from engine.store.errors import StoreError

LARGEST = 1024 * 1024
"""Bytes a request may hold."""
DEEPEST = 64
"""Levels its arguments may nest."""
ROLLOUT_WORKFLOW = "staged-rollout"
_READ = msgspec.json.Decoder(verbs.Request)
_NEW = ("run.start", "rollout.start", "workflow.register")
"""Verbs whose answer names what they made, not what they were sent to."""
_STATUS = {"not_found": 404, "bad_input": 422, "bad_form": 422, "bad_answer": 422, "wrong_role": 403, "excluded": 403}


async def perform(door: Door, caller: Caller, name: str, body: bytes) -> CommandAnswer:
    """Raises `Denied` with what is wrong, or with the host's refusal."""
    verb = verbs.VERBS.get(name)
    if verb is None:
        near = difflib.get_close_matches(name, verbs.VERBS, 1)
        raise Denied(
            404,
            "unknown_verb",
            f"there is no verb {name[:60]}",
            fix=f"did you mean {near[0]}?" if near else "",
            field="verb",
        )
    request, args = _shaped(verb, body)
    scope = await _scope(door, name, request.target)
    if not name.startswith("gate."):
        await _permit(door, caller, verb, request, scope)
    await asking.ask(door, caller, verb, request, scope)
    if name == "engine.stop":
        return _stop(door, request)
    if name in desk.DESK:
        return await _at_the_desk(door, caller, request, args, desk.DESK[name])
    known = await asyncio.to_thread(door.host.answered, request.id)
    meant = NONE
    if known is None:
        await _foreseen(door, name, request, args)
        meant = await asyncio.to_thread(consequences, door, name, request.target, args)
        asked = not request.preview and meant.phrase and (verb.risk or name == "gate.vote")
        if asked and not await _would_be_refused(door, caller, name, request, args):
            _typed(getattr(args, "phrase", ""), meant)
    elif name not in _NEW and known.run != _run_of(name, request.target):
        said = "this id belongs to a command on something else that was already taken: nothing was done"
        raise Denied(409, "id_taken", said, fix="give every command an id of its own", field="id")
    try:
        done = await _ask(door, caller, name, request, args)
    except DefinitionError as error:
        raise _not_taken(error) from error
    if done.refusal is not None:
        refusal = done.refusal
        status = _STATUS.get(refusal.code, 409)
        raise Denied(status, refusal.code, refusal.reason, fix=refusal.fix, field=refusal.field or _missed(status))
    return CommandAnswer(
        id=request.id,
        verb=name,
        target=done.run or request.target,
        seq=done.seq,
        events=tuple(done.events),
        result=done.result,
        preview=request.preview,
        consequences=meant.sentences,
        phrase=meant.phrase,
    )


async def _at_the_desk(door: Door, caller: Caller, request: verbs.Request, args: Any, verb: DeskVerb) -> CommandAnswer:
    """A verb on a record. A repeat of its id gets the stored answer, whatever became of the record since."""
    known = await asyncio.to_thread(door.host.answered, request.id)
    if known is not None:
        return CommandAnswer(id=request.id, verb=verb.name, target=request.target, seq=known.seq, result=known.result)
    record = await desk.record_for(door, verb, request.target)
    meant = await desk.foreseen(door, caller, verb, request, record=record, args=args)
    if request.preview:
        return CommandAnswer(
            id=request.id,
            verb=verb.name,
            target=request.target,
            preview=True,
            consequences=meant.sentences,
            phrase=meant.phrase,
        )
    if meant.phrase and verb.risk:
        _typed(getattr(args, "phrase", ""), meant)
    return await desk.carry_out(door, caller, verb, request, record=record, args=args)


def _shaped(verb: verbs.Verb, body: bytes) -> tuple[verbs.Request, Any]:
    try:
        request = _READ.decode(body)
    except RecursionError:
        raise _too_deep("body") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(error) from error
    if deep(request.args, DEEPEST):
        raise _too_deep("args")
    if verb.needs_target and not request.target:
        raise Denied(422, "missing_field", f"{verb.name} needs a target", field="target")
    try:
        return request, msgspec.convert(request.args, verb.args, strict=True)
    except msgspec.ValidationError as error:
        raise malformed(error, within="args") from error


def _too_deep(field: str) -> Denied:
    return Denied(422, "too_deep", f"lists and objects nest deeper than {DEEPEST}", fix="flatten it", field=field)


async def _would_be_refused(door: Door, caller: Caller, name: str, request: verbs.Request, args: Any) -> bool:
    """A vote that does not count needs no phrase: it goes to the core, which refuses and records it."""
    if name != "gate.vote":
        return False
    foreseen = await _ask(door, caller, name, msgspec.structs.replace(request, preview=True), args)
    return foreseen.refusal is not None


async def _foreseen(door: Door, name: str, request: verbs.Request, args: Any) -> None:
    """A rollout that could never be frozen is refused before it is a run."""
    starts = name == "rollout.start" or (name == "run.start" and request.target == ROLLOUT_WORKFLOW)
    impossible = await door.foresee(args.inputs) if starts else None
    if impossible is not None:
        field = f"args.inputs.{impossible.field}" if impossible.field else ""
        raise Denied(422 if field else 409, "impossible", impossible.reason, field=field)


def _typed(typed: str, meant: Consequences) -> None:
    if fits(typed, meant.phrase):
        return
    said = "; ".join(meant.sentences)
    if not typed:
        raise Denied(
            422,
            "phrase_required",
            said or "this needs a typed phrase",
            fix=f"type: {meant.phrase}",
            field="args.phrase",
        )
    raise Denied(
        409,
        "phrase_mismatch",
        f"the phrase does not fit what would be touched now ({said})",
        fix=f"type: {meant.phrase}",
        field="args.phrase",
    )


async def _permit(door: Door, caller: Caller, verb: verbs.Verb, request: verbs.Request, scope: dict[str, Json]) -> None:
    """Raises `Denied` unless the policy allows it. Refusals are facts: they are recorded (a preview asks for nothing)."""
    why = forbidden(door, caller, verb.name, scope)
    if why is None and verb.name == "run.start":
        why = await asyncio.to_thread(_no_starter, door, caller, request.target)
    if why is None:
        return
    if not request.preview:
        said = {
            "verb": verb.name,
            "by": caller.person,
            "code": why.code,
            "reason": why.reason,
            "target": request.target,
        }
        with contextlib.suppress(StoreError):
            await door.records.record("CommandRefused", said, actor=caller.actor(), cause=request.id)
    held = f"you are {caller.person} and hold {', '.join(caller.roles) or 'no role'}"
    fix = caller.warning or (f"{why.fix} ({held})" if why.fix else held)
    raise Denied(403, "forbidden", f"{caller.person} may not {verb.says}: {why.reason}", fix=fix)


def _no_starter(door: Door, caller: Caller, workflow: str) -> Reason | None:
    """Why the definition does not let this caller start it by hand. Who may stop the engine may start anything."""
    view = door.reads.workflow(workflow)
    starters = view.starters if view is not None else ()
    if not starters or set(starters) & set(caller.roles) or forbidden(door, caller, "engine.stop", {}) is None:
        return None
    said = f"{workflow} is started by hand by {', '.join(starters)}"
    return Reason(code="not_starter", reason=said, fix="ask one of them to start it")


def _missed(status: int) -> str:
    return "target" if status == 404 else ""


def _not_taken(error: DefinitionError) -> Denied:
    """A broken definition: its first finding, and how many more; `workflows validate` shows them all."""
    first, *more = error.findings
    rest = f" (and {len(more)} more: qd workflows validate shows all)" if more else ""
    return Denied(
        422,
        "bad_definition",
        f"line {first.line}: {first.field + ': ' if first.field else ''}{first.message}{rest}",
        fix=first.fix,
        field="args.text",
    )


async def _scope(door: Door, name: str, target: str) -> dict[str, Json]:
    """Where a verb acts, as far as the policy can bind roles to it."""
    if name in desk.DESK and desk.DESK[name].kind and target:
        record = await asyncio.to_thread(door.book.reads.get, desk.DESK[name].kind, target)
        found = {key: getattr(record, key, "") for key in ("region", "site", "customer")}
        return {key: value for key, value in found.items() if value}
    if not name.startswith("rollout.") or not target:
        return {}
    detail = await asyncio.to_thread(door.rollouts.rollout_detail, target)
    if detail is None:
        return {}
    sites = sorted({site for stage in detail.stages for site in stage.sites})
    return {"cohort": detail.rollout.cohort, "site": sites, "robots": detail.rollout.robots}


def _stop(door: Door, request: verbs.Request) -> CommandAnswer:
    if not request.preview:
        door.stopping.set()
    return CommandAnswer(id=request.id, verb="engine.stop", preview=request.preview)


async def _ask(door: Door, caller: Caller, name: str, request: verbs.Request, args: Any) -> Any:
    host: Host = door.host
    who: dict[str, Any] = {"id": request.id, "actor": caller.actor()}
    if name in ("run.start", "rollout.start"):
        workflow = request.target if name == "run.start" else ROLLOUT_WORKFLOW
        attributes = getattr(args, "attributes", {})
        return await host.start_run(workflow, args.inputs, attributes=attributes, preview=request.preview, **who)
    if name == "workflow.register":
        if request.preview:
            raise Denied(422, "bad_input", "a registration has no preview: validate it instead", field="preview")
        return await host.register(args.text, **who)
    run = _run_of(name, request.target)
    return await host.submit(run, _COMMANDS[name](caller, request, args), preview=request.preview, **who)


def _run_of(name: str, target: str) -> str:
    return target.rpartition(".")[0] if name.startswith("gate.") else target


def _signal(event: str, data: dict[str, Json], caller: Caller, request: verbs.Request) -> core.Command:
    return core.ReceiveEvent(event=event, id=request.id, data=data, by=caller.person)


def _custom_signal(c: Caller, r: verbs.Request, a: Any) -> core.Command:
    if a.event.startswith("rollout."):
        raise Denied(422, "bad_input", f"{a.event} is a verb of its own", fix=f"use {a.event}", field="args.event")
    return _signal(a.event, a.data, c, r)


def _rollout_verb(event: str) -> Callable[[Caller, verbs.Request, Any], core.Command]:
    return lambda c, r, a: _signal(event, verbs.payload(a), c, r)


_COMMANDS: dict[str, Callable[[Caller, verbs.Request, Any], core.Command]] = {
    "run.suspend": lambda c, r, a: core.Suspend(by=c.person, reason=a.reason),
    "run.resume": lambda c, r, a: core.Resume(by=c.person),
    "run.cancel": lambda c, r, a: core.Cancel(by=c.person, reason=a.reason),
    "run.terminate": lambda c, r, a: core.Terminate(by=c.person, reason=a.reason),
    "run.retry": lambda c, r, a: core.RetryStep(by=c.person, path=a.path),
    "run.skip": lambda c, r, a: core.SkipStep(by=c.person, path=a.path, reason=a.reason, output=a.output),
    "run.redrive": lambda c, r, a: core.Redrive(by=c.person, step=a.step, reason=a.reason, inputs=a.inputs),
    "run.migrate": lambda c, r, a: core.Migrate(by=c.person, digest=a.digest, reason=a.reason),
    "run.comment": lambda c, r, a: core.Comment(by=c.person, text=a.text, step=a.step),
    "run.override-window": lambda c, r, a: core.OverrideWindow(voter=c.voter(), path=a.path, reason=a.reason),
    "run.signal": _custom_signal,
    "gate.vote": lambda c, r, a: core.Vote(
        gate=r.target,
        voter=c.voter(),
        answer=a.answer,
        evidence_digest=a.evidence_digest,
        rationale=a.rationale,
        form=a.form,
    ),
    "gate.withdraw": lambda c, r, a: core.WithdrawVote(gate=r.target, voter=c.voter()),
    "gate.abstain": lambda c, r, a: core.Abstain(gate=r.target, voter=c.voter(), reason=a.reason),
    "gate.delegate": lambda c, r, a: core.Delegate(gate=r.target, voter=c.voter(), to=a.to, until=a.until),
    "gate.claim": lambda c, r, a: core.Claim(gate=r.target, voter=c.voter()),
    "gate.ask": lambda c, r, a: core.AskInfo(gate=r.target, voter=c.voter(), question=a.question),
    **{
        name: _rollout_verb(name)
        for name in (
            "rollout.pause",
            "rollout.hold",
            "rollout.resume",
            "rollout.promote",
            "rollout.rollback",
            "rollout.extend",
        )
    },
}
