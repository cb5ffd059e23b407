"""Each real server is cut off in the middle of a run: the run waits, says why, and goes on; nothing twice, nothing lost.

The cut comes in the worst moment, after the server has acted and before its answer is passed on. It lasts some seconds
here; `QD_PARTITION_S=60` makes it the full minute.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import httpx
import msgspec
import pytest

from tests.integration.connectors.engine_room import EngineRoom, serving
from tests.integration.connectors.fault_proxy import FaultProxy
from tests.services.fixtures import PrometheusServer, prometheus
from tests.services.roundup import RoundupServer, roundup
from tests.unit.connectors.depot import KEY, Depot

__all__ = ["prometheus", "roundup"]
SECONDS = float(os.environ.get("QD_PARTITION_S", "6"))
pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]
RETRY = {"attempts": 40, "first": "1s", "factor": 1.5, "cap": "5s"}
Way = Literal["drop", "refuse"]


class Cut:
    """Cuts its system off when it has acted for the `nth` time, and heals by itself after `SECONDS`."""

    def __init__(self, nth: int, how: Way) -> None:
        self._left, self._how = nth, how
        self.proxy: FaultProxy
        self.began = self.ended = 0.0
        self._healing: asyncio.Task[None] | None = None

    async def answered(self, method: str, path: str, status: int) -> bool:
        if method not in ("POST", "PATCH", "PUT") or status >= 400 or path.endswith("@poe") or self.began:
            return False
        self._left -= 1
        if self._left > 0:
            return False
        self.began = time.monotonic()
        await self.proxy.cut(self._how)
        self._healing = asyncio.create_task(self._heal())
        return True

    async def _heal(self) -> None:
        await asyncio.sleep(SECONDS)
        await self.proxy.heal()
        self.ended = time.monotonic()

    @property
    def on(self) -> bool:
        return bool(self.began) and not self.ended


async def _started(room: EngineRoom, name: str, steps: dict[str, Any]) -> str:
    """The keys hold the test's own word: several engines write to one server here, and each begins with run-1."""
    text = {
        "quarterdeck": 1, "workflow": name, "version": 1, "title": "Mid-run", "triggers": [{"manual": {"roles": ["operator"]}}],
        "defaults": {"escalate": {"role": "operator", "expires": "1h"}},
        "steps": {n: {"key": f"'{name}/{n}'", "timeout": "5m", "retry": RETRY, **step} for n, step in steps.items()},
    }  # fmt: skip
    await room.command("workflow.register", text=msgspec.yaml.encode(text).decode())
    await room.begin(name)
    return name


async def _seen_through(room: EngineRoom, run: str, cut: Cut, named: str) -> None:
    """Watches a run through the partition: it must wait, and say for whom, all the time; then it must end."""
    until = time.monotonic() + 120
    while not cut.began:
        assert time.monotonic() < until, f"nothing was written: {await room.show(run)}\n{room.log[-2000:]}"
        await asyncio.sleep(0.05)
    said: set[str] = set()
    while not cut.ended:
        shown = await room.show(run)
        if cut.on:
            assert shown["run"]["status"] not in ("completed", "failed"), shown["run"]
            said |= {f"{s.get('error', '')} {s.get('detail', '')}" for s in shown["steps"]}
            said |= {w["what"] for w in shown.get("waiting", ())}
        await asyncio.sleep(0.3)
    ended = await room.ended(run, 120)
    assert ended["run"]["status"] == "completed", ended["run"]
    assert any(named in words for words in said), f"nobody was told that {named} is away: {said}"


@pytest.fixture
async def room_of(tmp_path: Path) -> AsyncIterator[Any]:
    rooms: list[EngineRoom] = []

    async def make(systems: dict[str, Any], secrets: dict[str, str]) -> EngineRoom:
        for each in systems.values():
            each["options"] = {**each.get("options", {}), "timeout_s": 5.0}
        rooms.append(EngineRoom(tmp_path / f"home{len(rooms)}", systems, secrets))
        await rooms[-1].start()
        return rooms[-1]

    yield make
    for room in rooms:
        await room.close()


@pytest.mark.parametrize(("nth", "how"), [(2, "drop"), (3, "refuse")])
async def test_a_tracker_that_is_cut_off(roundup: RoundupServer, room_of: Any, nth: int, how: Way) -> None:
    word, cut = f"part-{uuid.uuid4().hex[:10]}", Cut(nth, how)
    async with FaultProxy(roundup.url, answered=cut.answered) as cut.proxy:
        room = await room_of({"tracker": {**roundup.settings(), "url": cut.proxy.url}}, {"roundup": roundup.password})
        said = [f"{word} {n}" for n in ("first", "second")]
        steps: dict[str, Any] = {"open": {"action": "ticket.open", "with": {"title": word, "body": "b"}}}
        for number, text in enumerate(said):
            steps[f"say{number}"] = {
                "action": "ticket.comment", "with": {"ticket": "${steps.open.output.ticket}", "text": text},
            }  # fmt: skip
        run = await _started(room, word, steps)
        await _seen_through(room, run, cut, "Roundup")
    assert roundup.count("issue", title=word) == 1
    with roundup.client() as http:
        id = http.get("/issue", params={"title": word}).json()["data"]["collection"][0]["id"]
        about = http.get(f"/issue/{id}").json()["data"]["attributes"]
        texts = [http.get(f"/msg/{m['id']}/content").json()["data"]["data"] for m in about["messages"]]
    assert [sum(text in one for one in texts) for text in said] == [1, 1]


async def test_an_alertmanager_that_is_cut_off(prometheus: PrometheusServer, room_of: Any) -> None:
    word, cut = f"part-{uuid.uuid4().hex[:10]}", Cut(1, "drop")
    async with FaultProxy(prometheus.alertmanager_url, answered=cut.answered) as cut.proxy:
        room = await room_of({"alertmanager": {"kind": "alertmanager", "url": cut.proxy.url}}, {})
        given = {"matchers": {"robot": word}, "seconds": 3600, "comment": "works in the hall"}
        run = await _started(room, word, {"mute": {"action": "alert.silence", "with": given}})
        await _seen_through(room, run, cut, "Alertmanager")
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        rows = (await http.get(f"{prometheus.alertmanager_url}/api/v2/silences")).json()
    assert sum(any(m["value"] == word for m in one["matchers"]) for one in rows) == 1


async def test_a_declared_system_that_is_cut_off(room_of: Any) -> None:
    word, cut, depot = f"part-{uuid.uuid4().hex[:10]}", Cut(2, "drop"), Depot()
    options = {"definition": str(Path(__file__).parents[2] / "unit" / "connectors" / "depot.yaml"), "project": "fleet"}
    async with serving(depot.app) as url, FaultProxy(url, answered=cut.answered) as cut.proxy:
        system = {"kind": "http", "url": cut.proxy.url, "secret": "depot", "options": options}
        room = await room_of({"depot": system}, {"depot": KEY})
        ticket = "${steps.open.output.ticket}"
        run = await _started(
            room, word,
            {
                "open": {"action": "ticket.open", "with": {"title": word, "body": "b"}},
                "say": {"action": "ticket.comment", "with": {"ticket": ticket, "text": word}},
                "rename": {"action": "ticket.update", "with": {"ticket": ticket, "title": "done"}},
            },
        )  # fmt: skip
        await _seen_through(room, run, cut, "Depot desk")
    assert sorted(depot.writes) == ["comment", "create", "update"]
