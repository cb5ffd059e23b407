"""One batch of commits in one transaction, on the one read-write connection. Runs in the writer thread alone."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256

from engine.store import statements as sql
from engine.store.causality import CausalityProjector
from engine.store.chain import header, link
from engine.store.errors import StaleCommit, StoreFenced
from engine.store.gate_projection import GateProjector
from engine.store.outbox import OutboxProjector
from engine.store.projections import Rows
from engine.store.records import INLINE, Commit, Projector, actor_text

VERSION = 1
"""`v` of the events written now."""

HEADS = 65_536
"""How many runs' newest event numbers are kept; for the others the table is asked."""


class Writer:
    """Writes batches. `seq` and `hash` are the head of the chain as committed."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        epoch: int,
        core: str,
        projectors: Sequence[Projector],
        seq: int,
        hash_: bytes,
    ) -> None:
        self.connection, self.epoch, self.core = connection, epoch, core
        self.projectors: tuple[Projector, ...] = (
            GateProjector(),
            OutboxProjector(),
            *projectors,
            CausalityProjector(),  # last: it asks who made a record
        )
        self.seq, self.hash = seq, hash_
        self._heads: OrderedDict[str, int] = OrderedDict()

    def write(self, batch: Sequence[Commit]) -> None:
        """Commits what is sound of the batch; a commit decided on a state that never came to be gets its `error` set.

        Raises (nothing kept) StoreFenced, or whatever SQLite says.
        """
        connection = self.connection
        connection.execute("begin immediate")
        heads: dict[str, int] = {}
        try:
            row = connection.execute("select epoch from engine").fetchone()
            if row is None or row[0] != self.epoch:
                raise StoreFenced(f"this engine has epoch {self.epoch}; the database belongs to epoch {row and row[0]}")
            seq, hash_ = self._insert(batch, heads)
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise
        self.seq, self.hash = seq, hash_
        for run, n in heads.items():
            self._heads[run] = n
            self._heads.move_to_end(run)
        while len(self._heads) > HEADS:
            self._heads.popitem(last=False)

    def forget(self, run: str) -> None:
        self._heads.pop(run, None)

    def _insert(self, batch: Sequence[Commit], heads: dict[str, int]) -> tuple[int, bytes]:
        seq, hash_ = self.seq, self.hash
        events: list[tuple[object, ...]] = []
        rows = Rows()
        written: list[Commit] = []
        for commit in batch:
            run = commit.run
            known = heads.get(run)
            if known is None:
                known = self._head(run, first=commit.before == 0)
            if run == "":
                commit.before = known
            elif known != commit.before:
                commit.error = StaleCommit(f"{run} is at event {known}, not at {commit.before}")
                continue
            commit.error, commit.first, n = None, seq + 1, known
            actor, cause, at = actor_text(commit.actor), commit.cause, commit.at
            for type_, data in zip(commit.types, commit.data, strict=True):
                seq, n = seq + 1, n + 1
                prev, hash_ = hash_, link(hash_, header(run, n, type_, VERSION, at, actor, cause), data)
                if len(data) <= INLINE:
                    events.append((seq, run, n, type_, VERSION, at, actor, cause, data, None, prev, hash_))
                else:
                    digest = sha256(data).digest()
                    rows.blobs.append((digest, data))
                    events.append((seq, run, n, type_, VERSION, at, actor, cause, None, digest, prev, hash_))
            heads[run] = n
            rows.take(commit, self.core)
            written.append(commit)
        cursor = self.connection.cursor()
        if events:
            cursor.executemany(sql.EVENT, events)
        rows.write(cursor)
        for commit in written:
            for statement, extra in commit.extra:
                cursor.executemany(statement, extra)
        for projector in self.projectors:
            wants = projector.wants
            records = [
                record
                for commit in written
                if not wants.isdisjoint(commit.types)
                for record in commit.recorded()
                if record.type in wants
            ]
            if records:
                projector.apply(records, cursor)
        return seq, hash_

    def _head(self, run: str, *, first: bool) -> int:
        known = self._heads.get(run)
        if known is not None:
            return known
        if first and run:
            return 0  # a new run: were it known, the unique index would say so
        row = self.connection.execute("select max(n) from events where run = ?", (run,)).fetchone()
        return int(row[0] or 0)
