"""Promises of every port: it answers for itself, says what it can't do, and is mirrored without surprises."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from engine.capabilities.ports import ActionError
from engine.capabilities.systems.conformance.promise import Bench, Broken, NotTried, clean, must, promise, sane
from engine.capabilities.systems.ports import Feed, Pulled, RemoteObject

OLD = ("signals", "fleet", "recordings", "sink")
"""Capabilities from before traits."""
PAGES = 2_000
"""More pages than this for one full listing and the cursor goes in circles."""


@promise("", "check() proves the connection and names server and version")
async def check_names_the_server(port: Any, bench: Bench) -> None:
    if not hasattr(port, "check"):
        raise NotTried("this port has no connection of its own")
    said = await port.check()
    must(isinstance(said, str) and said.strip(), "check() returned no text")
    must(len(said) <= 300, f"check() returned {len(said)} characters; one line is meant")
    clean(said, "what check() says")


@promise("", "what the system can't do is said in traits, in words for people")
async def traits_are_sentences(port: Any, bench: Bench) -> None:
    traits = getattr(port, "traits", None)
    if traits is None and bench.capability in OLD:
        raise NotTried("this capability declares no traits")
    must(isinstance(traits, Mapping), "the port has no traits (an empty mapping when it can do everything)")
    for name, why in (traits or {}).items():
        must(isinstance(name, str) and name, "a trait has no name")
        must(isinstance(why, str) and len(why.strip()) >= 10, f"trait {name!r} does not say why")
        clean(why, f"trait {name!r}")


@promise("", "rights() tells what the credentials may do, without doing it")
async def rights_are_told(port: Any, bench: Bench) -> None:
    if not hasattr(port, "rights"):
        raise NotTried("the system does not tell rights")
    for right in await port.rights():
        must(right.name, "a right has no name")
        must(right.has in (True, False, None), f"right {right.name!r}: has is neither yes, no nor unknown")
        clean(right, f"right {right.name!r}")


@promise("", "feeds say what is mirrored, how often, and when silence is stale")
async def feeds_are_declared(port: Any, bench: Bench) -> None:
    feeds = _feeds(port)
    must(len({feed.kind for feed in feeds}) == len(feeds), "two feeds are of one kind")
    for feed in feeds:
        must(feed.kind.isidentifier(), f"feed {feed.kind!r}: a kind is a word")
        must(feed.title, f"feed {feed.kind} has no title")
        must(feed.every_s > 0, f"feed {feed.kind}: every_s must be more than 0")
        must(feed.stale_s >= feed.every_s, f"feed {feed.kind} would be stale between two regular pulls")


@promise("", "a listing from an empty cursor ends, names everything once, and says that it was full")
async def a_full_listing_ends(port: Any, bench: Bench) -> None:
    for feed in _feeds(port):
        pages, objects = await bench.once(f"listing of {feed.kind}", partial(listing, port, feed.kind))
        must(all(page.full for page in pages), f"{feed.kind}: a page of the listing of everything is not marked full")
        must(not any(page.unchanged for page in pages), f"{feed.kind}: 'unchanged' with nothing to compare with")
        twice = _twice([one.id for one in objects])
        must(not twice, f"{feed.kind}: {twice!r} is named twice")


@promise("", "mirrored objects have an id that stays, clean text, and times in UTC seconds")
async def objects_are_sound(port: Any, bench: Bench) -> None:
    seen = 0
    for feed in _feeds(port):
        _, objects = await bench.once(f"listing of {feed.kind}", partial(listing, port, feed.kind))
        for one in objects[:2000]:
            seen += 1
            must(one.id and isinstance(one.id, str), f"{feed.kind}: an object has no id")
            clean(one, f"{feed.kind} {one.id!r}")
            sane(one.changed_at, bench.now(), f"{feed.kind} {one.id!r}: changed_at")
            must(
                not one.url or one.url.startswith(("https://", "http://")), f"{feed.kind} {one.id!r}: url is no address"
            )
    if not seen:
        raise NotTried("there is nothing to mirror there")


@promise("", "going on from the cursor brings no repetition of everything, and objects keep their ids")
async def a_cursor_goes_on(port: Any, bench: Bench) -> None:
    tried = 0
    for feed in _feeds(port):
        pages, objects = await bench.once(f"listing of {feed.kind}", partial(listing, port, feed.kind))
        cursor = pages[-1].cursor
        if not cursor:
            must(
                feed.full_every_s == 0 or len(pages) == 1,
                f"{feed.kind}: no cursor to go on from, yet not everything is listed at each pull",
            )
            again = await listing(port, feed.kind)
            known, now = {one.id for one in objects}, {one.id for one in again[1]}
            must(not known or known & now, f"{feed.kind}: no id of the first listing is in the second")
            continue
        tried += 1
        following = await port.pull(feed.kind, cursor)
        _page(following, feed.kind)
        if following.unchanged:
            must(not following.objects, f"{feed.kind}: 'unchanged' with objects")
        elif len(objects) > 50 and not following.full:
            must(len(following.objects) < len(objects), f"{feed.kind}: everything came again from the cursor")
    if not tried and not _feeds(port):
        raise NotTried("nothing is mirrored")


@promise("", "a cursor the owner does not know is CursorLost or a new full listing, never a silent gap")
async def a_strange_cursor_is_noticed(port: Any, bench: Bench) -> None:
    for feed in _feeds(port):
        try:
            page = await port.pull(feed.kind, "no cursor of this feed")
        except ActionError as error:
            must(
                error.error == "CursorLost", f"{feed.kind}: {error.error} instead of CursorLost: {error.message[:120]}"
            )
        else:
            must(page.full, f"{feed.kind}: a cursor that never was is taken as if nothing were missing")


async def listing(port: Any, kind: str) -> tuple[list[Pulled], list[RemoteObject]]:
    """Every page from an empty cursor. Raises Broken when it does not end."""
    pages: list[Pulled] = []
    objects: list[RemoteObject] = []
    cursor, seen = "", set[str]()
    while True:
        page = await port.pull(kind, cursor)
        _page(page, kind)
        pages.append(page)
        objects += page.objects
        if not page.more:
            return pages, objects
        if page.cursor == cursor or page.cursor in seen or len(pages) > PAGES:
            raise Broken(f"{kind}: the cursor goes in circles after {len(pages)} pages")
        seen.add(cursor)
        cursor = page.cursor


def _page(page: Any, kind: str) -> None:
    must(isinstance(page, Pulled), f"{kind}: pull() returned {type(page).__name__}, not Pulled")
    must(len(page.cursor) <= 20_000, f"{kind}: a cursor of {len(page.cursor)} characters is not a cursor")
    must(page.owner_now == 0 or page.owner_now > 946_684_800, f"{kind}: owner_now is no UTC time in seconds")


def _feeds(port: Any) -> tuple[Feed, ...]:
    feeds = getattr(port, "feeds", None)
    if feeds is None:
        raise NotTried("nothing of it is mirrored")
    if not feeds:
        raise NotTried("it has no feed")
    return tuple(feeds)


def _twice(ids: list[str]) -> str:
    seen = set[str]()
    for one in ids:
        if one in seen:
            return one
        seen.add(one)
    return ""
