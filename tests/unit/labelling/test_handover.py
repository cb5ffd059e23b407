"""Label tasks go to a labelling system once, and answers come back held to the rules of answers given here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from engine.capabilities import subjects
from engine.capabilities.data.labelling import pseudonym
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError
from engine.capabilities.systems.ports import LabelJob, RemoteLabel, Span
from tests.unit.data.conftest import Context, Table, table

__all__ = ["table"]
ACTIONS = subjects.actions()


class Studio:
    """A labelling system in memory."""

    def __init__(self) -> None:
        self.projects: dict[str, tuple[str, Any, Any]] = {}
        self.jobs: dict[str, dict[str, LabelJob]] = {}
        self.answers: list[RemoteLabel] = []

    async def project(  # the port's signature
        self,
        title: str,
        schema: Mapping[str, Sequence[str]],
        *,
        spans: Any = None,
        numbers: Any = (),
        key: str,
        in_doubt: bool = False,
    ) -> str:
        id_ = next(
            (name for name, (_, marked, _) in self.projects.items() if marked == key), str(len(self.projects) + 1)
        )
        self.projects.setdefault(id_, (title, key, (dict(schema), dict(spans), list(numbers))))
        return id_

    async def push(self, project: str, jobs: Sequence[LabelJob], *, key: str, in_doubt: bool = False) -> int:
        there = self.jobs.setdefault(project, {})
        for one in jobs:
            there.setdefault(one.id, one)
        return sum(one.id in there for one in jobs)

    async def labels(self, project: str, since: float = 0.0) -> list[RemoteLabel]:
        return [one for one in self.answers if one.at > since]


class Site:
    def __init__(self, table: Table) -> None:
        self.table, self.studio, self._number = table, Studio(), 0
        self.pack = load_pack("labels", overrides={"media": "https://media.example/{site}/{session}.mp4"})
        table.ports["labels"] = self.studio

    async def act(self, name: str, **given: Any) -> Any:
        self._number += 1
        context = Context(self.table, "run-9", 900 + self._number)
        context.policy = lambda pack: self.pack if pack == "labels" else self.table.policy  # type: ignore[method-assign]
        return await ACTIONS[name].run(context, given)

    async def pull(self, project: str, since: float = 0.0) -> Any:
        return await self.act("labels.pull", snapshot=self.snapshot, project=project, since=since)

    async def opened(self, sessions: int = 2) -> dict[tuple[str, str], Any]:
        """(session, purpose) -> its task."""
        for number in range(1, sessions + 1):
            await self.table.session(f"S-{number}")
        self.snapshot = (await self.table.act("data.open", dataset="bins"))["snapshot"]
        await self.table.act("data.queue", snapshot=self.snapshot)
        return {(one.session, one.purpose): one for one in await self.table.find("label_task")}

    def answer(
        self, task: Any, author: str, at: float, *, outcome: str = "success", until: float = 10.0, **more: Any
    ) -> None:
        names = ("approach", "grasp", "transfer", "place")
        edges = [0.0, 2.5, 5.0, 7.5, until]
        spans = tuple(Span(name="phase", value=name, t0=edges[n], t1=edges[n + 1]) for n, name in enumerate(names))
        said = {
            "job": task.id,
            "id": f"{author}-{task.id}",
            "author": author,
            "at": at,
            "choices": {"outcome": outcome},
            "spans": spans,
        }
        self.studio.answers.append(RemoteLabel(**(said | more)))


@pytest.fixture
async def site(table: Table) -> Site:
    return Site(table)


async def test_open_tasks_are_handed_over_once_with_where_to_see_them(site: Site) -> None:
    tasks = await site.opened()
    first = await site.act("labels.push", snapshot=site.snapshot)
    again = await site.act("labels.push", snapshot=site.snapshot)
    assert first["project"] == again["project"] and len(site.studio.projects) == 1
    assert first["handed"] == first["there"] == len(tasks)
    (_, _, (values, spans, numbers)) = site.studio.projects[first["project"]]
    assert set(values) == {"outcome"} and set(spans) == {"phase"} and numbers == []
    job = site.studio.jobs[first["project"]][tasks["S-1", "label"].id]
    assert job.media == "https://media.example/HAM2/S-1.mp4" and job.data["session"] == "S-1"
    for media, why in (("", "not set"), ("https://x/{person}", "person")):
        site.pack["media"] = media
        with pytest.raises(ActionError, match=why) as wrong:
            await site.act("labels.push", snapshot=site.snapshot)
        assert wrong.value.error == "NotConfigured"


async def test_answers_come_back_as_annotations_of_their_author(site: Site) -> None:
    tasks = await site.opened()
    project = (await site.act("labels.push", snapshot=site.snapshot))["project"]
    task = tasks["S-1", "label"]
    site.answer(task, "ann@example.com", 100.0)
    taken = await site.pull(project)
    assert (taken["taken"], taken["refused"], taken["since"]) == (1, [], 100.0)
    task = await site.table.get("label_task", task.id)
    note = await site.table.get("annotation", task.annotation)
    assert (task.state, task.assignee) == ("submitted", "ann@example.com")
    assert note.author == pseudonym("ann@example.com", "bins") and note.tool.startswith("labelling system")
    assert [(one.name, one.value) for one in note.labels if one.name == "outcome"] == [("outcome", "success")]
    assert (await site.pull(project))["taken"] == 1, "asked again, it is the same answer"
    assert len(await site.table.find("annotation")) == 1
    site.answer(task, "ann@example.com", 200.0, outcome="failure")
    await site.pull(project, 100.0)
    task = await site.table.get("label_task", task.id)
    newer = await site.table.get("annotation", task.annotation)
    assert newer.id != note.id and (await site.table.get("annotation", note.id)).state == "superseded"
    assert task.state == "submitted" and "failure" in {one.value for one in newer.labels}


async def test_rules_of_here_hold_for_answers_from_there(site: Site) -> None:
    tasks = await site.opened(sessions=3)
    project = (await site.act("labels.push", snapshot=site.snapshot))["project"]
    label, overlap = tasks["S-1", "label"], tasks["S-1", "overlap"]
    site.answer(label, "ann", 100.0)
    site.answer(overlap, "ann", 101.0)  # the same person: no second pair of eyes
    site.answer(tasks["S-2", "label"], "ann", 102.0, until=99.0)  # beyond the recording's end
    site.answer(tasks["S-3", "label"], "max", 103.0, cancelled=True)
    site.studio.answers.append(RemoteLabel(job="L-nobody", id="x", author="ann", at=104.0))
    await site.table.do("eve", "label.claim", tasks["S-2", "overlap"].id)
    site.answer(tasks["S-2", "overlap"], "max", 105.0)
    found = await site.pull(project)
    why = {one["task"]: one["why"] for one in found["refused"]}
    assert found["taken"] == 1 and found["since"] == 0.0, "what is refused is looked at again"
    assert "second pair of eyes" in why[overlap.id] and "10" in why[tasks["S-2", "label"].id]
    assert "with eve" in why[tasks["S-2", "overlap"].id] and len(why) == 3
    site.pack["people"] = {"bea@example.com": "ann"}
    site.answer(overlap, "bea@example.com", 110.0)
    assert "ann labelled" in {one["task"]: one["why"] for one in (await site.pull(project))["refused"]}[overlap.id]
    site.answer(overlap, "max", 120.0)
    assert (await site.pull(project))["taken"] == 2
    assert (await site.table.get("label_task", overlap.id)).assignee == "max"


async def test_what_was_answered_here_is_not_overwritten(site: Site) -> None:
    tasks = await site.opened(sessions=1)
    project = (await site.act("labels.push", snapshot=site.snapshot))["project"]
    task = tasks["S-1", "label"]
    await site.table.label("ann", task)
    site.answer(task, "max", 100.0, outcome="failure")
    found = await site.pull(project)
    assert found["taken"] == 0 and "submitted here" in found["refused"][0]["why"]
    note = await site.table.get("annotation", (await site.table.get("label_task", task.id)).annotation)
    assert note.tool == "quarterdeck" and msgspec.to_builtins(note.labels)


async def test_waiting_ends_with_the_campaign_or_its_time(site: Site) -> None:
    await site.opened(sessions=1)
    pushed = await site.act("labels.push", snapshot=site.snapshot)
    found = await site.pull(pushed["project"])
    assert found["left"] > 0 and not found["over"]
    late = await site.act(
        "labels.pull", snapshot=site.snapshot, project=pushed["project"], until=site.table.clock.now() - 1
    )
    assert late["over"] and pushed["until"] > site.table.clock.now()
