"""Regulatory clocks. They begin when a person records that they are aware, and at no other time.

What the law counts from is awareness, not the event; who recorded it, when and why stands with the clock. It is engineering
input, not legal advice: regimes, hours and the day they were looked at are the policy pack's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from engine.capabilities.desk import Args, Desk, Foreseen, Given, Name
from engine.capabilities.incidents.reading import amend, plain
from engine.capabilities.records import Emit
from engine.contract.incidents import Clock, IncidentView

Json = Any


class Start(Args, frozen=True, kw_only=True):
    """`aware_at` UTC epoch s: when it became known; 0 is now. It may lie before now, never after."""

    regime: Name
    reason: Given
    aware_at: float = 0.0


class Filed(Args, frozen=True, kw_only=True):
    regime: Name
    ref: str = ""


def regimes(policy: Mapping[str, Json]) -> tuple[Clock, ...]:
    """What could be started."""
    return tuple(
        Clock(regime=one["regime"], title=one["title"], law=one["law"], hours=float(one["hours"]))
        for one in policy["clocks"]
    )


async def start(desk: Desk, incident: IncidentView, args: Start) -> Json:
    now, policy = desk.now(), desk.policy("hotfix")
    regime = _regime(desk, policy, args.regime)
    running = next((one for one in incident.clocks if one.regime == args.regime and not one.filed_at), None)
    if running is not None:
        desk.refuse("already", f"{regime.title} runs since {_when(running.started_at)}, due {_when(running.due)}")
    aware = args.aware_at or incident.became_aware_at or now
    if aware > now:
        desk.refuse("bad_input", "awareness can't lie in the future", field="args.aware_at")
    due = aware + regime.hours * 3600.0
    ask_at = max(now, aware + (due - aware) * float(policy["clock_lead"]))
    run = await desk.start(
        "regulatory-clock",
        {"incident": incident.id, "regime": args.regime, "title": f"{regime.title} ({regime.law})", "ask_at": ask_at, "due": due, "left": max(60.0, due - ask_at)},
    )  # fmt: skip
    clock = Clock(
        regime=args.regime, title=regime.title, law=regime.law, hours=regime.hours, started_at=aware, due=due, by=desk.person,
        reason=args.reason, run=run,
    )  # fmt: skip

    def change(one: IncidentView) -> dict[str, Json]:
        fields: dict[str, Json] = {"clocks": plain((*one.clocks, clock))}
        if not one.became_aware_at or aware < one.became_aware_at:
            fields |= {"became_aware_at": aware, "aware_by": desk.person}
        return fields

    await amend(
        desk.records, incident.id, change, at=now, who=desk.person, what=f"{regime.title} started, due {_when(due)}: {args.reason}",
        emit=(Emit("qd.incident.updated", {"incident": incident.id, "what": f"clock {args.regime} started", "due": due, "by": desk.person}),),
    )  # fmt: skip
    return {"id": incident.id, "regime": args.regime, "due": due, "run": run}


async def foresee_start(desk: Desk, incident: IncidentView, args: Start) -> Foreseen:
    regime = _regime(desk, desk.policy("hotfix"), args.regime)
    aware = args.aware_at or incident.became_aware_at or desk.now()
    due = aware + regime.hours * 3600.0
    return Foreseen(
        (
            f"records that you are aware since {_when(aware)}: it can't be taken back",
            f"{regime.title} ({regime.law}) is due {_when(due)}, in {(due - desk.now()) / 3600:.0f} h",
        )
    )


async def filed(desk: Desk, incident: IncidentView, args: Filed) -> Json:
    clock = next((one for one in incident.clocks if one.regime == args.regime and not one.filed_at), None)
    if clock is None:
        desk.refuse("not_found", f"no clock {args.regime} runs on {incident.id}", field="args.regime")
    await desk.signal(clock.run, "clock.filed", {"ref": args.ref})
    return {"id": incident.id, "regime": args.regime}


def _regime(desk: Desk, policy: Mapping[str, Json], name: str) -> Clock:
    found = next((one for one in regimes(policy) if one.regime == name), None)
    if found is None:
        known = ", ".join(one.regime for one in regimes(policy))
        desk.refuse("bad_input", f"no regime is called {name[:40]!r}", fix=f"one of: {known}", field="args.regime")
    return found


def _when(t: float) -> str:
    return time.strftime("%d %b %H:%MZ", time.gmtime(t))
