"""The scripted operator: answers the demo's gates when nobody is there to, as the sandbox people, and says so.

It votes with what a careful person would go by. A sign-off and a promotion are approved. A stage that stayed
inconclusive is approved only when nothing but time was missing, never when data was. A stage that policy has paused is
rolled back, by typed phrase, as a person would.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from app import wire
from app.attach import Unreachable
from app.client import headers
from app.home import Home
from engine.contract.client import Refused
from engine.contract.common import CommandAnswer, CommandRequest, Json
from engine.contract.gates import GateDetail, GatePage
from engine.contract.rollouts import RolloutDetail
from engine.contract.runs import RunDetail
from engine.contract.system import Me

ENDED = ("completed", "failed", "cancelled", "terminated")
_POLL_S = 0.15
_MISSING = ("no data", "coverage", "telemetry", "missing", "heartbeat")


class Operator:
    """Plays one run to its end."""

    def __init__(self, home: Home, tell: Callable[[str], None] = lambda text: None) -> None:
        self._home, self._tell = home, tell
        self._people: dict[str, tuple[str, ...]] = {}
        self._retried: set[str] = set()

    def people(self) -> dict[str, tuple[str, ...]]:
        """The sandbox people with their roles."""
        if not self._people:
            names = wire.get(self._home, "/v1/me", Me).people
            self._people = {name: wire.get(self._home, "/v1/me", Me, headers(name)).roles for name in names}
        return self._people

    def command(
        self, person: str, verb: str, target: str, args: dict[str, Json], *, preview: bool = False
    ) -> CommandAnswer:
        request = CommandRequest(id=f"script-{uuid.uuid4()}", target=target, args=args, preview=preview)
        return wire.post(self._home, f"/v1/commands/{verb}", request, CommandAnswer, headers(person, script=True))

    def starter(self) -> str:
        """Who starts the rollout: the last who may, so that the others are left to sign (four eyes)."""
        return next((n for n, roles in reversed(self.people().items()) if "release-manager" in roles), "")

    def play(self, run: str, *, limit_s: float) -> RunDetail:
        """Answers whatever is asked until the run has ended. Raises `Unreachable` when it takes longer than `limit_s`."""
        deadline = time.monotonic() + limit_s
        while True:
            detail = wire.get(self._home, f"/v1/runs/{run}", RunDetail)
            if detail.run.status in ENDED:
                return detail
            if time.monotonic() > deadline:
                raise Unreachable(f"{run} has not ended after {limit_s:.0f} s: it is {detail.run.status}")
            self._answer_all(run)
            self._move_on(detail)
            time.sleep(_POLL_S)

    def _answer_all(self, run: str) -> None:
        for gate in wire.get(self._home, "/v1/gates", GatePage).rows:
            if gate.run != run:
                continue  # what the story sets off besides (an incident's draft) is for whoever watches it
            for person in self.people():
                with contextlib.suppress(Refused):  # somebody was faster, or the question is gone
                    detail = wire.get(self._home, f"/v1/gates/{gate.id}", GateDetail, headers(person))
                    if detail.gate.state == "open" and not detail.gate.mine and self._answer(run, person, detail):
                        break  # the question is answered or gone: look again

    def _answer(self, run: str, person: str, detail: GateDetail) -> bool:
        """One person's answer to one question; True when it is best to look anew."""
        step = detail.gate.path.rpartition(".")[2]
        if step == "decide":
            self._roll_back(run, person, "paused by policy: the release does worse than its controls")
            return True
        answer, why = self._choice(step, detail)
        args: dict[str, Json] = {
            "answer": answer,
            "evidence_digest": detail.evidence_digest,
            "rationale": why,
            "form": {name: field.get("default") for name, field in detail.form.items() if "default" in field},
        }
        if detail.phrase and answer == "approve":
            args["phrase"] = detail.phrase
        self.command(person, "gate.vote", detail.gate.id, args)
        self._tell(f"{person} {answer} {detail.gate.id}: {why}")
        return answer != "approve"

    def _choice(self, step: str, detail: GateDetail) -> tuple[str, str]:
        if "approve" not in detail.answers:  # the engine asks because a step is out of retries
            again = "retry" in detail.answers and detail.gate.path not in self._retried
            self._retried.add(detail.gate.path)
            return ("retry", "once more") if again else (detail.answers[-1], "tried again without success")
        if step == "install_decide":
            return "reject", "too many installs failed, or too few robots could be reached"
        if step == "judge" and _data_is_missing(detail.evidence):
            return "reject", "no data is no pass"
        return "approve", "the evidence supports it"

    def _move_on(self, detail: RunDetail) -> None:
        """A rollout that is paused and asks nobody: rolled back, because nobody is coming."""
        paused = [wait for wait in detail.waiting if wait.path.rpartition(".")[2] == "paused"]
        if paused:
            manager = self.starter()
            self._roll_back(detail.run.id, manager, "paused and nobody resumed it")

    def _roll_back(self, run: str, person: str, reason: str) -> None:
        with contextlib.suppress(Refused):
            asked = self.command(person, "rollout.rollback", run, {"reason": reason}, preview=True)
            self.command(person, "rollout.rollback", run, {"reason": reason, "phrase": asked.phrase})
            self._tell(f"{person} rolls back {run} ({asked.phrase}): {reason}")


def _data_is_missing(evidence: Json) -> bool:
    health = evidence.get("health") if isinstance(evidence, dict) else None
    if not isinstance(health, dict):
        return True
    verdict = health.get("verdict")
    said = str(verdict.get("reasons", "")) + str(verdict.get("sentence", "")) if isinstance(verdict, dict) else ""
    return any(word in said.lower() for word in _MISSING)


def document(
    home: Home, run: str, *, scenario: str, seed: int, truth: dict[str, Any], versions: tuple[str, str]
) -> dict[str, Any]:
    """What happened, as one JSON document: the contract that tests and newcomers use. `versions`: release, previous."""
    release, previous = versions
    rollout = wire.get(home, f"/v1/rollouts/{run}", RolloutDetail)
    members = {robot.robot for robot in rollout.robots}
    deployed = {stage.name for stage in rollout.stages if stage.state != "pending"}
    staged = {robot.robot for robot in rollout.robots if robot.stage in deployed}
    standing = {robot: version for robot, version in truth["versions"].items() if not members or robot in members}
    preflight = rollout.preflight if isinstance(rollout.preflight, dict) else {}
    told = happened(home, scenario=scenario, seed=seed)
    told["rollout"] = {
        "id": run,
        "state": rollout.rollout.state,
        "verdicts": rollout.verdicts,
        "counts": rollout.rollout.counts,
        "robots_on_target": sum(version == release for version in standing.values()),
        "robots_on_previous": sum(version == previous for version in standing.values()),
        "robots_unknown": rollout.rollout.counts.unknown,
        "robots_touched_outside_stages": sorted(set(truth["touched"]) - staged),
        "blocked_before_execution": preflight.get("blocked", []),
        "rollback_blocked": rollout.rollback.blocked if rollout.rollback else [],
    }
    return told


def happened(home: Home, *, scenario: str, seed: int, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is the same in every scenario's document. `rollout` is null unless the scenario is about one."""
    from engine.contract.records import RecordPage
    from engine.contract.runs import RunPage
    from engine.contract.system import EngineStatus, VerifyReport

    runs = wire.get(home, "/v1/runs?limit=1000", RunPage).rows
    report = wire.get(home, "/v1/history/verify", VerifyReport, timeout=120.0)
    gates = [
        wire.get(home, f"/v1/gates/{row.id}", GateDetail)
        for row in wire.get(home, "/v1/gates?state=all&limit=1000", GatePage).rows
    ]
    kinds = wire.get(home, "/v1/records", tuple[str, ...])
    states = {kind: wire.get(home, f"/v1/records/{kind}?limit=1", RecordPage).states for kind in kinds}
    return {
        "scenario": scenario,
        "seed": seed,
        "runs": [{"run": r.id, "workflow": r.workflow, "status": r.status, "ending": r.ending} for r in runs],
        "rollout": None,
        "gates": [
            {
                "id": gate.gate.id,
                "kind": gate.gate.kind,
                "state": gate.gate.state,
                "question": gate.gate.question,
                "votes": [{"person": v.person, "answer": v.answer, "via": v.via} for v in gate.votes],
            }
            for gate in gates
        ],
        "records": {kind: found for kind, found in states.items() if found},
        "facts": dict(facts or {}),
        "events": wire.get(home, "/v1/status", EngineStatus).head,
        "chain_ok": report.ok,
    }
