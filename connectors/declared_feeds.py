"""Mirrors the objects of a declared system, page by page: everything, then what changed where the owner can say that."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from connectors.answers import NotModified
from connectors.declared_calls import Caller
from engine.capabilities.ports import ActionError, Json
from engine.capabilities.systems.ports import Feed, Pulled, RemoteObject

OVERLAP_S = 2.0
"""Owners tell times in whole seconds and commit a little later: changes are asked for from a moment before."""


class Cursor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`since`: changes are asked for (0: everything), `at` the page that is next, `began` when this listing began by the
    owner's clock, `etag` of a list that came in one page."""

    since: float = 0.0
    at: str = ""
    began: float = 0.0
    etag: str = ""


class Feeds:
    """Implements Source for `feeds`: kind -> definition (`list`, `changes`, `object`, times)."""

    def __init__(
        self, caller: Caller, definitions: Mapping[str, Mapping[str, Json]], check: Mapping[str, Json]
    ) -> None:
        self._caller, self._definitions, self._check, self._http = caller, definitions, check, caller.http
        self.traits: dict[str, str] = {}
        self.feeds = tuple(_feed(kind, each) for kind, each in definitions.items())

    async def close(self) -> None:
        await self._http.close()

    async def check(self) -> str:
        return await said(self._caller, self._check)

    async def pull(self, feed: str, cursor: str) -> Pulled:
        definition = self._definitions.get(feed)
        if definition is None:
            raise ActionError("NoSuchFeed", f"there is no feed {feed!r}", kind="validation", retryable=False)
        return await pulled(self._caller, definition, cursor, lambda item: self.make(feed, item))

    def make(self, feed: str, item: Json) -> RemoteObject:
        """One of the owner's objects as it is mirrored."""
        return mapped(self._caller, self._definitions[feed]["object"], item)


async def said(caller: Caller, check: Mapping[str, Json]) -> str:
    """What the definition's `check` says of the server."""
    answer = await caller.answered(check, {})
    if "says" not in check:
        return caller.title
    return str(caller.filled(check["says"], {"answer": answer}))[:120]


async def pulled(
    caller: Caller, definition: Mapping[str, Json], cursor: str, make: Callable[[Json], RemoteObject]
) -> Pulled:
    """The next page of a feed. A list without `changes` is asked for whole each time, by ETag when it is one page."""
    try:
        walk = msgspec.json.decode(cursor.encode(), type=Cursor) if cursor else Cursor()
    except msgspec.DecodeError as error:
        raise ActionError("CursorLost", "the listing begins anew: its place can't be read", kind="conflict") from error
    changes = walk.since > 0 and "changes" in definition
    spec = definition["changes" if changes else "list"]
    try:
        page = await caller.page(spec, {"since": walk.since} if changes else {}, walk.at, "" if changes else walk.etag)
    except NotModified as same:
        return Pulled(unchanged=True, cursor=cursor, owner_now=same.owner_now)
    began = walk.began or page.owner_now or caller.now()
    objects = tuple(make(item) for item in page.items)
    if page.next:
        if page.next == walk.at:
            raise caller.bad("the list leads back to the page it is at")
        after = msgspec.structs.replace(walk, at=page.next, began=began)
    else:
        after = Cursor(since=max(1.0, began - OVERLAP_S), etag=page.etag)
    return Pulled(
        objects=objects,
        cursor=msgspec.json.encode(after).decode(),
        more=bool(page.next),
        full=not changes,
        owner_now=page.owner_now,
    )


def mapped(caller: Caller, mapping: Mapping[str, Json], item: Json) -> RemoteObject:
    """One object of the owner's as it is mirrored. Raises BadAnswer when it has no id."""
    known = {"it": item}
    return RemoteObject(
        id=caller.id(mapping["id"], known),
        name=caller.text(mapping.get("name"), known, 200),
        state=caller.text(mapping.get("state"), known, 100),
        changed_at=caller.time(mapping.get("changed_at"), known),
        etag=caller.text(mapping.get("etag"), known, 200),
        url=link(caller.text(mapping.get("url"), known, 500)),
        data=caller.plain(mapping.get("data", {}), known),
    )


def link(url: str) -> str:
    """A link for people's browsers: http and https only."""
    return url if url.startswith(("https://", "http://")) else ""


def _feed(kind: str, definition: Mapping[str, Json]) -> Feed:
    every = definition.get("every", 60.0)
    return Feed(
        kind=kind,
        title=definition.get("title", kind.replace("_", " ")),
        every_s=every,
        full_every_s=definition.get("full_every", 3600.0) if "changes" in definition else 0.0,
        stale_s=definition.get("stale", max(300.0, every * 5)),
    )
