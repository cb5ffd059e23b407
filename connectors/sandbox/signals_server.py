"""The metrics server of the simulated world, in Prometheus's shape: instant and range queries over plain selectors.

A robot's own metrics are absent while it is offline, reboots, or its exporter died; what the inventory knows
(`robot_info`, poll interval, rollback floor) is always there. Counters start again when a robot boots.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from connectors.sandbox.robot import Robot
from connectors.sandbox.selector import BadQuery, Query, parse
from connectors.sandbox.timeline import (
    HEARTBEAT_S,
    WORKING_PART,
    Segment,
    battery,
    connected,
    counted,
    operating,
    working,
)
from connectors.sandbox.world import World

MAX_POINTS = 11_000  # per series, as in Prometheus
MAX_BODY = 1 << 20
Value = Callable[[Robot, Segment, float], float]


def _heartbeats(r: Robot, s: Segment, t: float) -> float:
    return float(connected(s, t) // HEARTBEAT_S)


def _last_heartbeat(r: Robot, s: Segment, t: float) -> float:
    return t - connected(s, t) % HEARTBEAT_S


def _tasks(r: Robot, s: Segment, t: float) -> float:
    return float(operating(s, t) // r.profile.task_s)


def _task_seconds(r: Robot, s: Segment, t: float) -> float:
    return _tasks(r, s, t) * r.profile.task_s * WORKING_PART


OWN: dict[str, Value] = {
    "robot_battery_ratio": lambda r, s, t: battery(s, t),
    "robot_charging": lambda r, s, t: float(s.charging),
    "robot_busy": lambda r, s, t: float(working(s, t, r.profile.task_s)),
    "robot_last_heartbeat_timestamp_seconds": _last_heartbeat,
    "robot_heartbeats_total": _heartbeats,
    "robot_operating_seconds_total": lambda r, s, t: operating(s, t),
    "robot_interventions_total": lambda r, s, t: float(counted(r.line.interventions, s, t)),
    "robot_tasks_total": _tasks,
    "robot_task_seconds_total": _task_seconds,
    "robot_localization_fatal_total": lambda r, s, t: float(counted(r.line.localization, s, t)),
    "robot_safety_events_total": lambda r, s, t: float(counted(r.line.safety, s, t)),
    "robot_disk_free_bytes": lambda r, s, t: 6.2e9 + 1e8 * (hash_of(r.id) % 20),
    "robot_mode": lambda r, s, t: 1.0,
    "robot_software_info": lambda r, s, t: 1.0,
}
INVENTORY = ("robot_info", "robot_poll_interval_seconds", "robot_rollback_floor_info")


def hash_of(text: str) -> int:
    """Stable over processes, unlike `hash`."""
    return sum(ord(c) * (i + 1) for i, c in enumerate(text))


class SignalsServer:
    def __init__(self, world: World) -> None:
        self.world = world
        self.app = Starlette(
            routes=[
                Route("/api/v1/query", self.query, methods=["GET", "POST"]),
                Route("/api/v1/query_range", self.query_range, methods=["GET", "POST"]),
                Route("/api/v1/status/buildinfo", self.buildinfo, methods=["GET"]),
                Route("/-/healthy", self.healthy, methods=["GET"]),
                Route("/-/ready", self.healthy, methods=["GET"]),
            ]
        )

    async def healthy(self, request: Request) -> Response:
        return PlainTextResponse("Prometheus Server is Healthy.\n")

    async def buildinfo(self, request: Request) -> Response:
        return _answer({"version": "2.42.0-sandbox", "revision": "simulated", "branch": "", "goVersion": ""})

    async def query(self, request: Request) -> Response:
        args = await _arguments(request)
        try:
            now = self.world.now()
            at = _number(args.get("time"), "time", now)
            query = parse(args.get("query", ""))
            result = []
            for name in query.names((*INVENTORY, *OWN)):
                for robot in self.world.robots.values():
                    for labels, points in _series(robot, name, [min(at, now)], self.world):
                        if points and query.matches(labels):
                            result.append({"metric": {"__name__": name, **labels}, "value": [at, points[0][1]]})
            return _answer({"resultType": "vector", "result": result})
        except BadQuery as error:
            return _refused(error)

    async def query_range(self, request: Request) -> Response:
        args = await _arguments(request)
        try:
            now = self.world.now()
            start, end = _number(args.get("start"), "start"), _number(args.get("end"), "end")
            step = _number(args.get("step"), "step")
            query = parse(args.get("query", ""))
            if step <= 0:
                raise BadQuery(
                    'invalid parameter "step": zero or negative query resolution step widths are not accepted.'
                )
            if (end - start) / step > MAX_POINTS:
                raise BadQuery("exceeded maximum resolution of 11,000 points per timeseries.")
            count = int((min(end, now) - start) // step) + 1 if min(end, now) >= start else 0
            times = [start + k * step for k in range(count)]
            result = []
            for name in query.names((*INVENTORY, *OWN)):
                for robot in self.world.robots.values():
                    if not _may_match(query, robot, name):
                        continue
                    for labels, points in _series(robot, name, times, self.world):
                        if points and query.matches(labels):
                            result.append({"metric": {"__name__": name, **labels}, "values": points})
            return _answer({"resultType": "matrix", "result": result})
        except BadQuery as error:
            return _refused(error)


def _may_match(query: Query, robot: Robot, name: str) -> bool:
    """Whether any series of the robot can match: spares computing series nobody asked for."""
    if name in INVENTORY:
        return True
    if name in ("robot_mode", "robot_software_info"):
        label = "mode" if name == "robot_mode" else "version"
        values = {s.mode if label == "mode" else s.version for s in robot.line.segments}
        return any(query.matches({"robot": robot.id, label: v}) for v in values)
    return query.matches({"robot": robot.id})


def _series(robot: Robot, name: str, times: Sequence[float], world: World) -> list[tuple[dict[str, str], list[Any]]]:
    """The robot's series of a metric at `times` (rising): labels and `[t, "value"]` points."""
    if name in INVENTORY:
        return [_inventory(robot, name, times, world)]
    value = OWN.get(name)
    if value is None:
        return []
    labelled = {"robot_mode": "mode", "robot_software_info": "version"}.get(name)
    line, found = robot.line, dict[str, list[Any]]()
    index = bisect_right(line.starts, times[0]) - 1 if times else 0
    last = len(line.starts) - 1
    for t in times:
        while index < last and line.starts[index + 1] <= t:
            index += 1
        if index < 0:
            index = bisect_right(line.starts, t) - 1
            if index < 0:
                continue
        segment = line.segments[index]
        if not segment.visible:
            continue
        key = getattr(segment, labelled) if labelled else ""
        found.setdefault(key, []).append((t, _text(value(robot, segment, t))))
    return [({"robot": robot.id, **({labelled: key} if labelled else {})}, points) for key, points in found.items()]


def _inventory(robot: Robot, name: str, times: Sequence[float], world: World) -> tuple[dict[str, str], list[Any]]:
    p = robot.profile
    labels, value = {"robot": robot.id}, "1"
    if name == "robot_info":
        labels |= {
            "serial": p.serial,
            "site": p.site,
            "region": p.region,
            "customer": p.customer,
            "variant": p.variant,
            "model": p.model,
        }
    elif name == "robot_rollback_floor_info":
        labels |= {"version": world.floor(robot)}
    else:
        value = _text(p.poll_s)
    return labels, [(t, value) for t in times]


def _text(value: float) -> str:
    """Prometheus writes sample values as strings."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


async def _arguments(request: Request) -> dict[str, str]:
    """Query parameters, and the form of a POST (long queries are sent that way)."""
    found = {k: v[-1] for k, v in parse_qs(request.url.query).items()}
    if request.method == "POST":
        found |= {k: v[-1] for k, v in parse_qs((await request.body())[:MAX_BODY].decode("utf-8", "replace")).items()}
    return found


def _number(text: str | None, name: str, default: float | None = None) -> float:
    if text is None and default is not None:
        return default
    try:
        value = float(text or "")
    except ValueError:
        raise BadQuery(f'invalid parameter "{name}": cannot parse "{(text or "")[:40]}" to a valid timestamp') from None
    if not math.isfinite(value):
        raise BadQuery(f'invalid parameter "{name}": cannot parse "{value}" to a valid timestamp')
    return value


def _answer(data: Any) -> Response:
    return Response(msgspec.json.encode({"status": "success", "data": data}), media_type="application/json")


def _refused(error: BadQuery) -> Response:
    body = {"status": "error", "errorType": "bad_data", "error": str(error)}
    return Response(msgspec.json.encode(body), 400, media_type="application/json")
