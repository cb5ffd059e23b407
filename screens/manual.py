"""The manual in the console: one page at a time, its links by Tab and Enter, search over all pages by `/`.

F1 opens it at the page of the screen in front, or of the error that screen shows. Esc goes back page by page and then to
where one came from; `q` closes it at once. What one was doing stands behind it, untouched.
"""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.geometry import Offset, Region, Size
from textual.message import Message
from textual.strip import Strip

from screens.acts import Act, register
from screens.base import QScreen, Target
from screens.manual_text import Block, Book, Laid, Leaf, Run, lay
from screens.widgets.parts import Part
from screens.widgets.text import Page

WIDEST = 100
"""Cells of a line of prose; longer ones are hard to come back from."""

register(
    Act("manual.follow", "enter", "follow", help="Open the page the link under the cursor names", order=10, cli="qd manual PAGE"),
    Act("manual.next", "n,tab", "next link", help="To the next link of the page", order=11),
    Act("manual.before", "p,shift+tab", "link before", help="To the link before", order=0),
    Act("manual.back", "b,backspace", "page back", help="The page read before this one", order=12),
    Act("manual.contents", "c", "contents", help="All pages", order=13, cli="qd manual"),
    Act("manual.find", "slash", "search", help="Find words in all pages", order=14, cli="qd manual --search WORDS"),
    Act("manual.on", "right_square_bracket", "page after", help="The page that follows in the contents", order=0),
    Act("manual.off", "left_square_bracket", "page before", help="The page before in the contents", order=0),
)  # fmt: skip


class Reader(Page):
    """One page, laid out for the width there is. The link under the cursor is marked, and the terminal's cursor is on it."""

    class Followed(Message):
        """A link was clicked."""

        def __init__(self, target: str) -> None:
            super().__init__()
            self.target = target

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.leaf = Leaf("", "", ())
        self.laid = Laid([], {}, [])
        self.at = -1
        self._wanted = ""

    def open(self, leaf: Leaf, place: str = "", at: int = -1) -> None:
        """Show a page from `place` on, with the link number `at` marked."""
        self.leaf, self.at, self._wanted = leaf, at, place
        self._flow()
        self.scroll_to(y=self.laid.places.get(place, 0), animate=False, immediate=True)
        self._place_cursor()

    @property
    def text(self) -> str:
        return "\n".join("".join(run.text for run in line).rstrip() for line in self.laid.lines)

    @property
    def link(self) -> str:
        """The target of the link under the cursor."""
        return self.laid.links[self.at][0] if 0 <= self.at < len(self.laid.links) else ""

    def _flow(self) -> None:
        if not self.size.width:
            return
        self.laid = lay(self.leaf, min(self.size.width - 3, WIDEST))
        self.virtual_size = Size(self.size.width, len(self.laid.lines))
        if self._wanted:  # a page opened before its size was known
            self.call_after_refresh(self._to_place)
        self.refresh()

    def _to_place(self) -> None:
        place, self._wanted = self._wanted, ""
        if place in self.laid.places:
            self.scroll_to(y=self.laid.places[place], animate=False, immediate=True)

    def step(self, by: int) -> bool:
        """Marks the next link (or the one before); the first one in view when none is marked. False if there is none."""
        count = len(self.laid.links)
        if not count:
            return False
        top, bottom = self.scroll_offset.y, self.scroll_offset.y + self.size.height
        line = self.laid.links[self.at][1] if 0 <= self.at < count else -1
        if top <= line < bottom:
            self.at = (self.at + by) % count
        else:
            inside = [i for i, (_, y) in enumerate(self.laid.links) if top <= y < bottom]
            beyond = [i for i, (_, y) in enumerate(self.laid.links) if y >= bottom] if by > 0 else []
            self.at = (inside or beyond or [0])[0 if by > 0 else -1]
        line = self.laid.links[self.at][1]
        if not top <= line < bottom:
            self.scroll_to(y=max(0, line - self.size.height // 2), animate=False, immediate=True)
        self.refresh()
        self._place_cursor()
        return True

    def _place_cursor(self) -> None:
        """Screen readers follow the terminal's own cursor."""
        if 0 <= self.at < len(self.laid.links) and self.is_attached:
            y = self.laid.links[self.at][1] - self.scroll_offset.y
            if 0 <= y < self.size.height:
                self.app.cursor_position = self.content_region.offset + Offset(1, y)

    def render_line(self, y: int) -> Strip:
        y += self.scroll_offset.y
        if y >= len(self.laid.lines):
            return Strip.blank(self.size.width, self.rich_style)
        parts: list[Part] = [" "]
        parts += [self._part(run) for run in self.laid.lines[y]]
        return self.paint(parts, self.size.width, self.rich_style)

    def _part(self, run: Run) -> Part:
        tone = "chip" if run.link >= 0 and run.link == self.at else run.tone
        return (run.text, tone) if tone else run.text

    def on_click(self, event: events.Click) -> None:
        y, x = event.y + self.scroll_offset.y, 1
        for run in self.laid.lines[y] if y < len(self.laid.lines) else ():
            if x <= event.x < x + len(run.text) and run.link >= 0:
                self.at = run.link
                self.refresh(Region(0, event.y, self.size.width, 1))
                self.post_message(self.Followed(self.link))
                return
            x += len(run.text)


class ManualScreen(QScreen):
    NAME = "manual"
    TITLE_WORD = "Manual"
    ACTS = (
        "manual.follow",
        "manual.next",
        "manual.before",
        "manual.back",
        "manual.contents",
        "manual.find",
        "manual.on",
        "manual.off",
    )
    AUTO_FOCUS = "Reader"

    def __init__(self, book: Book, target: str = "contents", *, look_for: str = "") -> None:
        super().__init__()
        self._book = book
        self._target = target
        self._look_for = look_for
        self._history: list[tuple[str, int, int]] = []
        """Pages read: target, first line in view, link under the cursor."""

    def body(self) -> ComposeResult:
        yield Reader(id="leaf")

    def on_mount(self) -> None:
        super().on_mount()
        self._show()
        if self._look_for:
            self.set_filter(self._look_for)

    @property
    def reader(self) -> Reader:
        return self.query_one("#leaf", Reader)

    @property
    def page(self) -> str:
        return self._target.partition("#")[0]

    def verdict(self) -> list[Part]:
        leaf = self._book.pages[self.page]
        if self.filter:
            return [("Manual", "strong"), f" \u00b7 places with all of: {self.filter}"]
        said: list[Part] = [
            ("Manual", "strong"),
            f" \u00b7 {leaf.part} \u00b7 " if leaf.part else " \u00b7 ",
            leaf.title,
        ]
        return said

    def target(self) -> Target | None:
        return Target("row", self._target, self._book.pages[self.page].title)

    # -- turning pages --------------------------------------------------------------------------------------------

    def turn_to(self, target: str) -> None:
        """Another page; the one that was read is kept for the way back."""
        found = self._book.resolve(target)
        if not found:
            self.say((f"the manual has no page {target!r}", "caution"))
            return
        if self.filter:
            super().set_filter("")
        self._history.append((self._target, self.reader.scroll_offset.y, self.reader.at))
        self._target = found
        self._show()

    def _show(self, line: int = -1, at: int = -1) -> None:
        page, _, place = self._target.partition("#")
        self.reader.open(self._book.open(page), place, at)
        if line >= 0:
            self.reader.scroll_to(y=line, animate=False, immediate=True)
        self.refresh_chrome()

    def _back(self) -> bool:
        if not self._history:
            return False
        self._target, line, at = self._history.pop()
        self._show(line, at)
        return True

    def filter_wrong(self, text: str) -> None:
        """Words are only words here."""

    def filtered(self, text: str) -> None:
        """What is found, as a page of links; nothing typed: the page itself."""
        if not text.strip():
            self._show()
            return
        found = self._book.search(text)
        blocks: list[Block] = []
        for one in found:
            heading = one.heading if one.heading == one.title else f"{one.title}: {one.heading}"
            blocks.append(Block("item", f"[{_linkable(heading)}]({one.target})", mark="\u2022"))
            blocks.append(Block("item", _linkable(one.excerpt), level=1, mark=" "))
        if not found:
            blocks.append(Block("text", "Nothing in the manual holds all of these words."))
        self.reader.open(Leaf("found", "Found", tuple(blocks)), at=0 if found else -1)

    # -- keys -----------------------------------------------------------------------------------------------------

    def on_reader_followed(self, message: Reader.Followed) -> None:
        self.turn_to(message.target)

    def act_manual_follow(self) -> None:
        if self.reader.link:
            self.turn_to(self.reader.link)
        elif not self.reader.step(1):
            self.say(("this page links nowhere", "muted"))

    def act_manual_next(self) -> None:
        if not self.reader.step(1):
            self.say(("this page links nowhere", "muted"))

    def act_manual_before(self) -> None:
        if not self.reader.step(-1):
            self.say(("this page links nowhere", "muted"))

    def act_manual_back(self) -> None:
        if not self._back():
            self.say(("this is the first page that was opened", "muted"))

    def act_manual_contents(self) -> None:
        self.turn_to("contents")

    def act_manual_find(self) -> None:
        self.open_prompt("/", self.filter)

    def act_manual_on(self) -> None:
        self._beside(1)

    def act_manual_off(self) -> None:
        self._beside(-1)

    def _beside(self, by: int) -> None:
        names = list(self._book.pages)
        self.turn_to(names[(names.index(self.page) + by) % len(names)])

    def act_console_back(self) -> None:
        if self.filter:
            self.set_filter("")
        elif not self._back():
            self.dismiss_or_pop()


def _linkable(text: str) -> str:
    """Text inside a link: brackets would end it."""
    return text.replace("[", "(").replace("]", ")").replace("`", "").replace("**", "")
