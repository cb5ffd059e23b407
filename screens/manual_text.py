"""The manual's pages: a small part of Markdown read into blocks, and blocks laid out as lines for a terminal. Pure.

What is understood: headings, paragraphs, `-` and `1.` lists, fenced code, tables, `code`, **strong**, [links](page#place).
A heading can be linked to by its words joined with `-`, and by every `word` in backticks that stands in it: a page of errors
has a place for each code that way. A page begins with lines `title:`, `screens:` (whose screens it explains) and a rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from rich.cells import cell_len

NARROWEST = 18
"""Cells the last column of a table keeps; where there is less room, cells stand below each other."""
_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)")
_HEADING = re.compile(r"(#{1,4})\s+(.*)")
_ITEM = re.compile(r"(\s*)([-*]|\d+\.)\s+(.*)")
_RULE = re.compile(r"\|?[\s:|-]+\|?\Z")
_DIRECTIVE = re.compile(r"\{(\w+) ([\w.: ]+)\}\Z")


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of one line. `link` is the number of the link it belongs to, or -1."""

    text: str
    tone: str = ""
    link: int = -1


@dataclass(frozen=True, slots=True)
class Block:
    """`kind`: heading, text, item, code, table, gap, ask. `level` is a heading's or an item's depth; an `ask` stands for
    what the book's `expand` answers to `mark` and `text` when the page is opened.
    """

    kind: str
    text: str = ""
    level: int = 0
    mark: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Laid:
    """A page as lines of one width: where its headings stand, and each link's target and line."""

    lines: list[list[Run]]
    places: dict[str, int]
    links: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One page. `screens` are the names of the screens it explains."""

    name: str
    title: str
    blocks: tuple[Block, ...]
    screens: tuple[str, ...] = ()
    part: str = ""
    places: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Found:
    """A place where words were found."""

    page: str
    title: str
    place: str
    heading: str
    excerpt: str
    points: int

    @property
    def target(self) -> str:
        return f"{self.page}#{self.place}" if self.place else self.page


class Book:
    """All pages by name, in the order in which they are read."""

    def __init__(self, pages: Iterable[Leaf], expand: Callable[[str, str], str] | None = None) -> None:
        """`expand` gives the Markdown that a line `{word argument}` stands for; it is asked when the page is opened."""
        self.pages: dict[str, Leaf] = {page.name: page for page in pages}
        self._expand = expand
        self._of_screen = {screen: page.name for page in self.pages.values() for screen in page.screens}

    def open(self, name: str) -> Leaf:
        """A page as it is read, with what its lines stand for."""
        page = self.pages[name]
        if self._expand is None or all(block.kind != "ask" for block in page.blocks):
            return page
        blocks: list[Block] = []
        for block in page.blocks:
            blocks.extend(_blocks(self._expand(block.mark, block.text)) if block.kind == "ask" else (block,))
        self.pages[name] = replace(page, blocks=tuple(blocks))
        return self.pages[name]

    def of_screen(self, name: str) -> str:
        """The page that explains a screen; the contents for one that no page names."""
        return self._of_screen.get(name, "contents")

    def of_code(self, code: str) -> str:
        """Where an error's code is explained: `page#code`; empty for a code that no page knows."""
        return next(
            (f"{name}#{code}" for name, page in self.pages.items() if page.part == "Errors" and code in page.places), ""
        )

    def resolve(self, words: str) -> str:
        """The target that a person or a link means: `page`, `page#place`, a screen, an error's code, a title. Empty if none."""
        name, _, place = words.strip().partition("#")
        if name in self.pages:
            return f"{name}#{place}" if place in self.pages[name].places else name
        low = name.strip().lower().replace(" ", "-")
        if low in self.pages:
            return low
        if name in self._of_screen:
            return self._of_screen[name]
        code = snake(name)
        if at := self.of_code(name) or self.of_code(code):
            return at
        return next((page.name for page in self.pages.values() if page.title.lower() == name.strip().lower()), "")

    def search(self, words: str, most: int = 40) -> list[Found]:
        """Places that hold every word, headings before text. At most one per heading."""
        wanted = words.lower().split()
        found: list[Found] = []
        if not wanted:
            return found
        for page in self.pages.values():
            heading, place, best = page.title, "", None
            for block in page.blocks:
                if block.kind == "heading":
                    if best is not None:
                        found.append(best)
                    best = None
                    heading, place = plain(block.text), next(iter(places_of(block.text)), "")
                text = _whole(block)
                low = f"{heading} {page.title} {text}".lower()
                if (
                    best is None
                    and all(word in low for word in wanted)
                    and any(word in text.lower() for word in wanted)
                ):
                    points = 2 * all(word in heading.lower() for word in wanted) + (page.title.lower() in wanted)
                    best = Found(page.name, page.title, place, heading, _around(text, wanted), points)
            if best is not None:
                found.append(best)
        return sorted(found, key=lambda one: -one.points)[:most]


def snake(name: str) -> str:
    """An error's name as the code the door gives it: `NotConfigured` is `not_configured`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def read(name: str, source: str) -> Leaf:
    """One page from its Markdown."""
    head, body = _head(source)
    blocks = tuple(_blocks(body))
    places = frozenset(place for block in blocks if block.kind == "heading" for place in places_of(block.text))
    return Leaf(
        name=name,
        title=head.get("title", name),
        blocks=blocks,
        screens=tuple(head.get("screens", "").split()),
        part=head.get("part", ""),
        places=places,
    )


def places_of(heading: str) -> list[str]:
    """How a heading can be linked to."""
    marked = re.findall(r"`([^`]+)`", heading)
    words = re.sub(r"[^\w]+", "-", plain(heading).lower()).strip("-")
    return [*marked, words]


def plain(text: str) -> str:
    """Text without marks."""
    return "".join(said for said, _, _ in _pieces(text))


def lay(leaf: Leaf, cells: int) -> Laid:
    """A page as lines of at most `cells`."""
    laid = Laid([], {}, [])
    cells = max(cells, 24)
    for block in leaf.blocks:
        if block.kind == "heading":
            if laid.lines and laid.lines[-1]:
                laid.lines.append([])
            for place in places_of(block.text):
                laid.places.setdefault(place, len(laid.lines))
            _flow(laid, block.text, cells, tone="title" if block.level == 1 else "strong")
        elif block.kind == "text":
            _flow(laid, block.text, cells)
        elif block.kind == "item":
            indent = 2 * block.level
            _flow(
                laid,
                block.text,
                cells,
                first=" " * indent + block.mark + " ",
                rest=" " * (indent + len(block.mark) + 1),
            )
        elif block.kind == "code":
            laid.lines.extend([Run("  " + part, "key")] for part in block.text.split("\n"))
        elif block.kind == "ask":
            continue
        elif block.kind == "table":
            _table(laid, block.rows, cells)
        else:
            laid.lines.append([])
    while laid.lines and not laid.lines[-1]:
        laid.lines.pop()
    return laid


def text(laid: Laid) -> str:
    """A laid page as plain text."""
    return "\n".join("".join(run.text for run in line).rstrip() for line in laid.lines)


def _head(source: str) -> tuple[dict[str, str], str]:
    lines = source.split("\n")
    found: dict[str, str] = {}
    for place, line in enumerate(lines):
        if line.strip() == "---":
            return found, "\n".join(lines[place + 1 :])
        word, sign, value = line.partition(":")
        if not sign:
            break
        found[word.strip()] = value.strip()
    return {}, source


def _blocks(body: str) -> Iterable[Block]:
    lines = body.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("```"):
            end = next((i for i in range(at + 1, len(lines)) if lines[i].startswith("```")), len(lines))
            yield Block("code", "\n".join(lines[at + 1 : end]))
            at = end + 1
        elif not line.strip():
            yield Block("gap")
            at += 1
        elif asked := _DIRECTIVE.match(line):
            yield Block("ask", asked[2], mark=asked[1])
            at += 1
        elif heading := _HEADING.match(line):
            yield Block("heading", heading[2].strip(), len(heading[1]))
            at += 1
        elif line.startswith("|"):
            end = next((i for i in range(at, len(lines)) if not lines[i].startswith("|")), len(lines))
            rows = [_cells(row) for row in lines[at:end] if not _RULE.match(row)]
            yield Block("table", rows=tuple(rows))
            at = end
        else:
            item = _ITEM.match(line)
            end = at + 1
            while end < len(lines) and lines[end].strip() and not _begins(lines[end]):
                end += 1
            rest = " ".join(part.strip() for part in lines[at + 1 : end])
            if item:
                mark = "\u2022" if item[2] in "-*" else item[2]
                yield Block("item", f"{item[3]} {rest}".strip(), len(item[1]) // 2, mark)
            else:
                yield Block("text", f"{line.strip()} {rest}".strip())
            at = end


def _begins(line: str) -> bool:
    """Another block starts here."""
    return bool(line.startswith(("```", "|", "#", "{")) or _ITEM.match(line))


def _cells(row: str) -> tuple[str, ...]:
    return tuple(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip().strip("|")))


def _pieces(said: str) -> Iterable[tuple[str, str, str]]:
    """(text, tone, link's target) of a line of Markdown."""
    at = 0
    for mark in _INLINE.finditer(said):
        if mark.start() > at:
            yield said[at : mark.start()], "", ""
        if mark[1]:
            yield mark[1], "key", ""
        elif mark[2]:
            yield mark[2], "strong", ""
        else:
            yield mark[3].strip("`"), "info", mark[4]
        at = mark.end()
    if at < len(said):
        yield said[at:], "", ""


def _runs(laid: Laid, said: str, tone: str = "") -> list[Run]:
    """The pieces of a text, its links numbered. The line of a link is set when it is laid."""
    runs = []
    for piece, own, target in _pieces(said):
        link = -1
        if target:
            link = len(laid.links)
            laid.links.append((target, len(laid.lines)))
        runs.append(Run(piece, own if target else own or tone, link))
    return runs


def _flow(laid: Laid, said: str, cells: int, *, first: str = "", rest: str = "", tone: str = "") -> None:
    laid.lines.extend(_wrapped(laid, _runs(laid, said, tone), cells, first, rest))


def _wrapped(laid: Laid, runs: list[Run], cells: int, first: str = "", rest: str = "") -> list[list[Run]]:
    """Runs broken at spaces. Links get the line on which they begin, counted from the lines laid so far."""
    lines: list[list[Run]] = [[Run(first)] if first else []]
    used = cell_len(first)
    begun: set[int] = set()
    for word in _words(runs):
        said = "".join(piece.text for piece in word)
        if used + cell_len(said.rstrip()) > cells and used > cell_len(rest):
            lines.append([Run(rest)] if rest else [])
            used = cell_len(rest)
        for piece in word:
            if piece.link >= 0 and piece.link not in begun:
                begun.add(piece.link)
                laid.links[piece.link] = (laid.links[piece.link][0], len(laid.lines) + len(lines) - 1)
            line = lines[-1]
            last = line[-1] if len(line) > bool(rest or first) else None
            if last is not None and (last.tone, last.link) == (piece.tone, piece.link):
                line[-1] = Run(last.text + piece.text, piece.tone, piece.link)
            else:
                line.append(piece)
        used += cell_len(said)
    return lines


def _words(runs: list[Run]) -> Iterable[list[Run]]:
    """What stands between spaces, however many runs it is made of, with the spaces that follow it."""
    word: list[Run] = []
    for run in runs:
        for part in re.findall(r"\S+|\s+", run.text):
            if word and not part.isspace() and word[-1].text.isspace():
                yield word
                word = []
            word.append(Run(part, run.tone, run.link))
    if word:
        yield word


def _table(laid: Laid, rows: tuple[tuple[str, ...], ...], cells: int) -> None:
    """Columns as wide as their words need, the last one wrapped in what is left."""
    count = max(len(row) for row in rows)
    widths = [max((cell_len(plain(row[i])) for row in rows if i < len(row)), default=0) for i in range(count)]
    left = sum(widths[:-1]) + 2 * (count - 1)
    for number, row in enumerate(rows):
        tone = "muted" if number == 0 else ""
        if cells - left < NARROWEST:
            if number:
                for place, cell in enumerate(row):
                    indent = "  " if place else ""
                    _flow(laid, cell, cells, first=indent, rest="  ")
            continue
        line: list[Run] = []
        for place, cell in enumerate(row[:-1]):
            runs = _runs(laid, cell, tone)
            line += [*runs, Run(" " * (widths[place] + 2 - cell_len(plain(cell))))]
        pad = " " * left
        last = _wrapped(laid, _runs(laid, row[-1], tone), cells, pad, pad)
        last[0][: bool(pad)] = line
        laid.lines.extend(last)


def _whole(block: Block) -> str:
    return " ".join(plain(cell) for row in block.rows for cell in row) if block.kind == "table" else plain(block.text)


def _around(said: str, wanted: list[str]) -> str:
    """Some words around the first of those found."""
    low = said.lower()
    at = min((low.find(word) for word in wanted if word in low), default=0)
    start = max(0, said.rfind(" ", 0, max(0, at - 40)) + 1)
    return ("\u2026 " if start else "") + said[start : start + 160].strip()
