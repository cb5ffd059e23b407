"""Looking for anything by its id or a word of its name, in bounded time whatever the journal holds.

Per table two looks: ids that begin with the text (an index range), and the newest rows that hold every word. All of a
search shares one deadline, kept by SQLite's progress handler; what was found by then is the answer, and it says so.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from engine.contract.search import Found
from engine.store.reading import Reading

BUDGET_S = 0.040
NEWEST = 3_000
"""Rows of a table, newest first, that are looked at for words."""
PER_KIND = 25
_STEPS = 2_000
"""SQLite's steps between two looks at the clock: a fraction of a millisecond."""


class Shelf(Struct, frozen=True):
    """A table that can be searched: `words` are the columns looked into, `title` and `state` expressions for the answer.

    `newest` is the column that orders it (it has an index); without it the whole table is walked. `quiet`: only by id.
    """

    kind: str
    table: str
    title: str = "''"
    state: str = "''"
    at: str = "0"
    words: tuple[str, ...] = ()
    newest: str = ""
    quiet: bool = False


OWN = (
    Shelf("gate", "gates", "question", "state", "opened_at", ("question", "subject", "kind"), "seq"),
    Shelf("rollout", "rollouts", "artifact||' '||version||' to '||cohort", "state", "updated_at", ("artifact", "version", "cohort", "started_by"), "seq"),
    Shelf("robot", "robots", "site||' '||variant||' '||reported", "case when hold != '' then 'held' else mode end", "at", ("site", "variant", "reported", "customer")),
    Shelf("cohort", "cohorts", "selector", "robots||' robots'", "frozen_at", ("selector",)),
)  # fmt: skip


class Search:
    """Runs looks on this thread's own connection. `shelves` are the tables of records beside `OWN`."""

    def __init__(self, reading: Reading, shelves: Iterable[Shelf] = ()) -> None:
        self._reading = reading
        self._shelves = (*OWN, *shelves)

    def find(self, text: str, *, kinds: Sequence[str] = (), budget_s: float = BUDGET_S) -> tuple[list[Found], bool]:
        """What fits, in no order, and whether the time ran out or a kind has more. No words: nothing."""
        words = text.lower().split()[:6]
        found: dict[tuple[str, str], Found] = {}
        if not words:
            return [], False
        connection = self._reading.connection
        until = time.perf_counter() + budget_s
        connection.set_progress_handler(lambda: time.perf_counter() > until, _STEPS)
        cut = False
        chosen = [shelf for shelf in self._shelves if not kinds or shelf.kind in kinds]
        try:
            # ids first, on every shelf: who types an id wants that one, and it costs next to nothing
            for shelf in chosen:
                for one in self._begins(connection, shelf, words[0] if len(words) == 1 else ""):
                    found.setdefault((one.kind, one.id), one)
            for shelf in chosen:
                if shelf.quiet:
                    continue
                before = len(found)
                for one in self._holds(connection, shelf, words):
                    found.setdefault((one.kind, one.id), one)
                cut = cut or len(found) - before >= PER_KIND
            for kind, look in (("site", self._sites), ("workflow", self._workflows)):
                if not kinds or kind in kinds:
                    for one in look(connection, words):
                        found.setdefault((one.kind, one.id), one)
        except sqlite3.OperationalError as error:
            if "interrupt" not in str(error):
                raise
            cut = True
        finally:
            connection.set_progress_handler(None, 0)
        return list(found.values()), cut

    def _begins(self, connection: sqlite3.Connection, shelf: Shelf, prefix: str) -> Iterator[Found]:
        for start in dict.fromkeys((prefix, prefix.upper())) if prefix else ():
            rows = connection.execute(
                f"select id, {shelf.title}, {shelf.state}, {shelf.at} from {shelf.table} "
                f"where id >= ? and id < ? order by id limit {PER_KIND}",
                (start, start + "\U0010ffff"),
            )
            yield from (_found(shelf.kind, row) for row in rows)

    def _holds(self, connection: sqlite3.Connection, shelf: Shelf, words: Sequence[str]) -> Iterator[Found]:
        looked = "||' '||".join(("id", *(f"coalesce({column}, '')" for column in shelf.words)))
        among = shelf.table
        if shelf.newest:
            among = f"(select * from {shelf.table} order by {shelf.newest} desc limit {NEWEST})"
        where = " and ".join(f"instr(lower({looked}), ?) > 0" for _ in words)
        rows = connection.execute(
            f"select id, {shelf.title}, {shelf.state}, {shelf.at} from {among} where {where} limit {PER_KIND}", words
        )
        yield from (_found(shelf.kind, row) for row in rows)

    def _sites(self, connection: sqlite3.Connection, words: Sequence[str]) -> Iterator[Found]:
        where = " and ".join("instr(lower(site), ?) > 0" for _ in words)
        rows = connection.execute(
            f"select site, count(*) from robots where site != '' and {where} group by site limit {PER_KIND}", words
        )
        yield from (Found(kind="site", id=site, title=f"{robots} robots") for site, robots in rows)

    def _workflows(self, connection: sqlite3.Connection, words: Sequence[str]) -> Iterator[Found]:
        where = " and ".join("instr(lower(workflow||' '||title), ?) > 0" for _ in words)
        rows = connection.execute(
            f"select workflow, title, max(version) from definitions where {where} group by workflow limit {PER_KIND}",
            words,
        )
        yield from (Found(kind="workflow", id=name, title=title, state=f"v{version}") for name, title, version in rows)


def _found(kind: str, row: Sequence[Any]) -> Found:
    return Found(kind=kind, id=str(row[0]), title=str(row[1] or ""), state=str(row[2] or ""), at=float(row[3] or 0.0))


def fit(text: str, one: Found) -> int:
    """How well a thing fits what was typed, larger is better."""
    wanted, id_, title = text.lower().strip(), one.id.lower(), one.title.lower()
    if id_ == wanted:
        return 100
    number = id_.rpartition("-")[2]
    if wanted.isdigit() and number == wanted:
        return 90
    if id_.startswith(wanted):
        return 70
    if title.startswith(wanted):
        return 60
    if all(word in id_ for word in wanted.split()):
        return 50
    return 30 if all(word in title for word in wanted.split()) else 10
