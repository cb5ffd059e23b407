"""A window on runs that live in the engine: pages from the top, pages from the bottom, dots in between.

Rules: what was shown keeps its place until the reader asks for the new order; the newest summary of a run is shown in
its place; a run that is not in the window is counted as new. However long the list and however far one reads, no more
than `HELD` runs are kept: pages left behind are forgotten and read again when one comes back to them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from engine.contract.runs import RunPage, RunSummary
from screens import run_filter
from screens.query import Wrong
from screens.widgets.rows import Cells, Wide

AHEAD = 60
"""Rows fetched ahead of what is looked at."""
PAGE, LARGE = 200, 1_000
HELD = 4_000
COUNTED = 10_000
"""News beyond so many is not counted one by one."""
MOVED = Wide([(" it changed since this page was first read, and stands further up now", "muted")])


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of the engine. `sort` is a column with `-` for newest or highest first."""

    status: str = ""
    workflow: str = ""
    text: str = ""
    sort: str = "-updated"

    @property
    def reversed(self) -> str:
        return self.sort[1:] if self.sort.startswith("-") else f"-{self.sort}"

    def matches(self, run: RunSummary) -> bool:
        """Whether a run would be listed; the engine's own text search knows more fields, so this may say no too often."""
        if self.status and run.status not in self.status.split(","):
            return False
        if self.workflow and run.workflow != self.workflow:
            return False
        words = f"{run.id} {run.title} {run.workflow} {run.started_by}".casefold()
        return not self.text or self.text.casefold() in words


def parse_filter(words: str, sort: str) -> Query:
    """What a filter asks of the engine; one that makes no sense is looked for as it stands."""
    found = run_filter.parse(words)
    if isinstance(found, Wrong):
        return Query(text=words.strip(), sort=sort)
    return Query(found.status, found.workflow, found.text, sort)


class Block:
    """Pages read from one end, in order. A page that was forgotten keeps its cursor and its places, to be read again."""

    def __init__(self) -> None:
        self.pages: list[list[str] | None] = []
        self.cursors: list[str] = []
        self.sizes: list[int] = []
        self.starts: list[int] = []
        self.where: dict[str, int] = {}
        self.next: str | None = ""
        self.size = 0

    def at(self, place: int) -> str | None:
        """The run there; None while its page is not here; empty when it has moved on since the page was read."""
        page = bisect_right(self.starts, place) - 1
        ids = self.pages[page]
        return ids[place - self.starts[page]] if ids is not None else None

    def add(self, cursor: str, ids: list[str]) -> None:
        self.pages.append(ids)
        self.cursors.append(cursor)
        self.sizes.append(len(ids))
        self.starts.append(self.size)
        for offset, id in enumerate(ids):
            self.where[id] = self.size + offset
        self.size += len(ids)

    def fill(self, page: int, ids: list[str]) -> None:
        """A forgotten page again: what moved on since leaves its place empty, nothing else moves."""
        size = self.sizes[page]
        ids = ids[:size]
        self.pages[page] = [*ids, *[""] * (size - len(ids))]
        for offset, id in enumerate(ids):
            self.where[id] = self.starts[page] + offset

    def forget(self, page: int) -> list[str]:
        """Let go of a page; the runs that were in it."""
        ids = [id for id in self.pages[page] or () if id]
        self.pages[page] = None
        for id in ids:
            self.where.pop(id, None)
        return ids

    def missing(self, first: int, last: int) -> int | None:
        """The first forgotten page of those places."""
        if first >= self.size or last <= 0:
            return None
        page = bisect_right(self.starts, max(0, first)) - 1
        while page < len(self.pages) and self.starts[page] < last:
            if self.pages[page] is None:
                return page
            page += 1
        return None


class RunWindow:
    """Implements `Source` for LineTable. `fetch(end)` is called when rows are wanted: of an end ('head', 'tail'), or of a
    page that was read and forgotten ('head 3').
    """

    def __init__(self, cells: Callable[[RunSummary], Cells], fetch: Callable[[str], None]) -> None:
        self._cells = cells
        self._fetch = fetch
        self.query = Query()
        self._begin()

    def _begin(self) -> None:
        self.total = 0
        self.exact = True
        self.runs: dict[str, RunSummary] = {}
        self._blocks = {"head": Block(), "tail": Block()}  # the tail's places count from the bottom upwards
        self._looked = (0, 0)
        self.fresh: set[str] = set()
        self.joined = False

    # -- Source -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.total

    def _slot(self, place: int) -> str | None:
        head, tail = self._blocks["head"], self._blocks["tail"]
        if 0 <= place < head.size:
            return head.at(place)
        from_end = self.total - 1 - place
        if 0 <= from_end < tail.size:
            return tail.at(from_end)
        return None

    def key(self, place: int) -> str | None:
        return self._slot(place) or None

    def cells(self, place: int) -> Cells | None:
        key = self._slot(place)
        if key is None:
            return None
        return self._cells(self.runs[key]) if key else MOVED

    def place(self, key: str) -> int | None:
        head, tail = self._blocks["head"], self._blocks["tail"]
        if key in head.where:
            return head.where[key]
        if key in tail.where:
            return self.total - 1 - tail.where[key]
        return None

    def here(self) -> Iterable[int]:
        """The places of the runs that are held, from the top."""
        return sorted(place for id in self.runs if (place := self.place(id)) is not None)

    def want(self, first: int, last: int) -> None:
        if not self.total:
            return
        first, last = max(0, first - AHEAD), min(self.total, last + AHEAD)
        self._looked = (first, last)
        head, tail = self._blocks["head"], self._blocks["tail"]
        if (page := head.missing(first, last)) is not None:
            self._fetch(f"head {page}")
        elif (page := tail.missing(self.total - last, self.total - first)) is not None:
            self._fetch(f"tail {page}")
        elif not self.joined:
            gap_from, gap_to = head.size, self.total - tail.size
            if first < gap_to and last > gap_from:
                self._fetch("head" if first - gap_from <= gap_to - last else "tail")

    # -- pages --------------------------------------------------------------------------------------------------

    def cursor(self, end: str) -> str | None:
        """What to ask with for rows of that end or page; None when there are no more."""
        name, _, page = end.partition(" ")
        block = self._blocks[name]
        return block.cursors[int(page)] if page else block.next

    def size(self, end: str) -> int:
        """How many rows to ask for: a long way off they come in larger pages; a page again is as large as it was."""
        name, _, page = end.partition(" ")
        if page:
            return max(PAGE, self._blocks[name].sizes[int(page)])
        first, last = self._looked
        away = first - self._blocks["head"].size if name == "head" else self.total - self._blocks["tail"].size - last
        return LARGE if away > LARGE else PAGE

    @property
    def head_cursor(self) -> str | None:
        return self._blocks["head"].next

    @property
    def tail_cursor(self) -> str | None:
        return self._blocks["tail"].next

    def reset(self, query: Query) -> None:
        self.query = query
        self._begin()

    def restart(self, page: RunPage) -> None:
        """The first page again, in the order it has now; everything further down is asked for again when looked at."""
        self._begin()
        self.take(page, "head")

    def take(self, page: RunPage, end: str) -> None:
        """A page arrived. Runs that moved since an earlier page are kept where they were first shown."""
        name, _, number = end.partition(" ")
        block, other = self._blocks[name], self._blocks["tail" if name == "head" else "head"]
        met = any(run.id in other.where for run in page.rows)
        fresh = [run for run in page.rows if run.id not in other.where and run.id not in block.where]
        if number:
            fresh = fresh[: block.sizes[int(number)]]
        for run in fresh:
            held = self.runs.get(run.id)
            if held is None or held.version <= run.version:
                self.runs[run.id] = run
            self.fresh.discard(run.id)
        for run in page.rows:
            self.hold(run)
        ids = [run.id for run in fresh]
        if number:
            block.fill(int(number), ids)
        else:
            if ids:
                block.add(block.next or "", ids)
            block.next = page.next
            self._count(page, met)
        self._let_go()

    def _count(self, page: RunPage, met: bool) -> None:
        """How long the list is, as far as it is known; both ends may have met."""
        read = sum(block.size for block in self._blocks.values())
        if met or page.next is None or (page.total_exact and read >= max(page.total, self.total)):
            self.joined, self.exact, self.total = True, True, read
        elif page.total_exact:
            self.exact, self.total = True, max(page.total, self.total)
        else:
            self.exact = False
            self.total = max(page.total, self.total, read + PAGE)

    def _let_go(self) -> None:
        """Hold no more runs than `HELD`: the pages farthest from what is looked at are forgotten first."""
        while len(self.runs) > HELD:
            first, last = self._looked
            found = [
                (self._away(name, page, first, last), name, page)
                for name, block in self._blocks.items()
                for page, ids in enumerate(block.pages)
                if ids is not None
            ]
            away, name, page = max(found)
            if away <= 0:
                return
            for id in self._blocks[name].forget(page):
                self.runs.pop(id, None)

    def _away(self, name: str, page: int, first: int, last: int) -> int:
        """Places between a page and what is looked at."""
        block = self._blocks[name]
        top = block.starts[page] if name == "head" else self.total - block.starts[page] - block.sizes[page]
        return max(top - last, first - (top + block.sizes[page]))

    def hold(self, run: RunSummary) -> bool:
        """Keep the newest summary of a run that is in the window. True if it differs from what was held."""
        held = self.runs.get(run.id)
        if held is None or held.version > run.version or held == run:
            return False
        self.runs[run.id] = run
        return True

    def heard(self, run: RunSummary) -> int | None:
        """News of a run: its place if it is shown and differs; else it is counted as new if it belongs here."""
        place = self.place(run.id)
        if place is None:
            if len(self.fresh) < COUNTED and self.query.matches(run):
                self.fresh.add(run.id)
            return None
        return place if self.hold(run) else None
