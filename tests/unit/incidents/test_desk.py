"""What people may and may not do on an incident beside its gates."""

from __future__ import annotations

import pytest

from engine.capabilities import subjects
from engine.capabilities.desk import Refusal
from engine.capabilities.incidents import closing, declaring
from engine.capabilities.incidents import desk as verbs
from engine.capabilities.records import RecordError
from tests.unit.incidents.ground import BAD, START, Ground
from tests.unit.incidents.test_actions import decided, weighed


async def test_declaring_makes_the_record_and_its_run_and_a_commander_who_declares_commands(ground: Ground) -> None:
    made = await ground.do("ivo", "incident.declare", title="robots stand still", version=BAD, robots=["HAM2-0"])
    one = ground.incident(made["id"])
    assert (one.ic, one.run, one.state, one.involved) == ("ivo", made["run"], "detected", ("HAM2-0",))
    assert ground.started == [
        ("fleet-hotfix", {"incident": one.id, "title": one.title, "version": BAD, "sev": 0.0, "site": ""})
    ]
    made = await ground.do("cy", "incident.declare", title="another one")
    assert ground.incident(made["id"]).ic == "", "an operator declares, a commander commands"


async def test_there_is_one_commander_and_a_handover_names_both(ground: Ground) -> None:
    id_ = await ground.declared(ic="")
    await ground.do("ivo", "incident.take", id_)
    with pytest.raises(Refusal, match="you command"):
        await ground.do("ivo", "incident.take", id_)
    await ground.do("dana", "incident.take", id_)
    one = ground.incident(id_)
    assert one.ic == "dana" and any(line.who == "dana" and "from ivo" in line.what for line in one.timeline)


async def test_who_may_not_command_contains_and_calls_somebody_who_may(ground: Ground) -> None:
    id_ = await weighed(ground, ic="")
    with pytest.raises(Refusal) as refused:
        await ground.do("cy", "incident.take", id_)
    assert refused.value.code == "not_commander" and "duty-director" in refused.value.fix
    assert ground.incident(id_).ic == "" and ground.signals == []
    await ground.do("cy", "incident.contain", id_)
    assert ground.incident(id_).drained


async def test_two_who_take_command_at_once_are_not_both_told_that_they_have_it(ground: Ground) -> None:
    id_ = await ground.declared(ic="")
    stale = ground.incident(id_)
    await ground.do("ivo", "incident.take", id_)
    with pytest.raises(RecordError) as late:
        await verbs.take(ground.at("dana"), stale, verbs.Reason())
    assert late.value.error == "Conflict" and ground.incident(id_).ic == "ivo"


async def test_only_the_commander_chooses_only_what_is_feasible_only_when_it_is_asked(ground: Ground) -> None:
    id_ = await weighed(ground)
    with pytest.raises(Refusal, match="ivo commands"):
        await ground.do("bo", "incident.choose", id_, option="rollback")
    with pytest.raises(Refusal, match="no fixed release"):
        await ground.do("ivo", "incident.choose", id_, option="hotfix")
    ground.deaf = {"incident.chosen"}
    with pytest.raises(Refusal, match="can't take that now"):
        await ground.do("ivo", "incident.choose", id_, option="rollback")
    ground.deaf = set()
    await ground.do("ivo", "incident.choose", id_, option="rollback")
    assert ground.signals[-1] == ("run-1", "incident.chosen", {"option": "rollback"})


async def test_breaking_the_glass_shows_what_it_touches_wants_its_phrase_and_is_reviewed(ground: Ground) -> None:
    id_ = await weighed(ground)
    verb = subjects.verbs()["incident.breakglass"]
    args = verbs.Glass(option="rollback", reason="a robot is about to hit a rack")
    assert verb.risk and verb.foresee is not None
    foreseen = await verb.foresee(ground.at("cy"), ground.incident(id_), args)
    assert foreseen.phrase == "break rollback 6 HAM2" and "reviews" in foreseen.sentences[-1]
    await ground.do("cy", "incident.breakglass", id_, option="rollback", reason=args.reason)
    await closing.broke(ground.context(), {"incident": id_, "by": "cy", "reason": args.reason})
    assert (ground.incident(id_).break_glass_by, ground.incident(id_).break_glass_review) == ("cy", "open")
    await closing.glass_reviewed(ground.context(), {"incident": id_})
    late = ground.find("followup", incident=id_)
    assert ground.incident(id_).break_glass_review == "overdue" and [one.what for one in late] == ["review_note"]


async def test_a_clock_starts_by_a_persons_word_counts_from_awareness_and_only_once(ground: Ground) -> None:
    id_ = await ground.declared()
    assert ground.incident(id_).became_aware_at == 0, "that it was declared is no awareness"
    with pytest.raises(Refusal, match="future"):
        await ground.do("ivo", "incident.clock", id_, regime="gdpr-33", reason="data left", aware_at=START + 60)
    with pytest.raises(Refusal, match="no regime"):
        await ground.do("ivo", "incident.clock", id_, regime="gdpr", reason="data left")
    told = await ground.do("ivo", "incident.clock", id_, regime="gdpr-33", reason="data left", aware_at=START - 3600)
    assert told["due"] == START - 3600 + 72 * 3600
    one = ground.incident(id_)
    assert (one.became_aware_at, one.aware_by, one.clocks[0].by) == (START - 3600, "ivo", "ivo")
    assert ground.started[-1][0] == "regulatory-clock"
    with pytest.raises(Refusal, match="runs since"):
        await ground.do("bo", "incident.clock", id_, regime="gdpr-33", reason="again")
    await closing.clock_filed(ground.context(), {"incident": id_, "regime": "gdpr-33", "overdue": True})
    assert ground.incident(id_).clocks[0].overdue and not ground.incident(id_).clocks[0].filed_at


async def test_a_legal_hold_is_placed_at_once_and_released_by_two_people_through_a_gate(ground: Ground) -> None:
    id_ = await ground.declared()
    hold = (await ground.do("cy", "hold.place", robot="HAM2-0", reason="it touched somebody", incident=id_))["id"]
    assert not ground.get("robot", "HAM2-0").dispatchable
    await ground.do("cy", "hold.release", hold, reason="examined")
    assert ground.started[-1] == (
        "hold-release", {"hold": hold, "robot": "HAM2-0", "incident": id_, "reason": "examined", "asked_by": "cy"},
    )  # fmt: skip
    assert ground.get("hold", hold).state == "active", "asking frees nobody"
    for by in (["bo"], ["bo", "bo"]):
        with pytest.raises(RecordError, match="two people"):
            await closing.release_hold(ground.context(), {"hold": hold, "by": by, "gate": "release"})
    await closing.release_hold(
        ground.context(), {"hold": hold, "by": ["bo", "ivo"], "gate": "release", "reason": "examined"}
    )
    assert ground.get("hold", hold).released_by == ("bo", "ivo")
    assert ground.get("robot", "HAM2-0").dispatchable


async def test_containing_by_hand_drains_whatever_the_severity(ground: Ground) -> None:
    id_ = await ground.declared(sev=4)
    await declaring.contain(ground.context(), {"incident": id_})
    assert ground.find("robot") == []
    await ground.do("cy", "incident.contain", id_)
    assert len([robot for robot in ground.find("robot") if not robot.dispatchable]) == 6
    assert ground.told[-1][0] == "qd.incident.declared", "its rollouts are paused"


async def test_what_is_over_takes_no_more_orders(ground: Ground) -> None:
    id_ = await decided(ground)
    await closing.false_alarm(ground.context(), {"incident": id_, "by": ["ivo"]})
    for verb, args in (("incident.take", {}), ("incident.contain", {}), ("incident.choose", {"option": "monitor"})):
        with pytest.raises(Refusal, match="false alarm"):
            await ground.do("ivo", verb, id_, **args)


async def test_a_robot_nobody_has_is_refused_with_the_one_that_was_meant(ground: Ground) -> None:
    for verb, args in (
        ("incident.declare", {"title": "slow", "robots": ["HAM2-O"]}),
        ("hold.place", {"robot": "HAM2-O", "reason": "x"}),
    ):
        with pytest.raises(Refusal, match="there is no robot") as refused:
            await ground.do("cy", verb, **args)
        assert "HAM2-0" in refused.value.fix
    assert ground.find("incident") == [] and ground.find("robot") == []
