"""Looking back: a screen that can show its thing as it was after any of its events, and says loudly that it does.

Rules: what is shown of the past comes from the engine in the shape of today, so a screen draws it with the code it has;
the verdict line says THEN, at which event, how long ago; whatever would change something is barred with the reason; the
feed goes on behind it, and Esc (or a step forward from the newest event) is now.
"""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote

import msgspec

from engine.contract.history import Moment, PastView
from screens import chrome
from screens.acts import Act, Reason, register
from screens.base import QScreen
from screens.model import age
from screens.widgets.parts import Part

FARTHEST = 999_999
"""More steps than anything has: the engine stops at the first or the last."""

register(
    Act("past.back", "left_square_bracket", "back in time", help="As it was one event earlier", cli="qd history show {id} --step -1", order=0),
    Act("past.forward", "right_square_bracket", "on in time", help="One event later; from the newest: now", cli="qd history show {id} --at SEQ --step 1", order=0),
    Act("past.first", "left_curly_bracket", "where it began", help="As it was after its first event", cli="qd history moments {id}", order=0),
    Act("past.now", "right_curly_bracket", "now", help="Out of the past", order=0),
    Act("past.diff", "d", "what changed", help="What differs between this moment and now; there both moments can be moved", cli="qd history diff {id} A B", order=0),
)  # fmt: skip

ACTS = ("past.back", "past.forward", "past.first", "past.now", "past.diff")


class Travels(QScreen):
    """A screen whose thing has a past. Subclasses name it (`KIND`, `past_id`), its shape, and what may still be done then."""

    KIND: ClassVar[str] = ""
    SHAPE: ClassVar[Any] = None
    READING: ClassVar[frozenset[str]] = frozenset()
    """The screen's own acts that only look: all others are barred while one looks back."""

    then: PastView | None = None
    _owed = 0
    """Steps asked for and not answered yet: keys pressed on a slow line add up, none is lost."""

    @property
    def past_id(self) -> str:
        raise NotImplementedError

    def show_detail(self, detail: Any) -> None:
        """Draw the thing, as it is or as it was."""
        raise NotImplementedError

    # -- what the screens use ------------------------------------------------------------------------------------

    def clock(self) -> float:
        """The engine's time of what is shown: ages and countdowns are those of then."""
        return self.then.here.at if self.then is not None else self.model.now()

    def in_past(self) -> bool:
        """While one looks back, nothing of today is fetched into the screen."""
        return self.then is not None

    def travel_to(self, seq: int) -> None:
        """As it was after that event."""
        self._owed = 0
        self._ask_then(seq, 0)

    def travel_to_last(self, type_: str) -> None:
        """As it was after the newest event of a type."""
        self._owed = 0
        self._ask_then(0, 0, type_)

    # -- travelling ----------------------------------------------------------------------------------------------

    def _step(self, by: int) -> None:
        self._owed += by
        self._ask_then(self.then.here.seq if self.then is not None else 0, self._owed)

    def _ask_then(self, at: int, step: int, type_: str = "") -> None:
        path = f"/v1/history/{self.KIND}/{quote(self.past_id, safe='')}/then"
        asked = {"at": at, "step": step, "type": type_}
        self.ask(lambda: self.client.read(path, PastView, **asked), self._got_then, group="then")

    def _got_then(self, found: PastView) -> None:
        """Beyond the newest event is now; before the first there is nothing, and that is said."""
        before, asked = self.then, self._owed
        self._owed = 0
        if found.view is None:
            return
        if before is not None and asked > 0 and before.here.seq == found.here.seq:
            self.leave_past()
            return
        self.then = found
        if asked < 0 and found.here.seq == found.first and (before is None or before.here.seq == found.here.seq):
            self.say(("this is where it began", "muted"), seconds=3.0)
        self.show_detail(msgspec.convert(found.view, self.SHAPE))
        self.refresh_chrome()

    def leave_past(self) -> None:
        """Back to now."""
        self.then, self._owed = None, 0
        self._troubles.pop("then", None)
        self.refetch()
        self.say(("now", "strong"), " \u2014 what is shown follows the engine again", seconds=2.0)

    # -- what is different then ----------------------------------------------------------------------------------

    def _verdict(self) -> list[Part]:
        if self.then is None:
            return super()._verdict()
        return [" ", *banner(self.then.here, self.then, self.model.now())]

    def reason_against(self, act: Act) -> Reason | None:
        own = bool(act.command) or act.name in self.ACTS
        if self.then is not None and own and act.name not in self.READING and act.name not in ACTS:
            return Reason(f"this is {self.past_id} as it was then: nothing can be changed in the past", "Esc is now")
        return super().reason_against(act)

    # -- keys ----------------------------------------------------------------------------------------------------

    def act_past_back(self) -> None:
        self._step(-max(1, self._times()))

    def act_past_forward(self) -> None:
        if self.then is None:
            self.say(("this is now; [ goes back in time", "muted"))
        else:
            self._step(max(1, self._times()))

    def act_past_first(self) -> None:
        self._owed = 0
        self._step(-FARTHEST)

    def act_past_now(self) -> None:
        if self.then is None:
            self.say(("this is now; [ goes back in time", "muted"))
        else:
            self.leave_past()

    def act_past_diff(self) -> None:
        from screens.difference import DifferenceScreen

        seen = self.then.here.seq if self.then is not None else self.last_look()
        self.app.push_screen(DifferenceScreen(self.KIND, self.past_id, seen, 0, step=0 if seen else -1))

    def last_look(self) -> int:
        """The event at which this person saw it last; 0 when that is not known."""
        return 0

    def act_console_back(self) -> None:
        if self.then is not None:
            self.leave_past()
        else:
            super().act_console_back()

    def _times(self) -> int:
        return int(getattr(self, "count", 0) or 0)


def banner(here: Moment, view: PastView, now: float) -> list[Part]:
    """Where one stands in the past: loud, because what is below looks just like today."""
    said: list[Part] = [(" THEN ", "chip"), f" {chrome.at(here.at, now)}Z, ", (f"{age(now - here.at)} ago", "strong")]
    said += [(f"  event {here.place} of {here.of}", "muted"), f"  {here.actor}: {here.text or here.type}"]
    return [*said, ("  [ ] step  d what changed  Esc now", "muted")]
