"""The shipped workflows on an engine: every road an incident may take, and what it does to rollouts under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.incidents.ground import BAD, FORWARD, OLD
from tests.unit.incidents.site import Site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = await Site(tmp_path).open()
    yield made
    await made.host.close()


async def declared(site: Site, **args: Any) -> str:
    given = {"title": "people are called too often", "version": BAD, "sev": 2, **args}
    return str((await site.do("ivo", "incident.declare", **given))["id"])


async def test_broken_glass_acts_at_once_and_is_reviewed_by_somebody_else(site: Site) -> None:
    id_ = await declared(site)
    await site.until(lambda: site.waits(id_, "incident.breakglass"), "the options", step=1.0)
    await site.do("ivo", "incident.breakglass", id_, option="rollback", reason="it is about to hit a rack")
    await site.until(lambda: site.incident(id_).state == "monitoring", "the robots mended")
    one = site.incident(id_)
    assert one.decision is not None and one.decision.break_glass and not one.decision.gate
    assert {robot.version for robot in site.owners.fleet.values()} == {OLD}
    assert site.gate("signoff") is None, "a broken glass is not asked for a signature"
    review = await site.until(lambda: site.gate("review"), "the review of the glass")
    assert review.run != one.run
    with pytest.raises(AssertionError, match=r"excluded|seat|role"):
        await site.vote("review", "ivo")
    await site.vote("review", "bo", form={"finding": "ok", "text": "right"})
    await site.until(lambda: site.incident(id_).break_glass_review == "ok", "the finding", step=1.0)


async def test_silence_on_a_broken_glass_is_a_finding(site: Site) -> None:
    id_ = await declared(site)
    await site.until(lambda: site.waits(id_, "incident.breakglass"), "the options", step=1.0)
    await site.do("ivo", "incident.breakglass", id_, option="monitor", reason="nothing else is known")
    await site.until(lambda: site.incident(id_).break_glass_review == "overdue", "the finding", step=1800.0)
    assert [one.what for one in site.find("followup", incident=id_)].count("review_note") == 1


async def test_a_canary_that_regresses_makes_a_draft_a_false_alarm_gives_everything_back(site: Site) -> None:
    facts = {
        "rollout": "run-9",
        "stage": "canary",
        "signal": "health",
        "version": BAD,
        "incident": "",
        "reason": "2.7x control",
    }
    await site.publish("qd.canary.regression", "run-9", **facts)
    await site.until(lambda: site.gate("confirm"), "the draft")
    assert site.told_of("qd.incident.declared") == [], "a draft stops nobody before somebody looked"
    await site.vote("confirm", "ivo", answer="reject")
    one = await site.until(lambda: next(iter(site.find("incident")), None), "the incident", step=1.0)
    await site.until(lambda: site.incident(one.id).state == "false_alarm", "its end", step=1.0)


async def test_a_draft_nobody_looks_at_is_contained_and_keeps_asking(site: Site) -> None:
    """Silence is no false alarm, and no decision either."""
    await site.publish(
        "qd.artifact.revoked", "a", artifact="A-1", digest="sha256:x", version=BAD, reason="a key was lost"
    )
    one = await site.until(
        lambda: next((i for i in site.find("incident") if i.contained_at), None), "containment", step=5.0
    )
    assert one.sev == 2 and one.version == BAD and one.ic == ""
    gate = await site.until(lambda: site.gate("ack_manager"), "the third who is asked", step=30.0)
    assert gate.kind == "emergency_change"
    await site.until(lambda: site.gate("ack"), "the second round", step=30.0)
    await site.until(lambda: any(one.get("what") == "nobody took command" for one in site.told_of("qd.incident.updated")), "the word", step=30.0)  # fmt: skip
    assert all(robot.version == BAD for name, robot in site.owners.fleet.items() if name.startswith("HAM2")), (
        "nothing was changed"
    )


async def test_a_wave_that_fails_stops_and_the_options_are_weighed_anew(site: Site) -> None:
    site.owners.dangerous = {FORWARD}
    id_ = await declared(site, forward=FORWARD)
    await site.chosen(id_, "forward")
    await site.vote("decide", "ivo", "ana", "bo")
    await site.until(
        lambda: site.incident(id_).waves and site.incident(id_).waves[-1].state == "failed", "the wave to fail"
    )
    await site.until(lambda: site.waits(id_, "incident.chosen"), "the question what to do", step=1.0)
    one = site.incident(id_)
    assert one.state == "mitigating" and one.decision is None
    on_forward = [name for name, robot in site.owners.fleet.items() if robot.version == FORWARD]
    assert len(on_forward) == 1, "one robot first; it is not sent back to the version that is known to be bad"
    row = next(row for row in one.options if row.kind == "rollback")
    assert len(row.covered) == 5


async def test_a_rescope_takes_the_question_back(site: Site) -> None:
    id_ = await declared(site)
    await site.chosen(id_, "rollback")
    await site.until(lambda: site.gate("decide"), "the gate", step=1.0)
    await site.do("ivo", "incident.rescope", id_, selector="robot:HAM2-0|HAM2-1")
    await site.until(
        lambda: site.gate("decide") is None and len(site.incident(id_).affected) == 2, "the new scope", step=1.0
    )


async def test_a_decision_in_time_is_not_taken_by_silence(site: Site) -> None:
    id_ = await declared(site)
    await site.chosen(id_, "rollback")
    await site.until(lambda: site.gate("decide"), "the gate", step=1.0)
    await site.until(
        lambda: any(one.get("what") == "no decision in time" for one in site.told_of("qd.incident.updated")), "the word"
    )
    assert site.incident(id_).waves == () and {
        r.version for n, r in site.owners.fleet.items() if n.startswith("HAM2")
    } == {BAD}


async def test_the_manager_takes_the_seat_of_a_commander_who_does_not_answer(site: Site) -> None:
    """Nobody on call answered: who took command in their place also signs in their place, and never alone."""
    id_ = str((await site.do("cy", "incident.declare", title="people are called too often", version=BAD, sev=2))["id"])
    await site.vote("ack_manager", "dana")
    assert (await site.until(lambda: site.incident(id_).ic, "command", step=1.0)) == "dana"
    await site.until(lambda: site.waits(id_, "incident.chosen"), "the question what to do", step=1.0)
    await site.do("dana", "incident.choose", id_, option="rollback")
    await site.vote("decide", "ana")
    with pytest.raises(AssertionError, match="role"):
        await site.vote("decide", "dana")
    gate = await site.until(lambda: site.gate("decide"), "the gate", step=1.0)
    await site.until(lambda: site.queries.gate_detail(gate.id).gate.escalated, "the escalation")
    await site.vote("decide", "dana")
    await site.until(lambda: site.incident(id_).decision.gate, "the decision", step=1.0)
    decision = site.incident(id_).decision
    assert set(decision.by) == {"ana", "dana"} and not decision.break_glass


async def rolling(site: Site, version: str = FORWARD) -> str:
    """A rollout of `version` to HAM5 that is installing or being watched."""
    run = await site.start("staged-rollout", version=version, selector="site:HAM5")
    await site.vote("signoff", "ana", "bo")
    await site.until(lambda: any(call[0] == "assign" for call in site.owners.calls), "the first install", step=10.0)
    return run


async def test_an_incident_pauses_its_rollouts_and_resuming_is_refused_until_it_is_over(site: Site) -> None:
    run = await rolling(site)
    id_ = await declared(site, version=FORWARD)
    paused = await site.until(lambda: site.told_of("qd.rollout.paused"), "the pause", step=5.0)
    assert paused[-1]["by"] == f"incident {id_}"
    told = len(site.owners.calls)
    await site.tell(run, "rollout.resume")
    await site.until(lambda: any(one.get("by") == "policy" and id_ in one.get("reason", "") for one in site.told_of("qd.rollout.paused")), "the refusal", step=5.0)  # fmt: skip
    assert not [call for call in site.owners.calls[told:] if call[0] == "assign"]
    await site.until(lambda: site.waits(id_, "incident.false-alarm"), "the options", step=1.0)
    await site.do("ivo", "incident.false-alarm", id_, reason="a test drive")
    await site.until(lambda: site.incident(id_).state == "false_alarm", "its end", step=1.0)
    await site.until(lambda: (site.host.book.reads.reading.all("select 1 from waits where run = ? and event = 'rollout.resume'", (run,))), "the pause", step=1.0)  # fmt: skip
    await site.tell(run, "rollout.resume")
    await site.until(lambda: site.told_of("qd.rollout.resumed"), "the resume", step=5.0)


async def test_a_revoked_release_is_not_signed_off_and_not_frozen(site: Site) -> None:
    run = await site.start("staged-rollout", version=FORWARD, selector="site:HAM5")
    await site.until(lambda: site.gate("signoff"), "the sign-off", step=1.0)
    await site.publish(
        "qd.artifact.revoked", "A-1", artifact="A-1", digest="sha256:x", version=FORWARD, reason="a key was lost"
    )
    await site.until(lambda: site.run(run).run.status == "failed", "its end", step=1.0)
    again = await site.start("staged-rollout", version=FORWARD, selector="site:HAM5")
    await site.until(lambda: site.run(again).run.status == "failed", "the refusal", step=1.0)
    assert site.owners.calls == [] or all(call[0] != "assign" for call in site.owners.calls)


async def test_an_eligible_artifact_makes_a_draft_that_installs_nothing(site: Site) -> None:
    await site.publish(
        "qd.artifact.eligible", "A-7", artifact="A-7", digest="sha256:7", version=FORWARD, line="pick", targets=[]
    )
    await site.until(lambda: site.gate("draft"), "the draft", step=1.0)
    await site.publish(
        "qd.artifact.eligible", "A-7", artifact="A-7", digest="sha256:7", version=FORWARD, line="pick", targets=[]
    )
    await asyncio.sleep(0.2)
    assert len([row for row in site.queries.run_page(limit=20).rows if row.workflow == "staged-rollout"]) == 1, (
        "once per digest"
    )
    await site.vote("draft", "ana", form={"selector": "site:HAM5"})
    await site.until(lambda: site.gate("signoff"), "the sign-off", step=1.0)
    assert "6 robots (site:HAM5)" in site.gate("signoff").question
    assert site.owners.calls == []


async def test_a_robot_on_hold_is_left_out_of_a_freeze_and_told_off_while_it_installs(site: Site) -> None:
    await site.do("cy", "hold.place", robot="HAM5-0", reason="examined")
    run = await site.start("staged-rollout", version=FORWARD, selector="site:HAM5")
    await site.until(lambda: site.gate("signoff"), "the sign-off", step=1.0)
    frozen = site.run(run)
    assert frozen and "5 robots" in site.gate("signoff").question


async def test_a_clock_nobody_answers_is_recorded_as_overdue(site: Site) -> None:
    id_ = await declared(site, sev=3)
    await site.do("ivo", "incident.clock", id_, regime="osha-death", reason="a person was hurt")
    await site.until(lambda: site.gate("ask"), "the question", step=600.0)
    await site.until(lambda: site.gate("overdue"), "the director", step=600.0)
    await site.until(lambda: site.incident(id_).clocks[0].overdue, "the record", step=1800.0)


async def test_in_an_emergency_a_soak_is_skipped_by_two_people_only(site: Site) -> None:
    id_ = await declared(site)
    await site.chosen(id_, "rollback")
    await site.vote("decide", "ivo", "ana")

    def watched() -> str:
        rows = site.host.book.reads.reading.all("select run from waits where event = 'rollout.promote'")
        return str(rows[0][0]) if rows else ""

    run = await site.until(watched, "the first wave to be watched", step=10.0)
    await site.tell(run, "rollout.promote", by="ivo")
    gate = await site.until(lambda: site.gate("skip_soak"), "the question", step=0.1)
    assert gate.seats_total == 2
    await site.vote("skip_soak", "ivo", "bo")
    await site.until(lambda: site.incident(id_).state == "monitoring", "the robots mended")


async def test_a_word_nobody_gave_is_said_to_be_due_and_only_once(site: Site) -> None:
    def overdue() -> list[str]:
        return [one["what"] for one in site.told_of("qd.incident.updated") if one.get("overdue")]

    id_ = await declared(site)
    await site.until(lambda: site.waits(id_, "incident.chosen"), "the question what to do", step=1.0)
    await site.do("ivo", "incident.update", id_, text="contained, six robots out of dispatch")
    due = site.incident(id_).update_due
    await site.until(overdue, "the word that one is due", step=60.0)
    assert due <= site.clock.now() < due + 300.0
    assert len(overdue()) == 1 and any(line.what == overdue()[0] for line in site.incident(id_).timeline)
    await site.do("ivo", "incident.update", id_, text="options are known")
    assert site.incident(id_).update_due > site.clock.now()
    await site.until(lambda: len(overdue()) == 2, "the next one that nobody gave", step=60.0)
    await site.do("ivo", "incident.false-alarm", id_, reason="a test drive")
    rows = lambda: [r for r in site.queries.run_page(limit=20).rows if r.workflow == "incident-updates"]  # noqa: E731
    await site.until(lambda: rows()[0].status == "completed", "the end", step=1.0)
    assert len(overdue()) == 2 and len(rows()) == 1
