"""A case as its ticket sees it, and what a ticket may change in a case.

A ticket moves a case along, and back to work; it never resolves or closes one: a resolution is coded here, and a robot
returns by its gate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.capabilities.cases import judging
from engine.capabilities.cases.opening import hold_back, reopened, told
from engine.capabilities.records import Emit, RecordError, Records
from engine.contract.cases import CASE_OVER, CaseView, HoldSpan, Note
from engine.contract.tickets import TICKET_FIELDS

Json = Any
MEANS = {
    "new": "open",
    "triaged": "open",
    "queued": "open",
    "assigned": "open",
    "reopened": "open",
    "in_progress": "in_progress",
    "on_hold": "on_hold",
    "resolved": "resolved",
    "verifying": "resolved",
    "closed": "closed",
    "duplicate": "cancelled",
    "cancelled": "cancelled",
}
WORDS = {"open": "open", "in_progress": "in progress", "on_hold": "on hold"}


class NotTaken(Exception):
    """What the ticket says is not taken over; the text says why."""


def ours(case: CaseView, policy: Mapping[str, Json]) -> dict[str, str]:
    """The case's fields, in the ticket's names of people."""
    people: Mapping[str, str] = policy["people"]
    return {
        "title": case.title,
        "priority": f"P{case.priority}" if case.priority else "",
        "assignee": people.get(case.assignee, case.assignee),
        "meaning": MEANS.get(case.state, "open"),
    }


def wanted(case: CaseView, policy: Mapping[str, Json]) -> str:
    """Why this case gets a ticket; empty when it gets none."""
    rule = policy["cases"]
    if case.state in CASE_OVER or case.merged_into:
        return ""
    if rule.get("safety") and case.safety_related:
        return "about safety"
    return f"P{case.priority}" if case.priority in rule.get("priorities", ()) else ""


def body(case: CaseView) -> str:
    """What stands in a ticket when it is opened: enough to act on without this system."""
    lines = [
        f"Case {case.id}: {case.symptom}",
        "",
        f"Robot {case.robot}" + (f", serial {case.serial}" if case.serial else "") + f", {case.variant or '-'}",
        f"Site {case.site or '-'}, software {case.software or '-'}",
        f"P{case.priority}, component {case.component or '-'}, mode {case.mode or 'unknown'}"
        + (", about safety" if case.safety_related else ""),
        "Out of dispatch until it is returned to service." if case.dispatch_hold else "It goes on working.",
    ]
    lines += [f"Hypothesis: {case.hypothesis} ({'; '.join(case.grounds)})"] if case.hypothesis else []
    lines += [f"Runbook {case.runbook}"] if case.runbook else []
    lines += ["", "The case is resolved by its coding and closed by a second person there, not by this ticket."]
    return "\n".join(lines)


def note_key(case: str, note: Note) -> str:
    """What a note is known by, here and as the key of its comment: the same for the same words of the same person."""
    digest = hashlib.sha256(note.text.encode()).hexdigest()[:12]
    return f"{case}/note/{note.at:.3f}/{note.by}/{digest}"


async def take(
    records: Records,
    case: CaseView,
    name: str,
    value: str,
    *,
    ref: str,
    policy: Mapping[str, Json],
    cases: Mapping[str, Json],
    now: float,
) -> CaseView:
    """Gives the case what the ticket says about one field. Raises NotTaken, with the reason for people; RecordError
    `Conflict` when the case is another one by now."""
    assert name in TICKET_FIELDS
    reason = f"{ref} says {name} {value or 'nobody'}"
    try:
        if name == "title":
            if not value.strip():
                raise NotTaken("a case has a title")
            return await _set(records, case, {"title": value}, reason)
        if name == "priority":
            return await _weighed(records, case, value, reason, cases)
        if name == "assignee":
            back = {theirs: here for here, theirs in policy["people"].items()}
            return await _assigned(records, case, back.get(value, value), reason, now)
        return await _moved(records, case, value, reason, ref=ref, policy=policy, now=now)
    except RecordError as error:
        if error.error == "Conflict":
            raise
        raise NotTaken(error.message) from error


async def _weighed(records: Records, case: CaseView, value: str, reason: str, cases: Mapping[str, Json]) -> CaseView:
    rank = int(value[1:]) if value in ("P1", "P2", "P3", "P4", "P5") else 0
    if not rank:
        raise NotTaken("a case keeps a priority")
    if case.safety_related and case.priority and rank > case.priority:
        raise NotTaken("it is about safety: less urgent is said here, by safety or the maintenance lead")
    impact, urgency = judging.weight(case, cases)
    fitting = [
        (abs(int(i) - impact) + abs(int(u) - urgency), int(i), int(u))
        for i, _, u in (pair.partition("/") for pair, found in cases["priority"].items() if int(found) == rank)
    ]
    if not fitting:
        raise NotTaken(f"no impact and urgency make {value}")
    _, impact, urgency = min(fitting)
    found = await _set(records, case, {"impact": impact, "urgency": urgency, "priority": rank}, reason)
    return await hold_back(records, found, rank, cases, None)


async def _assigned(records: Records, case: CaseView, person: str, reason: str, now: float) -> CaseView:
    if case.state in CASE_OVER or case.state in ("resolved", "verifying"):
        raise NotTaken(f"{case.id} is {case.state}")
    if not person:
        if case.state not in ("assigned", "reopened", "queued"):
            raise NotTaken(f"{case.assignee} works on it here")
        to = "queued" if case.state == "assigned" else ""
        return await _set(records, case, {"assignee": ""}, reason, to=to)
    acked = case.acked_at if case.acked_at >= case.clock_started_at and case.acked_at else now
    changes: dict[str, Json] = {
        "assignee": person,
        "technicians": list(dict.fromkeys([*case.technicians, person])),
        "acked_at": acked,
    }
    return await _set(records, case, changes, reason, to="assigned" if case.state in ("queued", "reopened") else "")


async def _moved(
    records: Records, case: CaseView, value: str, reason: str, *, ref: str, policy: Mapping[str, Json], now: float
) -> CaseView:
    if value in ("resolved", "closed", "cancelled"):
        if case.state in CASE_OVER:
            raise NotTaken(f"{case.id} is {case.state}, which is final")
        raise NotTaken(
            "a case is resolved by its coding and closed by the gate return_to_service, never by a ticket; "
            f"{case.robot} " + ("stays out of dispatch" if case.dispatch_hold else "goes on working")
        )
    if case.state in CASE_OVER:
        raise NotTaken(f"{case.id} is {case.state} and stays so: a new case is opened")
    if case.state in ("resolved", "verifying"):
        return await _set(
            records, case, reopened(case, now), reason, to="reopened",
            emit=told(case, "qd.case.reopened", state="reopened", why=reason[:300]),
        )  # fmt: skip
    if value == "on_hold":
        span = HoldSpan(reason=str(policy["hold_reason"]), since=now, by=ref, ref=ref)
        if case.state not in ("assigned", "in_progress"):
            raise NotTaken(f"{case.id} is {case.state}: nobody works on it")
        holds = [*case.holds, span]
        said = told(case, "qd.case.onhold", state="on_hold", hold=span.reason, ref=ref)
        return await _set(records, case, {"holds": holds}, reason, to="on_hold", emit=said)
    changes: dict[str, Json] = {}
    if case.state == "on_hold" and case.holds:
        ended = msgspec.structs.replace(case.holds[-1], ended=now)
        changes["holds"] = [*case.holds[:-1], ended]
    if value == "in_progress":
        if not case.assignee:
            raise NotTaken(f"{case.id} has nobody here: claim it first")
        if case.state == "queued":
            case = await _set(records, case, {}, reason, to="assigned")
        since = case.clock_started_at
        changes["responded_at"] = case.responded_at if case.responded_at and case.responded_at >= since else now
        return await _set(records, case, changes, reason, to="in_progress")
    if case.state in ("in_progress", "on_hold"):
        return await _set(records, case, changes, reason, to="assigned" if case.assignee else "queued")
    return case


async def _set(
    records: Records, case: CaseView, changes: Mapping[str, Json], reason: str, *, to: str = "", emit: Any = ()
) -> CaseView:
    """One change of the case; its run looks again at the clocks."""
    told_ = (*emit, Emit("case.moved", {"case": case.id, "state": to or case.state}, subject=case.id))
    found: CaseView = await records.change(
        "case", case.id, to=to, set=dict(changes), reason=reason[:500], emit=told_, expect=case.rev
    )
    return found
