"""Alertmanager (what fires, who was told, what is silenced). Written against 0.25, API v2.

What the server does, and what follows:

- It has no idempotency keys: the step's key stands as a marker at the end of a silence's comment and is looked for before
  another silence is made. Posting a silence again makes a second one.
- A silence without a comment is refused, and one is never deleted: it is listed as `expired` for days after its end.
- Its webhooks are not signed and are repeated; `fingerprint` and `startsAt` say which alert of which time one is about.
  One delivery holds a group of alerts of which some may be over: each alert's own status counts, not the group's.
- An `endsAt` in the year 1 means that the alert has no end yet.
- Its web server knows no users of its own: a proxy in front of it does, and wants a bearer token or a password.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct, field

from connectors.http import Bearer, HttpClient, NoneType
from connectors.remote_text import clean
from connectors.settings import FIELDS, SECRETS, client
from engine.capabilities.hooks import proofs
from engine.capabilities.ports import ActionError, Clock, Json, Param
from engine.capabilities.systems.ports import (
    BadDelivery,
    Feed,
    Incoming,
    Pulled,
    RemoteObject,
    Right,
    Silence,
)

MOST_ALERTS = 2000
"""Alerts of one delivery; Alertmanager cuts earlier when it is told to (`max_alerts`)."""
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ID = re.compile(r"[0-9a-fA-F-]{36}")
_MARKER = re.compile(r"\s*\[qd:([^\]\s]{1,64})\]\s*$")
_MAX_LABELS, _LABEL_TEXT, _TEXT = 64, 200, 500
_OPEN_BEFORE = 0.0  # an end before 1970 is no end


class _State(Struct):
    state: str
    silencedBy: list[str] = field(default_factory=list)
    inhibitedBy: list[str] = field(default_factory=list)


class _Receiver(Struct):
    name: str = ""


class _Alert(Struct):
    """A row of `GET /api/v2/alerts`."""

    labels: dict[str, str]
    fingerprint: str
    startsAt: datetime.datetime
    endsAt: datetime.datetime
    updatedAt: datetime.datetime
    status: _State
    annotations: dict[str, str] = field(default_factory=dict)
    receivers: list[_Receiver] = field(default_factory=list)
    generatorURL: str = ""


class _Matcher(Struct):
    name: str
    value: str
    isRegex: bool = False
    isEqual: bool = True


class _Silence(Struct):
    """A row of `GET /api/v2/silences`."""

    id: str
    status: _State
    matchers: list[_Matcher]
    startsAt: datetime.datetime
    endsAt: datetime.datetime
    updatedAt: datetime.datetime
    createdBy: str = ""
    comment: str = ""


class _Made(Struct):
    silenceID: str


class _Version(Struct):
    version: str = ""


class _Status(Struct):
    versionInfo: _Version = field(default_factory=_Version)


class _Told(Struct):
    """An alert inside a webhook."""

    status: str
    labels: dict[str, str]
    startsAt: datetime.datetime
    endsAt: datetime.datetime
    fingerprint: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    generatorURL: str = ""


class _Delivery(Struct):
    """The body of a webhook, version 4."""

    version: str
    alerts: list[_Told]
    groupKey: str = ""
    receiver: str = ""
    externalURL: str = ""
    truncatedAlerts: int = 0


class Alertmanager:
    """Implements the port Alerts; a Source of `alert` and `silence`."""

    traits: dict[str, str] = {
        "matchers": "a silence names labels exactly; expressions that leave something out are not made from here",
        "identity": "Alertmanager knows no users: the name on a silence is what this engine says, kept in its history as well",
        "delete": "a silence can be ended, not deleted; ended ones stay listed for days",
        "webhooks": "webhooks are not signed; they are proven by a bearer token that its configuration has to send",
    }
    feeds = (
        Feed(kind="alert", title="alerts", every_s=30.0, full_every_s=0.0, stale_s=120.0),
        Feed(kind="silence", title="silences", every_s=60.0, full_every_s=0.0, stale_s=300.0),
    )

    def __init__(self, http: HttpClient, clock: Clock, label: str = "robot") -> None:
        self._http, self._clock, self._label = http, clock, label

    async def close(self) -> None:
        await self._http.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    async def firing(self, labels: Mapping[str, str] | None = None) -> Sequence[RemoteObject]:
        """What fires now, silenced or not, with these labels."""
        query = [("active", "true"), ("silenced", "true"), ("inhibited", "true"), *_filters(labels or {})]
        found = await self._http.get(f"/api/v2/alerts?{urlencode(query)}", list[_Alert])
        return [self._alert(one) for one in found]

    async def silences(self) -> Sequence[Silence]:
        return [_silence(one) for one in await self._all()]

    async def check(self) -> str:
        found = await self._http.get("/api/v2/status", _Status)
        return f"Alertmanager {clean(found.versionInfo.version, 40)}".strip()

    async def rights(self) -> Sequence[Right]:
        """Whoever reads it may also silence it, unless a proxy in front of it says otherwise."""
        await self._http.get("/api/v2/status", _Status)
        return (
            Right(name="read alerts and silences", has=True, needed_for="alerts in the mirror"),
            Right(name="silence", has=None, needed_for="alert.silence, alert.unsilence"),
        )

    async def pull(self, feed: str, cursor: str) -> Pulled:
        """Everything there is: the server can't tell what changed. Resolved alerts and old silences are gone from it."""
        if feed == "alert":
            objects = tuple(await self.firing())
        else:
            objects = tuple(_mirrored(one) for one in await self._all())
        return Pulled(objects=objects, full=True)

    async def _all(self) -> list[_Silence]:
        return await self._http.get("/api/v2/silences", list[_Silence])

    # -- writing ------------------------------------------------------------------------------------------------------

    async def silence(
        self, matchers: Mapping[str, str], *, until: float, by: str, comment: str, key: str, in_doubt: bool = False
    ) -> Silence:
        """One silence per key. Raises ActionError `BadMatchers`, `BadEnd`, `NoComment`; InDoubt."""
        _check(matchers, until, self._clock.now(), comment)
        marker = _marker(key)
        for one in await self._all():
            if _key_of(one) == marker:
                return _silence(one)
        body = {
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True}
                for name, value in sorted(matchers.items())
            ],
            "startsAt": _written(self._clock.now()),
            "endsAt": _written(until),
            "createdBy": by or "quarterdeck",
            "comment": f"{comment.strip()} [qd:{marker}]",
        }
        made = await self._http.send("POST", "/api/v2/silences", _Made, json=body, safe=False)
        return _silence(await self._one(made.silenceID))

    async def unsilence(self, id: str) -> None:
        """Ends it. One that is over already stays so; one the server does not know raises `NoSuchSilence`."""
        if (await self._one(id)).status.state == "expired":
            return
        try:
            await self._http.send("DELETE", f"/api/v2/silence/{id}", NoneType, safe=True)
        except ActionError as error:
            # newer servers answer 500 when it ended in between
            if error.error != "ServerError" or (await self._one(id)).status.state != "expired":
                raise

    async def _one(self, id: str) -> _Silence:
        missing = _refusal("NoSuchSilence", f"Alertmanager has no silence {clean(id, 60)}")
        if not _ID.fullmatch(id):
            raise missing
        try:
            return await self._http.get(f"/api/v2/silence/{id}", _Silence)
        except ActionError as error:
            if error.error in ("NotFound", "Refused"):
                raise missing from error
            raise

    def _alert(self, one: _Alert) -> RemoteObject:
        labels = _labels(one.labels)
        return RemoteObject(
            id=f"{clean(one.fingerprint, 64)}@{one.startsAt.timestamp():.3f}",
            name=labels.get("alertname", ""),
            state=clean(one.status.state, 40),
            changed_at=one.startsAt.timestamp(),
            url=clean(one.generatorURL, _TEXT),
            data={
                "robot": labels.get(self._label, ""),
                "severity": labels.get("severity", ""),
                "labels": labels,
                "annotations": _labels(one.annotations, _TEXT),
                "starts_at": one.startsAt.timestamp(),
                "silenced_by": sorted(clean(s, 64) for s in one.status.silencedBy[:20]),
                "inhibited_by": sorted(clean(s, 64) for s in one.status.inhibitedBy[:20]),
                "receivers": [clean(r.name, 80) for r in one.receivers[:20]],
            },
        )


def _filters(labels: Mapping[str, str]) -> list[tuple[str, str]]:
    _named(labels)
    return [("filter", f'{name}="{_quoted(value)}"') for name, value in sorted(labels.items())]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _named(labels: Mapping[str, str]) -> None:
    for name in labels:
        if not _LABEL.fullmatch(name):
            raise _refusal("BadMatchers", f"{clean(name, 60)!r} is not a label's name")


def _check(matchers: Mapping[str, str], until: float, now: float, comment: str) -> None:
    _named(matchers)
    if not any(matchers.values()):
        raise _refusal("BadMatchers", "a silence names at least one label and its value: else it silences everything")
    if until <= now:
        raise _refusal("BadEnd", "a silence ends later than now")
    if not comment.strip():
        raise _refusal("NoComment", "a silence says why")


def _refusal(error: str, message: str) -> ActionError:
    return ActionError(error, message, kind="validation", retryable=False)


def _marker(key: str) -> str:
    """The key as it stands in a comment: short, and of characters a comment keeps."""
    return hashlib.sha256(key.encode()).hexdigest()[:20]


def _key_of(one: _Silence) -> str:
    found = _MARKER.search(one.comment)
    return found.group(1) if found else ""


def _silence(one: _Silence) -> Silence:
    return Silence(
        id=clean(one.id, 64),
        state=clean(one.status.state, 20),
        matchers={
            clean(m.name, 60): clean(m.value if m.isEqual and not m.isRegex else _sign(m) + m.value, _LABEL_TEXT)
            for m in one.matchers[:_MAX_LABELS]
        },
        starts_at=one.startsAt.timestamp(),
        ends_at=one.endsAt.timestamp(),
        by=clean(one.createdBy, 80),
        comment=clean(_MARKER.sub("", one.comment), _TEXT),
    )


def _sign(matcher: _Matcher) -> str:
    """How a matcher that is not plain equality is shown in front of its value."""
    return {(True, True): "=~", (False, True): "!~", (False, False): "!="}.get((matcher.isEqual, matcher.isRegex), "")


def _mirrored(one: _Silence) -> RemoteObject:
    found = _silence(one)
    return RemoteObject(
        id=found.id,
        name=", ".join(f"{k}={v}" for k, v in sorted(found.matchers.items()))[:200],
        state=found.state,
        changed_at=one.updatedAt.timestamp(),
        data={
            "matchers": found.matchers,
            "starts_at": found.starts_at,
            "ends_at": found.ends_at,
            "by": found.by,
            "comment": found.comment,
        },
    )


def _labels(given: Mapping[str, str], limit: int = _LABEL_TEXT) -> dict[str, str]:
    return {clean(k, 60): clean(v, limit) for k, v in sorted(given.items())[:_MAX_LABELS]}


def _written(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class AlertmanagerConnector:
    """Settings: `url`; `secret` when a proxy in front of it wants a bearer token; `webhook_secret` proves its webhooks."""

    kind = "alertmanager"
    title = "Alertmanager"
    docs = "API v2 (openapi.yaml) and webhook version 4 of Prometheus Alertmanager 0.25; tested against the real server"
    capabilities = ("alerts",)
    needs: tuple[str, ...] = ()
    secrets = {**SECRETS, "webhook_secret": "bearer token its webhooks carry"}
    fields: dict[str, Param] = {
        **FIELDS,
        "secret": Param(type="string", required=False, description="name of the keyring entry of a bearer token"),
        "webhook_secret": Param(
            type="string", required=False, description="name of the keyring entry that proves its webhooks"
        ),
        "label": Param(type="string", required=False, description="label that names the robot (robot)"),
    }

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        label, name = str(config.get("label", "robot")), str(config.get("secret", ""))
        if not _LABEL.fullmatch(label):
            raise ActionError(
                "NotConfigured", "alertmanager: label is not a label's name", kind="configuration", retryable=False
            )
        auth = Bearer(lambda: secret(name)) if name else None
        http = client(config, secret, name="Alertmanager", auth=auth)
        return {"alerts": Alertmanager(http, clock, label)}

    def receive(self, headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Sequence[Incoming]:
        """One event per alert of the group: `qd.alert.firing`, `qd.alert.resolved`. A repeat is the same event."""
        proofs.bearer(headers, secret)
        try:
            said = msgspec.json.decode(body, type=_Delivery)
        except (msgspec.DecodeError, RecursionError, OverflowError) as error:
            raise BadDelivery(f"not a webhook of Alertmanager: {clean(error, 200)}") from error
        if said.version != "4":
            raise BadDelivery(f"webhook version {clean(said.version, 20)}; version 4 is understood")
        if len(said.alerts) > MOST_ALERTS:
            raise BadDelivery(f"{len(said.alerts)} alerts in one delivery; at most {MOST_ALERTS}")
        return [_incoming(said, one) for one in said.alerts]


def _incoming(said: _Delivery, one: _Told) -> Incoming:
    if one.status not in ("firing", "resolved"):
        raise BadDelivery(f"an alert whose status is {clean(one.status, 40)!r}")
    labels = _labels(one.labels)
    began = one.startsAt.timestamp()
    ended = one.endsAt.timestamp() if one.endsAt.year > 1970 else _OPEN_BEFORE
    # servers older than 0.20 give no fingerprint; the labels are what it is made of
    mark = clean(one.fingerprint, 64) or hashlib.sha256(msgspec.json.encode(sorted(one.labels.items()))).hexdigest()
    annotations = _labels(one.annotations, _TEXT)
    return Incoming(
        event=f"qd.alert.{one.status}",
        id=f"{mark}/{began:.3f}/{one.status}",
        subject=mark,
        at=ended if one.status == "resolved" and ended else began,
        data={
            "alert": labels.get("alertname", ""),
            "robot": labels.get("robot", ""),
            "site": labels.get("site", ""),
            "severity": labels.get("severity", ""),
            "summary": annotations.get("summary", "") or annotations.get("description", ""),
            "labels": labels,
            "annotations": annotations,
            "starts_at": began,
            "ends_at": ended,
            "fingerprint": mark,
            "receiver": clean(said.receiver, 80),
            "url": clean(one.generatorURL, _TEXT),
            "left_out": max(0, said.truncatedAlerts),
        },
    )


connector = AlertmanagerConnector()
__all__ = ["Alertmanager", "AlertmanagerConnector", "connector"]
