"""What people ask of access beside gates: file, answer, report, take back, break glass.

Rules: taking away is always possible at once and asks for nothing; more time or more scope is a new request; nobody offers,
acknowledges or reviews for themselves; a use outside of what runs is refused, and that it was tried is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from msgspec import Meta

from engine.capabilities.access import facts, filing, granting, people, rules, wording
from engine.capabilities.access.entities import LIVE
from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Given, Name, Short, Text
from engine.capabilities.ports import ActionError
from engine.capabilities.records import Emit
from engine.contract.access import AccessRequest, ControlLease, Grant, Used

Json = Any
WORKFLOW = "access-review"
Names = Annotated[tuple[Name, ...], Meta(max_length=5_000)]
Seconds = Annotated[float, Meta(ge=0, le=400 * 86_400)]
Count = Annotated[int, Meta(ge=0, le=1 << 53)]
BEFORE = ("submitted", "classified", "evaluated", "needs_info", "approved", "held")
EXCESS = 20
"""Uses beyond the grant that are named; more are counted among the refused."""


class OpenArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked for. `for_` is whom it is asked for, when that is somebody else."""

    action: Literal["view", "copy", "export", "shell", "observe", "assist", "direct"]
    purpose: Given
    sort: Literal["", "export", "cross_border", "support", "teleop"] = ""
    robots: Names = ()
    sessions: Names = ()
    snapshot: Short = ""
    files: Names = ()
    site: Short = ""
    ticket: Short = ""
    duration_s: Seconds = 0.0
    on_behalf_of: Short = ""
    actor_location: Short = ""
    to_region: Short = ""
    transform: Literal["", "blurred", "derived"] = ""
    classes: Names = ()
    public_key: Annotated[str, Meta(max_length=2_000)] = ""


class ToldArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was missing. Classes only add."""

    text: Text = ""
    purpose: Short = ""
    ticket: Short = ""
    actor_location: Short = ""
    robots: Names = ()
    sessions: Names = ()
    site: Short = ""
    classes: Names = ()
    public_key: Annotated[str, Meta(max_length=2_000)] = ""


class ReportArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a session needs, as the operator's station measured it."""

    latency_p95_ms: Annotated[float, Meta(ge=0, le=60_000)] | None = None
    recording: bool | None = None
    deadman: bool | None = None
    stop_tested: bool = False
    zone_clear: bool | None = None


class AckArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    note: Short = ""


class OfferArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    alternative: Name


class AnswerArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    accept: bool


class ReasonArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Text = ""


class UseArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One use. `count` are commands or bytes, by `what`."""

    what: Literal["start", "command", "bytes", "link", "stop"]
    count: Count = 0
    robot: Short = ""
    action: Short = ""
    recording: Short = ""
    latency_p95_ms: Annotated[float, Meta(ge=0, le=60_000)] | None = None


class ExtendArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    duration_s: Annotated[float, Meta(gt=0, le=400 * 86_400)]
    purpose: Given


class RemoveArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    person: Name
    reason: Given


class BreakArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Break-glass: at once, for an hour, seen by everybody who has to see it."""

    action: Literal["shell", "observe", "assist", "direct"]
    reason: Given
    robots: Names = ()
    site: Short = ""
    public_key: Annotated[str, Meta(max_length=2_000)] = ""
    phrase: Short = ""


def _asked(desk: Desk, args: Args) -> dict[str, Json]:
    """The fields that were filled in, checked; what is wrong is refused with its field."""
    given = {name: value for name, value in msgspec.structs.asdict(args).items() if value not in ("", (), 0.0)}
    try:
        return filing.wanted(given, person=desk.person)
    except ActionError as error:
        _bad(desk, error)


def _bad(desk: Desk, error: ActionError) -> NoReturn:
    detail = error.detail if isinstance(error.detail, Mapping) else {}
    field = str(detail.get("field") or ("public_key" if error.error == "BadKey" else ""))
    desk.refuse("bad_input", error.message, field=field)


async def open_(desk: Desk, record: None, args: OpenArgs) -> Json:
    fields = _asked(desk, args)
    request = await filing.file(desk, fields, key="open")
    run = await desk.start(WORKFLOW, {"request": request.id}, {"request": request.id})
    return {"id": request.id, "run": run, "title": request.title}


async def foresee_open(desk: Desk, record: None, args: OpenArgs) -> Foreseen:
    """What the rules would say to it as things stand."""
    request = msgspec.structs.replace(msgspec.convert(_asked(desk, args), AccessRequest), observed_at=desk.now())
    policy = desk.policy("access")
    seen = await facts.found(desk, request)
    gathered = await facts.gather(desk, request, seen, facts.classified(request, seen, policy))
    found = rules.evaluate(policy, gathered, at=desk.now())
    words = {
        "deny": f"would be denied: {'; '.join(found.reasons[:3])}", "needs_info": f"would be asked for more: {'; '.join(found.reasons[:3])}",
        "needs_approval": f"needs the agreement of {', '.join(found.seats)}", "allow_auto": "is allowed by the rules, which ask for nobody",
    }  # fmt: skip
    told = [f"{wording.title(request)} {words[found.verdict]}"]
    if found.holds and found.verdict != "deny":
        told.append(f"starts once this is there: {'; '.join(one.says for one in found.trace if one.result == 'hold')}")
    if found.alternatives:
        told.append(f"less intrusive: {' | '.join(one.says for one in found.alternatives)}")
    return Foreseen(tuple(told))


async def told(desk: Desk, request: AccessRequest, args: ToldArgs) -> Json:
    _own(desk, request)
    _still(desk, request)
    set_: dict[str, Json] = {
        name: value
        for name, value in msgspec.structs.asdict(args).items()
        if value not in ("", ()) and name not in ("text", "classes")
    }
    if args.public_key:
        try:
            checked = filing.wanted({"action": "shell", "site": "x", "public_key": args.public_key}, person=desk.person)
        except ActionError as error:
            _bad(desk, error)
        set_["key_fingerprint"] = checked["key_fingerprint"]
    set_["classes"] = tuple(dict.fromkeys([*request.classes, *args.classes]))
    set_["info"] = (*request.info, *([f"{desk.person}: {args.text}"] if args.text else []))[-20:]
    set_ |= {"observed_at": desk.now(), "source_system": ""}
    await desk.records.change(
        "access_request",
        request.id,
        set=set_,
        reason=args.text[:300],
        emit=(Emit("qd.access.told", {"request": request.id}),),
    )
    return {"id": request.id}


async def report(desk: Desk, request: AccessRequest, args: ReportArgs) -> Json:
    if request.sort != "teleop":
        desk.refuse(
            "not_teleop",
            f"{request.id} is about {request.sort.replace('_', ' ')}: nothing at a robot is reported for it",
        )
    _still(desk, request)
    now, before = desk.now(), request.readiness
    given = {
        name: value
        for name, value in msgspec.structs.asdict(args).items()
        if value is not None and name != "stop_tested"
    }
    if args.zone_clear is True and desk.person in (request.requester, request.on_behalf_of):
        desk.refuse("forbidden", "who drives can't say that the zone is clear", field="zone_clear")
    ready = msgspec.structs.replace(
        before, **given, robot=request.robots[0] if request.robots else "", reported_by=desk.person, reported_at=now,
        stop_test_at=now if args.stop_tested else before.stop_test_at,
    )  # fmt: skip
    await _ready(desk, request, msgspec.to_builtins(ready), "reported")
    return {"id": request.id}


async def ack(desk: Desk, request: AccessRequest, args: AckArgs) -> Json:
    if request.sort != "teleop":
        desk.refuse("not_teleop", f"{request.id} needs nobody on site")
    if desk.person in (request.requester, request.on_behalf_of):
        desk.refuse("forbidden", "who drives can't acknowledge from the site")
    _still(desk, request)
    ready = msgspec.structs.replace(request.readiness, site_ack_by=desk.person, site_ack_at=desk.now())
    await _ready(
        desk, request, msgspec.to_builtins(ready), f"acknowledged on site by {desk.person}. {args.note}".strip()
    )
    return {"id": request.id}


async def foresee_ack(desk: Desk, request: AccessRequest, args: AckArgs) -> Foreseen:
    return Foreseen(
        (
            f"{desk.person} says: I am on site, I see {wording.subject(request)}, {request.requester} may {request.action} it",
        )
    )


async def _ready(desk: Desk, request: AccessRequest, ready: Json, why: str) -> None:
    emit = (Emit("qd.access.reported", {"request": request.id}),)
    await desk.records.change("access_request", request.id, set={"readiness": ready}, reason=why, emit=emit)


async def offer(desk: Desk, request: AccessRequest, args: OfferArgs) -> Json:
    if desk.person == request.requester:
        desk.refuse("forbidden", "withdraw it and ask for less, or wait for an offer")
    if request.state != "evaluated":
        desk.refuse(
            "not_open", f"{request.id} is {request.state.replace('_', ' ')}: an offer is made while it is decided on"
        )
    choices = {one.name: one for one in request.evaluation.alternatives}
    chosen = choices.get(args.alternative)
    if chosen is None:
        desk.refuse(
            "no_such_option",
            f"{args.alternative} is not among the options",
            fix=f"one of {', '.join(choices) or 'none'}",
            field="alternative",
        )
    await desk.records.change(
        "access_request", request.id, set={"offered": chosen.name, "offered_by": desk.person}, reason=f"offered instead: {chosen.says}",
        emit=(Emit("qd.access.offered", {"request": request.id, "alternative": chosen.name, "says": chosen.says}),),
    )  # fmt: skip
    return {"id": request.id, "says": chosen.says}


async def answer(desk: Desk, request: AccessRequest, args: AnswerArgs) -> Json:
    _own(desk, request)
    if not request.offered:
        desk.refuse("nothing_offered", f"nothing less intrusive was offered for {request.id}")
    emit = (Emit("qd.access.answered", {"request": request.id, "accepted": args.accept}),)
    set_ = {} if args.accept else {"offered": "", "offered_by": ""}
    word = "taken" if args.accept else "declined"
    await desk.records.change("access_request", request.id, set={**set_, "info": (*request.info, f"{desk.person}: {request.offered} {word}")[-20:]},
                              reason=f"{request.offered} {word}", emit=emit)  # fmt: skip
    return {"id": request.id}


async def withdraw(desk: Desk, request: AccessRequest, args: ReasonArgs) -> Json:
    if request.state not in BEFORE:
        desk.refuse(
            "not_open",
            f"{request.id} is {request.state.replace('_', ' ')}",
            fix="a grant that runs is given back: qd access relinquish GRANT",
        )
    _own(desk, request)
    emit = (Emit("qd.access.withdrawn", {"request": request.id}),)
    reason = args.reason or "withdrawn by the requester"
    await desk.records.change(
        "access_request", request.id, to="withdrawn", set={"reason": reason}, reason=reason, emit=emit
    )
    return {"id": request.id}


async def revoke(desk: Desk, grant: Grant, args: ReasonArgs) -> Json:
    """At once, by whoever may: no phrase, no question."""
    ended = await granting.end(
        desk, grant, to="revoked", by=desk.person, reason=args.reason or f"revoked by {desk.person}"
    )
    return {"id": grant.id, "state": ended.state}


async def relinquish(desk: Desk, grant: Grant, args: ReasonArgs) -> Json:
    if desk.person not in (grant.actor, grant.on_behalf_of):
        desk.refuse("forbidden", f"{grant.id} is {grant.actor}'s to give back", fix="revoke it")
    ended = await granting.end(desk, grant, to="relinquished", by=desk.person, reason=args.reason or "given back")
    return {"id": grant.id, "state": ended.state}


async def remove(desk: Desk, record: None, args: RemoveArgs) -> Json:
    """Somebody left: everything they still hold ends now, and what they asked for is off."""
    ended = []
    for grant in await desk.records.find("grant", state=LIVE, where={"actor": args.person}, limit=1_000):
        await granting.end(desk, grant, to="revoked", by=desk.person, reason=args.reason)
        ended.append(grant.id)
    for request in await desk.records.find(
        "access_request", state=BEFORE, where={"requester": args.person}, limit=1_000
    ):
        emit = (Emit("qd.access.withdrawn", {"request": request.id}),)
        await desk.records.change(
            "access_request", request.id, to="withdrawn", set={"reason": args.reason}, reason=args.reason, emit=emit
        )
        ended.append(request.id)
    return {"person": args.person, "ended": ended}


async def use(desk: Desk, grant: Grant, args: UseArgs) -> Json:
    """What is done with a grant, as it is done. Outside of the grant: recorded, refused, and the grant ends."""
    now, before = desk.now(), grant.used
    if grant.state != "active" or now >= grant.expires_at:
        await _refused(desk, grant, before)
        desk.refuse(
            "over", f"{grant.id} is {'over' if grant.state in LIVE else grant.state}: nothing more is done with it"
        )
    beyond = granting.excess(
        grant, robot=args.robot, action=args.action, count=args.count if args.what == "bytes" else 0, used=before
    )
    used = _used(before, args, now, beyond)
    if not beyond and used == before and args.latency_p95_ms is None and args.what != "link":
        return {"id": grant.id, "left_s": grant.expires_at - now}
    if used != before:
        await desk.records.change(
            "grant", grant.id, set={"used": msgspec.to_builtins(used)}, reason=f"{args.what} {args.count or ''}".strip()
        )
    if grant.lease and args.what in ("link", "start", "command"):
        await _link(desk, grant.lease, now, args.latency_p95_ms)
    if beyond:
        await granting.end(desk, grant, to="revoked", by="engine", reason=f"beyond what was granted: {beyond}")
        desk.refuse("beyond_scope", f"{beyond}: {grant.id} has ended")
    return {"id": grant.id, "left_s": grant.expires_at - now}


def _used(before: Used, args: UseArgs, now: float, beyond: str) -> Used:
    return msgspec.structs.replace(
        before,
        started_at=before.started_at or (now if args.what == "start" else 0.0),
        stopped_at=now if args.what == "stop" else before.stopped_at,
        sessions=before.sessions + (args.what == "start"),
        commands=before.commands + (args.count if args.what == "command" and not beyond else 0),
        bytes=before.bytes + (args.count if args.what == "bytes" and not beyond else 0),
        robots=tuple(dict.fromkeys([*before.robots, *([args.robot] if args.robot else [])])),
        actions=tuple(dict.fromkeys([*before.actions, *([args.action] if args.action else [])])),
        recordings=tuple(dict.fromkeys([*before.recordings, *([args.recording] if args.recording else [])]))[-100:],
        excess=tuple([*before.excess, beyond][:EXCESS]) if beyond else before.excess,
        refused=before.refused + bool(beyond),
    )


async def _refused(desk: Desk, grant: Grant, before: Used) -> None:
    tried = msgspec.structs.replace(before, refused=before.refused + 1)
    await desk.records.change(
        "grant",
        grant.id,
        set={"used": msgspec.to_builtins(tried)},
        reason=f"{desk.person} tried to use it after its end",
    )


async def _link(desk: Desk, lease: str, now: float, latency: float | None) -> None:
    found: ControlLease | None = await desk.records.get("lease", lease)
    if found is not None and found.state in LIVE:
        set_ = {"link_at": now} | ({} if latency is None else {"latency_p95_ms": latency})
        await desk.records.change("lease", lease, set=set_)


async def extend(desk: Desk, grant: Grant, args: ExtendArgs) -> Json:
    """More time is a new request, decided anew."""
    if desk.person != grant.actor:
        desk.refuse("forbidden", f"{grant.id} is {grant.actor}'s")
    request: AccessRequest | None = await desk.records.get("access_request", grant.request)
    if request is None or grant.breakglass:
        desk.refuse("no_extension", "break-glass is not extended: ask for access", fix="qd access request")
    fields = {
        name: getattr(request, name)
        for name in ("sort", "action", "robots", "sessions", "snapshot", "files", "site", "ticket", "on_behalf_of", "transform", "public_key", "classes")
        if getattr(request, name)
    }  # fmt: skip
    fields |= {"purpose": args.purpose, "duration_s": args.duration_s, "extends": grant.id}
    try:
        checked = filing.wanted(msgspec.to_builtins(fields), person=desk.person)
    except ActionError as error:
        _bad(desk, error)
    made = await filing.file(desk, checked, key="extend")
    run = await desk.start(WORKFLOW, {"request": made.id}, {"request": made.id})
    return {"id": made.id, "run": run}


async def breakglass(desk: Desk, record: None, args: BreakArgs) -> Json:
    fields = _asked(desk, msgspec.convert(_break_fields(args), OpenArgs))
    if fields["action"] == "shell" and not fields.get("public_key"):
        desk.refuse("bad_input", "a shell needs your public SSH key: it gets a certificate", field="public_key")
    request = await filing.file(desk, fields, key="breakglass", breakglass=True)
    run = await desk.start(WORKFLOW, {"request": request.id}, {"request": request.id})
    return {"id": request.id, "run": run}


def _break_fields(args: BreakArgs) -> dict[str, Json]:
    return {
        "action": args.action, "purpose": args.reason, "robots": args.robots, "site": args.site, "public_key": args.public_key,
    }  # fmt: skip


async def foresee_breakglass(desk: Desk, record: None, args: BreakArgs) -> Foreseen:
    fields = _asked(desk, msgspec.convert(_break_fields(args), OpenArgs))
    policy = desk.policy("access")
    what = msgspec.convert(fields, AccessRequest)
    lasts, within = (
        wording.length(float(policy["ttl"]["breakglass"])),
        wording.length(float(policy["review"]["breakglass"])),
    )
    entry = people.entry_of(policy, desk.person)
    return Foreseen(
        (
            f"{desk.person} gets {wording.WANTS[args.action].lower()} {wording.subject(what)} for {lasts}, without anybody's approval",
            f"compliance is paged now and reviews it within {within}; this can't be muted",
            *(() if entry else (f"{desk.person} is not in the directory: that will be a question at the review",)),
        ),
        phrase=f"break glass {fields.get('site') or fields['robots'][0]}",
    )


async def fetch(desk: Desk, grant: Grant, args: Args) -> Json:
    """Once, by the person it was made for. What was taken is on the record before the first byte is."""
    if desk.person != grant.actor:
        desk.refuse("forbidden", f"{grant.id} was made for {grant.actor}")
    if not grant.package:
        desk.refuse("nothing_to_fetch", f"{grant.id} is enforced by a {grant.enforced_by}: nothing is handed over")
    if grant.state != "active" or desk.now() >= grant.expires_at:
        await _refused(desk, grant, grant.used)
        desk.refuse("over", f"{grant.id} is over")
    if grant.used.bytes:
        await _refused(desk, grant, grant.used)
        desk.refuse("one_shot", f"{grant.id} was fetched already", fix="ask again: a copy is a new decision")
    size = desk.vault.path(grant.package).stat().st_size
    used = msgspec.structs.replace(
        grant.used, started_at=desk.now(), sessions=1, bytes=size, actions=("copy",), recordings=(grant.package,)
    )
    await desk.records.change(
        "grant",
        grant.id,
        set={"used": msgspec.to_builtins(used)},
        reason=f"fetched, {wording.size(size)}",
        expect=grant.rev,
    )
    return {"id": grant.id, "package": grant.package, "size": size, "name": f"{grant.id}.tar"}


def _own(desk: Desk, request: AccessRequest) -> None:
    if desk.person not in (request.requester, request.on_behalf_of):
        desk.refuse("forbidden", f"{request.id} is {request.requester}'s request")


def _still(desk: Desk, request: AccessRequest) -> None:
    if request.state not in BEFORE:
        desk.refuse("not_open", f"{request.id} is {request.state.replace('_', ' ')}")


VERBS = (
    DeskVerb(name="access.open", args=OpenArgs, says="ask for access", do=open_, foresee=foresee_open),
    DeskVerb(name="access.told", args=ToldArgs, says="add to an access request", do=told, kind="access_request"),
    DeskVerb(name="access.report", args=ReportArgs, says="report what a session needs", do=report, kind="access_request"),
    DeskVerb(name="access.ack", args=AckArgs, says="acknowledge on site", do=ack, kind="access_request", foresee=foresee_ack),
    DeskVerb(name="access.offer", args=OfferArgs, says="offer the less intrusive option", do=offer, kind="access_request"),
    DeskVerb(name="access.answer", args=AnswerArgs, says="answer an offer", do=answer, kind="access_request"),
    DeskVerb(name="access.withdraw", args=ReasonArgs, says="withdraw an access request", do=withdraw, kind="access_request"),
    DeskVerb(name="access.revoke", args=ReasonArgs, says="revoke a grant", do=revoke, kind="grant"),
    DeskVerb(name="access.relinquish", args=ReasonArgs, says="give a grant back", do=relinquish, kind="grant"),
    DeskVerb(name="access.use", args=UseArgs, says="record the use of a grant", do=use, kind="grant"),
    DeskVerb(name="access.extend", args=ExtendArgs, says="ask for more time", do=extend, kind="grant"),
    DeskVerb(name="access.fetch", args=Args, says="fetch what was exported", do=fetch, kind="grant"),
    DeskVerb(name="access.remove", args=RemoveArgs, says="end everything somebody holds", do=remove),
    DeskVerb(name="breakglass.take", args=BreakArgs, says="break glass", do=breakglass, foresee=foresee_breakglass, risk=True),
)  # fmt: skip
