"""What people do with a delivery in quarantine: have it read again, or throw it away."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Given
from engine.capabilities.hooks.sources import Sources, names_of
from engine.capabilities.systems.ports import BadDelivery, BadSignature
from engine.capabilities.vault import VaultError

Json = Any


class RetryArgs(Args, frozen=True, kw_only=True):
    """Reads it as it would be read now; it was proven when it came."""


class DiscardArgs(Args, frozen=True, kw_only=True):
    """`reason` stands in the history."""

    reason: Given


def _waits(desk: Desk, record: Any) -> None:
    if record.state != "quarantined":
        desk.refuse("wrong_state", f"{record.id} is {record.state} already")


async def _read(desk: Desk, record: Any) -> Any:
    _waits(desk, record)
    sources: Sources = desk.port("hooks")
    source = sources.get(record.source)
    if source is None:
        desk.refuse(
            "no_source", f"{record.source} is no source of webhooks any more", fix="add it again, or discard this"
        )
    try:
        body = await asyncio.to_thread(desk.vault.read, record.digest, limit=max(1, record.size_b))
    except (VaultError, OSError) as error:
        desk.refuse("not_kept", str(error), fix="discard it")
    try:
        return await asyncio.to_thread(sources.again, source, record.headers, body, record.wall_at)
    except BadDelivery as error:
        desk.refuse("not_understood", f"it still can't be read: {error}", fix="mend the connector, or discard this")
    except BadSignature as error:
        said = f"its signature no longer fits ({error}): the secret was exchanged since it came"
        desk.refuse("not_proven", said, fix="name the secret before under old_secret, or discard this")


async def _retry(desk: Desk, record: Any, args: RetryArgs) -> Json:
    events = await _read(desk, record)
    for event in events:  # the sender's own ids: what came in some other way meanwhile is not told twice
        await desk.publish(event.event, event.data, event.subject, source=event.source, id=event.id, cause=event.cause)
    names = names_of(events)
    await desk.records.change("delivery", record.id, to="taken", set={"events": names}, reason="read again")
    return {"delivery": record.id, "events": list(names), "told": len(events)}


async def _foresee_retry(desk: Desk, record: Any, args: RetryArgs) -> Foreseen:
    events = await _read(desk, record)
    what = ", ".join(names_of(events)) or "nothing"
    return Foreseen(
        sentences=(f"it can be read now: {len(events)} event(s) are told ({what}), each once by its own id",)
    )


async def _discard(desk: Desk, record: Any, args: DiscardArgs) -> Json:
    _waits(desk, record)
    await desk.records.change("delivery", record.id, to="discarded", reason=args.reason)
    return {"delivery": record.id}


async def _foresee_discard(desk: Desk, record: Any, args: DiscardArgs) -> Foreseen:
    _waits(desk, record)
    return Foreseen(sentences=(f"{record.id} of {record.source} is never read; its bytes stay in the vault",))


VERBS = (
    DeskVerb(name="delivery.retry", args=RetryArgs, says="have a webhook delivery read again", do=_retry,
             kind="delivery", foresee=_foresee_retry),
    DeskVerb(name="delivery.discard", args=DiscardArgs, says="discard a webhook delivery", do=_discard,
             kind="delivery", foresee=_foresee_discard),
)  # fmt: skip
