"""How a screen is filtered: the language of `screens.query` over the columns of its lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from screens import query
from screens.query import Wrong
from screens.widgets.columns import Shape
from screens.widgets.line_table import LineTable

LOOKED = 400
"""Rows looked at for values that complete a filter: what is shown first, not all there is."""


class Filtering:
    """Mixed into every screen. Lists that the engine filters override `filter_fields` or `filter_wrong`."""

    filter: str
    if TYPE_CHECKING:

        def say(self, *parts: Any, seconds: float = 6.0) -> None: ...
        def refresh_chrome(self) -> None: ...

    def _lists(self) -> list[LineTable]:
        screen: Any = self
        return [table for table in screen.query(LineTable) if table.display]

    def filter_fields(self) -> tuple[str, ...]:
        """Names a filter may use here: the columns of the lists that are shown."""
        return tuple(dict.fromkeys(title.casefold() for table in self._lists() for title in table.rows.titles if title))

    def filter_values(self, field: str) -> Iterable[str]:
        """What stands in a field of the first rows, each once."""
        seen: dict[str, None] = {}
        for table in self._lists():
            if field in (title.casefold() for title in table.rows.titles):
                for place in range(min(LOOKED, len(table.rows))):
                    key = table.rows.key(place)
                    if key is not None:
                        seen.setdefault(query.bare(table.rows.fields(key).get(field, "")))
        return filter(None, seen)

    def filter_wrong(self, text: str) -> Wrong | None:
        """What is wrong with a filter, for this screen."""
        found = query.parse(text, self.filter_fields())
        return found if isinstance(found, Wrong) else None

    def complete_filter(self, text: str) -> str:
        return query.complete(text, self.filter_fields(), self.filter_values)

    def set_filter(self, text: str) -> None:
        if text == self.filter:
            return
        wrong = self.filter_wrong(text)
        if wrong is not None:
            self.say((f"/{text}: {wrong.reason}", "caution"))
            return
        self.filter = text
        self.filtered(text)
        self.refresh_chrome()

    def filtered(self, text: str) -> None:
        """The filter changed. Default: the first list shows only rows that fit."""
        screen: Any = self
        for table in screen.query(LineTable):
            table.narrow(text)
            break

    # -- how the list is laid out, for saved views -----------------------------------------------------------------

    def shape(self) -> dict[str, Any]:
        """Order, groups and columns of the list; nothing when it is as it came."""
        table = next(iter(self._lists()), None)
        return dict(table.shape.kept()) if table is not None and not table.shape.plain else {}

    def take_shape(self, shape: Shape) -> None:
        for table in self._lists()[:1]:
            table.take_shape(shape)
