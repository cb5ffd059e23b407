"""A robot's past as segments: between two changes everything about it is constant or grows evenly.

Metrics are never sampled and stored. Any value at any time is computed from the segment that covers the time, so a
query costs the points it returns and simulated time costs nothing.
"""

from __future__ import annotations

from bisect import bisect_right

from msgspec import Struct

HEARTBEAT_S = 30.0  # VDA 5050: a state message at least every 30 s
WORKING_PART = 0.55  # of a task's cycle; the rest is waiting for the next order


class Segment(Struct, frozen=True):
    """From `t0` until the next segment. `op0` counts operating seconds since boot, `hb0` connected seconds ever."""

    t0: float
    mode: str
    online: bool
    visible: bool
    """Its own metrics are scraped."""
    version: str
    charging: bool
    op0: float
    op_rate: float
    battery0: float
    battery_slope: float
    hb0: float
    boot: float


class Timeline:
    """Append-only; `cut` starts a new segment at `t` (not before the last one)."""

    def __init__(self, first: Segment) -> None:
        self.starts = [first.t0]
        self.segments = [first]
        self.interventions: list[float] = []
        self.localization: list[float] = []
        self.safety: list[float] = []

    @property
    def last(self) -> Segment:
        return self.segments[-1]

    def at(self, t: float) -> Segment | None:
        index = bisect_right(self.starts, t) - 1
        return self.segments[index] if index >= 0 else None

    def cut(
        self, t: float, *, mode: str, online: bool, visible: bool, version: str, charging: bool, op_rate: float,
        battery_slope: float, booted: bool = False,
    ) -> None:  # fmt: skip
        before = self.last
        segment = Segment(
            t,
            mode,
            online,
            visible,
            version,
            charging,
            0.0 if booted else operating(before, t),
            op_rate,
            battery(before, t),
            battery_slope,
            connected(before, t),
            t if booted else before.boot,
        )
        if t <= before.t0:
            self.segments[-1] = segment
        else:
            self.starts.append(t)
            self.segments.append(segment)


def operating(segment: Segment, t: float) -> float:
    return segment.op0 + segment.op_rate * (t - segment.t0)


def battery(segment: Segment, t: float) -> float:
    return min(1.0, max(0.06, segment.battery0 + segment.battery_slope * (t - segment.t0)))


def connected(segment: Segment, t: float) -> float:
    return segment.hb0 + (t - segment.t0 if segment.online else 0.0)


def working(segment: Segment, t: float, task_s: float) -> bool:
    """It holds an order at `t`."""
    return segment.op_rate > 0 and operating(segment, t) % task_s < WORKING_PART * task_s


def idle_from(segment: Segment, t: float, task_s: float) -> float:
    """When it is next without an order, if nothing changes."""
    if not working(segment, t, task_s):
        return t
    return t + WORKING_PART * task_s - operating(segment, t) % task_s


def counted(times: list[float], segment: Segment, t: float) -> int:
    """An event counter at `t`: counts since the process started, as a real exporter does."""
    return bisect_right(times, t) - bisect_right(times, segment.boot)
