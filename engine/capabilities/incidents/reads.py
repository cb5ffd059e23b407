"""An incident with what belongs to it, and what can be done about it now."""

from __future__ import annotations

from engine.capabilities.incidents.clocks import regimes
from engine.capabilities.reads import Look, Read
from engine.contract.incidents import IncidentDetail, IncidentView

OVER = ("closed", "false_alarm")
LISTENED = {
    "incident.choose": "incident.chosen",
    "incident.breakglass": "incident.breakglass",
    "incident.rescope": "incident.rescope",
    "incident.false-alarm": "incident.false-alarm",
    "incident.recurred": "incident.recurred",
}


def detail(look: Look, at: dict[str, str], query: dict[str, str]) -> IncidentDetail | None:
    incident: IncidentView | None = look.get("incident", at["incident"])
    if incident is None:
        return None
    mine = {"incident": incident.id}
    rules = look.find("standing_rule", where=mine, limit=5)
    gates = look.all(
        "select id, question from gates where state = 'open' and run = ? order by opened_at desc limit 5",
        (incident.run,),
    )
    gate = gates[0] if gates else ("", "")
    return IncidentDetail(
        incident=incident, holds=tuple(look.find("hold", where=mine, limit=200, order="robot")),
        follow_ups=tuple(look.find("followup", where=mine, limit=200, order="created_at")), rule=rules[0] if rules else None,
        gate=gate[0], gate_question=gate[1] or "", verbs=_verbs(look, incident),
        regimes=tuple(one for one in regimes(look.policy("hotfix"))),
    )  # fmt: skip


def _verbs(look: Look, incident: IncidentView) -> dict[str, str]:
    """Verb -> empty when it can be used now, else why not."""
    awaited = {row[0] for row in look.all("select distinct event from waits where run = ?", (incident.run,))}
    over = f"{incident.id} is {incident.state.replace('_', ' ')}" if incident.state in OVER else ""
    found: dict[str, str] = {}
    for verb, event in LISTENED.items():
        found[verb] = over or ("" if event in awaited else f"not now: {incident.phase or incident.state}")
    if not found["incident.choose"] and incident.ic != look.person:
        who = f"{incident.ic} commands it" if incident.ic else "nobody commands it"
        found["incident.choose"] = f"{who}: take command first (I)"
    found["incident.take"] = over or ("you command it already" if incident.ic == look.person else "")
    for verb in (
        "incident.contain",
        "incident.severity",
        "incident.update",
        "incident.change",
        "incident.clock",
        "hold.place",
    ):
        found[verb] = over if verb != "incident.update" else ""
    return found


READS: tuple[Read, ...] = (
    Read(
        path="/v1/incidents/{incident}",
        shape=IncidentDetail,
        says="An incident with its holds, follow-ups and standing rule, the gate that waits, and what can be done now.",
        give=detail,
    ),
)
