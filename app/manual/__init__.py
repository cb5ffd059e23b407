"""The manual: Markdown pages beside this module, and the way to them (F1, `:manual`, `qd manual`).

Pages name the screens they explain, so F1 opens the right one; each code of a refusal is a place on a page of errors.
`{keys module:Class}` stands for the keys of a screen as they are now, so that no page can be out of date about them.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding

if TYPE_CHECKING:
    from screens.manual_text import Book, Leaf

FOLDER = Path(__file__).parent
PARTS = ("Start", "Screens", "Patterns", "Concepts", "Running it", "Errors")
"""In this order they stand in the contents."""


@lru_cache(1)
def book() -> Book:
    """All pages, read once: the parts in their order, pages within them by title."""
    from screens.manual_text import Book, read

    pages = [read(path.stem, path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.md")]
    pages.sort(key=lambda page: (PARTS.index(page.part) if page.part in PARTS else len(PARTS), page.title))
    return Book([read("contents", _contents(pages)), *pages], _expanded)


class Reading:
    """What the console does when somebody wants to read: the page of what is in front, or of the error it shows."""

    KEYS: ClassVar[tuple[Binding, ...]] = (Binding("f1", "manual", show=False, priority=True, id="console.manual"),)
    """Before any widget: F1 is no letter, and a question or a form has its page too."""

    def action_manual(self) -> None:
        self.open_manual()

    def open_manual(self, wanted: str = "") -> None:
        from screens.manual import ManualScreen

        app: Any = self
        front = app.screen
        if isinstance(front, ManualScreen):
            front.turn_to(wanted or "contents")
            return
        pages = book()
        if wanted:
            target = pages.resolve(wanted)
            app.push_screen(ManualScreen(pages, target or "contents", look_for="" if target else wanted))
        else:
            app.push_screen(ManualScreen(pages, page_for(front)))


def page_for(screen: Any) -> str:
    """The page of the error a screen shows, else of the screen."""
    pages = book()
    problem = getattr(screen, "trouble", None) or getattr(screen, "refused", None)
    if problem is not None and (target := pages.of_code(problem.code)):
        return target
    return pages.of_screen(getattr(screen, "NAME", "") or type(screen).__name__)


def _contents(pages: list[Leaf]) -> str:
    lines = ["title: Manual", "---", "# Manual", ""]
    for part in PARTS:
        lines += [f"## {part}", ""]
        lines += [f"- [{page.title}]({page.name})" for page in pages if page.part == part]
        lines.append("")
    return "\n".join(lines)


def _expanded(word: str, argument: str) -> str:
    """The Markdown of a `{word argument}` line."""
    if word == "keys":
        return _keys(argument)
    raise ValueError(f"the manual knows no {{{word} ...}}")


def _keys(where: str) -> str:
    """A table of a screen's own keys. The screen is imported when a page with it is first read."""
    from screens import acts

    module, _, name = where.partition(":")
    screen = getattr(importlib.import_module(module), name)
    rows = ["| key | does | what |", "| --- | --- | --- |"]
    for act in acts.acts(screen.ACTS):
        keys = " ".join(f"`{acts.shown_key(key)}`" for key in acts.key_of(act).split(",")[:2])
        level = {"safe": " At once.", "change": " Asks first.", "risk": " Wants a typed phrase."}.get(
            act.level.value, ""
        )
        twin = f" `{act.cli.replace('{id}', 'ID')}`" if act.cli else ""
        said = (act.help or act.verb).rstrip(".").replace("|", "\\|")
        rows.append(f"| {keys} | {act.verb} | {said}.{level}{twin} |")
    return "\n".join(rows) if screen.ACTS else "It has no keys of its own."
