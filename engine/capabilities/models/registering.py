"""From a checkpoint to a candidate under evaluation: known or new, which pack, compared with what."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.capabilities.models import packing
from engine.capabilities.models.runner import Bench, program
from engine.capabilities.ports import ActionError, Context, Fleet
from engine.capabilities.records import Change, Emit, RecordError
from engine.capabilities.rollout.selector import Selector
from engine.contract.models import BaselineView, CandidateView, Check, PackView

Json = Any
Input = dict[str, Json]
LIVE = ("draft", "locked")
SESSIONS = 2_000
"""Session digests kept with a candidate; the snapshot has them all."""


async def register(context: Context, given: Input) -> Json:
    """The candidate of this checkpoint: made now, or the one that is known already."""
    digest, line = str(given.get("model_digest") or ""), str(given.get("line") or "")
    if not line:
        raise _refused("NoLine", "which model line is this candidate for?")
    if not context.vault.has(digest):
        raise _refused("NoModel", f"the checkpoint {digest[:80] or '(none named)'} is not kept here")
    if not await asyncio.to_thread(context.vault.verify, digest):
        raise _refused("NoModel", f"the checkpoint {digest} is no longer what its digest says")
    known = await context.records.find("candidate", where={"model_digest": digest}, limit=1)
    if known:
        return _standing(known[0], context)
    size = (await asyncio.to_thread(context.vault.path(digest).stat)).st_size
    about = await _described(context, line, digest)
    if about.get("line") and about["line"] != line:
        raise _refused("NotWhatItClaims", f"the checkpoint says it is of line {about['line']}, not {line}")
    if about.get("snapshot") and given.get("snapshot_digest") and about["snapshot"] != given["snapshot_digest"]:
        raise _refused("NotWhatItClaims", "the checkpoint says that it was trained on another snapshot than is claimed")
    fields: dict[str, Json] = {
        "title": f"{line} {digest[7:11]}", "line": line, "model_digest": digest, "size_b": size,
        "framework": str(about.get("format", "")), "params": int(about.get("params") or 0),
        "precision": str(about.get("precision", "")), "tasks": list(about.get("tasks") or ()),
        "recipe_digest": str(given.get("recipe_digest") or about.get("recipe_digest") or ""),
        "seed": int(given.get("seed") or about.get("seed") or 0),
        "sessions": list(given.get("sessions") or ())[:SESSIONS], "parents": list(given.get("parents") or ()),
        "safety_relevant": bool(given.get("safety_relevant")),
    } | {
        name: str(given.get(name) or "")
        for name in ("snapshot", "snapshot_digest", "base_digest", "training", "version", "target_compute", "notes")
    }  # fmt: skip
    told = {name: fields[name] for name in ("line", "model_digest", "snapshot", "training", "version")}
    id_ = await _id_of(context, digest)
    try:
        made = await context.records.create(
            "candidate", fields, key=digest, id=id_, emit=(Emit("qd.candidate.registered", told | {"candidate": id_}),)
        )
    except RecordError as error:
        if error.error != "Exists":
            raise
        made = await context.records.get("candidate", id_)  # another run was faster with the same checkpoint
        return _standing(made, context)
    return _standing(made, context)


async def _id_of(context: Context, digest: str) -> str:
    """Content-addressed and short; longer only when another model begins alike."""
    for length in (8, 16, 64):
        id_ = f"C-{digest[7 : 7 + length]}"
        found = await context.records.get("candidate", id_)
        if found is None or found.model_digest == digest:
            return id_
    raise _refused("NoModel", f"two models under one digest: {digest}")


def _standing(record: CandidateView, context: Context) -> Json:
    """Where it stands, and the policy's times for the rest of the run: they are the same for all of it."""
    policy = context.policy("release")
    return {
        "candidate": record.id, "line": record.line, "model_digest": record.model_digest, "state": record.state,
        "duplicate": record.run != context.run, "safety_relevant": record.safety_relevant, "version": record.version,
        "why": record.why,
        "auto": bool(policy["auto_approve"]), "approval_s": float(policy["approval"]), "decide_s": float(policy["decide"]), "more": int(policy["extend"]),
        "hardware_s": float(policy["hardware"]["answer"]), "replay_s": float(policy["replay_limit"]),
        "trial_s": float(policy["trial_limit"]), "build_s": float(policy["build_limit"]),
        "smoke_s": float(policy["smoke_limit"]),
    }  # fmt: skip


async def _described(context: Context, line: str, digest: str) -> dict[str, Json]:
    """What the checkpoint says about itself, read by the line's own runner. Raises ActionError `BadModel`."""
    policy = context.policy("release")
    pack = await pack_for(context, line)
    name = pack.runner if pack is not None else next(iter(policy.get("runners") or {}), "")
    if not name:
        return {}
    bench: Bench = context.port("evaluation")
    job = {"kind": "describe", "model": str(context.vault.path(digest))}
    limit_s = float(policy["bench_wall"])
    async for said in bench.lines(program(policy, name), job, wanted=lambda: not context.cancelled(), limit_s=limit_s):
        if said.get("event") == "described":
            return said
    return {}


async def pack_for(context: Context, line: str) -> PackView | None:
    """The newest pack of a line that is not retired."""
    found = await context.records.find("pack", state=LIVE, where={"line": line}, order="-version", limit=1)
    return found[0] if found else None


async def attach(context: Context, given: Input) -> Json:
    """Locks the pack, finds what the candidate is compared with, and looks for what both were made of."""
    policy = context.policy("release")
    candidate = await candidate_of(context, given["candidate"])
    pack = await _pack(context, candidate, str(given.get("pack") or ""))
    fill = packing.locked(pack, policy) if pack.state == "draft" else {}
    trained = await trained_on(context, candidate)
    shared = packing.overlap(pack, trained)
    if shared and not given.get("leave_out"):
        raise ActionError(
            "PackContaminated",
            f"{pack.id} shares {len(shared)} with what {candidate.id} was trained on: {', '.join(shared[:5])}",
            retryable=False, detail={"shared": shared[:100], "pack": pack.id},
        )  # fmt: skip
    if fill:
        pack = await context.records.change(
            "pack",
            pack.id,
            to="locked",
            set=fill | {"locked_at": context.now()},
            reason=f"first used for {candidate.id}",
            emit=(packing.told_locked(pack, fill["digest"]),),
        )
    kept = packing.without(pack, shared)
    if not kept.tasks:
        raise _refused("PackContaminated", f"nothing of {pack.id} is left that {candidate.id} was not trained on")
    baseline = await _baseline(context, candidate, pack, str(given.get("baseline") or ""))
    if baseline.model_digest == candidate.model_digest:
        raise _refused("NoBaseline", f"{candidate.id} already is what runs: there is nothing to compare it with")
    says = (
        f"{len(shared)} left out"
        if shared
        else f"0 of {len(trained)} sessions shared"
        if trained
        else "no training sessions known"
    )
    await context.records.change_many(
        (
            Change(
                kind="candidate", id=candidate.id, to="evaluating",
                set={
                    "pack": pack.id, "pack_digest": pack.digest, "baseline": msgspec.to_builtins(baseline),
                    "simulator": pack.simulator, "n_max": pack.plan.n_max, "left_out": shared,
                    "blind": "the bench knows code names and a mixed order",
                    "checks": checked(candidate, Check(name="pack vs train", ok=True, says=says)),
                },
                reason=f"pack {pack.id}, baseline {baseline.label}",
            ),
            Change(kind="pack", id=pack.id, set={"used_by": pack.used_by + 1}),
        )
    )  # fmt: skip
    return {
        "pack": pack.id, "pack_digest": pack.digest, "baseline": msgspec.to_builtins(baseline), "tasks": [t.task for t in kept.tasks],
        "hardware": kept.hardware, "left_out": shared, "plan": msgspec.to_builtins(pack.plan),
    }  # fmt: skip


async def candidate_of(context: Context, id_: str) -> CandidateView:
    found = await context.records.get("candidate", str(id_))
    if found is None:
        raise _refused("NoCandidate", f"there is no candidate {str(id_)[:80]}")
    return found  # type: ignore[no-any-return]


async def pack_of(context: Context, candidate: CandidateView) -> PackView:
    """The locked pack of a candidate under evaluation, without what it shares with the training."""
    found = await context.records.get("pack", candidate.pack)
    if found is None or found.digest != candidate.pack_digest:
        raise _refused("NoPack", f"the pack {candidate.pack or '(none)'} is not what it was locked as")
    return packing.without(found, candidate.left_out)


async def _pack(context: Context, candidate: CandidateView, named: str) -> PackView:
    if named:
        found = await context.records.get("pack", named)
        if found is None or found.state not in LIVE:
            raise _refused("NoPack", f"there is no evaluation pack {named[:80]} to use")
        if found.line != candidate.line:
            raise _refused("NoPack", f"{found.id} is for line {found.line}, {candidate.id} is of line {candidate.line}")
        return found  # type: ignore[no-any-return]
    pack = await pack_for(context, candidate.line)
    if pack is None:
        raise _refused(
            "NoPack", f"no evaluation pack is there for line {candidate.line}: add one with `qd models pack add`"
        )
    return pack


async def trained_on(context: Context, candidate: CandidateView) -> set[str]:
    """Digests, fingerprints and ids of the sessions it learnt from: its own list, and its snapshot's."""
    found = set(candidate.sessions)
    snapshot = await context.records.get("snapshot", candidate.snapshot) if candidate.snapshot else None
    digest = getattr(snapshot, "episodes_digest", "")
    if digest and context.vault.has(digest):
        data = await asyncio.to_thread(context.vault.read, digest)
        for line in data.splitlines():
            episode = msgspec.json.decode(line)
            if episode.get("split") in ("train", "val"):
                found.update(str(episode[name]) for name in ("session", "digest", "fingerprint") if episode.get(name))
    return found


async def _baseline(context: Context, candidate: CandidateView, pack: PackView, named: str) -> BaselineView:
    """What runs on the target cohort today: by the robots' own word, else the line's newest eligible artifact."""
    line = candidate.line
    if named:
        return await _kept(context, line, named, "", found="named by who asked")
    count = await _running(context, pack.selector)
    for version, robots in count.most_common():
        artifacts = await context.records.find("artifact", where={"line": candidate.line, "version": version}, limit=1)
        made = await context.records.get("candidate", artifacts[0].candidate) if artifacts else None
        digest = made.model_digest if made is not None else pack.fielded.get(version, "")
        if digest and digest != candidate.model_digest:
            return await _kept(
                context, line, digest, version, robots=robots, found="runs on most robots of the target cohort"
            )
    eligible = await context.records.find("artifact", state="eligible", where={"line": candidate.line}, limit=1)
    made = await context.records.get("candidate", eligible[0].candidate) if eligible else None
    if made is not None and made.model_digest != candidate.model_digest:
        return await _kept(
            context, line, made.model_digest, eligible[0].version, found="the line's newest eligible artifact"
        )
    for version, digest in sorted(pack.fielded.items(), reverse=True):
        if digest != candidate.model_digest:
            return await _kept(context, line, digest, version, found="named in the pack; no robot says that it runs it")
    raise _refused(
        "NoBaseline",
        f"what line {candidate.line} runs today is not known: name it in the pack (fielded: version, digest)",
    )


async def _running(context: Context, selector: str) -> Counter[str]:
    """How many robots of the cohort say they run which version."""
    try:
        fleet: Fleet = context.port("fleet")
    except ActionError:
        return Counter()
    chosen = Selector(selector or "all")
    return Counter(robot.version for robot in await fleet.robots() if robot.version and chosen.matches(robot))


async def _kept(context: Context, line: str, digest: str, version: str, *, robots: int = 0, found: str) -> BaselineView:
    if not context.vault.has(digest):
        raise _refused(
            "NoBaseline",
            f"the baseline's model {digest[:80]} is not kept here: it has to be run again beside the candidate",
        )
    known = await context.records.find("candidate", where={"model_digest": digest}, limit=1)
    label = f"{line} {digest[7:11]}" + (f" ({version})" if version else "")
    return BaselineView(
        model_digest=digest,
        candidate=known[0].id if known else "",
        version=version,
        label=label,
        robots=robots,
        found=found,
    )


def checked(candidate: CandidateView, *fresh: Check) -> list[Mapping[str, Json]]:
    """The readiness lines with these in place of their namesakes."""
    by_name = {one.name: one for one in candidate.checks} | {one.name: one for one in fresh}
    return [msgspec.to_builtins(one) for one in by_name.values()]


def _refused(error: str, message: str) -> ActionError:
    return ActionError(error, message, kind="validation", retryable=False)
