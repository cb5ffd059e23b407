"""How command of an incident goes from one person to another: one change, with both names and the time."""

from __future__ import annotations

from engine.capabilities.incidents.reading import plain, with_line
from engine.capabilities.records import Change, Emit
from engine.contract.incidents import Entry, IncidentView

COMMANDERS = ("incident-commander", "safety-officer", "duty-director", "admin")
"""Who is asked to take command, in this order. Others declare, contain and hold; when nobody answers they break the glass."""


def over(incident: IncidentView, receiver: str, at: float, words: str) -> Change:
    """`receiver` commands from `at` on. Refused by the book when the incident was changed meanwhile."""
    timeline = plain(with_line(incident, Entry(at=at, who=receiver, what=words[:300])))
    told = {"incident": incident.id, "what": words, "by": receiver, "from": incident.ic}
    return Change(
        kind="incident", id=incident.id, set={"ic": receiver, "ic_since": at, "timeline": timeline}, reason=words[:200],
        expect=incident.rev, emit=(Emit("qd.incident.updated", told),),
    )  # fmt: skip
