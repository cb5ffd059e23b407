"""The update server of the simulated world, in gooseBit's shape: its paths, its answers and its quirks.

Kept on purpose: form login and bearer token, 500 in plain text for an unknown id after the ids before it were changed,
success for an unknown software id (the device is left assigned to nothing), `last_seen` as seconds ago, an Error state
that is skipped until `force_update`, no history, no paging. `/world` is the simulation's own: the truth, and stop.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from connectors.sandbox.robot import Robot
from connectors.sandbox.world import MODEL, VARIANTS, Software, World

POLL_S = 60
MAX_BODY = 1 << 20


class UpdatesServer:
    def __init__(self, world: World, username: str, password: str, control: str, stop: Callable[[], None]) -> None:
        self.world, self._username, self._password, self._control, self._stop = world, username, password, control, stop
        self._tokens: set[str] = set()
        self.app = Starlette(
            routes=[
                Route("/login", self.login, methods=["POST"]),
                Route("/api/v1/devices", self.devices, methods=["GET"]),
                Route("/api/v1/devices", self.patch, methods=["PATCH"]),
                Route("/api/v1/devices/{id}", self.device, methods=["GET"]),
                Route("/api/v1/devices/{id}/log", self.log, methods=["GET"]),
                Route("/api/v1/software", self.software, methods=["GET"]),
                Route("/api/v1/rollouts", self.rollouts, methods=["GET"]),
                Route("/openapi.json", self.openapi, methods=["GET"]),
                Route("/world", self.truth, methods=["GET"]),
                Route("/world", self.control, methods=["POST"]),
            ]
        )

    # -- who asks -----------------------------------------------------------------------------------------------------

    async def login(self, request: Request) -> Response:
        form = parse_qs((await request.body())[:MAX_BODY].decode("utf-8", "replace"))
        name, password = (form.get(k, [""])[0] for k in ("username", "password"))
        if not (_same(name, self._username) and _same(password, self._password)):
            return _json({"detail": "Invalid credentials"}, 401)
        token = secrets.token_urlsafe(24)
        self._tokens.add(token)
        return _json({"access_token": token, "token_type": "bearer"})

    def _denied(self, request: Request) -> Response | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token in self._tokens:
            return None
        return _json({"detail": "Not authenticated"}, 401)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def devices(self, request: Request) -> Response:
        if denied := self._denied(request):
            return denied
        now = self.world.now()
        return _json({"devices": [self._shown(r, now) for r in self.world.robots.values()]})

    async def device(self, request: Request) -> Response:
        if denied := self._denied(request):
            return denied
        robot = self.world.robots.get(request.path_params["id"])
        return _json({"detail": "Not Found"}, 404) if robot is None else _json(self._shown(robot, self.world.now()))

    async def log(self, request: Request) -> Response:
        if denied := self._denied(request):
            return denied
        now = self.world.now()
        robot = self.world.robots.get(request.path_params["id"])
        if robot is None:
            return _json({"detail": "Not Found"}, 404)
        return _json({"log": robot.device.log, "progress": robot.progress(now)})

    async def software(self, request: Request) -> Response:
        return self._denied(request) or _json({"software": [_software(s) for s in self.world.software]})

    async def rollouts(self, request: Request) -> Response:
        return self._denied(request) or _json({"rollouts": []})

    async def openapi(self, request: Request) -> Response:
        return _json({"openapi": "3.1.0", "info": {"title": "gooseBit", "version": "0.2.12-sandbox"}, "paths": {}})

    def _shown(self, robot: Robot, now: float) -> dict[str, Any]:
        device, ago = robot.device, round(now - robot.last_poll(now))
        variant = robot.profile.variant
        found = next((s for s in self.world.software if s.id == device.software), None)
        return {
            "id": robot.id,
            "name": device.name,
            "sw_version": device.sw_version,
            "assigned_software": _software(found) if found else None,
            "hardware": {"id": _hardware_id(variant), "model": MODEL, "revision": variant},
            "feed": device.feed,
            "progress": robot.progress(now),
            "last_state": device.state,
            "update_mode": device.mode,
            "force_update": device.force,
            "last_ipv4": "127.0.0.1",
            "last_ipv6": None,
            "last_seen": ago,
            "auth_token": None,
            "polling": ago < POLL_S + 10,
            "last_ip": "127.0.0.1",
            "poll_seconds": POLL_S,
        }

    # -- writing ------------------------------------------------------------------------------------------------------

    async def patch(self, request: Request) -> Response:
        if denied := self._denied(request):
            return denied
        try:
            body = msgspec.json.decode((await request.body())[:MAX_BODY])
            ids = body["devices"]
            if not (isinstance(ids, list) and all(isinstance(i, str) for i in ids)):
                raise TypeError
        except (msgspec.DecodeError, KeyError, TypeError):
            return _json({"detail": [{"loc": ["body", "devices"], "msg": "Input should be a valid list"}]}, 422)
        now = self.world.now()
        for name in ids:
            robot = self.world.robots.get(name)
            if robot is None:
                return PlainTextResponse("Internal Server Error", 500)
            self._apply(robot, body, now)
        return _json({"success": True})

    def _apply(self, robot: Robot, body: dict[str, Any], now: float) -> None:
        """In gooseBit's order. Setting software or pinned clears the feed."""
        if body.get("feed") is not None:
            robot.device.feed = str(body["feed"])
        software = body.get("software")
        if software in ("rollout", "latest"):
            self.world.follow(robot, software.capitalize(), now)
        elif software is not None:
            # force first: the robot must see both when it polls
            if body.get("force_update"):
                robot.device.force = True
            self.world.assign(robot, int(software) if str(software).isdigit() else None, now)
        if body.get("pinned") is not None:
            self.world.follow(robot, "Pinned", now)
        if body.get("name") is not None:
            robot.device.name = str(body["name"])
        if body.get("force_update") is not None:
            self.world.force(robot, bool(body["force_update"]), now)

    # -- the simulation's own -----------------------------------------------------------------------------------------

    async def truth(self, request: Request) -> Response:
        return _json(self.world.truth())

    async def control(self, request: Request) -> Response:
        """`{"token": …, "stop": true}`; `{"token": …, "offline": [ids], "seconds": n}` cuts robots off."""
        try:
            body = msgspec.json.decode((await request.body())[:MAX_BODY])
            allowed = _same(str(body["token"]), self._control)
        except (msgspec.DecodeError, KeyError, TypeError):
            allowed = False
        if not allowed:
            return _json({"detail": "Not authenticated"}, 401)
        now = self.world.now()
        for name in body.get("offline") or ():
            if name in self.world.robots:
                self.world.robots[name].drop_offline(now, float(body.get("seconds", 3600)))
        if body.get("stop"):
            self._stop()
        return _json({"success": True, "now": now})


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode(), b.encode())


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _hardware_id(variant: str) -> int:
    return 1 + [v[0] for v in VARIANTS].index(variant)


def _software(s: Software) -> dict[str, Any]:
    return {
        "id": s.id,
        "size": s.size,
        "hash": s.sha1,
        "version": s.version,
        "compatibility": [{"id": _hardware_id(v), "model": MODEL, "revision": v} for v, _, _ in VARIANTS],
        "name": f"{MODEL}-{s.version}.swu",
    }
