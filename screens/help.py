"""The help overlay (keys that work here, and why not when they don't) and the list of notices. Projections of the registry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen

from screens import acts, keymap
from screens.acts import EVERYWHERE, Act, Level
from screens.base import QScreen
from screens.widgets.line import Lines
from screens.widgets.parts import Part
from screens.widgets.text import Page

LEVELS = {
    Level.READ: "",
    Level.SAFE: "at once",
    Level.CHANGE: "asks first",
    Level.RISK: "typed phrase",
}


class Overlay(ModalScreen[None], inherit_bindings=False):
    """A page over the screen; Esc, q, ? close it."""

    BINDINGS = [Binding("escape,q,question_mark,ctrl+g,N,f1", "leave", show=False)]
    AUTO_FOCUS = "Page"

    def head(self) -> list[Part]:
        return []

    def page(self) -> list[list[Part]]:
        return []

    def compose(self) -> ComposeResult:
        yield Lines(id="overlay-head")
        yield Page(id="overlay-page", indent=24)
        yield Lines(id="overlay-foot")

    def on_mount(self) -> None:
        self.query_one("#overlay-head", Lines).show((self.head(), []))
        self.query_one("#overlay-page", Page).show(self.page())
        self.query_one("#overlay-foot", Lines).show(([(" j k", "key"), " scroll  ", ("Esc", "key"), " close"], []))

    def action_leave(self) -> None:
        self.dismiss(None)


class HelpScreen(Overlay):
    """Every key of a screen, what it does, its twin on the command line."""

    def __init__(self, screen: QScreen) -> None:
        super().__init__()
        self._of = screen

    def head(self) -> list[Part]:
        return [(f" {self._of.TITLE_WORD or 'Console'} ", "title"), " what the keys do here"]

    def page(self) -> list[list[Part]]:
        shown: list[list[Part]] = [
            [
                (" j k", "key"),
                " \u2193 \u2191 move   ",
                ("g G", "key"),
                " top, end   ",
                ("^f ^b", "key"),
                " page   ",
                (".", "key"),
                " take in new rows",
            ],
            [""],
        ]
        for clash in keymap.clashes(type(self._of), acts.moved):
            shown.append([(f" {clash.said}", "caution")])
        for act in acts.acts(self._of.ACTS):
            shown += self._act(act)
        shown += [[""], [("everywhere", "strong")]]
        for act in acts.acts(EVERYWHERE):
            shown += self._act(act)
        shown += [
            [""],
            ["Keys can be moved: qd config keys run.cancel f8; qd config keys says where two acts want one key."],
        ]
        return shown

    def _act(self, act: Act) -> list[list[Part]]:
        own = self._of.own_keys() if act.name in EVERYWHERE else ()
        here = acts.moved.get(act.name) or acts.free(act, own)
        keys = "/".join(acts.shown_key(key) for key in here.split(",")[:2])
        line: list[Part] = [(f" {keys:<8}", "key"), f"{act.verb:<15}", act.help or act.verb]
        if LEVELS[act.level]:
            line.append((f"  [{LEVELS[act.level]}]", "muted"))
        if act.cli:
            line.append((f"  {self._twin(act)}", "muted"))
        reason = self._of.reason_against(act)
        lines: list[list[Part]] = [line]
        if reason is not None:
            lines.append([(f"{'':24}not now: {reason}", "caution")])
        return lines

    def _twin(self, act: Act) -> str:
        target = self._of.target()
        return act.cli.replace("{id}", target.id if target is not None and target.id else "ID")


class NoticesScreen(Overlay):
    """What the console said in this session, newest last."""

    def head(self) -> list[Part]:
        return [(" Notices ", "title"), " what the console said"]

    def page(self) -> list[list[Part]]:
        app: Any = self.app
        if not app.notices:
            return [["Nothing was said yet."]]
        return [[(f"{datetime.fromtimestamp(when, UTC):%H:%M:%SZ}  ", "muted"), *parts] for when, parts in app.notices]
