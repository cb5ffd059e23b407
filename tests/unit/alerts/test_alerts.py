"""Alerts become cases, notes or nothing, each once; silences have an owner, a reason and an end, and are made once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.capabilities.desk import Refusal
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.systems.ports import RemoteObject, Silence
from tests.unit.cases.ground import HOUR, START, Ground

ROBOT = "HAM2-01"


class Manager:
    """An alert manager in memory. `lose`: so many silences are made and not answered."""

    def __init__(self) -> None:
        self.made: dict[str, Silence] = {}
        self.lose = 0
        self.refuses = ""

    async def silence(
        self, matchers: Mapping[str, str], *, until: float, by: str, comment: str, key: str, in_doubt: bool = False
    ) -> Silence:
        if self.refuses:
            raise ActionError(self.refuses, "not like this", kind="validation", retryable=False)
        if key not in self.made:
            self.made[key] = Silence(
                id=f"remote-{len(self.made) + 1}", state="active", matchers=dict(matchers), starts_at=START, ends_at=until,
                by=by, comment=comment,
            )  # fmt: skip
        if self.lose:
            self.lose -= 1
            raise InDoubt("Unanswered", "the line went dead", kind="unknown")
        return self.made[key]

    async def unsilence(self, id: str) -> None:
        if all(one.id != id for one in self.made.values()):
            raise ActionError("NoSuchSilence", "unknown", kind="validation", retryable=False)
        self.made = {key: one for key, one in self.made.items() if one.id != id}

    async def firing(self, labels: Mapping[str, str] | None = None) -> list[RemoteObject]:
        return [RemoteObject(id="f@1", name="RobotStuck", state="active", data={"robot": ROBOT})]


class Site(Ground):
    manager: Manager

    def port(self, capability: str) -> Any:
        return self.manager if capability.partition("@")[0] == "alerts" else super().port(capability)

    def pack(self, name: str) -> dict[str, Any]:
        return self.policy if name == "maintenance" else load_pack(name)

    def silence(self, id: str) -> Any:
        return self.host.book.reads.get("silence", id)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    found = await Site.open(tmp_path)
    assert isinstance(found, Site)
    found.manager = Manager()
    yield found
    await found.host.close()


def alert(state: str = "firing", severity: str = "critical", name: str = "RobotStuck", **data: Any) -> dict[str, Any]:
    labels = {"alertname": name, "robot": ROBOT, "severity": severity, **data.pop("labels", {})}
    body = {
        "alert": name,
        "robot": ROBOT,
        "severity": severity,
        "summary": "stands in aisle 7",
        "labels": labels,
        **data,
    }
    return {"event": f"qd.alert.{state}", "id": f"{name}/1/{state}", "data": body}


# -- what becomes of an alert ------------------------------------------------------------------------------------------


async def test_an_alert_of_weight_is_a_report_and_the_same_again_is_the_same_fault(site: Site) -> None:
    found = await site.act("alert.intake", event=alert())
    (report,) = found["reports"]
    assert (report["robot"], report["symptom"]) == (ROBOT, "RobotStuck: stands in aisle 7")
    assert (report["detector"], report["urgency"], report["safety_related"]) == ("alert:RobotStuck", 2, False)
    first = await site.act("case.open", run="run-a", **report)
    again = await site.act("case.open", run="run-b", **report)
    assert again["case"] == first["case"] and site.case(first["case"]).reports == 2


async def test_an_alert_about_peoples_safety_says_so(site: Site) -> None:
    for event in (alert(severity="safety"), alert(labels={"safety": "true"})):
        (report,) = (await site.act("alert.intake", event=event))["reports"]
        assert report["safety_related"] is True


async def test_a_lesser_alert_is_a_note_on_the_case_that_is_open_and_its_end_too(site: Site) -> None:
    warning = alert(severity="warning", name="BatteryLow")
    found = await site.act("alert.intake", event=warning)
    assert found["reports"] == [] and "opens no case" in found["why"]
    case = await site.queued(ROBOT)
    assert (await site.act("alert.intake", event=warning))["noted"] == [case]
    assert (await site.act("alert.intake", event=warning))["noted"] == [], "said already"
    assert [n.text for n in site.case(case).notes] == ["BatteryLow (warning) fires: stands in aisle 7"]
    assert any(told.get("note") for told in site.told("qd.case.changed"))


async def test_the_end_of_an_alert_is_noted_where_it_began(site: Site) -> None:
    (report,) = (await site.act("alert.intake", event=alert()))["reports"]
    case = (await site.act("case.open", run="run-a", **report))["case"]
    other = await site.queued("HAM2-02")
    found = await site.act("alert.intake", event=alert("resolved"))
    assert found["noted"] == [case] and site.case(case).notes[-1].text == "RobotStuck is over"
    assert site.case(case).state not in ("closed", "resolved"), "an alert that is over brings no robot back"
    assert not site.case(other).notes
    assert (await site.act("alert.intake", event=alert("resolved", name="Other")))["why"]


@pytest.mark.parametrize(
    "data",
    [{}, {"labels": None}, {"labels": {"robot": ""}}, {"labels": ["x"]}, {"robot": ""}, {"severity": 7, "robot": ""}],
)
async def test_an_alert_without_a_robot_is_said_to_be_one(site: Site, data: dict[str, Any]) -> None:
    found = await site.act("alert.intake", event={"event": "qd.alert.firing", "data": data})
    assert found["reports"] == [] and found["why"] == "the alert names no robot"


# -- silences ----------------------------------------------------------------------------------------------------------


async def test_a_silence_has_an_owner_a_reason_and_an_end_and_is_made_once(site: Site) -> None:
    asked: dict[str, Any] = {"matchers": {"robot": ROBOT}, "seconds": 2 * HOUR, "comment": "on the bench"}
    seen = await site.foresee("kay", "silence.start", **asked)
    assert seen.phrase == f"silence {ROBOT}"
    assert any("1 firing now: RobotStuck HAM2-01" in s for s in seen.sentences)
    made = await site.do("kay", "silence.start", **asked)
    assert site.started[-1] == ("alert-silence", {"silence": made["id"], "ends_at": START + 2 * HOUR})
    assert site.silence(made["id"]).state == "asked"
    site.manager.lose = 1
    with pytest.raises(InDoubt):
        await site.act("alert.silence", silence=made["id"])
    for _ in range(2):
        told = await site.act("alert.silence", silence=made["id"])
        assert told["state"] == "active" and told["left_s"] == 2 * HOUR
    (remote,) = site.manager.made.values()
    assert (remote.by, remote.matchers) == ("kay", {"robot": ROBOT})
    assert remote.comment == f"on the bench {made['id']}"
    kept = site.silence(made["id"])
    assert (kept.state, kept.owner, kept.remote, kept.robot) == ("active", "kay", remote.id, ROBOT)
    assert len(site.told("qd.silence.started")) == 1


async def test_it_ends_by_itself_by_a_person_or_elsewhere_and_says_which(site: Site) -> None:
    ids = []
    for comment in ("one", "two", "three"):
        made = await site.do("kay", "silence.start", matchers={"robot": ROBOT}, seconds=HOUR, comment=comment)
        await site.act("alert.silence", run=f"run-{comment}", silence=made["id"])
        ids.append(made["id"])
    await site.act("alert.over", run="a", silence=ids[0])
    for run in ("b", "b2"):
        await site.act("alert.unsilence", run=run, silence=ids[1], by="lin", reason="repaired early")
    await site.act("alert.over", run="c", silence=ids[2], elsewhere=True)
    ended = [site.silence(id_) for id_ in ids]
    assert [s.state for s in ended] == ["expired", "ended", "ended"]
    assert [s.ended_by for s in ended] == ["", "lin", "the alert manager"]
    assert len(site.manager.made) == 2, "what is over by itself is not ended a second time"
    with pytest.raises(Refusal):
        await site.do("kay", "silence.end", ids[0])


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"matchers": {"severity": "warning"}, "seconds": HOUR, "comment": "x"}, "matchers"),
        ({"matchers": {"robot": " "}, "seconds": HOUR, "comment": "x"}, "matchers"),
        ({"matchers": {"robot": ROBOT, "severity": "safety"}, "seconds": HOUR, "comment": "x"}, "matchers"),
        ({"matchers": {"robot": ROBOT}, "seconds": 25 * HOUR, "comment": "x"}, "seconds"),
        ({"matchers": {"robot": ROBOT}, "seconds": 1, "comment": "x"}, "seconds"),
        ({"matchers": {"robot": ROBOT}, "seconds": HOUR, "comment": "   "}, "comment"),
        ({"matchers": {"robot": ROBOT}, "seconds": HOUR, "comment": "x", "case": "M-99"}, "case"),
    ],
)
async def test_what_may_not_be_silenced_is_refused_for_people_and_workflows(
    site: Site, asked: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refusal) as caught:
        await site.do("kay", "silence.start", **asked)
    assert caught.value.field == field
    if field != "case":
        with pytest.raises(ActionError) as refused:
            await site.act("alert.silence", **asked)
        assert refused.value.error == "NotAllowed" and field in refused.value.message
    assert not site.manager.made


async def test_a_workflow_may_silence_for_itself_once_per_step(site: Site) -> None:
    asked: dict[str, Any] = {"matchers": {"robot": ROBOT}, "seconds": HOUR, "comment": "under repair", "case": "M-1"}
    first = await site.act("alert.silence", **asked)
    again = await site.act("alert.silence", **asked)
    assert first["silence"] == again["silence"] and len(site.manager.made) == 1
    assert site.silence(first["silence"]).owner == "cy"


async def test_what_the_alert_manager_refuses_is_on_record(site: Site) -> None:
    made = await site.do("kay", "silence.start", matchers={"robot": ROBOT}, seconds=HOUR, comment="x")
    site.manager.refuses = "BadMatchers"
    with pytest.raises(ActionError):
        await site.act("alert.silence", silence=made["id"])
    await site.act("alert.over", silence=made["id"], refused="not like this")
    assert site.silence(made["id"]).state == "refused"


async def test_what_fires_is_counted_without_what_is_silenced(site: Site) -> None:
    found = await site.act("alert.firing", labels={"robot": ROBOT})
    assert (found["count"], found["silenced"], found["alerts"][0]["name"]) == (1, 0, "RobotStuck")
