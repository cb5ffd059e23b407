"""A real engine over contract servers of Jira and PagerDuty: an urgent case wakes somebody once and gets its ticket; what is
said of both on the command line. (The servers are built from the published documents; this is no test against either.)"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.connectors.engine_room import ROOT, EngineRoom, serving
from tests.services.contract.jira import JiraServer
from tests.services.contract.pagerduty import PagerDutyServer

pytestmark = pytest.mark.timeout(180)


async def qd(room: EngineRoom, *arguments: str) -> str:
    """The command line, as people use it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("QD_", "XDG_"))}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "app", "--socket", str(room.home.socket), *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


async def until(look: Any, what: str, room: EngineRoom) -> Any:
    limit = time.monotonic() + 60
    while True:
        if found := await look():
            return found
        assert time.monotonic() < limit, f"{what}\n{room.log[-2000:]}"
        await asyncio.sleep(0.3)


async def test_an_urgent_case_wakes_somebody_once_and_has_its_ticket(tmp_path: Path) -> None:
    jira, pager = JiraServer(), PagerDutyServer()
    async with serving(jira.app) as desk, serving(pager.app) as pages:
        options = {"username": jira.username, "project": jira.project}
        systems = {
            "ops-jira": {"kind": "jira", "url": desk, "secret": "jira", "options": options},
            "on-call": {"kind": "pagerduty", "url": pages, "secret": "pager"},
        }
        room = EngineRoom(tmp_path, systems, {"jira": jira.token, "pager": pager.routing_key})
        await room.start()
        try:
            opened = await room.command("case.open", robot="HAM2-amr-0417", symptom="smoke", impact=1, urgency=1)
            id = str(opened["result"]["id"])

            async def linked() -> Any:
                found = list((await room.get(f"/v1/cases/{id}/view")).get("tickets") or ())
                return found[0]["link"] if found and found[0]["link"].get("attached") else None

            link = await until(linked, "no ticket", room)
            assert jira.issues[link["ticket"]]["fields"]["priority"]["name"] == "Highest"

            async def woken() -> bool:
                return pager.pages == 1

            await until(woken, "nobody was woken", room)
            await room.command("case.claim", id)

            async def acknowledged() -> bool:
                return bool(pager.incidents[0]["status"] == "acknowledged")

            await until(acknowledged, "the page was not acknowledged", room)

            async def asked() -> Any:
                (one,) = (await room.get(f"/v1/cases/{id}/view"))["tickets"]
                return one["link"].get("conflicts")

            (conflict,) = await until(asked, "nobody is called so there, and nobody was told", room)
            assert conflict["field"] == "assignee" and "knows nobody" in conflict["why"]
            assert pager.pages == 1 and [one["event_action"] for one in pager.events] == ["trigger", "acknowledge"]

            listed = await qd(room, "tickets", "ls")
            assert f"ops-jira/{link['ticket']}" in listed and "conflict" in listed and "assignee" in listed
            shown = await qd(room, "tickets", "show", id)
            assert "knows nobody" in shown and f"qd tickets resolve {link['id']} --assignee ours|theirs" in shown
            foreseen = await qd(room, "tickets", "resolve", id, "--assignee", "theirs", "--dry-run")
            assert "is overwritten" in foreseen
            cases = await qd(room, "cases", "ls")
            assert f"ops-jira/{link['ticket']} !" in cases
            unlinked = await qd(room, "tickets", "unlink", id, "--reason", "kept in the other project")
            assert link["id"] in unlinked and "no ticket" not in unlinked
        finally:
            await room.close()
