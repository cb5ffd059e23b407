"""What the console knows: the newest state of what it was told, with its age. Screens read it and never wait for it.

Rules: values are replaced whole, never edited; every change has a number, so that a screen asks "what changed since I
last looked" and gets either the ids or None (look at everything); losing the engine loses nothing that is held here.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING

from engine.contract.gates import GateSummary
from engine.contract.rollouts import RolloutSummary
from engine.contract.runs import RunSummary
from engine.contract.system import Changes, EngineStatus, FeedLine, Me, WatchSnapshot

if TYPE_CHECKING:
    from engine.contract.oncall import OnCallView

RUNS_HELD = 20_000
FEED_HELD = 500
HISTORY = 256
"""Deltas remembered: at 5 a second, a screen that was covered for 50 s still gets a delta instead of everything."""
NOTED = 40_000
"""Ids remembered in them: when very much changes, a covered screen looks at everything sooner."""


class Link(Enum):
    """`lost` keeps the data and its age; nothing is ever blanked."""

    CONNECTING = "connecting"
    LIVE = "live"
    LOST = "lost"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Delta:
    """Ids that changed. `feed` counts new lines."""

    runs: frozenset[str] = frozenset()
    gates: frozenset[str] = frozenset()
    rollouts: frozenset[str] = frozenset()
    records: frozenset[tuple[str, str]] = frozenset()
    """(kind, id) of records that changed."""
    feed: int = 0
    status: bool = False

    @property
    def size(self) -> int:
        return len(self.runs) + len(self.gates) + len(self.rollouts) + len(self.records)

    def of(self, *kinds: str) -> bool:
        """Whether a record of one of these kinds changed."""
        return any(kind in kinds for kind, _ in self.records)

    def __or__(self, other: Delta) -> Delta:
        return Delta(
            self.runs | other.runs,
            self.gates | other.gates,
            self.rollouts | other.rollouts,
            self.records | other.records,
            self.feed + other.feed,
            self.status or other.status,
        )


@dataclass(slots=True)
class Model:
    link: Link = Link.CONNECTING
    link_reason: str = ""
    retry_at: float = 0.0
    """Monotonic time of the next try, while the link is lost."""
    status: EngineStatus | None = None
    me: Me | None = None
    seq: int = 0
    lag_s: float = 0.0
    dropped: int = 0
    runs: OrderedDict[str, RunSummary] = field(default_factory=OrderedDict)
    gates: dict[str, GateSummary] = field(default_factory=dict)
    rollouts: dict[str, RolloutSummary] = field(default_factory=dict)
    feed: deque[FeedLine] = field(default_factory=lambda: deque(maxlen=FEED_HELD))
    counts: dict[str, int] = field(default_factory=dict)
    oncall: OnCallView | None = None
    """Who is on duty, what is offered to me, what I watch: as last asked."""
    version: int = 0
    heard_at: float = 0.0
    """Monotonic time of the last word from the engine (heartbeats count)."""
    only_looks: bool = False
    """This console was opened to look: nothing leaves it that would change anything."""
    _clock: tuple[float, float, float] | None = None
    _noted: int = 0
    _history: deque[tuple[int, Delta]] = field(default_factory=lambda: deque(maxlen=HISTORY))

    # -- time ---------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """The engine's time, carried on from its last word at its speed. It stands still while the link is lost."""
        if self._clock is None:
            return 0.0
        engine, heard, speed = self._clock
        if self.link is Link.LOST:
            return engine + (self.heard_at - heard) * speed
        return engine + (monotonic() - heard) * speed

    def age_s(self) -> float:
        """Real seconds since the engine was last heard."""
        return monotonic() - self.heard_at if self.heard_at else 0.0

    @property
    def loaded(self) -> bool:
        return self.status is not None

    def heard(self) -> None:
        self.heard_at = monotonic()

    def set_clock(self, status: EngineStatus) -> None:
        self._clock = (status.now, monotonic(), status.speed)

    # -- taking in ----------------------------------------------------------------------------------------------

    def load(self, snapshot: WatchSnapshot) -> None:
        """A whole new picture (first connection, or again after the link was lost)."""
        self.status, self.me, self.seq = snapshot.status, snapshot.me, snapshot.seq
        self.set_clock(snapshot.status)
        self.gates = {gate.id: gate for gate in snapshot.needs}
        self.rollouts = {rollout.id: rollout for rollout in snapshot.rollouts}
        for run in snapshot.runs:
            self._hold(run)
        known = {line.seq for line in self.feed}
        for line in sorted(snapshot.feed, key=lambda line: line.seq):
            if line.seq not in known:
                self.feed.append(line)
        self.counts = dict(snapshot.counts)
        self.link, self.link_reason = Link.LIVE, ""
        self.heard()
        self.version += 1
        self._history.clear()
        self._noted = 0

    def apply(self, changes: Changes) -> Delta:
        """One tick of the feed."""
        for run in changes.runs:
            self._hold(run)
        for gate in changes.gates:
            self.gates[gate.id] = gate
        for gone in changes.closed_gates:
            self.gates.pop(gone, None)
        for rollout in changes.rollouts:
            self.rollouts[rollout.id] = rollout
        fresh = 0
        last = self.feed[-1].seq if self.feed else 0
        for line in changes.lines:
            if line.seq > last:
                self.feed.append(line)
                last = line.seq
                fresh += 1
        self.counts.update(changes.counts)
        if changes.status is not None:
            self.status = changes.status
            self.set_clock(changes.status)
        self.seq = max(self.seq, changes.seq)
        self.dropped += changes.dropped
        self.heard()
        return self._note(
            Delta(
                frozenset(run.id for run in changes.runs),
                frozenset(gate.id for gate in changes.gates) | frozenset(changes.closed_gates),
                frozenset(rollout.id for rollout in changes.rollouts),
                frozenset((mark.kind, mark.id) for mark in changes.records),
                fresh,
                changes.status is not None or bool(changes.counts),
            )
        )

    def set_link(self, link: Link, reason: str = "", retry_at: float = 0.0) -> None:
        self.link, self.link_reason, self.retry_at = link, reason, retry_at
        self._note(Delta(status=True))

    def set_oncall(self, view: OnCallView) -> None:
        self.oncall = view
        self._note(Delta(status=True))

    def _note(self, delta: Delta) -> Delta:
        self.version += 1
        if len(self._history) == HISTORY:
            self._noted -= self._history[0][1].size
        self._history.append((self.version, delta))
        self._noted += delta.size
        while self._noted > NOTED and len(self._history) > 1:
            self._noted -= self._history.popleft()[1].size
        return delta

    def _hold(self, run: RunSummary) -> None:
        held = self.runs.get(run.id)
        if held is not None and held.version > run.version:
            return
        self.runs[run.id] = run
        self.runs.move_to_end(run.id)
        while len(self.runs) > RUNS_HELD:
            self.runs.popitem(last=False)

    # -- asking -------------------------------------------------------------------------------------------------

    def since(self, version: int) -> Delta | None:
        """What changed after `version`; None when that is too long ago, so look at everything."""
        if version == self.version:
            return Delta()
        if not self._history or self._history[0][0] > version + 1:
            return None
        total = Delta()
        for number, delta in self._history:
            if number > version:
                total = total | delta
        return total

    def blocked(self) -> str:
        """Why nothing can be changed now; empty when it can."""
        if self.only_looks:
            return "this console only looks: it was opened with --read-only"
        if self.link is Link.LIVE:
            if self.status is not None and self.status.state == "read_only":
                return f"the engine takes no commands: {self.status.message or 'read-only'}"
            return ""
        if self.link is Link.CONNECTING:
            return "still connecting to the engine"
        return f"the engine can't be reached ({self.link_reason or 'link lost'}); shown data is {age(self.age_s())} old"


def age(seconds: float) -> str:
    """A duration in at most two units: 42s, 4m12s, 3h05m, 2d4h."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{int(seconds)}s"
    if seconds < 3600:
        return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"
    if seconds < 86400:
        return f"{int(seconds // 3600)}h{int(seconds % 3600 // 60):02d}m"
    return f"{int(seconds // 86400)}d{int(seconds % 86400 // 3600)}h"


def coarse(seconds: float) -> str:
    """A duration in one unit, for lists: it changes rarely, so a quiet list stays quiet on the wire."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return "<1m"
    if seconds < 3600:
        return f"{int(seconds // 60)}m"
    if seconds < 86400 * 2:
        return f"{int(seconds // 3600)}h"
    return f"{int(seconds // 86400)}d"
