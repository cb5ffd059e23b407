"""A local server that holds many objects, with pages, cursors and ETags, and the source that reads it over HTTP.

`python -m tests.benchmarks.harness_shelf COUNT` serves on a free port of loopback and prints the address.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct, field

from connectors.answers import NotModified
from connectors.http import HttpClient
from engine.capabilities.systems.ports import Feed, Pulled, RemoteObject

PAGE = 500


class _Thing(Struct):
    id: str
    name: str
    state: str
    version: int
    changed_at: float


class _Things(Struct):
    """`next`: where the list goes on (0: it ended); `version`: how many changes there are up to here."""

    things: list[_Thing] = field(default_factory=list)
    next: int = 0
    version: int = 0
    more: bool = False


class Shelf:
    """Implements Source. `thing` is asked for its changes; `whole` has only lists, with an ETag over all of it."""

    feeds = (
        Feed(kind="thing", title="things", every_s=3600.0, full_every_s=86_400.0),
        Feed(kind="whole", title="the whole list", every_s=3600.0, full_every_s=0.0),
    )

    def __init__(self, url: str) -> None:
        self.http = HttpClient(url, name="shelf", rate_per_s=10_000.0)

    async def close(self) -> None:
        await self.http.close()

    async def change(self, count: int) -> None:
        """Changes so many of the objects."""
        await self.http.send("POST", f"/change/{count}", object, safe=False)

    async def pull(self, feed: str, cursor: str) -> Pulled:
        if feed == "whole":
            etag, _, after = cursor.rpartition("|")
            answer = await self.http.get_if_changed(f"/things?list={after or 0}", _Things, "" if after else etag)
            if isinstance(answer, NotModified):
                return Pulled(unchanged=True, cursor=cursor)
            page, tag = answer.value, etag if after else answer.etag
            return Pulled(objects=_objects(page), cursor=f"{tag}|{page.next or ''}", more=bool(page.next), full=True)
        if cursor.startswith("v"):
            page = await self.http.get(f"/things?since={cursor[1:]}", _Things)
            return Pulled(objects=_objects(page), cursor=f"v{page.version}", more=page.more)
        page = await self.http.get(f"/things?list={cursor or 0}", _Things)
        after = str(page.next) if page.next else f"v{page.version}"
        return Pulled(objects=_objects(page), cursor=after, more=bool(page.next), full=True)


def _objects(page: _Things) -> tuple[RemoteObject, ...]:
    return tuple(
        RemoteObject(
            id=t.id,
            name=t.name,
            state=t.state,
            changed_at=t.changed_at,
            data={"version": t.version, "text": t.name * 10},
        )
        for t in page.things
    )


@contextmanager
def served(count: int) -> Iterator[str]:
    """The address of a shelf with so many objects, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.harness_shelf", str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


def application(count: int) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    things = [
        {"id": f"thing-{n:06}", "name": f"thing {n}", "state": "there", "version": 0, "changed_at": 1_760_000_000.0 + n}
        for n in range(count)
    ]
    changes: list[int] = []

    async def page(request: Request) -> Response:
        etag = f'"v{len(changes)}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"etag": etag})
        if "since" in request.query_params:
            begin = int(request.query_params["since"])
            part = changes[begin : begin + PAGE]
            found = [things[n] for n in dict.fromkeys(part)]
            version = begin + len(part)
            return JSONResponse({"things": found, "version": version, "more": version < len(changes)})
        begin = int(request.query_params["list"])
        after = begin + PAGE if begin + PAGE < count else 0
        body = {"things": things[begin : begin + PAGE], "next": after, "version": len(changes)}
        return JSONResponse(body, headers={"etag": etag})

    async def change(request: Request) -> Response:
        for step in range(int(request.path_params["count"])):
            number = (step * 7919) % count
            at = 1_760_000_000.0 + count + len(changes)
            things[number] = {**things[number], "version": things[number]["version"] + 1, "changed_at": at}
            changes.append(number)
        return JSONResponse({})

    return Starlette(routes=[Route("/things", page), Route("/change/{count:int}", change, methods=["POST"])])


async def _serve(count: int) -> None:
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    await uvicorn.Server(uvicorn.Config(application(count), log_level="warning")).serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
