"""Who is woken for a case: raised once, acknowledged when somebody has it, ended when it is resolved. The paging system's
own key makes a second page the same page. What people do there is taken over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.ports import ActionError, Context
from engine.capabilities.systems.ports import Paging
from engine.contract.cases import CASE_OVER, CaseView
from engine.contract.tickets import TicketPage

Json = Any
PACK = "tickets"
STATES = {"acknowledged": "acknowledged", "resolved": "acknowledged", "triggered": "raised"}
"""What the paging system says of a page -> what its record becomes."""


def severity(case: CaseView, policy: Mapping[str, Json]) -> str:
    """How loud a case wakes somebody: critical, error, warning; empty when nobody is woken."""
    rule = policy["page"]
    if case.priority in rule.get("priorities", ()) or (rule.get("safety") and case.safety_related):
        return str(rule.get("severity", {}).get(f"P{case.priority}", "error"))
    return ""


async def page_case(context: Context, given: dict[str, Json]) -> Json:
    """Brings the page of a case to where the case is. Asked again it does nothing more."""
    case: CaseView | None = await context.records.get("case", str(given["case"]))
    if case is None:
        raise ActionError("NoSuchCase", f"there is no case {given['case']}", kind="validation", retryable=False)
    policy, now = context.policy(PACK), context.now()
    pages: list[TicketPage] = await context.records.find("ticket_page", where={"case": case.id}, limit=1)
    page = pages[0] if pages else None
    over = case.state in CASE_OVER or case.state in ("resolved", "verifying")
    acked = bool(case.assignee) and case.acked_at >= case.clock_started_at
    loud = severity(case, policy)
    if page is None and (over or acked or not loud):
        return {"page": "", "state": "none", "why": "nobody is woken for it"}
    system = page.system if page is not None else str(given.get("system") or "")
    port: Paging = context.port(f"paging@{system}" if system else "paging")
    system = system or str(context.port("systems").connections.first("paging"))
    key = f"quarterdeck/{case.id}/{case.created_at:.0f}"
    if over:
        if page is not None and page.state != "ended":
            await port.resolve(page.key)
            page = await context.records.change(
                "ticket_page", page.id, to="ended", set={"ended_at": now}, reason=f"{case.id} is {case.state}"
            )
    elif acked:
        if page is not None and page.state == "raised":
            await port.acknowledge(page.key)
            page = await context.records.change(
                "ticket_page", page.id, to="acknowledged", set={"acked_at": now}, reason=f"{case.assignee} has it"
            )
    elif page is None or page.state == "ended":
        details = {
            "case": case.id, "robot": case.robot, "site": case.site, "priority": f"P{case.priority}", "symptom": case.symptom,
            "on call": case.on_call, "safety": case.safety_related,
        }  # fmt: skip
        summary = f"P{case.priority} {case.robot} {case.symptom}"[:1000]
        raised = await port.raise_(summary, severity=loud, source=case.robot, link=case.id, details=details, key=key)
        if page is None:
            page = await context.records.create(
                "ticket_page",
                {
                    "case": case.id,
                    "system": system,
                    "key": raised or key,
                    "severity": loud,
                    "raised_at": now,
                    "title": summary[:200],
                },
                key=f"page/{case.id}",
                reason=f"{case.id} wakes somebody",
            )
        else:
            page = await context.records.change(
                "ticket_page", page.id, to="raised", set={"raised_at": now, "severity": loud}, reason="woken again"
            )
    return {"page": page.id if page else "", "state": page.state if page else "none", "why": ""}


async def page_told(context: Context, given: dict[str, Json]) -> Json:
    """Takes over what people did at the paging system. A page that ended there while its case stands counts as somebody
    having it: nobody is woken again for what they just put away, and the case is not closed by it."""
    key = str(given["key"])
    pages: list[TicketPage] = await context.records.find("ticket_page", where={"key": key}, limit=1) if key else []
    page, state = pages[0] if pages else None, STATES.get(str(given["state"]))
    if page is None or state is None or page.state in ("ended", state):
        return {"page": page.id if page else "", "state": page.state if page else "none", "why": "nothing new"}
    said = f"{page.system}: {given['state']}"
    noted = {"acked_at": context.now()} if state == "acknowledged" else {"raised_at": context.now()}
    page = await context.records.change("ticket_page", page.id, to=state, set=noted, reason=said)
    return {"page": page.id, "state": page.state, "why": said}
