"""The states in memory: runs are loaded when a command comes for them and let go when they rest."""

from __future__ import annotations

import zlib
from collections import OrderedDict

from msgspec import Struct

from engine.core.definition import Definition
from engine.core.state import State
from engine.store.loading import Loader


class Live(Struct, gc=True):
    """One run in memory. `state` may be ahead of the file by `pending` commits; `waits` is what the file holds of them."""

    run: str
    number: int
    definition: Definition
    state: State
    seed: int
    attributes: str = ""
    snapshot_n: int = 0
    commits: int = 0
    pending: int = 0
    large: bool = False
    waits: tuple[tuple[str, str, str], ...] | None = None


class LiveRuns:
    """An LRU of live runs. Only what rests (no commit under way) may go; loading again is one read."""

    def __init__(self, loader: Loader, limit: int) -> None:
        self._loader, self._limit = loader, limit
        self._runs: OrderedDict[str, Live] = OrderedDict()

    def __len__(self) -> int:
        return len(self._runs)

    def get(self, run: str) -> Live | None:
        """The run's live state, loaded if need be. None when there is no such run."""
        live = self._runs.get(run)
        if live is not None:
            self._runs.move_to_end(run)
            return live
        loaded = self._loader.load(run)
        if loaded is None:
            return None
        definition = self._loader.definition(loaded.digest)
        if definition is None:
            return None
        live = Live(
            run,
            loaded.number,
            definition,
            loaded.state,
            seed_of(run),
            attributes=loaded.attributes,
            snapshot_n=loaded.snapshot_n,
        )
        self.add(live)
        return live

    def definition(self, digest: str) -> Definition | None:
        return self._loader.definition(digest)

    def add(self, live: Live) -> None:
        self._runs[live.run] = live
        if len(self._runs) > self._limit:
            self._shrink()

    def peek(self, run: str) -> Live | None:
        return self._runs.get(run)

    def drop(self, run: str) -> None:
        """Forgets a state that a commit did not keep."""
        self._runs.pop(run, None)

    def rest(self, live: Live) -> None:
        """A run that ended and has nothing under way leaves at once."""
        if live.pending == 0 and not live.state.open:
            self._runs.pop(live.run, None)

    def _shrink(self) -> None:
        for run in list(self._runs)[: max(16, self._limit // 50)]:
            if self._runs[run].pending == 0:
                del self._runs[run]


def seed_of(run: str) -> int:
    """What jitter is derived from, together with step and attempt."""
    return zlib.crc32(run.encode())
