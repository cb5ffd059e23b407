"""A model that learnt to back out of a jam goes from checkpoint to eligible artifact; others do not get there.

Everything is real but small: demonstrations are made, models are trained by a program, trials run on a bench program, the
artifact is signed, installed on lab robots, and taken back from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.scenarios import Scenario
from app.scenarios.stage import Stage
from engine.contract.client import Refused
from engine.contract.common import Json
from engine.contract.models import ArtifactView, CandidateView, TrialView, Verified
from engine.contract.runs import RunDetail, RunPage

TASKS = ("bin-pick day", "bin-pick night", "tote-stack", "jam-recovery")
PREDICATE = "part held within tolerance and slower than 0.12 m/s for three periods, judged by the bench"
RUBRIC = "0.8 of the way to the part at the nearest, 1 when held"
EVALUATE, TRAIN = "connectors.sandbox.policy_evaluate", "connectors.sandbox.policy_train"


def job(stage: Stage, name: str, what: Mapping[str, Json]) -> list[dict[str, Any]]:
    """One job of the bench program; what it said."""
    path = stage.folder / f"{name}.json"
    path.write_text(json.dumps(dict(what)), "utf-8")
    return [json.loads(line) for line in stage.program(EVALUATE, "--job", str(path)).splitlines()]


def trained(stage: Stage, name: str, shown: list[dict[str, Json]], *, line: str = "pick", seed: int = 3) -> str:
    """The path of a checkpoint that was trained on these demonstrations."""
    data = stage.folder / name
    job(stage, f"{name}-data", {"kind": "demonstrate", "out": str(data), "shown": shown})
    recipe = data / "recipe.json"
    recipe.write_text(json.dumps({"line": line}), "utf-8")
    words = ("--data", str(data), "--recipe", str(recipe), "--out", str(data / "out"), "--seed", str(seed))
    said = [json.loads(one) for one in stage.program(TRAIN, *words).splitlines()]
    return str(said[-1]["checkpoint"]["path"])


def shows(tasks: tuple[str, ...], *, episodes: int = 12, skill: float = 1.0, seed: int = 0) -> list[dict[str, Json]]:
    return [{"task": task, "episodes": episodes, "skill": skill, "seed": seed} for task in tasks]


def kept(stage: Stage, path: str, media: str = "application/octet-stream") -> str:
    """The digest of a file that is now kept."""
    answer: Any = stage.do("lea", "candidate.keep", "", {"path": path, "media": media}).result
    return str(answer["digest"])


def pack(stage: Stage, name: str, line: str, fielded: Mapping[str, str], *, n_max: int = 0) -> str:
    """The id of an evaluation pack with a recorded session per task to replay and cases from two incidents."""
    said = job(stage, f"{name}-sessions", {"kind": "record", "out": str(stage.folder / f"{name}-sessions"), "seed": 7})
    replay = [
        {"id": f"session {one['task']}", "digest": kept(stage, one["path"], "application/jsonl"), "task": one["task"]}
        for one in said
    ]
    document: dict[str, Json] = {
        "name": name, "line": line, "runner": "bench", "simulator": "bench-arm/3", "hardware_class": "bench-arm",
        "tasks": [
            {"task": task, "predicate": PREDICATE, "rubric": RUBRIC, "first_seed": 0, "seeds": 400} for task in TASKS
        ],
        "regressions": [
            {"id": f"{origin} {task}", "task": task, "seed": 9000 + at, "origin": origin}
            for at, (origin, task) in enumerate((("I-12", "bin-pick day"), ("I-17", "tote-stack")))
        ],
        "replay": replay, "fielded": dict(fielded), "plan": {"n_max": n_max} if n_max else {},
    }  # fmt: skip
    answer: Any = stage.do("lea", "pack.add", "", {"document": document}).result
    return str(answer["id"])


def registered(stage: Stage, path: str, line: str, version: str, **more: Json) -> str:
    """The run that takes a checkpoint to its release."""
    answer: Any = stage.do(
        "lea", "candidate.register", "", {"path": path, "line": line, "version": version, **more}
    ).result
    return str(answer["run"])


def candidate_of(stage: Stage, run: str, states: tuple[str, ...], limit_s: float = 60.0) -> CandidateView:
    """The candidate a run works on, once it stands in one of the states."""

    def look() -> CandidateView | None:
        rows = stage.records("candidate", CandidateView)
        return next((one for one in rows if one.run == run and one.state in states), None)

    return stage.until(look, f"a candidate of {run} that is {' or '.join(states)}", limit_s)


def begin(stage: Stage) -> None:
    """What runs today has never seen a jam; the candidate has. The comparison is under way, then people are asked."""
    baseline = trained(stage, "today", shows(TASKS[:3]))
    fielded = kept(stage, baseline)
    pack(stage, "bins", "pick", {"4.7.3": fielded, "4.6.2": fielded})
    better = trained(stage, "jam-shown", shows(TASKS))
    run = registered(stage, better, "pick", "4.8.1", notes="picks from bins and totes, backs out of jams", seed=3)
    (stage.folder / "begun.json").write_text(json.dumps({"run": run, "better": better, "fielded": fielded}), "utf-8")


def play(stage: Stage) -> Mapping[str, Any]:
    begun = json.loads((stage.folder / "begun.json").read_text("utf-8"))
    facts: dict[str, Any] = {}
    good = candidate_of(stage, begun["run"], ("compared",))
    facts["better"] = {"candidate": good.id, "verdict": good.verdict, "sentence": good.sentence}
    facts["again_asked"] = _excluded_while_asked(stage, good)
    stage.answer("approval", "ana", rationale="no worse anywhere, and it backs out of jams", run=begun["run"])
    stage.run_ended(begun["run"])
    good = stage.record("candidate", good.id, CandidateView)
    artifact = stage.record("artifact", good.artifact, ArtifactView)
    sound = stage.get(f"/v1/artifacts/{artifact.id}/verify", Verified)
    facts["artifact"] = {
        "id": artifact.id, "state": artifact.state, "version": artifact.version, "digest": artifact.digest,
        "signature_valid": sound.sound, "rollback_drilled": artifact.rollback_drilled, "reproduced": artifact.reproduced,
        "smoke": len(artifact.smoke),
    }  # fmt: skip
    facts["duplicate"] = _refused_as_known(stage, begun["better"])
    facts["worse"] = _worse(stage)
    facts["inconclusive"] = _inconclusive(stage, begun["fielded"])
    return facts


def _excluded_while_asked(stage: Stage, good: CandidateView) -> Mapping[str, Any]:
    """A trial is left out while people are being asked: the question goes stale and is asked again on the new evidence."""
    rows = stage.records("trial", TrialView, state="recorded", where={"candidate": good.id, "arm": "candidate"})
    trial = next(one for one in rows if one.purpose == "sim")
    stage.do("ana", "candidate.exclude", trial.id, {"reason": "the part was put down by hand", "sort": "operator"})

    def fresh() -> CandidateView | None:
        now = stage.record("candidate", good.id, CandidateView)
        return now if now.evidence != good.evidence and now.state == "compared" else None

    again = stage.until(fresh, "the comparison without the excluded trial")
    return {"before": good.evidence, "after": again.evidence, "excluded": again.excluded}


def _refused_as_known(stage: Stage, path: str) -> str:
    try:
        registered(stage, path, "pick", "4.8.2")
    except Refused as refused:
        return refused.problem.code
    return "taken"


def _worse(stage: Stage) -> Mapping[str, Any]:
    """A careless training, told by the trainer's event: rejected by its trials, nobody is asked."""
    path = trained(stage, "careless", shows(TASKS, episodes=6, skill=0.5), seed=5)
    digest = kept(stage, path)
    before = [run.id for run in stage.get("/v1/runs", RunPage, workflow="candidate-to-release", limit=50).rows]
    data = {"training": "T-careless", "checkpoint": {"digest": digest, "size": 1}, "line": "pick", "seed": 5}
    said = {"event": "qd.training.completed", "data": data, "subject": "T-careless"}
    stage.operator.command("ana", "event.emit", "", said)
    run = stage.run_of("candidate-to-release", after=before)
    stage.run_ended(run)
    found = candidate_of(stage, run, ("rejected",))
    return {"candidate": found.id, "verdict": found.verdict, "why": found.why}


def _inconclusive(stage: Stage, fielded: str) -> Mapping[str, Any]:
    """A retrained twin of what runs, on too few trials to say anything: more trials, then two people take the risk or needn't."""
    path = trained(stage, "twin", shows(TASKS[:3], seed=500), line="place", seed=11)
    base = trained(stage, "today-place", shows(TASKS[:3]), line="place")
    pack(stage, "totes", "place", {"4.7.3": kept(stage, base)}, n_max=20)
    run = registered(stage, path, "place", "place-2")
    first = candidate_of(stage, run, ("compared",))
    stage.answer("inconclusive", "ana", form={"course": "extend"}, rationale="twenty pairs say nothing", run=run)

    def again() -> CandidateView | None:
        now = stage.record("candidate", first.id, CandidateView)
        return now if now.rounds > first.rounds and now.state == "compared" else None

    second = stage.until(again, "the second round")
    if second.verdict == "inconclusive":
        stage.answer(
            "inconclusive", "ana", form={"course": "accept-risk"}, rationale="as far as trials can tell", run=run
        )
        stage.answer("accept_risk", "ana", rationale="the difference would be small", run=run)
        stage.answer("accept_risk", "bo", rationale="no safety event in any trial", run=run)
    else:
        stage.answer("approval", "ana", rationale="now shown no worse", run=run)
    ended: RunDetail = stage.run_ended(run)
    last = stage.record("candidate", first.id, CandidateView)
    stage.do("ana", "artifact.revoke", last.artifact, {"reason": "grips too hard on soft totes"})
    revoked = stage.state_is("artifact", last.artifact, "revoked", ArtifactView)
    return {
        "candidate": last.id, "first": first.verdict, "rounds": second.rounds, "second": second.verdict,
        "run": ended.run.status, "revoked": revoked.state, "people": [p for one in last.decisions for p in one.people],
    }  # fmt: skip


SCENARIO = Scenario(
    name="candidate-to-release",
    title="A model goes from checkpoint to eligible artifact; a worse one and an undecided one do not, or not at once",
    begin=begin,
    play=play,
)
