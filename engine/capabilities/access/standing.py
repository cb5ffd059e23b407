"""Recertification: everyone who may ask for access, looked at once a quarter by somebody who answers for it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from engine.capabilities.access import granting, people
from engine.capabilities.access.entities import LIVE
from engine.contract.access import Grant

Json = Any
QUARTER = 92 * 86_400.0
_canonical = msgspec.json.Encoder(order="sorted")


async def standing(context: Any, given: dict[str, Json]) -> Json:
    """The directory with what each person holds now and was granted in the last quarter."""
    policy, now = context.policy("access"), context.now()
    rows = []
    for name in sorted(policy.get("actors") or {}):
        actor = people.actor(policy, name, now=now, seen_at=now)
        grants: list[Grant] = await context.records.find("grant", where={"actor": name}, limit=1_000)
        recent = [one for one in grants if now - one.not_before <= QUARTER]
        rows.append(
            {
                "person": name, "employer": actor["employer"], "location": actor["location"], "active": actor["active"],
                "shared": actor["shared"], "qualified_until": actor["qualified_until"], "qualified": actor["qualified_s"] > 0,
                "grants": len(recent), "unused": sum(not one.used.started_at for one in recent),
                "over_scope": sum(bool(one.used.excess) for one in recent), "holds": [one.id for one in grants if one.state in LIVE],
            }
        )  # fmt: skip
    over = sum(row["over_scope"] > 0 for row in rows)
    return {
        "people": rows, "decide_s": float(policy["recertify"]),
        "sentence": f"{len(rows)} people are in the directory, {sum(not row['active'] for row in rows)} of them no longer active, {over} went beyond a grant.",
    }  # fmt: skip


async def certified(context: Any, given: dict[str, Json]) -> Json:
    """Keeps the list as it was seen, and ends what those hold who were named. Asked again it ends nothing twice."""
    by = [str(one) for one in given.get("by") or ()]
    named = [str(one) for one in given.get("ended") or ()]
    document = {"people": given.get("people") or [], "ended": named, "by": by, "at": context.now()}
    kept = await asyncio.to_thread(
        lambda: context.vault.put_bytes(
            _canonical.encode(document), media="application/json", source="access", name="recertification.json"
        )
    )
    ended = []
    for name in named:
        for grant in await context.records.find("grant", state=LIVE, where={"actor": name}, limit=1_000):
            await granting.end(context, grant, to="revoked", by=by[0] if by else "engine", reason="not recertified")
            ended.append(grant.id)
    return {"record": kept.digest, "ended": ended}
