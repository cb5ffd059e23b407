"""A case and its ticket, with a real engine and the real Roundup: both converge, what both changed waits for a person."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.integration.connectors.engine_room import EngineRoom
from tests.services.roundup import RoundupServer, roundup

__all__ = ["roundup"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(240)]
SYSTEM = "ops-desk"
PATIENCE = 90.0


@pytest.fixture
async def room(tmp_path: Path, roundup: RoundupServer) -> AsyncIterator[EngineRoom]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    secrets = {"roundup": roundup.password, "roundup-webhook": "told-by-the-desk"}
    hooks = {SYSTEM: {"secret": "roundup-webhook"}}
    made = EngineRoom(tmp_path, {SYSTEM: roundup.settings()}, secrets, webhooks=hooks, webhook_port=port)
    await made.start()
    yield made
    roundup.silent()
    await made.close()


async def until(look: Callable[[], Awaitable[Any]], what: str, room: EngineRoom) -> Any:
    """What `look` finds, once it finds something."""
    limit = time.monotonic() + PATIENCE
    while True:
        if found := await look():
            return found
        assert time.monotonic() < limit, f"{room.log[-3000:]}\n{await shown(room)}\n{what}"
        await asyncio.sleep(0.3)


async def shown(room: EngineRoom) -> str:
    """How the tickets stand, and the runs that brought them there."""
    tickets = (await room.get("/v1/records/ticket_link"))["rows"]
    runs = (await room.get("/v1/runs", limit="12"))["rows"]
    return msgspec.json.format(msgspec.json.encode([tickets, runs])).decode()


async def case(room: EngineRoom, id: str) -> dict[str, Any]:
    return dict(await room.get(f"/v1/cases/{id}/view"))


def port_of(room: EngineRoom) -> int:
    """Where webhooks come in."""
    return int(msgspec.yaml.decode((room.home.config / "quarterdeck.yaml").read_bytes())["webhook_port"])


async def synced(room: EngineRoom) -> None:
    """What changed there is looked at now; otherwise it would be within a minute."""
    await room.command("connector.sync", SYSTEM)


async def test_a_case_gets_its_ticket_and_both_converge(room: EngineRoom, roundup: RoundupServer) -> None:
    await synced(room)  # the first listing tells of nothing: it is what is there
    before = roundup.count()
    opened = await room.command(
        "case.open", robot="HAM2-amr-0417", symptom="left drive overcurrent", impact=2, urgency=1
    )
    id = str(opened["result"]["id"])

    async def ticket() -> dict[str, Any] | None:
        found = list((await case(room, id)).get("tickets") or ())
        linked = found and found[0]["link"]["state"] == "synced" and found[0]["link"].get("attached")
        return dict(found[0]["link"]) if linked else None

    link = await until(ticket, "no ticket was opened", room)
    number = link["ticket"]
    assert roundup.count() == before + 1
    with roundup.client() as http:
        there = http.get(f"/issue/{number}", params={"@verbose": "2"}).json()["data"]["attributes"]
        assert there["title"] == link["title"] and there["priority"]["name"] == "urgent" and len(there["files"]) == 1

    # changed there: it comes here
    roundup.set(number, priority="critical", assignedto="kay")
    roundup.say(number, "the bearing is ordered", "kay")
    await synced(room)

    async def taken() -> bool:
        now = (await case(room, id))["case"]
        texts = [one["text"] for one in now.get("notes", ())]
        return now["priority"] == 1 and now.get("assignee") == "kay" and texts == ["the bearing is ordered"]

    await until(taken, "what was changed there did not come here", room)
    assert (await case(room, id))["case"]["dispatch_hold"]  # P1, wherever it was said

    # changed here: it goes there, and a comment moves nothing there
    await room.command("case.note", id, text="on my way")
    await room.command("case.start", id)

    async def went() -> bool:
        with roundup.client() as http:
            found = http.get(f"/issue/{number}", params={"@verbose": "2"}).json()["data"]["attributes"]
        return found["status"]["name"] == "in-progress" and len(found["messages"]) == 3

    await until(went, "what was changed here did not go there", room)

    # told by the tracker itself: nobody waits for the next look
    roundup.tells(f"http://127.0.0.1:{port_of(room)}/hooks/{SYSTEM}", "told-by-the-desk")
    roundup.set(number, title="HAM2-amr-0417: wheel L")

    async def renamed() -> bool:
        return bool((await case(room, id))["case"]["title"] == "HAM2-amr-0417: wheel L")

    await until(renamed, "what the tracker told was not looked at", room)
    roundup.silent()
    told = await room.get("/v1/events", limit="1000")
    assert any(one["data"].get("event") == "qd.remote.issue.told" for one in told["rows"])

    # changed on both sides: neither is overwritten until somebody chose
    roundup.set(number, priority="wish")
    await room.command("case.weigh", id, impact=2, urgency=1, reason="one robot, a site waits")
    await synced(room)

    async def disagree() -> list[dict[str, Any]] | None:
        (one,) = (await case(room, id))["tickets"]
        return one["link"].get("conflicts") or None

    (conflict,) = await until(disagree, "nobody was asked", room)
    assert (conflict["field"], conflict["ours"], conflict["theirs"]) == ("priority", "P2", "P5")
    with roundup.client() as http:
        assert (
            http.get(f"/issue/{number}", params={"@verbose": "2"}).json()["data"]["attributes"]["priority"]["name"]
            == "wish"
        )
    assert (await case(room, id))["case"]["priority"] == 2
    await room.command("ticket.resolve", link["id"], priority="ours")

    async def settled() -> bool:
        with roundup.client() as http:
            found = http.get(f"/issue/{number}", params={"@verbose": "2"}).json()["data"]["attributes"]
        (one,) = (await case(room, id))["tickets"]
        return bool(found["priority"]["name"] == "urgent") and one["link"]["state"] == "synced"

    await until(settled, "what was chosen was not done", room)
    assert roundup.count() == before + 1  # one ticket, however often both were brought together
