"""What doing a dangerous thing means, before it is done: sentences, and the phrase that has to be typed for it.

The phrase is made from what would be touched, so that it can't be typed by habit, and it is computed again when the
command arrives: when the blast radius has changed in between, the old phrase no longer fits.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from engine.api import verbs
from engine.api.door import Door
from engine.capabilities.rollout import limits
from engine.contract.gates import GateDetail
from engine.contract.rollouts import RolloutDetail, StageView


class Consequences(Struct, frozen=True):
    sentences: tuple[str, ...] = ()
    phrase: str = ""


NONE = Consequences()


def consequences(door: Door, verb: str, target: str, args: verbs.Args) -> Consequences:
    """Reads the journal: call it in a thread. Unknown targets have none; the host will say that they are unknown."""
    if isinstance(args, verbs.GateVote):
        return _vote(door, target, args)
    if verb == "rollout.start":
        updates = door.ports.get("updates")
        return Consequences(limits.sentences(limits.server(updates), limits.limits(updates), verb))
    if verb.startswith("rollout.") and target:
        detail = door.rollouts.rollout_detail(target)
        return _with_limits(_rollout(verb, detail, args), detail, verb) if detail else NONE
    if isinstance(args, verbs.RunTerminate):
        return Consequences((f"{target} ends at once and nothing is undone",), f"terminate {target}")
    if isinstance(args, verbs.RunSkip):
        return Consequences((f"{target} goes on as if {args.path} had been done",), f"skip {args.path}")
    if isinstance(args, verbs.RunOverrideWindow):
        return Consequences((f"{args.path} of {target} acts inside a frozen window",), f"override {args.path}")
    return NONE


def fits(typed: str, phrase: str) -> bool:
    """Spaces may differ, nothing else."""
    return typed.split() == phrase.split()


def approval(door: Door, detail: GateDetail) -> Consequences:
    """What approving means. A gate of a rollout moves robots: it says which, and wants the phrase."""
    rollout = door.rollouts.rollout_detail(detail.gate.rollout) if detail.gate.rollout else None
    told = Consequences(detail.consequences, detail.phrase or _phrase_in(detail))
    if rollout is not None and "approve" in detail.answers:
        told = _on_a_rollout(detail.gate.path.rpartition(".")[2], rollout) or told
    left = max(0, detail.gate.seats_open - 1)
    seats = (
        f"{left} more seat{'s' if left != 1 else ''} to fill after this vote"
        if left
        else "this vote fills the last seat"
    )
    return Consequences((*told.sentences, seats), told.phrase)


def _phrase_in(detail: GateDetail) -> str:
    """A workflow may put the phrase into the evidence, where what would be touched is frozen with it."""
    phrase = detail.evidence.get("phrase") if isinstance(detail.evidence, dict) else None
    return phrase if isinstance(phrase, str) and "approve" in detail.answers else ""


def otherwise(door: Door, detail: GateDetail) -> tuple[str, str]:
    """What a rejection and silence mean: the definition names an error, a rollout says what that does to robots."""
    rollout = door.rollouts.rollout_detail(detail.gate.rollout) if detail.gate.rollout else None
    if rollout is None:
        return detail.on_reject, detail.on_timeout
    head = rollout.rollout
    back = f"every robot that got {head.version} goes back to {head.previous or 'its version before'}"
    if detail.gate.path == "signoff":
        ends = "nothing is installed and the rollout ends"
        return ends, f"after the deadline {ends}"
    goes_back = detail.on_reject.endswith("rollback decided")
    return (
        back if goes_back else detail.on_reject,
        "it stays paused and asks again" if detail.on_timeout.endswith("paused") else detail.on_timeout,
    )


def _vote(door: Door, gate: str, args: verbs.GateVote) -> Consequences:
    detail = door.reads.gate_detail(gate)
    if detail is None:
        return NONE
    if args.answer == "approve":
        return approval(door, detail)
    reject, _ = otherwise(door, detail)
    return Consequences((f"if rejected: {reject}",) if args.answer == "reject" and reject else ())


def _on_a_rollout(step: str, detail: RolloutDetail) -> Consequences | None:
    head, stage = detail.rollout, _stage(detail, detail.rollout.stage_index)
    if step == "signoff":
        first = detail.stages[0] if detail.stages else None
        said = [f"{head.robots} robots get {head.version} in {len(detail.stages)} stages, if each is judged well"]
        if first is not None:
            said.insert(0, f"+{first.size} robots ({first.name}) first{_places(detail.blast)}")
        preflight = detail.preflight if isinstance(detail.preflight, dict) else {}
        blocked = preflight.get("blocked") or []
        said += [f"{len(blocked)} robots could not be put back afterwards: {_names(blocked)}"] if blocked else []
        return _with_limits(Consequences(tuple(said), f"start {head.robots} {head.cohort}"), detail, "signoff")
    if step in ("promotion", "judge", "decide"):
        return _rollout("rollout.promote", detail, verbs.RolloutPromote())
    if step == "install_decide" and stage is not None:
        failed = stage.counts.failed + stage.counts.timed_out + stage.counts.rejected
        return Consequences(
            (f"{failed} failed robots of {stage.name} are tried again",), f"retry {failed} {stage.name}"
        )
    if step in ("held", "paused_long"):
        return _rollout("rollout.resume", detail, verbs.RolloutResume())
    return None


def _places(blast: dict[str, Any]) -> str:
    parts = [f"{len(blast[key])} {key}" for key in ("sites", "customers") if isinstance(blast.get(key), list | tuple)]
    return f", {', '.join(parts)}" if parts else ""


def _names(blocked: Any) -> str:
    names = [str(one.get("robot", "")) for one in blocked[:5] if isinstance(one, dict)]
    return ", ".join(names) + (" ..." if len(blocked) > 5 else "")


def _with_limits(meant: Consequences, detail: RolloutDetail, about: str) -> Consequences:
    """With what the update server can't do about it, as it was when the rollout was checked."""
    if detail.owner is None:
        return meant
    said = limits.sentences(detail.owner.server, dict(detail.owner.limits), about)
    return Consequences((*meant.sentences, *said), meant.phrase)


def _rollout(verb: str, detail: RolloutDetail, args: verbs.Args) -> Consequences:
    head = detail.rollout
    stage = _stage(detail, head.stage_index)
    split = _split(detail)
    if verb == "rollout.rollback":
        plan = detail.rollback
        if plan is None:
            return Consequences(("how far this can be undone is not known yet", *split))
        said = [f"{plan.feasible} of {plan.robots} robots go back to {plan.to_version or head.previous}"]
        if plan.estimate_s:
            said[0] += f", about {max(1, round(plan.estimate_s / 60))} min"
        said += [f"{robot} can't go back: {reason}" for robot, reason in plan.blocked[:5]]
        if len(plan.blocked) > 5:
            said.append(f"and {len(plan.blocked) - 5} more that can't")
        said += [f"{robot} is on hold and stays as it is" for robot in plan.on_hold[:5]]
        return Consequences(tuple(said), plan.phrase or f"rollback {plan.robots} {head.cohort or head.id}")
    if verb == "rollout.promote":
        following = _stage(detail, head.stage_index + 1)
        if following is None:
            return Consequences(("this is the last stage: promoting completes the rollout",), f"promote {head.id}")
        sites = f", {len(following.sites)} sites" if following.sites else ""
        return Consequences(
            (f"+{following.size} robots{sites} get {head.version}", *split),
            f"promote {following.size} {following.name}",
        )
    if verb == "rollout.resume":
        left = max(
            0, (stage.size if stage else head.robots) - (stage.counts.executed if stage else head.counts.executed)
        )
        name = stage.name if stage else head.id
        return Consequences((f"{left} robots of {name} may be updated again", *split), f"resume {left} {name}")
    if verb in ("rollout.pause", "rollout.hold"):
        return Consequences(split)
    if isinstance(args, verbs.RolloutExtend):
        return Consequences((f"the soak of {stage.name if stage else head.stage} lasts {args.hours:g} h longer",))
    return NONE


def _stage(detail: RolloutDetail, index: int) -> StageView | None:
    return next((stage for stage in detail.stages if stage.index == index), None)


def _split(detail: RolloutDetail) -> tuple[str, ...]:
    """What a stop leaves behind: shown before it is pressed."""
    if detail.split is None:
        return ()
    done, busy, never = detail.split
    return (f"{done} robots have finished and stay, {busy} are in progress and finish, {never} never start",)
