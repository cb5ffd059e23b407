"""A screen of two lists: above, what remote systems have, as last read; below, our own record about it; between them, what
is under the cursor in full. Both are asked for again while the screen is in front, since the upper one changes without an
event of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any, ClassVar

from textual.app import ComposeResult

from engine.contract.common import CommandAnswer
from screens.acts import Act
from screens.base import QScreen
from screens.layout import Line
from screens.model import Delta
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.text import Page

AGAIN_S = 5.0
"""Real seconds between looks while the screen is in front."""
SOON_S = 0.5


class MirroredScreen(QScreen):
    """Subclasses name the lists and fill them. `UPPER` and `LOWER`: (id, columns, what an empty list says)."""

    UPPER: ClassVar[tuple[str, Sequence[Column], str]]
    LOWER: ClassVar[tuple[str, Sequence[Column], str]]
    KINDS: ClassVar[tuple[str, ...]] = ()
    """Records whose changes are looked for at once."""

    def __init__(self) -> None:
        super().__init__()
        self._asked_at = 0.0
        self._again = False

    # -- what a subclass says ------------------------------------------------------------------------------------

    async def read_all(self) -> Any:
        """Everything both lists need, from the engine."""
        raise NotImplementedError

    def take(self, found: Any) -> None:
        """Keep what was read."""
        raise NotImplementedError

    @property
    def loaded(self) -> bool:
        raise NotImplementedError

    def fill(self, upper: LineTable, lower: LineTable, now: float) -> Sequence[Line]:
        """Rows into both lists; the lines about what is under the cursor."""
        raise NotImplementedError

    # -- shared --------------------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        yield LineTable(self.UPPER[1], empty=("Loading \u2026",), id=self.UPPER[0])
        about = Page(id="about")
        about.can_focus = False
        yield about
        yield LineTable(self.LOWER[1], empty=(self.LOWER[2],), id=self.LOWER[0])

    @property
    def upper(self) -> LineTable:
        return self.query_one(f"#{self.UPPER[0]}", LineTable)

    @property
    def lower(self) -> LineTable:
        return self.query_one(f"#{self.LOWER[0]}", LineTable)

    @property
    def on_lower(self) -> bool:
        """The cursor that counts is the lower list's."""
        return self.focused is not None and self.focused.id == self.LOWER[0]

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self.loaded:
            self.refetch()

    def refetch(self) -> None:
        self._asked_at, self._again = monotonic(), False
        self.ask(self.read_all, self._got)

    def _got(self, found: Any) -> None:
        self.take(found)
        self.show_all()

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or delta.of(*self.KINDS):
            self._again = True

    def each_second(self) -> None:
        waited = monotonic() - self._asked_at
        if self.online and (waited > AGAIN_S or (self._again and waited > SOON_S)):
            self.refetch()
        self.show_all()

    def on_resize(self) -> None:
        super().on_resize()
        self.show_all()

    def show_all(self) -> None:
        if not self.is_mounted or not self.loaded:
            return
        upper = self.upper
        upper.empty = (self.UPPER[2],)
        self.query_one("#about", Page).show([list(line) for line in self.fill(upper, self.lower, self.model.now())])

    def verdict(self) -> list[Part]:
        return self.summary(self.model.now()) if self.loaded else [("Loading \u2026", "muted")]

    def summary(self, now: float) -> list[Part]:
        """The verdict line once everything is here."""
        return []

    def args_for(self, act: Act) -> dict[str, Any]:
        return {}

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        super().on_line_table_moved(message)
        self.show_all()

    def filtered(self, text: str) -> None:
        (self.lower if self.on_lower else self.upper).narrow(text)
