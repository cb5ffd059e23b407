"""Full circle: people take over too often on a version; what they did becomes a release that robots need less help with.

One thread runs through all seven patterns. Interventions spike; their causes are said, and one is hardware: a maintenance
case, repaired and given back. Somebody abroad asks to see the takeovers, and may for a while. The rest is labelled, signed
into a snapshot, trained on, compared with what runs today, approved, built and signed; the draft of a rollout that this
makes is signed by two people and goes out stage by stage; the cluster's rate is measured on the robots that got it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.cli.session import part
from app.scenarios import Scenario
from app.scenarios import access_review as access
from app.scenarios import candidate_to_release as release
from app.scenarios import correction_loop as loop
from app.scenarios.stage import Stage
from engine.contract.access import AccessRequest, Grant
from engine.contract.cases import CaseView
from engine.contract.corrections import ClusterView, CorrectionCase, SpikeView
from engine.contract.datasets import SnapshotView, TrainingView
from engine.contract.events import OutEventPage, Trace
from engine.contract.fleet import RobotPage
from engine.contract.models import ArtifactView, Verified
from engine.contract.rollouts import RolloutDetail
from engine.contract.sessions import SessionView

LINE = "pick"
BEFORE, SPIKED, FIXED = "4.6.2", "4.7.3", "4.8.1"
"""What ran last month, what runs today, and the release that the update server holds for what is learnt."""


def begin(stage: Stage) -> None:
    """The line has a pack and a fielded model, the dataset is described; then a day of sessions comes in, and spikes."""
    fielded = release.kept(stage, release.trained(stage, "today", release.shows(release.TASKS[:3])))
    release.pack(stage, "bins", LINE, {SPIKED: fielded, BEFORE: fielded})
    about = {
        "dataset": loop.DATASET, "line": LINE, "purpose": "what people did when robots jammed",
        "recipe": {
            "version": FIXED, "base": fielded, "freeze": ["all"], "epochs": 24, "checkpoint_every": 8, "pace_s": 0.02,
        },
    }  # fmt: skip
    stage.do("lea", "dataset.create", args=about)
    today = stage.now() // (4 * loop.HOUR) * 4 * loop.HOUR - 4 * loop.HOUR
    usual = loop.record_sessions(
        stage, "usual", version=BEFORE, count=12, robots=4, interventions=0, start=today - loop.DAY, salt=1
    )
    new = loop.record_sessions(
        stage, "new", version=SPIKED, count=12, robots=4, interventions=1, causes=loop.CAUSES, start=today, salt=3
    )
    for made in (usual, new):
        stage.do("lea", "session.add", args={"folder": made["folder"], "dataset": loop.DATASET})


def play(stage: Stage) -> Mapping[str, Any]:
    spike = stage.until(lambda: next(iter(stage.records("spike", SpikeView)), None), "the spike", 60)
    loop.capture_all(stage)
    causes = loop.triage(stage)
    case = _case(stage)
    cluster = loop.annotate(stage)
    seen = _seen_abroad(stage)
    loop.review(stage)
    cluster = stage.state_is("cluster", cluster.id, "routed", ClusterView, 30)
    snapshot = stage.record("snapshot", loop.include(stage, cluster.id), SnapshotView)
    training = _trained(stage, snapshot.id)
    artifact = _released(stage, training)
    rollout = _rolled_out(stage)
    measured = _measured(stage, cluster.id)
    back = _returned(stage, case)
    trace = stage.get(f"/v1/trace/{part(str(_first_event(stage)))}", Trace)
    return {
        "spike": spike, "causes": causes, "case": back, "access": seen, "cluster": measured.id, "snapshot": snapshot.id,
        "training": training.id, "checkpoint": training.checkpoint, "artifact": artifact, "rollout": rollout,
        "effect": measured.effect, "trace": [[node.level, node.kind, node.id, node.how, node.label] for node in trace.nodes],
    }  # fmt: skip


def _case(stage: Stage) -> str:
    """The takeover that was the hardware's doing is a maintenance case; somebody takes it."""

    def look() -> str | None:
        rows = [one for one in stage.records("case", CaseView) if one.source == "correction"]
        return rows[0].id if rows else None

    case = stage.until(look, "the case of the hardware clip", 60)
    stage.state_is("case", case, ("queued", "assigned"), CaseView, 60)
    stage.do("tom", "case.claim", case)
    return case


def _returned(stage: Stage, case: str) -> dict[str, Any]:
    """Repaired, shown to hold, and given back by somebody else."""
    found = stage.record("case", case, CaseView)
    stage.do("tom", "case.start", case)
    coding = {
        "mode": "drops_load", "mechanism": "wear", "cause": "operation", "detection": "operator_report", "item": "gripper",
        "resolution": "gripper pads exchanged",
    }  # fmt: skip
    stage.do("tom", "case.resolve", case, coding)
    stage.state_is("case", case, "verifying", CaseView)
    stage.do("tom", "case.check", case, {"done": ["1", "2", "3", "4"]})
    robot = next(row for row in stage.get("/v1/robots", RobotPage, limit=500).rows if row.id == found.robot)
    stage.answer("give_back", "tess", form={"serial_tail": robot.serial[-4:]}, limit_s=90)
    closed = stage.state_is("case", case, "closed", CaseView)
    return {"id": case, "robot": closed.robot, "state": closed.state, "source": closed.source}


def _seen_abroad(stage: Stage) -> dict[str, Any]:
    """The vendor's specialist looks at one takeover; what is granted ends, and is looked at."""
    session = next(one.session for one in stage.records("correction", CorrectionCase) if one.session)
    asked = {"action": "view", "sessions": [session], "purpose": "why the gripper jams", "ticket": "M-1"}
    request = stage.do("olga", "access.open", args=asked).target

    def judged() -> AccessRequest | None:
        now = stage.record("access_request", request, AccessRequest)
        return None if now.state in ("submitted", "classified") else now

    found = stage.until(judged, f"the evaluation of {request}")
    if found.state == "evaluated":
        access.sign(stage, request, tuple(_signers(found)))
    granted = stage.state_is("access_request", request, "granted", AccessRequest)
    stage.do("olga", "access.use", granted.grant, {"what": "start"})
    stage.do("olga", "access.relinquish", granted.grant)
    ended = stage.state_is("grant", granted.grant, "relinquished", Grant)
    return {"request": request, "verdict": found.evaluation.verdict, "grant": ended.id, "grant_state": ended.state}


def _signers(request: AccessRequest) -> list[str]:
    """Who fills the seats this request needs."""
    people = {"data-owner": "dirk", "privacy-officer": "pia", "customer": "kim", "site-safety": "sia"}
    return [people[seat] for seat in request.evaluation.seats if seat in people]


def _trained(stage: Stage, snapshot: str) -> TrainingView:
    def look() -> TrainingView | None:
        found = stage.records("training", TrainingView, where={"snapshot": snapshot})
        return next((one for one in found if one.state == "succeeded"), None)

    return stage.until(look, "the training", 120)


def _released(stage: Stage, training: TrainingView) -> dict[str, Any]:
    """Compared with what runs, approved by a person, built, signed, tried on lab robots."""
    run = stage.run_of("candidate-to-release")
    found = release.candidate_of(stage, run, ("compared", "rejected"), 120)
    if found.verdict == "inconclusive":
        stage.answer(
            "inconclusive", "ana", form={"course": "accept-risk"}, rationale="as far as trials can tell", run=run
        )
        stage.answer("accept_risk", "ana", rationale="the difference is small", run=run)
        stage.answer("accept_risk", "bo", rationale="no safety event", run=run)
    else:
        stage.answer("approval", "ana", rationale="no worse anywhere, and it backs out of jams", run=run)
    stage.run_ended(run, 120)
    artifact = stage.until(
        lambda: next(iter(stage.records("artifact", ArtifactView, state="eligible")), None), "the artifact"
    )
    sound = stage.get(f"/v1/artifacts/{artifact.id}/verify", Verified)
    return {
        "id": artifact.id, "version": artifact.version, "candidate": found.id, "verdict": found.verdict,
        "model_is_the_checkpoint": found.model_digest == (training.checkpoint.digest if training.checkpoint else ""),
        "signature_valid": sound.sound,
    }  # fmt: skip


def _rolled_out(stage: Stage) -> dict[str, Any]:
    """The draft that the artifact made: where it goes is said by one, signed by two, and judged stage by stage."""
    run = stage.run_of("staged-rollout")
    stage.answer("draft", "ana", form={"selector": "all"}, rationale="everywhere, in stages", run=run)
    stage.operator.play(run, limit_s=150.0)
    detail = stage.get(f"/v1/rollouts/{run}", RolloutDetail)
    return {
        "id": run, "state": detail.rollout.state, "version": detail.rollout.version,
        "verdicts": [[one.stage, one.word] for one in detail.verdicts if one.word != "PENDING"],
    }  # fmt: skip


def _measured(stage: Stage, cluster: str) -> ClusterView:
    """A day of sessions on the robots that got it."""
    waiting = stage.state_is("cluster", cluster, "awaiting_effect", ClusterView, 60)
    after = stage.now() // (4 * loop.HOUR) * 4 * loop.HOUR - 4 * loop.HOUR  # all of it is over: the future is set aside
    made = loop.record_sessions(stage, "after", version=FIXED, count=16, robots=4, interventions=0, start=after, salt=9)
    stage.do("lea", "session.add", args={"folder": made["folder"], "dataset": loop.DATASET})
    stage.until(
        lambda: sum(FIXED in one.bill.values() for one in stage.records("session", SessionView)) >= 16,
        "the sessions after",
        60,
    )
    return stage.state_is("cluster", waiting.id, ("confirmed", "not_fixed", "closed"), ClusterView, 90)


def _first_event(stage: Stage) -> int:
    """The first intervention that was told: the recording it came in with."""
    rows = stage.get("/v1/cloudevents", OutEventPage, event="qd.intervention.spike", limit=50).rows
    return min(row.seq for row in rows)


SCENARIO = Scenario(
    name="full-circle",
    title="from a spike of interventions to the release that fixes it, and what it did: one thread through seven patterns",
    begin=begin,
    play=play,
    world="remedied",
    robots=60,
    speed=3000.0,
    limit_s=280.0,
)
