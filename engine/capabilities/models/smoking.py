"""Smoke on lab robots: install, boot, try, and at least one real way back per variant, on what was really built.

What is tried is the installed artifact, so a conversion that changed the model shows here: its outcomes on the smoke
seeds are held against those of the model that was evaluated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from engine.capabilities.models import trials
from engine.capabilities.models.building import artifact_of
from engine.capabilities.models.registering import candidate_of, checked, pack_of
from engine.capabilities.models.runner import Bench, cut, filled
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Change
from engine.contract.models import ArtifactView, Check, PackCase, SmokeStep, TrialView

Json = Any
Input = dict[str, Json]


class Lab(Struct, frozen=True):
    """The port `lab`: where the lab's robots keep their state."""

    folder: Path


class _Smoke(Struct):
    steps: list[SmokeStep]
    outcomes: dict[tuple[str, int], str]
    causal: int = 0
    drilled: bool = False


async def smoke(context: Context, given: Input) -> Json:
    """Every target variant on its lab robots, one way back for real on the first of each. Raises `SmokeFailed`."""
    policy = context.policy("release")
    artifact = await artifact_of(context, given["artifact"])
    candidate = await candidate_of(context, artifact.candidate)
    pack = await pack_of(context, candidate)
    robots = _chosen(policy, artifact.targets)
    cases = pack.smoke
    envelope = msgspec.json.decode(await asyncio.to_thread(context.vault.read, artifact.signature))
    context.heartbeat({"done": 0, "of": len(robots), "unit": "robots", "what": "smoke"})
    found: list[_Smoke] = []
    for at, (name, variant, drill) in enumerate(robots):
        steps = _steps(context, artifact, envelope, cases, drill)
        found.append(await _on_robot(context, policy, artifact, (name, variant), steps))
        context.heartbeat({"done": at + 1, "of": len(robots), "unit": "robots", "what": f"smoke on {name}"})
    had = [one for one in await trials.had(context, candidate.id, candidate.pack) if one.pack == candidate.pack]
    differ, compared = _differences(found, had)
    share = differ / compared if compared else 0.0
    listed = tuple(step for one in found for step in one.steps)
    failed = [step for step in listed if not step.ok]
    drilled = {variant for (_, variant, drill), one in zip(robots, found, strict=True) if drill and one.drilled}
    says = f"{len(robots)} robots, {len(drilled)} went back for real"
    why = ""
    if failed:
        why = f"{failed[0].robot}: {failed[0].step}: {failed[0].says}"
    elif sum(one.causal for one in found):
        why = f"{sum(one.causal for one in found)} safety events on the lab robots"
    elif share > float(policy["smoke"]["may_differ"]):
        why = f"{differ} of {compared} smoke cases end otherwise than with the model that was evaluated"
    elif missing := sorted(set(artifact.targets) - drilled):
        why = f"no lab robot of {', '.join(missing)} went back"
    await context.records.change_many(
        (
            Change(
                kind="artifact", id=artifact.id,
                set={"smoke": msgspec.to_builtins(listed), "rollback_drilled": not why and bool(drilled)},
            ),
            Change(
                kind="candidate", id=candidate.id,
                set={"checks": checked(candidate, Check(name="golden", ok=not why, says=why or says))},
            ),
        )
    )  # fmt: skip
    if why:
        raise ActionError("SmokeFailed", why, retryable=False, detail={"steps": msgspec.to_builtins(listed)})
    return {"robots": len(robots), "drilled": len(drilled), "cases": compared, "differ": differ, "says": says}


def _chosen(policy: Mapping[str, Json], targets: Sequence[str]) -> list[tuple[str, str, bool]]:
    """(robot, variant, whether it is the one that goes back). Raises ActionError `NoLab`."""
    lab = policy.get("lab") or {}
    if not lab.get("argv"):
        raise ActionError(
            "NoLab", "no lab robots are set up here (policy release, lab)", kind="configuration", retryable=False
        )
    chosen: list[tuple[str, str, bool]] = []
    for variant in targets:
        own = [str(one["name"]) for one in lab.get("robots") or () if one.get("variant") == variant]
        if not own:
            raise ActionError("NoLab", f"there is no lab robot of {variant}", kind="configuration", retryable=False)
        chosen += [(name, variant, at == 0) for at, name in enumerate(own[: int(policy["smoke"]["robots"])])]
    return chosen


def _steps(
    context: Context, artifact: ArtifactView, envelope: Mapping[str, Json], cases: Sequence[PackCase], drill: bool
) -> list[dict[str, Json]]:
    given = [{"task": case.task, "seed": case.seed, "init": case.init} for case in cases]
    steps: list[dict[str, Json]] = [
        {"do": "provision", "version": artifact.rollback_target or "factory"},
        {
            "do": "install",
            "artifact": str(context.vault.path(artifact.digest)),
            "digest": artifact.digest,
            "signature": envelope,
        },
        {"do": "boot"},
        {"do": "trial", "cases": given},
    ]
    return [*steps, {"do": "rollback"}, {"do": "report"}] if drill else steps


async def _on_robot(
    context: Context,
    policy: Mapping[str, Json],
    artifact: ArtifactView,
    robot: tuple[str, str],
    steps: Sequence[Mapping[str, Json]],
) -> _Smoke:
    name, variant = robot
    lab: Lab = context.port("lab")
    await asyncio.to_thread(lab.folder.mkdir, parents=True, exist_ok=True, mode=0o700)
    bench: Bench = context.port("evaluation")
    job = {
        "bench": str(lab.folder),
        "robot": name,
        "variant": variant,
        "public_key": artifact.public_key,
        "steps": list(steps),
    }
    found = _Smoke(steps=[], outcomes={})
    before = ""
    try:
        async for said in bench.lines(
            filled(policy["lab"]["argv"]),
            job,
            wanted=lambda: not context.cancelled(),
            limit_s=float(policy["bench_wall"]),
        ):
            if said.get("event") != "step":
                continue
            step, ok = cut(said.get("step", ""), 40), bool(said.get("ok"))
            found.steps.append(
                SmokeStep(robot=name, variant=variant, step=step, ok=ok, says=cut(said.get("says", ""), 200))
            )
            if step == "provision":
                before = str(said.get("version", ""))
            elif step == "trial":
                _outcomes(said, found)
            elif step == "report" and ok:
                found.drilled = bool(before) and said.get("version") == before
                if not found.drilled:
                    found.steps[-1] = SmokeStep(
                        robot=name, variant=variant, step=step, ok=False, says=f"runs {cut(said.get('version'), 60)} after going back, not {before}"
                    )  # fmt: skip
    except ActionError as error:
        # a robot that refuses a step ends its program with a status: what it said about it is what counts
        if error.error != "BenchTrouble" or not found.steps or found.steps[-1].ok:
            raise
    return found


def _outcomes(said: Mapping[str, Json], found: _Smoke) -> None:
    for one in said.get("outcomes") or ():
        found.outcomes[(str(one.get("task")), int(one.get("seed", -1)))] = str(one.get("outcome"))
        found.causal += int(one.get("causal") or 0)


def _differences(found: Sequence[_Smoke], had: Sequence[TrialView]) -> tuple[int, int]:
    """Smoke outcomes that differ from the evaluated model's on the same seed, and how many could be compared."""
    evaluated = {
        (one.task, one.seed): one.outcome
        for one in had
        if one.arm == "candidate" and one.purpose == "sim" and one.state != "excluded"
    }
    both = [(outcome, evaluated[key]) for one in found for key, outcome in one.outcomes.items() if key in evaluated]
    return sum(1 for mine, theirs in both if mine != theirs), len(both)
