"""What is recorded beside runs: the engine's own events, definitions, redactions, and rows no event speaks of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from engine.core.commands import Refusal
from engine.hosts.settings import Answer
from engine.store import statements as sql
from engine.store.records import ENGINE, SYSTEM, Actor, Commit
from engine.store.run_queries import OPEN_STATUS

if TYPE_CHECKING:
    from engine.hosts.embedded import Host

Json = Any
Rows = Sequence[tuple[str, Sequence[tuple[Any, ...]]]]
Done = Callable[[Commit, BaseException | None], None]


class SystemRecords:
    """Events of no run."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def note(self, type_: str, data: dict[str, Json], *, extra: Rows = (), then: Done | None = None) -> None:
        """Records an event of the engine's own (and rows with it), without waiting."""

        def done(commit: Commit, error: BaseException | None) -> None:
            if error is None:
                self._host.feed.push(commit)
            if then is not None:
                then(commit, error)

        self._put(type_, data, actor=ENGINE, cause=type_, done=done, extra=extra)

    def write(self, extra: Rows, done: Done) -> None:
        """Writes rows that no event speaks of (marks, stale timers)."""
        self._host.journal.put(
            Commit(
                run=SYSTEM, before=0, events=(), data=(), types=(), at=0, actor=ENGINE, cause="", done=done, extra=extra
            )
        )

    async def record(
        self,
        type_: str,
        data: dict[str, Json],
        *,
        actor: Actor,
        cause: str,
        id: str | None = None,
        extra: Rows = (),
        answer: Answer | None = None,
    ) -> Answer:
        """Writes an event and its rows, and waits until they are on disk."""
        host = self._host
        host.check_writable()
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        told = answer or Answer(seq=0, run="")

        def done(commit: Commit, error: BaseException | None) -> None:
            if id is not None:
                host.asked.pop(id, None)
            if error is None:
                host.feed.push(commit)
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(msgspec.structs.replace(told, seq=commit.first))

        if id is not None:
            host.asked[id] = future
        stored = None if id is None else lambda first: msgspec.json.encode(msgspec.structs.replace(told, seq=first))
        self._put(type_, data, actor=actor, cause=cause, done=done, extra=extra, id=id, answer=stored)
        return await asyncio.shield(future)

    async def redact(self, seq: int, *, reason: str, id: str, actor: Actor) -> Answer:
        """Replaces the payload of an event by its digest."""
        host = self._host
        rows = host.loader.rows(
            "select e.run, e.n, e.type, e.data, e.digest, r.status from events e left join runs r on r.id = e.run "
            "where e.seq = ?",
            (seq,),
        )
        if not rows:
            refusal = Refusal(code="not_found", reason=f"there is no event {seq}")
            return Answer(seq=host.journal.seq, run="", refusal=refusal)
        run, n, type_, data, digest, status = rows[0]
        live = host.runs.peek(run)
        if status in OPEN_STATUS or (live is not None and live.state.open):
            refusal = Refusal(
                code="in_flight",
                reason=f"{run} is {status}: its state is folded from its events",
                fix="end the run first",
            )
            return Answer(seq=host.journal.seq, run=run, refusal=refusal)
        digest = sha256(data).digest() if data is not None else digest
        if run:
            host.runs.drop(run)
        return await self.record(
            "PayloadRedacted",
            {"seq": seq, "run": run, "n": n, "event": type_, "digest": digest.hex(), "reason": reason},
            actor=actor,
            cause=id,
            id=id,
            extra=[
                (sql.REDACT, [(None, digest, seq)]),
                (sql.BLOB_OFF, [(digest,)]),
                (sql.SNAPSHOT_OFF, [(run,)]),
            ],
            answer=Answer(seq=0, run=run, events=("PayloadRedacted",), result={"seq": seq, "digest": digest.hex()}),
        )

    def _put(
        self,
        type_: str,
        data: dict[str, Json],
        *,
        actor: Actor,
        cause: str,
        done: Done,
        extra: Rows = (),
        id: str | None = None,
        answer: Callable[[int], bytes] | None = None,
    ) -> None:
        host = self._host
        host.journal.put(
            Commit(
                run=SYSTEM,
                before=0,
                events=(),
                types=(type_,),
                data=(msgspec.json.encode({"type": type_, **data}),),
                at=int(host.clock.now() * 1e6),
                actor=actor,
                cause=cause,
                done=done,
                extra=extra,
                command=id,
                answer=answer,
            )
        )
