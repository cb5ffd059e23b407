"""The hash chain over the whole database sequence, and its verification.

    hash(i) = SHA-256( hash(i-1) ‖ header(i) ‖ SHA-256(data(i)) )

`header` is the envelope as text, one field a line (no field can hold a line break); `data` are the stored bytes, so
that verifying never encodes anything. Because only the digest of the data enters, a payload can be redacted to its
digest and the chain still verifies. A chain alone does not stop someone who rewrites all of it: signed anchors kept
outside the file do (`anchors.py`).

Standard library alone, because a long history is verified by worker processes (`python -m engine.store.chain`), one
slice each: every slice starts from the stored hash before it, so the slices together prove what one pass would.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

GENESIS = sha256(b"quarterdeck journal 1").digest()
SLICE = 25_000
"""Below this many events per process, starting one costs more than it saves (40 ms against 2 us per event)."""

_ROWS = (
    # printf ends a text at its first NUL, and with it what is hashed: one that holds any is not what was recorded
    "select printf('%s\n%d\n%s\n%d\n%d\n%s\n%s\n', run, n, type, v, at, actor, cause), data, digest, prev, hash, seq, "
    "instr(run, char(0)) + instr(type, char(0)) + instr(actor, char(0)) + instr(cause, char(0)) "
    "from events where seq between ? and ? order by seq"
)


class Slice(NamedTuple):
    """What the check of one slice found. `bad` is the first sequence that does not hold, 0 when all do."""

    events: int
    bad: int
    problem: str
    head: bytes


def header(run: str, n: int, type_: str, v: int, at: int, actor: str, cause: str) -> str:  # noqa: PLR0917
    """The envelope as the chain sees it."""
    return f"{run}\n{n}\n{type_}\n{v}\n{at}\n{actor}\n{cause}\n"


def link(prev: bytes, head: str, data: bytes) -> bytes:
    """The hash of an event whose stored payload is `data`."""
    return sha256(prev + head.encode() + sha256(data).digest()).digest()


def connect(path: str | Path) -> sqlite3.Connection:
    """A connection that can't write."""
    return sqlite3.connect(f"file:{Path(path).absolute()}?mode=ro", uri=True, isolation_level=None, timeout=5)


def check_slice(database: sqlite3.Connection, first: int, last: int, prev: bytes) -> Slice:
    """Re-computes the chain from `first` to `last`; `prev` is the hash before `first`."""
    expected = first
    try:
        return _follow(database, first, last, prev)
    except TypeError:  # a value of another kind than the journal writes: found one by one, for its number
        for expected in range(first, last + 1):
            try:
                found = _follow(database, expected, expected, prev)
            except TypeError:
                break
            if found.bad:
                return Slice(expected - first, found.bad, found.problem, prev)
            prev = found.head
    return Slice(expected - first, expected, "its content is not what was recorded", prev)


def _follow(database: sqlite3.Connection, first: int, last: int, prev: bytes) -> Slice:
    count, expected = 0, first
    cursor = database.execute(_ROWS, (first, last))
    while rows := cursor.fetchmany(2000):
        for head, data, digest, before, stored, seq, nul in rows:
            if data is None:
                if digest is None:
                    return Slice(count, seq, "payload and digest are both missing", prev)
                payload = digest
            else:
                payload = sha256(data).digest()
            if before != prev or seq != expected:
                why = "an event is missing before it" if seq != expected else "it does not follow the event before it"
                return Slice(count, expected if seq != expected else seq, why, prev)
            prev = sha256(before + head.encode() + payload).digest()
            if nul or prev != stored:
                return Slice(count, seq, "its content is not what was recorded", prev)
            expected += 1
            count += 1
    if expected <= last:
        return Slice(count, expected, "the history ends too early", prev)
    return Slice(count, 0, "", prev)


def check_blobs(database: sqlite3.Connection, first: int, last: int) -> int:
    """The first event whose large payload is not the one its digest names; 0 when all are right (or redacted)."""
    rows = database.execute(
        "select e.seq, b.digest, b.data from events e join blobs b on b.digest = e.digest "
        "where e.data is null and e.seq between ? and ? order by e.seq",
        (first, last),
    )
    for seq, digest, data in rows:
        if sha256(data).digest() != digest:
            return int(seq)
    return 0


def hash_at(database: sqlite3.Connection, seq: int) -> bytes | None:
    """The stored hash of an event; the genesis for 0; None when there is no such event."""
    if seq == 0:
        return GENESIS
    row = database.execute("select hash from events where seq = ?", (seq,)).fetchone()
    return row[0] if row else None


def head(database: sqlite3.Connection) -> tuple[int, bytes]:
    """Sequence and hash of the newest event."""
    row = database.execute("select seq, hash from events order by seq desc limit 1").fetchone()
    return (row[0], row[1]) if row else (0, GENESIS)


def check(path: str | Path, *, after: int = 0, upto: int | None = None, processes: int | None = None) -> Slice:
    """Verifies everything after `after` (up to `upto`, else the head), by several processes when it is worth it."""
    database = connect(path)
    try:
        last = head(database)[0] if upto is None else upto
        before = hash_at(database, after)
        if before is None:
            return Slice(0, after, "the history ends before its anchor", b"")
        if last <= after:
            return Slice(0, 0, "", before)
        wanted = processes or min(os.cpu_count() or 1, 4)
        slices = max(1, min(wanted, (last - after) // SLICE))
        if slices == 1:
            found = check_slice(database, after + 1, last, before)
            blob = 0 if found.bad else check_blobs(database, after + 1, last)
            return found if not blob else Slice(found.events, blob, "its large payload was changed", found.head)
    finally:
        database.close()
    return _check_parallel(path, after, last, slices)


def _check_parallel(path: str | Path, after: int, last: int, slices: int) -> Slice:
    """A slice per process: a thread would only fight for the interpreter (small hashes hold it), and the engine's loop
    would stall with it."""
    step = (last - after + slices - 1) // slices
    workers = []
    for first in range(after + 1, last + 1, step):
        until = min(last, first + step - 1)
        command = [sys.executable, "-I", __file__, str(path), str(first), str(until)]
        workers.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    results = []
    for worker in workers:
        out, err = worker.communicate()
        if worker.returncode != 0:
            raise sqlite3.DatabaseError(f"a verification process failed: {err.strip()[-300:]}")
        answer = json.loads(out)
        results.append(Slice(answer["events"], answer["bad"], answer["problem"], bytes.fromhex(answer["head"])))
    total = sum(result.events for result in results)
    worst = next((result for result in results if result.bad), results[-1])
    return Slice(total, worst.bad, worst.problem, results[-1].head)


def _work(path: str, first: int, last: int) -> int:
    database = connect(path)
    before = hash_at(database, first - 1)
    if before is None:
        found = Slice(0, first - 1, "an event is missing", b"")
    else:
        found = check_slice(database, first, last, before)
        blob = 0 if found.bad else check_blobs(database, first, last)
        if blob:
            found = Slice(found.events, blob, "its large payload was changed", found.head)
    answer = {"events": found.events, "bad": found.bad, "problem": found.problem, "head": found.head.hex()}
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    raise SystemExit(_work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
