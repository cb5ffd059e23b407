"""Which questions wait for this person, in which order, and what they put off: the inbox that can be emptied.

What is put off or left to others leaves this person's list alone; it waits, expires and is counted as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from screens.widgets.clean import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.contract.gates import GateSummary
    from screens.base import QScreen

LATER_H = 1.0


def order(gates: Iterable[GateSummary]) -> list[GateSummary]:
    """Those I may answer first, each part by deadline."""
    return sorted(gates, key=lambda gate: (bool(gate.mine), gate.expires_at, gate.id))


def waiting(screen: QScreen, *, without: str = "") -> list[GateSummary]:
    """Open questions this person may answer and has not put off, by deadline."""
    return [
        gate
        for gate in order(screen.model.gates.values())
        if not gate.mine and gate.id != without and not hidden(screen, gate)
    ]


def after(screen: QScreen, gate: GateSummary) -> GateSummary | None:
    """The next one to answer after this: the one behind it by deadline, else from the top. Just answered, it may be
    closed and gone from the list already: that must not change which one comes next."""
    rest = waiting(screen, without=gate.id)
    behind = (one for one in rest if (one.expires_at, one.id) > (gate.expires_at, gate.id))
    return next(behind, rest[0] if rest else None)


# -- what this person did with it ---------------------------------------------------------------------------------------


def hidden(screen: QScreen, gate: GateSummary) -> bool:
    kept = _kept(screen)
    return kept is not None and bool(kept.hidden(_person(screen), gate, screen.model.now()))


def hidden_word(screen: QScreen, gate: GateSummary) -> str:
    """Why it is out of the inbox; empty when it is not."""
    kept, now = _kept(screen), screen.model.now()
    if kept is None:
        return ""
    if kept.is_others(_person(screen), gate):
        return "left to others"
    until = kept.until(_person(screen), gate, now)
    if not until:
        return ""
    from screens import chrome

    return f"later, {chrome.at(until, now)}Z"


def seen(screen: QScreen, gate: GateSummary) -> int:
    kept = _kept(screen)
    return 0 if kept is None else int(kept.seen(_person(screen), gate))


def see(screen: QScreen, gate: GateSummary) -> None:
    """What stands on the screen now has been seen."""
    kept = _kept(screen)
    if kept is not None and screen.model.seq:
        kept.see(_person(screen), gate, screen.model.seq)


def put_off(screen: QScreen, gate: GateSummary) -> None:
    """Out of the inbox for an hour, or as many as were counted; again: back."""
    kept = _kept(screen)
    if kept is None:
        return
    if hidden(screen, gate):
        bring_back(screen, gate)
        return
    hours = float(int(getattr(screen, "count", 0) or 0) or LATER_H)
    until = screen.model.now() + hours * 3600
    kept.put_off(_person(screen), gate, until)
    said = f"{clean(gate.id)} is put off for {hours:g} h" + (
        ", but it expires before that" if gate.expires_at < until else ""
    )
    screen.say((said, "caution") if gate.expires_at < until else said, (f"  {_way_back(screen, 'z')}", "muted"))


def leave_to_others(screen: QScreen, gate: GateSummary) -> None:
    """Out of the inbox until it is brought back."""
    kept = _kept(screen)
    if kept is None:
        return
    if hidden(screen, gate):
        bring_back(screen, gate)
        return
    kept.leave_to_others(_person(screen), gate)
    screen.say(f"{clean(gate.id)} is left to others", (f"  {_way_back(screen, 'x')}; it is counted as before", "muted"))


def _way_back(screen: QScreen, key: str) -> str:
    """On the list the row is gone, and the key would act on the next one."""
    return f"Z shows it, {key} there brings it back" if screen.NAME == "gates" else f"{key} again brings it back"


def bring_back(screen: QScreen, gate: GateSummary) -> None:
    kept = _kept(screen)
    if kept is not None:
        kept.bring_back(_person(screen), gate)
        screen.say(f"{clean(gate.id)} is in the inbox again")


def _kept(screen: QScreen) -> Any:
    return getattr(screen.app, "remembered", None)


def _person(screen: QScreen) -> str:
    return screen.model.me.person if screen.model.me is not None else ""
