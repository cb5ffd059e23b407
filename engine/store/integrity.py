"""Is the file sound? Asked at every start, and in full by `qd history verify` and `qd doctor`."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from msgspec import Struct

from engine.store import chain
from engine.store.anchors import Anchor, Anchors
from engine.store.errors import StoreCorrupt

QUICK_CHECK_LIMIT = 256 * 1024 * 1024
"""SQLite's own check reads the whole file; above this size it runs in `qd doctor`, not at every start."""


FULL_AT_START = 20_000
"""Up to so many events the whole history is verified at every start (40 ms); of a longer one, what came after its newest
anchor, and the rest while the engine already serves."""


class Verified(Struct, frozen=True, kw_only=True):
    """What the verification of the whole history found."""

    ok: bool
    events: int
    head: str
    seconds: float
    first_bad: int | None = None
    problem: str = ""
    anchors: int = 0


def check_at_start(path: Path, connection: sqlite3.Connection, anchors: Anchors) -> tuple[int, bytes]:
    """SQLite's quick check, the newest anchor, and the chain (of a long one, since then). Returns the head. Raises StoreCorrupt."""
    if path.stat().st_size <= QUICK_CHECK_LIMIT:
        answer = connection.execute("pragma quick_check(1)").fetchone()
        if answer is None or answer[0] != "ok":
            raise StoreCorrupt(f"{path} is damaged: {answer[0] if answer else 'no answer'}")
    seq, head = chain.head(connection)
    lines = anchors.read()
    after = 0
    if lines:
        newest = lines[-1]
        problem = against(connection, newest, anchors)
        if problem:
            raise StoreCorrupt(f"{path}: {problem}")
        after = newest.seq if seq > FULL_AT_START else 0
    before = chain.hash_at(connection, after)
    if before is None:
        raise StoreCorrupt(f"{path}: event {after} is missing")
    found = chain.check_slice(connection, after + 1, seq, before) if seq > after else None
    if found is not None and found.bad:
        raise StoreCorrupt(f"{path}: the history does not hold at event {found.bad}: {found.problem}")
    return seq, head


def against(connection: sqlite3.Connection, anchor: Anchor, anchors: Anchors) -> str:
    """What is wrong between one anchor and the database; empty when they agree."""
    stored = chain.hash_at(connection, anchor.seq)
    if stored is None:
        return f"the history ends before event {anchor.seq}, which was anchored: this is an older copy, or it was cut"
    if stored != anchor.hash:
        return f"event {anchor.seq} is not the one that was anchored: the history was rewritten"
    if not anchors.genuine(anchor):
        return f"the anchor of event {anchor.seq} is not signed by this installation's key"
    return ""


def verify(path: Path, *, processes: int | None = None) -> Verified:
    """Re-computes the whole chain and compares it with every anchor. Changes nothing; safe beside a running engine."""
    started = time.perf_counter()
    path = Path(path)
    try:
        connection = chain.connect(path)
        try:
            upto, _ = chain.head(connection)
            anchors = Anchors(path)
            lines = anchors.read()
            found = chain.check(path, upto=upto, processes=processes)
            problem, bad = (found.problem, found.bad) if found.bad else ("", 0)
            if not bad:
                for anchor in lines:
                    if anchor.seq <= upto or chain.hash_at(connection, anchor.seq) is None:
                        problem = against(connection, anchor, anchors)
                    if problem:
                        bad = anchor.seq
                        break
        finally:
            connection.close()
    except (sqlite3.Error, StoreCorrupt) as error:
        spent = time.perf_counter() - started
        return Verified(ok=False, events=0, head="", seconds=spent, problem=str(error))
    return Verified(
        ok=not bad,
        events=found.events,
        head=found.head.hex(),
        seconds=time.perf_counter() - started,
        first_bad=bad or None,
        problem=problem,
        anchors=len(lines),
    )
