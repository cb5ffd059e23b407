"""Trials: asked of the bench in batches, recorded one by one, judged after every batch.

The bench knows the two models by code names, in mixed order. Trouble of the bench is tried again on the same seed; what a
policy does wrong never is. Every trial that was had stands in the records, also an excluded one, with its reason.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from engine.capabilities.models import packing
from engine.capabilities.models.runner import Bench, cut, program
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Change
from engine.contract.models import CandidateView, PackView, TrialView
from engine.core.comparison import Found, Half, compare

Json = Any
ARMS = ("candidate", "baseline")
CHUNK = 200
READ = 100_000


class Asked(Struct, frozen=True):
    """One trial that is wanted."""

    arm: str
    task: str
    seed: int
    init: dict[str, float]
    purpose: str = "sim"


def codes(candidate: str, pack_digest: str) -> dict[str, str]:
    """The arms' code names for the bench: which is which can't be told from them."""
    swapped = hashlib.sha256(f"{candidate}|{pack_digest}".encode()).digest()[0] & 1
    return dict(zip(ARMS, ("y", "x") if swapped else ("x", "y"), strict=True))


def halves(trials: Iterable[TrialView], score: str, purpose: str = "sim") -> list[Half]:
    """Trials as the comparison takes them."""
    return [
        Half(
            arm=one.arm,  # type: ignore[arg-type]
            task=one.task,
            seed=one.seed,
            value=one.rubric if score == "rubric" else float(one.outcome == "success"),
            duration_s=one.duration_s,
            causal=sum(1 for event in one.safety_events if event.causal),
            excluded=one.state == "excluded",
        )
        for one in trials
        if one.purpose == purpose
    ]


def judged(
    pack: PackView, trials: Sequence[TrialView], n_max: int, hardware: Mapping[str, Json] | None = None
) -> Found:
    """The comparison of what is recorded; pure."""
    plan = packing.plan_of(pack, n_max, hardware=hardware)
    purpose = "hardware" if hardware is not None else "sim"
    found = halves(trials, plan.score, purpose)
    return compare(found, plan, [task.task for task in pack.tasks], packing.seeds_of(pack, plan.n_max))


def wanted(pack: PackView, trials: Sequence[TrialView], found: Found, n_max: int) -> list[Asked]:
    """The next batch: for every open task, the next seeds that have no trial yet, both arms."""
    seeds = packing.seeds_of(pack, n_max)
    had = {(one.arm, one.task, one.seed) for one in trials if one.purpose == "sim"}
    asked: list[Asked] = []
    for task in pack.tasks:
        if found.tasks and task.task not in found.open:
            continue
        open_ = [s for s in seeds[task.task] if any((arm, task.task, s) not in had for arm in ARMS)]
        for seed in open_[: pack.plan.batch]:
            asked += [Asked(arm, task.task, seed, task.init) for arm in ARMS if (arm, task.task, seed) not in had]
    return asked


async def had(context: Context, candidate: str, pack: str) -> list[TrialView]:
    return (
        await context.records.find("trial", where={"candidate": candidate}, limit=READ, order="created_at")
        if pack
        else []
    )


class Trying:
    """One candidate and its baseline on one bench."""

    def __init__(self, context: Context, candidate: CandidateView, pack: PackView, policy: Mapping[str, Json]) -> None:
        self.context, self.candidate, self.pack, self.policy = context, candidate, pack, policy
        self.bench: Bench = context.port("evaluation")
        self.argv = program(policy, pack.runner)
        names = codes(candidate.id, pack.digest)
        self.arm_of = {code: arm for arm, code in names.items()}
        self.code_of = names
        self.models = {
            names["candidate"]: str(context.vault.path(candidate.model_digest)),
            names["baseline"]: str(context.vault.path(candidate.baseline.model_digest)),
        }

    async def run(self, asked: Sequence[Asked], made: int, of: int, what: str) -> int:
        """Has these trials made and recorded; the number of records. Raises ActionError."""
        left, attempt, recorded = list(asked), 1, 0
        while left:
            done, trouble = await self._job(left, attempt, made + recorded, of, what)
            final = attempt > int(self.policy["retries"])
            await self._record(done, attempt)
            recorded += len(done)
            lost = [(one, why) for one, why, lasting in trouble if lasting or final]
            if lost:
                await self._exclude(lost, attempt)
                recorded += len(lost)
            left = [one for one, _, lasting in trouble if not lasting and not final]
            attempt += 1
        return recorded

    async def _job(
        self, asked: Sequence[Asked], attempt: int, made: int, of: int, what: str
    ) -> tuple[list[tuple[Asked, dict[str, Json]]], list[tuple[Asked, str, bool]]]:
        order = sorted(
            range(len(asked)),
            key=lambda at: hashlib.sha256(
                f"{self.candidate.id}|{asked[at].arm}|{asked[at].task}|{asked[at].seed}".encode()
            ).digest(),
        )
        cases = [
            {
                "id": at, "code": self.code_of[asked[at].arm], "task": asked[at].task, "seed": asked[at].seed,
                "init": asked[at].init, "attempt": attempt,
            }
            for at in order
        ]  # fmt: skip
        job = {"kind": "trials", "models": self.models, "cases": cases}
        done: dict[int, dict[str, Json]] = {}
        trouble: dict[int, tuple[str, bool]] = {}
        limit_s = float(self.policy["bench_wall"])
        async for said in self.bench.lines(
            self.argv, job, wanted=lambda: not self.context.cancelled(), limit_s=limit_s
        ):
            self._listen(said, len(asked), done, trouble)
            if len(done) % 20 == 0:
                self.context.heartbeat({"done": made + len(done), "of": of, "unit": "trials", "what": what})
        missing = [at for at in range(len(asked)) if at not in done and at not in trouble]
        if missing:
            raise ActionError(
                "BenchTrouble",
                f"the bench ended with {len(missing)} of {len(asked)} trials unanswered",
                kind="unavailable",
            )
        return (
            [(asked[at], found) for at, found in sorted(done.items())],
            [(asked[at], why, lasting) for at, (why, lasting) in sorted(trouble.items())],
        )

    def _listen(
        self, said: dict[str, Json], count: int, done: dict[int, dict[str, Json]], trouble: dict[int, tuple[str, bool]]
    ) -> None:
        event, at = said.get("event"), said.get("id")
        if event == "hello":
            if said.get("judged_by") != "bench":
                raise _unfit("this bench lets the policy judge itself: its word is no success")
            self._same_simulator(str(said.get("simulator", "")))
        elif event in ("trial", "infra"):
            if not isinstance(at, int) or not 0 <= at < count or at in done or at in trouble:
                raise ActionError("BenchTrouble", f"an answer to a trial that was not asked for: {cut(at)}")
            if event == "infra":
                trouble[at] = (cut(said.get("error", "trouble of the bench")), bool(said.get("lasting")))
                return
            self._same_simulator(str(said.get("simulator", "")))
            if said.get("outcome") not in ("success", "failure"):
                raise ActionError("BenchTrouble", f"an outcome that is none: {cut(said.get('outcome'))}")
            done[at] = said

    def _same_simulator(self, simulator: str) -> None:
        if simulator != self.pack.simulator:
            raise _unfit(
                f"the bench runs {cut(simulator, 80) or 'an unnamed simulator'}, the pack was made for {self.pack.simulator}: "
                "trials on different builds can't be compared"
            )

    async def _record(self, done: Sequence[tuple[Asked, dict[str, Json]]], attempt: int) -> None:
        changes = [
            Change(kind="trial", key=_key(one), set=self._fields(one, attempt) | _outcome(said)) for one, said in done
        ]
        for start in range(0, len(changes), CHUNK):
            await self.context.records.change_many(changes[start : start + CHUNK])

    async def _exclude(self, lost: Sequence[tuple[Asked, str]], attempt: int) -> None:
        """Trials that could not be had: on record as excluded, with the reason, never as failures of a policy."""
        changes = [
            Change(
                kind="trial", key=_key(one), to="excluded",
                set=self._fields(one, attempt) | {"outcome": "infra", "excluded": f"infra: {why}", "excluded_by": "bench"},
            )
            for one, why in lost
        ]  # fmt: skip
        await self.context.records.change_many(changes)

    def _fields(self, one: Asked, attempt: int) -> dict[str, Json]:
        return {
            "title": f"{one.task} {one.seed}", "candidate": self.candidate.id, "pack": self.pack.id, "arm": one.arm,
            "task": one.task, "seed": one.seed, "purpose": one.purpose, "attempts": attempt,
            "simulator": self.pack.simulator, "by": "bench",
        }  # fmt: skip


def _key(one: Asked) -> str:
    return f"{one.purpose}/{one.arm}/{one.task}/{one.seed}"


def _outcome(said: Mapping[str, Json]) -> dict[str, Json]:
    """What the bench said, held to its shape. Raises ActionError `BenchTrouble`."""
    try:
        events = [
            {
                "what": cut(one["what"], 200),
                "at_s": float(one.get("at_s", 0.0)),
                "causal": bool(one.get("causal", True)),
            }
            for one in said.get("safety_events") or ()
        ]
        return {
            "outcome": str(said["outcome"]),
            "rubric": min(1.0, max(0.0, float(said.get("rubric", 0.0)))),
            "duration_s": max(0.0, float(said.get("duration_s", 0.0))),
            "mode": cut(said.get("mode", ""), 80),
            "safety_events": events[:50],
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ActionError("BenchTrouble", f"a trial that can't be read: {error}", kind="unavailable") from error


def _unfit(why: str) -> ActionError:
    return ActionError("BenchUnfit", why, kind="validation", retryable=False)


async def same_as_compared(context: Context, candidate: CandidateView, had: Sequence[TrialView]) -> bool:
    """Whether these are the trials the candidate's comparison was made of: their bytes are compared, not their number."""
    comparison = await context.records.get("comparison", candidate.comparison)
    if comparison is None or not context.vault.has(comparison.trials_digest):
        return False
    kept = await asyncio.to_thread(context.vault.read, comparison.trials_digest)
    return bool(kept == as_json_lines(had))


def as_json_lines(trials: Iterable[TrialView]) -> bytes:
    """All trials as evidence, in an order that depends on nothing but them."""
    keep = (
        "id", "arm", "task", "seed", "purpose", "outcome", "rubric", "duration_s", "mode", "safety_events", "attempts",
        "simulator", "state", "excluded", "excluded_by", "note", "by", "pack",
    )  # fmt: skip
    rows = sorted(trials, key=lambda one: (one.purpose, one.task, one.seed, one.arm))
    return b"".join(msgspec.json.encode({name: getattr(one, name) for name in keep}) + b"\n" for one in rows)
