"""Simulated robots for real servers: they poll an update server over hawkBit's DDI and export metrics for Prometheus.

    python -m tests.services.robots --ddi URL [--count 24] [--version 1.0.0] [--poll 1] [--speed 3600] [--seed 1]

Prints one JSON object ({"url": …, "pid": …}) when it listens, and lives until SIGTERM.

GET  /metrics   the series the console reads (robot_info, robot_mode, robot_interventions_total, …)
GET  /truth     {"versions": {robot: version}, "installs": [{t, robot, from, to, result}]}
POST /set       {"fail": {"1.1.0": ["HAM2-AMR-01"] | "*"}, "rate": {"1.1.0": 20}, "offline": [ids], "dark": [ids],
                 "floor": {"HAM2-AMR-01": "1.1.0"}, "busy": [ids] | "*"}; each key given replaces what it said before.
                 A busy robot polls and reports, but puts off what it is told to install.

Real time is short, so what robots count runs ahead of it: with --speed 3600 a robot works an hour per second, and
interventions come at that pace. Timestamps, polls and installs stay in real time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import time
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

SITES = (
    ("HAM2", "eu", "Nordlicht"),
    ("UTR1", "eu", "Van Dijk"),
    ("AUS3", "us", "Lone Star"),
    ("OSA1", "apac", "Kansai"),
)
VARIANTS = ("rev-A", "rev-B", "rev-C")
BOARD = "amr-600"
BASE_PER_H = 0.06
TICK_S = 0.25


def newer(a: str, b: str) -> bool:
    return [int(x) for x in a.split(".")] > [int(x) for x in b.split(".")]


class Robot:
    def __init__(self, index: int, fleet: Fleet) -> None:
        sites = SITES[: fleet.options.sites]
        site, region, customer = sites[index % len(sites)]
        self.id = f"{site}-AMR-{index // len(sites) + 1:02d}"
        self.variant = VARIANTS[index % len(VARIANTS)]
        self.labels = {
            "serial": f"S-{index:05d}",
            "site": site,
            "region": region,
            "customer": customer,
            "variant": self.variant,
            "model": BOARD,
        }
        self.fleet, self.version = fleet, fleet.options.version
        self.random = random.Random(f"{fleet.options.seed}:{self.id}")
        self.operating = self.heartbeats = self.interventions = self.tasks = 0.0
        self.hazard = self.random.expovariate(1.0)
        self.installing = False

    # -- what it counts -----------------------------------------------------------------------------------------------

    def tick(self, seconds: float) -> None:
        if self.id not in self.fleet.offline:
            self.heartbeats += seconds / self.fleet.options.heartbeat
        if self.installing:
            return
        hours = seconds * self.fleet.options.speed / 3600
        self.operating += hours * 3600
        self.tasks += hours * 12
        self.hazard -= BASE_PER_H * hours * self.fleet.rate.get(self.version, 1.0)
        while self.hazard <= 0:
            self.interventions += 1
            self.hazard += self.random.expovariate(1.0)

    # -- the update agent ---------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"{self.fleet.options.ddi.rstrip('/')}/{self.id}"

    async def live(self) -> None:
        await asyncio.sleep(self.random.uniform(0, self.fleet.options.poll))
        while True:
            if self.id not in self.fleet.offline:
                with contextlib.suppress(httpx.HTTPError):  # a robot tries again at its next poll
                    await self.poll()
            await asyncio.sleep(self.fleet.options.poll)

    async def poll(self) -> None:
        answer = (await self.fleet.http.get(self.url)).raise_for_status().json()
        links = answer.get("_links", {})
        if "configData" in links:
            data = {"hw_boardname": BOARD, "hw_revision": self.variant, "sw_version": self.version}
            await self.fleet.http.put(links["configData"]["href"], json={"mode": "merge", "data": data})
        if "deploymentBase" in links and self.fleet.busy != "*" and self.id not in self.fleet.busy:
            await self.install(links["deploymentBase"]["href"])

    async def install(self, href: str) -> None:
        action = (await self.fleet.http.get(href)).json()
        if not action:
            return
        chunk = action["deployment"]["chunks"][0]
        artifact, target, before = chunk["artifacts"][0], chunk["version"], self.version
        await self.report(href, "proceeding", "none", "Downloaded 40%")
        image = (await self.fleet.http.get(artifact["_links"]["download"]["href"])).content
        problem = ""
        if hashlib.sha1(image).hexdigest() != artifact["hashes"]["sha1"]:
            problem = "download failed: checksum mismatch"
        await self.report(href, "proceeding", "none", "Downloaded 100%", "Installing")
        floor = self.fleet.floor.get(self.id, "0.0.0")
        if newer(floor, target) and not newer(target, before):
            problem = f"bootloader refused {target}: anti-rollback floor is {floor}"
        failing = self.fleet.fail.get(target, ())
        if failing == "*" or self.id in failing:
            problem = "self test failed: lidar timeout"
        self.installing = True
        await asyncio.sleep(self.fleet.options.install)
        self.installing = False
        if problem:
            await self.report(href, "closed", "failure", problem)
        else:
            self.version = target
            self.operating = self.interventions = self.tasks = 0.0  # its exporter starts again
            await self.report(href, "closed", "success", "Installed")
        self.fleet.installs.append(
            {
                "t": time.time(),
                "robot": self.id,
                "from": before,
                "to": target,
                "result": "failure" if problem else "success",
            }
        )

    async def report(self, href: str, execution: str, finished: str, *details: str) -> None:
        body = {"status": {"execution": execution, "result": {"finished": finished}, "details": list(details)}}
        (await self.fleet.http.post(f"{href.partition('?')[0]}/feedback", json=body)).raise_for_status()


class Fleet:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.http = httpx.AsyncClient(timeout=20, follow_redirects=True, trust_env=False)
        self.fail: dict[str, Any] = {}
        self.rate: dict[str, float] = {}
        self.offline: set[str] = set()
        self.dark: set[str] = set()
        self.floor: dict[str, str] = {}
        self.busy: Any = ()
        self.installs: list[dict[str, Any]] = []
        self.robots = [Robot(i, self) for i in range(options.count)]

    async def run(self) -> None:
        # one of each hardware first: the server makes duplicate rows when new hardware registers twice at once
        for robot in self.robots[: len(VARIANTS)]:
            await robot.poll()
        await asyncio.gather(self.count(), *(r.live() for r in self.robots))

    async def count(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            for robot in self.robots:
                robot.tick(now - last)
            last = now

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    async def metrics(self, request: Request) -> Response:
        lines: list[str] = []
        for r in self.robots:
            own = [
                ("robot_info", r.labels, 1),
                ("robot_poll_interval_seconds", {}, self.options.poll),
                ("robot_rollback_floor_info", {"version": self.floor.get(r.id, "0.0.0")}, 1),
            ]
            if r.id not in self.dark and r.id not in self.offline:
                own += [
                    ("robot_mode", {"mode": "AUTOMATIC"}, 1),
                    ("robot_software_info", {"version": r.version}, 1),
                    ("robot_battery_ratio", {}, 0.8),
                    ("robot_charging", {}, 0),
                    ("robot_busy", {}, 0),
                    ("robot_disk_free_bytes", {}, 6.2e9),
                    ("robot_last_heartbeat_timestamp_seconds", {}, time.time()),
                    ("robot_heartbeats_total", {}, int(r.heartbeats)),
                    ("robot_operating_seconds_total", {}, r.operating),
                    ("robot_interventions_total", {}, r.interventions),
                    ("robot_tasks_total", {}, int(r.tasks)),
                    ("robot_task_seconds_total", {}, int(r.tasks) * 240),
                    ("robot_localization_fatal_total", {}, 0),
                    ("robot_safety_events_total", {}, 0),
                ]
            for name, labels, value in own:
                text = ",".join(f'{k}="{v}"' for k, v in {"robot": r.id, **labels}.items())
                lines.append(f"{name}{{{text}}} {value}")
        lines.sort()  # series of one metric stand together, as the text format wants it
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")

    async def truth(self, request: Request) -> Response:
        return JSONResponse({"versions": {r.id: r.version for r in self.robots}, "installs": self.installs})

    async def set(self, request: Request) -> Response:
        given = await request.json()
        for name in ("fail", "rate", "floor", "busy"):
            if name in given:
                setattr(self, name, given[name])
        for name in ("offline", "dark"):
            if name in given:
                setattr(self, name, set(given[name]))
        return JSONResponse({"success": True})


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--ddi", required=True)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--sites", type=int, default=len(SITES), help="fewer sites: more robots alike, more controls")
    parser.add_argument("--version", default="1.0.0")
    parser.add_argument("--poll", type=float, default=1.0)
    parser.add_argument("--install", type=float, default=1.0)
    parser.add_argument("--heartbeat", type=float, default=1.0, help="real seconds between two heartbeats")
    parser.add_argument("--speed", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=1)
    fleet = Fleet(parser.parse_args())
    app = Starlette(
        routes=[
            Route("/metrics", fleet.metrics),
            Route("/truth", fleet.truth),
            Route("/set", fleet.set, methods=["POST"]),
        ]
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none"))
    loop = asyncio.get_running_loop()
    serving = loop.create_task(server._serve([listener]))
    living = loop.create_task(fleet.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}", "pid": os.getpid()}), flush=True)
    await asyncio.wait([serving, living], return_when=asyncio.FIRST_COMPLETED)
    if living.done() and not living.cancelled():
        living.result()  # robots only stop by an error, which must be seen
    living.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await living
    await fleet.http.aclose()


if __name__ == "__main__":
    asyncio.run(main())
