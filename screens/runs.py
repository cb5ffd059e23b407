"""Runs: every run there is, live. Filtered and sorted by the engine, read through a window, so that 100,000 are smooth."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

from textual.app import ComposeResult

from engine.contract.common import Problem
from engine.contract.runs import RUN_STATUS, RunPage, RunSummary
from screens import (
    chrome,
    run_acts,  # noqa: F401  registers the verbs
    run_filter,
)
from screens.acts import Act, Reason, register
from screens.base import QScreen, Target
from screens.model import Delta, coarse
from screens.query import Wrong
from screens.run_window import LARGE, PAGE, Query, RunWindow, parse_filter
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cell

SORTS = ("-updated", "-started", "workflow", "status")
SORT_WORDS = {"updated": "last change", "started": "start", "workflow": "workflow", "status": "status"}
GLYPH = {
    "running": ("\u25b8", ""),
    "waiting": ("\u25cb", ""),
    "suspended": ("\u2016", "caution"),
    "compensating": ("\u21b6", "caution"),
    "cancelling": ("\u21b6", "caution"),
    "completed": ("\u2713", "muted"),
    "failed": ("\u2717", "alarm"),
    "cancelled": ("\u2298", "muted"),
    "terminated": ("\u2298", "caution"),
}
SETTLE_S = 2.0
"""At the top of a list nobody touches, the order is asked for again at most this often."""

register(
    Act("runs.open", "enter", "open", target="row", help="Open the run under the cursor", order=10),
    Act("runs.sort", "o", "order", help="Sort by last change, start, workflow, status", order=20),
    Act("runs.open_only", "f", "only", help="All, only open, only failed or stuck, only ended", order=30),
    Act("runs.top", "g", "top/new", help="To the top; takes new runs in", order=40),
)
ONLY = ("", "open", "stuck", "ended")
VERBS = ("run.suspend", "run.resume", "run.cancel", "run.terminate", "run.comment")
"""What can be done from the list, to the run under the cursor or to all that are marked."""
OVER = ("completed", "failed", "cancelled", "terminated")


def order_words(query: Query) -> str:
    """The order as people say it. What is found by a text is always listed by start."""
    if query.text:
        return "start" if query.sort.startswith("-") else "start, oldest first"
    name = query.sort.removeprefix("-")
    usual = query.sort.startswith("-") == (name in ("updated", "started"))
    turned = "oldest first" if name in ("updated", "started") else "turned round"
    return SORT_WORDS[name] if usual else f"{SORT_WORDS[name]}, {turned}"


class RunsScreen(QScreen):
    NAME = "runs"
    TITLE_WORD = "Runs"
    ROOT = True
    ACTS = ("runs.open", "runs.sort", "runs.open_only", "runs.top", *VERBS)
    AUTO_FOCUS = "#runs"

    def __init__(self) -> None:
        super().__init__()
        self.window = RunWindow(self._cells, self._want)
        self._sort = SORTS[0]
        self._asking: set[str] = set()
        self._asked_at = 0.0
        self._loaded = False

    def body(self) -> ComposeResult:
        yield LineTable(
            [
                Column("RUN", 9),
                Column("STATUS", 13, sort="status"),
                Column("WORKFLOW", 17, optional=2, sort="workflow"),
                Column("WHAT", 18, grow=3),
                Column("AT STEP, WAITS FOR", 20, grow=3, optional=1),
                Column("BY", 10, optional=4),
                Column("STARTED", 12, optional=3, sort="started"),
                Column("CHANGE", 6, align="right", sort="updated"),
            ],
            empty=["Loading \u2026"],
            id="runs",
        )

    @property
    def table(self) -> LineTable:
        return self.query_one("#runs", LineTable)

    def verdict(self) -> list[Part]:
        window = self.window
        if not self._loaded:
            return [("Asking for runs \u2026", "muted")]
        query = window.query
        what: list[Part] = []
        if query.status:
            what.append((f" {query.status.replace(',', ' or ')}", "strong"))
        if query.workflow:
            what.append((f" of {query.workflow}", "strong"))
        if query.text:
            what.append((f" with \u201c{query.text}\u201d", "strong"))
        count = f"{'' if window.exact else 'more than '}{window.total:,} run{'s' * (window.total != 1)}"
        place = f", row {self.table.cursor + 1:,}" if window.total else ""
        return [count, *what, f" by {order_words(query)}{place}."]

    # -- data ---------------------------------------------------------------------------------------------------

    def model_changed(self, delta: Delta | None) -> None:
        if not self.model.loaded:
            return
        if not self._loaded and not self._asking:
            self.table.attach(self.window)
            self.refetch()
        if not self._loaded:
            return
        table = self.table
        changed = self.model.runs.keys() if delta is None else delta.runs
        for id in changed:
            run = self.model.runs.get(id)
            if run is None:
                continue
            before = self.window.runs.get(id)
            place = self.window.heard(run)
            if place is not None:
                table.refresh_row(place, self._cells(before) if before is not None else None)
        self._offer()

    def _offer(self) -> None:
        table = self.table
        fresh = len(self.window.fresh)
        idle = not table.being_read and table.cursor == 0 and table.scroll_offset.y == 0
        if fresh and idle and monotonic() - self._asked_at > SETTLE_S:
            self._restart()
        else:
            table.say_chip(f"+{fresh:,} newer \u00b7 g" if fresh else "")

    def each_second(self) -> None:
        """Ages in view; a row whose text stayed is not repainted."""
        table = self.table
        top = table.scroll_offset.y
        column = len(table.columns) - 1
        for place in range(top, top + table.size.height):
            key = self.window.key(place)
            if key is not None and (run := self.window.runs.get(key)) is not None:
                shown = self._ages.get(key)
                age = self._age(run)
                if shown is not None and shown != age:
                    old = list(self._cells(run))
                    old[column] = shown
                    table.refresh_row(place, old)
        if self._loaded:
            self._offer()

    _ages: dict[str, str] = {}

    def refetch(self) -> None:
        """Start over with the present filter and order."""
        self.window.reset(parse_filter(self.filter, self.table.wanted_order or self._sort))
        self._loaded = False
        self._asking.clear()
        self._want("head")

    def _restart(self) -> None:
        """The first page in its order now; the rest is asked for as it is looked at."""
        query = self.window.query
        self._asked_at = monotonic()

        def got(page: RunPage) -> None:
            if query == self.window.query:
                self.window.restart(page)
                self.table.reload()
                self.table.say_chip("")

        self.ask(lambda: self._page(query, "head", "", PAGE), got, group="restart", quiet=True)

    def _want(self, end: str) -> None:
        if end in self._asking:
            return
        cursor, limit = self.window.cursor(end), self.window.size(end)
        if cursor is None:
            return
        self._asking.add(end)
        query, window = self.window.query, self.window

        def got(page: RunPage) -> None:
            self._asking.discard(end)
            if query != window.query:
                return
            first = not self._loaded
            self._loaded = True
            window.take(page, end)
            table = self.table
            if first:
                table.empty = self._empty_words()
                table.reload()
            else:
                table.rows_arrived()

        self.ask(lambda: self._page(query, end, cursor, limit), got, group=f"page {end}")

    async def _page(self, query: Query, end: str, cursor: str, limit: int) -> RunPage:
        try:
            return await self.client.runs(
                status=query.status,
                workflow=query.workflow,
                text=query.text,
                sort=query.sort if end.startswith("head") else query.reversed,
                cursor=cursor,
                limit=limit,
            )
        finally:
            self._asking.discard(end)

    def failed(self, problem: Problem) -> None:
        if not self._loaded:
            self.table.empty = [f"Runs can't be shown: {problem.reason}"]
            self.table.refresh()

    def _empty_words(self) -> list[Part]:
        if self.filter:
            return [f"No run matches \u201c{self.filter}\u201d. Esc clears the filter."]
        return ["No runs yet. Start one:  qd runs start WORKFLOW   (workflows: qd workflows ls)"]

    def filter_fields(self) -> tuple[str, ...]:
        return run_filter.FIELDS

    def filter_values(self, field: str) -> Iterable[str]:
        if field == "status":
            return (*RUN_STATUS, *run_filter.GROUPS)
        return dict.fromkeys(run.workflow for run in self.model.runs.values())

    def filter_wrong(self, text: str) -> Wrong | None:
        """The engine filters runs, by what it can look for."""
        found = run_filter.parse(text)
        return found if isinstance(found, Wrong) else None

    def filtered(self, text: str) -> None:
        self.refetch()

    # -- rows ---------------------------------------------------------------------------------------------------

    def _age(self, run: RunSummary) -> str:
        return coarse(self.model.now() - run.updated_at)

    def _cells(self, run: RunSummary) -> Sequence[Cell]:
        glyph, tone = GLYPH.get(run.status, ("?", ""))
        word: Part = (f"{glyph} {run.status}", tone) if tone else f"{glyph} {run.status}"
        now = self.model.now()
        if run.attention and run.attention != "gate":
            waits: list[Part] = [(f"! {run.attention}", "alarm" if run.status == "failed" else "caution")]
        elif run.waiting_on:
            waits = [run.waiting_on]
        else:
            waits = [(run.ending or run.step, "muted")]
        if run.gates:
            waits = [(f"\u2691{run.gates} ", "strong"), *waits]
        age = self._age(run)
        if len(self._ages) > 2_000:
            self._ages = {}
        self._ages[run.id] = age
        return (
            run.id,
            word,
            run.workflow,
            run.title or run.workflow,
            waits,
            (run.started_by, "muted"),
            (chrome.at(run.started_at, now), "muted"),
            (age, "muted"),
        )

    # -- keys ---------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        key = self.table.source.key(self.table.cursor) if self._loaded else None
        return Target("run", key) if key else None

    def why_not(self, act: Act) -> Reason | None:
        if act.name == "runs.open" and self.target() is None:
            return Reason("no run under the cursor")
        target = self.target() if act.command and act.name != "run.comment" else None
        run = self.window.runs.get(target.id) if target is not None else None
        if run is not None and run.status in OVER:
            return Reason(f"it is {run.status}", "what is over stays as it is")
        return None

    def act_runs_open(self) -> None:
        target = self.target()
        if target is not None:
            self.console.open("run", target.id)

    def act_runs_sort(self) -> None:
        table = self.table
        present = table.wanted_order or self._sort
        self._sort = SORTS[(SORTS.index(present) + 1) % len(SORTS)] if present in SORTS else SORTS[0]
        if table.shape.sort:
            table.shape = replace(table.shape, sort="", down=False)
            self.keep_shape(table)
        table.cursor_key = ""
        table.cursor = 0
        self.refetch()
        self.say("order: ", (order_words(self.window.query), "strong"), seconds=2)

    def act_runs_open_only(self) -> None:
        words = self.filter.split()
        present = next((word for word in words if word in ONLY), "")
        following = ONLY[(ONLY.index(present) + 1) % len(ONLY)]
        rest = [word for word in words if word != present]
        self.set_filter(" ".join([*rest, following]).strip())

    def act_runs_top(self) -> None:
        self.table.action_edge(-1)

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.act_runs_open()

    def on_line_table_ordered(self, message: LineTable.Ordered) -> None:
        self.refetch()

    async def every_row(self) -> AsyncIterator[list[dict[str, Any]]]:
        """Every run of the present filter and order, page by page, as the engine knows them: for a file."""
        query = self.window.query
        cursor: str | None = ""
        while cursor is not None:
            page = await self.client.runs(
                status=query.status,
                workflow=query.workflow,
                text=query.text,
                sort=query.sort,
                cursor=cursor,
                limit=LARGE,
            )
            yield [{name: getattr(run, name) for name in run.__struct_fields__} for run in page.rows]
            cursor = page.next

    def on_line_table_topped(self, message: LineTable.Topped) -> None:
        if self.window.fresh:
            self._restart()
