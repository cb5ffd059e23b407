"""A contract server: PagerDuty's Events API v2 and the incidents of its REST API v2, built strictly from the documents.

This is not PagerDuty. It keeps to what "Events API v2 overview", "Send an event", "List incidents", "Authentication",
"Pagination" and "Rate limits" say:

- an event is 202 `{"status": "success", "message", "dedup_key"}`, one that is not valid 400 with `errors`, a throttled one
  429; an unknown routing key is 400; triggers of one open key are one incident; acknowledging or resolving what is not open
  is accepted and does nothing; a resolved key opens a new incident;
- `summary` has 1,024 characters at most, `severity` four values, `dedup_key` 255 characters;
- REST wants `Authorization: Token token=KEY` and has `limit`, `offset`, `more`, at most 100 a page and 10,000 in all;
  `ratelimit-*` on every answer.

    python -m tests.services.contract.pagerduty      prints {"url": …, "routing_key": …, "rest_key": …}
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.services.contract.serving import serve

Json = Any


class PagerDutyServer:
    """The state and `app`, which serves both APIs at one place. `pages`: how often somebody was woken."""

    def __init__(self) -> None:
        self.routing_key, self.rest_key = secrets.token_hex(16), secrets.token_urlsafe(20)
        self.incidents: list[dict[str, Json]] = []
        self.events: list[dict[str, Json]] = []
        self.throttled = 0
        self.app = Starlette(
            routes=[
                Route("/v2/enqueue", self._enqueue, methods=["POST"]),
                Route("/incidents", self._incidents, methods=["GET"]),
                Route("/abilities", self._abilities, methods=["GET"]),
            ]
        )

    @property
    def pages(self) -> int:
        return len(self.incidents)

    async def _enqueue(self, request: Request) -> Response:
        sent = await request.json()
        if self.throttled > 0:
            self.throttled -= 1
            return JSONResponse(
                {"status": "throttle exceeded", "message": "Requests for this service are arriving too quickly"}, 429
            )
        if errors := self._wrong(sent):
            return JSONResponse(
                {"status": "invalid event", "message": "Event object is invalid", "errors": errors}, 400
            )
        key = sent.get("dedup_key") or secrets.token_hex(16)
        self.events.append({name: value for name, value in sent.items() if name != "routing_key"})
        open_ones = [one for one in self.incidents if one["incident_key"] == key and one["status"] != "resolved"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if sent["event_action"] == "trigger" and not open_ones:
            id = f"Q{secrets.token_hex(6).upper()}"
            self.incidents.append({
                "id": id, "type": "incident", "incident_number": len(self.incidents) + 1, "title": sent["payload"]["summary"],
                "status": "triggered", "incident_key": key, "urgency": "high", "created_at": now, "updated_at": now,
                "html_url": f"https://dockside.pagerduty.com/incidents/{id}", "last_status_change_at": now, "assignments": [],
            })  # fmt: skip
        elif sent["event_action"] in ("acknowledge", "resolve") and open_ones:
            state = {"acknowledge": "acknowledged", "resolve": "resolved"}[sent["event_action"]]
            open_ones[0] |= {"status": state, "last_status_change_at": now, "updated_at": now}
        return JSONResponse({"status": "success", "message": "Event processed", "dedup_key": key}, 202)

    def _wrong(self, sent: dict[str, Json]) -> list[str]:
        errors = []
        if sent.get("routing_key") != self.routing_key:
            errors.append("'routing_key' is invalid")
        if sent.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            errors.append("'event_action' is invalid")
        elif sent["event_action"] == "trigger":
            payload = sent.get("payload") or {}
            errors += [
                f"'payload.{one}' is missing or blank"
                for one in ("summary", "source", "severity")
                if not payload.get(one)
            ]
            if payload.get("severity") not in ("critical", "error", "warning", "info"):
                errors.append("'payload.severity' is invalid")
            if len(str(payload.get("summary", ""))) > 1024:
                errors.append("'payload.summary' is too long (maximum is 1024 characters)")
        elif not sent.get("dedup_key"):
            errors.append("'dedup_key' is missing or blank")
        if len(str(sent.get("dedup_key", ""))) > 255:
            errors.append("'dedup_key' is too long (maximum is 255 characters)")
        return errors

    def _refused(self, request: Request) -> Response | None:
        if request.headers.get("authorization") == f"Token token={self.rest_key}":
            return None
        return JSONResponse({"error": {"message": "Invalid Authentication", "code": 2006}}, 401)

    async def _incidents(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        asked = request.query_params
        limit, offset = min(100, int(asked.get("limit", "25"))), int(asked.get("offset", "0"))
        if limit + offset > 10_000:
            return JSONResponse({"error": {"message": "Invalid Input Provided", "code": 2001}}, 400)
        states = asked.getlist("statuses[]")
        rows = [one for one in self.incidents if not states or one["status"] in states]
        body = {
            "incidents": rows[offset : offset + limit],
            "limit": limit,
            "offset": offset,
            "more": offset + limit < len(rows),
        }
        return JSONResponse(
            body, headers={"ratelimit-limit": "960", "ratelimit-remaining": "900", "ratelimit-reset": "30"}
        )

    async def _abilities(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse({"abilities": ["teams", "urgencies"]})


if __name__ == "__main__":
    server = PagerDutyServer()
    asyncio.run(serve(server.app, routing_key=server.routing_key, rest_key=server.rest_key))
