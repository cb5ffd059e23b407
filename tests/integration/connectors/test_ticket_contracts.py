"""One contract for ticket systems that can't be had here, against servers built from their published documents; and paging.

What is held here is that the connectors keep the port's promises against what the documents say. It is not a test against
Jira, ServiceNow, GitHub or PagerDuty.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest

import connectors.github
import connectors.jira
import connectors.pagerduty
import connectors.servicenow
from connectors import adf
from connectors import ticketing as t
from connectors.credentials import PagerDutyToken
from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.systems import conformance
from engine.capabilities.systems.ports import BadDelivery, BadSignature, NewTicket
from engine.capabilities.tickets.marking import mark, marked, unmarked
from tests.integration.connectors.ground import WallClock
from tests.services.contract.github import GitHubServer
from tests.services.contract.jira import JiraServer
from tests.services.contract.pagerduty import PagerDutyServer
from tests.services.contract.servicenow import ServiceNowServer

pytestmark = pytest.mark.timeout(120)
URL = "http://127.0.0.1:9"


class Lossy(httpx.ASGITransport):
    """The server in this process. `cut` so many writes are done there and never answered."""

    cut = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if self.cut and request.method != "GET" and not request.url.path.endswith("/search/jql"):
            self.cut -= 1
            await answer.aread()
            raise httpx.ReadError("the line went dead", request=request)
        return answer


class System(msgspec.Struct, kw_only=True):
    """A connector and its server. `set` and `say` are somebody else there, `remove` deletes."""

    name: str
    port: Any
    server: Any
    line: Any
    set: Callable[..., None]
    say: Callable[[str, str], None]
    remove: Callable[[str], Any]
    person: str = "kay"

    def writes(self, word: str) -> int:
        return sum(1 for one in self.server.writes if one.startswith(word))


def built(module: Any, server: Any, secret: str, **options: Any) -> tuple[Any, Lossy]:
    config = {"url": URL, "secret": "entry", **options}
    port = next(iter(module.connector.build(config, lambda _: secret, WallClock(), {}).values()))
    line = Lossy(app=server.app)
    port._http._transport = line
    return port, line


def github() -> System:
    server = GitHubServer()
    port, line = built(connectors.github, server, server.token, repository=server.repository)

    def change(id: str, **fields: Any) -> None:
        words = {"in_progress": "in progress"}
        if "priority" in fields:
            server.set(int(id), labels=[{"name": fields.pop("priority")}])
        if "meaning" in fields:
            meaning = fields.pop("meaning")
            if meaning == "resolved":
                fields |= {"state": "closed", "state_reason": "completed"}
            else:
                fields["labels"] = [{"name": words[meaning]}]
        server.set(int(id), **fields)

    return System(
        name="github", port=port, server=server, line=line, set=change,
        say=lambda id, text: server.say(int(id), text), remove=lambda id: server.gone.add(int(id)),
    )  # fmt: skip


def jira() -> System:
    server = JiraServer()
    port, line = built(connectors.jira, server, server.token, username=server.username, project=server.project)
    port._sleep = _no_sleep

    def change(id: str, **fields: Any) -> None:
        names = {"title": "summary", "meaning": "status"}
        values = {"in_progress": "In Progress", "resolved": "Done", "P1": "Highest"}
        server.set(id, **{names.get(name, name): values.get(value, value) for name, value in fields.items()})

    return System(
        name="jira", port=port, server=server, line=line, set=change, say=server.say,
        remove=lambda id: server.issues.pop(id, None), person="kay@example.com",
    )  # fmt: skip


def servicenow() -> System:
    server = ServiceNowServer()
    port, line = built(connectors.servicenow, server, server.password, username=server.username)

    def change(id: str, **fields: Any) -> None:
        if "priority" in fields:
            fields["impact"], fields["urgency"] = connectors.servicenow.WEIGHTS[fields.pop("priority")]
        names = {"title": "short_description", "meaning": "state"}
        values = {"in_progress": "2", "resolved": "6"}
        server.set(id, **{names.get(name, name): values.get(value, value) for name, value in fields.items()})

    return System(
        name="servicenow", port=port, server=server, line=line, set=change, say=server.say,
        remove=lambda id: server.tables["incident"].pop(server.named(id)["sys_id"]),
    )  # fmt: skip


async def _no_sleep(seconds: float) -> None: ...


@pytest.fixture(params=[github, jira, servicenow], ids=lambda one: one.__name__)
async def system(request: pytest.FixtureRequest) -> AsyncIterator[System]:
    found: System = request.param()
    yield found
    await found.port.close()


async def opened(system: System, key: str = "k", **more: Any) -> Any:
    new = NewTicket(title="HAM2-amr-0417 drive overcurrent", body="wheel L\nsecond line", **{"priority": "P2", **more})
    return await system.port.open(new, key=key)


async def test_the_conformance_suite_holds(system: System) -> None:
    report = await conformance.check({"tickets": system.port}, system=system.name, now=time.time, write=True, given={})
    conformance.assert_kept(report)


async def test_a_ticket_is_opened_once_also_when_nobody_answered(system: System) -> None:
    system.line.cut = 1
    with pytest.raises(InDoubt):
        await opened(system)
    if system.name == "jira":
        system.server.lag = 2  # its search does not know it yet
    new = NewTicket(title="HAM2-amr-0417 drive overcurrent", body="wheel L", priority="P2")
    found = await system.port.open(new, key="k", in_doubt=True)
    assert (found.title, found.body, found.priority, found.meaning) == (new.title, "wheel L\nsecond line", "P2", "open")
    assert system.writes("create") == 1 and (await system.port.find("k")).id == found.id
    assert await system.port.find("another") is None


async def test_a_comment_is_written_once_also_when_nobody_answered(system: System) -> None:
    ticket = await opened(system)
    system.line.cut = 1
    with pytest.raises(InDoubt):
        await system.port.comment(ticket.id, "moved to dock 3", key="c")
    made = await system.port.comment(ticket.id, "moved to dock 3", key="c", in_doubt=True)
    system.say(ticket.id, f"bearing ordered \x1b[31m [quarterdeck {mark('c2')}]")
    read = await system.port.read(ticket.id)
    ours, theirs = read.comments
    assert (made.key, ours.key, ours.text) == (mark("c"), mark("c"), "moved to dock 3")
    assert theirs.key == "" and "\x1b" not in theirs.text  # a mark in somebody else's words makes them not ours
    assert len(read.comments) == 2


async def test_what_changed_there_is_read_and_nobody_is_overtaken(system: System) -> None:
    ticket = await opened(system)
    system.set(ticket.id, title="renamed there", meaning="in_progress")
    with pytest.raises(ActionError) as caught:
        await system.port.update(ticket.id, {"title": "ours"}, version=ticket.version, key="u")
    assert caught.value.error == "Conflict"
    now = await system.port.read(ticket.id)
    assert (now.title, now.meaning) == ("renamed there", "in_progress")
    after = await system.port.update(
        ticket.id, {"priority": "P1", "assignee": system.person}, version=now.version, key="u2"
    )
    assert (after.priority, after.assignee, after.title) == ("P1", system.person, "renamed there")
    before = list(system.server.writes)
    again = await system.port.update(
        ticket.id, {"priority": "P1", "assignee": system.person}, version=now.version, key="u2", in_doubt=True
    )
    assert again.version == after.version and system.server.writes == before


async def test_it_is_put_on_hold_resolved_and_opened_again(system: System) -> None:
    ticket = await opened(system)
    for meaning in ("in_progress", "on_hold", "in_progress", "resolved"):
        version = (await system.port.read(ticket.id)).version
        found = await system.port.update(ticket.id, {"meaning": meaning}, version=version, key=meaning)
        assert found.meaning == meaning
    before = list(system.server.writes)
    assert (await system.port.update(ticket.id, {"meaning": "closed"}, version="", key="c")).meaning == "resolved"
    assert system.server.writes == before  # it has no other word for it
    again = await system.port.update(ticket.id, {"meaning": "open"}, version="", key="o")
    assert again.meaning == "open"


async def test_what_is_not_there_is_said_by_name(system: System) -> None:
    ticket = await opened(system)
    with pytest.raises(ActionError) as nobody:
        await system.port.update(ticket.id, {"assignee": "nobody-here"}, version="", key="u")
    assert nobody.value.error == "NoSuchUser"
    with pytest.raises(ActionError) as bad:
        await system.port.update(ticket.id, {"colour": "red"}, version="", key="u")
    assert bad.value.error == "BadChange"
    system.remove(ticket.id)
    for id in (ticket.id, "99999", "../../user", "OPS-1^NQactive=true"):
        with pytest.raises(ActionError) as gone:
            await system.port.read(id)
        assert gone.value.error == "NoSuchTicket"


async def test_issues_are_mirrored_whole_then_by_what_changed(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (connectors.github, connectors.jira, connectors.servicenow):
        monkeypatch.setattr(module, "PAGE", 3)
    ids = [(await opened(system, key=f"k{n}")).id for n in range(7)]
    if system.name == "github":
        system.server.pull_request("a change of code")
    seen: dict[str, Any] = {}
    cursor, pages = "", 0
    while True:
        page = await system.port.pull("issue", cursor)
        assert page.full
        seen |= {one.id: one for one in page.objects}
        cursor, pages = page.cursor, pages + 1
        if not page.more:
            break
    assert pages >= 3 and set(seen) == set(ids)
    one = seen[ids[0]]
    assert one.data["priority"] == "P2" and one.data["meaning"] == "open" and one.name == one.data["title"]
    system.set(ids[2], meaning="in_progress")
    changed: dict[str, Any] = {}
    for _ in range(9):
        page = await system.port.pull("issue", cursor)
        assert not page.full
        changed |= {each.id: each for each in page.objects}
        cursor = page.cursor
        if not page.more:
            break
    assert changed[ids[2]].data["meaning"] == "in_progress"
    with pytest.raises(ActionError) as lost:
        await system.port.pull("issue", "nonsense")
    assert lost.value.error == "CursorLost"


async def test_what_changes_while_changes_are_listed_hides_no_other(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that moves to the end of the list would shift those behind it onto a page that was read already."""
    for module in (connectors.github, connectors.jira, connectors.servicenow):
        monkeypatch.setattr(module, "PAGE", 2)
    ids = [(await opened(system, key=f"k{n}")).id for n in range(6)]
    monkeypatch.setattr(t, "OVERLAP_S", 3600.0)
    cursor, more = "", True
    while more:
        page = await system.port.pull("issue", cursor)
        cursor, more = page.cursor, page.more
    await asyncio.sleep(1.05)  # its times are whole seconds at most of them
    changed: set[str] = set()
    for number in range(20):
        page = await system.port.pull("issue", cursor)
        changed |= {one.id for one in page.objects}
        cursor = page.cursor
        if number == 0:
            system.set(ids[0], title="changed while they were listed")
        if not page.more:
            break
    assert changed == set(ids)


async def test_wrong_credentials_are_said_and_not_shown(system: System) -> None:
    assert await system.port.check()
    assert all(one.needed_for for one in await system.port.rights())
    make = {
        "github": lambda: built(connectors.github, system.server, "wrong-secret", repository="dockside/fleet"),
        "jira": lambda: built(
            connectors.jira, system.server, "wrong-secret", username=system.server.username, project="OPS"
        ),
        "servicenow": lambda: built(
            connectors.servicenow, system.server, "wrong-secret", username=system.server.username
        ),
    }
    port, _ = make[system.name]()
    with pytest.raises(ActionError) as caught:
        await port.check()
    assert caught.value.kind == "authentication" and "wrong-secret" not in caught.value.message
    await port.close()


async def test_files_are_attached_once_or_refused_with_the_reason(system: System) -> None:
    ticket = await opened(system)
    if "attach" in system.port.traits:
        with pytest.raises(ActionError) as caught:
            await system.port.attach(ticket.id, "b.json", b"{}", "application/json", key="f")
        assert caught.value.error == "Unsupported"
        return
    system.line.cut = 1
    with pytest.raises(InDoubt):
        await system.port.attach(ticket.id, "b.json", b"{}", "application/json", key="f")
    await system.port.attach(ticket.id, "b.json", b"{}", "application/json", key="f", in_doubt=True)
    files = system.server.files
    assert list(files.values() if isinstance(files, dict) else files) == [b"{}"]


# -- what only one of them does ----------------------------------------------------------------------------------------


async def test_github_reads_what_did_not_change_for_nothing_and_waits_out_a_secondary_limit() -> None:
    system = github()
    ticket = await opened(system)
    cursor = (await system.port.pull("issue", "")).cursor
    cursor = (await system.port.pull("issue", cursor)).cursor
    for _ in range(3):
        page = await system.port.pull("issue", cursor)
        if page.unchanged:
            break
        cursor = page.cursor
    assert page.unchanged and page.cursor == cursor and system.server.free_reads >= 1
    system.server.busy = 1
    await system.port.comment(ticket.id, "in spite of it", key="busy")
    assert system.writes("comment") == 1
    await system.port.close()


async def test_jira_says_which_ways_its_workflow_has() -> None:
    system = jira()
    ticket = await opened(system)
    with pytest.raises(ActionError) as caught:
        await system.port.update(ticket.id, {"meaning": "resolved"}, version="", key="u")
    assert caught.value.error == "NoTransition" and "In Progress" in caught.value.message
    system.server.limited = 1
    assert (await system.port.read(ticket.id)).id == ticket.id
    await system.port.close()


async def test_servicenow_says_what_was_taken_and_not_done() -> None:
    system = servicenow()
    ticket = await opened(system)
    system.server.kept = {"impact", "urgency"}
    with pytest.raises(ActionError) as caught:
        await system.port.update(ticket.id, {"priority": "P1"}, version="", key="u")
    assert caught.value.error == "Refused" and "priority" in caught.value.message
    system.server.kept = {"state"}
    with pytest.raises(ActionError) as stuck:
        await system.port.update(ticket.id, {"meaning": "in_progress"}, version="", key="u2")
    assert stuck.value.error == "NoTransition"
    await system.port.close()


# -- paging ------------------------------------------------------------------------------------------------------------


async def test_a_page_is_one_page_however_often_it_is_sent() -> None:
    server = PagerDutyServer()
    port, line = built(connectors.pagerduty, server, server.routing_key, rest_url=URL, rest_secret="rest")
    port._rest._transport = httpx.ASGITransport(app=server.app)
    port._rest.use(PagerDutyToken(lambda: server.rest_key))
    line.cut = 1
    server.throttled = 1
    for _ in range(2):
        key = await port.raise_(
            "P1 HAM2-amr-0417", severity="critical", source="HAM2-amr-0417", link="M-311", details={"a": 1}, key="M-311"
        )
    assert key == "M-311" and server.pages == 1
    for act in (port.acknowledge, port.acknowledge, port.resolve, port.resolve):
        await act("M-311")
    assert [one["status"] for one in server.incidents] == ["resolved"]
    await port.acknowledge("nobody-raised-this")
    assert server.pages == 1 and "routing_key" not in json.dumps([msgspec.to_builtins(one) for one in port._http.log])
    report = await conformance.check({"paging": port}, system="pd", now=time.time, write=True, given={"page": "yes"})
    conformance.assert_kept(report)
    seen: list[Any] = []
    cursor, more = "", True
    while more:
        page = await port.pull("page", cursor)
        seen, cursor, more = [*seen, *page.objects], page.cursor, page.more
    assert {one.data["key"]: one.state for one in seen}["M-311"] == "resolved"
    assert "2 abilities" in await port.check()
    wrong, _ = built(connectors.pagerduty, server, "wrong")
    with pytest.raises(ActionError) as caught:
        await wrong.raise_("x", severity="error", source="s", link="", details={}, key="k")
    assert caught.value.kind == "validation" and not caught.value.retryable
    assert "proven by the first page" in await wrong.check()
    await port.close()
    await wrong.close()


# -- webhooks ----------------------------------------------------------------------------------------------------------


def _signed(body: bytes, header: str, before: str = "sha256=") -> dict[str, str]:
    return {header: before + hmac.new(b"hook", body, hashlib.sha256).hexdigest()}


HOOKS = {
    "github": (
        connectors.github.connector, "x-hub-signature-256", {"x-github-event": "issues", "x-github-delivery": "d1"},
        {"action": "edited", "issue": {"number": 7, "state": "open"}}, "7",
    ),
    "jira": (
        connectors.jira.connector, "x-hub-signature", {"x-atlassian-webhook-identifier": "d1"},
        {"webhookEvent": "jira:issue_updated", "timestamp": 1_800_000_000_000, "issue": {"key": "OPS-7", "fields": {}}}, "OPS-7",
    ),
    "servicenow": (
        connectors.servicenow.connector, "x-hub-signature", {}, {"number": "INC0010007", "state": "2", "id": "d1"}, "INC0010007",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOOKS)
def test_a_webhook_is_a_hint_to_look_and_proven(name: str) -> None:
    connector, header, more, said, subject = HOOKS[name]
    body = json.dumps(said).encode()
    (told,) = connector.receive(_signed(body, header) | more, body, "hook", 1.0)  # type: ignore[attr-defined]
    assert (told.event, told.id, told.subject) == ("qd.remote.issue.told", "d1", subject)
    for wrong in ({}, {header: "sha256=00"}):
        with pytest.raises(BadSignature):
            connector.receive(wrong | more, body, "hook", 1.0)  # type: ignore[attr-defined]
    for bad in (b"[", b'{"issue": {"number": -1}, "number": "x^y", "webhookEvent": "jira:issue_x"}'):
        with pytest.raises(BadDelivery):
            connector.receive(_signed(bad, header) | more, bad, "hook", 1.0)  # type: ignore[attr-defined]


def test_pagerduty_tells_of_incidents_with_any_of_its_signatures() -> None:
    event = {
        "id": "e1", "event_type": "incident.acknowledged", "resource_type": "incident", "occurred_at": "2026-11-23T10:00:00Z",
        "data": {"id": "Q1", "status": "acknowledged", "incident_key": "M-311"},
    }  # fmt: skip
    body = json.dumps({"event": event}).encode()
    right = _signed(body, "x-pagerduty-signature", "v1=")["x-pagerduty-signature"]
    (told,) = connectors.pagerduty.connector.receive({"x-pagerduty-signature": f"v1=00,{right}"}, body, "hook", 1.0)
    assert (told.event, told.subject, told.data["key"]) == ("qd.remote.page.told", "Q1", "M-311")
    with pytest.raises(BadSignature):
        connectors.pagerduty.connector.receive({"x-pagerduty-signature": "v1=00"}, body, "hook", 1.0)


# -- texts -------------------------------------------------------------------------------------------------------------


def test_a_mark_is_a_last_line_and_nothing_else() -> None:
    assert unmarked(marked("one\n\ntwo", "k")) == ("one\n\ntwo", mark("k"))
    assert unmarked(f"[quarterdeck {mark('k')}] says who?") == (f"[quarterdeck {mark('k')}] says who?", "")


def test_text_survives_a_document_and_structure_becomes_lines() -> None:
    for text in ("one", "one\ntwo\n\nthree", "a\n\n\n\nb"):
        assert adf.text(adf.document(text)) == text
    listed = {"type": "doc", "content": [{"type": "bulletList", "content": [
        {"type": "listItem", "content": [{"type": "paragraph", "content": [{"type": "text", "text": word}]}]} for word in "ab"
    ]}]}  # fmt: skip
    assert adf.text(listed).split() == ["a", "b"]
    deep: Any = {"type": "text", "text": "x"}
    for _ in range(3000):
        deep = {"type": "panel", "content": [deep]}
    assert adf.text({"content": [deep]}) == ""
