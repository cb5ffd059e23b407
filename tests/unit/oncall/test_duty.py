"""Duty, handovers and watch lists, on a real book."""

from __future__ import annotations

from typing import Any

import pytest

from engine.capabilities.desk import Refusal
from engine.capabilities.oncall.report import report
from engine.capabilities.packs import load_pack
from engine.capabilities.records import RecordError
from tests.unit.oncall.conftest import Watchroom

IC = ("incident-commander",)


async def offered(room: Watchroom, **args: Any) -> Any:
    made = await room.do("ana", "handover.prepare", **args)
    await room.do("ana", "handover.offer", made["id"])
    return room.record("handover", made["id"])


async def test_command_goes_over_with_the_receivers_key_and_both_names(room: Watchroom) -> None:
    incident = await room.incident("ana")
    await room.do("ana", "duty.take", scope="HAM2")
    handover = await offered(room, to="ivo", note="aisle 7 is roped off")
    before = room.record("incident", incident)
    assert before.ic == "ana", "an offer moves nothing"
    room.clock.advance(60.0)
    done = await room.do("ivo", "handover.accept", handover.id, IC, digest=handover.digest)
    after, held = room.record("incident", incident), room.record("handover", handover.id)
    assert (after.ic, after.ic_since) == ("ivo", room.clock.now())
    assert (
        after.timeline[-1].who == "ivo" and "ana" in after.timeline[-1].what and handover.id in after.timeline[-1].what
    )
    assert (held.state, held.giver, held.receiver, held.answered_at) == ("accepted", "ana", "ivo", room.clock.now())
    assert done["transferred"] == [incident] == list(held.transferred)
    duties = {one.person: one for one in room.host.book.reads.find("duty")}
    assert duties["ana"].state == "off" and duties["ana"].handed_to == "ivo" and duties["ana"].ended_by == "ivo"
    assert duties["ivo"].state == "on" and duties["ivo"].scope == "HAM2"
    assert room.told("qd.incident.updated")[-1] == {
        "incident": incident, "what": f"took command from ana with {handover.id}", "by": "ivo", "from": "ana",
    }  # fmt: skip


async def test_neither_the_giver_nor_a_third_nor_somebody_without_the_role_accepts(room: Watchroom) -> None:
    await room.incident("ana")
    handover = await offered(room, to="ivo")
    for person, roles, code in (("ana", IC, "own"), ("bo", IC, "not_yours"), ("ivo", ("operator",), "not_commander")):
        with pytest.raises(Refusal) as caught:
            await room.do(person, "handover.accept", handover.id, roles)
        assert caught.value.code == code
    assert room.record("handover", handover.id).state == "offered"
    with pytest.raises(RecordError):  # past the verbs: the book itself refuses it
        await room.book("bo").change("handover", handover.id, to="accepted", set={"receiver": "bo", "answered_at": 1.0})


async def test_what_was_changed_since_it_was_read_is_not_accepted(room: Watchroom) -> None:
    handover = await offered(room)
    with pytest.raises(Refusal) as caught:
        await room.do("ivo", "handover.accept", handover.id, IC, digest="something else")
    assert caught.value.code == "stale"


async def test_an_incident_somebody_took_meanwhile_stays_with_them(room: Watchroom) -> None:
    incident = await room.incident("ana")
    handover = await offered(room)
    await room.do("bo", "incident.take", incident, ("safety-officer",))
    foreseen = await room.foresee("ivo", "handover.accept", handover.id)
    assert any("does not go over: bo commands it" in line for line in foreseen.sentences)
    done = await room.do("ivo", "handover.accept", handover.id, ("operator",))
    assert done["transferred"] == [] and done["kept"] == [[incident, "bo commands it"]]
    assert room.record("incident", incident).ic == "bo"


async def test_declined_or_withdrawn_nothing_goes_over(room: Watchroom) -> None:
    incident = await room.incident("ana")
    await room.do("ana", "duty.take")
    handover = await offered(room)
    await room.do("ivo", "handover.decline", handover.id, reason="I am at the dentist")
    assert room.record("incident", incident).ic == "ana"
    assert room.host.book.reads.find("duty", state="on")[0].person == "ana"
    again = await offered(room)
    await room.do("ana", "handover.withdraw", again.id)
    with pytest.raises(Refusal):
        await room.do("ivo", "handover.accept", again.id, IC)


async def test_nobody_leaves_by_a_key_who_commands_or_has_offered(room: Watchroom) -> None:
    await room.do("ana", "duty.take")
    incident = await room.incident("ana")
    with pytest.raises(Refusal) as caught:
        await room.do("ana", "duty.give")
    assert caught.value.code == "commands" and incident in caught.value.reason
    await room.do("bo", "incident.take", incident, ("safety-officer",))
    handover = await offered(room)
    with pytest.raises(Refusal) as caught:
        await room.do("ana", "duty.give")
    assert caught.value.code == "offered"
    await room.do("ana", "handover.withdraw", handover.id)
    foreseen = await room.foresee("ana", "duty.give")
    assert "after that nobody is on duty" in foreseen.sentences
    await room.do("ana", "duty.give")
    with pytest.raises(Refusal):
        await room.do("ana", "duty.give")


async def test_the_report_tells_what_changed_since_my_last_shift_what_waits_and_what_ends(room: Watchroom) -> None:
    await room.do("ana", "duty.take", seconds=3600.0)
    await room.incident("", sev=3, title="before")
    await room.do("ana", "duty.give")
    room.clock.advance(3600.0)
    incident = await room.incident("cy", sev=1, title="a robot touched a person")
    await room.book("cy").create(
        "silence", {"title": "x", "matchers": {"robot": "HAM2-01"}, "owner": "cy", "comment": "bench", "ends_at": room.clock.now() + 900.0}, key="s"
    )  # fmt: skip
    room.clock.advance(600.0)
    found = report(room.port("oncall").shelf, "ana", room.clock.now(), policy=load_pack("maintenance"))
    assert found.since == room.clock.now() - 4200.0 and "last shift of ana" in found.why_since
    assert [line.id for line in found.happened if line.kind == "incident"] == [incident]
    assert [line.kind for line in found.waits][:2] == ["incident", "incident"]
    assert found.waits[0].id == incident, "the gravest first"
    ends = {line.kind: line for line in found.expires}
    assert ends["silence"].at == room.clock.now() + 300.0 and "HAM2-01" in ends["silence"].text
    assert not found.commands


async def test_a_watched_thing_is_news_until_somebody_looked(room: Watchroom) -> None:
    from engine.capabilities.oncall import things

    case = await room.queued()
    await room.do("ana", "watch.add", thing=case)
    with pytest.raises(Refusal) as caught:
        await room.do("ana", "watch.add", thing=case)
    assert caught.value.code == "already"
    with pytest.raises(Refusal):
        await room.do("ana", "watch.add", thing="M-999")

    def mine() -> Any:
        return things.watched(room.port("oncall").shelf, room.host.book.reads.find("watch", state="on"))[0]

    assert not mine().news
    await room.do("tom", "case.claim", case, ("technician",))
    assert mine().news and mine().id == case
    await room.do("ana", "watch.seen")
    assert not mine().news
    await room.do("ana", "watch.remove", thing=case)
    assert room.host.book.reads.find("watch", state="on") == []
