"""Who listens to what is committed. A listener that does not keep up loses its queue, never the engine its pace."""

from __future__ import annotations

import asyncio
from collections import deque

from engine.store.records import Commit, Recorded

BOUND = 20_000


class Subscription:
    """Every committed event in order, from the moment of subscribing.

    When more than `bound` are waiting, all are dropped and `overflowed` is set: the listener reads the journal from
    the last `seq` it knows, calls `reset`, and goes on.
    """

    def __init__(self, feed: Feed, bound: int = BOUND) -> None:
        self._feed, self._bound = feed, bound
        self._queue: deque[Commit] = deque()
        self._waiting = 0
        self._wake = asyncio.Event()
        self.overflowed = False
        self.closed = False

    def push(self, commit: Commit) -> None:
        """Keeps a commit; what it recorded is spelled out when it is asked for."""
        if self.overflowed:
            return
        self._waiting += len(commit.data)
        if self._waiting > self._bound:
            self.overflowed = True
            self._clear()
        else:
            self._queue.append(commit)
        if not self._wake.is_set():
            self._wake.set()

    async def get(self) -> list[Recorded]:
        """What is there, waiting for at least one; an empty list after an overflow or when closed."""
        while not self._queue and not self.overflowed and not self.closed:
            self._wake.clear()
            await self._wake.wait()
        found = [record for commit in self._queue for record in commit.recorded()]
        self._clear()
        return found

    def _clear(self) -> None:
        self._queue.clear()
        self._waiting = 0

    def reset(self) -> None:
        """The listener has caught up by itself."""
        self.overflowed = False

    def close(self) -> None:
        self.closed = True
        self._feed.subscriptions.discard(self)
        self._wake.set()


class Feed:
    """Fans committed events out."""

    def __init__(self) -> None:
        self.subscriptions: set[Subscription] = set()

    def subscribe(self, bound: int = BOUND) -> Subscription:
        subscription = Subscription(self, bound)
        self.subscriptions.add(subscription)
        return subscription

    def push(self, commit: Commit) -> None:
        for subscription in self.subscriptions:
            subscription.push(commit)

    def close(self) -> None:
        for subscription in list(self.subscriptions):
            subscription.close()
