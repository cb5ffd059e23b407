"""The guided tour: fifteen steps through all seven patterns, each noticed when it was done. Begun, left and resumed by `:tour`.

A step says what to press and why; it is done when what happened shows it: a screen was opened, a command was taken. It never
presses anything itself, and whoever leaves the path loses nothing: the strip stays, and goes on when the step is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from textual.actions import SkipAction
from textual.binding import Binding

from engine.contract.common import CommandAnswer
from screens.widgets.parts import Part

LOOK_S = 0.4
"""How often it is looked whether a step was done, while a tour goes on."""


@dataclass(slots=True)
class Seen:
    """What happened since the step began. `screens` are names of screens that were in front, `verbs` commands that were
    taken, each with the person who sent it; `now` is the screen in front."""

    screens: set[str] = field(default_factory=set)
    verbs: set[tuple[str, str]] = field(default_factory=set)
    now: str = ""
    person: str = ""
    filter: str = ""

    def did(self, *verbs: str) -> bool:
        return any(verb in verbs for verb, _ in self.verbs)


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `done` looks at what happened since it began."""

    name: str
    title: str
    text: str
    done: Callable[[Seen], bool]


def _opened(*names: str) -> Callable[[Seen], bool]:
    return lambda seen: bool(seen.screens & set(names))


STEPS = (
    Step("watch", "Watch", "This is Watch: what needs you stands first. j and k move, Enter opens what the cursor is on, Esc comes back. "
         "Open something and come back.", lambda seen: seen.now == "watch" and bool(seen.screens - {"watch"})),
    Step("help", "Help", "? shows the keys of the screen in front, and why one can't be used now. F1 opens the manual at its page. Press one "
         "of them, then Esc.", _opened("HelpScreen", "manual")),
    Step("gates", "Staged Rollout: a question", "Nothing is installed before people sign. Press 3 for the questions that wait, and Enter on the one that asks "
         "to install 4.8.1.", _opened("gate")),
    Step("sign", "Staged Rollout: your signature", "Read who has a seat, what it rests on, what silence does (it never approves). Then A approves: it shows what follows "
         "and wants a phrase typed.", lambda seen: seen.did("gate.vote")),
    Step("second", "Staged Rollout: four eyes", "The second signature has to come from somebody else. In the demo you can be: type :as bo and Enter, then approve the "
         "same gate once more with A.", lambda seen: seen.did("gate.vote")),
    Step("rollout", "Staged Rollout: stage by stage", "The robots are being updated. Press 4 and Enter: who executed it, canary against control, the verdict. W says rule by "
         "rule why.", _opened("rollout")),
    Step("pause", "Staged Rollout: what is safe acts at once", "Become ana again (:as ana). p pauses this rollout at once, without a question; rolling back (R) would show the count and "
         "want a phrase. Press p.", lambda seen: seen.did("rollout.pause")),
    Step("candidate", "Candidate to Release", "7 shows models: a candidate was tried beside what runs today. Enter opens it: task by task, with counts and bounds. Nobody "
         "says better without them.", _opened("candidate")),
    Step("data", "Data to Training", "6 shows data: recordings become a signed dataset, and that a model. s shows what was set aside and why, l what waits for "
         "labels. Look at one, then Esc.", _opened("sessions", "labels", "snapshot")),
    Step("corrections", "Correction Loop", "8: what people did when they took over from robots; a spike on the new version began this by itself. Tab goes to the "
        "lower list, Enter opens one: people say its cause.",
        _opened("correction")),
    Step("case", "Maintenance Escalation", "Esc (digits set phases here), then 0: cases by what is due first. Enter opens one: its clocks, who else has the fault, the way back to work, which goes "
         "by a second person.", _opened("case")),
    Step("claim", "Maintenance: take it", "A technician takes it: :as tom and Enter, then a on the case. Every change has a name beside it for ever.",
         lambda seen: seen.did("case.claim")),
    Step("access", "Access Review", "F2: somebody abroad wants to drive a robot. Enter opens the request: each rule says what it says, and what would intrude "
         "less. Grants end by themselves.", _opened("request")),
    Step("incidents", "Fleet Hotfix and Rollback", "9 is for when something is wrong in the field: contain it at once, keep what explains it, then choose one of six ways out. "
         "Press 9; i would declare one.", _opened("incidents", "incident")),
    Step("thread", "One thread through all", "F4 shows events and what each started. Press Enter on one, or type :trace run-1, to walk from causes to effects and back.",
         _opened("trace")),
)  # fmt: skip
END = (
    "That was all seven patterns. ? and F1 stay; qd demo --scenario NAME plays other stories. :tour again begins anew."
)


class Touring:
    """What the console does during a tour."""

    TOUR_KEYS: ClassVar[tuple[Binding, ...]] = (
        Binding("ctrl+t", "tour_skip", show=False, priority=True, id="console.tour_skip"),
    )
    _tour_at = -1
    _tour_timer: Any = None
    _tour_seen: Seen

    # -- begun, left, resumed ---------------------------------------------------------------------------------------

    def line_tour(self, rest: str) -> None:
        """`:tour` begins, or goes on where it was left; `off` leaves it, `skip` and `back` step, `again` begins anew."""
        app: Any = self
        status = app.model.status
        if status is not None and status.environment != "sandbox":
            app.tell(("the tour walks through a world of its own: qd demo --tour", "caution"))
        elif rest == "off":
            self._tour_end("the tour waits: :tour goes on with it")
        elif rest == "skip":
            self._tour_to(self._tour_at + 1 if self._tour_at >= 0 else self._tour_left())
        elif rest == "back":
            self._tour_to(max(0, (self._tour_at if self._tour_at >= 0 else self._tour_left()) - 1))
        elif rest in ("", "again"):
            self._tour_to(0 if rest or self._tour_left() >= len(STEPS) else self._tour_left())
        else:
            app.tell((":tour, or :tour off, skip, back, again", "caution"))

    def action_tour_skip(self) -> None:
        from screens.base import QScreen

        app: Any = self
        if self._tour_at < 0 or not isinstance(app.screen, QScreen):
            raise SkipAction  # elsewhere the key has its own meaning
        self._tour_to(self._tour_at + 1)

    def _tour_left(self) -> int:
        """The step at which it was left. Kept by name: a tour with other steps begins anew."""
        app: Any = self
        left = app.kept("tour")
        if left == "over":
            return len(STEPS)
        return next((place for place, step in enumerate(STEPS) if step.name == left), 0)

    def _tour_to(self, place: int) -> None:
        app: Any = self
        if place >= len(STEPS):
            app.keep("tour", "over")
            self._tour_end(END)
            return
        self._tour_at = place
        self._tour_seen = Seen()
        app.keep("tour", STEPS[place].name)
        if self._tour_timer is None:
            self._tour_timer = app.set_interval(LOOK_S, self._tour_look)
            self._tour_watch()
        self._tour_show()

    def _tour_end(self, said: str) -> None:
        app: Any = self
        self._tour_at = -1
        if self._tour_timer is not None:
            self._tour_timer.stop()
            self._tour_timer = None
        for screen in app.screen_stack:
            for strip in screen.query("TourStrip"):
                strip.remove()
        app.tell((said, "strong"), seconds=20.0)

    # -- what happened ----------------------------------------------------------------------------------------------

    def _tour_watch(self) -> None:
        """Commands that are taken are noted on their way through the client."""
        app: Any = self
        if getattr(app.client, "_toured", False):
            return
        app.client._toured = True
        send = app.client.command

        async def command(verb: str, *args: Any, **options: Any) -> CommandAnswer:
            answer: CommandAnswer = await send(verb, *args, **options)
            if not answer.preview and self._tour_at >= 0:
                me = app.model.me
                self._tour_seen.verbs.add((verb, me.person if me is not None else ""))
            return answer

        app.client.command = command

    def _tour_look(self) -> None:
        app: Any = self
        if self._tour_at < 0 or not app.screen_stack:
            return
        name = getattr(app.screen, "NAME", "") or type(app.screen).__name__
        seen = self._tour_seen
        seen.now = name
        seen.screens.add(name)
        step = STEPS[self._tour_at]
        if step.done(seen):
            self._tour_to(self._tour_at + 1)
            if self._tour_at >= 0:
                done: list[Part] = [
                    ("\u2713 ", "good"),
                    (f"{step.title}", "strong"),
                    "  now: ",
                    STEPS[self._tour_at].title,
                ]
                app.tell(*done, seconds=3.0)
        else:
            self._tour_show()

    def _tour_show(self) -> None:
        """The strip on the screen in front; put there when it has none."""
        from screens.base import QScreen
        from screens.tour_strip import TourStrip

        app: Any = self
        screen = app.screen
        if not isinstance(screen, QScreen) or not screen.is_mounted:
            return
        strips = list(screen.query(TourStrip))
        step = STEPS[self._tour_at]
        if strips:
            strips[0].tell(self._tour_at + 1, len(STEPS), step.title, step.text)
        elif screen.query("#bar"):
            strip = TourStrip(id="tour")
            screen.mount(strip, before="#bar")
            screen.call_after_refresh(self._tour_show)
