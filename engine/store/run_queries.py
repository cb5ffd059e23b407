"""Lists of runs: the newest first, any filter, in bounded time.

Without a text the order is that of the newest event (`seq`), by index: one short range per status, merged. With a
text, or sorted by start, the order is that of starting (`number`): a trigram index finds the candidates, newest first,
in chunks (by workflow or status is by group, and by newest event within one: ranges too); when a page is not full within `BUDGET_S` it is given as it is, with the cursor to go on from, so that no
filter takes longer than another.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.contract.runs import RUN_STATUS, RunPage, RunSummary
from engine.store.reading import Reading

BUDGET_S = 0.010
CHUNK = 400
FEW = 2_000
"""Up to so many candidates of a status and workflow are looked at one by one: cheaper than any index."""
OPEN_LOOK = 3_000
"""How many of the newest open runs are looked at for a step of that name."""
TOTAL_CAP = 10_000
COUNT_LOOK = 50_000
"""Entries of the status index looked at to count a workflow's runs of some statuses."""
SORTS = ("updated", "started", "workflow", "status")
OPEN_STATUS = ("running", "waiting", "suspended", "compensating", "cancelling")

_NAMES = (
    "id, workflow, title, status, started_at, updated_at, ended_at, ending, waiting_on, step, started_by, gates, "
    "attention, n, seq, number"
)
_COLUMNS = ", ".join(f"r.{name.strip()}" for name in _NAMES.split(","))
_LIKE = "(r.id||' '||r.workflow||' '||r.title||' '||r.started_by||' '||r.attributes||' '||r.step) like ? escape '!'"


def summary(row: Sequence[Any]) -> RunSummary:
    return RunSummary(
        id=row[0],
        workflow=row[1],
        title=row[2],
        status=row[3],
        started_at=row[4],
        updated_at=row[5],
        ended_at=row[6],
        ending=row[7],
        waiting_on=row[8],
        step=row[9],
        started_by=row[10],
        gates=row[11],
        attention=row[12],
        version=row[13],
    )


def statuses_of(status: str) -> tuple[str, ...]:
    """The stored statuses a filter stands for. Raises ValueError for an unknown one."""
    if status in ("", "all"):
        return RUN_STATUS
    if status == "open":
        return OPEN_STATUS
    if status == "ended":
        return tuple(one for one in RUN_STATUS if one not in OPEN_STATUS)
    chosen = tuple(part.strip() for part in status.split(","))
    unknown = [one for one in chosen if one not in RUN_STATUS]
    if unknown:
        raise ValueError(
            f"no run has the status {unknown[0]!r}; there are {', '.join(RUN_STATUS)}, open, ended, attention"
        )
    return chosen


class RunQueries:
    """The list of runs."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._counted = (0, 0)

    def page(self, *, status: str, workflow: str, text: str, sort: str, cursor: str, limit: int, now: float) -> RunPage:
        """One page. Raises ValueError for a sort, status or cursor that makes no sense."""
        limit = max(1, min(limit, 1000))
        text = text.strip()[:100]
        order = sort or "-updated"
        if order.removeprefix("-") not in SORTS:
            raise ValueError(
                f"runs can't be sorted by {sort!r}; there are {', '.join(SORTS)}, and each with - before it"
            )
        down = order.startswith("-")
        if status == "attention":
            return self._attention(cursor, limit, now)
        statuses = statuses_of(status)
        if text or order.endswith("started"):
            rows, next_ = self._scan(_Ask(statuses, workflow, text, down), cursor, limit)
            exact = next_ is None
            total = len(rows) if exact and not cursor else 0
            return RunPage(rows=tuple(map(summary, rows)), next=next_, total=total, total_exact=exact, as_of=now)
        if order.endswith(("status", "workflow")):
            rows, next_ = self._grouped(order, statuses, workflow, cursor, limit)
        else:
            rows = self._ranges(statuses, workflow, down, cursor, limit)
            next_ = str(rows[-1][14]) if len(rows) == limit else None
        total, exact = self._total(statuses, workflow)
        return RunPage(
            rows=tuple(map(summary, rows)),
            next=next_,
            total=total,
            total_exact=exact,
            as_of=now,
        )

    def rows(self, ids: Sequence[str]) -> tuple[RunSummary, ...]:
        """Those runs, in no particular order."""
        found: list[RunSummary] = []
        for start in range(0, len(ids), 500):
            part = list(ids[start : start + 500])
            marks = ",".join("?" * len(part))
            found.extend(
                map(summary, self._reading.all(f"select {_COLUMNS} from runs r where r.id in ({marks})", part))
            )
        return tuple(found)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _ranges(self, statuses: Sequence[str], workflow: str, down: bool, cursor: str, limit: int) -> list[Any]:
        bound = _number(cursor)
        direction, compare = ("desc", "<") if down else ("asc", ">")
        if workflow and self._is_few("workflow = ?", [workflow]):
            among, values = _filter(statuses, workflow)
            values.append((1 << 62 if down else 0) if bound is None else bound)
            return self._reading.all(
                f"select {_COLUMNS} from runs r indexed by runs_workflow where {among} and +r.seq {compare} ? "
                f"order by +r.seq {direction} limit {limit}",
                values,
            )
        where, parameters = [], []
        for status in statuses:
            part = f"select {_NAMES} from runs where status = ?"
            parameters.append(status)
            if workflow:
                part += " and workflow = ?"
                parameters.append(workflow)
            if bound is not None:
                part += f" and seq {compare} ?"
                parameters.append(bound)  # type: ignore[arg-type]
            where.append(f"select * from ({part} order by seq {direction} limit {limit})")
        sql = " union all ".join(where) + f" order by seq {direction} limit {limit}"
        return self._reading.all(sql, parameters)

    def _grouped(
        self, order: str, statuses: Sequence[str], workflow: str, cursor: str, limit: int
    ) -> tuple[list[Any], str | None]:
        """Group after group, each by its newest event; the cursor names the group it stopped in. `-` turns all round."""
        backwards = order.startswith("-")
        by_status = order.endswith("status")
        groups = sorted(statuses if by_status else self._workflows(workflow), reverse=backwards)
        bound, _, stopped = cursor.partition(":")
        if cursor:
            groups = [group for group in groups if (group <= stopped if backwards else group >= stopped)]
        found: list[Any] = []
        for group in groups:
            within = ((group,), workflow) if by_status else (statuses, group)
            start = bound if group == stopped else ""
            found.extend(self._ranges(*within, not backwards, start, limit - len(found)))
            if len(found) >= limit:
                return found, f"{found[-1][14]}:{group}"
        return found, None

    def _workflows(self, only: str) -> list[str]:
        """The workflows that have runs, by jumping from one to the next in their index."""
        if only:
            return [only]
        return self._column(
            "with recursive one(name) as (select min(workflow) from runs union all "
            "select (select min(workflow) from runs where workflow > name) from one where name is not null) "
            "select name from one where name is not null",
            (),
        )

    def _attention(self, cursor: str, limit: int, now: float) -> RunPage:
        bound = _number(cursor)
        more, parameters = ("and r.seq < ?", [bound]) if bound is not None else ("", [])
        rows = self._reading.all(
            f"select {_COLUMNS} from runs r where r.attention != '' {more} order by r.seq desc limit {limit}",
            parameters,
        )
        next_ = str(rows[-1][14]) if len(rows) == limit else None
        return RunPage(
            rows=tuple(map(summary, rows)), next=next_, total=len(rows), total_exact=next_ is None, as_of=now
        )

    def _total(self, statuses: Sequence[str], workflow: str) -> tuple[int, bool]:
        """How many there are, and whether that is all: nothing is counted for longer than a page takes."""
        if workflow:
            if len(statuses) == len(RUN_STATUS) or self._is_few("workflow = ?", [workflow]):
                where, parameters = _filter(statuses, workflow)
                return self._capped(f"select 1 from runs r indexed by runs_workflow where {where}", parameters, FEW)
            among, parameters = _filter(statuses, "")
            looked = f"select workflow from runs r indexed by runs_status where {among} limit {COUNT_LOOK}"
            row = self._reading.one(
                f"select count(*), coalesce(sum(workflow = ?), 0) from ({looked})", [workflow, *parameters]
            )
            return min(int(row[1]), FEW), row[0] < COUNT_LOOK and row[1] <= FEW
        if len(statuses) == len(RUN_STATUS):
            return self._all(), True
        where, parameters = _filter(statuses, "")
        return self._capped(f"select 1 from runs r where {where}", parameters, TOTAL_CAP)

    def _capped(self, rows: str, parameters: Sequence[Any], cap: int) -> tuple[int, bool]:
        row = self._reading.one(f"select count(*) from ({rows} limit {cap + 1})", parameters)
        return min(int(row[0]), cap), row[0] <= cap

    def _all(self) -> int:
        """All runs: no run is ever taken out, so only those started since the last look are counted."""
        upto, counted = self._counted
        if not upto:  # by the smallest index; at a million runs a tenth of a second, once
            row = self._reading.one("select (select coalesce(max(number), 0) from runs), (select count(*) from runs)")
            self._counted = (int(row[0]), int(row[1]))
            return self._counted[1]
        newest = self._reading.one("select coalesce(max(number), 0) from runs")[0]
        if newest > upto:
            row = self._reading.one("select count(*) from runs where number > ? and number <= ?", (upto, newest))
            self._counted = (newest, counted + int(row[0]))
        return self._counted[1]

    def _scan(self, ask: _Ask, cursor: str, limit: int) -> tuple[list[Any], str | None]:
        """By start number. Few candidates are looked at one by one; else chunk after chunk until the page or the
        budget is full."""
        bound = _number(cursor)
        if bound is None:
            bound = (1 << 62) if ask.down else 0
        index = self._few_by(ask)
        if index:
            return self._few(ask, index, bound, limit)
        found: list[Any] = []
        deadline = time.perf_counter() + BUDGET_S
        steps = self._steps(ask.text) if ask.text else []
        while True:
            chunk = limit if not ask.parameters and len(ask.text) >= 3 else CHUNK
            numbers, upto = self._candidates(ask, steps, bound, chunk)
            if numbers:
                rows = self._reading.all(
                    f"select {_COLUMNS} from runs r not indexed where r.number in ({','.join(map(str, numbers))}) and {ask.where} "
                    f"order by r.number {ask.direction} limit {limit - len(found)}",
                    ask.parameters,
                )
                found.extend(rows)
            if len(found) >= limit:
                return found, str(found[-1][15])
            if upto is None:
                return found, None
            bound = upto
            if time.perf_counter() > deadline:
                return found, str(bound)

    def _is_few(self, where: str, parameters: Sequence[Any]) -> bool:
        row = self._reading.one(
            f"select count(*) from (select 1 from runs r where {where} limit {FEW + 1})", parameters
        )
        return int(row[0]) <= FEW

    def _few_by(self, ask: _Ask) -> str:
        """The index that alone leaves few enough to look at one by one; empty when none does."""
        if ask.workflow and self._is_few("r.workflow = ?", [ask.workflow]):
            return "runs_workflow"
        among, parameters = _filter(ask.statuses, "")
        return "runs_status" if parameters and self._is_few(among, parameters) else ""

    def _few(self, ask: _Ask, index: str, bound: int, limit: int) -> tuple[list[Any], str | None]:
        text = f"and {_LIKE}" if ask.text else ""
        rows = self._reading.all(
            f"select {_COLUMNS} from runs r indexed by {index} where {ask.where} {text} and +r.number {ask.compare} ? "
            f"order by +r.number {ask.direction} limit {limit}",
            [*ask.parameters, *([ask.like] if ask.text else []), bound],
        )
        return rows, str(rows[-1][15]) if len(rows) == limit else None

    def _steps(self, text: str) -> list[str]:
        """The steps whose name holds the text: there are as many as definitions have steps, not as runs."""
        found: set[str] = set()
        for (digest,) in self._reading.all("select digest from definitions"):
            definition = self._reading.loader.definition(digest)
            if definition is not None:
                found.update(step for step in definition.steps if text.lower() in step.lower())
        return sorted(found)[:200]

    def _candidates(self, ask: _Ask, steps: list[str], bound: int, chunk: int) -> tuple[list[int], int | None]:
        """The next run numbers that may match, and up to which number all were considered (None: to the end)."""
        tail = f"order by number {ask.direction} limit {chunk}"
        if len(ask.text) < 3:  # too short for the index: a window of runs, one by one
            window = self._column(f"select number from runs where number {ask.compare} ? {tail}", (bound,))
            upto = window[-1] if len(window) == chunk else None
            if not ask.text or not window:
                return window, upto
            low, high = min(window), max(window)
            return (
                self._column(
                    f"select number from runs r where number between {low} and {high} and {_LIKE}", (ask.like,)
                ),
                upto,
            )
        phrase = '"' + ask.text.replace('"', '""') + '"'
        parts = [
            self._column(
                f"select rowid from runs_text where runs_text match ? and rowid {ask.compare} ? "
                f"order by rowid {ask.direction} limit {chunk}",
                (phrase, bound),
            )
        ]
        indexed = self._reading.one("select rowid from runs_text order by rowid desc limit 1")
        newest = f"select r.number from runs r where r.number > ? and r.number {ask.compare} ? and {_LIKE} {tail}"
        parts.append(self._column(newest, (indexed[0] if indexed else 0, bound, ask.like)))
        if steps:
            parts.append(self._at_steps(ask, steps, bound, tail))
        numbers = sorted({number for part in parts for number in part}, reverse=ask.down)[:chunk]
        more = any(len(part) == chunk for part in parts) and bool(numbers)
        return numbers, numbers[-1] if more else None

    def _at_steps(self, ask: _Ask, steps: list[str], bound: int, tail: str) -> list[int]:
        """Open runs that stand at one of these steps. No index knows the step (every commit would pay for it), so the
        newest open ones are looked at."""
        open_ = ",".join(f"'{status}'" for status in OPEN_STATUS)
        marks = ",".join("?" * len(steps))
        return self._column(
            f"select number from (select number, step from runs where status in ({open_}) and number {ask.compare} ? "
            f"order by seq desc limit {OPEN_LOOK}) where step in ({marks}) {tail}",
            (bound, *steps),
        )

    def _column(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        return [row[0] for row in self._reading.all(sql, parameters)]


class _Ask(NamedTuple):
    """A filter and an order, ready for SQL."""

    statuses: Sequence[str]
    workflow: str
    text: str
    down: bool

    @property
    def where(self) -> str:
        return _filter(self.statuses, self.workflow)[0]

    @property
    def parameters(self) -> list[Any]:
        return _filter(self.statuses, self.workflow)[1]

    @property
    def like(self) -> str:
        return "%" + self.text.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"

    @property
    def compare(self) -> str:
        return "<" if self.down else ">"

    @property
    def direction(self) -> str:
        return "desc" if self.down else "asc"


def _filter(statuses: Sequence[str], workflow: str) -> tuple[str, list[Any]]:
    parts: list[str] = []
    parameters: list[Any] = []
    if len(statuses) < len(RUN_STATUS):
        parts.append(f"r.status in ({','.join('?' * len(statuses))})")
        parameters.extend(statuses)
    if workflow:
        parts.append("r.workflow = ?")
        parameters.append(workflow)
    return " and ".join(parts) or "1", parameters


def _number(cursor: str) -> int | None:
    if not cursor:
        return None
    if not cursor.isdecimal() or len(cursor) > 18:
        raise ValueError("the cursor is not one of ours: ask for the first page again")
    return int(cursor)
