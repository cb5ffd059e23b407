"""What is typed into the prompt: filters and `:` lines, what was typed before, what completes it, views with a name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from app.travel import Travel
from engine.contract.client import EngineUnreachable, Refused
from engine.contract.search import FoundPage
from screens import acts, jump, views
from screens.base import QScreen
from screens.places import ONE
from screens.views import View
from screens.widgets.clean import clean
from screens.widgets.columns import Shape

HISTORY = 200
"""Lines kept of each kind."""
LONGEST = 500
FETCHED = 12


class Prompting(Travel, inherit_bindings=False):
    """The console's part of the prompt."""

    if TYPE_CHECKING:
        client: Any

        def theme_names(self) -> tuple[str, ...]: ...

    # -- entered, typed, left -----------------------------------------------------------------------------------

    def on_prompt_entered(self, message: Any) -> None:
        screen = self.front()
        self.remember(message.kind, message.text)
        if message.kind == "/":
            wrong = screen.filter_wrong(message.text)
            if wrong is not None:
                screen.prompt_says(wrong.reason)  # the prompt stays, so that it can be mended
                return
            screen.close_prompt()
            screen.set_filter(message.text)
        else:
            screen.close_prompt()
            if message.text:
                self.run_line(message.text)
        self.release_keys()

    def on_prompt_typed(self, message: Any) -> None:
        """As it is typed: what can't be understood (yet) leaves the rows as they are."""
        screen = self.front()
        wrong = screen.filter_wrong(message.text)
        screen.prompt_says("" if wrong is None else wrong.reason)
        if wrong is None:
            screen.set_filter(message.text)

    def on_prompt_left(self, message: Any) -> None:
        screen = self.front()
        if screen.prompt_kind == "/":
            screen.set_filter("")
        screen.close_prompt()
        self.release_keys()

    # -- what was typed before ----------------------------------------------------------------------------------

    def past(self, kind: str) -> list[str]:
        """Lines of a kind, oldest first, from this session and earlier ones."""
        kept = self.kept("history")
        lines = kept.get(kind) if isinstance(kept, dict) else None
        return [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []

    def remember(self, kind: str, line: str) -> None:
        line = line[:LONGEST]
        past = self.past(kind)
        if not line or (past and past[-1] == line):
            return
        kept = self.kept("history")
        every = kept if isinstance(kept, dict) else {}
        fresh = [*(one for one in past if one != line), line][-HISTORY:]
        self.keep("history", {**every, kind: fresh})

    # -- completion ---------------------------------------------------------------------------------------------

    async def suggest(self, kind: str, line: str) -> str:
        """A line completed; empty when nothing fits. What the console holds first, then the engine is asked."""
        if kind == "/":
            return self.front().complete_filter(line)
        head, space, rest = line.partition(" ")
        noun = jump.SHORT.get(head.lower(), head.lower())
        found = jump.suggest(line, self._options(noun))
        if found or not space or not rest or noun not in ONE:
            return found
        kinds = ",".join(dict.fromkeys(filter(None, (ONE[noun].record or noun,))))
        try:
            page = await self.client.read("/v1/search", FoundPage, text=rest, kinds=kinds, limit=FETCHED)
        except (EngineUnreachable, Refused):
            return ""
        return jump.suggest(line, [one.id for one in page.rows])

    def _options(self, noun: str) -> Iterable[str]:
        """What may follow a word, as far as the console knows."""
        if noun == "theme":
            return self.theme_names()
        if noun == "as":
            return self.model.me.people if self.model.me is not None else ()
        if noun in ("view", "forget"):
            return self.views()
        if noun in ("hints", "digits"):
            return ("on", "off") if noun == "hints" else ("count", "screens")
        held: dict[str, Iterable[str]] = {
            "run": self.model.runs,
            "trace": self.model.runs,
            "gate": self.model.gates,
            "rollout": self.model.rollouts,
        }
        return held.get(noun, ())

    # -- views --------------------------------------------------------------------------------------------------

    def views(self) -> dict[str, View]:
        return views.read(self.kept("views"))

    def line_view(self, rest: str) -> None:
        """`:view` lists them, `:view NAME` goes there."""
        known = self.views()
        if not rest:
            from screens.view_list import ViewsScreen

            self.push_screen(ViewsScreen(known))
        elif rest in known:
            view = known[rest]
            self.go(view.noun, view.filter)
            root = self._root(view.noun)
            root.call_later(root.take_shape, Shape.read(view.shape))
        else:
            names = ", ".join(known) or "none yet (:save NAME)"
            self.tell((f"no view is called {rest!r}; there are {names}", "caution"))

    def line_save(self, rest: str) -> None:
        """`:save NAME` keeps how this list is filtered, ordered and laid out."""
        screen = self.front()
        if wrong := views.wrong_name(rest):
            self.tell((wrong, "caution"))
        elif not screen.ROOT:
            self.tell(("only lists have views; a thing can be marked (m and a letter)", "caution"))
        else:
            self.keep("views", views.stored({**self.views(), rest: View(screen.NAME, screen.filter, screen.shape())}))
            self.tell("saved: ", (f":view {rest}", "strong"), " shows it so again", seconds=3.0)

    def line_forget(self, rest: str) -> None:
        known = self.views()
        if known.pop(rest, None) is None:
            self.tell((f"no view is called {rest!r}; there are {', '.join(known) or 'none'}", "caution"))
        else:
            self.keep("views", views.stored(known))
            self.tell("forgotten: ", (rest, "strong"), seconds=3.0)

    def lines(self) -> dict[str, str]:
        """What may be said after `:` that is no key, for the palette."""
        back = "where it was marked"
        return {
            **{f"theme {name}": "theme: how everything looks" for name in self.theme_names()},
            **{f"view {name}": view.words for name, view in self.views().items()},
            **{f"return {letter}": f"{back}: {spot.words}" for letter, spot in self.marks().items()},
            "marks": "places with a letter",
            "view": "the saved views",
            "digits": "what 1 to 9 do: the screens, or a count for the next key",
            "hints": "hints for those who are new here, on or off",
        }

    def line_return(self, rest: str) -> None:
        self.return_to(rest[:1])

    # -- hints --------------------------------------------------------------------------------------------------

    def line_hints(self, rest: str) -> None:
        """`:hints off` for those who know their way."""
        wanted = {"on": True, "off": False}.get(rest, not self.hints)
        self.keep("hints", wanted)
        self.tell(f"hints are {'on' if wanted else 'off'}", seconds=2.0)

    def unbound(self, event: Any) -> None:
        """A hint for those who are new: the key did nothing, and where to look."""
        screen = self.screen
        if self.hints and isinstance(screen, QScreen) and event.is_printable and event.character:
            ask = acts.shown_key(acts.key_of(acts.act("console.help")))
            find = acts.shown_key(acts.key_of(acts.act("console.palette")))
            screen.hint(
                (clean(event.character, 4), "key"), " does nothing here; ", (ask, "key"), " shows the keys, ",
                (find, "key"), " finds anything by typing", ("   :hints off", "muted"),
            )  # fmt: skip

    def line_digits(self, rest: str) -> None:
        """`:digits count` for those who type `5j`; the numbered screens are then a digit and Enter."""
        wanted = rest or ("screens" if self.kept("digits") == "count" else "count")
        if wanted not in ("count", "screens"):
            self.tell(("digits are screens or count", "caution"))
            return
        self.keep("digits", wanted)
        told = "a count for the next key; a digit and Enter is its screen" if wanted == "count" else "the screens"
        self.tell(f"1 to 9 are {told}", seconds=4.0)

    @property
    def hints(self) -> bool:
        return self.kept("hints") is not False
