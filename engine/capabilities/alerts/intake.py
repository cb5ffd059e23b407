"""What becomes of an alert: a report about its robot, a note on the case that is open already, or nothing, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.cases.opening import told
from engine.capabilities.ports import Context
from engine.contract.cases import CASE_OVER, CaseView, Note

Json = Any
FIRING, RESOLVED = "qd.alert.firing", "qd.alert.resolved"
MOST_NOTES = 200
"""Notes of one case; an alert that goes on and off more often than that says nothing new."""
NOTED_BY = "alerts"


async def sort_out(context: Context, given: dict[str, Json]) -> Json:
    """Reports to be opened as cases, and the cases that got a note. `why` says what was done with an alert that is neither."""
    event, policy = given["event"], context.policy("alerts")
    data = event.get("data") or {}
    robot = robot_of(data, policy)
    nothing: dict[str, Json] = {"reports": [], "noted": [], "robot": robot}
    if not robot:
        return {**nothing, "why": "the alert names no robot"}
    if event.get("event") == RESOLVED:
        noted = await _note(context, await _open_cases(context, robot, detector(data)), data, ended=True)
        return {**nothing, "noted": noted, "why": "" if noted else "no open case came from this alert"}
    severity = str(data.get("severity") or "").lower()
    if severity in policy["cases"]["severities"]:
        return {**nothing, "reports": [report(data, robot, severity, policy)], "why": ""}
    noted = await _note(context, (await _open_cases(context, robot, ""))[:1], data, ended=False)
    why = "" if noted else f"severity {severity or 'none'} opens no case, and {robot} has none that is open"
    return {**nothing, "noted": noted, "why": why}


def robot_of(data: Mapping[str, Json], policy: Mapping[str, Json]) -> str:
    labels = data.get("labels") or {}
    named = [str(labels.get(name) or "") for name in policy["robot_labels"]] if isinstance(labels, Mapping) else []
    return next((one for one in [*named, str(data.get("robot") or "")] if one), "")[:100]


def detector(data: Mapping[str, Json]) -> str:
    return f"alert:{str(data.get('alert') or 'unnamed')[:80]}"


def report(data: Mapping[str, Json], robot: str, severity: str, policy: Mapping[str, Json]) -> dict[str, Json]:
    """In the shape of the maintenance intake's reports. Two alerts of one name are one fault, whatever their text says."""
    name, said = str(data.get("alert") or "alert"), str(data.get("summary") or "")
    labels = data.get("labels") or {}
    return {
        "robot": robot,
        "symptom": (f"{name}: {said}" if said else name)[:500],
        "source": "telemetry",
        "detector": detector(data),
        "mode": str(policy["modes"].get(name, "")),
        "component": str(labels.get("component") or "")[:80] if isinstance(labels, Mapping) else "",
        "urgency": int(policy["cases"]["urgency"].get(severity, 2)),
        "safety_related": severity in policy["cases"]["safety"]
        or (isinstance(labels, Mapping) and str(labels.get("safety", "")).lower() == "true"),
        "external_ref": str(data.get("url") or "")[:500],
        "problem": "",
    }


async def _open_cases(context: Context, robot: str, seen_by: str) -> list[CaseView]:
    found: list[CaseView] = await context.records.find("case", where={"robot": robot}, limit=200)
    return [one for one in found if one.state not in CASE_OVER and (not seen_by or one.detector == seen_by)]


async def _note(context: Context, cases: list[CaseView], data: Mapping[str, Json], *, ended: bool) -> list[str]:
    name = str(data.get("alert") or "an alert")[:80]
    said = str(data.get("summary") or "")[:200]
    text = (
        f"{name} is over"
        if ended
        else f"{name} ({data.get('severity') or 'no severity'}) fires" + (f": {said}" if said else "")
    )
    noted = []
    for case in cases:
        if len(case.notes) >= MOST_NOTES or any(one.text == text and one.by == NOTED_BY for one in case.notes[-1:]):
            continue
        note = Note(at=context.now(), by=NOTED_BY, text=text)
        await context.records.change(
            "case",
            case.id,
            set={"notes": [*case.notes, note]},
            reason=text,
            emit=told(case, "qd.case.changed", note=text),
        )
        noted.append(case.id)
    return noted
