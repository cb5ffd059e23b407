"""A table that holds a picture: rows that belong together and keep their order, cells that are drawn to measure."""

from __future__ import annotations

from typing import Any

from textual.geometry import Region

from screens.widgets.line_table import Column, LineTable


class DrawnTable(LineTable):
    """No cell glows (a bar that grows is no news), and what stands above a column can be an axis."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._axes: dict[str, str] = {}

    def show_axis(self, title: str, axis: str) -> None:
        """Put `axis` above the column of this title. Painted when it differs."""
        if self._axes.get(title) != axis:
            self._axes[title] = axis
            if self.showing:
                self.refresh(Region(0, 0, self.size.width, 1))

    def _title(self, column: Column) -> str:
        return self._axes.get(column.title) or super()._title(column)

    def _glow(self, key: str, column: int) -> None:
        """Pictures change as a whole."""
