"""The palette: everything that can be done here, found by typing. A projection of the registry, with the keys beside it."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.widgets import Input

from screens import acts
from screens.acts import EVERYWHERE, Act
from screens.base import QScreen
from screens.widgets.line import Lines
from screens.widgets.line_table import Column, LineTable
from screens.widgets.rows import Cells

SILENT = ("console.palette", "console.region", "console.region_back")


def score(words: str, act: Act) -> int:
    """How well typed words fit an act: every word must be found; earlier and in the verb counts more. 0 = no."""
    total = 1
    verb, rest = act.verb.casefold(), f"{act.name} {act.help}".casefold()
    for word in words.casefold().split():
        if verb.startswith(word):
            total += 100
        elif word in verb:
            total += 50
        elif word in rest:
            total += 10
        else:
            return 0
    return total


class PaletteScreen(ModalScreen[None], inherit_bindings=False):
    BINDINGS = [
        Binding("escape,ctrl+g,ctrl+p", "leave", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
    ]
    AUTO_FOCUS = "Input"

    def __init__(self, screen: QScreen) -> None:
        super().__init__()
        self._of = screen
        self._acts = [act for act in acts.acts((*screen.ACTS, *EVERYWHERE)) if act.name not in SILENT]

    def compose(self) -> ComposeResult:
        head = Lines(id="overlay-head")
        head.show(([(" Do ", "title"), " type what you want; Enter does it, Esc leaves"], []))
        yield head
        entry = Input(compact=True, id="palette-entry")
        entry.cursor_blink = False
        yield entry
        yield LineTable(
            [Column("KEY", 6), Column("DO", 16), Column("WHAT IT DOES", 20, grow=1)],
            empty=["Nothing here is called that."],
            id="palette-list",
        )

    def on_mount(self) -> None:
        self._fill("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._fill(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._do(self.query_one(LineTable).cursor_key)

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self._do(message.key)

    def _fill(self, words: str) -> None:
        ranked = sorted(
            ((score(words, act), -place, act) for place, act in enumerate(self._acts)),
            key=lambda one: one[:2],
            reverse=True,
        )
        table = self.query_one(LineTable)
        table.cursor, table.cursor_key = 0, ""
        table.load([(act.name, self._row(act)) for points, _, act in ranked if points])

    def _row(self, act: Act) -> Cells:
        reason = self._of.reason_against(act)
        key = (acts.shown_key(acts.key_of(act)), "key")
        if reason is not None:
            return (key, (act.verb, "muted"), [(f"not now: {reason}", "muted")])
        return (key, act.verb, act.help)

    def _do(self, name: str) -> None:
        self.dismiss(None)
        if name:
            app: Any = self.app
            app.call_later(self._of.perform, acts.act(name))

    def action_move(self, by: int) -> None:
        self.query_one(LineTable).action_move(by)

    def action_leave(self) -> None:
        self.dismiss(None)
