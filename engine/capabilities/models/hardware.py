"""Trials on hardware: a blind, randomised order sheet for people, and their entries.

Who carries out a trial reads a number, a task, a starting position and a code, never which model it is. The order and the
codes come from a secret that is drawn for the sheet and kept in the keyring; the sheet itself is evidence.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from typing import Any

import msgspec

from engine.capabilities.models.registering import candidate_of, pack_of
from engine.capabilities.ports import ActionError, Context
from engine.contract.models import CandidateView, PackView

Json = Any
Input = dict[str, Json]
CODES = ("red", "blue")


def rows_of(candidate: CandidateView, pack: PackView, n: int, secret: str) -> list[dict[str, Json]]:
    """The whole sheet, arms included, in its order. Both arms of a seed stand side by side, in an order of their own."""

    def draw(*parts: object) -> bytes:
        text = "|".join(str(part) for part in (candidate.id, pack.digest, *parts))
        return hmac.new(bytes.fromhex(secret), text.encode(), hashlib.sha256).digest()

    swapped = draw("codes")[0] & 1
    code_of = dict(zip(("candidate", "baseline"), CODES[::-1] if swapped else CODES, strict=True))
    pairs = [
        (task, seed) for task in pack.tasks for seed in range(task.first_seed, task.first_seed + min(task.seeds, n))
    ]
    pairs.sort(key=lambda pair: draw("order", pair[0].task, pair[1]))
    rows: list[dict[str, Json]] = []
    for task, seed in pairs:
        arms = ("candidate", "baseline") if draw("first", task.task, seed)[0] & 1 else ("baseline", "candidate")
        rows += [
            {"number": len(rows) + at + 1, "task": task.task, "seed": seed, "code": code_of[arm], "arm": arm, "predicate": task.predicate, "rubric": task.rubric}
            for at, arm in enumerate(arms)
        ]  # fmt: skip
    return rows


def secret_name(candidate: str) -> str:
    return f"blind-{candidate}"


async def order_sheet(context: Context, given: Input) -> Json:
    """Makes the sheet and keeps it; what it shows gives no arm away."""
    candidate = await candidate_of(context, given["candidate"])
    pack = await pack_of(context, candidate)
    keyring = context.port("secrets")
    name = secret_name(candidate.id)
    try:
        secret = await asyncio.to_thread(keyring.get, name)
    except ActionError as error:
        if error.error != "SecretMissing":
            raise
        secret = secrets.token_hex(32)
        await asyncio.to_thread(keyring.prepare)
        await asyncio.to_thread(keyring.set, name, secret)
    n = int(context.policy("release")["hardware"]["n_max"])
    rows = rows_of(candidate, pack, n, secret)
    shown = [{name: value for name, value in row.items() if name != "arm"} for row in rows]
    kept = await asyncio.to_thread(
        context.vault.put_bytes,
        msgspec.json.encode(shown),
        media="application/json",
        name=f"order sheet {candidate.id}",
    )
    await context.records.change(
        "candidate", candidate.id, set={"hardware": kept.digest, "blind": "operators read codes; the order is drawn"}
    )
    return {"sheet": kept.digest, "trials": len(rows), "tasks": [task.task for task in pack.tasks]}
