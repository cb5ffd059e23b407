"""The engine's client over its socket: what screens and long-lived callers use.

The first snapshot comes over the plain socket in a thread; httpx is imported after it, so that a console shows data
before it has paid for the import. Reads are repeated a few times over a broken connection, commands never without
being asked: they carry an id, and the same id is safe to send again.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from app import wire
from app.attach import Unreachable
from app.home import Home
from engine.contract.client import EngineUnreachable, Refused
from engine.contract.common import CommandAnswer, CommandRequest, Json, Problem
from engine.contract.fleet import CohortView, RobotPage, RobotRow
from engine.contract.gates import GateDetail, GatePage
from engine.contract.records import EvidenceText, RecordEvent, RecordPage
from engine.contract.rollouts import RolloutDetail, RolloutPage
from engine.contract.runs import EventPage, RunDetail, RunPage
from engine.contract.system import Changes, EngineStatus, Me, WatchSnapshot

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
_TRIES = 3
SILENCE_S = 30.0
"""Without even a heartbeat (every 10 s) for this long, the link is lost."""


class Client:
    """`engine.contract.client.Client` over a Unix socket. `person` acts as one of the sandbox people, in the sandbox."""

    def __init__(self, home: Home, *, person: str = "", script: bool = False, only_looks: bool = False) -> None:
        self.home = home
        self.headers = headers(person, script=script)
        self.only_looks = only_looks
        self.lag = 0.0
        """Seconds the newest tick took to get here, beyond the quickest one seen: clocks may differ, delays add up."""
        self._skew: float | None = None
        self._http: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._warm = False

    def act_as(self, person: str) -> None:
        """From now on as another of the sandbox people (empty: as ourselves). What is under way keeps its actor."""
        self.headers = headers(person)
        if self._http is not None:
            for name in ("X-Quarterdeck-As", "X-Quarterdeck-Via"):
                self._http.headers.pop(name, None)
            self._http.headers.update(self.headers)

    async def watch(self) -> WatchSnapshot:
        if self._warm:
            return await self._get("/v1/watch", WatchSnapshot)
        try:
            first = await asyncio.to_thread(wire.get, self.home, "/v1/watch", WatchSnapshot, self.headers)
        except Unreachable as error:
            raise EngineUnreachable(str(error)) from error
        self._warm = True
        return first

    async def status(self) -> EngineStatus:
        return await self._get("/v1/status", EngineStatus)

    async def me(self) -> Me:
        return await self._get("/v1/me", Me)

    async def runs(
        self,
        *,
        status: str = "",
        workflow: str = "",
        text: str = "",
        sort: str = "-updated",
        cursor: str = "",
        limit: int = 50,
    ) -> RunPage:
        query = {"status": status, "workflow": workflow, "text": text, "sort": sort, "cursor": cursor, "limit": limit}
        return await self._get(_path("/v1/runs", query), RunPage)

    async def run(self, run: str) -> RunDetail:
        return await self._get(f"/v1/runs/{quote(run, safe='')}", RunDetail)

    async def events(self, run: str = "", *, after: int = 0, limit: int = 200) -> EventPage:
        return await self._get(_path("/v1/events", {"run": run, "after": after, "limit": limit}), EventPage)

    async def gates(self, *, state: str = "open", limit: int = 200) -> GatePage:
        return await self._get(_path("/v1/gates", {"state": state, "limit": limit}), GatePage)

    async def gate(self, gate: str) -> GateDetail:
        return await self._get(f"/v1/gates/{quote(gate, safe='')}", GateDetail)

    async def rollouts(self, *, limit: int = 50) -> RolloutPage:
        return await self._get(_path("/v1/rollouts", {"limit": limit}), RolloutPage)

    async def rollout(self, rollout: str) -> RolloutDetail:
        return await self._get(f"/v1/rollouts/{quote(rollout, safe='')}", RolloutDetail)

    async def records(
        self,
        kind: str,
        shape: type[T],
        *,
        state: str = "",
        text: str = "",
        where: Mapping[str, str] | None = None,
        sort: str = "",
        limit: int = 200,
    ) -> tuple[T, ...]:
        conditions = ",".join(f"{column}:{value}" for column, value in (where or {}).items())
        query = {"state": state, "text": text, "where": conditions, "sort": sort, "limit": limit}
        page = await self._get(_path(f"/v1/records/{quote(kind, safe='')}", query), RecordPage)
        return tuple(msgspec.convert(row, shape) for row in page.rows)

    async def record(self, kind: str, id: str, shape: type[T]) -> T:
        return await self._get(f"/v1/records/{quote(kind, safe='')}/{quote(id, safe='')}", shape)

    async def record_history(self, kind: str, id: str) -> tuple[RecordEvent, ...]:
        path = f"/v1/records/{quote(kind, safe='')}/{quote(id, safe='')}/history"
        return await self._get(path, tuple[RecordEvent, ...])

    async def evidence(self, digest: str) -> EvidenceText:
        return await self._get(f"/v1/evidence/{quote(digest, safe='')}", EvidenceText)

    async def read(self, path: str, shape: type[T], **query: object) -> T:
        return await self._get(_path(path, dict(query)), shape)

    async def robots(self, *, text: str = "", cursor: str = "", limit: int = 1000) -> RobotPage:
        return await self._get(_path("/v1/robots", {"text": text, "cursor": cursor, "limit": limit}), RobotPage)

    async def robot(self, robot: str) -> RobotRow:
        return await self._get(f"/v1/robots/{quote(robot, safe='')}", RobotRow)

    async def cohorts(self) -> tuple[CohortView, ...]:
        return await self._get("/v1/cohorts", tuple[CohortView, ...])

    async def command(
        self,
        verb: str,
        target: str = "",
        args: dict[str, Json] | None = None,
        *,
        preview: bool = False,
        id: str = "",
        patience_s: float = 0.0,
    ) -> CommandAnswer:
        if not preview:
            self._may_change()
        request = CommandRequest(id=id or str(uuid.uuid4()), target=target, args=args or {}, preview=preview)
        path = f"/v1/commands/{quote(verb, safe='')}"
        return await self._send("POST", path, CommandAnswer, request, tries=1, patience_s=patience_s)

    def _may_change(self) -> None:
        """Whatever key or form comes here: a console that was opened to look sends nothing."""
        if self.only_looks:
            reason = "this console only looks: it was opened with --read-only"
            raise Refused(Problem(code="only_looks", reason=reason, fix="Open another one without it."))

    async def store_secret(self, entry: str, value: str) -> None:
        """Blocking and short, over the plain socket: the value passes through as few hands as possible."""
        self._may_change()
        try:
            if value:
                await asyncio.to_thread(wire.put_secret, self.home, entry, value.encode(), self.headers)
            else:
                await asyncio.to_thread(wire.delete_secret, self.home, entry, self.headers)
        except Unreachable as error:
            raise EngineUnreachable(str(error)) from error

    async def changes(self, after: int = 0) -> AsyncIterator[Changes]:
        """Ticks until the link ends: quietly when the engine says `bye`, else with `EngineUnreachable`.

        A reader that fell too far behind gets one tick with `dropped` and nothing else: take a new snapshot then.
        """
        import httpx

        http = await self._client()
        try:
            async with http.stream(
                "GET",
                _path("/v1/feed", {"mode": "changes", "after": after}),
                timeout=httpx.Timeout(10.0, read=SILENCE_S),
            ) as answer:
                if answer.status_code >= 400:
                    await answer.aread()
                    raise _refused(answer)
                async for name, data in _sse(answer.aiter_raw()):
                    if name == "bye":
                        return
                    if name == "resync":
                        far = msgspec.json.decode(data, type=dict[str, int])
                        yield Changes(seq=far["seq"], at=0.0, sent=time.time(), dropped=far["behind"])
                    elif name == "changes":
                        tick = msgspec.json.decode(data, type=Changes)
                        self._measure(tick)
                        yield tick
        except (httpx.TransportError, httpx.StreamError) as error:
            raise EngineUnreachable(f"the feed of {self.home.socket} ended: {type(error).__name__}") from error

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _get(self, path: str, kind: type[T]) -> T:
        return await self._send("GET", path, kind, None, tries=_TRIES)

    async def _send(
        self, method: str, path: str, kind: type[T], body: Any, *, tries: int, patience_s: float = 0.0
    ) -> T:
        http = await self._client()
        import httpx

        timeout = httpx.Timeout(patience_s, connect=5.0) if patience_s else httpx.USE_CLIENT_DEFAULT

        content = None if body is None else msgspec.json.encode(body)
        for left in reversed(range(tries)):
            try:
                answer = await http.request(method, path, content=content, timeout=timeout)
                break
            except httpx.TransportError as error:
                if not left or isinstance(error, httpx.TimeoutException):
                    raise EngineUnreachable(
                        f"no engine answers at {self.home.socket} ({type(error).__name__})"
                    ) from error
                await asyncio.sleep(0.05)
        if answer.status_code >= 400:
            raise _refused(answer)
        return msgspec.json.decode(answer.content, type=kind)

    async def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            async with self._opening:
                if self._http is None:
                    self._http = await asyncio.to_thread(self._open)
        return self._http

    def _open(self) -> httpx.AsyncClient:
        import httpx  # a tenth of a second: in a thread, after the first frame

        return httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(self.home.socket), limits=httpx.Limits(max_connections=8)),
            base_url="http://engine",
            headers={**self.headers, "Content-Type": "application/json"},
            timeout=httpx.Timeout(30.0, connect=5.0),
            trust_env=False,
        )

    def _measure(self, tick: Changes) -> None:
        delay = time.time() - tick.sent
        self._skew = delay if self._skew is None else min(self._skew, delay)
        self.lag = delay - self._skew


def headers(person: str = "", *, script: bool = False) -> dict[str, str]:
    """The sandbox's two headers; the engine refuses them elsewhere."""
    found = {"X-Quarterdeck-As": person} if person else {}
    return {**found, "X-Quarterdeck-Via": "script"} if script else found


def _path(path: str, query: dict[str, Any]) -> str:
    said = {name: value for name, value in query.items() if value not in ("", 0)}
    return f"{path}?{urlencode(said)}" if said else path


def _refused(answer: httpx.Response) -> Refused:
    try:
        problem = msgspec.json.decode(answer.content, type=Problem)
    except msgspec.DecodeError:
        problem = Problem(code=f"http_{answer.status_code}", reason=f"the engine answered {answer.status_code}")
    return Refused(problem, answer.status_code)


async def _sse(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, bytes]]:
    rest, name, data = b"", "message", []
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif line.startswith(b"event:"):
                name = line[6:].strip().decode("utf-8", "replace")
            elif not line:
                if data:
                    yield name, b"\n".join(data)
                name, data = "message", []
