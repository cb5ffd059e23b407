"""The definition itself, with people's answers: who is asked what, what a refusal leads to, what a restart changes."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.capabilities import subjects
from engine.capabilities.data import train_actions
from engine.capabilities.data.launcher import LocalTraining
from engine.capabilities.packs import load_pack
from engine.capabilities.policy import Policy
from engine.core import commands as core
from engine.hosts.clock import ScaledClock
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions, load
from engine.store.queries import Queries
from engine.store.records import Actor
from tests.unit.data.conftest import Table
from tests.unit.data.test_launcher import PROGRAM

KNOWN = Policy.load("policy: 1\n", environment="sandbox", owner="ops")
SPEED = 30_000.0


class Site(Table):
    """An engine whose clock runs fast, with the shipped definition."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.folder = folder
        self.policy = msgspec.json.decode(msgspec.json.encode(load_pack("data", environment="sandbox")))
        self.policy["training"]["programs"] = {
            mode: {"argv": [sys.executable, str(program), "{out}", mode, "{seed}"], "resume": ["--resume"]}
            for mode in ("good", "raise")
        }
        self.policy["training"] |= {"program": "good", "poll": 0.05, "budget": 60.0}
        self.clock = ScaledClock(1_790_000_000.0, time.time(), SPEED)  # type: ignore[assignment]
        self.ports = {"training": LocalTraining(folder / "training")}
        self.told, self.cancelled, self.run, self._number = [], False, "run-1", 0
        self.ids = itertools.count(1)

    async def open(self) -> Site:
        self.host = await Host.open(
            Config(
                database=self.folder / "quarterdeck.db", actions=subjects.actions(), evaluator=Expressions(), clock=self.clock,
                ports=self.ports, policy=lambda name: self.policy if name == "data" else load_pack(name), catalogue=subjects.catalogue(),
            )
        )  # fmt: skip
        text = (resources.files("engine.patterns") / "data-to-training.yaml").read_text("utf-8")
        definition = load(text, actions=subjects.actions(), roles=KNOWN.known, people=KNOWN.roster)
        answer = await self.host.register_definition(
            definition, text=text, id="pattern", actor=Actor(kind="engine", id="engine")
        )
        assert answer.refusal is None
        return self

    async def begin(self, **inputs: Any) -> str:
        answer = await self.host.start_run(
            "data-to-training",
            {"dataset": "bins", "line": "pick", **inputs},
            id=f"start-{next(self.ids)}",
            actor=Actor(kind="person", id="ana"),
        )
        assert answer.refusal is None, answer.refusal
        return str(answer.run)

    async def until(self, look: Callable[[], Any], what: str, seconds: float = 25.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < deadline, f"{what} did not come"
            await asyncio.sleep(0.02)
        return found

    def gate(self, kind: str) -> Any:
        rows = Queries(self.folder / "quarterdeck.db").gate_page(limit=100).rows
        return next((row for row in rows if row.kind == kind), None)

    async def vote(self, kind: str, person: str, answer: str = "approve", **form: Any) -> Any:
        gate = await self.until(lambda: self.gate(kind), f"the gate {kind}")
        detail = Queries(self.folder / "quarterdeck.db").gate_detail(gate.id)
        vote = core.Vote(
            gate=gate.id, voter=core.Voter(person=person, roles=tuple(KNOWN.held.get(person, ()))), answer=answer, rationale="seen",
            evidence_digest=detail.evidence_digest, form=form,
        )  # fmt: skip
        said = await self.host.submit(
            gate.run, vote, id=f"vote-{next(self.ids)}", actor=Actor(kind="person", id=person)
        )
        return said.refusal.code if said.refusal is not None else ""

    async def label_until(self, kind: str) -> None:
        """People label and audit until the run asks."""
        deadline = time.monotonic() + 25
        while self.gate(kind) is None:
            assert time.monotonic() < deadline, f"the gate {kind} did not come"
            await self.label_all()
            await asyncio.sleep(0.02)

    async def ended(self, run: str) -> Any:
        def look() -> Any:
            row = self.host.book.reads.reading.one("select status, ending from runs where id = ?", (run,))
            return row if row and row[0] in ("completed", "failed", "cancelled") else None

        return await self.until(look, f"the end of {run}", 40)

    async def fill(self, count: int = 12, first: int = 1) -> None:
        for number in range(first, first + count):
            site = ("HAM2", "HAM5", "UTR1")[number % 3]
            await self.session(
                f"S-{number}",
                site=site,
                group=f"{site}-d{number % 2}|r|o",
                start=self.clock.now(),
                end=self.clock.now(),
            )


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    monkeypatch.setattr(train_actions, "RESUME_S", 0.05)
    monkeypatch.setattr(
        "engine.capabilities.data.formats.locate", lambda vault, session, verify=False: tmp_path / session.id
    )
    found = await Site(tmp_path, program).open()
    yield found
    await found.host.keeper.settle()
    await found.host.close()


async def signed(site: Site, **inputs: Any) -> str:
    await site.fill()
    run = await site.begin(seed=6, **inputs)
    await site.label_until("label_review")
    assert await site.vote("label_review", "lea") == ""
    assert await site.vote("dataset_signoff", "ana") == "excluded"
    assert await site.vote("dataset_signoff", "lea") == ""
    return run


async def test_it_ends_with_a_checkpoint(site: Site) -> None:
    run = await signed(site)
    assert (await site.ended(run))[0] == "completed"
    training = (await site.find("training"))[0]
    assert training.state == "succeeded" and (await site.get("snapshot", "bins-v1")).state == "finalized"


async def test_a_training_that_fails_is_tried_once_more_with_its_seed_and_then_people_decide(site: Site) -> None:
    run = await signed(site, recipe={"program": "raise"})
    await site.until(lambda: site.gate("training_failed"), "the question")
    trainings = await site.find("training")
    assert [(one.state, one.seed, one.tries, one.error) for one in trainings] == [
        ("failed", 6, 1, "NoEpisodes"),
        ("failed", 6, 2, "NoEpisodes"),
    ]
    assert await site.vote("training_failed", "lea", "approve", pool="lab") == ""
    await site.until(
        lambda: len(site.host.book.reads.find("training")) == 3 and site.gate("training_failed"), "the question again"
    )
    assert (await site.get("training", "T-3")).pool == "lab"
    assert await site.vote("training_failed", "lea", "reject") == ""
    assert (await site.ended(run))[0] == "failed"
    assert (await site.get("snapshot", "bins-v1")).state == "finalized"  # what was signed stays signed


async def test_labels_that_are_rejected_are_made_again(site: Site) -> None:
    await site.fill()
    run = await site.begin(train=False)
    await site.label_until("label_review")
    assert await site.vote("label_review", "lea", "reject") == ""
    opened = await site.until(
        lambda: site.host.book.reads.find("label_task", state="open"), "tasks that are open again"
    )
    assert {one.rounds for one in opened} == {1} and {one.why for one in opened} == {"seen"}
    await site.label_until("label_review")
    assert await site.vote("label_review", "lea") == ""
    assert await site.vote("dataset_signoff", "dirk") == ""
    assert (await site.ended(run))[0] == "completed"
    assert {one.author for one in await site.find("annotation", state="superseded")}


async def test_a_rejected_snapshot_is_withdrawn_with_the_reason(site: Site) -> None:
    await site.fill()
    run = await site.begin(train=False)
    await site.label_until("label_review")
    await site.vote("label_review", "lea")
    assert await site.vote("dataset_signoff", "lea", "reject") == ""
    assert (await site.ended(run))[0] == "failed"
    snapshot = await site.get("snapshot", "bins-v1")
    assert snapshot.state == "withdrawn" and "Rejected" in snapshot.withdrawn_for
    assert not await site.find("training")


async def test_what_is_short_waits_for_recordings_and_silence_ends_it(site: Site) -> None:
    site.policy["coverage"]["collect"] = 30 * 86_400.0 / 10
    await site.fill(6)
    strata = [{"dims": {"task": "bin-pick day"}, "need": 8}]
    run = await site.begin(train=False, strata=strata)
    await site.label_until("label_review")
    await site.vote("label_review", "lea")
    await site.until(lambda: site.gate("waive_coverage"), "the question")
    await site.fill(2, first=7)
    await site.host.publish(
        "qd.session.ingested",
        {"session": "S-7", "dataset": "bins", "digest": "d"},
        id="s7",
        actor=Actor(kind="engine", id="engine"),
        source="/test",
    )
    await site.label_until("label_review")
    await site.vote("label_review", "lea")
    await site.until(lambda: site.gate("dataset_signoff"), "the sign-off: the gap is filled")
    assert await site.vote("dataset_signoff", "lea") == ""
    assert (await site.ended(run))[0] == "completed"
    site.policy["coverage"]["collect"] = 3_600.0
    second = await site.begin(train=False, strata=[{"dims": {"task": "jam"}, "need": 3}])
    assert (await site.ended(second))[0] == "failed"
    assert "CoverageShort" in (await site.get("snapshot", "bins-v2")).withdrawn_for
    assert (await site.find("collection", snapshot="bins-v2"))[0].state == "cancelled"


async def test_an_engine_that_dies_while_a_training_runs_follows_it_to_its_end(site: Site) -> None:
    await site.fill()
    run = await site.begin(seed=60)
    await site.label_until("label_review")
    await site.vote("label_review", "lea")
    await site.vote("dataset_signoff", "lea")
    await site.until(lambda: site.host.book.reads.find("training", state="running"), "the training")
    await site.host.keeper.settle()
    await site.host.close()
    site.ports = {"training": LocalTraining(site.folder / "training")}
    await site.open()
    assert (await site.ended(run))[0] == "completed"
    trainings = await site.find("training")
    assert [(one.state, one.tries, one.preemptions) for one in trainings] == [("succeeded", 1, 0)]
