"""A shift as rows: who is on duty, what is handed over, what waits, what ends, what happened, what I watch.

Pure: what the engine said and its time in; rows and sentences out.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.oncall import DutyRecord, HandoverRecord, OnCallView, ShiftLine, ShiftReport, Watched
from screens import chrome
from screens.layout import Line
from screens.model import coarse
from screens.places import OF_RECORD, ONE
from screens.widgets.parts import Part
from screens.widgets.rows import Cells, Wide

MARK: dict[str, Part] = {"alarm": ("\u2717", "alarm"), "warning": ("!", "caution"), "notice": ("\u2022", "muted")}
TONE = {"alarm": "alarm", "warning": "caution"}
SECTIONS = ("commands", "waits", "expires", "happened")


def opens(kind: str) -> bool:
    """Whether there is a place for one thing of this kind."""
    return kind == "handover" or OF_RECORD.get(kind, kind) in ONE


def for_me(view: OnCallView) -> HandoverRecord | None:
    """The handover that waits for my key: one offered to me by name goes before one offered to whoever takes it."""
    offered = [
        one for one in view.handovers if one.state == "offered" and one.giver != view.me and one.to in ("", view.me)
    ]
    return min(offered, key=lambda one: (one.to != view.me, one.offered_at), default=None)


def of_mine(view: OnCallView) -> HandoverRecord | None:
    """The one I prepared or offered."""
    return next((one for one in view.handovers if one.giver == view.me), None)


def verdict(view: OnCallView, report: ShiftReport | None, now: float) -> Line:
    """One sentence: what waits for my key, else who is on duty."""
    offer = for_me(view)
    if offer is not None and report is not None:
        said: Line = [(f"{offer.giver} hands over to you", "strong"), f" ({offer.id})"]
        if offer.incidents:
            said += [": you would command ", (", ".join(offer.incidents), "alarm")]
        said += [f"; {_many(len(report.waits), 'waits', 'wait')}, {_many(len(report.expires), 'ends', 'end')} soon.  "]
        return [*said, ("A accepts", "key"), ", ", ("X declines", "key")]
    mine = of_mine(view)
    if mine is not None and mine.state == "offered":
        to = mine.to or "whoever takes it"
        return [
            (f"{mine.id} waits for {to}", "strong"),
            f" since {coarse(now - mine.offered_at)}; you stay on duty until it is accepted.",
        ]
    if not view.on_duty:
        return [("Nobody is on duty.", "caution"), "  ", ("a", "key"), " takes it"]
    who = ", ".join(f"{one.person}{f' ({one.scope})' if one.scope else ''}" for one in view.on_duty)
    said = [(who, "strong"), f" {'is' if len(view.on_duty) == 1 else 'are'} on duty"]
    if view.mine is not None:
        said.append(f", you since {_at(view.mine.since, now)}Z")
        if view.mine.until:
            left = view.mine.until - now
            said.append(
                f", planned {coarse(left)} more" if left > 0 else (f", {coarse(-left)} longer than planned", "caution")
            )
    return [*said, "."]


def rows(
    view: OnCallView, report: ShiftReport | None, shown: HandoverRecord | None, now: float
) -> list[tuple[str, Cells]]:
    """Everything on the page, in the order in which it is read."""
    found: list[tuple[str, Cells]] = [*_duty(view, now)]
    if shown is not None:
        found += _handover(shown, now)
    if report is not None:
        base = report.at if shown is not None else now
        for name in SECTIONS:
            found += _section(name, report, base, now)
    found += _watched(view.watched, now)
    return found


def _at(moment: float, now: float) -> str:
    """A time of day to the minute, with the date when it isn't today."""
    said = chrome.at(moment, now)
    return said[:5] if said[2:3] == ":" else said


def _many(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _duty(view: OnCallView, now: float) -> list[tuple[str, Cells]]:
    found: list[tuple[str, Cells]] = [_head("duty", "ON DUTY", _quiet(view, now))]
    found += [(f"duty {one.id}", _duty_cells(one, now)) for one in view.on_duty]
    if not view.on_duty:
        found.append(("#nobody", Wide([("   nobody: a takes it", "caution")])))
    if view.last is not None:
        one = view.last
        when = _at(one.answered_at, now)
        gone = f", with command of {', '.join(one.transferred)}" if one.transferred else ""
        found.append(
            ("#last", Wide([(f"   {one.id} accepted {when}Z: {one.giver} \u2192 {one.receiver}{gone}", "muted")]))
        )
    return found


def _quiet(view: OnCallView, now: float) -> str:
    hours = view.quiet
    if hours is None:
        return ""
    if hours.since <= now < hours.until:
        return f"quiet until {_at(hours.until, now)}Z: {', '.join(hours.severities)} wait"
    return f"quiet from {_at(hours.since, now)}Z" if hours.until > now else ""


def _duty_cells(one: DutyRecord, now: float) -> Cells:
    until: Part = ""
    if one.until:
        late = now > one.until
        until = (f" until {_at(one.until, now)}Z", "caution" if late else "muted")
    said: Line = [
        (one.person, "strong"),
        (f"  {one.scope}" if one.scope else "", ""),
        (f"  since {_at(one.since, now)}Z", "muted"),
        until,
    ]
    return (" ", (one.id, "muted"), said, "", coarse(now - one.since))


def _handover(one: HandoverRecord, now: float) -> list[tuple[str, Cells]]:
    to = one.to or "whoever takes it"
    when = f" {coarse(now - one.offered_at)} ago" if one.offered_at else ""
    found: list[tuple[str, Cells]] = [
        _head("handover", f"HANDOVER {one.id}", f"{one.giver} \u2192 {to}, {one.state}{when}")
    ]
    for number, line in enumerate(one.note.splitlines()[:6] or ["no note"]):
        found.append((f"#note {number}", Wide(["   ", (line, "strong" if one.note else "muted")])))
    return found


def _section(name: str, report: ShiftReport, base: float, now: float) -> list[tuple[str, Cells]]:
    lines: Sequence[ShiftLine] = getattr(report, name)
    if name == "commands":
        if not lines:
            return []
        head = _head(name, f"COMMANDED BY {report.person.upper()}", "goes over with the receiver's key alone")
    elif name == "waits":
        head = _head(name, f"WAITS {len(lines) + report.more.get(name, 0)}", "nothing waits" if not lines else "")
    elif name == "expires":
        within = coarse(report.within_s)
        head = _head(
            name,
            f"ENDS WITHIN {within} {len(lines) + report.more.get(name, 0)}",
            "nothing ends soon" if not lines else "",
        )
    else:
        counts = ", ".join(f"{word} {count:,}" for word, count in report.counts.items() if word != "events" and count)
        since = f"since {_at(report.since, now)}Z"
        head = _head(name, "HAPPENED", f"{since}; {counts}" if counts else since)
    found = [head]
    seen: set[str] = set()
    for line in lines:
        key = f"{name} {line.kind} {line.id} {line.text[:40]}"
        if key not in seen:
            seen.add(key)
            found.append((key, _cells(name, line, base, now)))
    if report.more.get(name):
        found.append((f"#more {name}", Wide([(f"   and {report.more[name]:,} more", "muted")])))
    return found


def _cells(name: str, line: ShiftLine, base: float, now: float) -> Cells:
    when: Part
    if name == "happened":
        when = (_at(line.at, now), "muted")
    elif name == "expires" or (line.kind == "gate" and line.at):
        left = line.at - now
        when = (f"in {coarse(left)}", "caution" if left < 1800 else "") if left > 0 else ("overdue", "alarm")
    else:
        when = (coarse(max(0.0, now - line.at)), "muted") if line.at else ("", "")
    nobody = line.who in ("unclaimed", "nobody leads it")
    return (
        MARK.get(line.level, (" ", "")),
        (line.id, TONE.get(line.level, "")),
        line.text,
        (line.who, "caution" if nobody else "muted"),
        when,
    )


def _watched(lines: Sequence[Watched], now: float) -> list[tuple[str, Cells]]:
    news = sum(one.news for one in lines)
    note = "w on anything puts it here" if not lines else f"{news} changed since you looked, z: seen" if news else ""
    found: list[tuple[str, Cells]] = [_head("watched", f"I WATCH {len(lines)}", note)]
    for one in lines:
        said: Line = [(one.title, "strong" if one.news else ""), f"  {one.text}" if one.text else ""]
        mark: Part = ("\u25c6", "strong") if one.news else (" ", "")
        found.append(
            (
                f"watched {one.kind} {one.id}",
                (mark, one.id, said, "", (coarse(max(0.0, now - one.at)) if one.at else "", "muted")),
            )
        )
    return found


def _head(key: str, words: str, note: str = "") -> tuple[str, Cells]:
    return (f"#{key}", Wide([(f" {words}", "muted"), (f"  {note}", "muted") if note else ""]))
