"""Told events to another system: one HTTP POST each, a CloudEvent in structured mode (CloudEvents HTTP binding 1.0.2).

An event may be sent twice (the other side tells repeats apart by `source` and `id`), never out of order and never left
out. `events` chooses which are sent, by name, with `*` at the end for a family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from connectors.http import Bearer, HttpClient
from engine.capabilities.ports import ActionError, Clock, Json, Param

MEDIA = "application/cloudevents+json"


class CloudEventsSink:
    """Implements the port Sink."""

    def __init__(self, http: HttpClient, path: str, events: Sequence[str]) -> None:
        self._http, self._path, self._events = http, path, tuple(events)
        self._trouble = ""

    def wants(self, event: str) -> bool:
        return any(event == one or (one.endswith("*") and event.startswith(one[:-1])) for one in self._events)

    async def send(self, envelope: Mapping[str, Json]) -> None:
        """Raises ActionError: not retryable when the other side will never take this event."""
        try:
            await self._http.send("POST", self._path, str, json=dict(envelope), media=MEDIA, safe=True)
        except ActionError as error:
            self._trouble = error.message
            raise
        self._trouble = ""

    async def check(self) -> str:
        """How the last delivery went: there is nothing to ask such a system without telling it something."""
        if self._trouble:
            raise ActionError("NotTaken", self._trouble, kind="unavailable")
        return "CloudEvents"

    async def close(self) -> None:
        await self._http.close()


class CloudEventsConnector:
    """Settings: `url` (where to POST), `secret` for a bearer token, `events` (all of ours unless named)."""

    kind = "cloudevents"
    title = "CloudEvents over HTTP"
    docs = "CloudEvents 1.0, structured mode over HTTP; tested against a receiver of ours"
    capabilities = ("sink",)
    needs: tuple[str, ...] = ()
    fields: dict[str, Param] = {
        "url": Param(type="string", description="where events are posted, e.g. https://bus.example.com/events"),
        "secret": Param(type="string", required=False, description="name of the keyring entry of a bearer token"),
        "events": Param(type="array", required=False, description="names to send, * at the end for a family (qd.*)"),
        "ca": Param(type="string", required=False, description="file of certificate authorities to trust"),
        "allow_plaintext": Param(type="boolean", required=False, description="http to another machine"),
        "timeout_s": Param(type="number", required=False, description="seconds one call may take (20)"),
    }

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        url, name = urlsplit(str(config["url"])), str(config.get("secret", ""))
        events = config.get("events") or ["qd.*"]
        if not all(isinstance(one, str) and one for one in events):
            raise ActionError(
                "NotConfigured", "cloudevents: events are names of events", kind="configuration", retryable=False
            )
        http = HttpClient(
            f"{url.scheme}://{url.netloc}",
            name="the event sink",
            auth=Bearer(lambda: secret(name)) if name else None,
            ca=str(config.get("ca", "")),
            allow_plaintext=config.get("allow_plaintext") is True,
            timeout_s=float(config.get("timeout_s", 20.0)),
        )
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        return {"sink": CloudEventsSink(http, path, events)}


connector = CloudEventsConnector()
