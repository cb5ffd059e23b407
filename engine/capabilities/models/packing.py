"""Evaluation packs: read from what a person wrote, checked, filled up from the policy, locked under a digest.

What counts as success is fixed in the pack and judged by the bench; a pack that lets the policy report its own success is
refused. The digest is over the canonical content, so equal packs are equal whoever wrote them down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from engine.capabilities.ports import ActionError
from engine.capabilities.records import Emit
from engine.contract.models import PackCase, PackPlan, PackSession, PackTask, PackView
from engine.core.comparison import Plan

Json = Any
_canonical = msgspec.json.Encoder(order="sorted")

TASKS = 64
SEEDS = 100_000
CASES = 2_000


class Written(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pack as a person writes it (YAML or JSON). Seeds may start anywhere; init is what a case fixes beside its seed."""

    name: str
    line: str
    tasks: tuple[PackTask, ...]
    runner: str
    simulator: str
    hardware_class: str = ""
    selector: str = ""
    control_period_ms: float = 100.0
    regressions: tuple[PackCase, ...] = ()
    smoke: tuple[PackCase, ...] = ()
    replay: tuple[PackSession, ...] = ()
    hardware: bool = False
    fielded: dict[str, str] = {}
    plan: PackPlan = PackPlan()


CONTENT = tuple(Written.__struct_fields__)


def written(document: Json) -> Written:
    """Raises ActionError `BadPack` with the field."""
    try:
        pack = msgspec.convert(document, Written, strict=False)
    except msgspec.ValidationError as error:
        raise _bad(str(error)) from error
    if not pack.tasks or len(pack.tasks) > TASKS:
        raise _bad(f"a pack has 1 to {TASKS} tasks")
    names = [task.task for task in pack.tasks]
    if twice := {name for name in names if names.count(name) > 1}:
        raise _bad(f"the task {min(twice)!r} is there twice: its trials would not be independent")
    for task in pack.tasks:
        if not 1 <= task.seeds <= SEEDS or task.first_seed < 0:
            raise _bad(f"task {task.task!r}: seeds is 1 to {SEEDS}, first_seed not negative")
        if not task.predicate.strip():
            raise _bad(f"task {task.task!r} has no predicate: what counts as success is fixed before the first trial")
        if task.predicate.strip().lower().startswith(("policy", "model")):
            raise _bad(f"task {task.task!r}: the policy's own word is no predicate; the bench judges")
    if len(pack.regressions) + len(pack.smoke) > CASES:
        raise _bad(f"more than {CASES} single cases")
    ids = [case.id for case in (*pack.regressions, *pack.smoke)]
    if twice := {one for one in ids if ids.count(one) > 1}:
        raise _bad(f"the case {min(twice)!r} is there twice")
    return pack


def content(pack: Written | PackView) -> dict[str, Json]:
    """What the digest is over."""
    found: dict[str, Json] = msgspec.json.decode(msgspec.json.encode({name: getattr(pack, name) for name in CONTENT}))
    return found


def digest_of(found: Mapping[str, Json]) -> str:
    return "sha256:" + hashlib.sha256(_canonical.encode(dict(found))).hexdigest()


def filled(plan: PackPlan, policy: Mapping[str, Json]) -> PackPlan:
    """The plan with what it leaves open taken from the policy. Raises ActionError `BadPack`."""
    default = policy["plan"]
    fields = {
        name: getattr(plan, name) or default[name] for name in ("test", "alpha", "margin", "task_margin", "score")
    }
    n_max, batch = plan.n_max or int(default["n_max"]), plan.batch or int(default["batch"])
    try:
        found = msgspec.convert(fields | {"n_max": n_max, "batch": batch}, PackPlan, strict=False)
        msgspec.convert(fields | {"n_max": n_max}, Plan, strict=False)
    except msgspec.ValidationError as error:
        raise _bad(f"plan: {error}") from error
    if not 0 < found.alpha <= 0.5 or not 0 <= found.margin < 1 or not 0 <= found.task_margin < 1 or found.n_max < 1:
        raise _bad("plan: alpha is over 0 and at most 0.5, margins 0 to 1, n_max at least 1")
    return found


def locked(pack: PackView, policy: Mapping[str, Json]) -> dict[str, Json]:
    """The fields that locking sets. Raises ActionError `BadPack` when it has fewer seeds than its plan asks for."""
    plan = filled(pack.plan, policy)
    short = [task.task for task in pack.tasks if task.seeds < plan.n_max]
    if short:
        raise _bad(f"{short[0]!r} has fewer seeds than the plan's n_max of {plan.n_max}: seeds can't be used twice")
    smoke = pack.smoke or _first_seeds(pack, int(policy["smoke"]["cases"]))
    fields = {"plan": msgspec.to_builtins(plan), "smoke": msgspec.to_builtins(smoke)}
    found = content(pack) | fields
    return fields | {"digest": digest_of(found)}


def told_locked(pack: PackView, digest: str) -> Emit:
    """Whoever waits for a case to be asked hears that it now is."""
    return Emit("qd.evalpack.locked", {"pack": pack.id, "digest": digest, "line": pack.line, "version": pack.version})


def _first_seeds(pack: PackView, count: int) -> tuple[PackCase, ...]:
    each = max(1, -(-count // len(pack.tasks)))
    found = [
        PackCase(id=f"smoke {task.task} {seed}", task=task.task, seed=seed, init=task.init, origin="first seeds")
        for task in pack.tasks
        for seed in range(task.first_seed, task.first_seed + each)
    ]
    return tuple(found[:count])


def plan_of(pack: PackView, n_max: int, *, hardware: Mapping[str, Json] | None = None) -> Plan:
    """The plan as the comparison takes it; hardware trials have their own n_max."""
    plan = pack.plan
    return Plan(
        test=plan.test,  # type: ignore[arg-type]
        alpha=plan.alpha, margin=plan.margin, task_margin=plan.task_margin,
        n_max=int(hardware["n_max"]) if hardware is not None else n_max, score=plan.score,  # type: ignore[arg-type]
    )  # fmt: skip


def seeds_of(pack: PackView, n_max: int) -> dict[str, range]:
    """Each task's seeds in the order of the plan."""
    return {task.task: range(task.first_seed, task.first_seed + min(task.seeds, n_max)) for task in pack.tasks}


def overlap(pack: PackView, trained_on: Iterable[str]) -> list[str]:
    """What of the pack the candidate was trained on: ids of replayed sessions and of cases cut from such sessions."""
    known = set(trained_on)
    found = [one.id for one in pack.replay if one.digest in known or one.id in known]
    found += [case.id for case in (*pack.regressions, *pack.smoke) if case.origin in known]
    found += [f"task {task.task}" for task in pack.tasks if task.origin in known]
    return found


def without(pack: PackView, left_out: Iterable[str]) -> PackView:
    """The pack without what a candidate was trained on; what is left is the plan's as it was locked."""
    gone = set(left_out)
    if not gone:
        return pack
    return msgspec.structs.replace(
        pack,
        tasks=tuple(task for task in pack.tasks if f"task {task.task}" not in gone),
        replay=tuple(one for one in pack.replay if one.id not in gone),
        regressions=tuple(case for case in pack.regressions if case.id not in gone),
        smoke=tuple(case for case in pack.smoke if case.id not in gone),
    )


def _bad(why: str) -> ActionError:
    return ActionError("BadPack", why, kind="validation", retryable=False)
