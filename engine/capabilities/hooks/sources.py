"""Who may tell by webhook: the sources of the settings and the systems whose connectors receive; proving them and reading
what they say. No I/O but the keyring.

A source of the settings takes the place of a system's own way only in its secret: a system's deliveries are always
proven and read by its connector.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from engine.capabilities.events.envelope import BadEvent, Incoming, taken
from engine.capabilities.events.rules import Limits
from engine.capabilities.hooks import proofs
from engine.capabilities.nesting import deep
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError
from engine.capabilities.systems.ports import BadDelivery, BadSignature, Receiver
from engine.contract.hooks import HookSourceView

Json = Any
Secret = Callable[[str], str]
log = logging.getLogger("quarterdeck.webhooks")
ID_HEADERS = ("webhook-id", "x-github-delivery", "x-gitlab-event-uuid", "x-request-id", "idempotency-key")
PROVEN_IDS = {"standard": ("webhook-id",), "mlflow": ("x-mlflow-delivery-id",), "hmac": (), "pagerduty": ()}
"""Headers that are part of what is signed, where there is a signature; a repeat is told by the body where there are none."""
STRUCTURED = "application/cloudevents+json"
MARK = "{secret}"
"""Stands for the secret in the headers of a delivery that is kept."""
SECRET_FIELD = "webhook_secret"
"""The field of a connector that names the keyring entry its webhooks are proven with."""
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_EVENT = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_KEPT_HEADERS = 40
REMEMBERED_S = 5.0
"""Seconds for which what the keyring said of an entry holds: an exchanged secret is known that soon."""
_NEVER_KEPT = frozenset({"cookie", "proxy-authorization", "connection", "host", "content-length", "transfer-encoding"})


class HookLimits(Struct, frozen=True, kw_only=True):
    """The policy pack `hooks`. Lengths of time in seconds, sizes in bytes."""

    largest: int
    deepest: int
    per_s: float
    burst: float
    within: float
    window: float
    events_at_most: int
    quarantine_most: int

    @classmethod
    def of(cls, pack: Mapping[str, Json]) -> HookLimits:
        """From the resolved pack; the shipped one where an engine has none of its own."""
        return msgspec.convert(dict(pack) or load_pack("hooks"), cls, strict=False)


class Told(Protocol):
    """One source as it stands in the settings."""

    secret: str
    proof: str
    header: str
    window_s: float
    old_secret: str


class Source(Struct, frozen=True, kw_only=True):
    """One that may tell. `secrets` are names of keyring entries, the newest first; `kind` that of the system's connector."""

    name: str
    secrets: tuple[str, ...]
    proof: str = ""
    header: str = ""
    window_s: float = 0.0
    receiver: Receiver | None = None
    kind: str = ""
    suspended: bool = False


class Counts:
    """How it went with one source since the engine started."""

    __slots__ = ("last_at", "quarantined", "repeated", "slowed", "taken", "trouble", "unproven", "unproven_at")

    def __init__(self) -> None:
        self.taken = self.repeated = self.quarantined = self.unproven = self.slowed = 0
        self.last_at = self.unproven_at = 0.0
        self.trouble = ""


Receivers = Callable[[], Mapping[str, tuple[Any, Mapping[str, Json], bool]]]
"""System -> its connector, its settings, whether it is suspended; for those whose connector receives webhooks."""


class Sources:
    """All sources of one engine. `wall` is real time, by which signatures are dated."""

    def __init__(
        self,
        secret: Secret,
        now: Callable[[], float],
        *,
        told: Mapping[str, Any] | None = None,
        receivers: Receivers = dict,
        limits: Limits | None = None,
        hook_limits: HookLimits | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._secret, self.now, self.wall = secret, now, wall
        self._told: Mapping[str, Any] = told or {}
        self._receivers = receivers
        self._limits = limits
        self.limits = hook_limits or HookLimits.of({})
        self._read: dict[str, tuple[float, str]] = {}
        self.counts: dict[str, Counts] = {}
        self.unknown = 0
        self.address, self.why = "", "nothing listens: set webhook_port"

    def bind(self, told: Mapping[str, Any], receivers: Receivers, limits: Limits, hook_limits: HookLimits) -> None:
        """What is only known once the engine stands."""
        self._told, self._receivers, self._limits, self.limits = told, receivers, limits, hook_limits

    def get(self, name: str) -> Source | None:
        """The source of that name as it is now."""
        told, found = self._told.get(name), self._receivers().get(name)
        if found is None:
            return None if told is None else _own(name, told)
        connector, config, suspended = found
        entry = (told.secret if told is not None else "") or str(config.get(SECRET_FIELD) or "")
        old = told.old_secret if told is not None else ""
        return Source(
            name=name,
            secrets=tuple(one for one in (entry, old) if one),
            receiver=connector,
            kind=str(getattr(connector, "kind", "")),
            suspended=suspended,
        )

    def all(self) -> list[Source]:
        """Every source by name. A system without a secret for webhooks is one too: it can prove nothing yet."""
        names = sorted({*self._told, *self._receivers()})
        return [found for name in names if (found := self.get(name)) is not None]

    def count(self, name: str) -> Counts:
        return self.counts.setdefault(name, Counts())

    # -- proving and reading -----------------------------------------------------------------------------------------

    def take(self, source: Source, headers: Mapping[str, str], body: bytes) -> tuple[list[Incoming], str]:
        """What a delivery says, and the secret that proved it. Raises BadSignature; BadDelivery after the proof."""
        secrets = self._readable(source)
        if not secrets:
            raise BadSignature("there is no secret to prove it with")
        wrong: BadSignature | None = None
        for secret in secrets:
            try:
                if source.receiver is not None:
                    return self._received(source, headers, body, secret, self.wall()), secret
                way = proofs.WAYS[source.proof]
                way(headers, body, secret, self.wall(), source.header, source.window_s or self.limits.window)
            except BadSignature as error:
                wrong = error
                continue
            except BadDelivery as error:
                raise Quarantine(str(error), secret) from error
            try:
                return [self.read(source, headers, body)], secret
            except BadEvent as error:
                raise Quarantine(str(error), secret) from error
        raise wrong or BadSignature("not proven")

    def again(self, source: Source, headers: Mapping[str, str], body: bytes, wall_at: float) -> list[Incoming]:
        """Reads a kept delivery once more, as at the time it came. Raises BadSignature, BadDelivery."""
        if source.receiver is None:
            try:
                return [self.read(source, headers, body)]
            except BadEvent as error:
                raise BadDelivery(str(error)) from error
        wrong: BadSignature | None = None
        for secret in self._readable(source):
            try:
                return self._received(source, unmarked(headers, secret), body, secret, wall_at)
            except BadSignature as error:
                wrong = error
        raise wrong or BadSignature("there is no secret to prove it with")

    def read(self, source: Source, headers: Mapping[str, str], body: bytes) -> Incoming:
        """What a source of the settings says: a CloudEvent as what it is, any other JSON as `webhook.<source>`. Where
        there is a signature nothing is believed but what is signed: an id in another header could be anybody's, and a recorded
        delivery be told anew with it. Raises BadEvent."""
        name, signed = source.name, source.proof in PROVEN_IDS
        try:
            said = msgspec.json.decode(body) if body else {}
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise BadEvent(f"not JSON: {error}") from error
        if deep(said, self.limits.deepest):
            raise BadEvent(f"lists and objects nest deeper than {self.limits.deepest}")
        limits = self._limits or Limits.of({})
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media == STRUCTURED:
            return taken(said, limits)
        if "ce-specversion" in headers and signed:
            raise BadEvent("its attributes stand in headers, which are not signed; send it in structured mode")
        if "ce-specversion" in headers:
            attributes = {key[3:]: unquote(value) for key, value in headers.items() if key.startswith("ce-")}
            return taken({**attributes, "data": said}, limits)
        known = PROVEN_IDS.get(source.proof, ID_HEADERS)
        given = next((headers[header] for header in known if header in headers), "")
        id_ = given if _ID.fullmatch(given) else "sha256:" + hashlib.sha256(body).hexdigest()
        data = said if isinstance(said, dict) else {"value": said}
        return Incoming(event=f"webhook.{name}", id=id_, source=f"webhook/{name}", subject="", data=data)

    def _received(
        self, source: Source, headers: Mapping[str, str], body: bytes, secret: str, at: float
    ) -> list[Incoming]:
        """By the system's own connector. What it raises beside the two is a mistake of the connector, not of the sender."""
        assert source.receiver is not None
        try:
            events = list(source.receiver.receive(headers, body, secret, at))
        except (BadSignature, BadDelivery):
            raise
        except Exception as error:
            log.exception("the connector of %s can't read a delivery", source.name)
            raise BadDelivery(f"{source.kind} can't read it: {type(error).__name__}") from error
        if len(events) > self.limits.events_at_most:
            raise BadDelivery(f"{len(events)} events in one delivery, more than {self.limits.events_at_most}")
        return [self._incoming(source.name, event) for event in events]

    def _incoming(self, name: str, event: Any) -> Incoming:
        if not _EVENT.fullmatch(event.event):
            raise BadDelivery(f"{event.event[:60]!r} is no name of an event")
        if deep(event.data, self.limits.deepest):
            raise BadDelivery(f"lists and objects nest deeper than {self.limits.deepest}")
        data = {"system": name, **event.data}
        if event.at:
            data.setdefault("at", event.at)
        subject, own = event.subject, f"{name}/"
        if subject and not subject.startswith(own):
            subject = own + subject
        given = str(event.id)
        id_ = (
            given if _ID.fullmatch(given) else "sha256:" + hashlib.sha256(given.encode("utf-8", "replace")).hexdigest()
        )
        return Incoming(event=event.event, id=id_, source=f"webhook/{name}", subject=_shown(subject), data=data)

    def at_hand(self, source: Source) -> bool:
        """Whether proving it asks no keyring (some take their time): then it needs no thread."""
        now = time.monotonic()
        return all(entry in self._read and now - self._read[entry][0] < REMEMBERED_S for entry in source.secrets)

    def _readable(self, source: Source) -> list[str]:
        return [secret for entry in source.secrets if (secret := self._remembered(source, entry))]

    def _remembered(self, source: Source, entry: str) -> str:
        """The secret, asked of the keyring every few seconds at most, whoever knocks how often; empty when it can't be read."""
        at, secret = self._read.get(entry, (0.0, ""))
        now = time.monotonic()
        if at and now - at < REMEMBERED_S:
            return secret
        try:
            secret = self._secret(entry)
        except ActionError as error:
            log.error("the secret of the webhooks of %s can't be read: %s", source.name, error.message)
            self.count(source.name).trouble = f"the keyring has no entry {entry!r} that can be read"
            secret = ""
        self._read[entry] = (now, secret)
        return secret

    # -- what is shown -----------------------------------------------------------------------------------------------

    def view(self, source: Source, waiting: int) -> HookSourceView:
        count = self.count(source.name)
        if not source.secrets:
            trouble = f"no secret: qd connectors set {source.name} --set {SECRET_FIELD}=ENTRY"
        elif source.suspended:
            trouble = f"suspended: what it sends is sent back for later (qd connectors resume {source.name})"
        else:
            trouble = count.trouble
        timed = source.proof in proofs.TIMED and source.receiver is None
        return HookSourceView(
            name=source.name,
            url=f"/hooks/{source.name}",
            kind=source.kind,
            proof=f"as {source.kind} signs" if source.receiver is not None else source.proof or "bearer or hmac",
            replay_window_s=(source.window_s or self.limits.window) if timed else 0.0,
            taken=count.taken,
            repeated=count.repeated,
            quarantined=count.quarantined,
            unproven=count.unproven,
            slowed=count.slowed,
            waiting=waiting,
            last_at=count.last_at,
            unproven_at=count.unproven_at,
            trouble=trouble,
        )


class Quarantine(BadDelivery):
    """Proven by `secret`, and not understood."""

    def __init__(self, reason: str, secret: str) -> None:
        super().__init__(reason)
        self.secret = secret


def marked(headers: Mapping[str, str], secret: str) -> dict[str, str]:
    """The headers as they may be kept: wherever the secret stands, plain or in Basic credentials, there is a mark."""
    kept: dict[str, str] = {}
    for name, value in list(headers.items())[:_KEPT_HEADERS]:
        if name in _NEVER_KEPT:
            continue
        if name == "authorization":
            word, _, rest = value.partition(" ")
            said = _basic(rest) if word.lower() == "basic" else rest
            if secret not in said:
                continue  # a credential we know nothing about is not ours to keep
            value = f"{word} {said}"
        kept[name] = value.replace(secret, MARK)[:500]
    return kept


def unmarked(headers: Mapping[str, str], secret: str) -> dict[str, str]:
    """The headers as they came, with the secret as it is now."""
    found = {name: value.replace(MARK, secret) for name, value in headers.items()}
    given = found.get("authorization", "")
    if given[:6].lower() == "basic ":
        found["authorization"] = "Basic " + base64.b64encode(given[6:].encode()).decode()
    return found


def names_of(events: Iterable[Incoming]) -> Sequence[str]:
    return tuple(dict.fromkeys(event.event for event in events))


def _own(name: str, told: Any) -> Source:
    entries = (told.secret, getattr(told, "old_secret", ""))
    return Source(
        name=name,
        secrets=tuple(entry for entry in entries if entry),
        proof=getattr(told, "proof", ""),
        header=getattr(told, "header", ""),
        window_s=getattr(told, "window_s", 0.0),
    )


def _basic(rest: str) -> str:
    try:
        return base64.b64decode(rest.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in text[:200])
