"""PagerDuty: the Events API v2 for paging, and the REST API v2 for what became of it (only with a REST key).

What its documents say, and what follows:

- The routing key stands in the body, never in a header or address; answers do not repeat it.
- `dedup_key` makes a second trigger the same alert while it is open, so every event may be sent again.
- An acknowledge or resolve of what is not open is accepted (202) and does nothing.
- Sent events say nothing about who is on call or what they did: that is read from the REST API, or told by webhooks.
- Limits differ between the documents: 429 is obeyed, no figure is relied on.
- The Events API has no call that only reads: without a REST key the check proves the address, not the routing key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import NoneType
from typing import Any

import msgspec
from msgspec import Struct, field

from connectors import ticketing as t
from connectors.credentials import PagerDutyToken
from connectors.http import HttpClient
from connectors.remote_text import clean
from connectors.settings import FIELDS, SECRETS, client
from engine.capabilities.hooks import proofs
from engine.capabilities.ports import ActionError, Clock, Json, Param
from engine.capabilities.systems.ports import BadDelivery, Feed, Incoming, Pulled, RemoteObject, Right

NAME = "PagerDuty"
SEVERITIES = ("critical", "error", "warning", "info")
SUMMARY, KEY = 1024, 255
PAGE, WINDOW_S = 100, 30 * 86_400.0
MOST_OFFSET = 10_000
"""Offset and limit together may not pass this; the owner refuses more."""
ENQUEUE = "/v2/enqueue"


class _Accepted(Struct):
    status: str = ""
    dedup_key: str = ""


class _Ref(Struct):
    summary: str = ""


class _Assignment(Struct):
    assignee: _Ref = field(default_factory=_Ref)


class _Incident(Struct):
    id: str
    title: str = ""
    status: str = ""
    urgency: str = ""
    incident_key: str | None = None
    html_url: str = ""
    last_status_change_at: str = ""
    updated_at: str = ""
    assignments: list[_Assignment] = field(default_factory=list)


class _Incidents(Struct):
    incidents: list[_Incident]
    more: bool = False


class _Abilities(Struct):
    abilities: list[str]


class PagerDuty:
    """Implements the port Paging. With a REST key it mirrors incidents, too."""

    traits: dict[str, str] = {
        "check": "the Events API can't be read: without a REST key a wrong routing key shows at the first page",
        "older": "incidents that began more than 30 days ago and are over leave the mirror",
    }

    def __init__(self, http: HttpClient, rest: HttpClient | None, clock: Clock, routing_key: Callable[[], str]) -> None:
        self._http, self._rest, self._clock, self._secret = http, rest, clock, routing_key
        self.feeds: tuple[Feed, ...] = (
            (
                Feed(
                    kind="page",
                    title="incidents open or of 30 days",
                    every_s=60.0,
                    full_every_s=86_400.0,
                    stale_s=600.0,
                ),
            )
            if rest
            else ()
        )

    async def close(self) -> None:
        await self._http.close()
        if self._rest is not None:
            await self._rest.close()

    async def raise_(
        self, summary: str, *, severity: str, source: str, link: str, details: Mapping[str, Json], key: str
    ) -> str:
        payload: dict[str, Json] = {
            "summary": clean(summary, SUMMARY - 1),
            "source": clean(source, 255) or "quarterdeck",
            "severity": severity if severity in SEVERITIES else "error",
            "custom_details": {clean(name, 80): _plain(value) for name, value in list(details.items())[:50]},
        }
        sent: dict[str, Json] = {"payload": payload, "client": "Quarterdeck"}
        if link.startswith(("https://", "http://")):
            sent["links"] = [{"href": link[:2000], "text": "Quarterdeck"}]
        elif link:
            payload["custom_details"]["in Quarterdeck"] = clean(link, 200)
        return await self._send("trigger", key, sent)

    async def acknowledge(self, key: str) -> None:
        await self._send("acknowledge", key, {})

    async def resolve(self, key: str) -> None:
        await self._send("resolve", key, {})

    async def _send(self, action: str, key: str, more: Mapping[str, Json]) -> str:
        if not key or len(key) > KEY:
            raise ActionError("BadKey", f"a dedup key has 1 to {KEY} characters", kind="validation", retryable=False)
        routing = (await asyncio.to_thread(self._secret)).strip()
        sent = {"routing_key": routing, "event_action": action, "dedup_key": key, **more}
        found = await self._http.send("POST", ENQUEUE, _Accepted, json=sent, safe=True)
        return found.dedup_key or key

    # -- what became of it --------------------------------------------------------------------------------------------

    async def pull(self, feed: str, cursor: str) -> Pulled:
        """Open incidents however old, then everything of the last 30 days: what is over and older leaves the mirror."""
        if self._rest is None:
            raise ActionError("NotConfigured", f"{NAME}: no rest_secret is set", kind="configuration", retryable=False)
        walk = t.walk(cursor, 0.0)
        phase, _, at = walk.page.partition("/")
        phase, offset = phase or "open", int(at) if at.isdigit() else 0
        params: list[tuple[str, str]] = [("limit", str(PAGE)), ("offset", str(offset))]
        if phase == "open":
            params += [("date_range", "all"), ("statuses[]", "triggered"), ("statuses[]", "acknowledged")]
        else:
            since = datetime.fromtimestamp(time.time() - WINDOW_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            params += [("since", since), ("sort_by", "created_at:desc")]
        answer = await self._rest.send_full("GET", "/incidents", _Incidents, params=params, safe=True)
        more = answer.value.more and offset + 2 * PAGE <= MOST_OFFSET
        page = f"{phase}/{offset + PAGE}" if more else "recent/0" if phase == "open" else ""
        objects = tuple(
            RemoteObject(
                id=clean(one.id, 40),
                name=clean(one.title, 250),
                state=clean(one.status, 20),
                changed_at=t.epoch(one.updated_at or one.last_status_change_at),
                url=clean(one.html_url, 300) if one.html_url.startswith("https://") else "",
                data={
                    "urgency": clean(one.urgency, 20),
                    "key": clean(one.incident_key or "", KEY),
                    "assignee": clean(one.assignments[0].assignee.summary, 80) if one.assignments else "",
                },
            )
            for one in answer.value.incidents
        )
        began = walk.began or answer.owner_now or time.time()
        here = t.Walk(since=walk.since, began=began, page=page)
        return Pulled(
            objects=objects,
            cursor=here.written() if page else here.ended(),
            more=bool(page),
            full=walk.full,
            owner_now=answer.owner_now,
        )

    async def check(self) -> str:
        if self._rest is not None:
            abilities = (await self._rest.get("/abilities", _Abilities)).abilities
            return f"PagerDuty REST API v2 ({len(abilities)} abilities) and Events API v2"
        try:
            await self._http.get(ENQUEUE, NoneType)
        except ActionError as error:
            if error.error not in ("NotFound", "NotAllowed", "Refused"):
                raise
        return "PagerDuty Events API v2 (the routing key is proven by the first page)"

    async def rights(self) -> Sequence[Right]:
        page = Right(name="send events", has=None, needed_for="paging")
        if self._rest is None:
            return (page, Right(name="read incidents", has=None, needed_for="who has it (set rest_secret)"))
        try:
            await self._rest.get("/incidents", _Incidents, params={"limit": "1"})
            has = True
        except ActionError as error:
            if error.kind not in ("authorization", "authentication"):
                raise
            has = False
        return (page, Right(name="read incidents", has=has, needed_for="who has it"))


def _plain(value: Json) -> Json:
    if isinstance(value, bool | int | float) or value is None:
        return value
    return clean(value, 500)


class _HookData(Struct):
    id: str = ""
    status: str = ""
    incident_key: str | None = None
    type: str = ""


class _HookEvent(Struct):
    id: str
    event_type: str
    occurred_at: str = ""
    resource_type: str = ""
    data: _HookData = field(default_factory=_HookData)


class _Hook(Struct):
    event: _HookEvent


class PagerDutyConnector:
    """Settings: `url` (https://events.pagerduty.com), `secret` (keyring entry: the integration's routing key)."""

    kind = "pagerduty"
    title = "PagerDuty"
    docs = (
        "Events API v2, REST API v2, webhooks v3 as published; tested against a contract server built from the documents, "
        "not against PagerDuty"
    )
    capabilities = ("paging",)
    needs: tuple[str, ...] = ()
    secrets = {
        **SECRETS,
        "rest_secret": "pagerduty-rest",
        "webhook_secret": "pagerduty-webhook",
    }
    fields: dict[str, Param] = {
        **FIELDS,
        "url": Param(type="string", description="https://events.pagerduty.com, or https://events.eu.pagerduty.com"),
        "secret": Param(type="string", description="name of the keyring entry of the routing key (integration key)"),
        "rest_url": Param(type="string", required=False, description="https://api.pagerduty.com (with rest_secret)"),
        "rest_secret": Param(type="string", required=False, description="keyring entry of a REST key that may read"),
        "webhook_secret": Param(type="string", required=False, description="keyring entry that proves its webhooks"),
    }

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, rest_name = str(config["secret"]), str(config.get("rest_secret", ""))
        http = client(config, secret, name=NAME)
        rest = None
        if rest_name:
            place = {**config, "url": str(config.get("rest_url", "https://api.pagerduty.com"))}
            headers = {"accept": "application/vnd.pagerduty+json;version=2"}
            rest = client(place, secret, name=NAME, auth=PagerDutyToken(lambda: secret(rest_name)), headers=headers)
        return {"paging": PagerDuty(http, rest, clock, lambda: secret(name))}

    def receive(self, headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Sequence[Incoming]:
        """Webhooks v3 of incidents."""
        proofs.pagerduty(headers, body, secret)
        try:
            said = msgspec.json.decode(body, type=_Hook).event
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadDelivery(f"not a webhook v3: {clean(error, 200)}") from error
        if said.event_type == "pagey.ping" or said.resource_type != "incident":
            return ()
        if not said.data.id:
            raise BadDelivery("it names no incident")
        incident = clean(said.data.id, 40)
        data = {
            "id": incident, "state": clean(said.data.status, 20), "what": clean(said.event_type, 60),
            "key": clean(said.data.incident_key or "", KEY),
        }  # fmt: skip
        at = t.epoch(said.occurred_at)
        return (Incoming(event="qd.remote.page.told", id=clean(said.id, 80), subject=incident, at=at, data=data),)


connector = PagerDutyConnector()
__all__ = ["PagerDuty", "PagerDutyConnector", "connector"]
