"""From labelled sessions to a frozen snapshot: curation, coverage, split, checks, sign-off.

Rules: what is left out has a reason code and is counted; freezing computes everything again from the records, so that a
session withdrawn a minute ago is not in it; finalizing compares what was signed with what stands there.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec

from engine.capabilities.data import coverage, manifest, shift, splitting
from engine.capabilities.data.campaign import (
    ALL,
    Input,
    corrections_of,
    dataset_of,
    funnel,
    in_batches,
    labels_of,
    limits_of,
    newest,
    reserved_for_evaluation,
    rule_of,
    sessions_of,
    snapshot_of,
)
from engine.capabilities.data.curation import CODES, Decision, curate, outcome, spearman
from engine.capabilities.data.signing import blockers, evidence, flags, unlike
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Change, Emit
from engine.contract.datasets import Cell, Checks, Curation, EpisodeRow, SnapshotView
from engine.contract.sessions import SessionView

Json = Any
SHORT = 60
"""Cells named in evidence and events; the record has all of them."""


async def curate_sessions(context: Context, given: Input) -> Json:
    """One decision with a reason code for every labelled session; the baseline's decision stands beside it."""
    snapshot = await snapshot_of(context, given)
    if snapshot.state == "review":
        snapshot = await context.records.change("snapshot", snapshot.id, to="building", reason="curated again")
    policy = context.policy("data")
    sessions = [one for one in await sessions_of(context, snapshot) if one.state in ("labelled", "curated", "excluded")]
    labels = await labels_of(context, snapshot)
    corrections = await corrections_of(context, sessions)
    corrected = frozenset(
        one.session for one in corrections if one.route == "train" and getattr(one, "use", "") != "detection"
    )
    rule = rule_of(policy)
    by_hand = frozenset(one.id for one in sessions if one.state == "excluded" and one.code == "by_hand")
    decisions = await asyncio.to_thread(curate, sessions, labels, rule=rule, corrected=corrected, by_hand=by_hand)
    keep = {one.session for one in decisions if one.keep}
    out = await _left_out(context, snapshot, [one for one in sessions if one.id in keep])
    by_id = {one.id: one for one in sessions}
    changes = []
    for one in decisions:
        code = out[one.session][0] if one.session in out else one.code
        to = "curated" if code.startswith("kept") else "excluded"
        if by_id[one.session].state != to or by_id[one.session].code != code:
            changes.append(
                Change(
                    kind="session",
                    id=one.session,
                    to=to,
                    set={"code": code},
                    reason=f"{snapshot.title}: {CODES.get(code, code)}",
                )
            )
    await in_batches(context, changes, "curating")
    rows = [_row(by_id[one.session], one, out.get(one.session)) for one in decisions]
    kept = await asyncio.to_thread(
        context.vault.put_bytes, b"".join(msgspec.json.encode(row) + b"\n" for row in rows), media=manifest.MEDIA,
        source=f"snapshot/{snapshot.id}", name=f"{snapshot.dataset}-v{snapshot.version}-curation.jsonl",
    )  # fmt: skip
    pairs = [(one.score, one.baseline) for one in decisions]
    excluded = [one for one in decisions if one.code == "low_score"]
    found = Curation(
        rule=rule.name, rule_digest=_digest_of(rule), kept=sum(row.decision == "kept" for row in rows),
        excluded=sum(row.decision != "kept" for row in rows), baseline_excluded=sum(not one.baseline_keeps for one in decisions),
        both_excluded=sum(not one.baseline_keeps for one in excluded), rank_correlation=spearman(pairs), decisions=kept.digest,
    )  # fmt: skip
    plain = msgspec.to_builtins(found)
    counted = await funnel(context, snapshot)
    await context.records.change(
        "snapshot",
        snapshot.id,
        set={"curation": plain, "funnel": msgspec.to_builtins(counted), "selection": kept.digest},
    )
    return {
        "snapshot": snapshot.id,
        "curation": plain,
        "kept": found.kept,
        "excluded": found.excluded,
        "funnel": msgspec.to_builtins(counted),
    }


async def cover(context: Context, given: Input) -> Json:
    """The coverage matrix, shortest cells first. Waivers of earlier campaigns count until their time."""
    snapshot = await snapshot_of(context, given)
    cells, _ = await _matrix(context, snapshot)
    short = [one for one in cells if one.short]
    effective = coverage.effective(cells)
    await context.records.change(
        "snapshot", snapshot.id, set={"coverage": msgspec.to_builtins(cells), "n_eff": effective}
    )
    return {
        "snapshot": snapshot.id, "short": bool(short), "short_count": len(short), "cells": msgspec.to_builtins(cells[:SHORT]),
        "cell_count": len(cells), "n_eff": effective, "sentence": _short_sentence(short, cells),
    }  # fmt: skip


async def request_collection(context: Context, given: Input) -> Json:
    """A request for recordings of the cells that are short, for whoever collects."""
    snapshot = await snapshot_of(context, given)
    short = [one for one in snapshot.coverage if one.short]
    due = context.now() + float(context.policy("data")["coverage"]["collect"])
    plain = msgspec.to_builtins(short[:SHORT])
    open_ones = await context.records.find("collection", state="requested", where={"snapshot": snapshot.id}, limit=1)
    if open_ones:
        collection = await context.records.change("collection", open_ones[0].id, set={"cells": plain})
    else:
        collection = await context.records.create(
            "collection",
            {
                "title": f"{snapshot.dataset}: {_short_sentence(short, snapshot.coverage)}", "dataset": snapshot.dataset,
                "snapshot": snapshot.id, "cells": plain, "due_at": due, "by": context.started_by,
            },
            key=f"collection/{context.key}",
            emit=(Emit("qd.dataset.coverage.short", {"snapshot": snapshot.id, "dataset": snapshot.dataset, "cells": plain}),),
        )  # fmt: skip
    return {"snapshot": snapshot.id, "collection": collection.id, "due_at": collection.due_at, "cells": plain}


async def waive(context: Context, given: Input) -> Json:
    """Short cells are accepted as they are, by people, for a time, with their reason."""
    snapshot = await snapshot_of(context, given)
    by = ", ".join(str(one) for one in given.get("by") or []) or "nobody"
    until = context.now() + float(given.get("days") or 7.0) * 86_400.0
    reason = str(given.get("reason") or "")[:500]
    cells = [
        msgspec.structs.replace(one, waived=by, waived_until=until) if one.short else one for one in snapshot.coverage
    ]
    count = sum(bool(one.waived) for one in cells)
    await context.records.change(
        "snapshot", snapshot.id, set={"coverage": msgspec.to_builtins(cells)}, reason=f"waived by {by}: {reason}"
    )
    for one in await context.records.find("collection", state="requested", where={"snapshot": snapshot.id}, limit=ALL):
        await context.records.change(
            "collection", one.id, to="waived", set={"reason": reason}, reason=f"waived by {by}: {reason}"
        )
    return {"snapshot": snapshot.id, "waived": count, "until": until}


async def freeze(context: Context, given: Input) -> Json:
    """Split, checks, lineage, manifest, root digest; the evidence of the sign-off. What can't be signed says why."""
    snapshot = await snapshot_of(context, given)
    policy = context.policy("data")
    dataset = await dataset_of(context, snapshot)
    cells, kept = await _matrix(context, snapshot)
    labels = await labels_of(context, snapshot)
    corrections = [one for one in await corrections_of(context, kept) if one.route == "train"]
    reserved = await reserved_for_evaluation(
        context, await corrections_of(context, await sessions_of(context, snapshot))
    )
    before = await _before(context, snapshot)
    old = await asyncio.to_thread(_episodes, context, before) if before else []
    seed = snapshot.split_seed
    splits = splitting.split(
        kept, shares={str(k): float(v) for k, v in policy["split"]["shares"].items()}, seed=seed,
        before={one.group: one.split for one in old},
    )  # fmt: skip
    weight = rule_of(policy).correction_weight
    by_session: dict[str, list[str]] = {}
    for one in corrections:
        by_session.setdefault(one.session, []).append(one.id)
    episodes = [
        manifest.episode(
            one, split=splits[splitting.group_of(one)], group=splitting.group_of(one),
            weight=weight if one.id in by_session else 1.0, annotation=labels.get(one.id), corrections=sorted(by_session.get(one.id, [])),
        )
        for one in kept
    ]  # fmt: skip
    lines = await asyncio.to_thread(manifest.lines, episodes)
    root = await asyncio.to_thread(manifest.root_digest, episodes)
    name = f"{snapshot.dataset}-v{snapshot.version}"
    kept_lines = await asyncio.to_thread(
        context.vault.put_bytes,
        lines,
        media=manifest.MEDIA,
        source=f"snapshot/{snapshot.id}",
        name=f"{name}-episodes.jsonl",
    )
    leaks = splitting.leaks(kept, splits, reserved)
    checks = await _checks(context, snapshot, reserved.cases, len(leaks))
    past = [await context.records.get("session", one.session) for one in old]
    rules = policy["shift"]
    moved = shift.shifts(
        kept,
        [one for one in past if one is not None],
        psi_flag=float(rules["psi"]),
        bins=int(rules["bins"]),
        least=int(rules["least"]),
    )
    counts = dict.fromkeys(policy["split"]["shares"], 0)
    for each in episodes:
        counts[each.split] += 1
    fields: dict[str, Json] = {
        "root_digest": root, "episodes_digest": kept_lines.digest, "episodes": len(episodes),
        "frames": sum(one.frames for one in episodes), "hours": round(sum(one.duration_s for one in episodes) / 3600, 4),
        "bytes": sum(one.bytes for one in episodes), "splits": counts, "groups": len(splits),
        "sessions": [one.session for one in manifest.ordered(episodes)], "corrections": sorted(one.id for one in corrections),
        "coverage": msgspec.to_builtins(cells), "n_eff": coverage.effective(cells), "shift": msgspec.to_builtins(moved[:20]),
        "shift_against": before.id if before else "", "checks": msgspec.to_builtins(checks), "contamination": len(leaks),
        "interventions": sum(one.interventions for one in kept), "failures": sum(outcome(one, labels.get(one.id)) == "failure" for one in kept),
        "profile": next((one.profile for one in kept if one.profile), ""), "gpu_hours": await _estimate(context, snapshot, kept, policy),
        "revision_ref": f"{name}@{root.removeprefix('sha256:')[:12]}", "funnel": msgspec.to_builtins(await funnel(context, snapshot)),
    }  # fmt: skip
    draft = msgspec.convert({**msgspec.to_builtins(snapshot), **fields}, SnapshotView, strict=False)
    document = await asyncio.to_thread(
        manifest.croissant, draft, episodes, episodes_digest=kept_lines.digest, schema=msgspec.to_builtins(dataset.label_schema),
        now=snapshot.created_at, creator=dataset.owner or "Quarterdeck",
    )  # fmt: skip
    kept_manifest = await asyncio.to_thread(
        context.vault.put_bytes,
        document,
        media=manifest.CROISSANT,
        source=f"snapshot/{snapshot.id}",
        name=f"{name}-croissant.json",
    )
    fields["manifest"] = kept_manifest.digest
    fields["blockers"] = blockers(draft, leaks)
    fields["flags"] = [*flags(draft), *unlike(kept)]
    if snapshot.state == "review":
        snapshot = await context.records.change("snapshot", snapshot.id, to="building", reason="frozen again")
    fresh: SnapshotView = await context.records.change(
        "snapshot", snapshot.id, to="review", set=fields, reason="frozen for the sign-off"
    )
    return {
        "snapshot": fresh.id,
        "blocked": bool(fresh.blockers),
        "blockers": list(fresh.blockers),
        "root_digest": root,
        "ref": fresh.revision_ref,
        "evidence": evidence(fresh),
    }


async def finalize(context: Context, given: Input) -> Json:
    """Makes it immutable, if it still is what was signed; its predecessor is superseded."""
    snapshot = await snapshot_of(context, given)
    root = str(given["root_digest"])
    episodes = await asyncio.to_thread(_episodes, context, snapshot)
    found = await asyncio.to_thread(manifest.root_digest, episodes)
    if not found == root == snapshot.root_digest:
        raise ActionError(
            "SnapshotChanged", f"signed was {root}, what stands here is {found}", kind="conflict", retryable=False
        )
    if snapshot.state != "finalized":
        gone = []
        for one in episodes:
            session: SessionView | None = await context.records.get("session", one.session)
            if session is None or session.state != "curated":
                gone.append(f"{one.session} is {session.state if session else 'gone'}")
        expired = [
            one.key
            for one in snapshot.coverage
            if one.have < one.need and not (one.waived and one.waived_until > context.now())
        ]
        if gone or expired:
            what = (
                f"{len(gone)} sessions may no longer be used: {gone[0]}"
                if gone
                else f"the waiver of {expired[0]} has run out"
            )
            raise ActionError("SnapshotChanged", what, kind="conflict", retryable=False)
        by = [str(one) for one in given.get("by") or []]
        data = {
            "snapshot": snapshot.id, "root_digest": root, "dataset": snapshot.dataset, "version": snapshot.version,
            "line": snapshot.line, "episodes": snapshot.episodes, "corrections": list(snapshot.corrections),
            "parents": list(snapshot.parents),
        }  # fmt: skip
        gate = str(given.get("gate") or "")
        snapshot = await context.records.change(
            "snapshot", snapshot.id, to="finalized", set={"signed_by": by, "gate": gate}, reason=f"signed off by {', '.join(by)}",
            facts={"gate": gate, "root_digest": root}, emit=(Emit("qd.dataset.finalized", data),),
        )  # fmt: skip
    for one in await context.records.find(
        "snapshot", state="finalized", where={"dataset": snapshot.dataset}, limit=ALL
    ):
        if one.version < snapshot.version:
            await context.records.change("snapshot", one.id, to="superseded", reason=f"{snapshot.title} took its place")
    await context.records.change("dataset", snapshot.dataset, set={"newest": snapshot.id, "versions": snapshot.version})
    return {
        "snapshot": snapshot.id, "root_digest": root, "episodes": snapshot.episodes, "line": snapshot.line, "version": snapshot.version,
    }  # fmt: skip


async def abandon(context: Context, given: Input) -> Json:
    """The campaign ended without a snapshot: what it left open is closed, with the reason."""
    reason = str(given.get("reason") or "the campaign ended")[:500]
    for one in await context.records.find("snapshot", state=("building", "review"), limit=ALL):
        if one.run == context.run:
            tasks = await context.records.find(
                "label_task", state=("open", "claimed"), where={"snapshot": one.id}, limit=ALL
            )
            await in_batches(
                context,
                [Change(kind="label_task", id=task.id, to="dropped", reason=reason) for task in tasks],
                "closing tasks",
            )
            for request in await context.records.find(
                "collection", state="requested", where={"snapshot": one.id}, limit=ALL
            ):
                await context.records.change("collection", request.id, to="cancelled", reason=reason)
            await context.records.change(
                "snapshot", one.id, to="withdrawn", set={"withdrawn_for": reason}, reason=reason
            )
    return {"reason": reason}


# -- inside ------------------------------------------------------------------------------------------------------------


async def _left_out(
    context: Context, snapshot: SnapshotView, sessions: list[SessionView]
) -> dict[str, tuple[str, str]]:
    corrections = await corrections_of(context, sessions)
    reserved = await reserved_for_evaluation(context, corrections)
    limits = limits_of(context.policy("data"), snapshot.region)
    out = splitting.left_out(
        sessions, reserved=reserved, limits=limits, licence=snapshot.licence, basis=snapshot.consent_basis
    )
    held_back = {one.session for one in corrections if one.route in ("eval", "safety_case")}
    return {
        name: ("evaluation", "reserved for evaluation") if name in held_back else found for name, found in out.items()
    }


async def _matrix(context: Context, snapshot: SnapshotView) -> tuple[list[Cell], list[SessionView]]:
    """The cells, and the sessions that are kept and survive the checks of freezing."""
    policy, dataset = context.policy("data"), await dataset_of(context, snapshot)
    every = await sessions_of(context, snapshot)
    curated = [one for one in every if one.state == "curated"]
    out = await _left_out(context, snapshot, curated)
    kept = [one for one in curated if one.id not in out]
    wanted = coverage.strata(
        dataset.strata,
        every,
        dims=[str(one) for one in policy["coverage"]["dims"]],
        need=int(policy["coverage"]["need"]),
    )
    waived = {one.key: (one.waived, one.waived_until) for one in snapshot.coverage if one.waived}
    before = await _before(context, snapshot)
    for one in before.coverage if before else ():
        if one.waived:
            waived.setdefault(one.key, (one.waived, one.waived_until))
    return coverage.matrix(wanted, kept, waived, context.now()), kept


async def _before(context: Context, snapshot: SnapshotView) -> SnapshotView | None:
    earlier = await context.records.find("snapshot", where={"dataset": snapshot.dataset}, limit=ALL)
    return newest([one for one in earlier if one.version < snapshot.version])


def _episodes(context: Context, snapshot: SnapshotView) -> list[manifest.Episode]:
    return (
        manifest.read(context.vault.read(snapshot.episodes_digest, limit=1 << 32)) if snapshot.episodes_digest else []
    )


async def _checks(context: Context, snapshot: SnapshotView, cases: int, left: int) -> Checks:
    """What was left out, by reason, counted over the dataset's sessions as they stand."""
    excluded = await context.records.find("session", state="excluded", where={"dataset": snapshot.dataset}, limit=ALL)
    count = dict.fromkeys(CODES, 0)
    for one in excluded:
        if one.code in count:
            count[one.code] += 1
    return Checks(
        contaminated=count["contaminated"] + count["evaluation"], near_duplicates=count["near_duplicate"] + count["duplicate"],
        leaked=left, residency=count["residency"], consent=count["consent"], unlicensed=count["licence"], pack_cases=cases, left=left,
    )  # fmt: skip


async def _estimate(
    context: Context, snapshot: SnapshotView, sessions: list[SessionView], policy: dict[str, Json]
) -> float:
    """Hours of computing: as the line's last training needed per hour of recordings, else the policy's guess."""
    hours = sum(one.duration_s for one in sessions) / 3600
    per_hour = float(policy["training"]["seconds_per_hour"])
    for training in await context.records.find("training", state="succeeded", where={"line": snapshot.line}, limit=1):
        used = await context.records.get("snapshot", training.snapshot)
        if used is not None and used.hours > 0:
            per_hour = training.spent_s / used.hours
    return round(hours * per_hour / 3600, 3)


def _row(session: SessionView, decision: Decision, out: tuple[str, str] | None) -> EpisodeRow:
    code, why = out or (decision.code, CODES[decision.code])
    return EpisodeRow(
        session=session.id, digest=session.digest, decision="kept" if code.startswith("kept") else "left out", code=code, why=why,
        group=splitting.group_of(session), weight=decision.weight, score=decision.score, baseline=decision.baseline,
        robot=session.robot, site=session.site, task=session.task, duration_s=session.duration_s,
    )  # fmt: skip


def _digest_of(rule: Any) -> str:
    return f"sha256:{hashlib.sha256(msgspec.json.encode(rule)).hexdigest()}"


def _short_sentence(short: list[Cell], cells: Any) -> str:
    if not short:
        return f"all {len(cells)} cells have what they need"
    return f"{len(short)} of {len(cells)} cells are short: " + ", ".join(
        f"{one.key} {one.have}/{one.need}" for one in short[:3]
    )
