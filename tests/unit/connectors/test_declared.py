"""A connector declared in YAML keeps the ports' promises against a system nobody wrote code for."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from connectors import settings
from connectors.declared import Declared, connector, definition
from connectors.http import HttpClient
from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.systems import conformance
from engine.capabilities.systems.ports import BadDelivery, BadSignature, NewTicket, Notice
from tests.unit.connectors.depot import KEY, Depot

FILE = Path(__file__).parent / "depot.yaml"
TEXT = FILE.read_text("utf-8")
NEW = NewTicket(title="Robot stuck", body="in hall ${3}\nsince ten", priority="P2", labels=("qd",))


class Clock:
    def now(self) -> float:
        return time.time()


@pytest.fixture
def depot() -> Depot:
    return Depot()


@pytest.fixture
async def ports(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, Any]]:
    class Near(HttpClient):
        def __init__(self, url: str, **more: Any) -> None:
            super().__init__(url, **more, transport=httpx.ASGITransport(depot.app))

    monkeypatch.setattr(settings, "HttpClient", Near)
    config = {"url": "https://depot.example", "secret": "depot", "project": "fleet"}
    made = Declared("depot", definition(TEXT, "depot.yaml")).build(config, {"depot": KEY}.__getitem__, Clock(), {})
    yield made
    for port in made.values():
        await port.close()


def test_it_looks_like_any_other_connector(tmp_path: Path) -> None:
    conformance.connector(connector)
    (tmp_path / "depot.yaml").write_text(TEXT)
    (tmp_path / "broken.yaml").write_text("connector: 1\ntitel: x\n")
    kinds = connector.kinds(tmp_path)
    assert sorted(kinds) == ["broken", "depot"]
    made: Any = kinds["depot"]()
    conformance.connector(made)
    assert (made.kind, made.title, made.capabilities) == (
        "depot",
        "Depot desk",
        ("tickets", "notify", "alerts", "feeds"),
    )
    assert made.fields["project"].required and "secret" in made.fields and "webhook_secret" in made.secrets
    with pytest.raises(ActionError) as caught:
        kinds["broken"]()
    assert "line 2: titel" in caught.value.message and "did you mean 'title'?" in caught.value.message
    by_path: Any = connector.of({"options": {"definition": str(tmp_path / "depot.yaml")}})
    inline: Any = connector.of({"options": {"definition": yaml.safe_load(TEXT)}})
    assert by_path.title == inline.title == "Depot desk" and "definition" in by_path.fields
    assert not hasattr(Declared("x", definition(_without("webhook"), "x")), "receive")


def _without(*keys: str) -> str:
    found = yaml.safe_load(TEXT)
    return yaml.safe_dump({k: v for k, v in found.items() if k not in keys})


async def test_the_ports_contract_is_kept(ports: dict[str, Any]) -> None:
    report = await conformance.check(ports, system="depot", now=time.time, write=True, given={"channel": "ops"})
    assert report.broken == 0 and report.kept > 30, conformance.sentences(report)
    assert [one for one in report.left if "notice" not in one] == [], "a message can't be taken back, all else is"


async def test_a_ticket_comes_and_goes_as_its_owner_has_it(depot: Depot, ports: dict[str, Any]) -> None:
    tickets = ports["tickets"]
    made = await tickets.open(NEW, key="run/step")
    assert (made.id, made.title, made.state, made.meaning, made.priority) == ("T-1", NEW.title, "new", "open", "P2")
    assert made.body == NEW.body and made.url == "https://depot.example/T-1" and made.version == "1"
    assert depot.tickets["T-1"]["urgency"] == "today" and "qd" in depot.tickets["T-1"]["tags"]
    done = await tickets.update(
        "T-1", {"title": "a ${config} b", "assignee": "kay", "meaning": "resolved"}, version="1", key="k"
    )
    assert (done.title, done.assignee, done.state, done.meaning) == ("a ${config} b", "kay", "done", "resolved")
    with pytest.raises(ActionError) as caught:
        await tickets.update("T-1", {"title": "c"}, version="1", key="k2")
    assert caught.value.error == "Conflict" and depot.tickets["T-1"]["subject"] == "a ${config} b"
    before = len(depot.seen)
    await tickets.update("T-1", {"title": "a ${config} b"}, version="1", key="k")
    assert all(method == "GET" for method, _ in depot.seen[before:]), "what stands already is not written"
    for id in ("T-9", "..", "../about", "T-1/comments", "T-1?x"):
        with pytest.raises(ActionError) as caught:
            await tickets.read(id)
        assert caught.value.error == "NoSuchTicket"
    with pytest.raises(ActionError) as caught:
        await tickets.update("T-1", {"priority": "P1"}, version="", key="k")
    assert caught.value.error == "Unsupported" and "priority" in tickets.traits


async def test_what_was_done_and_not_answered_is_done_once(depot: Depot, ports: dict[str, Any]) -> None:
    tickets, alerts, notify = ports["tickets"], ports["alerts"], ports["notify"]

    async def twice(write: Any) -> None:
        depot.lose = 1
        with pytest.raises(InDoubt):
            await write(False)
        await write(True)

    await twice(lambda doubt: tickets.open(NEW, key="o", in_doubt=doubt))
    await twice(lambda doubt: tickets.comment("T-1", "hello", key="c", in_doubt=doubt))
    await twice(lambda doubt: tickets.attach("T-1", "log.txt", b"abc", "text/plain", key="a", in_doubt=doubt))
    await twice(
        lambda doubt: alerts.silence({"hall": "1"}, until=2e9, by="kay", comment="works", key="s", in_doubt=doubt)
    )
    depot.lose = 1
    await notify.tell("ops", Notice(title="t", text="x", severity="critical"), key="n")
    assert [len(x) for x in (depot.tickets, depot.comments["T-1"], depot.files["T-1"], depot.mutes, depot.notes)] == [
        1
    ] * 5
    (note,) = depot.notes.values()
    assert note["board"] == "b-1" and note["weight"] == 9
    (silence,) = await alerts.silences()
    assert silence.matchers == {"hall": "1"} and silence.ends_at == 2e9
    await alerts.unsilence(silence.id)
    await alerts.unsilence(silence.id)
    assert await alerts.silences() == []


async def test_a_server_that_ignores_the_filter_never_lends_us_anothers_ticket(
    depot: Depot, ports: dict[str, Any]
) -> None:
    tickets = ports["tickets"]
    await tickets.open(NEW, key="first")
    depot.deaf = True
    assert await tickets.find("second") is None
    assert (await tickets.open(NEW, key="second")).id == "T-2"
    assert (await tickets.find("second")).id == "T-2" and (await tickets.find("first")).id == "T-1"
    for number in range(40):
        depot.tickets[f"X{number}"] = {**depot.tickets["T-1"], "number": f"X{number}", "tags": []}
    with pytest.raises(ActionError) as caught:
        await tickets.open(NEW, key="third")
    assert caught.value.error == "BadAnswer" and len(depot.tickets) == 42, "rather none than two"


async def test_feeds_list_everything_then_what_changed(depot: Depot, ports: dict[str, Any]) -> None:
    tickets = ports["tickets"]
    for number in range(7):
        await tickets.open(NEW, key=str(number))
    pulled, cursor, seen = None, "", []
    while pulled is None or pulled.more:
        pulled = await tickets.pull("issue", cursor)
        assert pulled.full
        cursor, seen = pulled.cursor, seen + [o.id for o in pulled.objects]
    assert seen == [f"T-{n + 1}" for n in range(7)]
    assert pulled.objects[0].data["meaning"] == "open"
    later = await tickets.pull("issue", '{"since":%f}' % (depot.clock + 100))
    assert not later.full and later.objects == () and not later.more
    with pytest.raises(ActionError) as caught:
        await tickets.pull("issue", "rubbish")
    assert caught.value.error == "CursorLost"


async def test_a_list_that_has_not_changed_costs_a_304(depot: Depot, ports: dict[str, Any]) -> None:
    feeds = ports["feeds"]
    assert [f.kind for f in feeds.feeds] == ["charger"] and feeds.feeds[0].every_s == 30
    first = await feeds.pull("charger", "")
    assert first.full and [o.id for o in first.objects] == ["1", "2"] and "\x1b" not in first.objects[0].name
    assert first.objects[0].data == {"kw": 22}
    again = await feeds.pull("charger", first.cursor)
    assert again.unchanged and again.cursor == first.cursor
    depot.chargers[0]["mode"] = "charging"
    changed = await feeds.pull("charger", first.cursor)
    assert changed.full and changed.objects[0].state == "charging"


async def test_check_names_the_server_and_proves_the_key(depot: Depot, ports: dict[str, Any]) -> None:
    assert {await port.check() for port in ports.values()} == {"Depot desk 2.7"}


# -- webhooks ---------------------------------------------------------------------------------------------------------

BODY = json.dumps(
    {"events": [{"what": "ticket.changed", "id": 7, "about": "T-1", "at": 1e9, "state": "d\x1b"}]}
).encode()


def _signed(body: bytes = BODY, secret: str = "s", at: float = 1e9) -> dict[str, str]:
    stamp = str(int(at))
    signature = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"x-depot-signature": f"v1={signature}", "x-depot-time": stamp}


def test_webhooks_are_proven_then_read() -> None:
    receive: Any = Declared("depot", definition(TEXT, "x")).receive
    (told,) = receive(_signed(), BODY, "s", 1e9 + 10)
    assert (told.event, told.id, told.subject, told.at) == ("depot.ticket.changed", "7", "T-1", 1e9)
    assert "\x1b" not in told.data["state"]
    for headers, body, secret, now in (
        (_signed(secret="t"), BODY, "s", 1e9),
        (_signed(), BODY + b" ", "s", 1e9),
        (_signed(), BODY, "s", 1e9 + 301),
        (_signed(), BODY, "", 1e9),
        ({**_signed(), "x-depot-time": "nan"}, BODY, "s", 1e9),
        ({}, BODY, "s", 1e9),
    ):
        with pytest.raises(BadSignature):
            receive(headers, body, secret, now)
    for body in (b"{", b'{"events": 7}', b'{"events": [{"what": "x"}]}', b"[]"):
        with pytest.raises(BadDelivery):
            receive(_signed(body), body, "s", 1e9)


# -- the loader -------------------------------------------------------------------------------------------------------


def _mistakes() -> Iterator[tuple[str, str, str]]:
    yield "  read: {get:", "  raed: {get:", "did you mean 'read'?"
    yield "    once: marker\n", "", "once: key"
    yield '    query: {tag: "${marker}"}', '    query: {tag: "${key}"}', "${marker} in both"
    yield "\\n\\n[quarterdeck ${marker}]", "", "put ${marker} into its text"
    yield "id: it.number", "id: ti.number", "known here"
    yield "post: /api/${config.project}/tickets", "post: /api/${config.projetc}/tickets", "tickets.open.post"
    yield "once: key", "once: marker", "in doubt it is not sent again"
    yield "idempotency_header: Idempotency-Key\n", "", "no header takes the key"
    yield "window: 5m", "window: 5", "5s"
    yield "every: 30s", "every: often", "not a duration"
    yield "doing: in_progress", "doing: in_progres", "did you mean 'in_progress'?"
    yield "header: {name: X-Depot-Key}", "bearer: {}\n  header: {name: X-Depot-Key}", "exactly one of"
    yield "title: Depot desk", "title: Depot desk\ntitle: again", "title"


@pytest.mark.parametrize(("old", "new", "says"), list(_mistakes()))
def test_a_mistake_is_told_with_its_line_and_what_to_write(old: str, new: str, says: str) -> None:
    assert old in TEXT
    with pytest.raises(ActionError) as caught:
        definition(TEXT.replace(old, new, 1), "depot.yaml")
    assert caught.value.error == "NotConfigured" and "line " in caught.value.message and says in caught.value.message


@pytest.mark.parametrize(
    "text", ["", "[]", "connector: 1", "connector: 2\ntitle: x\ncheck: {get: /}", "a: &x [*x]", "\0", "x" * 300_000]
)
def test_what_is_no_definition_is_refused(text: str) -> None:
    with pytest.raises(ActionError):
        definition(text, "x.yaml")
