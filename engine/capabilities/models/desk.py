"""What people ask for about models, beside starting a release and answering its gates."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Given, Name, Short, Text
from engine.capabilities.models import hardware, packing
from engine.capabilities.ports import ActionError
from engine.capabilities.records import Change, Emit, RecordError
from engine.contract.models import ArtifactView, CandidateView, PackView, TrialView

Json = Any
Digest = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]
MAX_CHECKPOINT_B = 64 * 1024**3
SESSIONS = 2_000


class KeepArgs(Args, frozen=True, kw_only=True):
    """A file on the engine's machine, and what it is."""

    path: Given
    media: Short = "application/octet-stream"


class RegisterArgs(Args, frozen=True, kw_only=True):
    """A checkpoint by digest, or by a path on the engine's machine, and where it comes from."""

    line: Name
    digest: Short = ""
    path: Text = ""
    version: Short = ""
    snapshot: Short = ""
    snapshot_digest: Short = ""
    recipe_digest: Short = ""
    base_digest: Short = ""
    training: Short = ""
    seed: int = 0
    sessions: tuple[Name, ...] = ()
    pack: Short = ""
    baseline: Short = ""
    safety_relevant: bool = False
    notes: Text = ""


class MoreArgs(Args, frozen=True, kw_only=True):
    reason: Text = ""


class ReopenArgs(Args, frozen=True, kw_only=True):
    reason: Text = ""


class ExcludeArgs(Args, frozen=True, kw_only=True):
    """`sort` is counted at the gate: operator, environment, hardware, protocol."""

    reason: Given
    sort: Literal["operator", "environment", "hardware", "protocol"] = "operator"


class EnterArgs(Args, frozen=True, kw_only=True):
    """One row of the order sheet, as it went."""

    number: Annotated[int, Meta(ge=1)]
    outcome: Literal["success", "failure"]
    rubric: Annotated[float, Meta(ge=0, le=1)] = 0.0
    duration_s: Annotated[float, Meta(ge=0)] = 0.0
    safety_event: Short = ""
    mode: Short = ""
    note: Text = ""


class DoneArgs(Args, frozen=True, kw_only=True):
    reason: Text = ""


class PackArgs(Args, frozen=True, kw_only=True):
    """A pack as it was written down."""

    document: dict[str, Json]


class LockArgs(Args, frozen=True, kw_only=True):
    pass


class RetireArgs(Args, frozen=True, kw_only=True):
    reason: Given


class CaseArgs(Args, frozen=True, kw_only=True):
    """A regression case from an incident or a correction: becomes part of the pack's next version."""

    id: Name
    task: Name
    seed: int = 0
    init: dict[str, float] = {}
    origin: Name


class RevokeArgs(Args, frozen=True, kw_only=True):
    reason: Given


async def keep(desk: Desk, record: None, args: KeepArgs) -> Json:
    kept = await _kept(desk, args.path, args.media)
    return {"digest": kept.digest, "size_b": kept.size, "name": kept.name}


async def register(desk: Desk, record: None, args: RegisterArgs) -> Json:
    """Keeps the checkpoint and starts its release; one that is known is refused with its name."""
    if bool(args.path) == bool(args.digest):
        desk.refuse("bad_input", "name the checkpoint by `path` or by `digest`, one of them", field="path")
    digest = args.digest or (await _kept(desk, args.path, "application/octet-stream")).digest
    known: list[CandidateView] = await desk.records.find("candidate", where={"model_digest": digest}, limit=1)
    if known:
        desk.refuse(
            "duplicate",
            f"this checkpoint is {known[0].id} already ({known[0].state})",
            fix=f"qd models show {known[0].id}",
        )
    names = (
        "line", "version", "snapshot", "snapshot_digest", "recipe_digest", "base_digest", "training", "seed", "pack",
        "baseline", "safety_relevant", "notes",
    )  # fmt: skip
    given = {name: getattr(args, name) for name in names} | {
        "sessions": list(args.sessions[:SESSIONS]),
        "model_digest": digest,
    }
    run = await desk.start("candidate-to-release", given)
    return {"run": run, "model_digest": digest}


async def _kept(desk: Desk, named: str, media: str) -> Any:
    """A file into the vault: only from folders the policy names, only a regular file, no symbolic link on the way."""
    path = Path(named)
    allowed = [Path(str(one)) for one in desk.policy("release").get("inbox") or ()]
    real = Path(os.path.realpath(path))
    if not path.is_absolute() or real != path or not any(real.is_relative_to(folder) for folder in allowed):
        shown = ", ".join(str(folder) for folder in allowed) or "none (policy release, inbox)"
        desk.refuse(
            "bad_input", f"{named[:200]!r} does not stand in a folder files are taken from: {shown}", field="path",
            fix="an absolute path with no symbolic link in it",
        )  # fmt: skip
    try:
        about = await asyncio.to_thread(path.stat)
        if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_CHECKPOINT_B or about.st_size == 0:
            desk.refuse("bad_input", f"{named[:200]!r} is no file of 1 byte to {MAX_CHECKPOINT_B} bytes", field="path")
        return await asyncio.to_thread(desk.vault.put_file, path, media=media, source=str(path))
    except OSError as error:
        desk.refuse("bad_input", f"{named[:200]!r} can't be read: {error.strerror}", field="path")


async def more(desk: Desk, candidate: CandidateView, args: MoreArgs) -> Json:
    """More trials for undecided tasks, while people are being asked; at most as often as the policy says."""
    limit = int(desk.policy("release")["rounds"])
    if candidate.state != "compared":
        desk.refuse("not_now", f"{candidate.id} is {candidate.state}: more trials can be added while it is compared")
    if candidate.rounds >= limit:
        desk.refuse(
            "not_now",
            f"{candidate.id} was given more trials {candidate.rounds} times already; people decide on what there is",
        )
    await desk.signal(
        candidate.run, "candidate.more", {"candidate": candidate.id, "by": desk.person, "reason": args.reason}
    )
    return {"candidate": candidate.id, "round": candidate.rounds + 1}


async def foresee_more(desk: Desk, candidate: CandidateView, args: MoreArgs) -> Foreseen:
    policy = desk.policy("release")
    return Foreseen(
        (
            f"Up to {int(policy['extend'])} more pairs for each task that is undecided; round {candidate.rounds + 1} of {int(policy['rounds'])}.",
            "An open question about it is asked again on the new evidence.",
        )
    )


async def reopen(desk: Desk, candidate: CandidateView, args: ReopenArgs) -> Json:
    """Asks the approval again that nobody answered in time."""
    if candidate.state != "compared":
        desk.refuse("not_now", f"{candidate.id} is {candidate.state}")
    await desk.signal(candidate.run, "candidate.reopen", {"candidate": candidate.id, "by": desk.person})
    return {"candidate": candidate.id}


async def exclude(desk: Desk, trial: TrialView, args: ExcludeArgs) -> Json:
    """Leaves a trial out: it stays visible with its reason, and whoever was asked is asked again."""
    candidate: CandidateView | None = await desk.records.get("candidate", trial.candidate)
    if candidate is None or candidate.state not in ("evaluating", "compared", "approved"):
        desk.refuse(
            "not_now",
            f"its candidate is {candidate.state if candidate else 'gone'}: what was decided on no longer changes",
        )
    if trial.state == "excluded":
        desk.refuse("not_now", f"it is left out already: {trial.excluded}")
    told = {
        "candidate": candidate.id,
        "line": candidate.line,
        "trial": trial.id,
        "reason": args.reason,
        "by": desk.person,
    }
    await desk.records.change(
        "trial", trial.id, to="excluded", set={"excluded": f"{args.sort}: {args.reason}", "excluded_by": desk.person},
        reason=args.reason, emit=(Emit("qd.candidate.evidence.changed", told, subject=candidate.id),),
    )  # fmt: skip
    return {"trial": trial.id, "candidate": candidate.id}


async def foresee_exclude(desk: Desk, trial: TrialView, args: ExcludeArgs) -> Foreseen:
    return Foreseen(
        (
            f"{trial.arm} on {trial.task} (seed {trial.seed}, {trial.outcome}) no longer counts; its pair neither.",
            "It stays visible with your name and reason, and the comparison is made again.",
            "An open approval is asked again on the new evidence.",
        )
    )


async def enter(desk: Desk, candidate: CandidateView, args: EnterArgs) -> Json:
    """One trial on hardware. Which arm it was is found out here, from the sheet's secret."""
    pack: PackView | None = await desk.records.get("pack", candidate.pack)
    if not candidate.hardware or pack is None:
        desk.refuse("not_now", f"{candidate.id} has no order sheet")
    if candidate.state not in ("evaluating", "compared", "approved"):
        desk.refuse("not_now", f"{candidate.id} is {candidate.state}: what was decided on no longer changes")
    keyring = desk.port("secrets")
    secret = await asyncio.to_thread(keyring.get, hardware.secret_name(candidate.id))
    n = int(desk.policy("release")["hardware"]["n_max"])
    rows = hardware.rows_of(candidate, packing.without(pack, candidate.left_out), n, secret)
    if args.number > len(rows):
        desk.refuse("bad_input", f"the sheet has {len(rows)} trials", field="number")
    row = rows[args.number - 1]
    events = [{"what": args.safety_event, "at_s": 0.0, "causal": True}] if args.safety_event else []
    fields = {
        "title": f"{row['task']} {row['seed']}", "candidate": candidate.id, "pack": pack.id, "arm": row["arm"],
        "task": row["task"], "seed": row["seed"], "purpose": "hardware", "outcome": args.outcome,
        "rubric": args.rubric if args.outcome == "failure" else max(args.rubric, 1.0), "duration_s": args.duration_s,
        "mode": args.mode, "safety_events": events, "simulator": "hardware", "note": args.note, "by": desk.person,
    }  # fmt: skip
    told = {
        "candidate": candidate.id,
        "line": candidate.line,
        "number": args.number,
        "by": desk.person,
        "reason": "late trial",
    }
    late = candidate.state in ("compared", "approved")
    emit = (Emit("qd.candidate.evidence.changed", told, subject=candidate.id),) if late else ()
    id_ = f"TR-{candidate.id[2:]}-h{args.number}"
    try:
        trial = await desk.records.create("trial", fields, key=id_, id=id_, emit=emit)
    except RecordError as error:
        if error.error != "Exists":
            raise
        desk.refuse(
            "not_now",
            f"trial {args.number} was entered already: {id_}",
            fix="exclude it with a reason, if it was wrong",
        )
    return {"trial": trial.id, "left": len(rows) - len(await _entered(desk, candidate))}


async def _entered(desk: Desk, candidate: CandidateView) -> list[TrialView]:
    return await desk.records.find("trial", where={"candidate": candidate.id, "purpose": "hardware"}, limit=100_000)


async def hardware_done(desk: Desk, candidate: CandidateView, args: DoneArgs) -> Json:
    """The sheet is done, or as far as it goes."""
    entered = await _entered(desk, candidate)
    if not entered:
        desk.refuse("not_now", "no trial of the sheet was entered")
    await desk.publish(
        "qd.hardware.completed",
        {"candidate": candidate.id, "line": candidate.line, "trials": len(entered)},
        candidate.id,
    )
    return {"candidate": candidate.id, "trials": len(entered)}


async def add_pack(desk: Desk, record: None, args: PackArgs) -> Json:
    """A new version of a pack; the same content again is the one that is there."""
    pack = packing.written(args.document)
    found = packing.content(pack)
    digest = packing.digest_of(found)
    earlier: list[PackView] = await desk.records.find("pack", where={"name": pack.name}, order="-version", limit=1_000)
    same = next((one for one in earlier if packing.digest_of(packing.content(one)) == digest), None)
    if same is not None:
        return {"id": same.id, "version": same.version, "state": same.state}
    missing = [one.id for one in pack.replay if not _has(desk, one.digest)]
    missing += [version for version, kept in pack.fielded.items() if not _has(desk, kept)]
    if missing:
        desk.refuse(
            "bad_input", f"not kept here: {', '.join(missing[:5])}", field="document", fix="qd models keep FILE"
        )
    version = max((one.version for one in earlier), default=0) + 1
    id_ = f"{pack.name}-{version}"
    champions = await desk.records.find("candidate", state="eligible", where={"line": pack.line}, limit=1)
    recheck = bool(desk.policy("release")["recheck_champions"]) and bool(champions)
    told = {
        "pack": id_, "digest": digest, "line": pack.line, "version": version, "champion": champions[0].id if recheck else "",
    }  # fmt: skip
    made = await desk.records.create(
        "pack", found | {"version": version, "title": f"{pack.name}/{version}", "digest": digest}, key=digest, id=id_,
        emit=(Emit("qd.evalpack.updated", told),),
    )  # fmt: skip
    return {"id": made.id, "version": version, "state": made.state}


def _has(desk: Desk, digest: str) -> bool:
    return bool(desk.vault.has(digest))


async def add_case(desk: Desk, pack: PackView, args: CaseArgs) -> Json:
    """The next version of the pack, with one more case that has to hold."""
    if args.task not in {task.task for task in pack.tasks}:
        desk.refuse("bad_input", f"{pack.id} has no task {args.task!r}", field="task")
    found = packing.content(pack)
    case = {"id": args.id, "task": args.task, "seed": args.seed, "init": dict(args.init), "origin": args.origin}
    document = found | {"regressions": [*found["regressions"], case]}
    return await add_pack(desk, None, PackArgs(document=document))


async def lock_pack(desk: Desk, pack: PackView, args: LockArgs) -> Json:
    """From here on its content no longer changes."""
    if pack.state != "draft":
        desk.refuse("not_now", f"{pack.id} is {pack.state}")
    fields = packing.locked(pack, desk.policy("release"))
    made = await desk.records.change(
        "pack",
        pack.id,
        to="locked",
        set=fields | {"locked_at": desk.now()},
        reason="locked",
        emit=(packing.told_locked(pack, fields["digest"]),),
    )
    return {"id": made.id, "digest": made.digest}


async def retire_pack(desk: Desk, pack: PackView, args: RetireArgs) -> Json:
    """No new candidate is tried on it."""
    made = await desk.records.change("pack", pack.id, to="retired", reason=args.reason)
    return {"id": made.id, "state": made.state}


async def revoke(desk: Desk, artifact: ArtifactView, args: RevokeArgs) -> Json:
    """For good, at once: what is under way with it is stopped by whoever runs it."""
    if artifact.state == "revoked":
        desk.refuse("not_now", f"{artifact.id} was revoked already: {artifact.why}")
    told = {
        "artifact": artifact.id, "digest": artifact.digest, "version": artifact.version, "line": artifact.line,
        "reason": args.reason, "candidate": artifact.candidate, "by": desk.person,
    }  # fmt: skip
    changes = [
        Change(
            kind="artifact", id=artifact.id, to="revoked", set={"why": args.reason, "revoked_by": desk.person},
            reason=args.reason, emit=(Emit("qd.artifact.revoked", told), Emit("qd.candidate.revoked", told, subject=artifact.candidate)),
        )
    ]  # fmt: skip
    candidate: CandidateView | None = await desk.records.get("candidate", artifact.candidate)
    if candidate is not None and candidate.state in ("built", "eligible"):
        changes.append(
            Change(kind="candidate", id=candidate.id, to="revoked", set={"why": args.reason}, reason=args.reason)
        )
    await desk.records.change_many(changes)
    return {"artifact": artifact.id, "version": artifact.version}


async def foresee_revoke(desk: Desk, artifact: ArtifactView, args: RevokeArgs) -> Foreseen:
    robots = 0
    with contextlib.suppress(ActionError):
        robots = sum(1 for robot in await desk.port("fleet").robots() if robot.version == artifact.version)
    return Foreseen(
        (
            f"{artifact.title} ({artifact.id}) can never be rolled out again; revoked is final.",
            f"{robots} robots say that they run {artifact.version} now; rollouts of it pause at once.",
        )
    )


VERBS: tuple[DeskVerb, ...] = (
    DeskVerb(name="candidate.keep", args=KeepArgs, says="keep a file", do=keep),
    DeskVerb(name="candidate.register", args=RegisterArgs, says="register a candidate", do=register),
    DeskVerb(name="candidate.more", args=MoreArgs, says="add trials to a candidate", do=more, kind="candidate", foresee=foresee_more),
    DeskVerb(name="candidate.reopen", args=ReopenArgs, says="ask for an approval again", do=reopen, kind="candidate"),
    DeskVerb(name="candidate.enter", args=EnterArgs, says="enter a trial on hardware", do=enter, kind="candidate"),
    DeskVerb(name="candidate.hardware_done", args=DoneArgs, says="end the trials on hardware", do=hardware_done, kind="candidate"),
    DeskVerb(name="candidate.exclude", args=ExcludeArgs, says="leave a trial out", do=exclude, kind="trial", foresee=foresee_exclude),
    DeskVerb(name="pack.add", args=PackArgs, says="add an evaluation pack", do=add_pack),
    DeskVerb(name="pack.case", args=CaseArgs, says="add a case to an evaluation pack", do=add_case, kind="pack"),
    DeskVerb(name="pack.lock", args=LockArgs, says="lock an evaluation pack", do=lock_pack, kind="pack"),
    DeskVerb(name="pack.retire", args=RetireArgs, says="retire an evaluation pack", do=retire_pack, kind="pack"),
    DeskVerb(name="artifact.revoke", args=RevokeArgs, says="revoke an artifact", do=revoke, kind="artifact", foresee=foresee_revoke),
)  # fmt: skip
