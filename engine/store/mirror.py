"""The mirror of remote objects, and how far each feed is: what is compared, and the rows to write.

A row is written when its object differs, never because it was looked at. What is compared is the owner's version (`etag`)
where it has one, else a digest of everything that is mirrored.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from engine.store.reading import Reading

Json = Any
LARGEST = 64 * 1024
"""Bytes of an object's data that are mirrored: the mirror holds references and facts, not contents."""
CHUNK = 400
"""Ids of one question: SQLite takes at most 999 parameters in its oldest builds."""

UPSERT = (
    "insert into mirror (system, kind, id, etag, at, data, name, state, url, changed_at, deleted_at, digest) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?) on conflict (system, kind, id) do update set etag = excluded.etag, "
    "at = excluded.at, data = excluded.data, name = excluded.name, state = excluded.state, url = excluded.url, "
    "changed_at = excluded.changed_at, deleted_at = 0, digest = excluded.digest"
)
ETAG = "update mirror set etag = ? where system = ? and kind = ? and id = ?"
GONE = "update mirror set deleted_at = ?, at = ? where system = ? and kind = ? and id = ?"
PURGE = "delete from mirror where system = ? and kind = ? and deleted_at > 0 and deleted_at < ?"
FORGET = ("delete from mirror where system = ? and length(digest) > 0", "delete from sync_state where system = ?")
STATE = (
    "insert into sync_state (system, feed, at, state) values (?, ?, ?, ?) "
    "on conflict (system, feed) do update set at = excluded.at, state = excluded.state"
)


class SyncState(Struct, omit_defaults=True):
    """How far one feed is. Times are UTC epoch seconds of the engine's clock.

    `seeded`: everything was listed once, differences are told from then on. `pulled_from`: when the last successful pull
    began; what changed before it and comes only now is late. `doubt`: why the last listing was not believed.
    """

    cursor: str = ""
    seeded: bool = False
    synced_at: float = 0.0
    full_at: float = 0.0
    tried_at: float = 0.0
    pulled_from: float = 0.0
    objects: int = 0
    changed: int = 0
    failures: int = 0
    error: str = ""
    skew_s: float = 0.0
    late: int = 0
    stale_since: float = 0.0
    doubt: str = ""
    took_s: float = 0.0


class Known(Struct, frozen=True):
    """A mirrored object as far as it takes to see whether it differs."""

    etag: str
    digest: bytes
    deleted_at: float
    name: str
    state: str
    url: str
    changed_at: float


class Fresh(Struct, frozen=True):
    """An object as it would be written."""

    id: str
    etag: str
    name: str
    state: str
    url: str
    changed_at: float
    data: bytes
    digest: bytes = field(default=b"")


def fresh(remote: Any) -> Fresh:
    """What is kept of a remote object, with its digest. Data that is too large is left out, and says so."""
    data = msgspec.json.encode(remote.data, order="deterministic")
    if len(data) > LARGEST:
        data = msgspec.json.encode({"left_out_b": len(data), "digest": blake2b(data, digest_size=16).hexdigest()})
    facts = msgspec.json.encode((remote.name, remote.state, remote.url, remote.changed_at))
    digest = blake2b(facts + data, digest_size=16).digest()
    return Fresh(remote.id, remote.etag, remote.name, remote.state, remote.url, remote.changed_at, data, digest)


def row_of(system: str, kind: str, one: Fresh, at: float) -> tuple[Any, ...]:
    """The parameters of UPSERT."""
    return (
        system, kind, one.id, one.etag, at, one.data, one.name, one.state, one.url, one.changed_at, one.digest,
    )  # fmt: skip


class MirrorReads:
    """Reads of the mirror, for threads."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def states(self, system: str) -> dict[str, SyncState]:
        rows = self._reading.all("select feed, state from sync_state where system = ?", (system,))
        return {feed: msgspec.json.decode(state, type=SyncState) for feed, state in rows}

    def known(self, system: str, kind: str, ids: Sequence[str]) -> dict[str, Known]:
        found: dict[str, Known] = {}
        for start in range(0, len(ids), CHUNK):
            part = ids[start : start + CHUNK]
            rows = self._reading.all(
                "select id, etag, digest, deleted_at, name, state, url, changed_at from mirror "
                f"where system = ? and kind = ? and id in ({', '.join('?' * len(part))})",
                (system, kind, *part),
            )
            found.update({row[0]: Known(*row[1:]) for row in rows})
        return found

    def data(self, system: str, kind: str, id: str) -> dict[str, Json]:
        row = self._reading.one("select data from mirror where system = ? and kind = ? and id = ?", (system, kind, id))
        found: dict[str, Json] = msgspec.json.decode(row[0]) if row and row[0] else {}
        return found

    def count(self, system: str, kind: str) -> int:
        row = self._reading.one(
            "select count(*) from mirror where system = ? and kind = ? and deleted_at = 0", (system, kind)
        )
        return int(row[0])

    def unseen(self, system: str, kind: str, seen: Collection[str]) -> list[tuple[str, str, str, str]]:
        """Objects (id, name, state, url) that are mirrored and not among `seen`."""
        rows = self._reading.connection.execute(
            "select id, name, state, url from mirror where system = ? and kind = ? and deleted_at = 0", (system, kind)
        )
        return [row for row in rows if row[0] not in seen]


def added_systems(database: Path) -> list[bytes]:
    """The records of the systems that were added and not removed, before an engine has the database: runs that go on at its
    start need them at once. A file that is new, or older than systems, has none.
    """
    if not database.exists() or database.stat().st_size == 0:
        return []
    try:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    except sqlite3.Error:
        return []
    try:
        rows = connection.execute(
            "select data from systems where origin = 'added' and state <> 'removed' order by created_at"
        ).fetchall()
    except sqlite3.Error:  # the host says what is wrong with the file, if anything is
        return []
    finally:
        connection.close()
    return [bytes(row[0]) for row in rows]
