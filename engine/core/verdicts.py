"""What a verdict is, and the verdict on installs: executed robots are the only denominator."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from engine.core.statistics import cp

PASS, FAIL, INCONCLUSIVE, PENDING = "PASS", "FAIL", "INCONCLUSIVE", "PENDING"


class Verdict(Struct, frozen=True, kw_only=True):
    """The word, a sentence for people, and the rules that decided, one by one. `inputs_digest` binds it to its data."""

    word: str
    sentence: str
    reasons: tuple[str, ...] = ()
    inputs_digest: str = ""


class Tally(Struct, frozen=True, kw_only=True):
    """Robots of a stage. `executed` is the only denominator; offline and deferred robots never dilute it."""

    planned: int = 0
    eligible: int = 0
    deferred: int = 0
    offline: int = 0
    ok: int = 0
    failed: int = 0
    timed_out: int = 0
    rejected: int = 0
    in_progress: int = 0
    unknown: int = 0

    @property
    def executed(self) -> int:
        return self.ok + self.failed + self.timed_out + self.rejected


def install_verdict(tally: Tally, *, limit: float = 0.05, min_failures: int = 2, finished: bool = False) -> Verdict:
    """FAIL at `min_failures` failures whose exact lower bound is above `limit`; the bound carries the sample size."""
    executed, bad = tally.executed, tally.executed - tally.ok
    low, high = cp(bad, executed)
    digest = digest_of((msgspec.to_builtins(tally), limit, min_failures, finished))
    aside = tally.offline + tally.deferred
    beside = f" ({tally.offline} offline and {tally.deferred} deferred not counted)" if aside else ""
    counted = f"{bad}/{executed} executed failed{beside}"
    if bad >= min_failures and low > limit:
        return Verdict(
            word=FAIL,
            sentence=f"installs: {counted}, at least {low:.0%} at 95 %",
            reasons=(f"lower bound {low:.3f} > {limit:.3f} with {bad} >= {min_failures} failures",),
            inputs_digest=digest,
        )
    reasons = (f"{counted}; 95 % bounds {low:.3f} to {high:.3f}, stops above {limit:.3f}",)
    if finished and executed:
        return Verdict(
            word=PASS,
            sentence=f"installs: {tally.ok}/{executed} executed ok{beside}",
            reasons=reasons,
            inputs_digest=digest,
        )
    return Verdict(word=PENDING, sentence=f"installing: {counted}", reasons=reasons, inputs_digest=digest)


def digest_of(value: Any) -> str:
    """SHA-256 over the canonical JSON of a value: equal inputs, equal digest."""
    return (
        "sha256:" + hashlib.sha256(msgspec.json.encode(msgspec.to_builtins(value), order="deterministic")).hexdigest()
    )
