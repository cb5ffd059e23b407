"""Ringing for a person who looks elsewhere: the terminal's bell, its notification, a badge in its title, by how grave it is.

Rules: what one did oneself does not ring; quiet hours (the engine's, from the policy of the notices) hold here too; a bell
at most every ten seconds and a notification every thirty, what comes between is counted into the next; text is cleaned
before it becomes part of a control sequence; a terminal that would print the sequences gets none.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.contract.client import EngineUnreachable, Refused
from screens.ringing import LEVELS, SETTING, SEVERITY, Wishes, wishes
from screens.widgets.clean import clean

if TYPE_CHECKING:
    from engine.contract.oncall import OnCallView, QuietHours
    from engine.contract.system import Changes

BELL_S, NOTICE_S = 10.0, 30.0
ASK_S, OLD_S = 2.0, 60.0
"""Who is on duty and what is watched is asked for at most, and at least, this often."""
TEXT = 180
KINDS = ("duty", "handover", "watch")
BELL = "\x07"
SAVE_TITLE, RESTORE_TITLE = "\x1b[22;2t", "\x1b[23;2t"
NAME = "Quarterdeck"
MUTE = ("", "linux", "dumb", "vt100", "vt220", "unknown")
"""Terminals that show a control sequence they don't know, or hang on it. The bell they have."""


def speaks(environment: Mapping[str, str]) -> bool:
    """Whether the terminal takes operating-system commands (title, notifications)."""
    return environment.get("TERM", "") not in MUTE


def notification(text: str, environment: Mapping[str, str], by: str = "auto") -> str:
    """One notification, as this terminal takes it, wrapped for the multiplexer around it; empty where there is none."""
    if not speaks(environment):
        return ""
    body = clean(text, TEXT)
    if by == "auto":
        urxvt = environment.get("TERM", "").startswith(("rxvt", "foot")) or environment.get("VTE_VERSION")
        by = "osc777" if urxvt else "osc9"
    said = f"\x1b]777;notify;{NAME};{body}\x07" if by == "osc777" else f"\x1b]9;{NAME}: {body}\x07"
    return passed(said, environment)


def passed(sequence: str, environment: Mapping[str, str]) -> str:
    """Through tmux (allow-passthrough) or screen to the terminal outside: neither takes these for itself."""
    if environment.get("TMUX"):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environment.get("STY"):
        return f"\x1bP{sequence}\x1b\\"
    return sequence


class Ringer:
    """What was heard and not yet rung. Pure but for the time it is given: it says what to write, and who owns the terminal
    writes it.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._rang = self._told = float("-inf")
        self._bell = False
        self._waiting: list[tuple[str, str]] = []
        self._unheard = 0
        self.badge = 0
        self.title = ""
        """What stands in the terminal's title by our hand."""

    def hear(self, level: str, text: str, wanted: Wishes, quiet: bool) -> None:
        """Something happened. In quiet hours it only shows in the title."""
        if wanted.wants("title", level):
            self.badge += 1
        if quiet:
            return
        self._bell = self._bell or wanted.wants("bell", level)
        if wanted.wants("desktop", level):
            if len(self._waiting) < 50:
                self._waiting.append((level, text))
            else:
                self._unheard += 1

    def writes(self, now: float, wanted: Wishes, title: str = "") -> list[str]:
        """What to write to the terminal now."""
        found: list[str] = []
        if self._bell and now - self._rang >= BELL_S:
            self._bell, self._rang = False, now
            found.append(BELL)
        if self._waiting and now - self._told >= NOTICE_S:
            found += [said] if (said := notification(self._summed(), self._environment, wanted.desktop_by)) else []
            self._waiting, self._unheard, self._told = [], 0, now
        named = f"({min(self.badge, 999)}!) {clean(title, 60)}" if self.badge and title else ""
        if named and named != self.title and speaks(self._environment):
            found += [] if self.title else [SAVE_TITLE]
            found.append(f"\x1b]2;{named}\x07")
            self.title = named
        return found

    def wait(self, now: float) -> float:
        """Seconds until something that is held back may go out; 0: nothing waits."""
        left = [BELL_S - (now - self._rang)] if self._bell else []
        left += [NOTICE_S - (now - self._told)] if self._waiting else []
        return max(0.05, min(left)) if left else 0.0

    def looked(self) -> list[str]:
        """Somebody is at the keys: the badge goes."""
        self.badge, self._bell, self._waiting, self._unheard = 0, False, [], 0
        if not self.title:
            return []
        self.title = ""
        return [RESTORE_TITLE]

    def _summed(self) -> str:
        """The gravest of what waits, and how much more there was."""
        _, text = max(self._waiting, key=lambda one: LEVELS.index(one[0]))
        more = len(self._waiting) - 1 + self._unheard
        return f"{text} (and {more} more)" if more else text


class Alerted:
    """The part of the console that rings, and keeps who is on duty and what is watched."""

    _ringer: Ringer | None = None
    _oncall_asked = float("-inf")
    _oncall_task: asyncio.Task[None] | None = None
    _ring_timer: Any = None

    @property
    def ringer(self) -> Ringer:
        if self._ringer is None:
            self._ringer = Ringer(dict(os.environ))
        return self._ringer

    def hear(self, batch: Sequence[Changes]) -> None:
        """A tick of the feed was taken in."""
        model: Any = self.model  # type: ignore[attr-defined]
        me = model.me.person if model.me is not None else ""
        view: OnCallView | None = model.oncall
        watched = {one.id for one in view.watched} if view is not None else set()
        again = view is None or view.me != me or time.monotonic() - self._oncall_asked > OLD_S
        for changes in batch:
            for line in changes.lines:
                if line.level != "info" and line.actor != me:
                    self._heard(line.level, f"{line.run} {line.text}".strip())
            again = again or any(mark.kind in KINDS or mark.id in watched for mark in changes.records)
            if watched:
                rows: tuple[Any, ...] = (*changes.runs, *changes.gates, *changes.rollouts)
                again = again or not watched.isdisjoint((*(row.id for row in rows), *changes.closed_gates))
        if again:
            self.ask_oncall()
        self.ring()

    def _heard(self, level: str, text: str) -> None:
        wanted = wishes(self.kept(SETTING))  # type: ignore[attr-defined]
        view: OnCallView | None = self.model.oncall  # type: ignore[attr-defined]
        if wanted.when == "duty" and (view is None or view.mine is None):
            return
        self.ringer.hear(level, text, wanted, _quiet(view.quiet if view else None, level, self.model.now()))  # type: ignore[attr-defined]

    def ring(self) -> None:
        """Write what may go out now; what is held back goes out when its time has come."""
        driver: Any = self._driver  # type: ignore[attr-defined]
        model: Any = self.model  # type: ignore[attr-defined]
        if driver is None or self._ringer is None:
            return
        now, wanted = time.monotonic(), wishes(self.kept(SETTING))  # type: ignore[attr-defined]
        environment = model.status.environment if model.status is not None else ""
        for piece in self._ringer.writes(now, wanted, f"{NAME} {environment}".strip()):
            driver.write(piece)
        wait = self._ringer.wait(now)
        if wait and self._ring_timer is None:
            self._ring_timer = self.set_timer(wait, self._ring_again)  # type: ignore[attr-defined]

    def _ring_again(self) -> None:
        self._ring_timer = None
        self.ring()

    def looked(self) -> None:
        """A key was pressed, or the console ends: nobody needs to be called any more."""
        if self._ringer is not None and (driver := self._driver) is not None:  # type: ignore[attr-defined]
            for piece in self._ringer.looked():
                driver.write(piece)

    def hush(self) -> None:
        """The console ends: the title is given back, nothing is asked any more."""
        self.looked()
        if self._oncall_task is not None:
            self._oncall_task.cancel()

    # -- who is on duty, what is watched ----------------------------------------------------------------------------

    def ask_oncall(self) -> None:
        """Ask again, at most every two seconds, one question at a time."""
        if self._oncall_task is None or self._oncall_task.done():
            self._oncall_task = asyncio.create_task(self._ask_oncall(), name="on call")

    async def _ask_oncall(self) -> None:
        from engine.contract.oncall import OnCallView

        await asyncio.sleep(max(0.0, self._oncall_asked + ASK_S - time.monotonic()))
        self._oncall_asked = time.monotonic()
        try:
            view = await self.client.read("/v1/oncall", OnCallView)  # type: ignore[attr-defined]
        except (EngineUnreachable, Refused):
            return  # asked again with the next change, or in a minute
        before: OnCallView | None = self.model.oncall  # type: ignore[attr-defined]
        self.model.set_oncall(view)  # type: ignore[attr-defined]
        self._shout()  # type: ignore[attr-defined]
        for said in news(before, view):
            self.tell((said, "strong"), seconds=10.0)  # type: ignore[attr-defined]
            self._heard("warning", said)
        self.ring()


def news(before: OnCallView | None, now: OnCallView) -> list[str]:
    """What somebody is told when it changes: a watched thing, a handover offered to them or answered. Nothing at first."""
    if before is None or before.me != now.me:
        return []
    known = {one.id: one.seq for one in before.watched}
    found = [f"{one.id}: {one.text}" for one in now.watched if one.news and one.id in known and one.seq > known[one.id]]
    held = {one.id for one in before.handovers if one.state == "offered"}
    for one in now.handovers:
        if one.state == "offered" and one.id not in held and one.giver != now.me and one.to in ("", now.me):
            found.append(f"{one.giver} hands over to you ({one.id})")
    if now.last is not None and now.last.giver == now.me and (before.last is None or before.last.id != now.last.id):
        found.append(f"{now.last.receiver} accepted {now.last.id}: you are off duty")
    return found


def _quiet(hours: QuietHours | None, level: str, now: float) -> bool:
    return hours is not None and hours.since <= now < hours.until and SEVERITY.get(level, "info") in hours.severities
