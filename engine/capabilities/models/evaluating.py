"""Replay, trials and comparison of one candidate. Each can be asked again and goes on from what is recorded."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.capabilities.models import packing, trials
from engine.capabilities.models.registering import candidate_of, checked, pack_of
from engine.capabilities.models.runner import Bench, cut, program
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Emit
from engine.contract.models import CandidateView, Check, Latency, PackView, Replayed, SimValidity, TrialView
from engine.core.comparison import Found
from engine.core.ranking import Pair, inverted, pearson, rank_violation

Json = Any
Input = dict[str, Json]

ANALYSIS = "paired betting e-processes, Holm over tasks, whole rounds overall (comparison 1)"
PASSING = ("better", "non_inferior")
WORST = 5


async def replay(context: Context, given: Input) -> Json:
    """The candidate along recorded sessions, open loop: a smoke test, and the time one answer takes."""
    policy = context.policy("release")
    candidate = await candidate_of(context, given["candidate"])
    pack = await pack_of(context, candidate)
    missing = [one.id for one in pack.replay if not context.vault.has(one.digest)]
    if missing:
        raise ActionError(
            "NoSession", f"recordings of {pack.id} are not kept here: {', '.join(missing[:3])}", retryable=False
        )
    bench: Bench = context.port("evaluation")
    sessions = [{"id": one.id, "task": one.task, "file": str(context.vault.path(one.digest))} for one in pack.replay]
    job = {"kind": "replay", "model": str(context.vault.path(candidate.model_digest)), "sessions": sessions}
    found: list[Replayed] = []
    latency = Latency(
        period_ms=pack.control_period_ms, limit_ms=pack.control_period_ms * float(policy["latency_share"])
    )
    asked = {one.id for one in pack.replay}
    async for said in bench.lines(
        program(policy, pack.runner), job, wanted=lambda: not context.cancelled(), limit_s=float(policy["bench_wall"])
    ):
        if said.get("event") in ("session", "infra") and said.get("id") in asked:
            found.append(_replayed(said))
            context.heartbeat({"done": len(found), "of": len(sessions), "unit": "sessions", "what": "replay"})
        elif said.get("event") == "latency":
            latency = msgspec.structs.replace(
                latency, frames=int(said["frames"]), **{n: float(said[n]) for n in ("p50_ms", "p95_ms", "p99_ms")}
            )
    frames = sum(one.frames for one in found)
    violations = sum(one.violations for one in found)
    trouble = [one for one in found if one.trouble]
    smooth = violations <= float(policy["replay_violations"]) * frames and not trouble and len(found) == len(sessions)
    in_time = latency.frames == 0 or latency.p99_ms <= latency.limit_ms
    says = f"{len(found)} sessions, {violations} of {frames} frames break a limit"
    if trouble:
        says += f"; {trouble[0].session}: {trouble[0].trouble}"
    timed = (
        f"p99 {latency.p99_ms:.3g} of {latency.limit_ms:.3g} ms"
        if latency.frames
        else "not measured: no session to replay"
    )
    await context.records.change(
        "candidate", candidate.id,
        set={
            "replay": msgspec.to_builtins(found), "latency": msgspec.to_builtins(latency),
            "checks": checked(
                candidate, Check(name="replay", ok=smooth if sessions else None, says=says if sessions else "no session in the pack"),
                Check(name="latency", ok=in_time if latency.frames else None, says=timed),
            ),
        },
    )  # fmt: skip
    if not in_time:
        raise ActionError(
            "TooSlow", f"one answer takes {timed} of a control period of {latency.period_ms:.3g} ms", retryable=False
        )
    return {"sessions": len(found), "frames": frames, "violations": violations, "ok": smooth, "p99_ms": latency.p99_ms}


def _replayed(said: Mapping[str, Json]) -> Replayed:
    if said["event"] == "infra":
        return Replayed(session=str(said["id"]), trouble=cut(said.get("error", "it can't be replayed"), 200))
    return Replayed(
        session=str(said["id"]), frames=int(said.get("frames") or 0), divergence=float(said.get("divergence") or 0.0),
        worst=float(said.get("worst") or 0.0), violations=int(said.get("violations") or 0),
    )  # fmt: skip


async def evaluate(context: Context, given: Input) -> Json:
    """Trials, batch by batch, until the comparison decides or the plan's trials are used up; then the comparison."""
    policy = context.policy("release")
    candidate = await candidate_of(context, given["candidate"])
    pack = await pack_of(context, candidate)
    more = int(given.get("more") or 0)
    if more and candidate.state == "compared":
        candidate = await context.records.change(
            "candidate", candidate.id, to="evaluating", set={"rounds": candidate.rounds + 1, "n_max": candidate.n_max + more},
            facts={"rounds": int(policy["rounds"])}, reason=f"{more} more pairs for undecided tasks",
        )  # fmt: skip
    trying = trials.Trying(context, candidate, pack, policy)
    had = await _had(context, candidate)
    await _regressions(trying, had)
    had = await _had(context, candidate)
    total = 2 * sum(len(seeds) for seeds in packing.seeds_of(pack, candidate.n_max).values())
    while True:
        found = trials.judged(pack, had, candidate.n_max)
        asked = trials.wanted(pack, had, found, candidate.n_max) if found.verdict == "more" else []
        if not asked:
            break
        made = sum(1 for one in had if one.purpose == "sim")
        await trying.run(asked, made, total, found.sentence)
        had = await _had(context, candidate)
    return await settle(context, candidate, pack, had, policy)


async def compare(context: Context, given: Input) -> Json:
    """The comparison again, from what is recorded now: after an exclusion, a late trial, a trial on hardware."""
    candidate = await candidate_of(context, given["candidate"])
    pack = await pack_of(context, candidate)
    return await settle(context, candidate, pack, await _had(context, candidate), context.policy("release"))


async def _had(context: Context, candidate: CandidateView) -> list[TrialView]:
    return [one for one in await trials.had(context, candidate.id, candidate.pack) if one.pack == candidate.pack]


async def _regressions(trying: trials.Trying, had: Sequence[TrialView]) -> None:
    """Cases from incidents, once per arm; they are counted by themselves and never enter the comparison."""
    known = {(one.arm, one.task, one.seed) for one in had if one.purpose == "regression"}
    asked = [
        trials.Asked(arm, case.task, case.seed, case.init, "regression")
        for case in trying.pack.regressions
        for arm in trials.ARMS
        if (arm, case.task, case.seed) not in known
    ]
    if asked:
        await trying.run(asked, 0, len(asked), "cases from incidents")


async def settle(
    context: Context, candidate: CandidateView, pack: PackView, had: Sequence[TrialView], policy: Mapping[str, Json]
) -> Json:
    """Writes down where the trials stand: the comparison with its evidence, and the candidate beside it."""
    on_hardware = any(one.purpose == "hardware" for one in had)
    found = trials.judged(pack, had, candidate.n_max, policy["hardware"] if on_hardware else None)
    fields = _fields(candidate, pack, had, found, on_hardware)
    rows = await asyncio.to_thread(
        context.vault.put_bytes, trials.as_json_lines(had), media="application/jsonl", name=f"trials {candidate.id}"
    )
    fields["trials_digest"] = rows.digest
    document = {"analysis": ANALYSIS, "model_digest": candidate.model_digest, **fields}
    kept = await asyncio.to_thread(
        context.vault.put_bytes,
        msgspec.json.encode(document, order="sorted"),
        media="application/json",
        name=f"comparison {candidate.id}",
    )
    fields |= {"evidence": kept.digest, "title": f"{candidate.title} vs {candidate.baseline.label}"}
    made = await _same_comparison(context, candidate, kept.digest)
    if made is None:
        made = await context.records.create("comparison", fields, key=f"{candidate.id}/{kept.digest}")
    verdict = "inconclusive" if found.verdict == "more" else found.verdict
    validity = await sim_validity(context, candidate, policy)
    emit: tuple[Emit, ...] = ()
    if candidate.evidence != kept.digest or candidate.state == "evaluating":
        told = {"candidate": candidate.id, "line": candidate.line, "verdict": verdict, "evidence": kept.digest}
        emit = (Emit("qd.eval.completed", told),)
        if verdict == "inconclusive":
            emit += (Emit("qd.eval.inconclusive", told | {"sentence": found.sentence}),)
    cases = f"{fields['regressions_passed']}/{fields['regressions']}"
    times = [one.created_at for one in had]
    candidate = await context.records.change(
        "candidate", candidate.id, to="compared" if candidate.state in ("evaluating", "compared", "approved") else "",
        set={
            "verdict": verdict, "sentence": found.sentence, "comparison": made.id, "evidence": kept.digest,
            "evidence_at": max(times, default=context.now()), "trials": len(had), "excluded": fields["excluded"],
            "hardware_trials": sum(1 for one in had if one.purpose == "hardware"),
            "simulator_validity": msgspec.to_builtins(validity),
            "checks": checked(
                candidate,
                Check(name="incident cases", ok=fields["regressions_passed"] == fields["regressions"], says=cases),
                Check(name="safety", ok=found.safety_events == 0, says=f"{found.safety_events} events in {found.hours:.2f} h"),
            ),
        },
        reason=found.sentence, emit=emit,
    )  # fmt: skip
    unready = [f"{one.name}: {one.says}" for one in candidate.checks if one.ok is False]
    return {
        "verdict": verdict, "sentence": found.sentence, "comparison": made.id, "evidence": kept.digest, "ready": not unready,
        "unready": unready, "undecided": [row.task for row in found.tasks if row.word == "undecided"],
        "open": list(found.open), "rounds_left": max(0, int(policy["rounds"]) - candidate.rounds), "trials": len(had),
        "table": [_line(row) for row in fields["tasks"]], "safety_events": found.safety_events, "safety": _safety(found),
        "excluded": fields["reasons"], "left_out": _left_out(fields), "regressions": cases, "new_modes": fields["new_modes"],
        "blind": candidate.blind, "hardware": pack.hardware, "worst": fields["worst"],
        "baseline": f"{candidate.baseline.label}, {candidate.baseline.robots} robots: {candidate.baseline.found}",
        "latency": _latency(candidate), "simulation": _simulation(validity),
    }  # fmt: skip


def _safety(found: Found) -> str:
    upper = found.safety_upper_100h
    bound = f", at most {_number(upper)} per 100 h (95%)" if upper is not None else ""
    return f"{found.safety_events} events in {found.hours:.2f} h{bound}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _left_out(fields: Mapping[str, Json]) -> str:
    reasons = ", ".join(f"{n} {word}" for word, n in fields["reasons"].items())
    return f"{fields['excluded']} trials" + (f" ({reasons})" if reasons else "")


def _latency(candidate: CandidateView) -> str:
    found = candidate.latency
    return f"p99 {found.p99_ms:.3g} of {found.limit_ms:.3g} ms" if found.frames else "not measured"


def _simulation(found: SimValidity) -> str:
    """How far the simulation can be believed about this line, in words."""
    if found.r is None or found.mmrv is None:
        return f"not known: {found.policies or 'no'} policies of this line were tried on hardware as well"
    says = f"r {found.r:.2f}, MMRV {found.mmrv:.2f} over {found.policies} policies"
    return f"{says}; advisory only: it ranks {found.inverted[0]} the other way" if found.advisory else says


async def _same_comparison(context: Context, candidate: CandidateView, evidence: str) -> Any:
    if not candidate.comparison or candidate.evidence != evidence:
        return None
    return await context.records.get("comparison", candidate.comparison)


def _line(row: Mapping[str, Json]) -> dict[str, Json]:
    """A row of the table at the gate: what was counted, the interval in points, both K, the word."""
    interval = f"{100 * row['diff']:+.0f} [{100 * row['low']:+.0f} {100 * row['high']:+.0f}]"
    return {
        "task": row["task"], "cand": f"{row['k1']:g}/{row['n1']}", "base": f"{row['k0']:g}/{row['n0']}",
        "diff [90%]": interval, "K better / no worse": f"{_k(row['k_better'])} / {_k(row['k_no_worse'])}",
        "verdict": row["word"],
    }  # fmt: skip


def _k(value: float) -> str:
    return ">1000" if value > 1000 else f"{value:.3g}"


def _fields(
    candidate: CandidateView, pack: PackView, had: Sequence[TrialView], found: Found, on_hardware: bool
) -> dict[str, Json]:
    purpose = "hardware" if on_hardware else "sim"
    own = [one for one in had if one.purpose == purpose and one.state != "excluded"]
    modes = {arm: {one.mode for one in own if one.arm == arm and one.mode} for arm in trials.ARMS}
    cases = [one for one in had if one.purpose == "regression" and one.arm == "candidate" and one.state != "excluded"]
    excluded = Counter(
        one.excluded.partition(":")[0] or "excluded"
        for one in had
        if one.state == "excluded" and one.purpose == purpose
    )
    return {
        "candidate": candidate.id, "pack": pack.id, "pack_digest": pack.digest,
        "baseline": msgspec.to_builtins(candidate.baseline), "plan": msgspec.to_builtins(pack.plan), "purpose": purpose,
        "verdict": found.verdict, "sentence": found.sentence, "tasks": msgspec.to_builtins(found.tasks),
        "overall": msgspec.to_builtins(found.overall), "safety_events": found.safety_events, "hours": round(found.hours, 6),
        "safety_upper_100h": found.safety_upper_100h, "excluded": found.excluded, "reasons": dict(sorted(excluded.items())),
        "unpaired": found.unpaired, "regressions": len(pack.regressions),
        "regressions_passed": sum(1 for one in cases if one.outcome == "success"),
        "new_modes": sorted(modes["candidate"] - modes["baseline"]), "worst": _worst(own),
    }  # fmt: skip


def _worst(own: Sequence[TrialView]) -> list[Json]:
    """The candidate's worst trials, first those that the baseline got right on the same seed."""
    right = {(one.task, one.seed) for one in own if one.arm == "baseline" and one.outcome == "success"}
    failed = [one for one in own if one.arm == "candidate" and one.outcome != "success"]
    failed.sort(key=lambda one: ((one.task, one.seed) not in right, one.rubric, one.task, one.seed))
    return [
        {"trial": one.id, "task": one.task, "seed": one.seed, "rubric": one.rubric, "mode": one.mode}
        for one in failed[:WORST]
    ]


async def sim_validity(context: Context, candidate: CandidateView, policy: Mapping[str, Json]) -> SimValidity:
    """How simulation and hardware ranked the line's policies that were tried on both; `advisory` when a pair is inverted."""
    known = await context.records.find("candidate", where={"line": candidate.line}, limit=200)
    names: list[str] = []
    pairs: list[Pair] = []
    for one in known:
        if not one.hardware_trials:
            continue
        had = await trials.had(context, one.id, one.pack)
        rates = [_rate(had, purpose) for purpose in ("sim", "hardware")]
        if rates[0] is not None and rates[1] is not None:
            names.append(one.id)
            pairs.append((rates[0], rates[1]))
    if len(pairs) < int(policy["sim_policies"]):
        return SimValidity(policies=len(pairs), advisory=False)
    wrong = inverted(pairs)
    return SimValidity(
        r=pearson(pairs), mmrv=rank_violation(pairs), policies=len(pairs), advisory=bool(wrong),
        inverted=tuple(f"{names[i]} and {names[j]}" for i, j in wrong[:10]),
    )  # fmt: skip


def _rate(had: Sequence[TrialView], purpose: str) -> float | None:
    own = [one for one in had if one.purpose == purpose and one.arm == "candidate" and one.state != "excluded"]
    return sum(1 for one in own if one.outcome == "success") / len(own) if own else None
