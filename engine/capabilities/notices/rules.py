"""Which notice follows from what happened, in which words, and when it may be told. Values in, values out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Struct

from engine.capabilities.packs import PackError, load_pack
from engine.contract.gates import GateDetail
from engine.core.durations import seconds as in_seconds

Json = Any
Severity = Literal["info", "warning", "critical"]
GATES = {"GateOpened": "gate.opened", "ReminderSent": "gate.reminded", "GateEscalated": "gate.escalated"}
"""Facts about gates, by what rules call them."""
EVERY = "*"
NEVER = ("qd.notice.",)
"""Events about telling people lead to no further messages."""
_WORD = re.compile(r"\{([a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*)\}", re.I)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TITLE, VALUE = 160, 100


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule of the pack."""

    event: str
    severity: Severity = "info"
    channels: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    says: str = ""
    link: str = ""

    def fits(self, event: str) -> bool:
        return event == self.event or (self.event.endswith("*") and event.startswith(self.event[:-1]))


class Quiet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours in which people are left alone. `from_` and `to` as minutes of the day; equal: never."""

    from_: str = msgspec.field(default="", name="from")
    to: str = ""
    zone: str = "UTC"
    days: str = "mon-sun"
    severities: tuple[str, ...] = ("info", "warning")

    def until(self, severity: str, now: float) -> float:
        """When it may be told: `now`, or the end of the quiet hours it falls into."""
        if not self.from_ or not self.to or severity not in self.severities:
            return now
        start, end, here = _minutes(self.from_), _minutes(self.to), datetime.fromtimestamp(now, _zone(self.zone))
        for back in (1, 0):  # the night that began yesterday, and today's
            day = (here - timedelta(days=back)).replace(hour=0, minute=0, second=0, microsecond=0)
            if day.weekday() not in _days(self.days):
                continue
            begins = day.replace(hour=start // 60 % 24, minute=start % 60)
            last = day if end > start else day + timedelta(days=1)
            ends = last.replace(hour=end // 60 % 24, minute=end % 60)
            if begins <= here < ends:
                return ends.astimezone(UTC).timestamp()
        return now


class AtMost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    count: int
    per: float


class NoticePolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pack `notices`."""

    rules: dict[str, Rule]
    roles: dict[str, tuple[str, ...]]
    quiet: Quiet
    at_most: AtMost
    not_older: float
    tries: int
    repeat_in_doubt: tuple[str, ...]

    @classmethod
    def of(cls, pack: Mapping[str, Json]) -> NoticePolicy:
        """From the resolved pack; the shipped one where an engine has none of its own. Raises PackError."""
        found = dict(pack) or load_pack("notices")
        most = dict(found.get("at_most") or {})
        try:
            most["per"] = in_seconds(most.get("per", 3600))
            policy = msgspec.convert({**found, "at_most": most}, cls, strict=False)
            if policy.quiet.from_ and policy.quiet.to:
                (
                    _minutes(policy.quiet.from_),
                    _minutes(policy.quiet.to),
                    _days(policy.quiet.days),
                    _zone(policy.quiet.zone),
                )
        except (ValueError, ZoneInfoNotFoundError) as error:
            raise PackError(f"the policy `notices` can't be used: {error}") from error
        return policy


class Wanted(Struct, frozen=True, kw_only=True):
    """A message, before it is known which channels `*` means."""

    once: str
    title: str
    text: str
    severity: str
    link: str
    channels: tuple[str, ...]
    event: str
    gate: str = ""
    run: str = ""


def about_gate(policy: NoticePolicy, fact: str, seq: int, gate: GateDetail) -> list[Wanted]:
    """What is told of a gate that was opened, is reminded of, or was handed on."""
    word, row = GATES[fact], gate.gate
    found = []
    for name, rule in policy.rules.items():
        if not rule.fits(word) or (rule.kinds and row.kind not in rule.kinds):
            continue
        channels = _by_role(policy, gate) or rule.channels
        if not channels or not rule.channels:
            continue
        once = f"gate/{row.id}/{name}" + ("" if word == "gate.opened" else f"/{seq}")
        found.append(
            Wanted(
                once=once,
                title=_cut(f"{_GATE_WORDS[word]}: {row.question}", TITLE),
                text=gate_text(gate),
                severity=rule.severity,
                link=f"qd gates show {row.id}",
                channels=channels,
                event=word,
                gate=row.id,
                run=row.run,
            )
        )
    return found


_GATE_WORDS = {
    "gate.opened": "A decision is asked",
    "gate.reminded": "Still undecided",
    "gate.escalated": "Nobody decided",
}


def gate_text(gate: GateDetail) -> str:
    """What is asked of whom until when, and what happens without an answer. The evidence stays in the console."""
    row = gate.gate
    seats = ", ".join(gate.who_can) or "anyone"
    lines = [row.question, f"{row.kind or 'gate'} {row.id}, asked of {seats}"]
    if row.expires_at:
        said = f"open until {moment(row.expires_at)}"
        lines.append(said + (f"; without an answer {gate.on_timeout}" if gate.on_timeout else ""))
    lines.append("Look at the evidence and answer in the console; this message approves nothing.")
    return "\n".join(lines)


def about_event(policy: NoticePolicy, event: str, facts: Mapping[str, Json]) -> list[Wanted]:
    """What is told of an event. `facts`: its data, with `subject`, `seq`, `key` and `run`."""
    if event.startswith(NEVER):
        return []
    found = []
    for name, rule in policy.rules.items():
        if not rule.channels or not rule.fits(event):
            continue
        title = filled(rule.says, facts) or f"{event} {facts.get('subject') or ''}".strip()
        found.append(
            Wanted(
                once=f"event/{facts['key']}/{name}",
                title=_cut(title, TITLE),
                text=f"{event}" + (f" about {_cut(str(facts['subject']), VALUE)}" if facts.get("subject") else ""),
                severity=rule.severity,
                link=filled(rule.link, facts) or f"qd events show {facts.get('seq', '')}",
                channels=rule.channels,
                event=event,
                run=str(facts.get("run") or ""),
            )
        )
    return found


def filled(text: str, facts: Mapping[str, Json]) -> str:
    """`{words}` replaced by the fields of that name, short and on one line; one that is missing is a question mark."""

    def value(match: re.Match[str]) -> str:
        found: Json = facts
        for part in match[1].split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if found is None or isinstance(found, dict | list):
            return "?"
        return _cut(f"{found:g}" if isinstance(found, float) else str(found), VALUE)

    return _WORD.sub(value, text)


def channels_of(wanted: Sequence[str], every: Sequence[str]) -> list[str]:
    """The channels meant, each once; `*` is all of those there are."""
    return list(dict.fromkeys(one for name in wanted for one in (every if name == EVERY else (name,))))


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _by_role(policy: NoticePolicy, gate: GateDetail) -> tuple[str, ...]:
    found = [channel for seat in gate.seats for channel in policy.roles.get(seat.role, ())]
    return tuple(dict.fromkeys(found))


def _cut(text: str, limit: int) -> str:
    line = "".join(char if char.isprintable() else " " for char in text[: limit + 1])
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _minutes(text: str) -> int:
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", text)
    if not match or int(match[1]) > 24 or int(match[2]) > 59:
        raise ValueError(f"quiet: {text!r} is not a time of day such as 22:00 (in quotes)")
    return int(match[1]) * 60 + int(match[2])


@lru_cache(maxsize=16)
def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.strip().partition("-")
        if first[:3] not in _DAYS or (last and last[:3] not in _DAYS):
            raise ValueError(f"quiet: {part.strip()!r} is no day of the week")
        start, end = _DAYS.index(first[:3]), _DAYS.index((last or first)[:3])
        found.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    return frozenset(found)


@lru_cache(maxsize=16)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"quiet: there is no time zone {name!r}") from error
