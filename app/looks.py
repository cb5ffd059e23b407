"""How this console looks: which palette, which signs, and the filters that every painted line goes through.

A person's own palettes are TOML files in `themes/` of the configuration folder; they are read again when they change, while
the console runs. A file that can't be read says so in one sentence and leaves what was there before.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.color import Color
from textual.filter import LineFilter, Monochrome, NoColor

import themes
from screens.widgets.clean import clean
from screens.widgets.parts import Part
from themes import glyphs
from themes.palettes import BY_NAME

if TYPE_CHECKING:
    from rich.segment import Segment

    from themes.palette import Palette

LOOK_S = 1.0
"""How often the folder of own palettes is looked at (some microseconds each time)."""


class CleanFilter(LineFilter):
    """The net under every widget: no control character leaves in text, whoever put it there."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        if all(segment.control or (segment.text.isascii() and segment.text.isprintable()) for segment in segments):
            return segments
        from rich.segment import Segment as New

        return [
            segment
            if segment.control or segment.text.isprintable()
            else New(clean(segment.text, limit=100_000), segment.style)
            for segment in segments
        ]


class GlyphFilter(LineFilter):
    """The one place where signs a terminal can't show are replaced, in as many cells."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        if glyphs.level() == "full":
            return segments
        from rich.segment import Segment as New

        return [
            segment if segment.control or segment.text.isascii() else New(glyphs.shown(segment.text), segment.style)
            for segment in segments
        ]


class Looks(App[int], inherit_bindings=False):
    """The part of the app that knows palettes and signs. `dress` comes first, in `__init__`; `watch_looks` on mount."""

    def dress(self, wanted: object, folder: Path | None) -> None:
        """Make all palettes known and put on the wanted one, if there is it; else what suits the terminal.

        NO_COLOR stands above what was chosen on another day; who asks for a theme in this session gets it.
        """
        self._extra_filters: list[LineFilter] = [CleanFilter(), GlyphFilter()]
        self._own_folder = folder
        self._own: dict[str, Palette] = {}
        self._own_problems: tuple[str, ...] = ()
        self._seen_looks: tuple[object, ...] = ()
        themes.register(self)
        self._read_own()
        self.dress_problems = list(self._own_problems)
        # Textual would turn default colours into greys of its own: a palette without colour is the better NO_COLOR
        self._filters = [one for one in self._filters if not isinstance(one, Monochrome | NoColor)]
        suits = themes.default(os.environ)
        chosen = isinstance(wanted, str) and wanted in self.theme_names() and not os.environ.get("NO_COLOR")
        self.theme = str(wanted) if chosen else suits
        if wanted and isinstance(wanted, str) and wanted not in self.theme_names():
            self.dress_problems.append(f"no theme is called {clean(wanted, 40)!r} any more: {suits} is shown")
        self.set_class(self.console.color_system == "standard" and not self.current_theme.ansi, "-few")

    def watch_looks(self) -> None:
        """From now on, tell what is wrong with own palettes, and see when they change."""
        for problem in self.dress_problems:
            self.keep_notice([(problem, "caution")])
        if self._own_folder is not None:
            self.set_interval(LOOK_S, self._look_again)

    def get_line_filters(self) -> list[LineFilter]:
        return [*super().get_line_filters(), *self._extra_filters]

    def theme_names(self) -> tuple[str, ...]:
        """Ours, then the person's own."""
        return (*themes.NAMES, *self._own)

    def use_theme(self, name: str) -> None:
        """Switch, now and for the next time; the empty name is the next theme."""
        names = self.theme_names()
        if not name:
            name = names[(names.index(self.theme) + 1) % len(names)] if self.theme in names else names[0]
        if name not in names:
            self.tell((f"no theme is called {clean(name)!r}; there are {', '.join(names)}", "caution"))
            return
        self.theme = name
        self.set_class(self.console.color_system == "standard" and not self.current_theme.ansi, "-few")
        self.keep("theme", name)
        palette = self._own.get(name) or BY_NAME[name]
        self.tell(f"theme {name}  ", (palette.says, "muted"), seconds=4.0)

    def _read_own(self) -> None:
        if self._own_folder is None:
            return
        self._seen_looks = _signature(self._own_folder)
        if not self._seen_looks and not self._own:
            return
        from themes import own  # nobody pays for a reader of files without having one

        self._own, self._own_problems = own.read(self._own_folder, before=self._own)
        for palette in self._own.values():
            self.register_theme(palette.theme())

    def _look_again(self) -> None:
        """One look at the folder; what changed is drawn at once."""
        assert self._own_folder is not None
        if _signature(self._own_folder) == self._seen_looks:
            return
        before, known = self._own.get(self.theme), self._own_problems
        self._read_own()
        fresh = [problem for problem in self._own_problems if problem not in known]
        if self.theme not in self.theme_names():
            self.theme = themes.default(os.environ)
            self.tell((f"the theme's file is gone: {self.theme} is shown", "caution"))
        elif self._own.get(self.theme) != before:
            self._watch_theme(self.theme)  # the same name with other colours: Textual's way of putting a theme on
            self.tell(f"theme {self.theme} was read again", seconds=2.0)
        for problem in fresh:
            self.tell((problem, "caution"), seconds=10.0)

    # -- what the console gives ----------------------------------------------------------------------------------

    def tell(self, *parts: Part, seconds: float = 6.0) -> None:
        raise NotImplementedError

    def keep_notice(self, parts: list[Part]) -> None:
        raise NotImplementedError

    def keep(self, name: str, value: Any) -> None:
        raise NotImplementedError


def _signature(folder: Path) -> tuple[object, ...]:
    """Changes when one of the files does; empty when there is none."""
    try:
        with os.scandir(folder) as found:
            files = [one for one in found if one.name.endswith(".toml")]
            return tuple(sorted((one.name, one.stat().st_mtime_ns, one.stat().st_size) for one in files))
    except OSError:
        return ()
