"""Running facts of each stream of a recording: rates, silences, drops, order. Whole arrays at a time, memory of a fixed size.

The period of a stream is the median of the times between its messages, from a histogram with bins half a percent wide; what
is missing is counted from the same histogram at the end, so nothing has to be known beforehand and nothing grows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.capabilities.data.facts import WORST, Span, TopicFacts

STEP = math.log(1.005)
LOWEST_NS = 1_000.0
"""Times between messages are told apart from one microsecond on."""
BINS = int(math.log(1e16 / LOWEST_NS) / STEP) + 2
SILENCE = 1.5
"""From one and a half periods on, at least one message is missing."""
NEAR = 0.02
STRETCH = 16
"""Messages of a stretch whose rate is looked at by itself."""

Array = Any


class Stream:
    """One channel. `take` gets its messages in the order of the file."""

    def __init__(self, facts: TopicFacts) -> None:
        self.facts = facts
        self.bins: Array = None
        self.last_ns = -1
        self.last_seq = 0
        self.highest_ns = -1
        self.stepped_one = 0
        self.intervals = 0
        self._floor_ns = 0.0
        self._near_sum = self._near_count = 0
        self._gaps: list[tuple[int, int, int]] = []

    def take(self, times: Array, counters: Array, sizes: Array) -> None:
        """`times` int64 ns, `counters` int64, `sizes` int64."""
        facts, n = self.facts, len(times)
        if not facts.messages:
            facts.first = facts.last = int(times[0])
        facts.messages += n
        facts.bytes += int(sizes.sum())
        low, high = int(times.min()), int(times.max())
        facts.first, facts.last = min(facts.first, low), max(facts.last, high)
        if self.last_ns >= 0:
            times = np.concatenate((np.array([self.last_ns], dtype=np.int64), times))
            counters = np.concatenate((np.array([self.last_seq], dtype=np.int64), counters))
        self.last_ns, self.last_seq = int(times[-1]), int(counters[-1])
        if len(times) < 2:
            self.highest_ns = high
            return
        steps, counted = np.diff(times), np.diff(counters)
        self.intervals += len(steps)
        self.stepped_one += int(np.count_nonzero(counted == 1))
        ahead = steps > 0
        if not ahead.all():
            self._not_ahead(times, steps, counted)
            steps, counted, starts = steps[ahead], counted[ahead], times[:-1][ahead]
        else:
            starts = times[:-1]
        self.highest_ns = max(self.highest_ns, high)
        if not len(steps):
            return
        logs = np.log(np.maximum(steps, LOWEST_NS) / LOWEST_NS) / STEP
        places = np.minimum(logs.astype(np.int64), BINS - 1)
        counts = np.bincount(places, minlength=BINS)
        self.bins = counts if self.bins is None else self.bins + counts
        median = float(np.median(steps))
        near = steps[np.abs(steps - median) < NEAR * median]
        self._near_sum, self._near_count = self._near_sum + int(near.sum()), self._near_count + len(near)
        self._rate(steps)
        self._silences(steps, counted, starts)

    def _not_ahead(self, times: Array, steps: Array, counted: Array) -> None:
        facts = self.facts
        still = steps == 0
        facts.repeated += int(np.count_nonzero(still & (counted == 0)))
        facts.frozen += int(np.count_nonzero(still & (counted != 0)))
        for at in np.nonzero(steps < 0)[0][:1000]:
            facts.backwards_count += 1
            if counted[at] < 0:
                facts.shuffled += 1
            span = Span(int(times[at + 1]), int(times[at]), int(counted[at]))
            facts.backwards.append(span)
        facts.backwards_count += max(0, int(np.count_nonzero(steps < 0)) - 1000)
        if len(facts.backwards) > WORST:
            facts.backwards = sorted(facts.backwards, key=lambda span: -span.length)[:WORST]

    def _rate(self, steps: Array) -> None:
        """The slowest and the fastest stretch of sixteen messages."""
        rows = len(steps) // STRETCH
        if not rows:
            return
        whole = np.concatenate((steps[: rows * STRETCH], steps[-STRETCH:]))
        medians = np.median(whole.reshape(rows + 1, STRETCH), axis=1) / 1e9
        facts = self.facts
        facts.slowest_s = max(facts.slowest_s, float(medians.max()))
        facts.fastest_s = min(facts.fastest_s or math.inf, float(medians.min()))

    def _silences(self, steps: Array, counted: Array, starts: Array) -> None:
        floor = self._floor_ns
        candidates = np.nonzero(steps > floor)[0]
        if len(candidates) > WORST:
            candidates = candidates[np.argpartition(steps[candidates], -WORST)[-WORST:]]
        if not len(candidates):
            return
        self._gaps += [(int(steps[at]), int(starts[at]), int(counted[at])) for at in candidates]
        if len(self._gaps) > 4 * WORST:
            self._gaps = sorted(self._gaps, reverse=True)[:WORST]
            self._floor_ns = float(self._gaps[-1][0])

    def finish(self) -> TopicFacts:
        """The facts with what can only be said at the end."""
        facts = self.facts
        facts.counted = self.intervals > 0 and self.stepped_one >= 0.5 * self.intervals
        if self.bins is None:
            return facts
        total = int(self.bins.sum())
        place = int(np.searchsorted(np.cumsum(self.bins), (total + 1) // 2))
        period = _length(place)
        if self._near_count and abs(self._near_sum / self._near_count - period) < NEAR * period:
            period = self._near_sum / self._near_count  # finer than a bin, when the rate is steady
        facts.period_s = period / 1e9
        late = np.nonzero(self.bins)[0]
        lengths = np.exp((late + 0.5) * STEP) * LOWEST_NS
        long = lengths > SILENCE * period
        facts.missing = int((self.bins[late[long]] * (np.rint(lengths[long] / period) - 1)).sum())
        facts.gaps = [
            Span(start, start + step, counted)
            for step, start, counted in sorted(self._gaps, reverse=True)[:WORST]
            if step > SILENCE * period
        ]
        return facts


def _length(place: int) -> float:
    return math.exp((place + 0.5) * STEP) * LOWEST_NS


class Frames:
    """How far apart the frames of cameras are, each from the first that was seen. Holds the frames that can't be matched yet, and no more than `held`."""

    def __init__(self, held: int = 4096) -> None:
        self.held = held
        self._waiting: dict[str, Array] = {}
        self._bins: dict[str, Array] = {}
        self._worst: dict[str, tuple[float, int]] = {}
        self._frames: dict[str, int] = {}

    def take(self, camera: str, times: Array) -> None:
        """Frames of one camera, ns."""
        before = self._waiting.get(camera)
        self._waiting[camera] = times if before is None else np.concatenate((before, times))

    def match(self, *, end: bool = False) -> None:
        """Matches what can be: frames of the first camera older than the newest frame of each other."""
        self._match(end)
        for name, times in self._waiting.items():  # one that stopped keeps nobody waiting for ever
            self._waiting[name] = times[-self.held :]

    def _match(self, end: bool) -> None:
        reference, *others = self._waiting or ("",)
        if not others:
            return
        mine = np.sort(self._waiting[reference])
        if not len(mine):
            return
        sorted_others = {name: np.sort(self._waiting[name]) for name in others}
        until = mine[-1] + 1 if end else min(int(times[-1]) for times in sorted_others.values() if len(times))
        if len(mine) > self.held:
            until = max(until, int(mine[-self.held]))
        ready = mine[mine < until]
        if not len(ready):
            return
        for name, times in sorted_others.items():
            if len(times):
                self._judge(name, ready, times)
                self._waiting[name] = times[max(0, int(np.searchsorted(times, ready[-1])) - 1) :]
        self._waiting[reference] = mine[len(ready) :]

    def _judge(self, name: str, mine: Array, theirs: Array) -> None:
        right = np.clip(np.searchsorted(theirs, mine), 0, len(theirs) - 1)
        left = np.maximum(right - 1, 0)
        apart = np.minimum(np.abs(theirs[right] - mine), np.abs(theirs[left] - mine)).astype(np.float64)
        places = np.minimum((np.log(np.maximum(apart, LOWEST_NS) / LOWEST_NS) / STEP).astype(np.int64), BINS - 1)
        counts = np.bincount(places, minlength=BINS)
        self._bins[name] = counts if name not in self._bins else self._bins[name] + counts
        self._frames[name] = self._frames.get(name, 0) + len(mine)
        worst = int(np.argmax(apart))
        if float(apart[worst]) > self._worst.get(name, (-1.0, 0))[0]:
            self._worst[name] = (float(apart[worst]), int(mine[worst]))

    def finish(self) -> list[tuple[str, str, int, float, float, int]]:
        """Reference, other, frames, 95th percentile (s), worst (s), where (ns)."""
        self.match(end=True)
        reference, *others = self._waiting or ("",)
        found = []
        for name in others:
            if name not in self._bins:
                continue
            bins = self._bins[name]
            place = int(np.searchsorted(np.cumsum(bins), math.ceil(0.95 * int(bins.sum()))))
            worst, at = self._worst[name]
            p95 = min(_length(place), worst) if place else 0.0
            found.append((reference, name, self._frames[name], p95 / 1e9, worst / 1e9, at))
        return found


def fingerprint_step(seed: int, times: Array, sizes: Array) -> tuple[int, int]:
    """Sum and exclusive or of a mix of time, size and topic of each message: the same for any order of the messages
    (splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        mixed = times.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        mixed ^= sizes.astype(np.uint64) * np.uint64(0xD1342543DE82EF95)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
        return int(mixed.sum(dtype=np.uint64)), int(np.bitwise_xor.reduce(mixed))
