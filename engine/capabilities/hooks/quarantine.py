"""What was proven and not understood: kept as it came, so that it can be read again when somebody knows how."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

from engine.capabilities.hooks.sources import Quarantine, Source, Sources, marked
from engine.capabilities.records import Emit, Records
from engine.capabilities.vault import Vault

Json = Any
QUARANTINED = "qd.hook.quarantined"


class QuarantineFull(Exception):
    """So much of this source waits already that no more is kept."""


async def keep_aside(
    sources: Sources,
    source: Source,
    headers: Mapping[str, str],
    body: bytes,
    problem: Quarantine,
    *,
    records: Records,
    vault: Vault,
) -> Any:
    """The record of the delivery. The same bytes of one source are one record; that they came again is counted. Raises
    QuarantineFull, and what the journal says."""
    reason, secret = str(problem), problem.secret
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    same = await records.find("delivery", where={"source": source.name, "digest": digest}, limit=1)
    if same and same[0].state == "quarantined":
        return await records.change("delivery", same[0].id, set={"times": same[0].times + 1})
    most = sources.limits.quarantine_most
    waiting = await records.find("delivery", state="quarantined", where={"source": source.name}, limit=most)
    if len(waiting) >= most:
        raise QuarantineFull(f"{most} deliveries of {source.name} wait in quarantine already")
    media = headers.get("content-type", "").partition(";")[0].strip().lower()[:100]
    kept = await asyncio.to_thread(
        vault.put_bytes,
        body,
        media=media or "application/octet-stream",
        source=source.name,
        name=f"webhook of {source.name}",
    )
    fields = {
        "title": f"{source.name}: {reason}"[:200], "source": source.name, "reason": reason[:500], "digest": kept.digest,
        "size_b": kept.size, "media": media, "headers": marked(headers, secret), "received_at": sources.now(),
        "wall_at": sources.wall(), "source_system": source.name, "observed_at": sources.now(),
    }  # fmt: skip
    told = {"source": source.name, "reason": reason[:300], "digest": kept.digest, "size_b": kept.size}
    # a delivery that was dealt with and comes again is a new one: its number is part of the key
    key = f"{source.name}/{digest}/{same[0].id if same else ''}"
    return await records.create("delivery", fields, key=key, emit=(Emit(QUARANTINED, told),))
