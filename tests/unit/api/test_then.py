"""Things as they were, as the door gives them: stepped through, compared, and refused where there is nothing to show."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.api import past
from engine.api.access import Caller
from engine.api.problems import Denied
from engine.capabilities.entities import Catalogue
from engine.capabilities.rollout.reads import RolloutReads
from engine.contract.runs import RunDetail
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions
from engine.store.past import Past
from engine.store.queries import Queries
from tests.unit.hosts.conftest import World, world  # noqa: F401  a fixture
from tests.unit.hosts.test_book import ANA, EVIDENCE
from tests.unit.hosts.test_past import decided

ME = Caller(person="lena", uid=1000, roles=(), groups=(), via="socket", origin="")


def door_on(path: Path, host: Host) -> Any:
    rollouts = RolloutReads(path)
    return SimpleNamespace(
        past=Past(path),
        reads=Queries(path),
        rollouts=rollouts,
        book=host.book,
        vault=None,
        ports={},
        pack=lambda name: {},
    )


async def test_a_run_is_stepped_through_and_machinery_is_no_step(world: World) -> None:  # noqa: F811
    run, _ = await decided(world)
    door = door_on(world.path, world.hosts[0])
    newest = past.then(door, ME, "run", run, at=0, step=0)
    assert newest.here.seq == newest.last and newest.here.place == newest.here.of
    seqs = [one.seq for one in past.moments(door, "run", run, limit=500)]
    here, walked = newest, [newest.here.seq]
    while here.here.seq > here.first:
        here = past.then(door, ME, "run", run, at=here.here.seq, step=-1)
        walked.append(here.here.seq)
    assert walked == list(reversed(seqs))
    assert past.then(door, ME, "run", run, at=0, step=-10_000).here.seq == newest.first
    assert past.then(door, ME, "run", run, at=newest.first, step=10_000).here.seq == newest.last
    types = {event.type for event in world.reads().events(run=run, limit=500).rows if event.seq in seqs}
    assert "VoteCast" in types and not types & {"StepScheduled", "TimerArmed"}


async def test_a_run_of_then_says_that_nothing_can_be_done_with_it(world: World) -> None:  # noqa: F811
    run, gate = await decided(world)
    door = door_on(world.path, world.hosts[0])
    first = past.moments(door, "run", run, limit=500)[0].seq
    detail = past.run_at(door, run, first)
    assert isinstance(detail, RunDetail) and all(detail.verbs.values())
    opened = past.moments(door, "gate", gate, limit=500)[0]
    assert opened.type == "GateOpened" and past.gate_at(door, gate, opened.seq).gate.mine


async def test_the_newest_vote_is_found_by_its_type(world: World) -> None:  # noqa: F811
    _, gate = await decided(world)
    door = door_on(world.path, world.hosts[0])
    voted = past.then(door, ME, "gate", gate, at=0, step=0, type_="VoteCast")
    assert voted.here.type == "VoteCast" and voted.here.actor == "ana"
    assert voted.view["evidence"] == {"release": "4.8.1", "trials": 12}
    with pytest.raises(Denied, match="had no GateExpired"):
        past.then(door, ME, "gate", gate, at=0, step=0, type_="GateExpired")


async def test_two_moments_are_compared_in_the_order_of_time(world: World) -> None:  # noqa: F811
    _, gate = await decided(world)
    door = door_on(world.path, world.hosts[0])
    first, *_, last = past.moments(door, "gate", gate, limit=500)
    found = past.diff(door, ME, "gate", gate, a=last.seq, b=first.seq)
    assert (found.a.seq, found.b.seq) == (first.seq, last.seq) and found.events == last.place - first.place
    paths = {one.path: one for one in found.changes}
    assert paths["evidence \u203a trials"].after == 12 and paths["gate \u203a state"].after == "passed"
    same = past.diff(door, ME, "gate", gate, a=last.seq, b=0)
    assert not same.changes and same.events == 0
    moved = past.diff(door, ME, "gate", gate, a=0, b=0, steps=(-1, 0))
    assert moved.events == 1


async def test_what_was_not_there_is_refused_and_not_made_up(world: World) -> None:  # noqa: F811
    run, gate = await decided(world)
    door = door_on(world.path, world.hosts[0])
    opened = past.moments(door, "gate", gate, limit=500)[0].seq
    for kind, id_, seq, code in (
        ("run", "run-0", 5, "not_found"),
        ("gate", gate, opened - 1, "not_yet"),
        ("gate", f"{run}.999", 0, "not_found"),
        ("rollout", run, 0, "not_found"),
    ):
        with pytest.raises(Denied) as refused:
            past.then(door, ME, kind, id_, at=seq, step=0)
        assert refused.value.problem.code == code, (kind, id_)
    with pytest.raises(ValueError, match="no records of kind"):
        past.then(door, ME, "teapot", "T-1", at=0, step=0)


async def test_a_record_is_what_its_changes_made_of_it_by_then(tmp_path: Path) -> None:
    path = tmp_path / "quarterdeck.db"
    host = await Host.open(Config(database=path, actions={}, evaluator=Expressions(), catalogue=Catalogue((EVIDENCE,))))
    try:
        book = host.book.bound(actor=ANA, cause="test", scope="test")
        made = await book.create("evidence", {"media": "text/plain"}, key="a")
        await book.change("evidence", made.id, to="held", set={"legal_hold": "L-1"}, reason="asked for")
        door = door_on(path, host)
        created, held = past.moments(door, "evidence", made.id, limit=10)
        assert past.record_then(door, "evidence", made.id, created.seq).state == "kept"
        assert past.record_then(door, "evidence", made.id, held.seq) == host.book.reads.get("evidence", made.id)
        found = past.diff(door, ME, "evidence", made.id, a=created.seq, b=0)
        assert [(one.path, one.after) for one in found.changes] == [("state", "held"), ("legal hold", "L-1")]
        with pytest.raises(Denied, match="was not there yet"):
            past.record_then(door, "evidence", made.id, created.seq - 1)
    finally:
        await host.close()
