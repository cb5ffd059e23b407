"""CloudEvents 1.0, in and out: an event as other systems say it.

Outward the type is `<reverse-DNS prefix>.<name>.<version>`; the extensions are `qdrun` (the run that told it), `qdcause`
(source and id of the event it follows from), `qdseq` (its number among the events of its subject), the Auth Context
`authtype`/`authid` (information, not proof) and a W3C `traceparent` made from the first cause, so that other systems show
one thread too. Source: CloudEvents spec 1.0.2 and its extensions authcontext and distributedtracing.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from engine.capabilities.events.rules import Limits
from engine.contract.events import OutEvent

Json = Any
OURS = "/quarterdeck/"
"""Sources under this path are the engine's own: nobody else may tell events in their name."""
RESERVED = (OURS, "webhook/")
"""What no outside event may name as its source: rules trust these."""
_AUTH = {"person": "user", "engine": "system", "policy": "system", "connector": "service_account", "trigger": "system"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")


class BadEvent(ValueError):
    """What is not a CloudEvent we can take; the message names the attribute."""


class Incoming(Struct, frozen=True, kw_only=True):
    """An event from outside, checked. `cause` is the key of an event of ours it says it follows from."""

    event: str
    id: str
    source: str
    subject: str
    data: dict[str, Json]
    cause: str = ""


def envelope(event: OutEvent, *, limits: Limits, actor: str, cause: str, root: str) -> dict[str, Json]:
    """The event as it leaves. `actor` is the stored actor, `cause` and `root` are keys of events."""
    who = msgspec.json.decode(actor)
    made: dict[str, Json] = {
        "specversion": "1.0",
        "id": event.key.removeprefix(f"{event.source}/"),
        "source": event.source,
        "type": wire_type(event.event, limits),
        "time": datetime.fromtimestamp(event.at, UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": event.data,
        "authtype": _AUTH.get(who.get("kind", ""), "unknown"),
        "authid": who.get("id", ""),
        "traceparent": traceparent(root, event.key),
    }
    if event.subject:
        made |= {"subject": event.subject, "qdseq": event.subject_n}
    if event.run:
        made["qdrun"] = event.run
    if cause:
        made["qdcause"] = cause
    return made


def wire_type(name: str, limits: Limits) -> str:
    """The name with our prefix and version; one that is not ours leaves as it came."""
    return f"{limits.type_prefix}.{name}.{limits.type_version}" if name.startswith("qd.") else name


def short_name(type_: str, limits: Limits) -> str:
    """The name we know an event by."""
    prefix, suffix = f"{limits.type_prefix}.", f".{limits.type_version}"
    if type_.startswith(prefix + "qd.") and type_.endswith(suffix):
        return type_[len(prefix) : -len(suffix)]
    return type_


def traceparent(root: str, key: str) -> str:
    """Version 00, sampled: the trace is the first cause's, the span the event's own."""
    return f"00-{hashlib.sha256(root.encode()).hexdigest()[:32]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}-01"


def taken(said: Json, limits: Limits) -> Incoming:
    """A CloudEvent in structured form, checked. Raises BadEvent."""
    if not isinstance(said, dict):
        raise BadEvent("a CloudEvent is one JSON object")
    if said.get("specversion") != "1.0":
        raise BadEvent(f"specversion: 1.0 is understood, not {str(said.get('specversion'))[:20]!r}")
    for name in said:
        if not _ATTRIBUTE.fullmatch(str(name)) and name != "data_base64":
            raise BadEvent(f"{str(name)[:40]}: attribute names are at most 20 of a-z and 0-9")
    if "data_base64" in said:
        raise BadEvent("data_base64: only JSON data is taken")
    text = {name: _text(said, name, needed=name != "subject") for name in ("id", "source", "type", "subject")}
    if text["source"].startswith(RESERVED):
        raise BadEvent(f"source: {' and '.join(RESERVED)} are the engine's own")
    name = short_name(text["type"], limits)
    if not _NAME.fullmatch(name):
        raise BadEvent(f"type: {name[:60]!r} is not words with dots between")
    data = said.get("data")
    if data is not None and not isinstance(data, dict):
        data = {"value": data}
    cause = _text(said, "qdcause", needed=False, limit=600)
    return Incoming(
        event=name, id=text["id"], source=text["source"], subject=text["subject"], data=data or {}, cause=cause
    )


def _text(said: dict[str, Json], name: str, *, needed: bool, limit: int = 200) -> str:
    value = said.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or not value or len(value) > limit or not value.isprintable():
        raise BadEvent(f"{name}: a text of 1 to {limit} printable characters")
    return value
