"""The labelling promises against a real Label Studio: jobs are handed over once, answers come back with their author."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from connectors.http import HttpClient
from connectors.labelstudio import LabelStudio, Token, connector
from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.systems.ports import BadDelivery, BadSignature, LabelJob
from tests.integration.connectors.fault_proxy import Fault, FaultProxy
from tests.integration.connectors.ground import WallClock
from tests.integration.heavy.listener import Listener
from tests.services.heavy import LabelStudioServer

pytestmark = pytest.mark.service
SCHEMA = {"outcome": ("success", "fail & <retry>")}
SPANS = {"phase": ("approach", "grasp")}
_keys = (f"run-{n}/push" for n in itertools.count(1))


async def soon(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.05))


def client(server: LabelStudioServer, url: str = "", secret: str = "") -> LabelStudio:
    http = HttpClient(url or server.url, name="Label Studio", sleep=soon)
    http.use(Token(http, lambda: secret or server.token))
    return LabelStudio(http, WallClock(), fps=10.0, sleep=soon)


@pytest.fixture
async def studio(label_studio: LabelStudioServer) -> AsyncIterator[LabelStudio]:
    found = client(label_studio)
    yield found
    await found.close()


@pytest.fixture
async def by_hand(label_studio: LabelStudioServer) -> AsyncIterator[httpx.AsyncClient]:
    """What people do in the browser."""
    headers = {"authorization": f"Token {label_studio.token}"}
    async with httpx.AsyncClient(base_url=label_studio.url, headers=headers, trust_env=False, timeout=20) as http:
        yield http


def jobs(count: int) -> list[LabelJob]:
    return [LabelJob(id=f"L-{n}", media=f"https://media.example/{n}.mp4", data={"site": "HAM2"}) for n in range(count)]


async def made(studio: LabelStudio) -> tuple[str, str]:
    key = next(_keys)
    return key, await studio.project(
        "Grasp outcomes of a very long campaign, with a title", SCHEMA, spans=SPANS, numbers=["score"], key=key
    )


async def annotated(by_hand: httpx.AsyncClient, project: str, job: str, **more: Any) -> dict[str, Any]:
    tasks = (await by_hand.get("/api/tasks", params={"project": project, "page_size": 1000})).json()["tasks"]
    task = next(one["id"] for one in tasks if one["data"]["quarterdeck_job"] == job)
    result = [
        {"from_name": "outcome", "to_name": "media", "type": "choices", "value": {"choices": ["success"]}},
        {"id": "a", "from_name": "phase", "to_name": "media", "type": "timelinelabels",
         "value": {"ranges": [{"start": 1, "end": 20}], "timelinelabels": ["approach"]}},
        {"from_name": "score", "to_name": "media", "type": "number", "value": {"number": 3}},
    ]  # fmt: skip
    body = {"result": result, "lead_time": 12.5} | more
    return dict((await by_hand.post(f"/api/tasks/{task}/annotations/", json=body)).raise_for_status().json())


async def test_jobs_are_handed_over_once(studio: LabelStudio) -> None:
    key, project = await made(studio)
    assert await studio.project("another title", SCHEMA, key=key) == project
    assert await studio.push(project, jobs(3), key=key) == 3
    assert await studio.push(project, [*jobs(5), *jobs(2)], key=key) == 5
    assert sorted([one.job async for one in studio._tasks(project)]) == [f"L-{n}" for n in range(5)]
    for schema in ({}, {"media": ("a",)}, {"outcome": ()}, {"outcome": ("a", "a")}):
        with pytest.raises(ActionError) as refused:
            await studio.project("x", schema, key="bad")
        assert refused.value.error == "BadSchema"
    for missing in ("999999", "../users"):
        with pytest.raises(ActionError) as gone:
            await studio.push(missing, jobs(1), key=key)
        assert gone.value.error == "NoSuchProject"


async def test_lost_answers_make_no_second_project_and_no_second_task(
    studio: LabelStudio, label_studio: LabelStudioServer
) -> None:
    lost = {"/api/projects/": 1, "/import": 1}

    def rule(method: str, path: str) -> Fault | None:
        for end in lost:
            if method == "POST" and path.endswith(end) and lost[end]:
                lost[end] -= 1
                return Fault(forward=True, reset=True)
        return None

    async with FaultProxy(label_studio.url, rule) as proxy:
        through, key = client(label_studio, proxy.url), next(_keys)
        with pytest.raises(InDoubt):
            await through.project("lost", SCHEMA, key=key)
        project = await through.project("lost", SCHEMA, key=key, in_doubt=True)
        with pytest.raises(InDoubt):
            await through.push(project, jobs(4), key=key)
        assert await through.push(project, jobs(4), key=key, in_doubt=True) == 4
        await through.close()
    assert len([one async for one in studio._projects() if one.title == "lost"]) == 1
    assert len([one async for one in studio._tasks(project)]) == 4


async def test_answers_come_back_with_their_author_and_in_seconds(
    studio: LabelStudio, by_hand: httpx.AsyncClient, label_studio: LabelStudioServer
) -> None:
    key, project = await made(studio)
    await studio.push(project, jobs(2), key=key)
    await annotated(by_hand, project, "L-0")
    await annotated(by_hand, project, "L-1", was_cancelled=True)
    answer, skipped = await studio.labels(project)
    assert (answer.job, answer.author, answer.lead_s, answer.cancelled) == ("L-0", label_studio.username, 12.5, False)
    assert answer.choices == {"outcome": "success", "score": "3"} and abs(answer.at - time.time()) < 60
    assert [(one.name, one.value, one.t0, one.t1) for one in answer.spans] == [("phase", "approach", 0.0, 2.0)]
    assert skipped.cancelled and not await studio.labels(project, since=skipped.at)
    await by_hand.patch(f"/api/annotations/{answer.id}/", json={"lead_time": 13})
    assert [one.id for one in await studio.labels(project, since=skipped.at)] == [answer.id]


async def test_the_mirror_has_our_projects_and_their_tasks(studio: LabelStudio, by_hand: httpx.AsyncClient) -> None:
    for _ in range(2):
        key, project = await made(studio)
        await studio.push(project, jobs(3), key=key)
    theirs = (await by_hand.post("/api/projects", json={"title": "theirs"})).json()["id"]
    await annotated(by_hand, project, "L-2")
    found: dict[str, dict[str, Any]] = {}
    for feed in studio.feeds:
        cursor, found[feed.kind] = "", {}
        while True:
            page = await studio.pull(feed.kind, cursor)
            assert page.full
            found[feed.kind] |= {one.id: one for one in page.objects}
            cursor = page.cursor
            if not page.more:
                break
    assert found["project"][project].data == {"tasks": 3, "done": 1, "labelled": 1, "ours": True}
    assert not found["project"][str(theirs)].data["ours"]
    tasks = [one for one in found["task"].values() if one.data["project"] == project]
    assert {one.name: one.state for one in tasks} == {"L-0": "open", "L-1": "open", "L-2": "labeled"}
    assert len(found["task"]) > len(tasks), "the tasks of every project of ours"


async def test_either_kind_of_token_proves_who_we_are(
    studio: LabelStudio, label_studio: LabelStudioServer, by_hand: httpx.AsyncClient
) -> None:
    assert await studio.check() == "Label Studio 1.23.2" and all(one.has for one in await studio.rights())
    await by_hand.post("/api/jwt/settings", json={"api_tokens_enabled": True, "legacy_api_tokens_enabled": True})
    refresh = (await by_hand.post("/api/token/", json={})).json()["token"]
    exchanged = client(label_studio, secret=refresh)
    assert await exchanged.check() == "Label Studio 1.23.2"
    wrong = client(label_studio, secret="wrong")
    with pytest.raises(ActionError) as refused:
        await wrong.check()
    assert refused.value.error == "Unauthenticated" and "wrong" not in refused.value.message
    await exchanged.close()
    await wrong.close()


async def test_its_webhooks_are_proven_and_read(studio: LabelStudio, by_hand: httpx.AsyncClient) -> None:
    key, project = await made(studio)
    with Listener() as listener:
        actions = ["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "TASKS_CREATED", "ANNOTATIONS_DELETED"]
        hook = {
            "url": listener.url, "project": int(project), "send_payload": True, "send_for_all_actions": False,
            "actions": actions, "headers": {"X-Quarterdeck-Secret": "s3cret"},
        }  # fmt: skip
        (await by_hand.post("/api/webhooks/", json=hook)).raise_for_status()
        await studio.push(project, jobs(1), key=key)
        note = await annotated(by_hand, project, "L-0")
        await by_hand.patch(f"/api/annotations/{note['id']}/", json={"lead_time": 13})
        await by_hand.delete(f"/api/annotations/{note['id']}/")
        seen = await listener.until(4)
    told = [one for headers, body in seen for one in connector.receive(headers, body, "s3cret", time.time())]
    assert [one.event for one in told] == [
        "qd.labelling.task.created", "qd.labelling.annotation.created", "qd.labelling.annotation.updated",
        "qd.labelling.annotation.deleted",
    ]  # fmt: skip
    assert (
        told[1].subject == "L-0"
        and told[1].data["project"] == project
        and told[1].data["annotation"] == str(note["id"])
    )
    assert len({one.id for one in told}) == 4
    headers, body = seen[1]
    assert connector.receive(headers, body, "s3cret", 0.0)[0].id == told[1].id, "a repeat is the same event"
    for given, secret in ((headers, "other"), (headers, ""), ({}, "s3cret")):
        with pytest.raises(BadSignature):
            connector.receive(given, body, secret, 0.0)
    for bad in (b"[", b"{}", b'{"action":"LABEL_LINK_CREATED"}'):
        with pytest.raises(BadDelivery):
            connector.receive(headers, bad, "s3cret", 0.0)
