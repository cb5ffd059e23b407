"""Label tasks of a snapshot, handed to a labelling system: one project per snapshot and schema, one job per task."""

from __future__ import annotations

import string
from typing import Any

from engine.capabilities.data.campaign import snapshot_of
from engine.capabilities.data.label_queue import tasks_of
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.systems.ports import LabelJob, Labels
from engine.contract.datasets import LabelSchema, LabelTaskView
from engine.contract.sessions import SessionView

Json = Any
Input = dict[str, Json]
HANDED = ("label", "overlap")
"""Audits stay here: they ask whether another person's labels are right."""
PLACES = ("session", "digest", "robot", "site", "task")


def labels_of(context: Context, given: Input) -> Labels:
    name = str(given.get("system") or context.policy("labels")["system"] or "")
    found: Labels = context.port(f"labels@{name}" if name else "labels")
    return found


async def push(context: Context, given: Input) -> Json:
    """Tasks that came since are handed over, too. With none open and none handed before, no project is made."""
    snapshot, rules = await snapshot_of(context, given), context.policy("labels")
    port = labels_of(context, given)
    tasks = [one for one in await tasks_of(context, snapshot) if one.purpose in HANDED]
    open_ = [one for one in tasks if one.state == "open"]
    if not tasks:
        raise ActionError("NothingToLabel", f"{snapshot.title} has no label tasks", kind="validation", retryable=False)
    media = str(rules["media"])
    if not media:
        raise ActionError(
            "NotConfigured",
            "where people's browsers find a recording is not set (policy labels, media)",
            kind="configuration",
            retryable=False,
        )
    jobs = [await _job(context, one, media) for one in open_[: int(rules["most"])]]
    values, spans, numbers = asked(tasks[0].schema)
    # a schema that changes makes another project: answers to other questions are not mixed
    project = await port.project(
        f"{snapshot.title}: {tasks[0].schema.name}", values, spans=spans, numbers=numbers,
        key=f"{context.installation}/labels/{snapshot.id}/{tasks[0].schema.digest}", in_doubt=context.in_doubt,
    )  # fmt: skip
    context.heartbeat({"done": 0, "of": len(jobs), "unit": "tasks", "what": f"handing over to project {project}"})
    there = await port.push(project, jobs, key=context.key, in_doubt=context.in_doubt) if jobs else 0
    return {
        "project": project, "handed": len(jobs), "there": there, "poll_s": float(rules["poll"]),
        "until": await _until(context, snapshot.id, float(rules["longest"])),
        "says": f"{there} of {len(open_)} open tasks are in project {project}",
    }  # fmt: skip


def asked(schema: LabelSchema) -> tuple[dict[str, list[str]], dict[str, list[str]], list[str]]:
    """What a schema asks for: one of several values, spans in time, numbers."""
    values = {one.name: list(one.values) for one in schema.fields if one.kind == "value"}
    spans = {one.name: list(one.values) for one in schema.fields if one.kind == "span"}
    return values, spans, [one.name for one in schema.fields if one.kind == "number"]


async def _until(context: Context, snapshot: str, longest: float) -> float:
    """When waiting ends: counted from the first task, so that it does not move with each round."""
    tasks: list[LabelTaskView] = await context.records.find(
        "label_task", where={"snapshot": snapshot}, limit=1, order="created_at"
    )
    return (tasks[0].created_at if tasks else context.now()) + longest


async def _job(context: Context, task: LabelTaskView, media: str) -> LabelJob:
    session: SessionView | None = await context.records.get("session", task.session)
    known = {
        "session": task.session, "digest": session.digest if session is not None else "", "robot": task.robot,
        "site": task.site, "task": task.task,
    }  # fmt: skip
    try:
        place = media.format_map(known)
    except (KeyError, ValueError, IndexError) as error:
        wrong = ", ".join(sorted({name for _, name, _, _ in string.Formatter().parse(media) if name} - set(PLACES)))
        raise ActionError(
            "NotConfigured",
            f"policy labels, media: {wrong or 'it'} can't be filled in; {', '.join(PLACES)} can",
            kind="configuration",
            retryable=False,
        ) from error
    data = {"session": task.session, "site": task.site, "task": task.task, "purpose": task.purpose, "title": task.title}
    return LabelJob(id=task.id, media=place, data={key: value for key, value in data.items() if value})
