"""Label Studio's answers as they come, the labelling configuration we write, and what people's answers mean here.

Times on a video are frames counted from 1 in `ranges`; on sound and time series they are seconds. Both become seconds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from xml.sax.saxutils import quoteattr

import msgspec
from msgspec import Struct, field

from connectors.remote_text import clean
from engine.capabilities.ports import ActionError, Json
from engine.capabilities.systems.ports import RemoteLabel, RemoteObject, Span

JOB = "quarterdeck_job"
"""The key of a task's data that says which job of ours it is."""
PLAYERS = {
    "video": '<Video name="media" value="$media" framerate="{fps:g}"/>',
    "audio": '<Audio name="media" value="$media"/>',
    "text": '<Text name="media" value="$media"/>',
}
MOST_RESULTS = 5_000
_MARKER = re.compile(r"\[qd:([0-9a-f]{20})\]")


class Project(Struct):
    id: int
    title: str = ""
    description: str | None = ""
    updated_at: str = ""
    created_at: str = ""
    is_published: bool = False
    task_number: int | None = 0
    finished_task_number: int | None = 0
    num_tasks_with_annotations: int | None = 0


class Projects(Struct):
    count: int = 0
    results: list[Project] = field(default_factory=list)


class Annotation(Struct):
    id: int
    completed_by: int | None = None
    was_cancelled: bool = False
    created_at: str = ""
    updated_at: str = ""
    lead_time: float | None = None
    result: list[dict[str, Any]] = field(default_factory=list)


class Task(Struct):
    id: int
    data: dict[str, Any] = field(default_factory=dict)
    is_labeled: bool = False
    total_annotations: int = 0
    cancelled_annotations: int = 0
    created_at: str = ""
    updated_at: str = ""
    annotations: list[Annotation] = field(default_factory=list)

    @property
    def job(self) -> str:
        return clean(self.data.get(JOB, ""), 120)


class Tasks(Struct):
    total: int = 0
    tasks: list[Task] = field(default_factory=list)


class Imported(Struct):
    task_count: int = 0


class User(Struct):
    id: int
    email: str = ""
    username: str = ""
    permissions: list[str] = field(default_factory=list)


def marker(key: str) -> str:
    return f"[qd:{hashlib.sha256(key.encode()).hexdigest()[:20]}]"


def ours(project: Project) -> bool:
    return bool(_MARKER.search(project.description or ""))


def configuration(
    player: str,
    fps: float,
    schema: Mapping[str, Sequence[str]],
    spans: Mapping[str, Sequence[str]],
    numbers: Sequence[str],
) -> str:
    """The XML of a project. Raises ActionError `BadSchema`."""
    names = [*schema, *spans, *numbers]
    if not names or len(set(names)) != len(names) or "media" in names:
        raise _refusal("BadSchema", "a schema asks for at least one label, each by a name of its own, and not `media`")
    if spans and player == "text":
        raise _refusal("BadSchema", "spans in time need something that plays: media is video or audio")
    lines = [PLAYERS[player].format(fps=fps)]
    for name, values in schema.items():
        inside = "".join(f"<Choice value={quoteattr(value)}/>" for value in _values(name, values))
        lines.append(
            f'<Header value={quoteattr(name)}/><Choices name={quoteattr(name)} toName="media" required="true">{inside}</Choices>'
        )
    tag = "TimelineLabels" if player == "video" else "Labels"
    for name, values in spans.items():
        inside = "".join(f"<Label value={quoteattr(value)}/>" for value in _values(name, values))
        lines.append(f'<Header value={quoteattr(name)}/><{tag} name={quoteattr(name)} toName="media">{inside}</{tag}>')
    for name in numbers:
        lines.append(f'<Header value={quoteattr(name)}/><Number name={quoteattr(name)} toName="media"/>')
    return f"<View>{''.join(lines)}</View>"


def label(task: Task, one: Annotation, author: str, fps: float) -> RemoteLabel:
    choices: dict[str, str] = {}
    spans: list[Span] = []
    for each in one.result[:MOST_RESULTS]:
        name, value = clean(each.get("from_name", ""), 120), each.get("value")
        if not isinstance(value, dict):
            continue
        if isinstance(said := value.get("choices"), list) and said:
            choices[name] = clean(said[0], 200)
        elif isinstance(number := value.get("number"), int | float):
            choices[name] = f"{number:g}"
        elif isinstance(words := value.get("timelinelabels"), list):
            spans += [
                Span(name=name, value=clean(word, 200), t0=(r["start"] - 1) / fps, t1=r["end"] / fps)
                for r in value.get("ranges") or ()
                for word in words[:1]
                if isinstance(r, dict) and _timed(r)
            ]
        elif isinstance(words := value.get("labels"), list) and _timed(value):
            spans += [
                Span(name=name, value=clean(w, 200), t0=float(value["start"]), t1=float(value["end"]))
                for w in words[:1]
            ]
    return RemoteLabel(
        job=task.job, id=str(one.id), author=author, at=time_of(one.updated_at), cancelled=one.was_cancelled,
        lead_s=float(one.lead_time or 0.0), choices=choices, spans=tuple(sorted(spans, key=lambda s: (s.t0, s.name))),
    )  # fmt: skip


def mirrored_project(one: Project, base: str) -> RemoteObject:
    tasks, done = one.task_number or 0, one.finished_task_number or 0
    data = {"tasks": tasks, "done": done, "labelled": one.num_tasks_with_annotations or 0, "ours": ours(one)}
    return RemoteObject(
        id=str(one.id), name=clean(one.title, 120), state="done" if tasks and done >= tasks else "open",
        changed_at=time_of(one.updated_at or one.created_at), etag=etag(one.title, data), url=f"{base}/projects/{one.id}", data=data,
    )  # fmt: skip


def mirrored_task(one: Task, project: str, base: str) -> RemoteObject:
    data = {
        "project": project,
        "job": one.job,
        "annotations": one.total_annotations,
        "skipped": one.cancelled_annotations,
    }
    return RemoteObject(
        id=str(one.id), name=one.job or f"task {one.id}", state="labeled" if one.is_labeled else "open",
        changed_at=time_of(one.updated_at), etag=etag(one.is_labeled, data), url=f"{base}/projects/{project}/data?task={one.id}",
        data=data,
    )  # fmt: skip


def etag(*what: Json) -> str:
    return hashlib.sha256(msgspec.json.encode(what, order="sorted")).hexdigest()[:16]


def time_of(text: str) -> float:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def _values(name: str, values: Sequence[str]) -> Sequence[str]:
    if not values or len(set(values)) != len(values):
        raise _refusal("BadSchema", f"{clean(name, 60)}: which values may it have, each once?")
    return values


def _timed(value: Mapping[str, Any]) -> bool:
    return all(
        isinstance(value.get(edge), int | float) and not isinstance(value[edge], bool) for edge in ("start", "end")
    )


def _refusal(error: str, message: str) -> ActionError:
    return ActionError(error, message, kind="validation", retryable=False)
