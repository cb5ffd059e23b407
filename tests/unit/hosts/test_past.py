"""The past is shown by the code that shows today: at its newest event a run looks as it does now, and earlier as it did."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.core import commands as c
from engine.store import past as past_module
from engine.store.details import run_detail
from engine.store.gate_queries import GateQueries
from engine.store.past import Past
from tests.unit.hosts.conftest import World
from tests.unit.hosts.test_gates import signoff, vote

NOW = 1 << 60


def rounded(value: Any) -> Any:
    """Times of the journal are whole microseconds; those of a row that was computed live are not."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value


def seen(reading: Any, run: str, now: float) -> Any:
    return rounded(msgspec.to_builtins(run_detail(reading, run, now)))


async def decided(world: World) -> tuple[str, str]:
    """A run whose gate was voted on by several people, and its gate."""
    world.act("act")
    host = await world.open()
    await world.register(host, signoff())
    run = await world.start(host)
    (gate,) = world.reads().gate_page().rows
    await vote(world, host, run, "ana", "safety")
    await world.ask(host, run, c.Claim(gate=gate.id, voter=c.Voter(person="dee", roles=("ops",))))
    await vote(world, host, run, "eve", "ops")  # refused, and recorded
    await world.ask(host, run, c.UpdateEvidence(gate=gate.id, evidence={"release": "4.8.1", "trials": 12}))
    await vote(world, host, run, "ana", "safety")
    await vote(world, host, run, "bo", "safety")
    await vote(world, host, run, "dee", "ops")
    await world.until(run, "RunCompleted")
    return run, gate.id


async def test_at_its_newest_event_a_run_looks_as_it_does_now(world: World) -> None:
    run, _ = await decided(world)
    with Past(world.path).at(run, NOW) as (reading, moment):
        assert seen(reading, run, moment.at) == seen(world.reads().reading, run, moment.at)


async def test_a_moment_is_the_same_whichever_way_one_comes_to_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_module, "SPACING", 3)  # so that checkpoints are passed in both directions
    monkeypatch.setattr(past_module, "CHECKPOINTS", 4)  # and thinned out
    run, _ = await decided(world)
    past = Past(world.path)
    seqs = [event.seq for event in world.reads().events(run=run, limit=5_000).rows]
    forwards = {}
    for seq in seqs:
        with past.at(run, seq) as (reading, moment):
            assert moment.seq == seq
            forwards[seq] = seen(reading, run, moment.at)
    for seq in reversed(seqs):
        with past.at(run, seq) as (reading, moment):
            assert seen(reading, run, moment.at) == forwards[seq]
    assert len({msgspec.json.encode(one) for one in forwards.values()}) > 5, "nothing ever changed"
    past.close()


async def test_a_gate_shows_what_somebody_had_before_them_when_they_voted(world: World) -> None:
    run, gate = await decided(world)
    past = Past(world.path)
    votes = [event for event in world.reads().events(run=run, limit=5_000).rows if event.type.startswith("Vote")]
    first, refused, *later = votes
    with past.at(run, first.seq) as (reading, _):
        then = GateQueries(reading).detail(gate)
    assert then is not None and then.gate.state == "open"
    assert then.evidence == {"release": "4.8.1"}, "the evidence of then, not the one that came after"
    assert then.evidence_digest == first.data["evidence_digest"]
    assert [(one.person, one.void) for one in then.votes] == [("ana", False)]
    with past.at(run, refused.seq) as (reading, _):
        then = GateQueries(reading).detail(gate)
    assert then is not None and [bool(one.refused) for one in then.votes] == [False, True]
    with past.at(run, later[0].seq - 1) as (reading, _):
        then = GateQueries(reading).detail(gate)
    assert then is not None and then.evidence == {"release": "4.8.1", "trials": 12}
    assert [one.void for one in then.votes if not one.refused] == [True], "voted on what it was before"


async def test_between_two_events_of_a_run_it_stands_at_the_earlier_one(world: World) -> None:
    run, _ = await decided(world)
    other = await world.start(world.hosts[0])
    seqs = [event.seq for event in world.reads().events(run=run, limit=5_000).rows]
    with Past(world.path).at(run, seqs[-1] + 3) as (_, moment):
        assert moment.seq == seqs[-1], f"an event of {other} is none of {run}"


async def test_a_run_that_had_not_begun_or_never_was_is_not_made_up(world: World) -> None:
    run, _ = await decided(world)
    past = Past(world.path)
    first = world.reads().events(run=run, limit=1).rows[0].seq
    for name, seq in ((run, first - 1), ("run-0", NOW)):
        with pytest.raises(KeyError), past.at(name, seq):
            pass
    with past.at(run, first) as (_, moment):
        assert moment.n == 1, "a question that could not be answered leaves the next one unharmed"


async def test_only_as_many_runs_are_held_as_a_few_people_look_at(world: World) -> None:
    await decided(world)
    past = Past(world.path)
    for _ in range(past_module.RUNS_HELD + 2):
        with past.at(await world.start(world.hosts[0]), NOW):
            pass
    assert len(past._runs) == past_module.RUNS_HELD
    past.close()
