"""A window on runs that live in the engine: pages from the top, pages from the bottom, dots in between.

Rules: what was shown keeps its place until the reader asks for the new order; the newest summary of a run is shown in
its place; a run that is not in the window is counted as new. Reading 100,000 runs costs memory for those looked at only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.contract.runs import RUN_STATUS, RunPage, RunSummary
from screens.widgets.rows import Cells

AHEAD = 60
"""Rows fetched ahead of what is looked at."""


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


GROUPS = {
    "open": "running,waiting,suspended,compensating,cancelling",
    "ended": "completed,failed,cancelled,terminated",
    "stuck": "failed,suspended,compensating,cancelling",
}
"""Filter words for several statuses at once."""


def parse_filter(words: str, sort: str) -> Query:
    """`failed`, `open`, `workflow:staged-rollout` and free words, in any order."""
    statuses: list[str] = []
    workflow = ""
    rest: list[str] = []
    for word in words.split():
        name, colon, value = word.partition(":")
        if word.lower() in GROUPS:
            statuses.append(GROUPS[word.lower()])
        elif word.lower() in RUN_STATUS:
            statuses.append(word.lower())
        elif colon and name in ("workflow", "w"):
            workflow = value
        elif colon and name in ("status", "s"):
            statuses.append(value)
        else:
            rest.append(word)
    return Query(",".join(statuses), workflow, " ".join(rest), sort)


class RunWindow:
    """Implements `Source` for LineTable. `fetch(end)` is called when rows of that end ('head', 'tail') are wanted."""

    def __init__(self, cells: Callable[[RunSummary], Cells], fetch: Callable[[str], None]) -> None:
        self._cells = cells
        self._fetch = fetch
        self.query = Query()
        self._begin()

    def _begin(self) -> None:
        self.total = 0
        self.exact = True
        self.runs: dict[str, RunSummary] = {}
        self._head: list[str] = []
        self._tail: list[str] = []  # from the bottom upwards
        self._in_head: dict[str, int] = {}
        self._in_tail: dict[str, int] = {}
        self.head_cursor: str | None = ""
        self.tail_cursor: str | None = ""
        self.fresh: set[str] = set()
        self.joined = False

    # -- Source -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.total

    def key(self, place: int) -> str | None:
        if 0 <= place < len(self._head):
            return self._head[place]
        from_end = self.total - 1 - place
        if 0 <= from_end < len(self._tail):
            return self._tail[from_end]
        return None

    def cells(self, place: int) -> Cells | None:
        key = self.key(place)
        return self._cells(self.runs[key]) if key is not None else None

    def place(self, key: str) -> int | None:
        if key in self._in_head:
            return self._in_head[key]
        if key in self._in_tail:
            return self.total - 1 - self._in_tail[key]
        return None

    def want(self, first: int, last: int) -> None:
        if self.joined or not self.total:
            return
        first, last = max(0, first - AHEAD), min(self.total, last + AHEAD)
        gap_from, gap_to = len(self._head), self.total - len(self._tail)
        if first < gap_to and last > gap_from:
            self._fetch("head" if first - gap_from <= gap_to - last else "tail")

    # -- pages --------------------------------------------------------------------------------------------------

    def reset(self, query: Query) -> None:
        self.query = query
        self._begin()

    def restart(self, page: RunPage) -> None:
        """The first page again, in the order it has now; everything further down is asked for again when looked at."""
        self._begin()
        self.take(page, "head")

    def take(self, page: RunPage, end: str) -> None:
        """A page arrived. Runs that moved since an earlier page are kept where they were first shown."""
        block, places, other = (
            (self._head, self._in_head, self._in_tail) if end == "head" else (self._tail, self._in_tail, self._in_head)
        )
        met = False
        for run in page.rows:
            self.hold(run)
            if run.id in other:
                met = True
            elif run.id not in places:
                places[run.id] = len(block)
                block.append(run.id)
                self.fresh.discard(run.id)
        if end == "head":
            self.head_cursor = page.next
        else:
            self.tail_cursor = page.next
        self.exact = page.total_exact
        self.total = max(page.total, len(self._head) + len(self._tail))
        if met or page.next is None or len(self._head) + len(self._tail) >= self.total:
            self.joined = True
            self.total = len(self._head) + len(self._tail)

    def hold(self, run: RunSummary) -> bool:
        """Keep the newest summary of a run. True if it is in the window and differs."""
        held = self.runs.get(run.id)
        if held is not None and (held.version > run.version or held == run):
            return False
        if held is None and run.id not in self._in_head and run.id not in self._in_tail:
            self.runs[run.id] = run
            return False
        self.runs[run.id] = run
        return True

    def heard(self, run: RunSummary) -> int | None:
        """News of a run: its place if it is shown and differs; else it is counted as new if it belongs here."""
        place = self.place(run.id)
        if place is None:
            if self.query.matches(run):
                self.fresh.add(run.id)
            return None
        return place if self.hold(run) else None
