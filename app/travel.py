"""Going places: lists and things, the `:` line, back and forward, marks, and counts before a key.

A screen knows its place (noun and id), so that every way of getting there, a key, a click, a jump, Esc, leaves the same
trail. A key that is an operand (the letter of a mark, the digits of a count) is taken here before any binding.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textual import events

from app.keys import OrderedKeys
from screens import acts, jump
from screens.acts import Level
from screens.base import QScreen
from screens.places import BY_NOUN, OF_RECORD, ONE, PLACES
from screens.trail import Place, Spot, Trail, restored, stored
from screens.widgets.clean import clean
from screens.widgets.line_table import LineTable
from screens.widgets.parts import Part

if TYPE_CHECKING:
    from screens.acts import Act
    from screens.model import Model

NOUNS = frozenset((*BY_NOUN, *ONE))
MOST = 999
"""The largest count."""
_MOVES = re.compile(r"(move|page|scroll_pages)\((-?\d+)\)$")


class Travel(OrderedKeys, inherit_bindings=False):
    """What the console does to get somewhere. The console gives `model`, `tell`, `kept`, `keep` and `perform`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.trail = Trail()
        self._roots: dict[str, QScreen] = {}
        self._operand = ""
        """What the next key belongs to: `mark`, `return`, `count`; empty: to whatever it is bound to."""
        self._digits = ""

    if TYPE_CHECKING:
        model: Model

        def tell(self, *parts: Part, seconds: float = 6.0) -> None: ...
        def kept(self, name: str) -> Any: ...
        def keep(self, name: str, value: Any) -> None: ...
        def perform(self, act: Act) -> None: ...
        def use_theme(self, name: str) -> None: ...
        def act_as(self, person: str) -> None: ...
        def open_manual(self, wanted: str = "") -> None: ...

    # -- lists and things ---------------------------------------------------------------------------------------

    def go(self, noun: str, rest: str = "") -> None:
        """A root screen, with its filter set to `rest`."""
        self.note_here()
        root = self._root(noun)
        base = self.screen_stack[0]
        while len(self.screen_stack) > 1 and self.screen_stack[-1] is not root:
            self.pop_screen()
        if root is not base and self.screen is not root:
            self.push_screen(root)
        if rest or root.filter:
            root.call_later(root.set_filter, rest)

    def _root(self, noun: str) -> QScreen:
        if noun not in self._roots:
            self._roots[noun] = screen_class(BY_NOUN[noun].screen)()
            self.install_screen(self._roots[noun], noun)
        return self._roots[noun]

    def open(self, noun: str, id: str) -> None:
        """One thing (a run, a gate, a case …), on top of where we are. A kind of record is as good as its noun."""
        noun = OF_RECORD.get(noun, noun)
        if noun == "robot":
            self.go("fleet", id)
        else:
            self.note_here()
            self._push(noun, id)

    def _push(self, noun: str, id: str) -> QScreen:
        screen: QScreen = screen_class(ONE[noun].screen)(id)
        screen.place = (noun, id)
        self.push_screen(screen)
        return screen

    # -- the trail ----------------------------------------------------------------------------------------------

    def note_here(self) -> None:
        """How the place looks that is about to be left."""
        screen = self.front()
        if self.trail.here is not None and self.trail.here.place == screen.place:
            self.trail.note(screen.filter, screen.row)

    def arrived(self, screen: QScreen) -> None:
        """A screen has come to the front; one that was only passed on the way to another is no place to come back to."""
        if screen.place[0] and screen is self.front():
            self.trail.arrive(Spot(*screen.place, screen.filter, screen.row, self._under(screen)))

    def _under(self, screen: QScreen) -> tuple[Place, ...]:
        """The places below a screen, the first screen left out unless it is all there is."""
        stack = [one.place for one in self.screen_stack if isinstance(one, QScreen) and one.place[0]]
        below = stack[: stack.index(screen.place)] if screen.place in stack else stack
        return tuple(below[1:] if len(below) > 1 else below)

    def crumbs(self) -> list[str]:
        """What leads to the screen in front, as people call it; the first screen is said when it is all there is."""
        screens = [one for one in self.screen_stack if isinstance(one, QScreen)]
        shown = screens[1:] if len(screens) > 1 and screens[1].ROOT else screens
        return [one.crumb for one in shown]

    def step(self, by: int) -> None:
        """Back or forward."""
        self.note_here()
        spot = self.trail.step(by)
        if spot is None:
            self.tell(("nothing lies ahead" if by > 0 else "this is where you began", "muted"), seconds=2.0)
        else:
            self.visit(spot)

    def visit(self, spot: Spot) -> None:
        """A place as it was left: screens that still stand are come back to, others are opened again."""
        standing = [one for one in self.screen_stack if isinstance(one, QScreen)]
        found = next((one for one in standing if one.place == spot.place), None)
        if found is not None:
            while self.screen is not found:
                self.pop_screen()
        elif spot.noun in BY_NOUN:
            self.go(spot.noun, spot.filter)
            found = self._root(spot.noun)
        else:
            below = spot.under or ((ONE[spot.noun].root, ""),)
            if below[0][0] in BY_NOUN and self.screen_stack[-1] is not self._roots.get(below[0][0]):
                self.go(below[0][0])
            for noun, id in below[1:]:
                if noun in ONE:
                    self._push(noun, id)
            found = self._push(spot.noun, spot.id)
        found.call_later(found.set_filter, spot.filter)
        if spot.row:
            found.call_later(found.seek, spot.row)

    # -- marks --------------------------------------------------------------------------------------------------

    def marks(self) -> dict[str, Spot]:
        kept = self.kept("marks")
        found = {
            letter: spot
            for letter, value in (kept.items() if isinstance(kept, dict) else ())
            if len(letter) == 1 and (spot := restored(value, NOUNS)) is not None
        }
        return dict(sorted(found.items()))

    def set_mark(self, letter: str) -> None:
        screen = self.front()
        if not screen.place[0]:
            self.tell(("this can't be marked: it is only a view of something else", "caution"))
            return
        spot = Spot(*screen.place, screen.filter, screen.row, self._under(screen))
        kept = {name: stored(held) for name, held in self.marks().items()}
        self.keep("marks", {**kept, letter: stored(spot)})
        back = acts.shown_key(acts.key_of(acts.act("console.return")))
        self.tell("marked ", (spot.words, "strong"), f": {back}{letter} comes back here", seconds=3.0)

    def return_to(self, letter: str) -> None:
        spot = self.marks().get(letter)
        if letter == "'":
            self.step(-1)
        elif spot is not None:
            self.note_here()
            self.visit(spot)
        else:
            known = " ".join(self.marks()) or "none yet"
            self.tell((f"nothing is marked {clean(letter, 4)}; marks: {known}", "caution"))

    # -- operands and counts ------------------------------------------------------------------------------------

    def await_operand(self, what: str) -> None:
        """The next key is an operand of `what`."""
        self._operand, self._digits = what, ""
        self._say_operand()

    def _say_operand(self) -> None:
        screen = self.front()
        says: Mapping[str, list[Part]] = {
            "mark": [("mark ", "strong"), "this place with a letter"],
            "return": [("back to ", "strong"), f"a mark: {' '.join(self.marks()) or 'none yet'}   ' where I was"],
            "count": [("count ", "strong"), (f"{self._digits}_", "key"), "  then a key that moves; Esc drops it"],
        }
        if self._operand:
            screen.hint(*says[self._operand])

    async def took(self, event: events.Key) -> bool:
        """Whether a key was an operand."""
        screen = self.screen
        if not isinstance(screen, QScreen):
            self._operand = ""
            return False
        if not self._operand:
            starts = event.key.isdecimal() and event.key != "0" and not screen.OWN_DIGITS
            if not (starts and self.kept("digits") == "count"):
                return False
            self._operand, self._digits = "count", ""
        operand, self._operand = self._operand, ""
        if event.key in ("escape", "ctrl+g"):
            return True
        if operand == "count":
            await self._counted(screen, event)
        elif event.character is not None and event.character.isprintable():
            (self.set_mark if operand == "mark" else self.return_to)(event.character)
        return True

    async def _counted(self, screen: QScreen, event: events.Key) -> None:
        if event.key.isdecimal():
            self._digits = str(min(MOST, int(self._digits + event.key)))
            self._operand = "count"
            self._say_operand()
            return
        digits, self._digits = self._digits, ""
        if event.key == "enter" and len(digits) == 1:  # with digits as counts, this is the way to the numbered screens
            for place in PLACES:
                if place.key == digits:
                    self.go(place.noun)
            return
        await self._repeat(screen, event.key, int(digits or "4"))

    async def _repeat(self, screen: QScreen, key: str, count: int) -> None:
        """The key `count` times over, where that means to move. What changes anything is never repeated."""
        table = self.focused
        if key == "G" and isinstance(table, LineTable):
            key_there = table.source.key(max(0, min(count, len(table.source)) - 1))
            if key_there is not None:
                table.go_to(key_there)
            return
        for node, bindings in self.screen._modal_binding_chain:
            bound = bindings.key_to_bindings.get(key)
            if not bound:
                continue
            action = bound[0].action
            if moves := _MOVES.match(action):
                getattr(node, f"action_{moves[1]}")(int(moves[2]) * count)
            elif action.startswith("act('"):
                act = acts.act(action[5:-2])
                if act.command or act.level is not Level.READ:
                    self.tell((f"a count moves; it does nothing to {acts.shown_key(key)} {act.verb}", "caution"))
                    return
                screen.count = count
                try:
                    screen.perform(act)
                finally:
                    screen.count = 0
            else:
                for _ in range(count):
                    await self.run_action(action, node)
            return
        self.tell((f"{acts.shown_key(key)} does nothing here", "muted"), seconds=2.0)

    # -- the : line ---------------------------------------------------------------------------------------------

    def run_line(self, line: str) -> None:
        """A `:` command."""
        wish = jump.parse(line)
        if isinstance(wish, jump.Unknown):
            self.tell((wish.reason, "caution"))
        elif wish.noun in jump.LISTS:
            self.go(wish.noun, wish.rest)
        elif wish.noun in jump.ONES:
            self.open(wish.noun, wish.rest)
        elif (run := getattr(self, f"line_{wish.noun}", None)) is not None:
            run(wish.rest)
        else:
            self.perform(acts.act(f"console.{wish.noun}"))

    def line_back(self, rest: str) -> None:
        self.step(-1)

    def line_forward(self, rest: str) -> None:
        self.step(1)

    def line_theme(self, rest: str) -> None:
        self.use_theme(rest)

    def line_as(self, rest: str) -> None:
        self.act_as(rest)

    def line_manual(self, rest: str) -> None:
        self.open_manual(rest)

    def line_q(self, rest: str) -> None:
        self.exit(0)

    def line_marks(self, rest: str) -> None:
        from screens.marks import MarksScreen

        self.push_screen(MarksScreen(self.marks()))

    def front(self) -> QScreen:
        """The screen in front, below any overlay. StopIteration before there is one."""
        return next(screen for screen in reversed(self.screen_stack) if isinstance(screen, QScreen))


def screen_class(name: str) -> Any:
    """Screens are imported when they are first shown: the first frame waits for Watch alone."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
