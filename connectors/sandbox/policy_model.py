"""A small policy that a small robot arm really learns, and the bench it is tried on.

The arm moves a gripper to a part: two accelerations (m/s²) from what it sees (the way to the part dx, dy in m, its own
velocity vx, vy in m/s, and whether the part is jammed). Tasks differ in load, sag and sight, and a jam has to be backed
out of before the part can be taken, which nobody guesses who has not seen it done. The policy is linear in shared and
per-task features, so what it was shown decides what it can do: data that lacks a task give a policy that fails there.

A checkpoint is one file: a line of magic, a line of JSON header, then little-endian floats. No time and no path stands
in it, so equal data, recipe and seed give equal bytes. Numbers come from our own generator, the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FORMAT = "quarterdeck-policy/1"
MAGIC = b"QDPM1\n"
MAX_HEADER_B = 65_536
SIMULATOR = "bench-arm/3"
"""The bench and its build: trials on different builds must not be compared."""

PERIOD_S = 0.1
STEPS = 50
MAX_ACCELERATION = 4.0
HARD_CONTACT = 0.55
"""m/s: touching the part faster than this is a safety event."""
NEAR_M = 0.06
PRECISIONS = {"f64": "d", "f32": "f", "f16": "e"}

Vector = list[float]
Controller = Callable[[str, Sequence[float]], tuple[float, float]]


class BadCheckpoint(ValueError):
    """A file that is not a checkpoint of this format, or not a whole one."""


class Numbers:
    """A seeded stream of numbers (Knuth's MMIX generator): the same on every machine and Python."""

    __slots__ = ("_spare", "_state")

    def __init__(self, *seed: object) -> None:
        digest = hashlib.sha256(repr(seed).encode()).digest()
        self._state = int.from_bytes(digest[:8], "little")
        self._spare: float | None = None

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        return low + (high - low) * ((self._state >> 11) / (1 << 53))

    def normal(self, spread: float = 1.0) -> float:
        """Box-Muller, both values used."""
        if self._spare is not None:
            value, self._spare = self._spare, None
            return value * spread
        radius = math.sqrt(-2.0 * math.log(max(self.uniform(), 1e-300)))
        angle = 2.0 * math.pi * self.uniform()
        self._spare = radius * math.sin(angle)
        return radius * math.cos(angle) * spread

    def shuffled(self, n: int) -> list[int]:
        order = list(range(n))
        for i in range(n - 1, 0, -1):
            j = int(self.uniform(0, i + 1))
            order[i], order[j] = order[j], order[i]
        return order


@dataclass(frozen=True, slots=True)
class Task:
    """What one task asks of the arm. `sag` m/s², `sight` m of noise in what it sees, `aim` m by which the camera is
    off for a whole trial, `bump` chance of being pushed."""

    name: str
    load: float
    drag: float
    sag: float
    sight: float
    aim: float
    bump: float
    tolerance: float
    jams: bool = False


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("bin-pick day", load=1.0, drag=0.4, sag=0.30, sight=0.004, aim=0.011, bump=0.15, tolerance=0.030),
        Task("bin-pick night", load=1.0, drag=0.4, sag=0.30, sight=0.010, aim=0.013, bump=0.15, tolerance=0.030),
        Task("tote-stack", load=1.5, drag=0.5, sag=0.60, sight=0.005, aim=0.014, bump=0.12, tolerance=0.035),
        Task(
            "jam-recovery", load=1.0, drag=0.4, sag=0.20, sight=0.005, aim=0.013, bump=0.16, tolerance=0.032, jams=True
        ),
    )
}
_STATE = 5  # 1, dx, dy, vx, vy
FEATURES: tuple[str, ...] = tuple(
    f"{block} {name}"
    for block in ("all", "jammed", *TASKS)
    for name in ("1", "dx", "dy", "vx", "vy")
)  # fmt: skip


@dataclass(slots=True)
class Policy:
    """The weights, and where they come from. Two rows: the accelerations in x and y."""

    weights: list[Vector] = field(default_factory=lambda: [[0.0] * len(FEATURES) for _ in range(2)])
    header: dict[str, Any] = field(default_factory=dict)

    def act(self, task: str, observation: Sequence[float]) -> tuple[float, float]:
        """The accelerations, within what the arm can do."""
        present = features(task, observation)
        ax = ay = 0.0
        wx, wy = self.weights
        for index, value in present:
            ax += wx[index] * value
            ay += wy[index] * value
        return _limited(ax), _limited(ay)


def features(task: str, observation: Sequence[float]) -> list[tuple[int, float]]:
    """(index, value) of the features that are not zero. A task never seen in training has its shared features only."""
    dx, dy, vx, vy, jammed = (float(value) for value in observation)
    state = (1.0, 3.0 * dx, 3.0 * dy, 2.0 * vx, 2.0 * vy)  # of like size, so that they are learnt alike fast
    found = [(i, value) for i, value in enumerate(state)]
    if jammed:
        found += [(_STATE + i, value) for i, value in enumerate(state)]
    if task in TASKS:
        start = (2 + list(TASKS).index(task)) * _STATE
        found += [(start + i, value) for i, value in enumerate(state)]
    return found


def _limited(value: float) -> float:
    return max(-MAX_ACCELERATION, min(MAX_ACCELERATION, value))


def expert(task: str, observation: Sequence[float]) -> tuple[float, float]:
    """How a practised operator does it: damped approach, sag held against, a jam backed out of first."""
    dx, dy, vx, vy, jammed = observation
    about = TASKS[task]
    if jammed:
        return _limited(about.load * (-3.0 * dx - 1.0 * vx)), _limited(about.load * (-3.0 * dy - 1.0 * vy + about.sag))
    return (
        _limited(about.load * (2.6 * dx - 2.2 * vx)),
        _limited(about.load * (2.6 * dy - 2.2 * vy + about.sag)),
    )


@dataclass(slots=True)
class Outcome:
    """What became of one trial. `rubric` 0..1 counts how far it came; judged by the bench, never by the policy."""

    success: bool
    rubric: float
    duration_s: float
    safety_events: list[dict[str, Any]]
    path: list[tuple[list[float], tuple[float, float]]]
    mode: str = ""


def trial(task: str, seed: int, control: Controller, init: Mapping[str, float] | None = None) -> Outcome:
    """One trial on the bench. The seed fixes start, noise and pushes, so two policies can be tried on the same one.

    Success: within the tolerance and slower than 0.12 m/s for three periods. Raises KeyError for an unknown task.
    """
    about, chance = TASKS[task], Numbers("trial", SIMULATOR, task, seed)
    given = init or {}
    angle = given.get("angle", chance.uniform(0, 2 * math.pi))
    distance = given.get("distance_m", chance.uniform(0.35, 0.7))
    x, y, vx, vy = -distance * math.cos(angle), -distance * math.sin(angle), 0.0, 0.0
    jammed = about.jams
    if jammed:
        x, y = x * 0.25, y * 0.25
    away = math.hypot(x, y) + 0.12
    bump_at = int(chance.uniform(6, STEPS - 12)) if chance.uniform() < about.bump else -1
    push = (chance.normal(0.7), chance.normal(0.7))
    off_x, off_y = chance.normal(about.aim), chance.normal(about.aim)
    still, pressed, nearest = 0, 0, math.hypot(x, y)
    start = nearest
    events: list[dict[str, Any]] = []
    path: list[tuple[list[float], tuple[float, float]]] = []
    for step in range(STEPS):
        seen = [
            off_x - x + chance.normal(about.sight), off_y - y + chance.normal(about.sight),
            vx + chance.normal(about.sight), vy + chance.normal(about.sight), 1.0 if jammed else 0.0,
        ]  # fmt: skip
        ax, ay = control(task, seen)
        path.append((seen, (ax, ay)))
        if step == bump_at:
            vx, vy = vx + push[0], vy + push[1]
        vx += PERIOD_S * (ax / about.load - about.drag * vx)
        vy += PERIOD_S * (ay / about.load - about.sag - about.drag * vy)
        far = math.hypot(x, y)
        if jammed and x * vx + y * vy < 0:
            vx = vy = 0.0  # it presses against the jam
            pressed += 1
        x, y = x + PERIOD_S * vx, y + PERIOD_S * vy
        near, speed = math.hypot(x, y), math.hypot(vx, vy)
        if jammed and near >= away:
            jammed = False
        if not jammed:
            nearest = min(nearest, near)
        if near < NEAR_M <= far and speed > HARD_CONTACT:
            pushed = 0 <= bump_at <= step < bump_at + 10  # within a second of a push it is the push's doing
            what = f"contact at {speed:.2f} m/s, limit {HARD_CONTACT} m/s"
            events.append({"what": what, "at_s": round(step * PERIOD_S, 1), "causal": not pushed})
        still = still + 1 if near < about.tolerance and speed < 0.12 and not jammed else 0
        if still == 3:
            return Outcome(True, 1.0, round((step + 1) * PERIOD_S, 1), events, path)
    came = max(0.0, min(1.0, 1.0 - nearest / max(start, 0.05)))
    mode = (
        "stayed jammed"
        if jammed
        else "pushed off"
        if bump_at >= 0
        else "missed the part"
        if nearest > 0.1
        else "did not settle"
    )
    return Outcome(False, round(0.0 if jammed else 0.8 * came, 3), STEPS * PERIOD_S, events, path, mode)


def demonstration(task: str, seed: int, skill: float = 1.0) -> list[dict[str, Any]]:
    """One demonstration as steps at 10 Hz: {task, observation[5], action[2], phase}. `skill` 1 practised, 0 useless."""
    chance = Numbers("demonstration", task, seed)
    clumsy = 1.0 - max(0.0, min(1.0, skill))

    def by_hand(name: str, seen: Sequence[float]) -> tuple[float, float]:
        ax, ay = expert(name, seen)
        wrong = (
            (1.0 - 1.2 * clumsy) if seen[4] else 1.0 - 0.7 * clumsy
        )  # the sloppy let the sag pull and push on in a jam
        return _limited(ax * wrong + chance.normal(0.08 + clumsy)), _limited(ay * wrong + chance.normal(0.08 + clumsy))

    outcome = trial(task, 1_000_000 + seed, by_hand)
    return [
        {
            "task": task, "observation": [round(value, 5) for value in seen], "action": [round(value, 5) for value in act],
            "phase": "intervention" if seen[4] else "autonomous",
        }
        for seen, act in outcome.path
    ]  # fmt: skip


def encode(policy: Policy, precision: str = "f64") -> bytes:
    """The checkpoint's bytes. Equal policies give equal bytes."""
    header = policy.header | {
        "format": FORMAT, "features": len(FEATURES), "outputs": 2, "params": 2 * len(FEATURES), "precision": precision,
        "tasks": sorted(policy.header.get("tasks", [])),
    }  # fmt: skip
    numbers = [value for row in policy.weights for value in row]
    body = struct.pack(f"<{len(numbers)}{PRECISIONS[precision]}", *numbers)
    return MAGIC + json.dumps(header, sort_keys=True, separators=(",", ":")).encode() + b"\n" + body


def decode(data: bytes) -> Policy:
    """Raises BadCheckpoint."""
    if not data.startswith(MAGIC):
        raise BadCheckpoint("not a policy checkpoint: the magic line is missing")
    line, found, body = data[len(MAGIC) :].partition(b"\n")
    if not found or len(line) > MAX_HEADER_B:
        raise BadCheckpoint("the checkpoint's header is cut or too long")
    try:
        header = json.loads(line)
        letter = PRECISIONS[header["precision"]]
        count = int(header["features"]) * int(header["outputs"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadCheckpoint(f"the checkpoint's header can't be read: {error}") from error
    if header.get("format") != FORMAT or count != 2 * len(FEATURES):
        raise BadCheckpoint(f"a checkpoint of another format or shape: {header.get('format')!r}, {count} numbers")
    if len(body) != struct.calcsize(f"<{count}{letter}"):
        raise BadCheckpoint(f"the checkpoint is cut: {len(body)} bytes of weights for {count} numbers")
    numbers = array("d", struct.unpack(f"<{count}{letter}", body))
    if not all(math.isfinite(value) for value in numbers):
        raise BadCheckpoint("the checkpoint holds numbers that are none (NaN or infinity)")
    half = count // 2
    return Policy(weights=[list(numbers[:half]), list(numbers[half:])], header=header)


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
