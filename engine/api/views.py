"""What the journal gives, as this caller is shown it: events with their sentence, gates with "may I"."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.api import sentences
from engine.api.access import Caller, me
from engine.api.consequences import approval, otherwise
from engine.api.door import Door
from engine.capabilities import subjects
from engine.contract.common import ActorView
from engine.contract.gates import GateDetail, GatePage, GateSummary
from engine.contract.runs import EventPage, EventView
from engine.contract.system import FeedLine, WatchSnapshot
from engine.store.record_projection import CHANGED

_FEED = 60
_CLOCKS = frozenset({"StepTimedOut", "StepFailed", "StepCancelled"})
"""What a step without attempts (a wait, a gate) records when its time is up."""
_ATTENTION = 40


def event_view(row: Any) -> EventView:
    """A committed event, or one read back, with its sentence."""
    data = row.data
    if isinstance(data, bytes | memoryview | msgspec.Raw):
        data = msgspec.json.decode(bytes(data))
    elif isinstance(data, msgspec.Struct):
        data = msgspec.to_builtins(data)
    text, _ = sentences.sentence(row.type, data if isinstance(data, dict) else {})
    actor = row.actor
    if not isinstance(actor, ActorView):
        actor = ActorView(kind=actor.kind, id=actor.id, via=actor.via, on_behalf_of=actor.on_behalf_of)
    digest = getattr(row, "hash", "")  # a live event carries none: its place in the chain is read with the history
    return EventView(
        seq=row.seq,
        run=row.run,
        n=row.n,
        type=row.type,
        at=row.at,
        actor=actor,
        cause=row.cause,
        data=data,
        text=text,
        hash=digest,
    )


def is_news(view: EventView) -> bool:
    """Whether an event belongs on the Watch feed: no machinery, no records there are hundreds of, and of a record's change
    the change alone, not also the event that tells it outward.
    """
    if sentences.is_noise(view.type):
        return False
    data = view.data if isinstance(view.data, dict) else {}
    if view.type in _CLOCKS and not data.get("attempt"):
        return False  # a wait that ran its time: what follows from it is the news
    if view.type == "SampleJudged" and data.get("verdict") == "unsure":
        return False  # not yet: said again and again until it passes or fails
    if view.type == CHANGED:
        entity = subjects.catalogue().get(str(data.get("kind", "")))
        return entity is None or not entity.quiet
    if view.type == "EventPublished" and str(data.get("event", "")).startswith(("qd.remote.", "qd.sync.completed")):
        return False  # a fleet's devices differ all the time; whoever cares has a rule, or looks at the mirror
    return not (view.type == "EventPublished" and str(data.get("source", "")).startswith("/quarterdeck/records/"))


def feed_line(view: EventView) -> FeedLine:
    """An event as one line of the feed."""
    text, level = sentences.sentence(view.type, view.data if isinstance(view.data, dict) else {})
    return FeedLine(seq=view.seq, at=view.at, run=view.run, type=view.type, actor=view.actor.id, text=text, level=level)


def events_page(page: EventPage) -> EventPage:
    return msgspec.structs.replace(page, rows=tuple(event_view(row) for row in page.rows))


def gates_for(door: Door, caller: Caller, gates: Sequence[GateSummary]) -> tuple[GateSummary, ...]:
    """Each gate with `mine` filled for this caller."""
    shown = []
    for gate in gates:
        detail = door.reads.gate_detail(gate.id) if gate.state == "open" else None
        shown.append(msgspec.structs.replace(gate, mine=why_not(detail, caller)) if detail else gate)
    return tuple(shown)


def gate_page(door: Door, caller: Caller, page: GatePage) -> GatePage:
    return msgspec.structs.replace(page, rows=gates_for(door, caller, page.rows))


def gate_for(door: Door, caller: Caller, detail: GateDetail) -> GateDetail:
    """A gate in full, as this caller sees it: whether they may vote, what approving means, and who else can."""
    if detail.gate.state != "open":
        gate = msgspec.structs.replace(detail.gate, mine=f"the gate is {detail.gate.state}")
        return msgspec.structs.replace(detail, gate=gate)
    meant = approval(door, detail)
    reject, timeout = otherwise(door, detail)
    return msgspec.structs.replace(
        detail,
        gate=msgspec.structs.replace(detail.gate, mine=why_not(detail, caller)),
        consequences=meant.sentences,
        phrase=meant.phrase,
        on_reject=reject,
        on_timeout=timeout,
        who_can=_who_can(door, detail) or detail.who_can,
    )


def _who_can(door: Door, detail: GateDetail) -> tuple[str, ...]:
    """The known people who could fill a seat that is still open; members of groups show when they connect."""
    voted = {vote.person for vote in detail.votes if not vote.void and not vote.refused}
    found: dict[str, str] = {}
    for seat in detail.seats:
        if len(seat.filled_by) >= seat.count:
            continue
        held = door.policy.people_with(seat.role, at=door.now()) if seat.role else (seat.person,) if seat.person else ()
        for person in held:
            if person not in voted and person not in detail.excluded:
                found.setdefault(person, seat.role or "named")
        if seat.group:
            found.setdefault(f"group {seat.group}", "group")
    return tuple(f"{person} ({role})" if role not in ("named", "group") else person for person, role in found.items())


def why_not(detail: GateDetail, caller: Caller) -> str:
    """Why this caller can't vote; empty when they can. A hint for the eye: the core judges the vote itself."""
    if caller.person in detail.excluded:
        return f"{caller.person} is excluded (four eyes)"
    for vote in detail.votes:
        if vote.person == caller.person and not vote.void and not vote.refused:
            return f"{caller.person} voted {vote.answer}"
    if not detail.seats or (detail.escalated_to and detail.escalated_to in caller.roles):
        return ""
    for seat in detail.seats:
        held = seat.role in caller.roles or seat.group in caller.groups or seat.person == caller.person
        unknown = not (seat.role or seat.group or seat.person)
        if (held or unknown) and len(seat.filled_by) < seat.count:
            return ""
    return "needs " + ", ".join(seat.label for seat in detail.seats if len(seat.filled_by) < seat.count)


def watch(door: Door, caller: Caller) -> WatchSnapshot:
    """The first screen in one answer. `seq` is read first, so that the feed from there on misses nothing."""
    seq = door.reads.head()
    attention = door.reads.run_page(status="attention", limit=_ATTENTION)
    return WatchSnapshot(
        status=door.status(),
        me=me(door, caller),
        seq=seq,
        needs=gates_for(door, caller, door.reads.gate_page(state="open", limit=200).rows),
        rollouts=door.rollouts.rollout_page(limit=50).rows,
        runs=attention.rows,
        feed=_recent(door, seq),
        counts=door.reads.counts(),
    )


def _recent(door: Door, head: int) -> tuple[FeedLine, ...]:
    """The newest lines worth reading, oldest first. Machinery is left out, so a few pages may have to be looked at."""
    lines: list[FeedLine] = []
    upper, deadline = head, time.monotonic() + 0.05
    while upper > 0 and len(lines) < _FEED and time.monotonic() < deadline:
        lower = max(0, upper - 200)
        rows = [row for row in door.reads.events(after=lower, limit=200).rows if row.seq <= upper]
        news = [feed_line(view) for view in map(event_view, rows) if is_news(view)]
        lines = news + lines
        upper = lower
    return tuple(lines[-_FEED:])
