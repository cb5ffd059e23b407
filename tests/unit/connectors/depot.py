"""An in-house system as teams have them: nobody's standard, half REST, with traps (a filter it may ignore, lost answers)."""

from __future__ import annotations

import email
import hashlib
import json
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEY = "depot-secret"


class Depot:
    """State of one server. `lose`: writes act and are answered with 500 (so many times). `deaf`: it ignores filters."""

    def __init__(self) -> None:
        self.tickets: dict[str, dict[str, Any]] = {}
        self.comments: dict[str, list[dict[str, Any]]] = {}
        self.files: dict[str, list[dict[str, Any]]] = {}
        self.notes: dict[str, dict[str, Any]] = {}
        self.mutes: dict[str, dict[str, Any]] = {}
        self.chargers = [{"id": i, "label": f"Charger {i}\x1b[2J", "mode": "idle", "power": {"kw": 22}} for i in (1, 2)]
        self.lose, self.deaf, self.clock = 0, False, 1.6e9
        self.seen: list[tuple[str, str]] = []
        self.writes: list[str] = []
        self.app = Starlette(
            routes=[
                Route("/api/about", self.about),
                Route("/api/{project}/tickets", self.listing, methods=["GET", "POST"]),
                Route("/api/tickets/{id}", self.ticket, methods=["GET", "PATCH"]),
                Route("/api/tickets/{id}/status", self.status, methods=["PUT"]),
                Route("/api/tickets/{id}/comments", self.talk, methods=["GET", "POST"]),
                Route("/api/tickets/{id}/files", self.attached, methods=["GET", "POST"]),
                Route("/api/boards/{board}/notes", self.note, methods=["POST"]),
                Route("/api/alarms", self.alarms),
                Route("/api/mutes", self.muting, methods=["GET", "POST"]),
                Route("/api/mutes/{id}", self.unmute, methods=["DELETE"]),
                Route("/api/chargers", self.charging),
            ]
        )

    def _wrong(self, request: Request) -> Response | None:
        self.seen.append((request.method, str(request.url.path)))
        self.clock += 1
        if request.headers.get("x-depot-key") != KEY:
            return JSONResponse({"error": "who?"}, 401)
        return None if request.headers.get("x-depot-api") == "2" else JSONResponse({"error": "which API?"}, 400)

    def _lost(self, what: str) -> Response | None:
        self.writes.append(what)
        if self.lose > 0:
            self.lose -= 1
            return Response("upstream", 502)
        return None

    async def about(self, request: Request) -> Response:
        return self._wrong(request) or JSONResponse({"version": "2.7"})

    async def listing(self, request: Request) -> Response:
        if (wrong := self._wrong(request)) is not None:
            return wrong
        if request.method == "POST":
            sent = await request.json()
            id = f"T-{len(self.tickets) + 1}"
            self.tickets[id] = {
                **sent, "number": id, "status": "new", "revision": 1, "changed": self.clock, "owner": None,
                "links": {"page": f"https://depot.example/{id}"},
            }  # fmt: skip
            return self._lost("create") or JSONResponse({"ticket": self.tickets[id]}, 201)
        query = request.query_params
        found = list(self.tickets.values())
        if "tag" in query and not self.deaf:
            found = [t for t in found if query["tag"] in t["tags"]]
        found = [t for t in found if t["changed"] > float(query.get("since", 0))]
        start = int(query.get("skip", 0))
        shown = [
            {k: v for k, v in t.items() if k != "tags"} for t in found[start : start + int(query.get("take", 100))]
        ]
        return JSONResponse({"tickets": shown, "total": len(found)})

    async def ticket(self, request: Request) -> Response:
        if (wrong := self._wrong(request)) is not None:
            return wrong
        found = self.tickets.get(request.path_params["id"])
        if found is None:
            return JSONResponse({"error": "none"}, 404)
        if request.method == "PATCH":
            if request.headers.get("if-match", str(found["revision"])) != str(found["revision"]):
                return JSONResponse({"error": "changed"}, 412)
            found |= await request.json()
            self._touch(found)
            if (lost := self._lost("update")) is not None:
                return lost
        return JSONResponse({"ticket": found})

    def _touch(self, ticket: dict[str, Any]) -> None:
        ticket["revision"] += 1
        ticket["changed"] = self.clock

    async def status(self, request: Request) -> Response:
        found = self.tickets[request.path_params["id"]]
        found["status"] = (await request.json())["status"]
        self._touch(found)
        return self._lost("move") or Response(status_code=204)

    async def talk(self, request: Request) -> Response:
        said = self.comments.setdefault(request.path_params["id"], [])
        if request.method == "POST":
            said.append({"id": len(said) + 1, "by": "qd", "at": self.clock, **await request.json()})
            return self._lost("comment") or JSONResponse({}, 201)
        return JSONResponse({"comments": said})

    async def attached(self, request: Request) -> Response:
        kept = self.files.setdefault(request.path_params["id"], [])
        if request.method == "POST":
            head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
            (upload,) = email.message_from_bytes(head + await request.body()).get_payload()
            digest = hashlib.sha256(upload.get_payload(decode=True)).hexdigest()
            kept.append({"name": upload.get_filename(), "digest": digest})
            return self._lost("attach") or JSONResponse({}, 201)
        return JSONResponse({"files": kept})

    async def note(self, request: Request) -> Response:
        self._wrong(request)
        sent = {"board": request.path_params["board"], **await request.json()}
        self.notes.setdefault(request.headers.get("idempotency-key", str(len(self.notes))), sent)
        return self._lost("note") or JSONResponse({}, 201)

    async def alarms(self, request: Request) -> Response:
        rows = [
            {"id": f"a{i}", "name": "Smoke", "since": "2026-11-23T10:00:00Z", "labels": {"hall": str(i)}}
            for i in (1, 2)
        ]
        return JSONResponse(rows)

    async def muting(self, request: Request) -> Response:
        if request.method == "POST":
            id = f"m{len(self.mutes) + 1}"
            self.mutes[id] = {"id": id, "state": "active", **await request.json()}
            return self._lost("mute") or JSONResponse({}, 201)
        return JSONResponse(list(self.mutes.values()))

    async def unmute(self, request: Request) -> Response:
        found = self.mutes.pop(request.path_params["id"], None)
        return Response(status_code=204 if found else 404)

    async def charging(self, request: Request) -> Response:
        if (wrong := self._wrong(request)) is not None:
            return wrong
        etag = '"' + hashlib.sha256(json.dumps(self.chargers).encode()).hexdigest()[:12] + '"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"etag": etag})
        return JSONResponse(self.chargers, headers={"etag": etag})
