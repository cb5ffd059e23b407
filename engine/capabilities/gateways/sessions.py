"""Sessions that are open now: between a person and a gateway stands the engine, which records and which ends them.

Rules:
- Nothing reaches the person that is not in the recording first; a recording that can't go on ends the session.
- The end of a grant, its revocation, silence, and the end of the person's own connection cut the session from here. The
  certificate ends it on the gateway too, also when no engine lives.
- A person who reads slowly slows the gateway down; nothing is dropped, and memory stays flat.
- An engine that died left the recording on its disk: the next one keeps it and calls the session lost.

Lengths of people's time (idle, detach) are real seconds where the engine's clock is faster than life.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.capabilities.gateways import casts
from engine.capabilities.gateways.casts import Cast, Full
from engine.capabilities.ports import ActionError, Clock
from engine.capabilities.records import Emit, RecordError, Records
from engine.capabilities.systems.ports import Terminal
from engine.capabilities.vault import Vault
from engine.contract.access import Grant
from engine.contract.gateways import SESSION_LIVE, SessionEnd, SshSession

log = logging.getLogger("quarterdeck.gateways")
Json = Any
PART = 1 << 16
EVERY_S = 0.5
"""How often an open session's grant is looked at: it is ended within two seconds."""
HEARTBEAT_S = 10.0
"""How often an empty line says that the session stands though nothing is said."""
GRANT_LIVE = ("active",)


class Live:
    """One open session."""

    def __init__(self, record: SshSession, terminal: Terminal, cast: Cast, policy: Mapping[str, Json]) -> None:
        self.record, self.terminal, self.cast = record, terminal, cast
        self.policy = policy
        self.began = self.touched = time.monotonic()
        self.more = asyncio.Condition()
        self.read_to = 0
        self.readers = 0
        self.left_at = time.monotonic()
        self.input_b = 0
        self.end: SessionEnd | None = None
        self.ending: asyncio.Future[SessionEnd] | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


class Sessions:
    """All open sessions of this engine. `bind` before anything is opened; `run` for as long as the engine lives."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._live: dict[str, Live] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._records: Records | None = None
        self._vault: Vault | None = None
        self.judging = asyncio.Lock()

    def bind(self, records: Records, vault: Vault) -> None:
        """The book and the vault as the engine itself writes to them."""
        self._records, self._vault = records, vault

    @property
    def records(self) -> Records:
        if self._records is None:
            raise ActionError("NotReady", "the engine has not started yet", kind="unavailable")
        return self._records

    def find(self, id: str) -> Live | None:
        return self._live.get(id)

    def path(self, id: str) -> Path:
        return self._folder / f"{Path(id).name}.cast"

    def cast(self, record: SshSession, policy: Mapping[str, Json]) -> Cast:
        """The recording of a session that is about to open. Raises ActionError `NoRecording`: then it must not open."""
        try:
            return Cast(
                self.path(record.id), cols=record.cols, rows=record.rows, at=time.time(), limit=int(policy["recording"]["limit_b"]),
                title=f"{record.id} {record.person} on {record.gateway}", term="" if record.command else "xterm-256color",
            )  # fmt: skip
        except OSError as error:
            raise ActionError(
                "NoRecording", f"it can't be recorded ({error.strerror}): an unrecorded session does not start",
                kind="unavailable", retryable=False,
            ) from error  # fmt: skip

    def opened(self, record: SshSession, terminal: Terminal, cast: Cast, policy: Mapping[str, Json]) -> None:
        live = Live(record, terminal, cast, policy)
        self._live[record.id] = live
        self._kept(asyncio.create_task(self._pump(live), name=f"session {record.id}"))

    # -- what the person's end asks ----------------------------------------------------------------------------------

    async def typed(self, id: str, data: bytes) -> None:
        """Raises ActionError `SessionEnded`."""
        live = self._running(id)
        live.touched = time.monotonic()
        live.input_b += len(data)
        if live.policy["recording"]["input"]:
            with contextlib.suppress(Full, OSError):  # the pump meets the same trouble, and ends it
                live.cast.event(live.seconds, "i", data.decode("utf-8", "replace"))
        await live.terminal.write(data)

    def resized(self, id: str, cols: int, rows: int) -> None:
        live = self._running(id)
        with contextlib.suppress(Full, OSError):
            live.cast.event(live.seconds, "r", f"{cols}x{rows}")
        live.terminal.resize(cols, rows)

    async def output(self, id: str, *, owner: bool) -> AsyncIterator[bytes]:
        """The recording as it grows, line by line; the last line is how it ended. The owner's reading is what the gateway
        waits for, and the owner's leaving is noticed."""
        live = self._live.get(id)
        if live is None:
            raise ActionError("SessionEnded", f"{id} is not open", kind="conflict", retryable=False)
        at = 0
        live.readers += owner
        try:
            with live.cast.path.open("rb") as stream:
                while True:
                    data = stream.read(PART)
                    if data:
                        at += len(data)
                        yield data
                        if owner:
                            live.read_to = at
                            async with live.more:
                                live.more.notify_all()
                        continue
                    if live.end is not None:
                        yield msgspec.json.encode(live.end) + b"\n"
                        return
                    try:
                        async with asyncio.timeout(HEARTBEAT_S), live.more:
                            if live.cast.size == at and live.end is None:
                                await live.more.wait()
                    except TimeoutError:
                        yield b"\n"
        finally:
            live.readers -= owner
            live.left_at = time.monotonic()

    async def end(self, id: str, why: str, *, state: str = "cut", records: Records | None = None) -> SessionEnd:
        """Cuts it. `records` names who did, when it was not the engine. Ended already: how it did."""
        live = self._live.get(id)
        if live is None:
            raise ActionError("SessionEnded", f"{id} is not open", kind="conflict", retryable=False)
        return await self._end(live, state, why, records)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _running(self, id: str) -> Live:
        live = self._live.get(id)
        if live is None or live.end is not None or live.ending is not None:
            raise ActionError("SessionEnded", f"{id} has ended", kind="conflict", retryable=False)
        return live

    def _kept(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pump(self, live: Live) -> None:
        """From the gateway into the recording, no faster than the person reads."""
        backlog = int(live.policy["recording"]["backlog_b"])
        try:
            while data := await live.terminal.read():
                live.touched = time.monotonic()
                live.cast.said(live.seconds, data)
                async with live.more:
                    live.more.notify_all()
                    while live.cast.size - live.read_to > backlog and live.ending is None:
                        await live.more.wait()
            code = live.terminal.exit
            why = f"left with status {code}" if code is not None else "the connection to the gateway ended"
            await self._end(live, "ended" if code is not None else "cut", why)
        except Full as error:
            await self._end(live, "cut", f"{error}: what is not recorded does not happen")
        except OSError as error:
            await self._end(live, "cut", f"it could not be recorded any more ({error.strerror})")
        except Exception:
            log.exception("session %s broke", live.record.id)
            await self._end(live, "cut", "the engine failed on it")

    async def _end(self, live: Live, state: str, why: str, records: Records | None = None) -> SessionEnd:
        if live.ending is not None:
            return await asyncio.shield(live.ending)
        live.ending = asyncio.get_running_loop().create_future()
        async with live.more:
            live.more.notify_all()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(live.terminal.close(), 3.0)
        end = SessionEnd(session=live.record.id, exit=live.terminal.exit if state == "ended" else None, why=why)
        try:
            with contextlib.suppress(Full, OSError):
                live.cast.said(live.seconds, b"", final=True)
                live.cast.event(live.seconds, "m", why)
            end = await self._closed(live, end, state, records or self.records)
        except Exception:  # the recording stays on disk: the next start of the engine keeps it
            log.exception("the end of session %s could not be recorded", live.record.id)
        finally:
            live.end = end
            async with live.more:
                live.more.notify_all()
            live.ending.set_result(end)
            self._live.pop(live.record.id, None)
        return end

    async def _closed(self, live: Live, end: SessionEnd, state: str, records: Records) -> SessionEnd:
        cast = live.cast
        await asyncio.to_thread(cast.close)
        digest = await self._keep(live.record.id)
        end = msgspec.structs.replace(end, recording=digest)
        await closed(
            records,
            live.record,
            state,
            end,
            now=self._clock.now(),
            seconds=cast.seconds,
            output=cast.output,
            typed=live.input_b,
        )
        return end

    async def _keep(self, id: str) -> str:
        """Moves a recording into the vault; its digest."""
        assert self._vault is not None
        path = self.path(id)
        kept = await asyncio.to_thread(
            self._vault.put_file, path, media=casts.MEDIA, source="gateways", name=f"{id}.cast"
        )
        path.unlink(missing_ok=True)
        return str(kept.digest)

    # -- while the engine lives ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ends what has to end; first of all what an engine before this one left open."""
        await self._recover()
        while True:
            await asyncio.sleep(EVERY_S)
            for live in list(self._live.values()):
                try:
                    why = "" if live.ending is not None else await self._over(live)
                except Exception:  # nobody can say whether it may go on: then it may not
                    log.exception("session %s can't be judged", live.record.id)
                    why = "whether it may go on can't be found out"
                if why:
                    self._kept(asyncio.create_task(self._cut(live, why)))

    async def _cut(self, live: Live, why: str) -> None:
        await self._end(live, "cut", why)

    async def _over(self, live: Live) -> str:
        """Why a session has to end now; empty when it may go on. What can't be found out ends it."""
        record, limits, now = live.record, live.policy["session"], self._clock.now()
        if record.grant:
            grant: Grant | None = await self.records.get("grant", record.grant)
            if grant is None or grant.state not in GRANT_LIVE:
                return f"{record.grant} {'is gone' if grant is None else f'was {grant.state}' if grant.state != 'expired' else 'has ended'}"
        if now >= record.until:
            return f"{record.grant or 'its time'} has ended"
        if live.readers == 0 and time.monotonic() - live.left_at > float(limits["detach"]):
            return f"the connection of {record.person} ended"
        if time.monotonic() - live.touched > float(limits["idle"]):
            return "nothing was typed or said for too long"
        return ""

    async def _recover(self) -> None:
        left: list[SshSession] = await self.records.find("ssh_session", state=SESSION_LIVE, limit=1_000)
        for record in left:
            if record.id in self._live:
                continue
            why, path = "the engine went down while it was open", self.path(record.id)
            end = SessionEnd(session=record.id, why=why)
            seconds, output = 0.0, 0
            try:
                if path.exists():
                    seconds, output = await asyncio.to_thread(casts.length, path)
                    end = msgspec.structs.replace(end, recording=await self._keep(record.id))
                await closed(
                    self.records, record, "lost", end, now=self._clock.now(), seconds=seconds, output=output, typed=0
                )
            except (OSError, RecordError) as error:
                log.error("session %s was left open and could not be closed: %s", record.id, error)

    async def close(self) -> None:
        """The engine ends: so does everything that it stands between."""
        for live in list(self._live.values()):
            with contextlib.suppress(Exception):
                await self._end(live, "cut", "the engine was stopped")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def closed(
    records: Records,
    record: SshSession,
    state: str,
    end: SessionEnd,
    *,
    now: float,
    seconds: float,
    output: int,
    typed: int,
) -> None:
    """The end on the record of the session, and the digest on that of its grant."""
    told = {
        "session": record.id, "gateway": record.gateway, "site": record.site, "person": record.person, "grant": record.grant,
        "how": state, "why": end.why, "exit": end.exit, "recording": end.recording, "seconds": round(seconds, 1),
    }  # fmt: skip
    await records.change(
        "ssh_session",
        record.id,
        to=state,
        set={
            "ended_at": now, "ended_why": end.why, "exit": end.exit, "recording": end.recording, "recorded_s": round(seconds, 3),
            "output_b": output, "input_b": typed,
        },
        reason=end.why,
        emit=(Emit("qd.gateway.session.ended", told),),
    )  # fmt: skip
    if record.grant:
        await used(records, record.grant, stopped_at=now, output=output, recording=end.recording)


async def used(
    records: Records,
    grant: str,
    *,
    started_at: float = 0.0,
    stopped_at: float = 0.0,
    output: int = 0,
    recording: str = "",
) -> None:
    """What a session did with its grant, added to what was there."""
    found: Grant | None = await records.get("grant", grant)
    if found is None:
        return
    before = found.used
    after = msgspec.structs.replace(
        before,
        started_at=before.started_at or started_at,
        stopped_at=stopped_at or before.stopped_at,
        sessions=before.sessions + bool(started_at),
        bytes=before.bytes + output,
        actions=tuple(dict.fromkeys([*before.actions, "shell"])),
        recordings=tuple(dict.fromkeys([*before.recordings, *([recording] if recording else [])]))[-100:],
    )
    await records.change(
        "grant",
        grant,
        set={"used": msgspec.to_builtins(after)},
        reason="session opened" if started_at else "session ended",
    )
