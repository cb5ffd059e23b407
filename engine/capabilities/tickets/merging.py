"""The three-way merge of a case and its ticket. Pure.

Each field has what it is here, what it is there, and what it was on either side when both last agreed. Changed on one
side only, it goes over to the other. Changed on both, it is a conflict: both values stand until somebody chooses, and
neither side is written. What a side may not be given (a workflow without that state, a case that only its gate may close)
is a conflict with its reason. A direction may be closed by policy: then a change the closed way is a conflict, too.

Kept for both sides apart, because owners have fewer words than we: a closed case may be a resolved ticket for good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct, field

from engine.contract.tickets import Agreed, TicketConflict

Fields = Mapping[str, str]
OPEN_ALL = "both"
UNSET = "\x00"
"""Stands in `Agreed` for "neither of what is there now": the other side's value is then the newer one by decision."""


class Merged(Struct, frozen=True, kw_only=True):
    """What is to be done. `push` to the ticket, `take` into the case; `agreed` as it stands before either is done."""

    push: dict[str, str] = field(default_factory=dict)
    take: dict[str, str] = field(default_factory=dict)
    agreed: dict[str, Agreed] = field(default_factory=dict)
    conflicts: tuple[TicketConflict, ...] = ()


def merge(
    ours: Fields,
    theirs: Fields,
    agreed: Mapping[str, Agreed],
    *,
    ways: Mapping[str, str],
    same: Callable[[str, str, str], bool],
    before: Mapping[str, TicketConflict],
    now: float,
    fresh: bool = False,
) -> Merged:
    """`ways`: field -> both, ours (changes here go there), theirs (changes there come here). `same(field, ours, theirs)`.
    `before`: conflicts as they stood; one that could not be taken over and still stands is not tried again unless
    `fresh`."""
    push, take, settled, conflicts = {}, {}, dict(agreed), []
    for name, way in ways.items():
        here, there, base = ours.get(name, ""), theirs.get(name, ""), agreed.get(name)
        if same(name, here, there):
            settled[name] = Agreed(ours=here, theirs=there)
            continue
        if base is None:
            base = _first(name, here, there)
            if base is None:
                conflicts.append(_conflict(name, here, there, None, before=before, now=now))
                continue
            settled[name] = base
        here_changed, there_changed = here != base.ours, there != base.theirs
        if not here_changed and not there_changed:
            continue
        stuck = before.get(name)
        if stuck is not None and stuck.why and not fresh and (stuck.ours, stuck.theirs) == (here, there):
            conflicts.append(stuck)
        elif here_changed and there_changed:
            conflicts.append(_conflict(name, here, there, base, before=before, now=now))
        elif here_changed:
            if way == "theirs":
                conflicts.append(
                    _conflict(name, here, there, base, before=before, now=now, why=f"the ticket leads in its {name}")
                )
            else:
                push[name] = here
        elif way == "ours":
            conflicts.append(
                _conflict(name, here, there, base, before=before, now=now, why=f"the case leads in its {name}")
            )
        else:
            take[name] = there
    return Merged(push=push, take=take, agreed=settled, conflicts=tuple(conflicts))


def _first(name: str, here: str, there: str) -> Agreed | None:
    """Where two that never agreed begin. What only one side says goes over; titles may differ; the rest is asked."""
    if name == "title":
        return Agreed(ours=here, theirs=there)
    if not there:
        return Agreed(ours=UNSET, theirs=there)
    if not here:
        return Agreed(ours=here, theirs=UNSET)
    return None


def _conflict(
    name: str,
    here: str,
    there: str,
    base: Agreed | None,
    *,
    before: Mapping[str, TicketConflict],
    now: float,
    why: str = "",
) -> TicketConflict:
    known = before.get(name)
    was = base.ours if base is not None and base.ours != UNSET else ""
    since = known.since if known is not None else now
    return TicketConflict(field=name, ours=here, theirs=there, base=was, since=since, why=why)


def barred(name: str, here: str, there: str, *, base: Agreed | None, since: float, why: str) -> TicketConflict:
    """The conflict of a field that one side could not be given."""
    return _conflict(name, here, there, base, before={}, now=since, why=why)


def decided(conflict: TicketConflict, choice: str) -> Agreed:
    """What is agreed from now on, so that the chosen side's value goes over. Should the other side change once more
    before that, it is a conflict again."""
    if choice == "ours":
        return Agreed(ours=UNSET, theirs=conflict.theirs)
    return Agreed(ours=conflict.ours, theirs=UNSET)
