"""Answers from a labelling system, taken as annotations of the people who gave them.

They are held to the rules of answers given here: complete as the schema asks, within the recording, and nobody labels a
session twice under two tasks. A task somebody took or answered here meanwhile is left as it is. What is not taken is said
with its reason, each time, until it was changed over there.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.capabilities.data import labelling
from engine.capabilities.data.campaign import snapshot_of
from engine.capabilities.data.label_queue import tasks_of
from engine.capabilities.data.labelling import LabelError
from engine.capabilities.labelling.handover import HANDED, labels_of
from engine.capabilities.ports import Context
from engine.capabilities.records import Change, RecordError
from engine.capabilities.systems.ports import RemoteLabel
from engine.contract.datasets import AnnotationView, Label, LabelTaskView

Json = Any
Input = dict[str, Json]
SHOWN = 50
TOOL = "labelling system"


async def pull(context: Context, given: Input) -> Json:
    """`since` goes on from here. `over`: no more is waited for."""
    snapshot = await snapshot_of(context, given)
    port, since = labels_of(context, given), float(given.get("since") or 0.0)
    tasks = {one.id: one for one in await tasks_of(context, snapshot) if one.purpose in HANDED}
    answers = await port.labels(str(given["project"]), since)
    newest = {one.job: one for one in sorted(answers, key=lambda each: each.at) if not one.cancelled}
    taken = 0
    refused: list[dict[str, Json]] = []
    for number, (job, answer) in enumerate(sorted(newest.items())):
        task = tasks.get(job)
        if task is None:
            continue
        why = await _taken(context, task, answer)
        taken += not why
        if why and len(refused) < SHOWN:
            refused.append({"task": job, "author": answer.author, "why": why[:300]})
        context.heartbeat({"done": number + 1, "of": len(newest), "unit": "answers", "what": "taking answers"})
    left = sum(one.state in ("open", "claimed") and one.purpose in HANDED for one in await tasks_of(context, snapshot))
    until = float(given.get("until") or 0.0)
    # what was refused is asked for again: it may be changed over there, and its time does not tell
    seen = max((one.at for one in answers), default=since) if not refused else since
    over = snapshot.state != "building" or (until > 0 and context.now() >= until)
    return {"taken": taken, "refused": refused, "left": left, "since": seen, "over": over, "snapshot": snapshot.id}


async def _taken(context: Context, task: LabelTaskView, answer: RemoteLabel) -> str:
    """Why it is not taken; empty when it is, or was before."""
    person = str(dict(context.policy("labels")["people"]).get(answer.author) or answer.author)
    note: AnnotationView | None = await context.records.get("annotation", task.annotation) if task.annotation else None
    mine = note is not None and note.tool.startswith(TOOL)
    if task.state in ("accepted", "dropped") or (task.state == "submitted" and not mine):
        return "" if task.state == "accepted" and mine else f"{task.id} is {task.state} here"
    if task.state == "claimed" and task.assignee != person:
        return f"{task.id} is with {task.assignee} here"
    if person in await _others(context, task):
        return f"{person} labelled this session under another task: a second pair of eyes is asked for"
    rules = context.policy("data")["labels"]
    try:
        labels = labelling.checked(
            task.schema,
            labels_in(answer),
            duration_s=task.duration_s,
            edge=float(rules["edge"]),
            most=int(rules["max_labels"]),
        )
    except LabelError as error:
        return f"{error.field}: {error}"
    fields = {
        "title": f"{task.purpose} of {task.session}", "task": task.id, "session": task.session, "dataset": task.dataset,
        "author": labelling.pseudonym(person, task.dataset), "tool": f"{TOOL} ({answer.id})", "purpose": task.purpose,
        "schema": task.schema.digest, "region": task.region, "labels": msgspec.to_builtins(list(labels)),
    }  # fmt: skip
    if (
        note is not None
        and mine
        and msgspec.to_builtins(note.labels) == fields["labels"]
        and note.author == fields["author"]
    ):
        return ""
    try:
        await _kept(context, task, person, answer, fields)
    except RecordError as error:
        return error.message
    return ""


def labels_in(answer: RemoteLabel) -> list[Label]:
    """Spans in their time, what is said of the whole recording without one."""
    whole = [Label(name=name, value=value) for name, value in sorted(answer.choices.items())]
    return [*whole, *(Label(name=one.name, value=one.value, t0=one.t0, t1=one.t1) for one in answer.spans)]


async def _others(context: Context, task: LabelTaskView) -> set[str]:
    """Who labelled this session under another task of the snapshot."""
    found: list[LabelTaskView] = await context.records.find(
        "label_task", where={"session": task.session, "snapshot": task.snapshot}, limit=1_000
    )
    return {one.assignee for one in found if one.id != task.id and one.assignee and one.state != "dropped"}


async def _kept(
    context: Context, task: LabelTaskView, person: str, answer: RemoteLabel, fields: dict[str, Json]
) -> None:
    """The annotation, and the task handed in by its author. Asked again after a crash, it goes on where it was."""
    made: AnnotationView = await context.records.create(
        "annotation", fields, key=f"annotation/{task.id}/{answer.id}/{answer.at:.6f}"
    )
    why = f"answer {answer.id} of {person} in the labelling system"
    older: list[AnnotationView] = await context.records.find(
        "annotation", state="current", where={"session": task.session, "purpose": task.purpose}, limit=1_000
    )
    gone = [one for one in older if one.id != made.id and (one.author == made.author or task.purpose == "label")]
    changes = [
        Change(kind="annotation", id=one.id, to="superseded", reason=f"{made.id} took its place") for one in gone
    ]
    if task.state == "submitted":  # their own answer of before, changed over there
        changes.append(
            Change(kind="label_task", id=task.id, to="open", set={"assignee": "", "annotation": ""}, reason=why)
        )
    if task.state != "claimed":
        changes.append(Change(kind="label_task", id=task.id, to="claimed", set={"assignee": person}, reason=why))
    changes.append(Change(kind="label_task", id=task.id, to="submitted", set={"annotation": made.id}, reason=why))
    await context.records.change_many(changes)
