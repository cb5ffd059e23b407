"""The engine is killed between a remote effect and its record, at every action that writes to a remote system.

The proxy before each system kills the engine (SIGKILL) the moment the system has acted, and the answer is never passed on.
After a restart the run goes on to its end, and the system's own books are counted: the effect is there once. An action of
several writes is killed after each of them.
"""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from msgspec import Struct

from engine.capabilities import subjects
from engine.capabilities.vault import Vault
from tests.integration.connectors.engine_room import EngineRoom, serving
from tests.integration.connectors.fault_proxy import FaultProxy
from tests.services.contract.github import GitHubServer
from tests.services.contract.jira import JiraServer
from tests.services.contract.pagerduty import PagerDutyServer
from tests.services.contract.servicenow import ServiceNowServer
from tests.services.fixtures import PrometheusServer, prometheus
from tests.services.roundup import RoundupServer, roundup
from tests.unit.connectors.depot import KEY, Depot

__all__ = ["prometheus", "roundup"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
WRITES = ("POST", "PUT", "PATCH", "DELETE")
ASKING = ("@poe", "/search/jql")
"""POSTs that change nothing: Roundup's ask for a link that works once, Jira's search."""
LOG = b"motor log\n" * 100


class World:
    """The engine, the systems behind their proxies, and after which write it dies."""

    def __init__(self, roundup: RoundupServer, prometheus: PrometheusServer) -> None:
        self.roundup, self.alertmanager = roundup, prometheus.alertmanager_url
        self.servers: dict[str, Any] = {"depot": Depot()}
        self.room: EngineRoom
        self.digest = ""
        self.arm({})

    async def acted(self, system: str, method: str, path: str, status: int) -> bool:
        """Called by the proxies when a system has answered; True: nobody ever hears of it. Answers are held back until all
        systems of this round have acted; then the engine dies."""
        if not self.room.alive:
            return True
        if not self.armed.get(system) or method not in WRITES or status >= 400 or path.endswith(ASKING):
            return False
        self.armed[system] -= 1
        if self.armed[system]:
            return False
        self.died_after[system] = f"{method} {path.partition('?')[0]}"
        if any(self.armed.values()):
            await self.dead.wait()
        else:
            self.room.kill()
            self.dead.set()
        return True

    def arm(self, systems: Mapping[str, int]) -> None:
        """System -> which of its writes is the last that the engine sees."""
        self.armed, self.died_after, self.dead = dict(systems), {}, asyncio.Event()

    async def behind(self, stack: AsyncExitStack, name: str, upstream: str) -> str:
        return (await stack.enter_async_context(FaultProxy(upstream, answered=partial(self.acted, name)))).url

    async def done(self, action: str, given: dict[str, Any]) -> Any:
        """An action's output, while nobody dies."""
        return await self.room.output(await self.room.run_of(action, given))

    def written(self, system: str) -> int:
        """How much the server has done so far, by its own account."""
        return len(getattr(self.servers.get(system), "writes", ()))


CONTRACT: dict[str, Any] = {
    "jira": JiraServer,
    "servicenow": ServiceNowServer,
    "github": GitHubServer,
    "pagerduty": PagerDutyServer,
}
"""Systems that can't be had here: servers built from their published documents."""


def _settings(name: str, server: Any) -> tuple[str, dict[str, Any]]:
    """The secret and the options of a contract server."""
    if name == "jira":
        return server.token, {"username": server.username, "project": server.project}
    if name == "servicenow":
        return server.password, {"username": server.username}
    if name == "github":
        return server.token, {"repository": server.repository}
    return server.routing_key, {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    roundup: RoundupServer, prometheus: PrometheusServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    found = World(roundup, prometheus)
    async with AsyncExitStack() as stack:
        desk = await found.behind(stack, "depot", await stack.enter_async_context(serving(found.servers["depot"].app)))
        options = {
            "definition": str(Path(__file__).parents[2] / "unit" / "connectors" / "depot.yaml"),
            "project": "fleet",
        }
        systems: dict[str, Any] = {
            "depot": {"kind": "depot", "url": desk, "secret": "depot", "options": {"project": "fleet"}},
            "tracker": {**roundup.settings(), "url": await found.behind(stack, "tracker", roundup.url)},
            "alertmanager": {
                "kind": "alertmanager",
                "url": await found.behind(stack, "alertmanager", prometheus.alertmanager_url),
            },
        }
        secrets = {"depot": KEY, "roundup": roundup.password}
        for name, make in CONTRACT.items():
            server = found.servers[name] = make()
            secrets[name], options = _settings(name, server)
            url = await found.behind(stack, name, await stack.enter_async_context(serving(server.app)))
            systems[name] = {"kind": name, "url": url, "secret": name, "options": options}
        quick = {
            "sim0": time.time(),
            "wall0": time.time(),
            "speed": 20.0,
        }  # waits between looks at an owner are seconds
        found.room = EngineRoom(tmp_path_factory.mktemp("kill"), systems, secrets, clock=quick)
        (found.room.home.config / "connectors").mkdir()
        shutil.copy(
            Path(__file__).parents[2] / "unit" / "connectors" / "depot.yaml", found.room.home.config / "connectors"
        )
        found.digest = Vault(found.room.home.state / "vault").put_bytes(LOG, media="text/plain").digest
        await found.room.start()
        try:
            yield found
        finally:
            await found.room.close()


class Case(Struct, frozen=True, kw_only=True):
    """`before` prepares what the action works on; `given` makes its input of that and a word of its own; `count` asks the
    system how often the effect is there (a word: how often it is among what the server says it did); `writes` it takes
    (the engine dies after each, or after the last)."""

    action: str
    system: str
    given: Callable[[World, str, str], dict[str, Any]]
    count: Callable[[World, str, str], int] | str
    before: Callable[[World, str], Awaitable[str]] | None = None
    writes: int = 1
    each: bool = True
    named: bool = True


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


def _silences(world: World, word: str, _: str, *, active: bool = True) -> int:
    rows = httpx.get(f"{world.alertmanager}/api/v2/silences", timeout=10, trust_env=False).raise_for_status().json()
    ours = [one for one in rows if any(word == m["value"] for m in one["matchers"])]
    return sum((one["status"]["state"] != "expired") == active for one in ours)


def _pages(world: World, word: str, _: str) -> int:
    return sum(one["title"] == word for one in world.servers["pagerduty"].incidents)


def _paged(status: str) -> Callable[[World, str, str], int]:
    return lambda w, word, id: sum(
        one["incident_key"] == id and one["status"] == status for one in w.servers["pagerduty"].incidents
    )


async def _ticket(world: World, system: str) -> str:
    made = await world.done("ticket.open", {"title": f"ground {uuid.uuid4().hex}", "system": system})
    return str(made["ticket"])


async def _page(world: World, system: str) -> str:
    key = uuid.uuid4().hex
    await world.done("page.raise", {"summary": "ground", "source": "test", "key": key, "system": system})
    return key


async def _silence(world: World, system: str) -> str:
    given = {"matchers": {"robot": "ground"}, "seconds": 3600, "comment": "test", "system": system}
    return str((await world.done("alert.silence", given))["silence"])


def _open(w: World, word: str, _: str) -> dict[str, Any]:
    return {"title": word, "body": "b"}


def _say(w: World, word: str, id: str) -> dict[str, Any]:
    return {"ticket": id, "text": word}


def _rename(w: World, word: str, id: str) -> dict[str, Any]:
    return {"ticket": id, "title": word}


def _attach(w: World, word: str, id: str) -> dict[str, Any]:
    return {"ticket": id, "digest": w.digest, "name": word, "media": "text/plain"}


def _mute(w: World, word: str, _: str) -> dict[str, Any]:
    return {"matchers": {"robot": word}, "seconds": 3600, "comment": "works in the hall"}


CASES = [
    Case(action="ticket.open", system="tracker", writes=2, each=False, given=_open, count=_issues),
    Case(action="ticket.comment", system="tracker", before=_ticket, writes=2, given=_say, count=_messages),
    Case(action="ticket.update", system="tracker", before=_ticket, given=_rename, count=_titled),
    Case(action="ticket.attach", system="tracker", before=_ticket, writes=2, each=False, given=_attach, count=_files),
    Case(action="ticket.open", system="depot", given=_open, count="create"),
    Case(action="ticket.comment", system="depot", before=_ticket, given=_say, count="comment"),
    Case(action="ticket.update", system="depot", before=_ticket, given=_rename, count="update"),
    Case(action="ticket.attach", system="depot", before=_ticket, given=_attach, count="attach"),
    *(
        Case(action=action, system=system, before=before, given=given, count=count)
        for system in ("jira", "servicenow", "github")
        for action, before, given, count in (
            ("ticket.open", None, _open, "create"),
            ("ticket.comment", _ticket, _say, "comment" if system != "servicenow" else "update"),
            ("ticket.update", _ticket, _rename, "update"),
            ("ticket.attach", _ticket, _attach, "attach"),
        )
        if (system, action) != ("github", "ticket.attach")  # its interface takes no files
    ),
    Case(
        action="page.raise", system="pagerduty", count=_pages,
        given=lambda w, word, _: {"summary": word, "source": "test", "severity": "critical"},
    ),
    Case(
        action="page.acknowledge", system="pagerduty", before=_page, count=_paged("acknowledged"),
        given=lambda w, word, id: {"key": id},
    ),
    Case(
        action="page.resolve", system="pagerduty", before=_page, count=_paged("resolved"),
        given=lambda w, word, id: {"key": id},
    ),
    Case(action="alert.silence", system="alertmanager", given=_mute, count=_silences),
    Case(action="alert.silence", system="depot", given=_mute, count="mute"),
    Case(
        action="alert.unsilence", system="alertmanager", before=_silence, named=False,
        given=lambda w, word, id: {"silence": id, "reason": "over"},
        count=lambda w, word, _: _silences(w, "ground", "", active=False),
    ),
    Case(
        action="notify.tell", system="depot", named=False, count="note",
        given=lambda w, word, _: {"channel": "ops@depot", "once": word, "title": word, "text": "t"},
    ),
]  # fmt: skip


def _rounds() -> list[dict[str, tuple[Case, int]]]:
    """Every case and each of its writes, as many at once as there are systems: an engine's death is dear."""
    rounds: list[dict[str, tuple[Case, int]]] = []
    for case in CASES:
        for last in range(case.writes, 0, -1) if case.each else (case.writes,):
            free = next((one for one in rounds if case.system not in one), None)
            if free is None:
                rounds.append(free := {})
            free[case.system] = (case, last)
    return rounds


@pytest.mark.parametrize("number", range(len(_rounds())))
async def test_an_effect_whose_answer_nobody_heard_is_not_repeated(world: World, number: int) -> None:
    round, word = _rounds()[number], f"kill-{uuid.uuid4().hex[:12]}"
    world.arm({})
    if not world.room.alive:  # an earlier round failed half-way
        await world.room.start()
    about = {name: await case.before(world, name) if case.before else "" for name, (case, _) in round.items()}
    before, kills = {name: world.written(name) for name in round}, world.room.kills
    runs: dict[str, str] = {}
    for name, (case, _) in round.items():
        given = case.given(world, word, about[name]) | ({"system": name} if case.named else {})
        runs[name] = await world.room.workflow_of(case.action, given)
    world.arm({name: last for name, (_, last) in round.items()})
    await asyncio.gather(*(world.room.begin(run) for run in runs.values()))
    await world.room.died(kills)

    def count(name: str) -> int:
        case = round[name][0]
        if isinstance(case.count, str):
            return sum(one.startswith(case.count) for one in world.servers[name].writes[before[name] :])
        return case.count(world, word, about[name])

    died = dict(world.died_after)
    assert max(count(name) for name in round) <= 1
    await world.room.start()
    for name, (case, last) in round.items():
        told = f"{case.action} at {name}, killed after write {last} ({died[name]})"
        ended = await world.room.ended(runs[name])
        assert ended["run"]["status"] == "completed", f"{told}: {ended['run']}"
        assert count(name) == 1, f"{told}: it is there {count(name)} times"


async def _until(look: Callable[[], Awaitable[bool]], what: str, world: World, seconds: float = 90) -> None:
    limit = time.monotonic() + seconds
    while not await look():
        assert time.monotonic() < limit, f"{what}\n{world.room.log[-2000:]}"
        await asyncio.sleep(0.3)


async def test_a_case_has_one_ticket_one_page_and_one_comment(world: World) -> None:
    """ticket.raise, page.case and ticket.sync, as the shipped workflows ask for them."""
    depot, pager = world.servers["depot"], world.servers["pagerduty"]
    if not world.room.alive:
        await world.room.start()

    async def dies(armed: dict[str, int], verb: str, target: str = "", **args: Any) -> None:
        kills = world.room.kills
        world.arm(armed)
        with suppress(httpx.TransportError):
            await world.room.command(verb, target, **args)
        await world.room.died(kills)
        await world.room.start()

    writes, pages = len(depot.writes), len(pager.incidents)
    said = {"robot": "HAM2-amr-0417", "symptom": "left drive overcurrent", "impact": 1, "urgency": 1}
    await dies({"depot": 1, "pagerduty": 1}, "case.open", **said)
    found: list[dict[str, Any]] = []

    async def linked() -> bool:
        found[:] = (await world.room.get("/v1/records/ticket_link", state="synced")).get("rows", [])
        return len(found) == 1 and bool(found[0].get("attached")) and len(pager.incidents) > pages

    await _until(linked, "the case has no ticket or nobody was woken", world)
    await dies({"depot": 1}, "case.note", found[0]["case"], text="on my way")

    async def told() -> bool:
        return "comment" in depot.writes[writes:]

    await _until(told, "the note did not come over", world)
    await asyncio.sleep(2)  # forty seconds of the engine's: whoever would say it again has done it
    assert depot.writes[writes:].count("create") == 1 and len(pager.incidents) == pages + 1
    assert depot.writes[writes:].count("comment") == 1


ELSEWHERE = {
    "rollout.advance": "connectors/test_kill_updates.py",
    "rollout.pause": "connectors/test_kill_updates.py",
    "rollout.retry": "connectors/test_kill_updates.py",
    "owner.create": "connectors/test_kill_updates.py",
    "rollout.revert": "connectors/test_kill_updates.py",
    "owner.move": "connectors/test_kill_updates.py",
    "owner.next": "connectors/test_kill_updates.py",
    "training.submit": "connectors/test_kill_training.py",
    "training.follow": "connectors/test_kill_training.py",
    "training.stop": "connectors/test_kill_training.py",
    "gateway.run": "test_gateway_sessions.py",
    "registry.register": "heavy/test_engine.py",
    "registry.alias": "heavy/test_engine.py",
    "registry.tag": "heavy/test_engine.py",
    "object.put": "heavy/test_engine.py",
    "object.remove": "heavy/test_engine.py",
    "labels.push": "heavy/test_engine.py",
}
"""Actions killed by another file of this folder's parent."""
HERE_BY_A_CASE = ("ticket.raise", "ticket.sync", "page.case")
LEAVE_NOTHING = {
    "alert.intake": "writes records only",
    "alert.over": "writes records only",
    "labels.pull": "only reads at the owner",
    "object.get": "only reads at the owner",
    "registry.fetch": "only reads at the owner",
    "page.told": "writes records only",
    "registry.note": "writes records only",
    "ticket.plan": "writes records only",
}


async def test_no_action_that_writes_to_a_remote_system_is_forgotten() -> None:
    remote = {name for name, action in subjects.actions().items() if action.reads_back and action.effect != "read"}
    killed = {case.action for case in CASES} | {*ELSEWHERE, *HERE_BY_A_CASE}
    assert remote - killed - LEAVE_NOTHING.keys() == set(), "say where the engine is killed under these"
    for action, file in ELSEWHERE.items():
        text = (Path(__file__).parent.parent / file).read_text("utf-8")
        assert action in text and "kill" in text, f"{file} does not kill the engine under {action}"
