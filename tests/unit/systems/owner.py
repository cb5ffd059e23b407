"""An owner of objects that tests change at will, and an engine that mirrors it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.capabilities import subjects
from engine.capabilities.ports import ActionError
from engine.capabilities.systems.ports import Feed, Pulled, RemoteObject
from engine.hosts.clock import VirtualClock
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.hosts.syncing import Syncing
from engine.language import Expressions

NOW = 1_760_000_000.0


class Owner:
    """Implements Source. `log` is what changed, in order; a cursor is a place in it. `lists_only`: it knows no changes."""

    def __init__(self, clock: VirtualClock, *, page: int = 100, lists_only: bool = False) -> None:
        full_every_s = 0.0 if lists_only else 3600.0
        self.feeds = (Feed(kind="issue", title="issues", every_s=60.0, full_every_s=full_every_s, stale_s=300.0),)
        self.clock, self.page, self.lists_only = clock, page, lists_only
        self.objects: dict[str, RemoteObject] = {}
        self.log: list[str] = []
        self.down: ActionError | None = None
        self.forgets = 0
        self.pulls: list[str] = []
        self.offset_s: float | None = None
        self.shown: int | None = None

    def put(self, id_: str, name: str = "", state: str = "open", at: float | None = None, **data: Any) -> None:
        when = self.clock.now() + (self.offset_s or 0.0) if at is None else at
        self.objects[id_] = RemoteObject(id=id_, name=name or id_, state=state, changed_at=when, data=data)
        self.log.append(id_)

    def drop(self, *ids: str) -> None:
        for id_ in ids:
            del self.objects[id_]

    async def pull(self, feed: str, cursor: str) -> Pulled:
        self.pulls.append(cursor)
        if self.down is not None:
            raise self.down
        owner_now = 0.0 if self.offset_s is None else self.clock.now() + self.offset_s
        word, _, number = cursor.partition(":")
        if self.lists_only or not cursor or word == "list":
            begin = int(number or 0) if word == "list" else 0
            ids = sorted(self.objects)[: self.shown]
            part = ids[begin : begin + self.page]
            more = begin + self.page < len(ids)
            after = f"list:{begin + self.page}" if more else "" if self.lists_only else f"log:{len(self.log)}"
            objects = tuple(self.objects[id_] for id_ in part)
            return Pulled(objects=objects, cursor=after, more=more, full=True, owner_now=owner_now)
        if int(number) < self.forgets:
            raise ActionError("CursorLost", "no longer known", kind="conflict")
        last = {id_: place for place, id_ in enumerate(self.log)}  # an object stands where it was last changed
        places = sorted(place for id_, place in last.items() if place >= int(number) and id_ in self.objects)
        objects = tuple(self.objects[self.log[place]] for place in places[: self.page])
        after = places[self.page - 1] + 1 if len(places) > self.page else len(self.log)
        return Pulled(objects=objects, cursor=f"log:{after}", more=after < len(self.log), owner_now=owner_now)


@contextlib.asynccontextmanager
async def engine(database: Path, clock: VirtualClock, *owners: Any) -> AsyncIterator[tuple[Host, Syncing]]:
    """An engine that follows these owners as `one`, `two` …; time moves only when a test moves it."""
    host = await Host.open(
        Config(database=database, actions={}, evaluator=Expressions(), clock=clock, catalogue=subjects.catalogue())
    )
    syncing = Syncing(host, clock)
    try:
        for name, owner in zip(("one", "two"), owners, strict=False):
            syncing.follow(name, (owner,))
        yield host, syncing
    finally:
        syncing.close()
        await host.close()


def told(database: Path) -> list[dict[str, Any]]:
    """Every event that was told, in order."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "select coalesce(e.data, b.data) from events e left join blobs b on b.digest = e.digest "
            "where type = 'EventPublished' order by seq"
        ).fetchall()
    return [msgspec.json.decode(row[0]) for row in rows]


def names(events: Sequence[dict[str, Any]]) -> list[str]:
    """`created T-1`, in order, without the news of whole feeds."""
    return [
        f"{each['event'].rpartition('.')[2]} {each['data']['id']}" for each in events if ".remote." in each["event"]
    ]


def rows(database: Path) -> dict[str, tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        found = connection.execute(
            "select id, name, state, deleted_at, at from mirror where length(digest) > 0"
        ).fetchall()
    return {row[0]: row[1:] for row in found}
