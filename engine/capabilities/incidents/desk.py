"""What people do on an incident beside answering its gates: declare it, command it, contain it, choose, keep people told.

What makes things safer goes at once. What changes robots goes through the gate of the incident's run; under break-glass
one person goes ahead, by a phrase typed from what would be touched, and somebody else reviews it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Given, Name, Short, Text
from engine.capabilities.incidents import declaring
from engine.capabilities.incidents.clocks import Filed, Start, filed, foresee_start, start
from engine.capabilities.incidents.command import COMMANDERS, over
from engine.capabilities.incidents.reading import amend
from engine.capabilities.incidents.robots import keep_out
from engine.capabilities.ports import ActionError, Fleet
from engine.capabilities.records import Emit
from engine.capabilities.rollout.planning import slips
from engine.contract.incidents import FollowUpView, HoldView, IncidentView

Json = Any
Option = Literal["rollback", "forward", "hotfix", "config", "restrict", "monitor"]
OVER = ("closed", "false_alarm")


class Declare(Args, frozen=True, kw_only=True):
    """`sev` 1 (worst) to 4; 0 when unsure: then the higher is assumed. `robots` are those that were part of it."""

    title: Annotated[str, Meta(min_length=3, max_length=200)]
    sev: Annotated[int, Meta(ge=0, le=4)] = 0
    reason: Text = ""
    version: Short = ""
    previous: Short = ""
    forward: Short = ""
    hotfix: Short = ""
    line: Short = ""
    site: Short = ""
    selector: Short = ""
    robots: tuple[Short, ...] = ()
    first_seen: float = 0.0


class Reason(Args, frozen=True, kw_only=True):
    reason: Text = ""


class Because(Args, frozen=True, kw_only=True):
    reason: Given


class LetGoOn(Args, frozen=True, kw_only=True):
    reason: Given
    phrase: Short = ""


class Choose(Args, frozen=True, kw_only=True):
    option: Option


class Glass(Args, frozen=True, kw_only=True):
    option: Option
    reason: Given
    phrase: Short = ""


class Severity(Args, frozen=True, kw_only=True):
    sev: Annotated[int, Meta(ge=1, le=4)]
    reason: Text = ""


class Rescope(Args, frozen=True, kw_only=True):
    """Only what is given changes. `robots` are added to those that were part of it."""

    version: Short = ""
    selector: Short = ""
    previous: Short = ""
    forward: Short = ""
    hotfix: Short = ""
    robots: tuple[Short, ...] = ()
    exposed_since: float = 0.0


class Changed(Args, frozen=True, kw_only=True):
    """Something that changed on these robots: a map, a configuration, a shift. It is compared with the rest."""

    name: Name
    kind: Literal["map", "config", "shift", "hardware", "change"] = "change"
    robots: tuple[Short, ...]
    at: float = 0.0


class Update(Args, frozen=True, kw_only=True):
    text: Given


class Place(Args, frozen=True, kw_only=True):
    robot: Name
    reason: Given
    incident: Short = ""


class FileIt(Args, frozen=True, kw_only=True):
    """`ref` is where it stands now: a problem, a case, a pack, a document."""

    ref: Short = ""
    note: Text = ""


async def declare(desk: Desk, record: Any, args: Declare) -> Json:
    await _known(desk, args.robots, "args.robots")
    made: IncidentView = await desk.records.create(
        "incident",
        {
            "title": args.title, "sev": args.sev, "reason": args.reason, "version": args.version, "previous": args.previous,
            "forward": args.forward, "hotfix": args.hotfix, "line": args.line, "site": args.site, "selector": args.selector,
            "involved": sorted(set(args.robots)), "first_seen": args.first_seen or desk.now(), "detector": "person",
            "ic": desk.person if "incident-commander" in desk.roles else "",
            "ic_since": desk.now() if "incident-commander" in desk.roles else 0.0,
        },
        key="declare",
        reason=args.reason or args.title,
    )  # fmt: skip
    run = await desk.start(
        "fleet-hotfix",
        {"incident": made.id, "title": made.title, "version": made.version, "sev": float(args.sev), "site": args.site},
    )
    await desk.records.change("incident", made.id, set={"run": run}, reason="its run")
    return {"id": made.id, "run": run}


async def take(desk: Desk, incident: IncidentView, args: Reason) -> Json:
    """Command goes over on the receiver's own key, with both names and the time."""
    _open(desk, incident)
    _may_command(desk)
    if incident.ic == desk.person:
        desk.refuse("already", f"you command {incident.id} since {incident.ic_since:.0f}")
    words = f"took command from {incident.ic}" if incident.ic else "took command"
    await desk.records.change_many([over(incident, desk.person, desk.now(), words)])
    await _tell_run(desk, incident, "incident.taken", {}, needed=False)
    return {"id": incident.id, "ic": desk.person}


async def contain(desk: Desk, incident: IncidentView, args: Reason) -> Json:
    """Now, without typing: what has not begun is withdrawn, robots on the version leave dispatch, rollouts are paused."""
    _open(desk, incident)
    if incident.version and incident.state not in ("resolved", "reviewed"):
        await desk.publish(
            "qd.incident.declared",
            {"incident": incident.id, "sev": incident.sev, "version": incident.version, "line": incident.line, "robots": list(incident.involved), "sites": list(incident.sites)},
            incident.id,
        )  # fmt: skip
    sample = await declaring.stop_spread(desk, incident, key=f"{incident.id}/contain/{incident.rev}", drain=True)
    return {"id": incident.id, **sample}


async def choose(desk: Desk, incident: IncidentView, args: Choose) -> Json:
    _commanded(desk, incident)
    _feasible(desk, incident, args.option)
    await _tell_run(desk, incident, "incident.chosen", {"option": args.option}, needed=True)
    return {"id": incident.id, "option": args.option}


async def glass(desk: Desk, incident: IncidentView, args: Glass) -> Json:
    _open(desk, incident)
    _feasible(desk, incident, args.option)
    await _tell_run(desk, incident, "incident.breakglass", {"option": args.option, "reason": args.reason}, needed=True)
    return {"id": incident.id, "option": args.option, "by": desk.person}


async def foresee_glass(desk: Desk, incident: IncidentView, args: Glass) -> Foreseen:
    row = next((one for one in incident.options if one.kind == args.option), None)
    if row is None or not row.feasible:
        return Foreseen()
    said = [f"{row.title} on {len(row.covered)} robots at once, on your word alone"]
    if row.estimate_s:
        first = ", one robot first" if row.needs_reboot else ""
        said.append(f"about {row.estimate_s / 60:.0f} min{first}")
    if row.blocked:
        said.append(f"{len(row.blocked)} robots are not reached: {', '.join(name for name, _ in row.blocked[:4])}")
    said.append("somebody else reviews it within a day")
    return Foreseen(tuple(said), f"break {row.phrase}")


async def severity(desk: Desk, incident: IncidentView, args: Severity) -> Json:
    _open(desk, incident)
    required = desk.policy("hotfix")["follow_ups"][str(args.sev)]
    await amend(
        desk.records, incident.id, lambda one: {"sev": args.sev, "required": list(required)}, at=desk.now(), who=desk.person,
        what=f"SEV-{args.sev}" + (f": {args.reason}" if args.reason else ""),
        emit=(Emit("qd.incident.updated", {"incident": incident.id, "sev": args.sev, "by": desk.person}),),
    )  # fmt: skip
    return {"id": incident.id, "sev": args.sev}


async def rescope(desk: Desk, incident: IncidentView, args: Rescope) -> Json:
    _open(desk, incident)
    await _known(desk, args.robots, "args.robots")
    given = {
        name: getattr(args, name)
        for name in ("version", "selector", "previous", "forward", "hotfix")
        if getattr(args, name)
    }
    if args.exposed_since:
        given["exposed_since"] = args.exposed_since
    await amend(
        desk.records, incident.id, lambda one: {**given, "involved": sorted({*one.involved, *args.robots})}, at=desk.now(),
        who=desk.person, what="looks at the scope again" + (f": {', '.join(sorted(given))}" if given else ""),
    )  # fmt: skip
    await _tell_run(desk, incident, "incident.rescope", {}, needed=True)
    return {"id": incident.id}


async def changed(desk: Desk, incident: IncidentView, args: Changed) -> Json:
    _open(desk, incident)
    line = {"name": args.name, "kind": args.kind, "robots": list(args.robots), "at": args.at or desk.now()}
    await amend(
        desk.records, incident.id, lambda one: {"changes": [*one.changes, line]}, at=desk.now(), who=desk.person,
        what=f"{args.name} changed on {len(args.robots)} robots",
    )  # fmt: skip
    await _tell_run(desk, incident, "incident.rescope", {}, needed=False)
    return {"id": incident.id}


async def update(desk: Desk, incident: IncidentView, args: Update) -> Json:
    """Everybody is told, and the time until the next word begins anew."""
    due = desk.now() + float(desk.policy("hotfix")["update_every"])
    await amend(
        desk.records, incident.id, lambda one: {"update_due": due}, at=desk.now(), who=desk.person, what=f"update: {args.text}",
        emit=(Emit("qd.incident.updated", {"incident": incident.id, "what": args.text, "by": desk.person}),),
    )  # fmt: skip
    return {"id": incident.id, "next_update": due}


async def false_alarm(desk: Desk, incident: IncidentView, args: Because) -> Json:
    _open(desk, incident)
    await _tell_run(desk, incident, "incident.false-alarm", {"reason": args.reason}, needed=True)
    return {"id": incident.id}


async def recurred(desk: Desk, incident: IncidentView, args: Because) -> Json:
    await _tell_run(desk, incident, "incident.recurred", {"reason": args.reason}, needed=True)
    return {"id": incident.id}


async def release_rollouts(desk: Desk, incident: IncidentView, args: LetGoOn) -> Json:
    """The commander lets the version's rollouts go on while the incident is still open."""
    _commanded(desk, incident)
    await amend(
        desk.records, incident.id, lambda one: {"released_rollouts": True}, at=desk.now(), who=desk.person,
        what=f"lets rollouts of {incident.version} go on: {args.reason}",
        emit=(Emit("qd.incident.updated", {"incident": incident.id, "what": "rollouts may go on", "by": desk.person}),),
    )  # fmt: skip
    return {"id": incident.id}


async def foresee_rollouts(desk: Desk, incident: IncidentView, args: LetGoOn) -> Foreseen:
    return Foreseen(
        (f"paused rollouts of {incident.version} may be resumed while {incident.id} is open",),
        f"release {incident.version or incident.id}",
    )


async def place(desk: Desk, record: Any, args: Place) -> Json:
    """The robot stays exactly as it is, from now on: no install, no rollback, no dispatch."""
    await _known(desk, (args.robot,), "args.robot")
    hold: HoldView = await desk.records.create(
        "hold",
        {"title": f"{args.robot}: {args.reason}"[:200], "robot": args.robot, "incident": args.incident, "purpose": "legal", "reason": args.reason},
        key="place",
        reason=args.reason,
        emit=(Emit("qd.hold.placed", {"robot": args.robot, "incident": args.incident, "purpose": "legal"}),),
    )  # fmt: skip
    await keep_out(desk.records, [args.robot], hold.id, f"hold {hold.id}: {args.reason}")
    if args.incident and await desk.records.get("incident", args.incident) is not None:
        await amend(
            desk.records, args.incident, lambda one: {"holds": sorted({*one.holds, hold.id})}, at=desk.now(), who=desk.person,
            what=f"{args.robot} is on hold ({hold.id}): {args.reason}",
        )  # fmt: skip
    return {"id": hold.id, "robot": args.robot}


async def release(desk: Desk, hold: HoldView, args: Because) -> Json:
    """Asks for it: two other people decide."""
    if hold.state != "active":
        desk.refuse("already", f"{hold.id} is {hold.state}")
    run = await desk.start(
        "hold-release",
        {
            "hold": hold.id,
            "robot": hold.robot,
            "incident": hold.incident,
            "reason": args.reason,
            "asked_by": desk.person,
        },
    )
    return {"id": hold.id, "run": run}


async def file(desk: Desk, follow_up: FollowUpView, args: FileIt) -> Json:
    if not args.ref and not args.note:
        desk.refuse("bad_input", "say where it was filed, or what was done", field="ref")
    await desk.records.change(
        "followup", follow_up.id, to="filed", set={"ref": args.ref, "note": args.note or follow_up.note, "by": desk.person},
        reason=args.note or args.ref,
        emit=(Emit("qd.followup.filed", {"incident": follow_up.incident, "what": follow_up.what, "ref": args.ref}),),
    )  # fmt: skip
    await _followed(desk, follow_up, f"{follow_up.id} {follow_up.what} filed: {args.ref or args.note}")
    return {"id": follow_up.id}


async def waive(desk: Desk, follow_up: FollowUpView, args: Because) -> Json:
    await desk.records.change(
        "followup", follow_up.id, to="waived", set={"note": args.reason, "by": desk.person}, reason=args.reason,
        facts={"person": desk.person},
    )  # fmt: skip
    await _followed(desk, follow_up, f"{follow_up.id} {follow_up.what} waived: {args.reason}")
    return {"id": follow_up.id}


async def done(desk: Desk, follow_up: FollowUpView, args: Reason) -> Json:
    await desk.records.change("followup", follow_up.id, to="done", reason=args.reason or "done")
    return {"id": follow_up.id}


async def _followed(desk: Desk, follow_up: FollowUpView, what: str) -> None:
    incident = await desk.records.get("incident", follow_up.incident)
    if incident is not None:
        await amend(desk.records, incident.id, lambda one: {}, at=desk.now(), who=desk.person, what=what)
        await _tell_run(desk, incident, "followup.filed", {"followup": follow_up.id}, needed=False)


async def _known(desk: Desk, names: Sequence[str], field: str) -> None:
    """Refuses a robot nobody has. A fleet that can't be read holds nobody back: what is asked here makes things safer."""
    if not names:
        return
    try:
        fleet: Fleet = desk.port("fleet")
        here = [robot.id for robot in await fleet.robots()]
    except ActionError:
        return
    for name in names:
        if name not in here:
            near = sorted(slips(name) & set(here)) or difflib.get_close_matches(name, here, 2)
            fix = f"did you mean {' or '.join(near)}?" if near else "qd fleet robots lists them"
            desk.refuse("unknown_robot", f"there is no robot {name[:60]!r} in the fleet", fix=fix, field=field)


def _open(desk: Desk, incident: IncidentView) -> None:
    if incident.state in OVER:
        desk.refuse("closed", f"{incident.id} is {incident.state.replace('_', ' ')}")


def _may_command(desk: Desk) -> None:
    if not set(COMMANDERS) & set(desk.roles):
        desk.refuse(
            "not_commander",
            f"{desk.person} holds no role that commands incidents",
            fix=f"contain it (C) and call one: {', '.join(COMMANDERS[:3])}",
        )


def _commanded(desk: Desk, incident: IncidentView) -> None:
    _open(desk, incident)
    if incident.ic != desk.person:
        held = f"{incident.ic} commands {incident.id}" if incident.ic else f"nobody commands {incident.id}"
        desk.refuse("not_commander", held, fix="take command first: qd incidents take, or I")


def _feasible(desk: Desk, incident: IncidentView, option: str) -> None:
    row = next((one for one in incident.options if one.kind == option), None)
    if row is None:
        desk.refuse(
            "not_yet",
            f"the options of {incident.id} are not known yet",
            fix="it is still being scoped",
            field="args.option",
        )
    if not row.feasible:
        desk.refuse(
            "not_feasible", f"{row.title} is not feasible: {row.note or 'it reaches no robot'}", field="args.option"
        )


async def _tell_run(desk: Desk, incident: IncidentView, event: str, data: dict[str, Json], *, needed: bool) -> None:
    """To the incident's own run. When it does not listen now, that is an answer only where something depended on it."""
    from engine.capabilities.desk import Refusal

    try:
        await desk.signal(incident.run, event, data)
    except Refusal as refusal:
        if not needed:
            return
        if refusal.code == "not_waiting":
            desk.refuse(
                "not_now",
                f"{incident.id} can't take that now: it is {incident.phase or incident.state}",
                fix="look at its run",
            )
        raise


VERBS: tuple[DeskVerb, ...] = (
    DeskVerb(name="incident.declare", args=Declare, says="declare an incident", do=declare),
    DeskVerb(name="incident.take", args=Reason, says="take command of an incident", do=take, kind="incident"),
    DeskVerb(name="incident.contain", args=Reason, says="contain an incident", do=contain, kind="incident"),
    DeskVerb(name="incident.choose", args=Choose, says="choose what is done about an incident", do=choose, kind="incident"),
    DeskVerb(name="incident.breakglass", args=Glass, says="break the glass", do=glass, foresee=foresee_glass, kind="incident", risk=True),
    DeskVerb(name="incident.severity", args=Severity, says="grade an incident", do=severity, kind="incident"),
    DeskVerb(name="incident.rescope", args=Rescope, says="scope an incident anew", do=rescope, kind="incident"),
    DeskVerb(name="incident.change", args=Changed, says="name a change", do=changed, kind="incident"),
    DeskVerb(name="incident.update", args=Update, says="tell everybody how an incident stands", do=update, kind="incident"),
    DeskVerb(name="incident.false-alarm", args=Because, says="call an incident a false alarm", do=false_alarm, kind="incident"),
    DeskVerb(name="incident.recurred", args=Because, says="say that an incident came back", do=recurred, kind="incident"),
    DeskVerb(name="incident.release-rollouts", args=LetGoOn, says="let rollouts go on", do=release_rollouts, foresee=foresee_rollouts, kind="incident", risk=True),
    DeskVerb(name="incident.clock", args=Start, says="start a regulatory clock", do=start, foresee=foresee_start, kind="incident"),
    DeskVerb(name="incident.filed", args=Filed, says="say that a report was filed", do=filed, kind="incident"),
    DeskVerb(name="hold.place", args=Place, says="hold a robot", do=place),
    DeskVerb(name="hold.release", args=Because, says="ask to release a hold", do=release, kind="hold"),
    DeskVerb(name="followup.file", args=FileIt, says="file a follow-up", do=file, kind="followup"),
    DeskVerb(name="followup.waive", args=Because, says="waive a follow-up", do=waive, kind="followup"),
    DeskVerb(name="followup.done", args=Reason, says="finish a follow-up", do=done, kind="followup"),
)  # fmt: skip
