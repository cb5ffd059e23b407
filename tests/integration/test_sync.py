"""The mirror at size, killed at any moment, and against a real update server that goes away and comes back."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.benchmarks.harness_shelf import served
from tests.benchmarks.sync import measure
from tests.e2e.installation import Installation
from tests.integration.connectors.fault_proxy import FaultProxy
from tests.services.fixtures import GooseBitServer, goosebit, operator  # noqa: F401
from tests.unit.systems.owner import names, told

ROOT = Path(__file__).parents[2]
SPEED = 120.0
"""How much faster the engine's clock runs: a feed of a minute is read every two seconds, STALE comes within seconds."""


async def test_ten_thousand_objects_cold_and_warm_and_flat(tmp_path: Path) -> None:
    with served(10_000) as url:
        found = await measure(tmp_path / "quarterdeck.db", url, 10_000, 1)
    assert found["cold_s"] < 60
    assert max(found["warm_cursor_s"], found["warm_etag_s"], found["warm_listing_s"]) < 5
    assert found["changed_events"] == found["changed"] == 100
    assert found["mb_after_rounds"] - found["mb_after_cold"] < 30, found
    assert found["mb_after_cold"] - found["mb_before"] < 120, found


def test_killed_anywhere_every_difference_is_told_once(tmp_path: Path) -> None:
    database, chance = tmp_path / "quarterdeck.db", random.Random(7)
    with served(3000) as url:
        command = [sys.executable, "-m", "tests.integration.sync_process", str(database), url]

        def start() -> subprocess.Popen[str]:
            return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

        def change(count: int) -> None:
            httpx.post(f"{url}/change/{count}", timeout=10, trust_env=False).raise_for_status()

        first = start()
        assert first.stdout is not None and [first.stdout.readline(), first.stdout.readline()][1].startswith("3000")
        first.kill(), first.wait()
        for _ in range(3):
            change(chance.randrange(500, 1500))
            process = start()
            assert process.stdout is not None and process.stdout.readline() == "open\n"
            time.sleep(chance.uniform(0.0, 0.12))
            process.kill(), process.wait()
        last = start()
        assert last.stdout is not None
        lines = [last.stdout.readline() for _ in range(3)]
        assert lines[0] == "open\n" and lines[2] == "0 \n"
        last.kill(), last.wait()

        truth: dict[str, int] = {}
        at = 0
        while True:
            page = httpx.get(f"{url}/things?list={at}", timeout=10, trust_env=False).json()
            truth |= {thing["id"]: thing["version"] for thing in page["things"]}
            at = page["next"]
            if not at:
                break
    connection = sqlite3.connect(database)
    rows = connection.execute("select id, data from mirror where kind = 'thing'")
    mirrored = {id_: json.loads(data)["version"] for id_, data in rows}
    connection.close()
    assert mirrored == truth
    heard = [each["data"] for each in told(database) if each["event"].startswith("qd.remote.thing.")]
    versions = Counter((each["id"], each["data"]["version"]) for each in heard)
    assert set(versions.values()) == {1}, "nothing is told twice"
    newest = {id_: max(v for i, v in versions if i == id_) for id_, _ in versions}
    assert newest == {id_: version for id_, version in truth.items() if version}, "nothing is lost"


class Site(Installation):
    """An engine whose socket is asked directly."""

    def ask(self, method: str, path: str, **more: Any) -> Any:
        transport = httpx.HTTPTransport(uds=str(self.home / "run" / "engine.sock"))
        with httpx.Client(transport=transport, base_url="http://engine", timeout=60) as client:
            return client.request(method, path, **more)

    def get(self, path: str) -> Any:
        return self.ask("GET", path).raise_for_status().json()

    def command(self, verb: str, target: str = "", **args: Any) -> Any:
        body = {"id": f"test-{verb}-{time.monotonic_ns()}", "target": target, "args": args}
        return self.ask("POST", f"/v1/commands/{verb}", json=body)

    def feed(self, system: str, kind: str) -> dict[str, Any]:
        return next((f for f in self.get(f"/v1/connectors/{system}").get("feeds", ()) if f["kind"] == kind), {})

    def objects(self, **query: str) -> dict[str, Any]:
        found = self.get("/v1/mirror?" + "&".join(f"{k}={v}" for k, v in {**query, "limit": "500"}.items()))
        return {one["id"]: one for one in found.get("objects", ())}


def until(found: Callable[[], Any], seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, what
        time.sleep(0.2)
    return value


@pytest.fixture
def site(tmp_path: Path) -> Any:
    made = Site(tmp_path / "home")
    folder = made.home / "config"
    folder.mkdir(parents=True, mode=0o700)
    clock = {"sim0": time.time(), "wall0": time.time(), "speed": SPEED}
    (folder / "quarterdeck.yaml").write_bytes(msgspec.yaml.encode({"environment": "sandbox", "clock": clock}))
    started = made.run("engine", "start", "--json")
    assert started.returncode == 0, started.stderr
    try:
        yield made
    finally:
        made.stop()


def register(server: GooseBitServer, *robots: str) -> None:
    """Robots as the server sees them first: they poll."""
    for robot in robots:
        asked = httpx.get(f"{server.ddi_url}/{robot}", timeout=10, trust_env=False)
        asked.raise_for_status()


@pytest.mark.service
async def test_a_real_update_server_goes_away_and_everything_catches_up(
    site: Site,
    goosebit: GooseBitServer,  # noqa: F811
) -> None:
    register(goosebit, *(f"sync-{n:02}" for n in range(8)))
    async with FaultProxy(goosebit.url) as proxy:
        await asyncio.to_thread(_away_and_back, site, goosebit, proxy, asyncio.get_running_loop())


def _away_and_back(site: Site, server: GooseBitServer, proxy: FaultProxy, loop: asyncio.AbstractEventLoop) -> None:
    def there(doing: Any) -> None:
        asyncio.run_coroutine_threadsafe(doing, loop).result(30)

    options = {"username": server.username}
    add = {"name": "bit", "kind": "goosebit", "url": proxy.url, "secret": "bit", "options": options}
    refused = site.command("connector.add", **add).json()
    assert (refused["code"], refused["field"]) == ("no_secret", "args.secret"), refused
    site.ask("PUT", "/v1/secrets/bit", content="not the password").raise_for_status()
    wrong = site.command("connector.add", **add).json()
    assert (wrong["code"], wrong["field"]) == ("not_connected", "args.secret"), wrong
    site.ask("PUT", "/v1/secrets/bit", content=server.password + "\n").raise_for_status()

    began = time.monotonic()
    added = site.command("connector.add", **add).json()
    assert "gooseBit" in added["result"]["test"]["says"], added
    assert {r["name"] for r in added["result"]["test"]["rights"] if r.get("has")} >= {"goosebit.device.read"}
    until(lambda: len(site.objects(system="bit", kind="device")) >= 8, 30, "the devices were mirrored")
    assert time.monotonic() - began < 60
    until(lambda: site.feed("bit", "device").get("state") == "fresh", 10, "the feed is fresh")
    database = site.home / "state" / "quarterdeck.db"
    assert names(told(database)) == []

    there(proxy.cut("refuse"))
    with operator(server) as http:
        for n in range(5):  # meanwhile life goes on there
            body = {"devices": [f"sync-{n:02}"], "feed": f"feed-{n}"}
            http.patch("/api/v1/devices", json=body).raise_for_status()
        http.request("DELETE", "/api/v1/devices", json={"devices": ["sync-07"]}).raise_for_status()
    register(server, "sync-99")
    stale = until(lambda: _in_state(site, "stale"), 40, "what is old is called STALE")
    assert stale["error"] and stale["failures"] and stale["objects"] >= 8
    health = next(c for c in site.get("/v1/status")["connectors"] if c["name"] == "bit")
    assert not health["ok"] and "STALE" in health["message"]
    assert names(told(database)) == []

    there(proxy.heal())
    until(lambda: _in_state(site, "fresh"), 60, "it caught up")
    heard = [name for name in names(told(database)) if "sync-" in name]
    assert sorted(heard) == sorted([*(f"changed sync-{n:02}" for n in range(5)), "created sync-99", "deleted sync-07"])
    gone = site.objects(system="bit", kind="device", state="deleted")
    assert set(gone) == {"sync-07"}
    words = [
        each["event"]
        for each in told(database)
        if each["event"].startswith("qd.sync.") and each["data"]["kind"] == "device"
    ]
    assert words == ["qd.sync.completed", "qd.sync.stale", "qd.sync.recovered"]

    done = site.command("connector.sync", "bit", full=True).json()
    assert {f["kind"]: f.get("error", "") for f in done["result"]["feeds"]} == {
        "device": "",
        "software": "",
        "rollout": "",
    }
    removed = site.command("connector.remove", "bit", phrase="remove bit", forget_secret=True).json()
    assert removed["result"]["secrets_forgotten"] == ["bit"]
    assert site.objects() == {} and site.get("/v1/secrets").get("names", []) == []


def _in_state(site: Site, state: str) -> dict[str, Any]:
    feed = site.feed("bit", "device")
    return feed if feed.get("state") == state else {}
