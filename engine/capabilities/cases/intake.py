"""What comes in: events of rollouts, drift, VDA 5050 errors, RMF issues, batteries, corrections and tickets become
reports about single robots; many alike become one problem with one page.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from engine.capabilities.fleet.robots import keep_out
from engine.capabilities.ports import ActionError, Context, Fleet, Robot
from engine.capabilities.records import Emit, RecordError, Records
from engine.contract.cases import CASE_OVER, ProblemView

Json = Any
TICKET = "qd.ticket.changed"
MOST = 200
"""Robots of one event that are taken up one by one; an event about more is a matter for an incident."""


def reports(event: Mapping[str, Json]) -> list[dict[str, Json]]:
    """One report per robot of an event. Unknown events and events without a robot give none."""
    name, data = str(event.get("event") or ""), event.get("data") or {}
    make = MAKERS.get(name)
    return make(data)[:MOST] if make and isinstance(data, Mapping) else []


def _named(data: Mapping[str, Json]) -> list[tuple[str, str]]:
    """(robot, what is said about it) of an event that names one robot or several, in any of the shapes in use."""
    found: list[tuple[str, str]] = []
    many = data.get("robots") or data.get("blocked") or ()
    given = data.get("reasons")
    reasons: Mapping[str, Json] = given if isinstance(given, Mapping) else {}
    for one in many if isinstance(many, list | tuple) else ():
        if isinstance(one, str):
            found.append((one, str(reasons.get(one) or "")))
        elif isinstance(one, Mapping) and one.get("robot"):
            found.append((str(one["robot"]), str(one.get("error") or one.get("reason") or "")))
        elif isinstance(one, list | tuple) and one:
            found.append((str(one[0]), str(one[1]) if len(one) > 1 else ""))
    if not found and data.get("robot"):
        found.append((str(data["robot"]), str(data.get("error") or data.get("reason") or "")))
    return list(dict(found).items())


def _update_failed(data: Mapping[str, Json]) -> list[dict[str, Json]]:
    version = str(data.get("version") or "?")
    return [
        _report(robot, f"update to {version} failed" + (f": {error}" if error else ""), "update_failure",
                mode="update_failed", component="update", external_ref=str(data.get("subject") or data.get("rollout") or ""))
        for robot, error in _named(data)
    ]  # fmt: skip


def _left_behind(data: Mapping[str, Json]) -> list[dict[str, Json]]:
    return [
        _report(robot, "can't go back to its version before" + (f": {why}" if why else ""), "rollback",
                mode="wrong_version", component="update", external_ref=str(data.get("subject") or ""))
        for robot, why in _named(data)
    ]  # fmt: skip


def _drift(data: Mapping[str, Json]) -> list[dict[str, Json]]:
    reported, desired = str(data.get("reported") or "?"), str(data.get("desired") or "?")
    return [
        _report(robot, f"runs {reported}, should run {desired}: nobody asked for that", "drift", mode="wrong_version",
                component="update", detector="")
        for robot, _ in _named(data)
    ]  # fmt: skip


def _vda_error(data: Mapping[str, Json]) -> list[dict[str, Json]]:
    """VDA 5050: errors of level URGENT or FATAL ask for a person; WARNING does not."""
    level = str(data.get("level") or data.get("errorLevel") or "").upper()
    if level not in ("URGENT", "FATAL", "CRITICAL"):
        return []
    kind = str(data.get("type") or data.get("errorType") or "error")
    said = str(data.get("description") or data.get("errorDescription") or kind)
    return [
        _report(robot, said, "telemetry", detector=f"vda:{kind}", urgency=1 if level == "FATAL" else 2,
                safety_related="safety" in kind.lower() or "safety" in said.lower())
        for robot, _ in _named(data)
    ]  # fmt: skip


def _rmf_issue(data: Mapping[str, Json]) -> list[dict[str, Json]]:
    kind = str(data.get("category") or data.get("issue") or "issue")
    return [
        _report(robot, str(data.get("detail") or kind), "telemetry", detector=f"rmf:{kind}")
        for robot, _ in _named(data)
    ]


def _battery(data: Mapping[str, Json]) -> list[dict[str, Json]]:
    said = str(data.get("symptom") or "capacity falls")
    return [
        _report(robot, said, "battery", mode="low_capacity", component="battery", detector="battery trend")
        for robot, _ in _named(data)
    ]


def _correction(data: Mapping[str, Json]) -> list[dict[str, Json]]:
    ref = str(data.get("correction") or data.get("subject") or "")
    return [
        _report(robot, str(data.get("symptom") or f"correction {ref} says hardware"), "correction", external_ref=ref)
        for robot, _ in _named(data)
    ]


def _report(robot: str, symptom: str, source: str, **more: Json) -> dict[str, Json]:
    return {
        "robot": robot[:100],
        "symptom": symptom[:500],
        "source": source,
        "mode": "",
        "component": "",
        "detector": "",
        "external_ref": "",
        "urgency": 0,
        "safety_related": False,
        "problem": "",
        **more,
    }


MAKERS = {
    "qd.robot.update.failed": _update_failed,
    "qd.robot.update.timedout": _update_failed,
    "qd.rollback.incomplete": _left_behind,
    "qd.update.drift": _drift,
    "qd.robot.error": _vda_error,
    "qd.robot.issue": _rmf_issue,
    "qd.robot.battery": _battery,
    "qd.correction.handedover": _correction,
}


async def sort_out(context: Context, given: dict[str, Json]) -> Json:
    """Reports of an event, each to be opened as a case of its own. Failures of one variant past the policy's count are
    one problem: its robots leave dispatch at once, before any case is opened."""
    event, policy = given["event"], context.policy("maintenance")
    if event.get("event") == TICKET:
        return await _ticket(context, event.get("data") or {})
    found = reports(event)
    nothing = {"problem": "", "fresh": False, "variant": "", "mode": ""}
    if not found:
        return {"reports": [], **nothing, "why": f"{event.get('event')} names no robot that needs a person"}
    modes = {one["mode"] for one in found if one["mode"]}
    fold = int(policy["recurrence"]["fold"])
    if len(found) < fold or len(modes) != 1:
        return {"reports": found, **nothing}
    mode = modes.pop()
    fleet = await _fleet(context)
    by_variant: dict[str, list[dict[str, Json]]] = defaultdict(list)
    for one in found:
        robot = fleet.get(one["robot"])
        by_variant[robot.variant if robot else ""].append(one)
    page: dict[str, Json] = dict(nothing)
    for variant, alike in sorted(by_variant.items()):
        if len(alike) < fold:
            continue
        names = [one["robot"] for one in alike]
        rule = f"{len(names)} robots{f' of {variant}' if variant else ''} at once: {alike[0]['symptom'][:120]}"
        software = sorted({fleet[one].version for one in names if one in fleet and fleet[one].version})
        problem, fresh = await problem_for(
            context.records, variant=variant, mode=mode, rule=rule, cases=(), robots=names, software=software, p=None,
            key=f"problem/{variant}",
        )  # fmt: skip
        for one in alike:
            one["problem"] = problem.id
            await keep_out(context.records, one["robot"], problem.id, rule, robot=fleet.get(one["robot"]))
        page = {"problem": problem.id, "fresh": fresh, "variant": variant, "mode": mode}
    return {"reports": found, **page}


async def _ticket(context: Context, data: Mapping[str, Json]) -> Json:
    """A ticket elsewhere that no longer agrees with its case. A ticket closes nothing here: its robot comes back by the
    gate; one that was opened again there is a new case here, because a closed one stays closed.
    """
    ref, status = str(data.get("external_ref") or data.get("subject") or ""), str(data.get("status") or "").lower()
    nothing = {"problem": "", "fresh": False, "variant": "", "mode": ""}
    cases = await context.records.find("case", where={"external_ref": ref}, limit=10) if ref else []
    if not cases:
        return {"reports": [], **nothing, "why": f"no case has the reference {ref[:80]}"}
    open_ones = [one for one in cases if one.state not in CASE_OVER]
    over_there = status in ("closed", "resolved", "done", "cancelled")
    if over_there and open_ones:
        for case in open_ones:
            line = f"{ref} is {status} elsewhere, {case.id} is {case.state.replace('_', ' ')} here: the robot stays out"
            if line not in case.warnings:
                await context.records.change("case", case.id, set={"warnings": [*case.warnings, line]}, reason=line)
        return {"reports": [], **nothing, "why": "told to the open case; it is not closed by that"}
    if over_there or open_ones:
        return {"reports": [], **nothing, "why": f"{ref} and its case agree"}
    last = cases[0]
    symptom = f"{ref} was opened again elsewhere after {last.id}: {last.symptom}"
    again = _report(last.robot, symptom, "ticket", mode=last.mode, component=last.component, external_ref=ref)
    return {"reports": [again], **nothing}


async def _fleet(context: Context) -> dict[str, Robot]:
    try:
        source: Fleet = context.port("fleet")
        return {one.id: one for one in await source.robots()}
    except (ActionError, OSError, TimeoutError):
        return {}


async def problem_for(
    records: Records,
    *,
    variant: str,
    mode: str,
    rule: str,
    cases: Sequence[str],
    robots: Sequence[str],
    software: Sequence[str],
    p: float | None,
    key: str,
) -> tuple[ProblemView, bool]:
    """The open problem of a variant and mode, with these cases and robots in it; whether it is a new one."""
    open_ones = [
        one for one in await records.find("problem", where={"variant": variant, "mode": mode}, limit=50)
        if one.state != "closed"
    ]  # fmt: skip
    if open_ones:
        known: ProblemView = open_ones[0]
        joined: ProblemView = await records.change(
            "problem",
            known.id,
            set={
                "cases": list(dict.fromkeys([*known.cases, *cases])),
                "robots": list(dict.fromkeys([*known.robots, *robots])),
                "software": sorted({*known.software, *software}),
            },
            reason=rule,
        )
        return joined, False
    direction = "release" if len(software) == 1 and mode in ("update_failed", "wrong_version", "boot_loop") else ""
    made: ProblemView = await records.create(
        "problem",
        {
            "title": f"{mode.replace('_', ' ')} on {variant or 'several variants'}",
            "variant": variant,
            "mode": mode,
            "rule": rule,
            "cases": list(cases),
            "robots": list(robots),
            "software": list(software),
            "direction": direction,
            "p": p,
        },
        key=key,
        reason=rule,
        emit=[Emit("qd.problem.opened", {"variant": variant, "mode": mode, "robots": list(robots), "rule": rule})],
    )
    return made, True


async def let_go(records: Records, problem: str, robot: str, gate: str, person: str) -> None:
    """A robot whose own case is closed by people is no longer kept out by the problem either."""
    from engine.capabilities.fleet.robots import give_back

    try:
        await give_back(records, robot, problem, f"its case is verified ({gate})", gate=gate, person=person)
    except RecordError as error:
        if error.error != "NotYet":
            raise


async def close_problem(records: Records, problem: ProblemView, reason: str, emit: Sequence[Emit] = ()) -> ProblemView:
    """Closed when all its cases are; otherwise refused with the open ones."""
    open_cases = [
        one.id for one in await records.find("case", where={"problem": problem.id}, limit=500)
        if one.state not in CASE_OVER
    ]  # fmt: skip
    closed: ProblemView = await records.change(
        "problem", problem.id, to="closed", reason=reason, facts={"open_cases": open_cases}, emit=emit
    )
    return closed
