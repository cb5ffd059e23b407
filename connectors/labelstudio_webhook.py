"""Label Studio's webhooks: proven by a header that both know (`X-Quarterdeck-Secret`), for they are not signed.

One delivery may tell of several annotations or tasks; each becomes an event, `qd.labelling.<thing>.<happened>`. There is no
delivery id: an event is known by what it is about and when that changed, so a repeat is the same and a change is another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from connectors.labelstudio_rows import JOB, time_of
from connectors.remote_text import clean
from engine.capabilities.hooks import proofs
from engine.capabilities.systems.ports import BadDelivery, BadSignature, Incoming

HEADER = "x-quarterdeck-secret"
MOST = 5_000
_THINGS = {"PROJECT": "project", "TASKS": "task", "ANNOTATION": "annotation", "ANNOTATIONS": "annotation"}
_HAPPENED = ("CREATED", "UPDATED", "DELETED")


class _Delivery(Struct):
    action: str
    project: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] | list[dict[str, Any]] | None = None
    tasks: list[dict[str, Any]] = field(default_factory=list)
    annotation: dict[str, Any] | list[dict[str, Any]] | None = None
    annotations: list[dict[str, Any]] = field(default_factory=list)


def received(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Sequence[Incoming]:
    """Raises BadSignature, BadDelivery."""
    if not secret:
        raise BadSignature("no secret is known for it")
    proofs.header(headers, HEADER, secret)
    try:
        said = msgspec.json.decode(body, type=_Delivery)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadDelivery(f"not a webhook of Label Studio: {clean(error, 200)}") from error
    word, _, happened = said.action.partition("_")
    thing = _THINGS.get(word)
    if thing is None or happened not in _HAPPENED:
        raise BadDelivery(f"{clean(said.action, 60)} is not followed here")
    event = f"qd.labelling.{thing}.{happened.lower()}"
    project = {"project": clean(said.project.get("id", ""), 20), "title": clean(said.project.get("title", ""), 120)}
    if thing == "project":
        return [_incoming(event, project["project"], said.project, project)]
    tasks = [*_every(said.task), *said.tasks]
    if thing == "task":
        return [_incoming(event, _text(one, "id"), one, project | _task(one)) for one in _bounded(tasks)]
    told = {_text(one, "id"): one for one in tasks}
    found = []
    for one in _bounded([*_every(said.annotation), *said.annotations]):
        task = told.get(_text(one, "task"), tasks[0] if len(tasks) == 1 else {"id": one.get("task", "")})
        data = project | _task(task) | {"annotation": _text(one, "id"), "cancelled": one.get("was_cancelled") is True}
        found.append(_incoming(event, _text(one, "id"), one, data))
    return found


def _task(one: Mapping[str, Any]) -> dict[str, Any]:
    data = one.get("data")
    return {"task": _text(one, "id"), "job": clean(data.get(JOB, ""), 120) if isinstance(data, dict) else ""}


def _incoming(event: str, name: str, about: Mapping[str, Any], data: dict[str, Any]) -> Incoming:
    changed = _text(about, "updated_at") or _text(about, "created_at")
    mark = hashlib.sha256(f"{event}/{name}/{changed}".encode()).hexdigest()[:24]
    return Incoming(
        event=event, id=mark, subject=data.get("job") or f"{data['project']}/{name}", at=time_of(changed), data=data
    )


def _every(said: dict[str, Any] | list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return said if isinstance(said, list) else [said] if said else []


def _bounded(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(entries) > MOST:
        raise BadDelivery(f"{len(entries)} in one delivery; at most {MOST}")
    return entries


def _text(one: Mapping[str, Any], name: str) -> str:
    value = one.get(name)
    return clean(value, 60) if isinstance(value, str | int) and not isinstance(value, bool) else ""
