"""A bad release has been on seventeen robots of one site for a day. Three of them are offline, three have a bootloader
that refuses the old version. It is declared, contained, kept, weighed, taken off in waves, verified by the robots
themselves, watched, and followed up; what could not be reached stays under a rule or becomes a case.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from typing import Any

import msgspec

from app import wire
from app.client import headers
from app.scenarios import Scenario
from app.scenarios.stage import Stage
from app.world import truth
from engine.contract.client import Refused
from engine.contract.gates import GateDetail, GatePage
from engine.contract.incidents import FollowUpView, HoldView, IncidentDetail, IncidentView, StandingRuleView

OFFLINE = 3
OFFLINE_S = 20 * 3600.0
"""Simulated seconds the three stay away: longer than it takes to mend the others."""
PATIENCE_S = 90.0


def begin(stage: Stage) -> None:
    """The situation as somebody finds it who is called at three in the morning: declared, nobody commands it yet."""
    bad = sorted(name for name, version in truth(stage.world)["versions"].items() if version == stage.world.release)
    floored = set(truth(stage.world)["floors"])
    away = [name for name in bad if name not in floored][-OFFLINE:]
    _cut_off(stage, away, OFFLINE_S)
    stage.do(
        "cy",
        "incident.declare",
        "",
        {
            "title": f"{stage.world.release} raises interventions at HAM2",
            "reason": "people are called to robots that stand still in front of free aisles",
            "version": stage.world.release,
            "site": "HAM2",
            "sev": 2,
            "forward": "4.8.2",
            "robots": [name for name in bad if name not in away][:2],
        },
    )


def play(stage: Stage) -> Mapping[str, Any]:
    """What a careful team does with it."""
    incident = stage.until(lambda: next(iter(stage.records("incident", IncidentView)), None), "the incident").id
    stage.answer("ack", "ivo", rationale="I have it", limit_s=PATIENCE_S)
    seen = stage.until(lambda: _ready(stage, incident), "the options", PATIENCE_S)
    options = {row.kind: row for row in seen.incident.options}

    stage.do(
        "ivo",
        "incident.clock",
        incident,
        {"regime": "cra-early", "reason": "a fault in the field that may be exploited"},
    )
    stage.do("ivo", "incident.filed", incident, {"regime": "cra-early", "ref": "CSIRT 2026-1141"})
    stage.do("ivo", "incident.update", incident, {"text": "contained; going back to the release before"})
    stage.do("ivo", "incident.choose", incident, {"option": "rollback"})
    stage.answer("decide", "ivo", rationale="three are blocked and go another way", limit_s=PATIENCE_S)
    stage.answer("decide", "ana", rationale="the way back is known to work here", limit_s=PATIENCE_S)
    watched = stage.until(lambda: _past(stage, incident, ("monitoring", "resolved")), "the robots mended", PATIENCE_S)

    hold = stage.do(
        "bo", "hold.place", "", {"robot": options["rollback"].blocked[0][0], "reason": "its bootloader is examined", "incident": incident}
    ).target  # fmt: skip
    stage.do("sia", "hold.release", hold, {"reason": "examined"})
    stage.answer("release", "bo", rationale="examined", limit_s=PATIENCE_S)
    stage.answer("release", "ivo", rationale="examined", limit_s=PATIENCE_S)

    stage.until(lambda: _past(stage, incident, ("resolved",)), "resolved", PATIENCE_S)
    stage.answer(
        "review",
        "bo",
        form={"findings": "the canary had no robot of this site and variant"},
        rationale="reviewed",
        limit_s=PATIENCE_S,
    )
    for follow_up in stage.records("followup", FollowUpView, where={"incident": incident}):
        if follow_up.state == "open":
            stage.do("ivo", "followup.file", follow_up.id, {"ref": f"{follow_up.what} register", "note": "filed"})
    stage.until(lambda: _past(stage, incident, ("closed",)), "closed", PATIENCE_S)
    rule = _rule(stage, incident)
    closed = stage.record("incident", incident, IncidentView)
    holds = stage.records("hold", HoldView, where={"incident": incident})
    told = truth(stage.world)
    return {
        "incident": incident,
        "sev": closed.sev,
        "state": closed.state,
        "affected": len(seen.incident.affected),
        "unsure": [name for name, _ in seen.incident.unsure],
        "options": {kind: [len(row.covered), row.of, row.feasible] for kind, row in options.items()},
        "blocked": sorted(name for name, _ in options["rollback"].blocked),
        "disjoint": not set(options["rollback"].covered) & {name for name, _ in options["rollback"].blocked},
        "suspect": closed.suspects[0].change if closed.suspects and closed.suspects[0].blamed else "",
        "decided_by": list(closed.decision.by) if closed.decision else [],
        "waves": [[wave.option, wave.state, wave.done] for wave in closed.waves],
        "before": closed.before,
        "after": closed.after,
        "left": sorted(name for name, _ in closed.waves[-1].left) if closed.waves else [],
        "recovery": watched.recovery,
        "preserved": [closed.preserved, closed.to_preserve],
        "holds": {hold.id: hold.state for hold in holds},
        "clocks": [[clock.regime, bool(clock.filed_by), clock.by] for clock in closed.clocks],
        "follow_ups": [
            f"{one.what} {one.state}" for one in stage.records("followup", FollowUpView, where={"incident": incident})
        ],
        "rule": rule.state if rule else "",
        "rule_seen": [list(one) for one in rule.seen] if rule else [],
        "on_release": sorted(name for name, version in told["versions"].items() if version == stage.world.release),
        "touched": told["touched"],
        "timeline": [[line.who, line.what] for line in closed.timeline],
    }


def _ready(stage: Stage, incident: str) -> IncidentDetail | None:
    detail = wire.get(stage.home, f"/v1/incidents/{incident}", IncidentDetail, headers("ivo"))
    return detail if not detail.verbs.get("incident.choose") and detail.incident.options else None


def _past(stage: Stage, incident: str, states: tuple[str, ...]) -> IncidentView | None:
    """The incident once it stands in one of these; questions of its waves are answered on the way."""
    _answer_waves(stage)
    record = stage.record("incident", incident, IncidentView)
    return record if record.state in states else None


def _answer_waves(stage: Stage) -> None:
    """A wave that stayed inconclusive because robots stood still is gone on with, by two people who saw that."""
    for row in stage.get("/v1/gates", GatePage).rows:
        if row.path.rpartition(".")[2] not in ("judge", "install_decide", "verified_by_people", "monitor_by_people"):
            continue
        for person in ("ana", "bo", "ivo"):
            detail = wire.get(stage.home, f"/v1/gates/{row.id}", GateDetail, headers(person))
            args: dict[str, Any] = {
                "answer": "approve", "evidence_digest": detail.evidence_digest, "rationale": "time was missing, not data", "form": {},
            }  # fmt: skip
            if detail.phrase:
                args["phrase"] = detail.phrase
            try:
                stage.operator.command(person, "gate.vote", row.id, args)
            except Refused:  # no seat for them, or the question is gone
                continue


def _rule(stage: Stage, incident: str) -> StandingRuleView | None:
    """The standing rule once the robots it waits for were seen."""

    def look() -> StandingRuleView | None:
        found = stage.records("standing_rule", StandingRuleView, where={"incident": incident})
        return next((rule for rule in found if rule.state != "active"), None) if found else StandingRuleView()

    return stage.until(look, "the robots that were offline", PATIENCE_S)


def _cut_off(stage: Stage, robots: list[str], seconds: float) -> None:
    body = msgspec.json.encode({"token": stage.world.control_token, "offline": robots, "seconds": seconds})
    request = urllib.request.Request(stage.world.control_url, body, {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=10):
        pass


SCENARIO = Scenario(
    name="hotfix",
    title="A bad release is in the field: contained, kept, taken off in waves, verified, watched, followed up.",
    begin=begin,
    play=play,
    world="bad-release",
    robots=120,
    speed=3000.0,
    limit_s=240.0,
)
