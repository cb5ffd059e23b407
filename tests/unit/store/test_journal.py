"""The journal's promises: what is acknowledged is on disk, a failure keeps nothing and harms no neighbour, one owner."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from engine.store import chain, integrity, pauses
from engine.store.errors import StaleCommit, StoreCorrupt, StoreError, StoreFenced, StoreInUse, StoreReadOnly
from engine.store.journal import Journal
from engine.store.loading import CORE, Loader
from tests.unit.store.conftest import Bench, said, started


def raw(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


async def test_acknowledged_events_are_in_the_file_in_order(bench: Bench) -> None:
    first = await bench.put("run-1", [started("run-1"), said("a")])
    second = await bench.put("run-1", [said("b")])
    assert (first, second) == (1, 3)
    rows = raw(bench.path).execute("select seq, run, n, type from events order by seq").fetchall()
    assert rows == [(1, "run-1", 1, "RunStarted"), (2, "run-1", 2, "CommentAdded"), (3, "run-1", 3, "CommentAdded")]


async def test_many_commits_share_a_transaction(bench: Bench) -> None:
    writes = []
    original = bench.journal._writer.write
    bench.journal._writer.write = lambda batch: (writes.append(len(batch)), original(batch))[1]  # type: ignore[method-assign]
    await asyncio.gather(*(bench.put(f"run-{at}", [started("x")]) for at in range(1500)))
    assert sum(writes) == 1500
    assert len(writes) < 200
    assert max(writes) <= 512


async def test_the_file_and_its_folder_are_private(bench: Bench) -> None:
    assert stat.S_IMODE(os.stat(bench.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(bench.path.parent).st_mode) == 0o700
    await bench.put("run-1", [started("run-1")])
    await bench.journal.close()
    assert stat.S_IMODE(os.stat(bench.journal.anchors.key_file).st_mode) == 0o600


async def test_a_commit_decided_on_another_state_is_refused_and_leaves_no_gap(bench: Bench) -> None:
    await bench.put("run-1", [started("run-1")])
    with pytest.raises(StaleCommit):
        await bench.put("run-1", [said("from the future")], before=7)
    with pytest.raises(StaleCommit):
        await bench.put("run-1", [said("from the past")], before=0)
    await bench.put("run-1", [said("now")])
    assert [row[0] for row in raw(bench.path).execute("select n from events where run = 'run-1' order by n")] == [1, 2]


async def test_one_that_cannot_be_written_does_not_sink_its_neighbours(bench: Bench) -> None:
    await bench.put("run-0", [started("run-0")])
    poison = [("insert into nowhere values (?)", [(1,)])]
    futures = [bench.put(f"run-{at}", [started("x")], extra=poison if at == 3 else ()) for at in range(1, 8)]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [isinstance(result, sqlite3.Error) for result in results] == [at == 3 for at in range(1, 8)]
    assert chain.check(bench.path).bad == 0


@pytest.mark.parametrize("nth", range(1, 9))
async def test_failing_at_any_statement_keeps_nothing_of_the_commit(bench: Bench, nth: int) -> None:
    await bench.put("run-1", [started("run-1")])
    before = raw(bench.path).execute("select * from events").fetchall()
    real = bench.journal._writer.connection
    bench.journal._writer.connection = _Failing(real, nth)  # type: ignore[assignment]
    outcome = (await asyncio.gather(bench.put("run-1", [said("x")]), return_exceptions=True))[0]
    bench.journal._writer.connection = real
    if isinstance(outcome, BaseException):
        assert raw(bench.path).execute("select * from events").fetchall() == before
    assert await bench.put("run-1", [said("y")]) == bench.journal.seq
    assert chain.check(bench.path).bad == 0


class _Failing:
    """A connection whose nth statement fails."""

    def __init__(self, real: sqlite3.Connection, nth: int) -> None:
        self._real, self.left = real, nth

    def execute(self, *arguments: object) -> object:
        if arguments[0] != "rollback":
            self.left -= 1
            if self.left == 0:
                raise sqlite3.OperationalError("failed on purpose")
        return self._real.execute(*arguments)  # type: ignore[arg-type]

    def cursor(self) -> object:
        outer, cursor = self, self._real.cursor()

        class Cursor:
            def executemany(self, *arguments: object) -> object:
                outer.left -= 1
                if outer.left == 0:
                    raise sqlite3.OperationalError("failed on purpose")
                return cursor.executemany(*arguments)  # type: ignore[arg-type]

            def __getattr__(self, name: str) -> object:
                return getattr(cursor, name)

        return Cursor()

    @property
    def in_transaction(self) -> bool:
        return self._real.in_transaction


async def test_a_full_disk_refuses_loses_nothing_and_recovers_by_itself(bench: Bench) -> None:
    await bench.put("run-1", [started("run-1")])
    seen = []
    bench.journal.on_state = lambda state, message: seen.append(state)
    connection = bench.journal._writer.connection
    pages = connection.execute("pragma page_count").fetchone()[0]
    connection.execute(f"pragma max_page_count = {pages}")
    kept = 0
    with pytest.raises(StoreReadOnly) as refused:
        for _ in range(500):
            await bench.put("run-1", [said("x" * 1000)])
            kept += 1
    assert "room" in refused.value.advice
    assert bench.journal.state == "read_only"
    with pytest.raises(StoreReadOnly):
        await bench.put("run-1", [said("again")])
    assert raw(bench.path).execute("select count(*) from events").fetchone()[0] == kept + 1
    await asyncio.sleep(1.2)
    assert bench.journal.state == "read_only"
    connection.execute("pragma max_page_count = 1000000")
    for _ in range(100):
        if bench.journal.state == "ok":
            break
        await asyncio.sleep(0.05)
    await bench.put("run-1", [said("there is room")])
    assert seen == ["read_only", "ok"]
    assert chain.check(bench.path).bad == 0


async def test_a_second_engine_on_the_same_file_is_refused(bench: Bench) -> None:
    with pytest.raises(StoreInUse, match=str(os.getpid())):
        Journal.open(bench.path, owner="second", now=lambda: 0.0, core=CORE)
    assert await bench.put("run-1", [started("run-1")]) == 1


async def test_an_owner_that_was_replaced_writes_nothing_any_more(bench: Bench) -> None:
    await bench.put("run-1", [started("run-1")])
    bench.path.with_name(bench.path.name + ".engine").unlink()  # a lock that does not hold (a network disk, a hand)
    second = Journal.open(bench.path, owner="second", now=lambda: 0.0, core=CORE)
    assert second.epoch == bench.journal.epoch + 1
    with pytest.raises(StoreFenced):
        await bench.put("run-1", [said("too late")])
    assert bench.journal.state == "fenced"
    with pytest.raises(StoreFenced):
        await bench.put("run-1", [said("still too late")])
    assert raw(bench.path).execute("select count(*) from events").fetchone()[0] == 1
    await second.close()


async def test_a_large_payload_is_kept_by_reference_and_read_back(bench: Bench) -> None:
    text = "x" * 100_000
    seq = await bench.put("run-1", [started("run-1"), said(text)])
    row = raw(bench.path).execute("select data, length(digest) from events where seq = ?", (seq + 1,)).fetchone()
    assert row == (None, 32)
    loader = Loader(bench.path)
    assert list(loader.events("run-1"))[1] == said(text)
    assert integrity.verify(bench.path).ok
    raw(bench.path).execute("update blobs set data = x'00'")
    assert integrity.verify(bench.path).first_bad == seq + 1


@pytest.mark.parametrize(
    "change",
    [
        "update events set data = cast(replace(cast(data as text), 'hello', 'hullo') as blob) where seq = 2",
        'update events set actor = \'{"kind":"person","id":"eve"}\' where seq = 2',
        "update events set at = at + 1 where seq = 2",
        "update events set cause = 'other' where seq = 2",
        "update events set cause = cause || char(0) || ' and more' where seq = 2",
        "delete from events where seq = 2",
        "update events set hash = zeroblob(32) where seq = 2",
        "update events set data = null where seq = 2",
        "delete from events where seq = 3",
    ],
)
async def test_any_change_of_history_shows(bench: Bench, change: str) -> None:
    await bench.put("run-1", [started("run-1"), said("hello"), said("last")])
    await bench.journal.close()  # anchors the head
    assert integrity.verify(bench.path).ok
    raw(bench.path).execute(change)
    found = integrity.verify(bench.path)
    assert not found.ok
    assert found.first_bad in (2, 3)


async def test_what_was_changed_since_the_last_anchor_is_noticed_at_start(make) -> None:  # type: ignore[no-untyped-def]
    bench = make()
    await bench.put("run-1", [started("run-1"), said("hello")])
    await bench.journal.close()
    bench.journal.anchors.lines.unlink()
    raw(bench.path).execute("update events set cause = 'other' where seq = 2")
    with pytest.raises(StoreCorrupt, match="event 2"):
        bench.open()


async def test_a_history_rewritten_from_scratch_does_not_fit_its_anchors(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    bench = make()
    await bench.put("run-1", [started("run-1"), said("bad")])
    await bench.journal.close()
    lines = bench.journal.anchors.lines.read_bytes()
    for suffix in ("", "-wal", "-shm", ".anchors.jsonl"):
        bench.path.with_name(bench.path.name + suffix).unlink(missing_ok=True)
    bench.heads.clear()
    bench.open()
    await bench.put("run-1", [started("run-1"), said("good")])
    await bench.journal.close()
    assert integrity.verify(bench.path).ok
    bench.journal.anchors.lines.write_bytes(lines)
    assert "rewritten" in integrity.verify(bench.path).problem
    with pytest.raises(StoreCorrupt, match="rewritten"):
        bench.open()


async def test_an_anchor_of_another_key_is_not_genuine(make) -> None:  # type: ignore[no-untyped-def]
    bench = make()
    await bench.put("run-1", [started("run-1")])
    await bench.journal.close()
    bench.journal.anchors.key_file.unlink()
    other = bench.journal.anchors.sign(1, b"\0" * 32, 0.0)
    assert other.key != bench.journal.anchors.read()[0].key
    assert "signed" in integrity.verify(bench.path).problem


async def test_a_damaged_file_is_noticed_at_start(make) -> None:  # type: ignore[no-untyped-def]
    bench = make()
    for at in range(50):
        await bench.put(f"run-{at}", [started("x"), said("y" * 2000)])
    await bench.journal.close()
    with bench.path.open("r+b") as file:
        file.seek(40_000)
        file.write(b"\xde\xad\xbe\xef" * 5000)
    with pytest.raises(StoreCorrupt) as noticed:
        bench.open()
    assert "qd doctor" in noticed.value.advice


async def test_what_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "quarterdeck.db"
    path.write_bytes(b"these are my notes, not a database\n" * 100)
    with pytest.raises(StoreError):
        Journal.open(path, owner="x", now=lambda: 0.0, core=CORE)
    assert path.read_bytes().startswith(b"these are my notes")


async def test_a_read_only_file_is_said_to_be_so(make) -> None:  # type: ignore[no-untyped-def]
    if os.geteuid() == 0:
        pytest.skip("root may write anything")
    bench = make()
    await bench.journal.close()
    bench.path.chmod(0o400)
    with pytest.raises(StoreReadOnly):
        bench.open()


async def test_a_crash_between_commit_and_answer_keeps_the_commit(bench: Bench) -> None:
    class Died(BaseException):
        pass

    def die() -> None:
        raise RuntimeError("died")

    await bench.put("run-1", [started("run-1")])
    with pauses.at("commit.after", die), pytest.raises(RuntimeError):
        await bench.put("run-1", [said("kept")])
    assert raw(bench.path).execute("select count(*) from events").fetchone()[0] == 2
