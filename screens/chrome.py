"""Header, link sentence and action bar: the same on every screen, pure functions of the model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from screens import acts
from screens.model import Link, Model, age
from screens.widgets.line import Hot
from screens.widgets.parts import Part, width, wrap

if TYPE_CHECKING:
    from screens.base import QScreen

Line = tuple[list[Part], list[Part]]
ELLIPSIS = "\u2026"
STALE_S = 20.0
"""Seconds without a word from the engine (it sends a heartbeat every 10) after which shown data says STALE."""


@lru_cache(8)
def zone(name: str) -> tzinfo | None:
    """The site's zone; None = this machine's own."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None


def clock(at: float, name: str = "") -> str:
    """UTC and site time, `09:14:03Z 11:14 CEST`; once when the site keeps UTC."""
    utc = datetime.fromtimestamp(at, UTC)
    local = utc.astimezone(zone(name))
    text = f"{utc:%H:%M:%S}Z"
    if local.utcoffset() == utc.utcoffset():
        return text
    return f"{text} {local:%H:%M} {local.tzname() or ''}".rstrip()


def at(moment: float | None, now: float) -> str:
    """A time of day, with the date when it isn't today (UTC)."""
    if not moment:
        return "\u2014"
    when = datetime.fromtimestamp(moment, UTC)
    today = datetime.fromtimestamp(now, UTC).date()
    return f"{when:%H:%M:%S}" if when.date() == today else f"{when:%d %b %H:%M}"


def header(model: Model, cells: int, crumbs: Sequence[str] = ()) -> Line:
    """Who, where, what leads here, what time, how many gates wait, is the link well. When narrow, roles, the scenario and
    the first crumbs are left out, in this order.
    """
    right: list[Part] = ["  "]
    status = model.status
    if status is not None:
        gates = len(model.gates)
        away = [one.name for one in status.connectors if not (one.ok or one.suspended) and one.checked_at]
        if away:
            right += [(f"\u2717 {away[0]}" if len(away) == 1 else f"\u2717 {len(away)} systems", "alarm"), "  "]
        right += [(f"\u2691 {gates} gate{'s' * (gates != 1)}", "strong" if gates else "muted"), "  "]
        if cells >= 110:
            right += [(f"{datetime.fromtimestamp(model.now(), UTC):%a %d %b} ", "muted")]
        right += [clock(model.now(), status.zone), "  "]
    if model.only_looks:
        right += [("READ ONLY", "caution"), "  "]
    right += [link_word(model), " "]
    room = cells - width(right)
    left: list[Part] = []
    for roles, scenario in ((True, True), (False, True), (False, False)):
        left = _who(model, roles=roles, scenario=scenario)
        if width(left) + width(_way(crumbs)) <= room:
            break
    for first in range(len(crumbs) + 1):
        way = _way(crumbs, first)
        if width(left) + width(way) <= room:
            return [*left, *way], right
    return left, right


def _way(crumbs: Sequence[str], first: int = 0) -> list[Part]:
    """What leads to the screen in front, the nearest strong; what was left out says so."""
    shown = list(crumbs[first:])
    if not shown:
        return []
    before = f"{ELLIPSIS} \u203a " if first else ""
    return ["   ", (before + "".join(f"{crumb} \u203a " for crumb in shown[:-1]), "muted"), (shown[-1], "strong")]


def _who(model: Model, *, roles: bool, scenario: bool) -> list[Part]:
    left: list[Part] = [(" QD ", "title"), " "]
    status, me = model.status, model.me
    if status is None:
        left.append(("connecting to the engine", "muted"))
    else:
        production = status.environment == "production"
        left.append((status.environment.upper() if production else status.environment or "engine", "strong"))
        if status.scenario and scenario:
            left.append((f" {status.scenario}", "muted"))
        if status.speed != 1.0:
            left.append((f" \u00d7{status.speed:g}", "muted"))
    if me is not None:
        left += ["  ", (me.person, "strong"), (f" via {me.via}" if me.via else "", "muted")]
        if me.warning:
            left.append((f" \u26a0 {me.warning}", "caution"))
        if roles:
            left.append((f"  {', '.join(me.roles) or 'no role'}", "muted"))
    return left


def link_word(model: Model) -> Part:
    if model.link is Link.LIVE:
        if model.lag_s > 1.5:
            return (f"\u25d0 {model.lag_s:.0f}s behind", "caution")
        return ("\u25cf live", "info")
    if model.link is Link.CONNECTING:
        return ("\u25cb connecting", "muted")
    return (f"\u2717 STALE {age(model.age_s())}", "alarm")


def link_sentence(model: Model) -> list[Part]:
    """What the verdict line says while there is no engine; empty when all is well."""
    if model.link is Link.LIVE:
        if model.status is not None and model.status.state not in ("ok", ""):
            return [
                (f" \u26a0 engine {model.status.state}: ", "alarm"),
                (model.status.message or "no reason given", "alarm"),
            ]
        return []
    if model.link is Link.CONNECTING:
        return [(" Connecting to the engine \u2026", "muted")] if not model.loaded else []
    wait = max(0.0, model.retry_at - time.monotonic())
    again = f"trying again in {wait:.0f}s" if wait >= 1 else "trying again now"
    since = f"what you see is {age(model.age_s())} old" if model.loaded else "nothing was loaded yet"
    return [
        (f" \u2717 No engine: {since}, nothing can be changed; {again}. ", "alarm"),
        (model.link_reason or "The link is lost.", "alarm"),
    ]


def bar(screen: QScreen, cells: int) -> tuple[list[Line], list[Hot]]:
    """Two lines: what can be done here now (greyed when not, the key then says why), and where else to go."""
    usable: list[acts.Act] = []
    barred: list[acts.Act] = []
    for act in screen.bar_acts():
        (usable if screen.reason_against(act) is None else barred).append(act)
    chip: list[Part] = [" ", (f" /{screen.filter} ", "chip"), (" Esc clears ", "muted")] if screen.filter else []
    hits: list[Hot] = []
    here: list[Part] = [" "]
    x, room = 1, cells - 4 - width(chip)
    for act in [*usable, *barred]:
        key, word = acts.shown_key(acts.key_of(act)), f" {act.verb}  "
        size = width(key) + width(word)
        if x + size > room + 3:
            here.append(("?\u2026", "muted"))
            hits.append((0, x, x + 2, "console.help"))
            break
        here += [(key, "key"), word] if act in usable else [(f"{key}{word}", "muted")]
        hits.append((0, x, x + size - 2, act.name))
        x += size
    there: list[Part] = [" "]
    x = 1
    ends = cells - 30
    for name in (root for root in acts.ROOTS if root in screen.everywhere()):
        act = acts.act(name)
        key, word = acts.shown_key(acts.key_of(act)), f" {act.verb}  "
        if x + width(key) + width(word) > ends:
            there.append((":\u2026", "muted"))
            break
        there += [(key, "key"), (word, "strong" if name == f"console.{screen.NAME}" else "muted")]
        hits.append((1, x, x + width(key) + width(word) - 2, name))
        x += width(key) + width(word)
    tail: list[Part] = []
    words = (("filter", "filter"), ("command", "cmd"), ("help", "help"), ("quit", "quit" if screen.ROOT else "back"))
    x = cells - sum(len(word) + 3 for _, word in words)
    for name, word in words:
        tail += [(acts.shown_key(acts.key_of(acts.act(f"console.{name}"))), "key"), (f" {word} ", "muted")]
        hits.append((1, x, x + len(word) + 2, f"console.{name}"))
        x += len(word) + 3
    return [(here, chip), (there, tail)], hits


def notice(parts: list[Part], cells: int) -> list[Line]:
    """A notice over both lines of the bar, so that a long reason can be read."""
    lines = wrap(parts, max(20, cells - 2), 1)
    first: list[Part] = list(lines[0])
    second: list[Part] = list(lines[1]) if len(lines) > 1 else []
    if len(lines) > 2:
        second.append(("\u2026 N", "muted"))
    return [(first, []), (second, [])]
