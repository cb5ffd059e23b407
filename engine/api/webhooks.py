"""Webhooks: other systems tell events over HTTP, on a listener of its own (`engine.api.listening`).

Rules:
1. Each source has a secret in the keyring; a request proves it (`engine.capabilities.hooks.proofs`), or the connector of
   the system it comes from does. Compared in constant time; who does not know it learns nothing, not even which sources
   there are, and nothing of what it sent is kept.
2. An answer of 202 means on disk. The sender's own id (or a digest of the body) makes a repeat harmless, as senders repeat.
3. What is proven and can't be understood is kept aside with its bytes and answered with 202 too: sending it again would
   change nothing. When no more of a source is kept, 422 says so.
4. A body too large, too slow or compressed is not read to its end.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from engine.capabilities.hooks.quarantine import QuarantineFull, keep_aside
from engine.capabilities.hooks.sources import Quarantine, Source, Sources
from engine.capabilities.ports import ActionError
from engine.capabilities.systems.ports import BadSignature
from engine.store.errors import StoreError
from engine.store.records import Actor

Json = Any
log = logging.getLogger("quarterdeck.webhooks")
AT_ONCE = 64
"""Events of one delivery that wait for the disk together."""
OFF_THE_LOOP = 64 * 1024
"""Bytes from which a body is proven and read in a thread."""


class Teller(Protocol):
    """Who takes an event in (the host)."""

    async def publish(
        self, event: str, data: dict[str, Json], *, id: str, actor: Any, source: str, subject: str = "", cause: str = ""
    ) -> Any: ...


Asker = Callable[[Actor, str], tuple[Any, Any]]
"""The book and the vault for an actor and a cause (`Keeper.for_asker`)."""


Hint = Callable[[str], None]
"""That a system said something: what is mirrored of it is looked at soon."""


class Webhooks:
    """The door for those who tell."""

    def __init__(self, teller: Teller, sources: Sources, asker: Asker, hint: Hint = lambda name: None) -> None:
        self._teller, self._sources, self._asker, self._hint = teller, sources, asker, hint
        self._left: dict[str, tuple[float, float]] = {}
        self._aside = asyncio.Lock()

    def application(self) -> Starlette:
        return Starlette(routes=[Route("/hooks/{source}", self.take, methods=["POST"])])

    async def take(self, request: Request) -> Response:
        """One delivery."""
        limits = self._sources.limits
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            return _answer(415, "compressed bodies are not taken")
        try:
            async with asyncio.timeout(limits.within):
                body = await _body(request, limits.largest)
        except ClientDisconnect:
            return _answer(400, "the body was cut short")
        except TimeoutError:
            return _answer(408, f"the body did not come within {limits.within:g} s", {"connection": "close"})
        if body is None:
            return _answer(413, f"at most {limits.largest} bytes")
        name = request.path_params["source"]
        source = self._sources.get(name)
        if source is None:
            self._sources.unknown += 1
            return self._unproven(None)
        headers = dict(request.headers)
        try:
            if len(body) > OFF_THE_LOOP or not self._sources.at_hand(source):
                events, _ = await asyncio.to_thread(self._sources.take, source, headers, body)
            else:
                events, _ = self._sources.take(source, headers, body)
        except BadSignature as error:
            return self._unproven(source, str(error))
        except Quarantine as error:
            return self._slowed(source) or await self._kept(source, headers, body, error)
        if source.suspended:  # senders repeat: nothing is lost meanwhile
            return _answer(503, "suspended", {"retry-after": "60"})
        return self._slowed(source) or await self._told(source, events)

    async def _told(self, source: Source, events: list[Any]) -> Response:
        """Tells all of it, many at once. What is left after a failure is told by the sender's repeat."""
        count, actor, repeated = self._sources.count(source.name), actor_of(source), 0
        try:
            for start in range(0, len(events), AT_ONCE):
                told = await asyncio.gather(*(self._publish(one, actor) for one in events[start : start + AT_ONCE]))
                repeated += sum(bool(one.repeated) for one in told)
        except StoreError as error:
            log.warning("an event of %s was not taken: %s", source.name, error)
            return _answer(503, "can't be recorded now", {"retry-after": "30"})
        count.taken += len(events) - repeated
        count.repeated += repeated
        count.last_at, count.trouble = self._sources.now(), ""
        if source.receiver is not None:
            self._hint(source.name)
            return _answer(202, "", body={"events": len(events), "repeated": repeated})
        return _answer(202, "", body={"event": events[0].event, "repeated": bool(repeated)})

    async def _publish(self, event: Any, actor: Actor) -> Any:
        return await self._teller.publish(
            event.event,
            event.data,
            id=event.id,
            actor=actor,
            source=event.source,
            subject=event.subject,
            cause=event.cause,
        )

    async def _kept(self, source: Source, headers: dict[str, str], body: bytes, problem: Quarantine) -> Response:
        count, reason = self._sources.count(source.name), str(problem)[:300]
        count.last_at, count.trouble = self._sources.now(), reason
        cause = f"webhook:{source.name}:{hashlib.sha256(body).hexdigest()[:16]}"
        records, vault = self._asker(actor_of(source), cause)
        try:
            async with self._aside:  # one at a time: the same bytes at once are one record
                kept = await keep_aside(self._sources, source, headers, body, problem, records=records, vault=vault)
        except QuarantineFull as error:
            return _answer(422, f"{reason}; {error}")
        except (StoreError, OSError, ActionError) as error:
            log.warning("a delivery of %s was not kept: %s", source.name, error)
            return _answer(503, "can't be recorded now", {"retry-after": "30"})
        count.quarantined += 1
        return _answer(202, "", body={"quarantined": kept.id, "reason": reason})

    def _unproven(self, source: Source | None, why: str = "") -> Response:
        if source is not None:
            count = self._sources.count(source.name)
            count.unproven += 1
            count.unproven_at = self._sources.now()
            if count.unproven <= 3 or count.unproven % 1000 == 0:  # a flood must not fill the log
                log.warning("a delivery for %s was not proven (%d): %s", source.name, count.unproven, why[:100])
        return _answer(401, "who are you?")

    def _slowed(self, source: Source) -> Response | None:
        """A token bucket per source. Only what was proven takes from it: a stranger can't use up what is the sender's."""
        limits, now = self._sources.limits, time.monotonic()
        left, at = self._left.get(source.name, (limits.burst, now))
        left = min(limits.burst, left + (now - at) * limits.per_s)
        self._left[source.name] = (max(0.0, left - 1.0), now)
        if left >= 1.0:
            return None
        self._sources.count(source.name).slowed += 1
        return _answer(429, "too much at once", {"retry-after": "1"})


def actor_of(source: Source) -> Actor:
    """A system by its name, a source of the settings as what it is."""
    name = source.name if source.receiver is not None else f"webhook:{source.name}"
    return Actor(kind="connector", id=name, via="webhook")


async def _body(request: Request, largest: int) -> bytes | None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 12 or int(declared) > largest):
        return None
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > largest:
            return None
        parts.append(part)
    return b"".join(parts)


def _answer(
    status: int, reason: str, headers: dict[str, str] | None = None, *, body: dict[str, Json] | None = None
) -> Response:
    said = body if body is not None else {"reason": reason}
    return Response(msgspec.json.encode(said), status, headers, "application/json")
