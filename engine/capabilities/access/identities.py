"""Break-glass identities: the few that work when the company's login does not, and whether they were tried lately.

They are no people of the directory and hold nothing by themselves; the pack names them and where each is kept sealed, never
what opens them. A list that nobody tries is worth nothing, so what was tried is kept as evidence and counted from there.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from engine.capabilities.ports import ActionError
from engine.capabilities.vault import VaultError
from engine.contract.records import EvidenceView

Json = Any
KEPT = "break-glass drill.json"
MEDIA = "application/json"
LOOKED_AT = 24
"""Drills looked back at, two years of them."""
LIMIT_B = 1 << 20
_canonical = msgspec.json.Encoder(order="sorted")


async def identities(context: Any, given: dict[str, Json]) -> Json:
    """Each identity with the time it was last seen to work, and how many are missing."""
    policy, now = context.policy("access")["breakglass"], context.now()
    last = await _worked(context)
    rows = []
    for name, entry in sorted((policy["identities"] or {}).items()):
        at = last.get(name)
        rows.append(
            {
                "identity": name, "kept": str((entry or {}).get("kept") or "not said"), "worked_at": at,
                "due": at is None or now - at > float(policy["tested"]),
            }
        )  # fmt: skip
    wanted = int(policy["wanted"])
    due = sum(bool(row["due"]) for row in rows)
    return {
        "identities": rows, "wanted": wanted, "missing": max(0, wanted - len(rows)), "decide_s": float(policy["decide"]),
        "sentence": f"{len(rows)} of {wanted} break-glass identities are set up, {due} not tried in {float(policy['tested']) / 86_400:.0f} days.",
    }  # fmt: skip


async def drilled(context: Any, given: dict[str, Json]) -> Json:
    """Keeps what was tried and by whom; `sound` when enough of them work. A name nobody has is refused."""
    policy, now = context.policy("access")["breakglass"], context.now()
    names = [str(one["identity"]) for one in given.get("identities") or ()]
    failed = [str(one) for one in given.get("failed") or ()]
    if unknown := sorted(set(failed) - set(names)):
        raise ActionError(
            "NoSuchIdentity", f"no break-glass identity is called {', '.join(unknown)[:200]}", retryable=False
        )
    worked = [name for name in names if name not in failed]
    document = {
        "worked": worked, "failed": failed, "by": [str(one) for one in given.get("by") or ()], "at": now, "run": context.run,
    }  # fmt: skip
    kept = await asyncio.to_thread(
        lambda: context.vault.put_bytes(_canonical.encode(document), media=MEDIA, source="access", name=KEPT)
    )
    missing = max(0, int(policy["wanted"]) - len(worked))
    return {
        "record": kept.digest, "failed": failed, "missing": missing, "sound": not missing and not failed,
        "sentence": f"{len(worked)} of {int(policy['wanted'])} break-glass identities work" + (f"; {', '.join(failed)[:200]} did not." if failed else "."),
    }  # fmt: skip


async def _worked(context: Any) -> dict[str, float]:
    """identity -> when it was last seen to work, from the drills that were kept."""
    found: list[EvidenceView] = await context.records.find(
        "evidence", where={"name": KEPT}, limit=LOOKED_AT, order="-created_at"
    )
    last: dict[str, float] = {}
    for one in found:
        try:
            data = await asyncio.to_thread(context.vault.read, one.id, limit=LIMIT_B)
            drill = msgspec.json.decode(data)
        except (OSError, ValueError, VaultError):  # a record that can't be read proves nothing
            continue
        for name in drill.get("worked") or ():
            last[str(name)] = max(last.get(str(name), 0.0), float(drill.get("at") or 0.0))
    return last
