"""Views of cases that are worked out: the queue with its clocks, and one case with everything around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.capabilities.cases import clocks
from engine.capabilities.cases.entities import missing
from engine.capabilities.cases.returning import four_eyes
from engine.capabilities.reads import Look, Read
from engine.capabilities.tickets import reads as tickets
from engine.capabilities.vault import VaultError
from engine.contract.cases import (
    CASE_OVER,
    CASE_STATES,
    CaseDetail,
    CaseQueue,
    CaseView,
    Changed,
    QueueLine,
    RunbookStep,
)

Json = Any
PACK = "maintenance"
MOST = 1_000
OPEN = tuple(state for state in CASE_STATES if state not in CASE_OVER)
BUNDLE = 1 << 20


def _queue(look: Look, at: dict[str, str], query: dict[str, str]) -> CaseQueue:
    policy, now = look.policy(PACK), look.now()
    text = query.get("text", "")
    found: list[CaseView] = look.find(
        "case", state=OPEN, text=text, limit=MOST
    )  # what is over never hides what is open
    if query.get("all"):
        found += look.find("case", state=CASE_OVER, text=text, limit=MOST)
    queues = sorted({one.queue for one in found if one.queue and one.state not in CASE_OVER})
    if query.get("queue"):
        found = [one for one in found if one.queue == query["queue"]]
    if query.get("mine"):
        found = [one for one in found if one.assignee == look.person or look.person in one.technicians]
    live = [one for one in found if one.state not in CASE_OVER]
    gates = _gates(look)
    elsewhere = tickets.of_cases(look)
    lines = [
        QueueLine(
            case=one, clock=clocks.matters(one, policy, now), gate=gates.get(one.run, ""),
            ticket=elsewhere[one.id][0] if one.id in elsewhere else "",
            disagree=elsewhere[one.id][1] if one.id in elsewhere else (),
        )
        for one in found
    ]  # fmt: skip
    soon = 1800.0
    breaching = sum(
        line.clock is not None and line.clock.state == "running" and line.clock.left_s < soon for line in lines
    )
    counts = Counter(f"P{one.priority}" if one.priority else "new" for one in live)
    return CaseQueue(
        rows=tuple(sorted(lines, key=_urgency)), counts=dict(sorted(counts.items())), breaching=breaching, soon_s=soon,
        queues=tuple(queues), modes=tuple(policy["codes"]["mode"]), as_of=now,
    )  # fmt: skip


def _urgency(line: QueueLine) -> tuple[int, float, float]:
    """What is late, then by what is left of the clock, then what nobody is late with; what is over last."""
    case = line.case
    if case.state in CASE_OVER:
        return 3, 0.0, -case.updated_at
    if line.clock is None:
        return (1 if line.gate else 2), float(case.priority or 9), case.created_at
    return (0, line.clock.left_s, case.created_at) if line.clock.state != "stopped" else (1, line.clock.left_s, 0.0)


def _gates(look: Look) -> dict[str, str]:
    """Open gates by run."""
    return {row[0]: row[1] for row in look.all("select run, id from gates where state = 'open' limit 2000")}


def _detail(look: Look, at: dict[str, str], query: dict[str, str]) -> CaseDetail | None:
    case: CaseView | None = look.get("case", at["case"])
    if case is None:
        return None
    policy, now = look.policy(PACK), look.now()
    runbook: Mapping[str, Json] = policy["runbooks"].get(case.runbook, {})
    done = {one.step: one for one in case.readings}
    robot = look.get("robot", case.robot)
    rule = policy["verify"]
    return CaseDetail(
        case=case,
        clocks=clocks.clocks(case, policy, now),
        bundle=(bundle := _bundle(look, case)),
        changed=_changed(look, case, bundle, policy),
        runbook_title=str(runbook.get("title", "")),
        runbook=tuple(
            RunbookStep(
                number=number, text=str(text), done=number in done,
                value=done[number].value if number in done else "", by=done[number].by if number in done else "",
            )
            for number, text in enumerate(runbook.get("steps", ()), 1)
        ),
        checklist=tuple(rule["checklist"]),
        need_hours=float(rule["hours"]),
        need_tasks=float(rule["tasks"]),
        four_eyes=four_eyes(case, policy),
        missing=tuple(missing(case)),
        gate=_gates(look).get(case.run, ""),
        robot_state=robot.state if robot is not None else "",
        robot_holds=tuple(robot.holds) if robot is not None else (),
        problem=look.get("problem", case.problem) if case.problem else None,
        codes={name: tuple(values) for name, values in policy["codes"].items()},
        levels=tuple(policy["levels"]),
        on_call={str(k): str(v) for k, v in policy["on_call"].items()},
        tickets=(elsewhere := tickets.of_case(look, case.id)).tickets,
        pages=elsewhere.pages,
        ticket_system=tickets.system(look),
    )  # fmt: skip


def _changed(look: Look, case: CaseView, bundle: dict[str, Json], policy: Mapping[str, Json]) -> tuple[Changed, ...]:
    """What changed on the robot in the policy's time before its fault: its updates by rollout, and what the bundle has."""
    since = case.created_at - float(policy["changed_window"])
    rows = look.all(
        "select rollout, to_version, state, at from robot_updates where robot = ? and at between ? and ? "
        "and state not in ('planned', 'deferred', 'offline') order by at desc limit 8",
        (case.robot, since, case.created_at),
    )
    found = [
        Changed(what=f"{row[1]} {'' if row[2] == 'healthy' else row[2].replace('_', ' ') + ' '}by {row[0]}", at=row[3])
        for row in rows
    ]
    told = bundle.get("changed")
    if isinstance(told, list):
        found += [
            Changed(what=str(one.get("what", "")), at=float(one.get("at", 0.0)))
            for one in told
            if isinstance(one, dict)
        ]
    return tuple(sorted(found, key=lambda one: -one.at))


def _bundle(look: Look, case: CaseView) -> dict[str, Json]:
    """The kept context; one that no longer has its digest is not shown as if it had."""
    if not case.bundle:
        return {}
    try:
        if not look.vault.verify(case.bundle):
            return {"damaged": f"{case.bundle} does not have its digest any more"}
        found: dict[str, Json] = msgspec.json.decode(look.vault.read(case.bundle, limit=BUNDLE))
    except (OSError, VaultError, ValueError, msgspec.DecodeError) as error:
        return {"damaged": str(error)[:200]}
    return found


READS = (
    Read(
        path="/v1/cases/queue",
        shape=CaseQueue,
        says="Cases by the urgency of their clocks",
        queries=("text", "queue", "mine", "all"),
        give=_queue,
    ),
    Read(path="/v1/cases/{case}/view", shape=CaseDetail, says="One case with everything around it", give=_detail),
)
