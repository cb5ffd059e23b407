"""Cases through the real book: what is refused, what is folded, what keeps a robot out and what brings it back."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from engine.capabilities.desk import Refusal
from engine.capabilities.ports import ActionError
from engine.capabilities.records import RecordError
from tests.unit.cases.ground import HOUR, MINUTE, Ground


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    made = await Ground.open(tmp_path)
    yield made
    await made.keeper.settle()
    await made.host.close()


async def test_the_same_fault_is_one_case_and_another_is_another(ground: Ground) -> None:
    first = await ground.do("cy", "case.open", robot="HAM2-01", symptom="left drive overcurrent")
    again = await ground.do("olga", "case.open", robot="HAM2-01", symptom="overcurrent at the left drive")
    assert again["id"] == first["id"] and again["outcome"] == "joined"
    assert ground.case(first["id"]).reports == 2 and len(ground.started) == 1
    other = await ground.do("cy", "case.open", robot="HAM2-01", symptom="drops boxes")
    elsewhere = await ground.do("cy", "case.open", robot="HAM2-02", symptom="left drive overcurrent")
    assert len({first["id"], other["id"], elsewhere["id"]}) == 3
    ground.clock.advance(31 * MINUTE)
    assert not ground.told("qd.case.repeated")
    later = await ground.do("cy", "case.open", robot="HAM2-01", symptom="left drive overcurrent")
    assert later["id"] == first["id"] and ground.told("qd.case.repeated")[0]["reports"] == 3


async def test_what_filing_would_do_is_said_before(ground: Ground) -> None:
    told = await ground.foresee("cy", "case.open", robot="HAM2-01", symptom="overcurrent", impact=1, urgency=1)
    assert told.sentences[0] == "P1: 15 min to acknowledge, 4 h to restore" and "leaves dispatch" in told.sentences[1]
    filed = await ground.do("cy", "case.open", robot="HAM2-01", symptom="overcurrent")
    told = await ground.foresee("cy", "case.open", robot="HAM2-01", symptom="overcurrent")
    assert filed["id"] in told.sentences[0] and "no new case" in told.sentences[0]


async def test_a_robot_that_is_not_there_is_refused_with_those_that_are_near(ground: Ground) -> None:
    with pytest.raises(Refusal) as refused:
        await ground.do("cy", "case.open", robot="HAM2-0l", symptom="hums")
    assert refused.value.code == "no_robot" and "HAM2-0" in refused.value.fix and refused.value.field == "robot"


async def test_a_fleet_that_does_not_answer_keeps_nobody_from_filing(ground: Ground) -> None:
    ground.world.lost = True
    id = await ground.queued()
    case = ground.case(id)
    assert case.state == "queued" and set(case.partial) >= {"robot", "software", "same_build"}
    assert case.hypothesis == "unknown" and case.bundle.startswith("sha256:")


async def test_an_owner_that_hangs_costs_its_own_part_of_the_bundle_and_no_more_than_the_time(ground: Ground) -> None:
    """No answer at all is worse than a refusal: the case still gets what the others know, and says what it has not."""

    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    ground.policy = {**ground.policy, "enrich": 0.2}
    ground.world.reports = never  # type: ignore[method-assign]
    ground.world.range = never  # type: ignore[method-assign]
    begun = time.monotonic()
    id = await ground.queued()
    assert time.monotonic() - begun < 5.0
    case = ground.case(id)
    assert case.state == "queued" and set(case.partial) == {"software", "signals"}
    _, vault = ground.keeper.for_asker(ground.host_actor, "look")
    bundle = msgspec.json.decode(vault.read(case.bundle, limit=1 << 20))
    assert bundle["missing"] == ["signals", "software"] and bundle["same_build"]["robots"] == 19
    assert "not answered in time" in bundle["software"]["missing"]


async def test_the_bundle_is_kept_under_its_digest_and_never_changes(ground: Ground) -> None:
    id = await ground.queued()
    case = ground.case(id)
    _, vault = ground.keeper.for_asker(ground.host_actor, "look")
    bundle = msgspec.json.decode(vault.read(case.bundle, limit=1 << 20))
    assert bundle["same_build"]["robots"] == 19 and bundle["software"]["reported"] == "4.8.1" and not bundle["missing"]
    assert vault.verify(case.bundle)
    again = await ground.act("case.enrich", run="run-other", case=id)
    assert again["bundle"] == case.bundle
    with pytest.raises(RecordError, match="no longer changes"):
        await ground.book("ana").change("case", id, set={"bundle": "sha256:" + "0" * 64})


async def test_a_bad_release_is_seen_before_a_broken_robot(ground: Ground) -> None:
    for n in range(1, 12):
        await ground.queued(f"HAM2-{n:02d}")
    last = await ground.queued("HAM2-15")
    case = ground.case(last)
    assert case.hypothesis == "release"
    assert any("11 other robots on this build report the same" in one for one in case.grounds)


async def test_the_robot_leaves_at_once_and_the_case_ends_by_no_other_door(ground: Ground) -> None:
    id = await ground.queued()
    robot = ground.robot("HAM2-01")
    assert robot.state == "out_of_service" and not robot.dispatchable and robot.holds == (id,)
    with pytest.raises(RecordError, match="out of service, so it ends by the gate"):
        await ground.do("tom", "case.cancel", id, reason="nothing there")
    await ground.resolved(id)
    await ground.act("case.verify", case=id)
    with pytest.raises(RecordError, match="time closes nothing"):
        await ground.book("engine").change("case", id, to="closed")
    with pytest.raises(RecordError, match="by the gate return_to_service"):
        await ground.book("engine").change("robot", "HAM2-01", to="in_service")


async def test_a_resolution_needs_its_codes_and_unknown_is_one_of_them(ground: Ground) -> None:
    id = await ground.queued()
    await ground.do("tom", "case.claim", id)
    with pytest.raises(Refusal) as refused:
        await ground.do(
            "tom", "case.resolve", id, resolution="done", mode="overcurrent", mechanism="wear", item="battery"
        )
    assert refused.value.code == "not_coded" and "cause" in refused.value.reason
    with pytest.raises(Refusal) as refused:
        await ground.do("tom", "case.code", id, cause="bad luck")
    assert refused.value.code == "bad_code" and refused.value.field == "cause"
    await ground.resolved(id, cause="unknown")
    assert ground.case(id).state == "resolved" and ground.case(id).cause == "unknown"


async def test_the_technician_does_not_verify_a_p2_and_somebody_else_does(ground: Ground) -> None:
    id = await ground.queued(impact=2, urgency=1)
    await ground.resolved(id)
    verify = await ground.act("case.verify", case=id)
    assert verify["four_eyes"] and verify["technicians"] == ["tom"] and verify["serial_tail"] == "0001"[-4:]
    form = {"serial_tail": "0001"}
    with pytest.raises(ActionError, match="somebody else verifies"):
        await ground.act("case.give_back", case=id, gate="run-1/g", by=["tom"], form=form, clean=True)
    assert ground.case(id).state == "verifying" and not ground.robot("HAM2-01").dispatchable
    back = await ground.act("case.give_back", case=id, gate="run-1/g", by=["tess"], form=form, clean=True)
    assert back["dispatchable"] and ground.case(id).state == "closed" and ground.robot("HAM2-01").state == "in_service"
    assert ground.told("qd.robot.returned")[-1]["robot"] == "HAM2-01"
    again = await ground.act("case.give_back", run="run-2", case=id, gate="run-1/g", by=["tess"], form=form, clean=True)
    assert again["dispatchable"]


async def test_a_p4_may_be_verified_by_who_repaired_it_but_not_in_spite_of_missing_exposure(ground: Ground) -> None:
    id = await ground.queued(impact=3, urgency=2)
    await ground.resolved(id)
    verify = await ground.act("case.verify", case=id)
    assert not verify["four_eyes"] and verify["technicians"] == []
    form = {"serial_tail": "0001"}
    with pytest.raises(ActionError, match="not verified"):
        await ground.act("case.give_back", case=id, gate="g", by=["tom"], form=form, clean=False)
    await ground.act("case.give_back", case=id, gate="g", by=["tess", "bo"], form=form, clean=False)
    assert ground.case(id).state == "closed"


@pytest.mark.parametrize("typed", ["", "0002", "HAM2", "1"])
async def test_the_wrong_plate_returns_nobody(ground: Ground, typed: str) -> None:
    id = await ground.queued()
    await ground.resolved(id)
    await ground.act("case.verify", case=id)
    with pytest.raises(ActionError) as refused:
        await ground.act("case.give_back", case=id, gate="g", by=["tess"], form={"serial_tail": typed}, clean=True)
    assert refused.value.error == "OtherRobot" and ground.case(id).state == "verifying"


async def test_a_swapped_serial_stays_out_until_it_is_recorded(ground: Ground) -> None:
    """A changed board and another robot look the same from here: a person says which it is."""
    id = await ground.queued()
    await ground.resolved(id)
    await ground.act("case.verify", case=id)
    ground.world.fleet["HAM2-01"] = replace(ground.world.fleet["HAM2-01"], serial="SN-9999")
    give: dict[str, Any] = {"case": id, "gate": "g", "by": ["tess"], "clean": True}
    with pytest.raises(ActionError, match="reports serial SN-9999, its record has SN-0001"):
        await ground.act("case.give_back", **give, form={"serial_tail": "9999"})
    with pytest.raises(Refusal, match="is the serial of HAM2-02"):
        await ground.queued("HAM2-02")
        await ground.do("tess", "robot.reidentify", "HAM2-01", serial="SN-0002", reason="board changed")
    told = await ground.foresee("tess", "robot.reidentify", "HAM2-01", serial="SN-9999", reason="board changed")
    assert told.phrase == "reidentify HAM2-01 9999"
    await ground.do("tess", "robot.reidentify", "HAM2-01", serial="SN-9999", reason="board changed")
    robot = ground.robot("HAM2-01")
    assert robot.serial == "SN-9999" and robot.serial_history[0].serial == "SN-0001"
    back = await ground.act("case.give_back", **give, form={"serial_tail": "9999"})
    assert back["dispatchable"]


async def test_a_robot_that_reports_another_serial_is_said_when_a_case_is_opened(ground: Ground) -> None:
    await ground.queued()
    ground.world.fleet["HAM2-01"] = replace(ground.world.fleet["HAM2-01"], serial="SN-7777")
    id = await ground.queued(symptom="drops boxes")
    assert any("SN-7777" in one and "SN-0001" in one for one in ground.case(id).warnings)


async def test_software_that_changed_while_it_was_out_is_said_at_the_gate(ground: Ground) -> None:
    id = await ground.queued()
    ground.world.fleet["HAM2-01"] = replace(ground.world.fleet["HAM2-01"], version="4.7.9")
    await ground.resolved(id)
    await ground.act("case.verify", case=id)
    found = await ground.act("case.evidence", case=id)
    assert any("4.8.1 -> 4.7.9" in one["warning"] for one in found["warnings"])
    assert any("not ticked" in one["warning"] for one in found["warnings"])


async def test_exposure_is_measured_and_what_can_not_be_read_is_never_enough(ground: Ground) -> None:
    id = await ground.queued()
    await ground.resolved(id)
    await ground.act("case.verify", case=id)
    ground.clock.advance(4 * HOUR)
    half = await ground.act("case.exposure", case=id)
    assert half["known"] and half["hours"] == pytest.approx(4, abs=0.01) and half["events"] == 0
    ground.clock.advance(5 * HOUR)
    whole = await ground.act("case.exposure", case=id)
    assert whole["enough"] and whole["upper"] == pytest.approx(3.0 / 9, rel=0.01)
    assert "at most 33/100 h at 95 %" in whole["said"]
    ground.world.blind = True
    blind = await ground.act("case.exposure", case=id)
    assert not blind["known"] and not blind["enough"]


async def test_a_fault_that_comes_back_while_it_is_verified_reopens_its_case(ground: Ground) -> None:
    id = await ground.queued()
    await ground.resolved(id)
    await ground.act("case.verify", case=id)
    ground.clock.advance(5 * HOUR)
    again = await ground.do("cy", "case.open", robot="HAM2-01", symptom="overcurrent again")
    assert again["id"] == id and again["outcome"] == "reopened"
    case = ground.case(id)
    assert (
        case.state == "reopened"
        and case.reopened == 1
        and case.resolved_at == 0
        and case.clock_started_at == ground.clock.now()
    )
    assert ground.told("qd.case.reopened") and not ground.robot("HAM2-01").dispatchable
    seen = await ground.act("case.exposure", case=id)
    assert seen["events"] >= 1
    look = await ground.act("case.clock", case=id)
    assert look["phase"] == "waiting"


async def test_clocks_are_told_once_each_and_the_breach_asks(ground: Ground) -> None:
    id = await ground.queued(impact=1, urgency=1)
    ground.clock.advance(8 * MINUTE)
    first = await ground.act("case.clock", case=id)
    assert first["told"] == ["ack 50% to L1"] and first["phase"] == "waiting"
    assert (await ground.act("case.clock", case=id))["told"] == []
    await ground.do("tom", "case.start", id)
    ground.clock.advance(4 * HOUR)
    late = await ground.act("case.clock", case=id)
    assert late["phase"] == "breached" and "restore 100% to vendor" in late["told"]
    assert (await ground.act("case.clock", case=id))["phase"] == "waiting"
    levels = [one["level"] for one in ground.told("qd.case.escalated")]
    assert levels == ["L1", "L1", "L2", "vendor"] and all(one["bundle"] for one in ground.told("qd.case.escalated"))
    await ground.act("case.hand_on", case=id, level="vendor", by=["tess"])
    assert ground.case(id).level == "vendor" and "tess" in ground.case(id).escalations[-1].reason


async def test_a_hold_needs_a_reason_and_what_ends_it_and_stops_only_so_often(ground: Ground) -> None:
    id = await ground.queued(impact=2, urgency=1)
    await ground.do("tom", "case.start", id)
    with pytest.raises(Refusal) as refused:
        await ground.do("tom", "case.hold", id, reason="lunch", ref="canteen")
    assert refused.value.code == "bad_reason"
    for n in range(5):
        told = await ground.foresee("tom", "case.hold", id, reason="parts", ref=f"order {n}")
        await ground.do("tom", "case.hold", id, reason="parts", ref=f"order {n}")
        ground.clock.advance(HOUR)
        before = await ground.act("case.clock", case=id)
        await ground.do("tom", "case.resume", id)
    assert "run on" in told.sentences[0]
    used = {one["name"]: one["used_s"] for one in before["clocks"]}
    assert used["restore"] == pytest.approx(HOUR, abs=1)  # four of five hours stood still
    assert [one["stops"] for one in ground.told("qd.case.onhold")] == [True, True, True, True, False]


async def test_merging_hands_the_hold_over(ground: Ground) -> None:
    one = await ground.queued()
    two = await ground.queued(symptom="noise at the left wheel")
    other = await ground.queued("HAM2-05")
    with pytest.raises(Refusal, match="is about HAM2-05"):
        await ground.do("tom", "case.merge", two, into=other)
    await ground.do("tom", "case.merge", two, into=one)
    assert ground.case(two).state == "duplicate" and ground.case(two).merged_into == one
    assert ground.robot("HAM2-01").holds == (one,) and ground.case(one).reports == 2
    look = await ground.act("case.clock", case=two)
    assert look["phase"] == "over"


async def test_two_cases_on_one_robot_both_keep_it_out(ground: Ground) -> None:
    one = await ground.queued()
    two = await ground.queued(symptom="drops boxes")
    await ground.resolved(one)
    await ground.act("case.verify", case=one)
    back = await ground.act("case.give_back", case=one, gate="g", by=["tess"], form={"serial_tail": "0001"}, clean=True)
    assert back["left"] == [two] and not back["dispatchable"]
    assert ground.robot("HAM2-01").state == "out_of_service"


async def test_a_flood_of_one_detector_is_one_page(ground: Ground) -> None:
    ids = []
    for n in range(23):
        told = await ground.act(
            "case.open",
            run=f"run-{n}",
            robot=f"{'HAM2' if n < 20 else 'MUC1'}-{n:02d}",
            symptom="odd sound",
            detector="vda:noise",
        )
        ids.append((told["case"], told["outcome"]))
    assert [outcome for _, outcome in ids].count("suppressed") == 3
    parent = ids[0][0]
    assert ground.case(parent).reports == 4 and ground.case(ids[-1][0]).merged_into == parent


async def test_eleven_failed_updates_are_one_problem_and_eleven_robots_held(ground: Ground) -> None:
    names = [f"HAM2-{n:02d}" for n in range(1, 20, 2)] + ["MUC1-21"]
    event = {
        "event": "qd.robot.update.failed",
        "id": "e-1",
        "data": {"version": "5.0", "robots": [[one, "no space"] for one in names]},
    }
    told = await ground.act("case.intake", event=event)
    assert (
        len(told["reports"]) == 11
        and told["fresh"]
        and {one["problem"] for one in told["reports"]} == {told["problem"]}
    )
    assert all(ground.robot(one).holds == (told["problem"],) for one in names)
    again = await ground.act("case.intake", run="run-2", event=event)
    assert again["problem"] == told["problem"] and not again["fresh"]
    with pytest.raises(RecordError, match="workaround"):
        await ground.book("tess").change("problem", told["problem"], to="known_error")
    one = await ground.act("case.open", run="run-3", **told["reports"][0])
    with pytest.raises(RecordError, match=one["case"]):
        await ground.do("tess", "problem.close", told["problem"], reason="fixed")


async def test_a_robot_of_a_problem_returns_with_its_own_case(ground: Ground) -> None:
    names = [f"HAM2-{n:02d}" for n in (1, 3, 5)]
    event = {"event": "qd.robot.update.failed", "data": {"version": "5.0", "robots": names}}
    told = await ground.act("case.intake", event=event)
    one = await ground.act("case.open", run="run-3", **told["reports"][0])
    for action in ("case.enrich", "case.triage", "case.route"):
        await ground.act(action, run="run-3", case=one["case"])
    await ground.resolved(one["case"], mode="update_failed", item="software")
    await ground.act("case.verify", case=one["case"])
    back = await ground.act(
        "case.give_back", case=one["case"], gate="g", by=["tess"], form={"serial_tail": "0001"}, clean=True
    )
    assert back["dispatchable"] and not ground.robot("HAM2-03").dispatchable


async def test_the_second_time_is_a_problem_that_is_told(ground: Ground) -> None:
    first = await ground.queued()
    await ground.resolved(first)
    none = await ground.act("case.recurrence", run="r1", case=first)
    assert none == {"problem": "", "fresh": False, "rule": ""}
    ground.clock.advance(24 * HOUR)
    second = await ground.queued(symptom="drops boxes")
    await ground.resolved(second)
    found = await ground.act("case.recurrence", run="r2", case=second)
    assert found["fresh"] and "2 times on HAM2-01" in found["rule"] and ground.case(second).problem == found["problem"]


async def test_a_ticket_closes_nothing_here_and_one_opened_again_is_a_new_case(ground: Ground) -> None:
    id = await ground.queued(external_ref="WO-77")
    done = {"event": "qd.ticket.changed", "data": {"external_ref": "WO-77", "status": "closed"}}
    told = await ground.act("case.intake", event=done)
    assert not told["reports"] and ground.case(id).state == "queued"
    assert any("the robot stays out" in one for one in ground.case(id).warnings)
    await ground.resolved(id)
    await ground.act("case.verify", case=id)
    await ground.act("case.give_back", case=id, gate="g", by=["tess"], form={"serial_tail": "0001"}, clean=True)
    again = {"event": "qd.ticket.changed", "data": {"external_ref": "WO-77", "status": "reopened"}}
    told = await ground.act("case.intake", run="run-9", event=again)
    (report,) = told["reports"]
    assert report["robot"] == "HAM2-01" and id in report["symptom"] and report["external_ref"] == "WO-77"


async def test_a_run_that_ends_badly_leaves_a_case_that_says_so_and_a_robot_that_stays_out(ground: Ground) -> None:
    id = await ground.queued()
    await ground.act("case.stranded", case=id, reason="cancelled by dana")
    assert any("nothing watches this case" in one for one in ground.case(id).warnings)
    assert not ground.robot("HAM2-01").dispatchable
    assert (await ground.act("case.stranded", case="", reason="x"))["case"] == ""
    runs = len(ground.started)
    told = await ground.do("tess", "case.watch", id)
    assert told["run"] == f"run-{runs + 1}" and ground.started[-1] == (
        "maintenance-escalation",
        {"case": id, "robot": "HAM2-01"},
    )
    assert not ground.case(id).warnings and ground.case(id).run == told["run"]
    with pytest.raises(Refusal, match="was not left alone"):
        await ground.do("tess", "case.watch", id)


async def test_only_safety_says_that_a_case_is_not_about_safety(ground: Ground) -> None:
    id = await ground.queued(safety_related=True)
    args: dict[str, Any] = {"impact": 3, "urgency": 3, "safety_related": False, "reason": "it is not"}
    with pytest.raises(Refusal) as refused:
        await ground.do("tom", "case.weigh", id, **args)
    assert refused.value.code == "safety"
    await ground.do("bo", "case.weigh", id, roles=("safety-officer",), **args)
    assert ground.case(id).priority == 5 and not ground.case(id).safety_related


async def test_a_robot_with_an_open_case_or_a_lease_is_not_retired(ground: Ground) -> None:
    id = await ground.queued()
    with pytest.raises(RecordError, match=id):
        await ground.do("tess", "robot.retire", "HAM2-01", reason="old")
    await ground.queued("HAM2-02")
    await ground.book("olga").change("robot", "HAM2-02", set={"lease": "L-1"})
    with pytest.raises(RecordError, match="L-1"):
        await ground.do("tess", "robot.retire", "HAM2-02", reason="old")


async def test_every_change_has_its_actor(ground: Ground) -> None:
    id = await ground.queued()
    await ground.do("tom", "case.claim", id)
    history = ground.host.book.reads.history("case", id)
    assert history[0].actor.id == "cy" and history[-1].actor.id == "tom" and history[-1].to == "assigned"
    assert all(event.actor.id for event in history)


async def test_escalation_by_hand_goes_one_level_up_with_the_bundle(ground: Ground) -> None:
    id = await ground.queued()
    await ground.do("tom", "case.escalate", id, reason="no jig here")
    assert ground.case(id).level == "L2" and ground.told("qd.case.escalated")[-1]["bundle"] == ground.case(id).bundle
    assert ground.case(id).state == "queued"


async def test_what_is_attached_is_kept_under_its_digest(ground: Ground) -> None:
    id = await ground.queued()
    photo = base64.b64encode(b"\x89PNG photo of J7").decode()
    first = await ground.do("tom", "case.attach", id, name="J7.png", content=photo, media="image/png")
    again = await ground.do("tom", "case.attach", id, name="J7 again.png", content=photo, media="image/png")
    assert first["digest"] == again["digest"] and len(ground.case(id).attachments) == 1
    _, vault = ground.keeper.for_asker(ground.host_actor, "look")
    assert vault.read(first["digest"]) == b"\x89PNG photo of J7" and vault.verify(first["digest"])
    with pytest.raises(Refusal) as refused:
        await ground.do("tom", "case.attach", id, name="x", content="not base64!")
    assert refused.value.code == "bad_content"


async def test_people_open_a_problem_before_the_rules_do(ground: Ground) -> None:
    id, other = await ground.queued(), await ground.queued("HAM2-03")
    with pytest.raises(Refusal, match="no problem PRB-9"):
        await ground.do("tom", "case.link", id, problem="PRB-9")
    await ground.do("tom", "case.link", id, problem="new")
    problem = ground.case(id).problem
    await ground.do("tom", "case.link", other, problem=problem)
    found: Any = ground.host.book.reads.get("problem", problem)
    assert found.cases == (id, other) and found.robots == ("HAM2-01", "HAM2-03") and ground.told("qd.problem.opened")
