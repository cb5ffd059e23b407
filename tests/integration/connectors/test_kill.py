"""The engine is killed between a remote effect and its record, at every action that writes to a remote system.

The proxy before each system kills the engine (SIGKILL) the moment the system has acted, and the answer is never passed on.
After a restart the run goes on to its end, and the system's own books are counted: the effect is there once. An action of
several writes is killed after each of them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec import Struct

from engine.capabilities.vault import Vault
from tests.integration.connectors.engine_room import EngineRoom, serving
from tests.integration.connectors.fault_proxy import FaultProxy
from tests.services.roundup import RoundupServer, roundup
from tests.unit.connectors.depot import KEY, Depot

__all__ = ["roundup"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
WRITES = ("POST", "PUT", "PATCH", "DELETE")
ASKING = ("@poe",)
"""POSTs that change nothing: Roundup's ask for a link that works once."""
LOG = b"motor log\n" * 100


class World:
    """The engine, the systems behind their proxies, and after which write it dies."""

    def __init__(self, roundup: RoundupServer) -> None:
        self.roundup, self.depot = roundup, Depot()
        self.proxies: dict[str, FaultProxy] = {}
        self.room: EngineRoom
        self.digest = ""
        self.armed = 0
        self.died_after: list[str] = []

    def acted(self, method: str, path: str, status: int) -> bool:
        """Called by the proxies when a system has answered; True: nobody hears of it."""
        if not self.room.alive:
            return True
        if not self.armed or method not in WRITES or status >= 400 or path.endswith(ASKING):
            return False
        self.armed -= 1
        if self.armed:
            return False
        self.room.kill()
        self.died_after.append(f"{method} {path.partition('?')[0]}")
        return True

    async def behind(self, stack: AsyncExitStack, name: str, upstream: str) -> str:
        proxy = await stack.enter_async_context(FaultProxy(upstream, answered=self.acted))
        self.proxies[name] = proxy
        return proxy.url

    async def ticket(self, system: str) -> str:
        """A ticket to write to, opened while nobody dies."""
        self.armed = 0
        run = await self.room.run_of("ticket.open", {"title": f"ground {uuid.uuid4().hex}", "system": system})
        return str((await self.room.output(run))["ticket"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(roundup: RoundupServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    found = World(roundup)
    folder = tmp_path_factory.mktemp("kill")
    definition = str(Path(__file__).parents[2] / "unit" / "connectors" / "depot.yaml")
    async with AsyncExitStack() as stack:
        desk = await found.behind(stack, "depot", await stack.enter_async_context(serving(found.depot.app)))
        tracker = roundup.settings()
        systems = {
            "depot": {"kind": "http", "url": desk, "secret": "depot", "options": {"definition": definition, "project": "fleet"}},
            "tracker": {**tracker, "url": await found.behind(stack, "tracker", roundup.url)},
        }  # fmt: skip
        quick = {
            "sim0": time.time(),
            "wall0": time.time(),
            "speed": 20.0,
        }  # waits between looks at an owner are seconds
        found.room = EngineRoom(folder, systems, {"depot": KEY, "roundup": roundup.password}, clock=quick)
        found.digest = Vault(found.room.home.state / "vault").put_bytes(LOG, media="text/plain").digest
        await found.room.start()
        try:
            yield found
        finally:
            await found.room.close()


class Case(Struct, frozen=True, kw_only=True):
    """`given` makes the action's input; `count` asks the system how often the effect is there; `writes` it consists of."""

    action: str
    system: str
    given: Callable[[World, str, str], dict[str, Any]]
    count: Callable[[World, str, str], int]
    writes: int = 1
    ticket: bool = False


def _issues(world: World, word: str, ticket: str) -> int:
    return world.roundup.count("issue", title=word)


def _messages(world: World, word: str, ticket: str) -> int:
    with world.roundup.client() as http:
        about = http.get(f"/issue/{ticket}").raise_for_status().json()["data"]["attributes"]
        said = [http.get(f"/msg/{one['id']}/content").json()["data"]["data"] for one in about["messages"]]
    return sum(word in text for text in said)


def _files(world: World, word: str, ticket: str) -> int:
    with world.roundup.client() as http:
        about = http.get(f"/issue/{ticket}").raise_for_status().json()["data"]["attributes"]
        names = [http.get(f"/file/{one['id']}").json()["data"]["attributes"]["name"] for one in about["files"]]
    return sum(word in name for name in names)


def _titled(world: World, word: str, ticket: str) -> int:
    with world.roundup.client() as http:
        return int(http.get(f"/issue/{ticket}").json()["data"]["attributes"]["title"] == word)


CASES = [
    Case(action="ticket.open", system="tracker", writes=2, given=lambda w, word, _: {"title": word, "body": "b"}, count=_issues),
    Case(
        action="ticket.comment", system="tracker", ticket=True, writes=2, count=_messages,
        given=lambda w, word, id: {"ticket": id, "text": word},
    ),
    Case(
        action="ticket.update", system="tracker", ticket=True, count=_titled,
        given=lambda w, word, id: {"ticket": id, "title": word},
    ),
    Case(
        action="ticket.attach", system="tracker", ticket=True, writes=2, count=_files,
        given=lambda w, word, id: {"ticket": id, "digest": w.digest, "name": word, "media": "text/plain"},
    ),
    Case(
        action="ticket.open", system="depot", given=lambda w, word, _: {"title": word, "body": "b"},
        count=lambda w, word, _: sum(t["subject"] == word for t in w.depot.tickets.values()),
    ),
    Case(
        action="ticket.comment", system="depot", ticket=True, given=lambda w, word, id: {"ticket": id, "text": word},
        count=lambda w, word, id: sum(word in c["words"] for c in w.depot.comments[id]),
    ),
    Case(
        action="ticket.update", system="depot", ticket=True, writes=2,
        given=lambda w, word, id: {"ticket": id, "title": word, "meaning": "resolved"},
        count=lambda w, word, id: w.depot.tickets[id]["revision"] - 2,
    ),
    Case(
        action="ticket.attach", system="depot", ticket=True,
        given=lambda w, word, id: {"ticket": id, "digest": w.digest, "name": word, "media": "text/plain"},
        count=lambda w, word, id: sum(word in f["name"] for f in w.depot.files[id]),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "last"),
    [pytest.param(c, n, id=f"{c.action}-{c.system}-{n}") for c in CASES for n in range(1, c.writes + 1)],
)
async def test_an_effect_whose_answer_nobody_heard_is_not_repeated(world: World, case: Case, last: int) -> None:
    word = f"kill-{uuid.uuid4().hex[:12]}"
    ticket = await world.ticket(case.system) if case.ticket else ""
    world.armed = last
    kills = world.room.kills
    run = await world.room.run_of(case.action, {**case.given(world, word, ticket), "system": case.system})
    await world.room.died(kills)
    assert case.count(world, word, ticket) in (0, 1)
    await world.room.start()
    ended = await world.room.ended(run)
    assert ended["run"]["status"] == "completed", f"after {world.died_after[-1]}: {ended['run']}"
    assert case.count(world, word, ticket) == 1, f"after {world.died_after[-1]}"
