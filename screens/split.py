"""Screens with a list and, beside it or on a narrow terminal in its place, one thing of it in full."""

from __future__ import annotations

from typing import Any, ClassVar

from screens.base import QScreen
from screens.widgets.line_table import LineTable

WIDE = 130
"""Columns from which both stand side by side."""


class SplitScreen(QScreen):
    """`LISTS` are the ids of its lists, of which one is shown; `#side` holds the thing, `#said` its page."""

    LISTS: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        super().__init__()
        self._view = self.LISTS[0]
        self._detail: Any = False
        """What makes the side stand in the list's place; true or named while it does."""

    def on_mount(self) -> None:
        super().on_mount()
        self._place()
        self.refetch()

    def on_resize(self) -> None:
        super().on_resize()
        if self.is_mounted:
            self._place()

    @property
    def wide(self) -> bool:
        return self.size.width >= WIDE

    @property
    def table(self) -> LineTable:
        return self.query_one(f"#{self._view}", LineTable)

    def _place(self) -> None:
        listed = self.wide or not self._detail
        for name in self.LISTS:
            self.query_one(f"#{name}").display = listed and name == self._view
        side = self.query_one("#side")
        side.display = self.wide or bool(self._detail)
        side.set_class(self.wide, "ruled")
        self.table.wake()
