"""Who is told what, in which words, when, and how often."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from engine.capabilities import subjects
from engine.capabilities.notices.actions import actions
from engine.capabilities.notices.rules import NoticePolicy, about_event, about_gate, channels_of, filled
from engine.capabilities.packs import PackError, load_pack
from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.systems.ports import Notice
from engine.contract.gates import GateDetail, GateSummary, SeatView
from engine.core.definition import FormField, Retry, Trigger
from engine.hosts.noticing import Noticing
from tests.unit.hosts.conftest import ANA, World, action_step, workflow

POLICY = NoticePolicy.of({})
GATE = GateDetail(
    gate=GateSummary(
        id="run-4.7", run="run-4", path="signoff", kind="rollout_signoff", question="Roll out\x1b[2J 1.1?", opened_at=1.0,
        expires_at=1_800_000_000.0, seats_open=2, seats_total=2,
    ),
    evidence={"secret plan": "not for a chat"}, evidence_digest="d", evidence_at=1.0,
    seats=(SeatView(label="2 release managers", count=2, role="release-manager"),), votes=(), excluded=(),
    answers=("approve", "reject"), on_timeout="the run fails", who_can=("2 x role release-manager",),
)  # fmt: skip


def policy(**more: Any) -> NoticePolicy:
    return NoticePolicy.of({**load_pack("notices"), **more})


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# -- words -----------------------------------------------------------------------------------------------------------


def test_a_gate_is_named_by_its_id_and_its_evidence_stays_inside() -> None:
    (told,) = about_gate(POLICY, "GateOpened", 40, GATE)
    assert (told.link, told.severity, told.channels, told.gate) == (
        "qd gates show run-4.7",
        "warning",
        ("*",),
        "run-4.7",
    )
    assert told.title == "A decision is asked: Roll out [2J 1.1?"
    assert (
        "2 x role release-manager" in told.text and "2027-01-15 08:00 UTC; without an answer the run fails" in told.text
    )
    assert "approves nothing" in told.text
    assert "plan" not in msgspec.json.encode(told).decode() and "http" not in msgspec.json.encode(told).decode()


def test_opening_is_told_once_and_each_reminder_once() -> None:
    opened = [about_gate(POLICY, "GateOpened", seq, GATE)[0].once for seq in (1, 2)]
    reminded = [about_gate(POLICY, "ReminderSent", seq, GATE)[0].once for seq in (3, 4)]
    assert opened[0] == opened[1] and reminded[0] != reminded[1]
    assert about_gate(POLICY, "GateEscalated", 5, GATE)[0].severity == "critical"


def test_rules_choose_by_kind_and_role_and_can_be_off() -> None:
    rules = load_pack("notices")["rules"]
    only = policy(rules={"a": {"event": "gate.opened", "channels": ["x"], "kinds": ["other"]}})
    assert about_gate(only, "GateOpened", 1, GATE) == []
    by_role = policy(roles={"release-manager": ["releases"], "technician": ["floor"]})
    assert about_gate(by_role, "GateOpened", 1, GATE)[0].channels == ("releases",)
    off = policy(rules={**rules, "gate_opened": {"event": "gate.opened", "channels": []}})
    assert about_gate(off, "GateOpened", 1, GATE) == []
    assert channels_of(("*", "ops", "a@b"), ("lead", "ops")) == ["lead", "ops", "a@b"]


def test_events_are_told_in_the_words_of_their_rule() -> None:
    facts = {"incident": "I-4", "sev": 1.0, "version": "2.0\n\x1b[31m", "subject": "I-4", "seq": 7, "key": "k"}
    (told,) = about_event(POLICY, "qd.incident.declared", facts)
    assert told.title == "Incident I-4 declared, severity 1: version 2.0  [31m"
    assert (told.link, told.severity, told.once) == ("qd incidents show I-4", "critical", "event/k/incident_declared")
    assert about_event(POLICY, "qd.unheard.of", facts) == []
    family = policy(rules={"all": {"event": "qd.*", "channels": ["x"]}})
    assert about_event(family, "qd.unheard.of", facts)[0].title == "qd.unheard.of I-4"
    assert about_event(family, "qd.notice.failed", facts) == [], "no message about a message"


def test_words_are_short_and_have_no_way_to_ask_for_more() -> None:
    assert filled("{a.b} {c} {d} {e.__class__}", {"a": {"b": "x" * 500}, "d": {}, "e": "f"}) == "x" * 99 + "… ? ? ?"


# -- when ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "severity", "until"),
    [
        ("2026-11-23T21:59:00+01:00", "warning", ""),
        ("2026-11-23T22:00:00+01:00", "warning", "2026-11-24T06:00:00+01:00"),
        ("2026-11-24T05:59:00+01:00", "info", "2026-11-24T06:00:00+01:00"),
        ("2026-11-24T06:00:00+01:00", "info", ""),
        ("2026-11-23T23:00:00+01:00", "critical", ""),
        ("2026-11-28T23:00:00+01:00", "info", ""),  # a Saturday: not among the days
        ("2026-10-24T23:00:00+02:00", "info", ""),
        ("2026-10-23T23:00:00+02:00", "info", "2026-10-24T06:00:00+02:00"),
    ],
)
def test_quiet_hours_are_those_of_the_zone(now: str, severity: str, until: str) -> None:
    quiet = {
        "from": "22:00",
        "to": "06:00",
        "zone": "Europe/Berlin",
        "days": "mon-fri",
        "severities": ["info", "warning"],
    }
    found = policy(quiet=quiet).quiet.until(severity, at(now))
    assert datetime.fromtimestamp(found, UTC) == datetime.fromtimestamp(at(until or now), UTC)


@pytest.mark.parametrize(
    "wrong",
    [
        {"quiet": {"from": "ten", "to": "06:00"}},
        {"quiet": {"from": "22:00", "to": "06:00", "zone": "Mars/Olympus"}},
        {"quiet": {"from": "22:00", "to": "06:00", "days": "someday"}},
        {"rules": {"a": {"event": "x", "channel": "ops"}}},
        {"rules": {"a": {"event": "x", "severity": "loud"}}},
    ],
)
def test_a_policy_that_would_tell_nobody_by_mistake_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(PackError, match="notices"):
        policy(**wrong)


# -- how often -------------------------------------------------------------------------------------------------------


class People:
    """A port that answers as a test says."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Notice, str]] = []
        self.answers: list[Exception | None] = []

    async def channels(self) -> tuple[str, ...]:
        return ("ops", "lead")

    async def tell(self, channel: str, notice: Notice, *, key: str) -> None:
        self.told.append((channel, notice, key))
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer


class Gates:
    def __init__(self) -> None:
        self.over: set[str] = set()

    def open(self, gate: str) -> bool:
        return gate not in self.over


async def site(world: World, people: People, gates: Gates | None = None, **pack: Any) -> Any:
    world.actions["notify.tell"] = actions()["notify.tell"]
    step = action_step(
        "send",
        action="notify.tell",
        with_={
            name: f"${{inputs.notice.{name}}}" for name in ("channel", "once", "title", "text", "severity", "gate", "event")
        },
        retry=Retry(attempts=8, first=0.01, factor=1.0, cap=0.01, jitter="none"),
    )  # fmt: skip
    host = await world.open(
        catalogue=subjects.catalogue(),
        ports={"notify": people, "gates": gates or Gates()},
        policy=lambda name: {**load_pack(name), **pack},
    )
    await world.register(
        host,
        workflow(
            step,
            name="notices",
            inputs={"notice": FormField(type="object")},
            triggers=(Trigger(event="t.notice", dedupe="event.data.id", with_={"notice": "${event.data}"}),),
        ),
    )
    return host


async def told(host: Any, id_: str, **more: Any) -> None:
    notice = {
        "channel": "ops", "once": f"event/{id_}", "title": "T", "text": "x", "severity": "warning", "gate": "", "event": "qd.x",
        "id": id_, **more,
    }  # fmt: skip
    await host.publish("t.notice", notice, id=id_, actor=ANA, source="test")


def states(world: World) -> list[str]:
    return [row[0] for row in world.query("select state from notices order by id")]


async def test_a_message_is_told_and_kept(world: World) -> None:
    people = People()
    host = await site(world, people)
    await told(host, "1")
    await world.when(lambda: states(world) == ["told"])
    assert [(channel, notice.title) for channel, notice, _ in people.told] == [("ops", "T")]


async def test_what_was_certainly_not_sent_is_tried_again_and_given_up_in_the_end(world: World) -> None:
    people = People()
    people.answers = [ActionError("NotTold", "away", kind="unavailable") for _ in range(2)]
    host = await site(world, people, tries=3)
    await told(host, "1")
    await world.when(lambda: states(world) == ["told"])
    assert len(people.told) == 3
    people.answers = [ActionError("NotTold", "away", kind="unavailable") for _ in range(9)]
    await told(host, "2")
    await world.when(lambda: states(world) == ["told", "failed"])
    assert len(people.told) == 6
    people.answers = [ActionError("NotTold", "no such room", kind="unavailable", retryable=False)]
    await told(host, "3")
    await world.when(lambda: states(world) == ["told", "failed", "failed"])
    assert len(people.told) == 7
    await world.when(lambda: world.query("select count(*) from runs where status = 'completed'") == [(3,)])
    failed = world.query("select count(*) from event_threads where event = 'qd.notice.failed'")
    assert failed == [(2,)]


async def test_what_was_perhaps_sent_is_not_sent_again(world: World) -> None:
    people = People()
    people.answers = [InDoubt("Unanswered", "no answer", kind="unknown")]
    host = await site(world, people)
    await told(host, "1")
    await world.when(lambda: states(world) == ["doubtful"])
    assert len(people.told) == 1
    assert world.query("select event from event_threads where event like 'qd.notice.%'") == [("qd.notice.doubtful",)]


async def test_a_system_that_was_taken_out_stops_nothing(world: World) -> None:
    host = await site(world, People())
    await told(host, "1", channel="ops@gone")
    await world.when(lambda: states(world) == ["failed"])
    await world.when(lambda: world.query("select status from runs") == [("completed",)])


async def test_a_gate_that_was_decided_meanwhile_is_no_news(world: World) -> None:
    people, gates = People(), Gates()
    gates.over.add("run-4.7")
    host = await site(world, people, gates)
    await told(host, "1", gate="run-4.7", event="gate.opened")
    await world.when(lambda: states(world) == ["over"])
    assert people.told == []


async def test_a_channel_gets_its_share_and_what_is_critical_gets_through(world: World) -> None:
    people = People()
    host = await site(world, people, at_most={"count": 2, "per": 3600})
    for number in range(4):
        await told(host, str(number))
    await world.when(lambda: sorted(states(world)) == ["told", "told", "waiting", "waiting"])
    await told(host, "loud", severity="critical")
    await told(host, "other", channel="lead")
    await world.when(lambda: sorted(states(world)) == ["told"] * 4 + ["waiting"] * 2)
    assert len(people.told) == 4


# -- following the history -------------------------------------------------------------------------------------------


async def test_the_history_is_followed_from_where_it_was_left(world: World) -> None:
    people = People()
    host = await world.open(catalogue=subjects.catalogue())
    ports: dict[str, Any] = {}
    noticing = Noticing(host, ports, {})
    await host.publish("qd.sync.stale", {"system": "jira"}, id="0", actor=ANA, source="test")
    assert await noticing.once() == 0, "nobody can tell: nothing is made up for later"
    ports["notify"] = people
    await host.publish("qd.sync.stale", {"system": "mlflow"}, id="1", actor=ANA, source="test")
    await host.publish("qd.something.else", {}, id="2", actor=ANA, source="test")
    assert await noticing.once() == 1
    assert await noticing.once() == 0, "what it tells itself is no news"
    again = Noticing(host, ports, {})
    assert await again.once() == 0
    await host.publish("qd.sync.recovered", {"system": "mlflow"}, id="3", actor=ANA, source="test")
    assert await Noticing(host, ports, {}).once() == 1, "also when the engine was down meanwhile"
    rows = world.query("select data from events where type = 'EventPublished' order by seq")
    said = [msgspec.json.decode(row[0]) for row in rows]
    wanted = [one["data"] for one in said if one["event"] == "qd.notice.wanted"]
    assert [one["title"] for one in wanted] == [
        "mlflow has not answered: what is shown of it is old",
        "mlflow answers again",
    ]
    assert wanted[0]["channels"] == ["ops", "lead"]


async def test_what_happened_long_ago_is_no_news(world: World) -> None:
    host = await world.open(catalogue=subjects.catalogue())
    noticing = Noticing(host, {"notify": People()}, {**load_pack("notices"), "not_older": 0.0})
    await noticing.once()
    await host.publish("qd.sync.stale", {"system": "mlflow"}, id="1", actor=ANA, source="test")
    assert await noticing.once() == 0
