"""The label queue of a campaign: what has to be labelled, how far it is, whether the labels can be trusted.

Asked again and again while people work: a session that comes meanwhile gets its tasks with the next look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.capabilities.data import agreement, labelling
from engine.capabilities.data.campaign import (
    ALL,
    Input,
    annotations_of,
    dataset_of,
    in_batches,
    labels_of,
    sessions_of,
    snapshot_of,
)
from engine.capabilities.ports import Context
from engine.capabilities.records import Change, Emit
from engine.contract.datasets import Agreement, Audit, LabelTaskView, SnapshotView
from engine.contract.sessions import SessionView

Json = Any
LIVE = ("open", "claimed", "submitted", "accepted")
WORST = 10


async def queue(context: Context, given: Input) -> Json:
    """Makes the label tasks that are missing."""
    snapshot = await snapshot_of(context, given)
    made = await _fill(context, snapshot)
    counts = await _counts(context, snapshot)
    return {"snapshot": snapshot.id, "made": made, "settled": await _settled(context, snapshot), **counts}


async def _settled(context: Context, snapshot: SnapshotView) -> bool:
    """Whether every label here was accepted already, in this campaign or in an earlier one; then nobody is asked again.

    What an earlier campaign found of labels is carried over to a snapshot that adds none.
    """
    pending = await context.records.find(
        "label_task", state=("open", "claimed", "submitted"), where={"snapshot": snapshot.id}, limit=1
    )
    labels = await labels_of(context, snapshot)
    sessions = await sessions_of(context, snapshot)
    new = any(one.state in ("valid", "repaired") and one.id in labels for one in sessions)
    if pending or new or not labels:
        return False
    if not snapshot.annotators:
        found = await _agreement(context, snapshot, context.policy("data")["labels"])
        before: SnapshotView | None = (
            await context.records.get("snapshot", snapshot.parents[0]) if snapshot.parents else None
        )
        carried = before.audit if before is not None else Audit()
        fields = {
            "agreement": msgspec.to_builtins(found), "audit": msgspec.to_builtins(carried),
            "annotators": sorted({one.author for one in labels.values()}),
        }  # fmt: skip
        await context.records.change("snapshot", snapshot.id, set=fields, reason="no new labels: accepted before")
    return True


async def progress(context: Context, given: Input) -> Json:
    """How far the labels are. Tasks nobody handed in for too long are free again."""
    snapshot = await snapshot_of(context, given)
    await _fill(context, snapshot)
    await _free(context, snapshot, float(context.policy("data")["labels"]["claim"]))
    return {"snapshot": snapshot.id, "at": context.now(), **await _counts(context, snapshot)}


async def drop(context: Context, given: Input) -> Json:
    """Gives up on what is not labelled yet: those sessions stay out of this snapshot, and are counted."""
    snapshot = await snapshot_of(context, given)
    tasks = [one for one in await tasks_of(context, snapshot) if one.state in ("open", "claimed")]
    why = "the campaign went on without it"
    await in_batches(
        context, [Change(kind="label_task", id=one.id, to="dropped", reason=why) for one in tasks], "dropping tasks"
    )
    return {"snapshot": snapshot.id, "dropped": len(tasks), "sessions": sorted({one.session for one in tasks})[:200]}


async def quality(context: Context, given: Input) -> Json:
    """Computes agreement and draws the audit sample; who labelled a session does not audit it."""
    snapshot = await snapshot_of(context, given)
    rules = context.policy("data")["labels"]
    tasks = await tasks_of(context, snapshot)
    found = await _agreement(context, snapshot, rules)
    labels = await labels_of(context, snapshot)
    mine = {name: labels[name] for name in await _unaccepted(context, snapshot, tasks) if name in labels}
    rounds = max((one.rounds for one in tasks), default=0)
    drawn = labelling.drawn(
        [(one.id, len(one.labels)) for one in mine.values()], need=int(rules["audit_n"]), seed=f"{snapshot.id}/{rounds}"
    )
    by_id = {one.id: one for one in mine.values()}
    have = {one.audits for one in tasks if one.purpose == "audit" and one.state in LIVE}
    dataset = await dataset_of(context, snapshot)
    changes = []
    for name in drawn:
        note = by_id[name]
        if name in have:
            continue
        session: SessionView = await context.records.get("session", note.session)
        authors = sorted(
            {one.assignee for one in tasks if one.session == note.session and one.purpose != "audit" and one.assignee}
        )
        fields = _task_fields(session, snapshot, "audit", msgspec.to_builtins(dataset.label_schema))
        fields |= {"audits": name, "excluded": authors, "rounds": rounds, "title": f"audit {session.id} {session.task}"}
        changes.append(Change(kind="label_task", key=f"audit/{name}/{rounds}", set=fields))
    await in_batches(context, changes, "drawing the audit sample")
    await context.records.change("snapshot", snapshot.id, set={"agreement": msgspec.to_builtins(found)})
    return {
        "snapshot": snapshot.id,
        "agreement": msgspec.to_builtins(found),
        "audits": len(drawn),
        "labels": sum(len(one.labels) for one in mine.values()),
    }


async def verdict(context: Context, given: Input) -> Json:
    """What agreement and audit say together. `word`: accept, tentative, reject, or waiting while audits are open."""
    snapshot = await snapshot_of(context, given)
    rules = context.policy("data")["labels"]
    await _free(context, snapshot, float(rules["claim"]))
    tasks = await tasks_of(context, snapshot)
    audits = [one for one in tasks if one.purpose == "audit"]
    labels = await labels_of(context, snapshot)
    wrong = checked = 0
    for task in audits:
        if task.state in ("submitted", "accepted") and task.annotation:
            note = await context.records.get("annotation", task.annotation)
            of = await context.records.get("annotation", task.audits)
            if note is not None and of is not None:
                checked += len(of.labels)
                wrong += len(note.wrong)
    names = await _unaccepted(context, snapshot, tasks)
    population = sum(len(one.labels) for name, one in labels.items() if name in names)
    waiting = sum(one.state in ("open", "claimed") for one in audits)
    found = agreement.audit(
        wrong=wrong, checked=checked, need=int(rules["audit_n"]), waiting=waiting, population=population,
        allowed=int(rules["audit_allowed"]),
    )  # fmt: skip
    agreed = snapshot.agreement
    complete = waiting == 0
    word = "waiting" if not complete else _word(agreed, found)
    await context.records.change("snapshot", snapshot.id, set={"audit": msgspec.to_builtins(found)})
    return {
        "sentence": agreement.sentence(agreed, found), "word": word, "worst": await _worst(context, snapshot, rules),
        "agreement": msgspec.to_builtins(agreed), "audit": msgspec.to_builtins(found), "complete": complete, "open": waiting,
        "snapshot": snapshot.id, "at": context.now(),
    }  # fmt: skip


async def relabel(context: Context, given: Input) -> Json:
    """Opens again what was in doubt: sessions whose labels an audit found wrong, and those people disagreed on most."""
    snapshot = await snapshot_of(context, given)
    rules = context.policy("data")["labels"]
    tasks = await tasks_of(context, snapshot)
    doubtful = {one["session"] for one in await _worst(context, snapshot, rules)}
    for task in tasks:
        note = (
            await context.records.get("annotation", task.annotation)
            if task.purpose == "audit" and task.annotation
            else None
        )
        if note is not None and note.wrong:
            doubtful.add(task.session)
    if not doubtful:
        doubtful = {one.session for one in tasks}
    changes: list[Change] = []
    why = str(given.get("reason") or "the labels were rejected")[:500]
    for task in tasks:
        if task.purpose == "audit":
            if task.state in LIVE:
                changes.append(
                    Change(
                        kind="label_task", id=task.id, to="dropped", reason="labels change: the sample is drawn anew"
                    )
                )
        elif task.session in doubtful and task.state in ("submitted", "accepted"):
            if task.annotation:
                changes.append(Change(kind="annotation", id=task.annotation, to="superseded", reason=why))
            again = {"assignee": "", "annotation": "", "rounds": task.rounds + 1, "why": why}
            changes.append(Change(kind="label_task", id=task.id, to="open", set=again, reason=why))
    await in_batches(context, changes, "opening tasks again")
    return {"snapshot": snapshot.id, "sessions": sorted(doubtful)[:200], "count": len(doubtful)}


async def accept(context: Context, given: Input) -> Json:
    """The labels count from now on: sessions that have all that is required are labelled."""
    snapshot = await snapshot_of(context, given)
    tasks = await tasks_of(context, snapshot)
    labels = await labels_of(context, snapshot)
    by = ", ".join(str(one) for one in given.get("by") or [])
    why = f"accepted by {by}" if by else "accepted"
    changes = [
        Change(kind="label_task", id=one.id, to="accepted", reason=why) for one in tasks if one.state == "submitted"
    ]
    sessions = await sessions_of(context, snapshot)
    changes += [
        Change(kind="session", id=one.id, to="labelled", reason=f"labels of {snapshot.title} accepted")
        for one in sessions
        if one.state in ("valid", "repaired") and one.id in labels
    ]
    await in_batches(context, changes, "accepting labels")
    people = sorted({one.author for one in labels.values()})
    data = {
        "snapshot": snapshot.id,
        "dataset": snapshot.dataset,
        "sessions": len(labels),
        "alpha": snapshot.agreement.alpha,
    }
    await context.records.change(
        "snapshot", snapshot.id, set={"annotators": people}, reason=why, emit=(Emit("qd.labels.completed", data),)
    )
    return {
        "snapshot": snapshot.id,
        "labelled": sum(one.id in labels for one in sessions),
        "unlabelled": [one.id for one in sessions if one.id not in labels][:200],
    }


# -- reading ---------------------------------------------------------------------------------------------------------


async def tasks_of(context: Context, snapshot: SnapshotView) -> list[LabelTaskView]:
    found: list[LabelTaskView] = await context.records.find(
        "label_task", where={"snapshot": snapshot.id}, limit=ALL, order="created_at"
    )
    return found


def _word(agreed: Agreement, audited: Audit) -> str:
    if agreed.word == "reject" or audited.word == "fail":
        return "reject"
    return "accept" if agreed.word == "accept" and audited.word == "pass" else "tentative"


async def _agreement(context: Context, snapshot: SnapshotView, rules: dict[str, Json]) -> Agreement:
    every = await annotations_of(context, snapshot.dataset, ("label", "overlap"))
    twice = []
    for name in sorted(every):
        mine = [one for one in every[name] if one.schema == snapshot.schema]
        if len({one.author for one in mine}) >= 2:
            session: SessionView | None = await context.records.get("session", name)
            if session is not None:
                twice.append((session.duration_s, [one.labels for one in mine]))
    return await asyncio.to_thread(
        agreement.agreement, twice, resolution=float(rules["resolution"]), accept=float(rules["alpha_accept"]),
        tentative=float(rules["alpha_tentative"]), rounds=int(rules["bootstrap"]), seed=snapshot.id,
    )  # fmt: skip


async def _worst(context: Context, snapshot: SnapshotView, rules: dict[str, Json]) -> list[dict[str, Json]]:
    """The sessions people disagreed on most."""
    every = await annotations_of(context, snapshot.dataset, ("label", "overlap"))
    rows: list[dict[str, Json]] = []
    for name, notes in every.items():
        mine = [one for one in notes if one.schema == snapshot.schema]
        session: SessionView | None = await context.records.get("session", name) if len(mine) >= 2 else None
        if session is None:
            continue
        units = agreement.units(session.duration_s, [one.labels for one in mine], float(rules["resolution"]))
        apart = sum(len(set(unit)) > 1 for unit in units)
        if apart:
            rows.append({"session": name, "task": session.task, "apart": apart, "of": len(units)})
    return sorted(rows, key=lambda row: (-row["apart"] / row["of"], row["session"]))[:WORST]


async def _unaccepted(context: Context, snapshot: SnapshotView, tasks: Sequence[LabelTaskView]) -> set[str]:
    """Sessions whose labels nobody accepted yet: those of this campaign, and what an abandoned one left behind."""
    sessions = await sessions_of(context, snapshot)
    left = {one.id for one in sessions if one.state in ("valid", "repaired")}
    return left | {one.session for one in tasks if one.purpose == "label"}


async def _counts(context: Context, snapshot: SnapshotView) -> dict[str, Json]:
    tasks = [one for one in await tasks_of(context, snapshot) if one.purpose != "audit"]
    left = sum(one.state in ("open", "claimed") for one in tasks)
    return {
        "complete": left == 0, "left": left, "tasks": sum(one.state in LIVE for one in tasks),
        "done": sum(one.state in ("submitted", "accepted") for one in tasks), "claimed": sum(one.state == "claimed" for one in tasks),
        "dropped": sum(one.state == "dropped" for one in tasks), "sessions": len({one.session for one in tasks}),
    }  # fmt: skip


async def _fill(context: Context, snapshot: SnapshotView) -> int:
    """Label tasks for sessions without labels under the present schema, and a second one for the overlap."""
    rules = context.policy("data")["labels"]
    dataset = await dataset_of(context, snapshot)
    sessions = await sessions_of(context, snapshot)
    labels = await labels_of(context, snapshot)
    tasks = await tasks_of(context, snapshot)
    have = {(one.session, one.purpose) for one in tasks}
    lacking = [one for one in sessions if one.id not in labels or (one.id, "label") in have]
    overlap = labelling.overlap_of(
        lacking, share=float(rules["overlap_share"]), least=int(rules["overlap_min"]), seed=snapshot.id
    )
    schema = msgspec.to_builtins(dataset.label_schema)
    changes = []
    for session in lacking:
        purposes = ["label", "overlap"] if session.id in overlap else ["label"]
        for purpose in purposes:
            if (session.id, purpose) not in have:
                fields = _task_fields(session, snapshot, purpose, schema)
                changes.append(Change(kind="label_task", key=f"{purpose}/{session.id}", set=fields))
    await in_batches(context, changes, "making label tasks")
    await _drop_withdrawn(context, tasks, {one.id for one in sessions})
    return len(changes)


async def _drop_withdrawn(context: Context, tasks: Sequence[LabelTaskView], usable: set[str]) -> None:
    gone = [one for one in tasks if one.session not in usable and one.state in ("open", "claimed")]
    why = "the session may no longer be used"
    await in_batches(
        context, [Change(kind="label_task", id=one.id, to="dropped", reason=why) for one in gone], "dropping tasks"
    )


async def _free(context: Context, snapshot: SnapshotView, after: float) -> None:
    stale = [
        one
        for one in await tasks_of(context, snapshot)
        if one.state == "claimed" and context.now() - one.updated_at > after
    ]
    why = "taken and not handed in"
    changes = [
        Change(kind="label_task", id=one.id, to="open", set={"assignee": ""}, reason=why, expect=one.rev)
        for one in stale
    ]
    for change in changes:
        await context.records.change_many((change,))


def _task_fields(session: SessionView, snapshot: SnapshotView, purpose: str, schema: Json) -> dict[str, Json]:
    return {
        "title": f"{purpose} {session.id} {session.task}", "session": session.id, "dataset": snapshot.dataset,
        "snapshot": snapshot.id, "purpose": purpose, "robot": session.robot, "site": session.site, "task": session.task,
        "region": session.region, "duration_s": session.duration_s, "schema": schema,
        "hints": msgspec.to_builtins(labelling.hints(session)),
    }  # fmt: skip
