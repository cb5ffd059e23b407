"""What must hold whatever happens: each invariant of the domain model under its own name."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.capabilities import subjects
from engine.capabilities.data import reads, splitting
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError
from engine.capabilities.rollout import actions as rollout
from engine.capabilities.rollout.claims import Claims
from engine.core import events as e
from engine.core.definition import Definition, Gate, Outcome, Seat, Step, Wait
from engine.core.health import judge
from engine.store import schema
from tests.simulation.test_core import live
from tests.unit.core.rig import Rig, action, flow, voter
from tests.unit.data.conftest import Table, table
from tests.unit.data.test_dataset_maths import session
from tests.unit.data.test_dataset_reads import look
from tests.unit.hosts.conftest import World, workflow, world
from tests.unit.rollout.test_actions import NEW, Ctx, Owners
from tests.unit.rollout.worlds import rules, window
from tests.unit.test_definitions import FILES, definition

__all__ = ["table", "world"]


# no two open rollouts on one robot and component


@pytest.mark.parametrize("seed", range(4))
async def test_no_two_open_rollouts_have_one_robot(seed: int, tmp_path: Path) -> None:
    """Twenty cohorts, frozen and ended in any order, under selectors that overlap at will."""
    path = tmp_path / "q.db"
    schema.create_private(path)
    schema.migrate(path)
    writing = sqlite3.connect(path, isolation_level=None)
    chance, owners, claims = random.Random(seed), Owners(12), Claims(path)
    open_: dict[str, set[str]] = {}
    refused = 0
    for number in range(20):
        if open_ and chance.random() < 0.4:
            over = chance.choice(sorted(open_))
            ending = chance.choice(["completed", "rolled_back", "aborted", "failed"])
            writing.execute("update rollouts set state = ? where id = ?", (ending, over))
            del open_[over]
        context = Ctx(owners, claims)
        context.run = f"run-{number}"
        wanted = chance.sample(sorted(owners.fleet), chance.randint(1, 8))
        try:
            frozen = await rollout.freeze(context, {"version": NEW, "selector": "all", "only": wanted})
            await rollout.preflight(context, {"cohort": frozen})
        except ActionError as error:
            assert error.error == "EmptyCohort", error.message
            refused += 1
            continue
        robots = set(frozen["cohort"]["robots"])
        assert robots <= set(wanted) and not any(robots & others for others in open_.values())
        open_[context.run] = robots
        state = chance.choice(["draft", "preflight", "running", "paused", "held", "rolling_back"])
        writing.execute(
            "insert into rollouts (id, artifact, version, previous, cohort, state, stage, stage_index, verdict, robots, started_at, updated_at, started_by, seq, view)"
            " values (?, '', ?, '', '', ?, '', 0, '', 0, 0, 0, '', 0, '{}')",
            (context.run, NEW, state),
        )
        writing.executemany(
            "insert into robot_updates (rollout, robot, stage, state, from_version, to_version, reported, at, seq, view)"
            " values (?, ?, '', 'planned', '', '', '', 0, 0, '{}')",
            [(context.run, robot) for robot in robots],
        )
    writing.close()
    assert refused and open_


# no gate approved by the requester

RELEASING = {
    "dataset_signoff", "release_approval", "rollout_signoff", "stage_promotion", "data_export", "teleop_authority", "return_to_service",
}  # fmt: skip
ASKS_WITHOUT_LETTING_THROUGH = {
    "data-to-training.yaml blocked": "what blocks is set right and frozen again; the sign-off comes after it",
    "data-to-training.yaml curate_again": "another selection is frozen and signed off again",
    "champion-recheck.yaml doubt": "nothing becomes eligible by it: what runs is kept or revoked",
    "staged-rollout.yaml draft": "says where to; the plan it makes is signed off by others",
    "staged-rollout.yaml stages.changed": "the stage is resolved again, and has to be what was signed",
    "staged-rollout.yaml stages.skip_soak": "a wave of an incident: the engine started it, for a decision of three people",
}


@pytest.mark.parametrize("name", FILES)
def test_every_gate_that_lets_something_through_excludes_who_asked(name: str) -> None:
    for step in definition(name).steps.values():
        if step.gate is None or step.gate.kind not in RELEASING:
            continue
        if f"{name} {step.id}" not in ASKS_WITHOUT_LETTING_THROUGH:
            assert step.gate.exclude, f"{name}: {step.id} may be approved by who asked for it"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ana", "bo", "cy"]), st.sampled_from(["approve", "reject"])), max_size=8))
def test_no_gate_is_approved_by_who_asked_for_it(votes: list[tuple[str, str]]) -> None:
    gate = Gate(
        question="?", seats=(Seat(role="manager"), Seat(role="safety")), expires="1h", exclude=("run.started_by",),
        on_timeout=Outcome(goto="no"), on_reject=Outcome(goto="no"),
    )  # fmt: skip
    rig = Rig(flow(Step(id="ask", kind="gate", gate=gate, next="yes"), action("yes"), action("no"))).start(by="ana")
    for person, answer in votes:
        if any(token.path == "ask" for token in rig.state.tokens.values()):
            rig.vote(voter(person, "manager", "safety"), answer)
    for passed in rig.of(e.GatePassed):
        assert "ana" not in passed.votes and len(set(passed.votes)) == 2
    assert not any(one.person == "ana" for one in rig.of(e.VoteCast))


# no stage passes with a coverage below 90 %


def test_the_coverage_a_stage_must_have_is_ninety_percent_and_stands_in_the_policy() -> None:
    assert load_pack("rollout")["coverage"] == 0.90


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.899), st.sampled_from(["canary", "control"]), st.booleans())
def test_no_stage_passes_with_a_coverage_below_ninety_percent(seed: int, share: float, arm: str, last: bool) -> None:
    """However good what was heard is, whichever arm is the silent one, and however the silence is spread over its robots."""
    made = window(ratio=0.5, seed=seed)
    chance = random.Random(seed)
    robots = getattr(made, arm)
    silent = chance.randint(1, len(robots))
    left = share * len(robots)  # robots' worth of heartbeats; the silent ones have what the others leave
    loud = min(1.0, left / (len(robots) - silent)) if silent < len(robots) else 0.0
    quiet = min(1.0, max(0.0, left - loud * (len(robots) - silent)) / silent)
    heard = [
        msgspec.structs.replace(one, heard=one.expected * (quiet if i < silent else loud))
        for i, one in enumerate(robots)
    ]
    deaf = msgspec.structs.replace(made, **{arm: tuple(heard)})
    found = judge(deaf, rules(ratio_limit=None if last else 3.0))
    assert found.verdict.word != "PASS" and not found.coverage_ok


# no session in train and in evaluation


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 14), st.integers(0, 14)), min_size=1, max_size=40),
    st.sets(st.integers(0, 14), max_size=5), st.sets(st.integers(0, 14), max_size=5), st.integers(0, 3),
)  # fmt: skip
def test_no_session_is_in_training_and_in_evaluation(
    rows: list[tuple[int, int, int]], contents: set[int], motions: set[int], seed: int
) -> None:
    """By content and by near-duplicate, whatever the recordings are called and whatever group they are of."""
    sessions = [
        session(i, group=f"g{group}", content=f"c{content}", digest=f"d{i}", trajectory=f"m{motion}")
        for i, (group, content, motion) in enumerate(rows)
    ]
    reserved = splitting.Reserved(
        digests=frozenset(f"c{n}" for n in contents), marks=frozenset(f"m{n}" for n in motions)
    )
    out = splitting.left_out(sessions, reserved=reserved, limits=splitting.Limits(), licence="")
    kept = [one for one in sessions if one.id not in out]
    dealt = splitting.split(kept, shares={"train": 0.8, "val": 0.1, "test": 0.1}, seed=seed, before={})
    assert not splitting.leaks(kept, dealt, reserved)
    where: dict[str, set[str]] = {}
    for one in kept:
        split = dealt[splitting.group_of(one)]
        assert not ({one.content, one.digest} & reserved.digests or one.trajectory in reserved.marks)
        for mark in (one.id, one.content, one.trajectory, splitting.group_of(one)):
            where.setdefault(mark, set()).add(split)
    assert all(len(splits) == 1 for splits in where.values())


# every finalized snapshot re-hashes


async def test_every_finalized_snapshot_rehashes(table: Table) -> None:
    await table.finalized()
    table.run = "run-2"
    await table.session("S-13", group="g-new")
    await table.finalized(sessions=13)
    found = [one for one in await table.find("snapshot") if one.state in ("finalized", "superseded")]
    assert len(found) == 2
    for one in found:
        proof = reads.proof(look(table), {"snapshot": one.id}, {})
        assert proof.ok and proof.found == one.root_digest, proof.problem
        assert table.host.vault.verify(one.episodes_digest) and table.host.vault.verify(one.manifest)


# every risk-raising command has a decision or a break-glass record

RISES = {
    ("snapshot", "review", "finalized"), ("candidate", "compared", "approved"), ("robot", "out_of_service", "in_service"),
    ("hold", "active", "released"), ("incident", "mitigating", "monitoring"), ("access_request", "evaluated", "approved"),
    ("access_request", "submitted", "granted"), ("cluster", "in_review", "routed"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "from_", "to"), sorted(RISES))
def test_no_record_moves_to_more_risk_without_a_decision(kind: str, from_: str, to: str) -> None:
    entity = subjects.catalogue()[kind]
    record = msgspec.structs.replace(entity.shape(), id="x", state=from_)
    guards = [one for one in entity.guards if one.from_ in (from_, "*") and one.to == to]
    assert guards and any(one.check(record, {}) for one in guards), f"{kind}: {from_} -> {to} needs nobody's word"


ACTS = {
    "staged-rollout.yaml": ({"rollout.advance"}, {"rollout.authority"}),
    "data-to-training.yaml": ({"data.finalize"}, set()),
    "hold-release.yaml": ({"hold.release"}, set()),
    "maintenance-escalation.yaml": ({"case.give_back"}, set()),
    # these decide on a record, whose guard asks for the votes, the policy or the broken glass behind it
    "candidate-to-release.yaml": ({"models.build"}, {"models.approve"}),
    "access-review.yaml": ({"access.issue"}, {"access.approve"}),
    "fleet-hotfix.yaml": ({"incident.wave", "incident.apply"}, {"incident.authorise"}),
}
"""Definition -> (what raises risk, what stands for a decision made before: an incident's, or glass that was broken)."""


def undecided(whole: Definition, decisions: set[str]) -> Iterator[Step]:
    """Every step that is reached without a gate having approved or a recorded decision having been found."""
    seen, todo = set[str](), [whole.start]
    while todo:
        at = todo.pop()
        if at in seen or at not in whole.steps:
            continue
        seen.add(at)
        step = whole.steps[at]
        yield step
        ways = [*(one.goto for one in step.catch), *(one.goto for one in step.interrupt), step.otherwise]
        # an arm that is taken because glass was broken has that record behind it
        ways += [one.goto for one in step.choice if "breakglass" not in one.when]
        ways += [step.on_timeout.goto] if step.on_timeout else []
        if step.gate is not None:
            ways += [step.gate.on_timeout.goto, step.gate.on_reject.goto]
            # a gate that is passed over for an incident has the incident's own decision behind it
            ways += [step.next] if step.when and "incident" not in step.when else []
        elif step.action not in decisions:
            ways.append(step.next)
        if step.map is not None:
            ways.append(step.map.start)
        todo += [way for way in ways if way]


@pytest.mark.parametrize("name", ACTS)
def test_no_workflow_acts_before_somebody_decided(name: str) -> None:
    risky, decisions = ACTS[name]
    whole = definition(name)
    acting = {
        step.id for step in whole.steps.values() if (step.action or (step.observe and step.observe.source)) in risky
    }
    assert acting
    early = sorted(acting & {step.id for step in undecided(whole, decisions)})
    assert not early, f"{name}: {early} act without a decision"


def test_every_verb_that_raises_risk_foresees_and_wants_its_phrase() -> None:
    risky = [verb for verb in subjects.verbs().values() if verb.risk]
    assert {"breakglass.take", "incident.breakglass"} <= {verb.name for verb in risky}
    for verb in risky:
        assert verb.foresee is not None and "phrase" in verb.args.__struct_fields__, verb.name


# every unknown is reconciled or escalated


@pytest.mark.parametrize("mood", ["ordinary", "harsh"])
def test_every_unknown_is_reconciled_or_escalated(mood: str) -> None:
    """Sent and not answered: read back, or put before people; never forgotten while its run goes on."""
    doubts = 0
    for seed in range(60):
        shell = live(seed, mood)
        open_: set[tuple[str, str]] = set()
        for event in shell.journal:
            where = (getattr(event, "scope", ""), getattr(event, "step", ""))
            if isinstance(event, e.StepInDoubt):
                doubts += 1
                open_.add(where)
            elif isinstance(event, e.StepScheduled):
                assert where not in open_ or event.in_doubt or event.undo is not None, f"{where} sent again blindly"
                open_.discard(where)
            elif isinstance(event, (e.StepCompleted, e.StepFailed, e.GateOpened, e.StepSkipped, e.CompensationFailed)):
                open_.discard(where)
            elif isinstance(event, (e.RunTerminated, e.RunRedriven, e.CompensationStarted)):
                open_.clear()  # people ended it, or all that was begun is being undone
            elif isinstance(event, (e.RunCompleted, e.RunFailed, e.RunCancelled)):
                assert not open_, f"ended with {open_} unknown"
    assert doubts > 20


# after a restart no timer fires twice


async def test_after_restarts_no_timer_fires_twice(world: World) -> None:
    """Timers that came due while no engine ran, that are due at the restart, and that are due after it."""
    first = await world.open()
    for length in (0.2, 0.6, 1.2):
        rest = Step(id="rest", kind="wait", wait=Wait(for_=length), next="again")
        again = Step(id="again", kind="wait", wait=Wait(for_=length))
        await world.register(first, workflow(rest, again, name=f"flow-{int(length * 10)}"))
    runs = [await world.start(first, name) for name in ("flow-2", "flow-6", "flow-12") for _ in range(3)]
    await first.close()
    for pause in (0.5, 0.3):
        await asyncio.sleep(pause)
        host = await world.open()
        await asyncio.sleep(0.2)
        await host.close()
    await world.open()
    for run in runs:
        await world.until(run, "RunCompleted")
    await asyncio.sleep(0.6)
    fired = Counter(
        (run, one["scope"], one["step"], one["fence"], one["purpose"])
        for run in runs
        for one in world.datas(run, "TimerFired")
    )
    assert len(fired) == 2 * len(runs) and set(fired.values()) == {1}
    assert world.query("select count(*) from timers")[0][0] == 0
