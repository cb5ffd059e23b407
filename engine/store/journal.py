"""The journal: the truth, and the one thread that writes it.

Promises:
- **Acknowledged means on disk.** `done` of a commit is called after SQLite's COMMIT with `synchronous=FULL` returned.
- The writer takes what is queued (at most `BATCH`), never waits to gather more, writes one transaction, then answers
  all callers with one wake of their loop. (Measured: lingering 2 ms costs a factor of four.)
- On an error the transaction is rolled back and every caller of the batch gets the error. A commit that can't be
  written by itself does not sink its neighbours: they are tried one by one. The caller drops the state it decided on.
- While the disk is full or the file can't be written, `state` is `read_only`: commits are refused at once, what was
  acknowledged stands, and a probe every half second finds out when there is room again.
- One engine per database: a lock on a file beside it, and an epoch in it that is checked in every transaction, so that
  an owner that was paused and replaced writes nothing when it wakes.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal

from engine.store import integrity, schema
from engine.store import statements as sql
from engine.store.anchors import EVERY, SECONDS, Anchors
from engine.store.errors import StoreClosed, StoreError, StoreFenced, StoreInUse, StoreReadOnly
from engine.store.pauses import reach
from engine.store.records import Commit, Projector
from engine.store.text_index import TextIndex
from engine.store.writer import Writer

BATCH = 512
PROBE_S = 0.5
IDLE_S = 0.2
"""How long nothing must come in before the writer does its housekeeping (text index, anchors)."""

LAG = 4_000
"""So many runs may be missing in the text index before the writer sees to it even though more is queued."""

JournalState = Literal["ok", "read_only", "fenced", "closed"]


class Journal:
    """The open journal. `put` may be called from the loop's thread only; all writing happens in a thread of its own."""

    def __init__(self, path: Path, lock: int, writer: Writer, anchors: Anchors, now: Callable[[], float]) -> None:
        self.path, self.anchors, self.now = path, anchors, now
        self.epoch = writer.epoch
        self.state: JournalState = "ok"
        self.message = ""
        self.on_state: Callable[[JournalState, str], None] = lambda state, message: None
        self._lock, self._writer = lock, writer
        self._queue: SimpleQueue[list[Commit] | None] = SimpleQueue()
        self._gathered: list[Commit] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._text = TextIndex(writer.connection)
        self._anchored = (writer.seq, time.monotonic())
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        owner: str,
        now: Callable[[], float],
        core: str,
        projectors: Sequence[Projector] = (),
    ) -> Journal:
        """Creates or migrates the file, checks it, and takes it over.

        Raises StoreInUse, StoreCorrupt, StoreReadOnly, StoreTooNew; nothing was changed then.
        """
        path = Path(path).absolute()
        schema.create_private(path)
        lock = _lock(path)
        try:
            schema.migrate(path)
            anchors = Anchors(path)
            connection = schema.connect(path)
            try:
                seq, hash_ = integrity.check_at_start(path, connection, anchors)
                epoch = _take_over(connection, owner, now())
            except sqlite3.Error as error:
                connection.close()
                raise schema.explain(error, path) from error
            except BaseException:
                connection.close()
                raise
        except BaseException:
            os.close(lock)
            raise
        writer = Writer(connection, epoch=epoch, core=core, projectors=projectors, seq=seq, hash_=hash_)
        return cls(path, lock, writer, anchors, now)

    @property
    def seq(self) -> int:
        """The sequence of the newest committed event."""
        return self._writer.seq

    @property
    def head(self) -> bytes:
        return self._writer.hash

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on commits are written and answered on `loop`."""
        self._loop = loop
        self._thread.start()

    def put(self, commit: Commit) -> None:
        """Queues a commit. Its `done` is called on the loop, with an error if it was not written."""
        if self.state == "closed":
            raise StoreClosed("the journal is closed")
        if not self._gathered and self._loop is not None:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(commit)

    def _hand_over(self) -> None:
        """Gives the writer what this turn of the loop has decided, at once and as one: woken by the first of many, it
        would fight the loop for the interpreter and write many small transactions (measured: a fifth of the CPU).
        """
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered = []

    async def close(self) -> None:
        """Writes what is queued, anchors the head, and lets the database go."""
        if self.state == "closed" or self._loop is None:
            self._release()
            return
        self._hand_over()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._release()

    def _release(self) -> None:
        if self.state != "closed":
            self.state = "closed"
            self._writer.connection.close()
            os.close(self._lock)

    # -- the writer thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        stop = False
        while not stop:
            batch, stop = self._take()
            if batch:
                for start in range(0, len(batch), BATCH):
                    part = batch[start : start + BATCH]
                    if self.state == "ok":
                        self._write(part)
                    else:
                        self._answer(part, self._refusal())
            elif not stop and self.state == "read_only":
                self._probe()
            elif not stop and self.state == "ok":
                self._keep_house()
        if self.state == "ok":
            self._anchor(clean=True)

    def _take(self) -> tuple[list[Commit], bool]:
        """What is queued, up to the cap; an empty list after a while without any."""
        wait = PROBE_S if self.state == "read_only" else IDLE_S if self._chores() else None
        try:
            first = self._queue.get(timeout=wait)
        except Empty:
            return [], False
        if first is None:
            return [], True
        batch = first
        try:
            while len(batch) < BATCH:
                more = self._queue.get_nowait()
                if more is None:
                    return batch, True
                batch = batch + more
        except Empty:
            pass
        return batch, False

    def _write(self, batch: list[Commit]) -> None:
        try:
            reach("commit.before")
            self._writer.write(batch)
            reach("commit.after")
        except StoreFenced as error:
            self._enter("fenced", str(error))
            self._answer(batch, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it
            ours = schema.explain(error, self.path) if isinstance(error, sqlite3.Error) else error
            if isinstance(ours, StoreReadOnly):
                self._enter("read_only", f"{ours}: {ours.advice}")
                self._answer(batch, ours)
            elif isinstance(ours, StoreError) or len(batch) == 1:
                self._answer(batch, ours)
            else:
                for commit in batch:
                    self._write([commit])
        else:
            self._answer(batch, None)
            self._text.added(sum(commit.before == 0 for commit in batch))
            if self._text.waiting > LAG:
                self._keep_house()

    def _answer(self, batch: list[Commit], error: BaseException | None) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(_deliver, batch, error)
        except RuntimeError:  # the loop closed meanwhile: nobody is left to be told
            return

    def _refusal(self) -> StoreError:
        if self.state == "fenced":
            return StoreFenced(self.message)
        return StoreReadOnly(self.message)

    def _enter(self, state: JournalState, message: str = "") -> None:
        if self.state == state:
            return
        self.state, self.message = state, message
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: self.on_state(state, message))

    def _probe(self) -> None:
        """Is there room again? Writes as much as an ordinary commit would."""
        try:
            connection = self._writer.connection
            connection.execute("begin immediate")
            try:
                connection.execute("insert into blobs (digest, data) values (x'00', zeroblob(65536))")
                connection.execute("update engine set since = since")
                connection.execute("commit")
                connection.execute("delete from blobs where digest = x'00'")
            finally:
                if connection.in_transaction:
                    connection.execute("rollback")
        except sqlite3.Error:
            return
        self._enter("ok")

    # -- housekeeping ------------------------------------------------------------------------------------------------

    def _chores(self) -> bool:
        return self.state == "ok" and (self._text.behind or self._writer.seq > self._anchored[0])

    def _keep_house(self) -> None:
        try:
            self._text.catch_up()
            anchored, when = self._anchored
            if self._writer.seq - anchored >= EVERY or time.monotonic() - when >= SECONDS:
                self._anchor()
        except sqlite3.Error as error:
            ours = schema.explain(error, self.path)
            if isinstance(ours, StoreReadOnly):
                self._enter("read_only", f"{ours}: {ours.advice}")

    def _anchor(self, *, clean: bool = False) -> None:
        """Signs the head; never fails the journal (an anchor that can't be written now is written next time)."""
        seq, hash_ = self._writer.seq, self._writer.hash
        connection = self._writer.connection
        try:
            if seq > self._anchored[0]:
                anchor = self.anchors.sign(seq, hash_, self.now())
                connection.execute("begin immediate")
                connection.execute(sql.ANCHOR, (anchor.seq, anchor.hash, anchor.at, anchor.signature))
                connection.execute("commit")
                self.anchors.append(anchor)
            if clean:
                connection.execute("update engine set clean = 1 where epoch = ?", (self.epoch,))
                connection.execute("pragma wal_checkpoint(truncate)")
        except (sqlite3.Error, OSError, StoreError):
            if connection.in_transaction:
                connection.execute("rollback")
        self._anchored = (seq, time.monotonic())


def _deliver(batch: list[Commit], error: BaseException | None) -> None:
    for commit in batch:
        commit.done(commit, error or commit.error)


def _lock(path: Path) -> int:
    """Takes the life lock of this database, or says who has it."""
    name = path.with_name(path.name + ".engine")
    handle = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(handle, 64, 0).decode("ascii", "replace").strip()
        os.close(handle)
        raise StoreInUse(f"{path} belongs to a running engine" + (f" (process {holder})" if holder else "")) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _take_over(connection: sqlite3.Connection, owner: str, now: float) -> int:
    """Raises the epoch: whoever held the database before can't write any more."""
    connection.execute("begin immediate")
    try:
        connection.execute(
            "insert into engine (one, epoch, owner, since, clean) values (1, 0, '', 0, 1) on conflict do nothing"
        )
        connection.execute("update engine set epoch = epoch + 1, owner = ?, since = ?, clean = 0", (owner, now))
        epoch = int(connection.execute("select epoch from engine").fetchone()[0])
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise
    return epoch
