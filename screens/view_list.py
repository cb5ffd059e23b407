"""The saved views, each with the list it is about."""

from __future__ import annotations

from collections.abc import Mapping

from screens.help import Overlay
from screens.views import View
from screens.widgets.parts import Part


class ViewsScreen(Overlay):
    def __init__(self, views: Mapping[str, View]) -> None:
        super().__init__()
        self._views = views

    def head(self) -> list[Part]:
        return [(" Views ", "title"), " :view NAME shows one, :save NAME keeps how a list looks now, :forget NAME"]

    def page(self) -> list[list[Part]]:
        if not self._views:
            return [["None yet: filter and order a list as you like it, then :save NAME."]]
        return [[(f" :view {name:<18}", "key"), view.words] for name, view in self._views.items()]
