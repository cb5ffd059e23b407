"""The release as it runs: who is asked what, what holds it up, and that silence approves nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.sandbox.policy_model import decode, digest_of
from engine.capabilities import policy, subjects
from engine.capabilities.models import actions as model_actions
from engine.core import commands as c
from engine.hosts.clock import ScaledClock
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions, load
from engine.store.queries import Queries
from engine.store.records import Actor
from tests.unit.models.conftest import Site

LEA, ANA = Actor(kind="person", id="lea"), Actor(kind="person", id="ana")
POLICY = policy.Policy.load("policy: 1\n", environment="sandbox", owner="ops")
ROLES = {
    "ana": ("release-manager",),
    "bo": ("safety-officer",),
    "rene": ("release-manager",),
    "ivo": ("incident-commander",),
}


class Release:
    """An engine with the shipped definitions, on a clock that runs fast enough to see questions expire."""

    def __init__(self, host: Host, site: Site) -> None:
        self.host, self.site = host, site
        self._number = 0

    def id(self) -> str:
        self._number += 1
        return f"test-{self._number}"

    async def start(self, model: bytes, **more: Any) -> str:
        digest = self.site.keep(model)
        inputs = {"model_digest": digest, "line": "pick", "version": "4.8.1", **more}
        answer = await self.host.start_run("candidate-to-release", inputs, id=self.id(), actor=LEA)
        assert answer.refusal is None, answer.refusal
        return str(answer.run)

    async def when(self, look: Callable[[], Any], what: str, seconds: float = 25.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < deadline, f"{what} never came: {self.candidates()} {self.waiting()}"
            await asyncio.sleep(0.02)
        return found

    def candidates(self) -> list[Any]:
        return self.host.book.reads.find("candidate", limit=50)

    def waiting(self) -> list[Any]:
        return [(row.id, row.path, row.question[:60]) for row in Queries(self.host.journal.path).gate_page().rows]

    def gate(self, step: str) -> Any:
        return next((row for row in Queries(self.host.journal.path).gate_page().rows if row.path == step), None)

    async def asked(self, step: str, *, after: str = "") -> Any:
        found = await self.when(lambda: (g := self.gate(step)) and g.id != after and g, f"the question {step}")
        return Queries(self.host.journal.path).gate_detail(found.id)

    async def vote(self, detail: Any, person: str, answer: str = "approve", form: Any = None) -> Any:
        command = c.Vote(
            gate=detail.gate.id, voter=c.Voter(person=person, roles=ROLES[person]), answer=answer, form=form or {},
            evidence_digest=detail.evidence_digest, rationale="looked at it",
        )  # fmt: skip
        return await self.host.submit(detail.gate.run, command, id=self.id(), actor=Actor(kind="person", id=person))

    async def tell(self, event: str, data: dict[str, Any], subject: str = "") -> None:
        await self.host.publish(event, data, id=self.id(), actor=ANA, source="/test", subject=subject)

    async def state(self, wanted: str, seconds: float = 40.0) -> Any:
        return await self.when(
            lambda: next((one for one in self.candidates() if one.state == wanted), None),
            f"a candidate that is {wanted}",
            seconds,
        )


@pytest.fixture
async def release(tmp_path: Path, models: dict[str, bytes]) -> AsyncIterator[Release]:
    site = Site(None, tmp_path)  # type: ignore[arg-type]
    now = time.time()
    actions = model_actions.actions()
    host = await Host.open(
        Config(
            database=tmp_path / "quarterdeck.db", actions=actions, evaluator=Expressions(), catalogue=subjects.catalogue(),
            clock=ScaledClock(now, now, 600.0), ports=site.ports, policy=lambda pack: site.policy if pack == "release" else {}, horizon_s=0.2,
        )
    )  # fmt: skip
    site.host = host
    text = (resources.files("engine.patterns") / "candidate-to-release.yaml").read_text("utf-8")
    definition = load(text, actions=actions, roles=POLICY.known, windows=POLICY.calendar)
    assert (await host.register_definition(definition, id="define", actor=ANA)).refusal is None
    await site.pack({"4.7.3": site.keep(models["today"])}, plan={"n_max": 200, "batch": 25})
    yield Release(host, site)
    await host.keeper.settle()
    await host.close()


async def test_from_checkpoint_to_eligible_with_one_question(release: Release, models: dict[str, bytes]) -> None:
    run = await release.start(models["better"])
    detail = await release.asked("approval")
    assert "Better overall (95%)" in detail.gate.question and detail.evidence["evidence"].startswith("sha256:")
    assert [row["verdict"] for row in detail.evidence["tasks"]].count("better") == 1
    refused = await release.vote(detail, "bo")
    assert refused.refusal is not None and refused.refusal.code == "wrong_role"
    assert (await release.vote(detail, "ana")).refusal is None
    done = await release.state("eligible")
    assert done.decisions[0].people == ("ana",) and done.decisions[0].evidence == done.evidence and done.run == run


async def test_who_asked_for_it_does_not_approve_it(release: Release, models: dict[str, bytes]) -> None:
    await release.start(models["better"])
    detail = await release.asked("approval")
    ROLES_OF_LEA = c.Voter(person="lea", roles=("release-manager",))
    command = c.Vote(gate=detail.gate.id, voter=ROLES_OF_LEA, answer="approve", evidence_digest=detail.evidence_digest)
    answer = await release.host.submit(detail.gate.run, command, id="lea-votes", actor=LEA)
    assert answer.refusal is not None and answer.refusal.code == "excluded"


async def test_an_incident_of_the_line_holds_the_approval_until_it_is_over(
    release: Release, models: dict[str, bytes]
) -> None:
    await release.start(models["better"])
    first = await release.asked("approval")
    await release.tell("qd.incident.declared", {"incident": "I-9", "line": "place"}, "I-9")
    await release.tell("qd.incident.declared", {"incident": "I-44", "line": "pick"}, "I-44")
    await release.when(lambda: release.candidates()[0].frozen_by == "I-44", "the hold")
    assert release.gate("approval") is None
    late = await release.vote(first, "ana")
    assert late.refusal is not None
    await release.tell("qd.incident.resolved", {"incident": "I-44", "line": "pick"}, "I-44")
    again = await release.asked("approval", after=first.gate.id)
    assert release.candidates()[0].frozen_by == "" and (await release.vote(again, "ana")).refusal is None
    await release.state("eligible")


async def test_an_incident_that_was_open_before_is_no_less_a_hold(release: Release, models: dict[str, bytes]) -> None:
    book = release.host.book.bound(actor=ANA, cause="test", scope="test")
    for line, draft in (("place", False), ("pick", True), ("pick", False)):
        await book.create("incident", {"line": line, "draft": draft, "sev": 2}, key=f"{line}-{draft}")
    await release.start(models["better"])
    await release.when(lambda: release.candidates() and release.candidates()[0].frozen_by == "I-3", "the hold")
    assert release.waiting() == []
    over = {"kind": "incident", "id": "I-3", "rev": 2, "from": "detected", "to": "false_alarm", "set": {}, "reason": ""}
    await release.host.system.record("RecordChanged", over, actor=ANA, cause="test")
    await release.tell("qd.incident.closed", {"incident": "I-3", "line": "pick"}, "I-3")
    detail = await release.asked("approval")
    assert release.candidates()[0].frozen_by == "" and (await release.vote(detail, "ana")).refusal is None
    await release.state("eligible")


async def test_evidence_that_changes_asks_again_on_what_is_true_now(release: Release, models: dict[str, bytes]) -> None:
    await release.start(models["better"])
    first = await release.asked("approval")
    trial = next(one for one in release.host.book.reads.find("trial", limit=5000) if one.arm == "candidate")
    await release.site.do("ana", "candidate.exclude", trial.id, reason="put by hand")
    again = await release.asked("approval", after=first.gate.id)
    assert again.evidence["excluded"] == "1 trials (1 operator)"
    assert again.evidence_digest != first.evidence_digest
    assert (await release.vote(first, "ana")).refusal is not None
    assert (await release.vote(again, "ana")).refusal is None
    await release.state("eligible")


async def test_silence_approves_nothing(release: Release, models: dict[str, bytes]) -> None:
    """The question expires, the candidate is held, and somebody has to ask again."""
    release.site.policy["approval"] = 600.0
    run = await release.start(models["better"])
    first = await release.asked("approval")
    await release.when(lambda: release.gate("approval") is None, "the end of the question")
    held = await release.state("compared")
    assert held.decisions == () and not release.host.book.reads.find("artifact")
    release.site.policy["approval"] = 1e6
    await release.site.do("ana", "candidate.reopen", held.id)
    answer = await release.host.submit(
        run, c.ReceiveEvent(event="candidate.reopen", id="reopen", data={}, by="ana"), id="reopen", actor=ANA
    )
    assert answer.refusal is None
    await release.asked("approval", after=first.gate.id)


async def test_a_worse_one_is_rejected_and_nobody_is_asked(release: Release, models: dict[str, bytes]) -> None:
    await release.start(models["careless"])
    done = await release.state("rejected")
    assert done.why.startswith("Worse overall") and release.waiting() == [] and done.decisions == ()


async def test_a_rejected_checkpoint_does_not_come_back(release: Release, models: dict[str, bytes]) -> None:
    await release.start(models["careless"])
    done = await release.state("rejected")
    await release.when(lambda: not release.host.running.view(), "the end of the run")
    run = await release.start(models["careless"])
    await release.when(
        lambda: Queries(release.host.journal.path).run_detail(run).run.status == "completed", "the end of the second"
    )
    assert len(release.candidates()) == 1 and release.candidates()[0].run == done.run


async def test_a_smoke_that_fails_rejects_after_the_approval(release: Release, models: dict[str, bytes]) -> None:
    lab = release.site.policy["lab"]
    await release.start(models["better"])
    detail = await release.asked("approval")
    original = release.site.ports["evaluation"].lines

    async def broken(argv: Any, job: dict[str, Any], **more: Any) -> Any:
        for step in job.get("steps", ()):
            if step["do"] == "rollback":
                step["fault"] = "rollback"
        async for said in original(argv, job, **more):
            yield said

    release.site.ports["evaluation"].lines = broken
    assert lab["robots"] and (await release.vote(detail, "ana")).refusal is None
    done = await release.state("rejected")
    assert "root hash differs" in done.why
    (artifact,) = release.host.book.reads.find("artifact")
    assert artifact.state == "signed" and artifact.rollback_drilled is False


async def test_two_people_accept_what_was_not_shown(release: Release, models: dict[str, bytes]) -> None:
    await release.site.pack(
        {"4.7.3": release.site.keep(models["today"])}, name="few", tasks=[{"task": "tote-stack", "predicate": "held", "seeds": 12}], plan={"n_max": 12}
    )  # fmt: skip
    await release.start(models["twin"], pack="few-1")
    detail = await release.asked("inconclusive")
    assert (await release.vote(detail, "ana", form={"course": "accept-risk"})).refusal is None
    both = await release.asked("accept_risk")
    assert (await release.vote(both, "ana")).refusal is None
    assert release.gate("accept_risk") is not None, "one is not enough"
    assert (await release.vote(both, "bo")).refusal is None
    done = await release.state("eligible")
    assert set(done.decisions[0].people) == {"ana", "bo"} and done.decisions[0].course == "accept-risk"


async def test_a_policy_may_approve_what_is_shown_and_never_what_touches_safety(
    release: Release, models: dict[str, bytes]
) -> None:
    release.site.policy["auto_approve"] = True
    await release.start(models["better"])
    done = await release.state("eligible")
    assert release.waiting() == [] and done.decisions[0].people == () and done.decisions[0].evidence == done.evidence
    await release.site.pack({"4.7.3": release.site.keep(models["careless"])}, name="again", plan={"n_max": 200})
    await release.start(models["twin"], pack="again-1", version="4.8.2", safety_relevant=True)
    detail = await release.asked("approval")
    assert [seat.role for seat in detail.seats] == ["release-manager", "safety-officer"]


async def test_hardware_is_waited_for_and_then_decides(release: Release, models: dict[str, bytes]) -> None:
    release.site.policy["hardware"] = {"n_max": 3, "answer": 1e7}
    await release.site.pack(
        {"4.7.3": release.site.keep(models["today"])}, name="arms", hardware=True, plan={"n_max": 200}
    )
    await release.start(models["better"], pack="arms-1")
    made = await release.when(
        lambda: next((one for one in release.candidates() if one.hardware), None), "the order sheet"
    )
    for number in range(1, 9):
        await release.site.do("tom", "candidate.enter", made.id, number=number, outcome="success", duration_s=5.0)
    await release.tell("qd.hardware.completed", {"candidate": "C-other"}, "C-other")
    await release.tell("qd.hardware.completed", {"candidate": made.id, "line": "pick"}, made.id)
    detail = await release.asked("inconclusive")
    done = release.host.book.reads.get("candidate", made.id)
    assert done.hardware_trials == 8 and done.verdict == "inconclusive" and detail.evidence["trials"] == done.trials


def test_the_checkpoints_of_these_tests_are_whole(models: dict[str, bytes]) -> None:
    assert len({digest_of(data) for data in models.values()}) == len(models)
    assert all(decode(data).header["line"] == "pick" for data in models.values())
    assert msgspec.json.encode(sorted(models))
