"""The live feed: server-sent events whose id is the journal's sequence.

Two modes. `events` gives every event exactly once, in order: subscribe before reading, replay what is later than the
last id in pages, then live, dropping what was already given; a reader too slow for its queue is brought back by the
journal, which has everything. `changes` gives, at most five times a second, the latest state of what changed: a slow
reader gets fewer and larger ticks, never a backlog.

A stalled reader costs its own bounded memory and nobody else anything. Every tick carries the commit time and the
time of sending, because a tunnel hides megabytes: only the reader can see that it lags.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from engine.api.access import Caller
from engine.api.door import Door
from engine.api.inert import encode
from engine.api.views import event_view, feed_line, gates_for, is_news
from engine.contract.common import View
from engine.contract.records import RecordMark
from engine.contract.system import Changes, FeedLine
from engine.store.record_projection import CHANGED

TICK_S = 0.2
HEARTBEAT_S = 10.0
PAGE = 1000
TOO_FAR = 20_000
"""Events behind the head at which a `changes` reader is sent to take a new snapshot instead."""
LINES = 50
ROWS = 500
"""Runs (and gates) named in one tick; more are counted in `dropped`, and the reader asks for its page again."""
BYE = b"event: bye\ndata: {}\n\n"
HEARTBEAT = b": hb\n\n"


class Resync(View, frozen=True, kw_only=True):
    """The reader is too far behind to be brought up event by event: take a snapshot and go on from `seq`."""

    seq: int
    behind: int


async def events(door: Door, after: int, run: str = "") -> AsyncIterator[bytes]:
    """Every event later than `after`, once, in order, until the engine stops or the reader goes."""
    subscription = door.host.subscribe()
    door.clients += 1
    stop = asyncio.create_task(door.stopping.wait())
    last = after
    try:
        yield HEARTBEAT  # the head of the answer goes out now, not with the first event
        while True:
            subscription.overflowed = False
            head = await asyncio.to_thread(door.reads.head)
            while rows := (await asyncio.to_thread(door.reads.events, run=run, after=last, limit=PAGE)).rows:
                last = rows[-1].seq
                yield b"".join(_frame(row.seq, event_view(row)) for row in rows)
                if door.stopping.is_set():
                    yield BYE
                    return
            last = max(last, head)  # with `run`, others' events lie in between
            while not subscription.overflowed:
                batch = await _next(subscription, stop)
                if batch is None:
                    yield HEARTBEAT
                    continue
                if stop.done() or not (batch or subscription.overflowed):  # stopping, or the host has closed its feed
                    yield BYE
                    return
                fresh = [row for row in batch if row.seq > last]
                if fresh and fresh[0].seq > last + 1:
                    break  # something was missed: the journal has it
                if fresh:
                    last = fresh[-1].seq
                    wanted = [_frame(row.seq, event_view(row)) for row in fresh if not run or row.run == run]
                    if wanted:
                        yield b"".join(wanted)
    finally:
        stop.cancel()
        door.clients -= 1
        subscription.close()


async def changes(door: Door, caller: Caller, after: int) -> AsyncIterator[bytes]:
    """Ticks with the latest state of what changed since `after` (0: since now)."""
    subscription = door.host.subscribe()
    door.clients += 1
    pending = _Pending()
    pump: asyncio.Task[None] | None = None
    try:
        yield HEARTBEAT
        head = await asyncio.to_thread(door.reads.head)
        if after and head - after > TOO_FAR:
            yield _named("resync", head, Resync(seq=head, behind=head - after))
            after = head
        pending.seq = after or head
        if after:
            await _catch_up(door, pending)
        pump = asyncio.create_task(_pump(door, subscription, pending))
        status_due = 0.0
        while True:
            await pending.wait(HEARTBEAT_S)
            if door.stopping.is_set():
                yield BYE
                return
            if pump.done():
                pump.result()
            started = time.monotonic()
            with_status = started >= status_due
            if with_status:
                status_due = started + HEARTBEAT_S
            if pending.empty and not with_status:
                yield HEARTBEAT
                continue
            taken = pending.take()
            yield _named("changes", taken.seq, await asyncio.to_thread(_tick, door, caller, taken, with_status))
            await asyncio.sleep(max(0.0, TICK_S - (time.monotonic() - started)))
    finally:
        if pump:
            pump.cancel()
        door.clients -= 1
        subscription.close()


class _Taken(msgspec.Struct):
    seq: int
    at: float
    runs: list[str]
    gates: list[str]
    records: dict[tuple[str, str], RecordMark]
    lines: tuple[FeedLine, ...]
    dropped: int


class _Pending:
    """What changed since the last tick. Bounded by what is named in a tick, not by how many events there were."""

    def __init__(self) -> None:
        self.seq, self.at = 0, 0.0
        self._runs: dict[str, None] = {}
        self._gates: dict[str, None] = {}
        self._records: dict[tuple[str, str], RecordMark] = {}
        self._lines: deque[FeedLine] = deque(maxlen=LINES)
        self._dropped = 0
        self._changed = asyncio.Event()

    @property
    def empty(self) -> bool:
        return not self._runs and not self._lines and not self._records and not self._dropped

    def add(self, rows: Sequence[Any]) -> None:
        for row in rows:
            if row.seq <= self.seq:
                continue
            self.seq, self.at = row.seq, row.at
            if row.run:
                self._note(self._runs, row.run)
            view = event_view(row)
            data = view.data if isinstance(view.data, dict) else {}
            if row.type == CHANGED:
                self._mark(data)
            if gate := data.get("gate"):
                self._note(self._gates, str(gate))
            if is_news(view):
                if len(self._lines) == LINES:
                    self._dropped += 1
                self._lines.append(feed_line(view))
        self._changed.set()

    def _mark(self, data: dict[str, Any]) -> None:
        key = (str(data["kind"]), str(data["id"]))
        if key not in self._records and len(self._records) >= ROWS:
            self._dropped += 1
        else:
            self._records[key] = RecordMark(kind=key[0], id=key[1], rev=int(data["rev"]), state=str(data["to"]))

    def _note(self, kept: dict[str, None], name: str) -> None:
        if name in kept:
            return
        if len(kept) >= ROWS:
            self._dropped += 1
        else:
            kept[name] = None

    def wake(self) -> None:
        self._changed.set()

    async def wait(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return

    def take(self) -> _Taken:
        taken = _Taken(
            self.seq, self.at, list(self._runs), list(self._gates), self._records, tuple(self._lines), self._dropped
        )
        self._runs, self._gates, self._records = {}, {}, {}
        self._lines.clear()
        self._dropped = 0
        self._changed.clear()
        return taken


async def _pump(door: Door, subscription: Any, pending: _Pending) -> None:
    """Takes from the subscription as fast as it gives, so that a reader that stalls fills no queue of the host."""
    stop = asyncio.create_task(door.stopping.wait())
    stop.add_done_callback(lambda _: pending.wake())
    try:
        while True:
            if subscription.overflowed:
                subscription.overflowed = False
                await _catch_up(door, pending)
            batch = await subscription.get()
            if not batch and not subscription.overflowed:
                return  # the host has closed its feed
            pending.add(batch)
    finally:
        stop.cancel()


async def _catch_up(door: Door, pending: _Pending) -> None:
    while rows := (await asyncio.to_thread(door.reads.events, run="", after=pending.seq, limit=PAGE)).rows:
        pending.add(rows)


def _tick(door: Door, caller: Caller, taken: _Taken, with_status: bool) -> Changes:
    gates = gates_for(door, caller, door.reads.gate_rows(taken.gates)) if taken.gates else ()
    return Changes(
        seq=taken.seq,
        at=taken.at,
        sent=time.time(),
        runs=door.reads.run_rows(taken.runs) if taken.runs else (),
        gates=tuple(gate for gate in gates if gate.state == "open"),
        closed_gates=tuple(gate.id for gate in gates if gate.state != "open"),
        rollouts=door.rollouts.rollout_rows(taken.runs) if taken.runs else (),
        records=tuple(taken.records.values()),
        lines=taken.lines,
        counts=door.reads.counts(),
        status=door.status() if with_status else None,
        dropped=taken.dropped,
    )


async def _next(subscription: Any, stop: asyncio.Task[Any]) -> Sequence[Any] | None:
    """The next batch; empty when the engine stops; None after a heartbeat's time without either."""
    getting = asyncio.ensure_future(subscription.get())
    try:
        done, _ = await asyncio.wait({getting, stop}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not getting.done():
            getting.cancel()
    if stop in done:
        return ()
    return getting.result() if getting in done else None


def _frame(seq: int, value: View) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (seq, encode(value))


def _named(name: str, seq: int, value: View) -> bytes:
    return b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), seq, encode(value))
