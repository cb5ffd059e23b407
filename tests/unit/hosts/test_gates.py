"""A gate as the inbox shows it, from its events alone."""

from __future__ import annotations

from typing import Any

from engine.core import commands as c
from engine.core.definition import Definition, Gate, Outcome, Seat, Step
from engine.core.gates import evidence_digest
from tests.unit.hosts.conftest import World, action_step, workflow


def signoff() -> Definition:
    gate = Gate(
        question="Promote 4.8.1?",
        seats=(Seat(role="safety", count=2), Seat(role="ops")),
        expires=3600.0,
        on_timeout=Outcome(raise_="Late", escalate="lead", expires=600.0),
        on_reject=Outcome(goto="act"),
        evidence={"release": "4.8.1"},
        exclude=("'eve'",),
    )
    return workflow(Step(id="ask", kind="gate", gate=gate, next="act"), action_step("act"))


async def vote(world: World, host: Any, run: str, person: str, *roles: str, **more: Any) -> Any:
    gate = world.reads().gate_page().rows[0]
    detail = world.reads().gate_detail(gate.id)
    assert detail is not None
    digest = more.pop("digest", detail.evidence_digest)
    command = c.Vote(
        gate=gate.id,
        voter=c.Voter(person=person, roles=roles),
        answer=more.pop("answer", "approve"),
        evidence_digest=digest,
    )
    return await world.ask(host, run, command)


async def test_the_inbox_counts_the_seats_that_are_open(world: World) -> None:
    world.act("act")
    host = await world.open()
    await world.register(host, signoff())
    run = await world.start(host)
    (gate,) = world.reads().gate_page().rows
    assert (gate.run, gate.seats_open, gate.seats_total, gate.subject) == (run, 3, 3, "4.8.1")
    assert (await vote(world, host, run, "ana", "safety", "ops")).refusal is None
    assert (await vote(world, host, run, "bo", "safety")).refusal is None
    assert world.reads().gate_page().rows[0].seats_open == 1
    refused = await vote(world, host, run, "eve", "ops")
    assert refused.refusal.code == "excluded"
    stale = await vote(world, host, run, "cy", "ops", digest=evidence_digest("other", {}))
    assert stale.refusal.code == "stale_evidence"
    detail = world.reads().gate_detail(gate.id)
    assert detail is not None
    assert detail.evidence == {"release": "4.8.1"}
    assert detail.on_reject == "goes on at act"
    assert "lead" in detail.on_timeout
    assert [(vote.person, bool(vote.refused), vote.via) for vote in detail.votes] == [
        ("ana", False, "socket"),
        ("bo", False, "socket"),
        ("eve", True, "socket"),
        ("cy", True, "socket"),
    ]
    assert [(seat.label, tuple(sorted(seat.filled_by)), seat.role) for seat in detail.seats] == [
        ("2 x role safety", ("ana", "bo"), "safety"),
        ("1 x role ops", (), "ops"),
    ]
    assert (await vote(world, host, run, "dee", "safety")).refusal is None
    assert world.reads().gate_page().rows == ()
    closed = world.reads().gate_detail(gate.id)
    assert closed is not None
    assert closed.gate.state == "passed"
    assert closed.gate.seats_open == 0
    await world.until(run, "RunCompleted")
    assert world.calls == [("act", run)]


async def test_a_gate_survives_a_restart_with_its_votes(world: World) -> None:
    world.act("act")
    first = await world.open()
    await world.register(first, signoff())
    run = await world.start(first)
    await vote(world, first, run, "ana", "safety")
    await first.close()
    second = await world.open()
    assert (await vote(world, second, run, "bo", "safety")).refusal is None
    assert (await vote(world, second, run, "cy", "ops")).refusal is None
    await world.until(run, "RunCompleted")
    waits = world.reads().run_detail(run)
    assert waits is not None
    assert waits.waiting == ()


async def test_a_rejected_gate_goes_where_the_definition_says(world: World) -> None:
    world.act("act")
    host = await world.open()
    await world.register(host, signoff())
    run = await world.start(host)
    detail = world.reads().run_detail(run)
    assert detail is not None
    assert detail.run.status == "waiting"
    assert detail.run.attention == "gate"
    assert detail.run.waiting_on == "Promote 4.8.1?"
    assert detail.waiting[0].gate == world.reads().gate_page().rows[0].id
    await vote(world, host, run, "ana", "safety", answer="reject")
    await world.until(run, "RunCompleted")
    (gate,) = world.reads().gate_page(state="rejected").rows
    assert gate.state == "rejected"
