"""The simulated world: 200 robots, a release, what is wrong with it, and the truth about what happened.

Time is a line through (wall0, sim0) with slope `speed`; robots are advanced to the present when somebody looks.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from connectors.sandbox.robot import Robot, Rules
from connectors.sandbox.scenarios import BASE_RATE_PER_H, FORWARD, OLDEST, PREVIOUS, RELEASE, Scenario
from connectors.sandbox.sites import MODEL, SITES, VARIANT_RATE, VARIANTS, profiles

SIM0 = 1_793_606_400.0  # Monday 2 November 2026, 08:00 UTC: every demonstration starts on the same morning
HISTORY_S = 30 * 3600.0  # lived before the start, so that robots have a past to be compared with


class Software(Struct, frozen=True):
    id: int
    version: str
    size: int
    sha1: str


class Done(Struct, frozen=True):
    """One finished try of an install. `error` is empty when it worked."""

    t: float
    robot: str
    source: str
    target: str
    error: str


def newer(a: str, b: str) -> bool:
    return [int(x) for x in a.split(".")] > [int(x) for x in b.split(".")]


class World:
    def __init__(
        self, scenario: Scenario, seed: int, speed: float, robots: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.scenario, self.seed, self.speed, self.sim0 = scenario, seed, speed, SIM0
        self._clock = clock
        self.wall0 = clock()
        self.software = [
            Software(i, v, 412_000_000 + 1_300_000 * i, hashlib.sha1(f"quarterdeck sandbox {v}".encode()).hexdigest())
            for i, v in enumerate((OLDEST, PREVIOUS, RELEASE, *((FORWARD,) if scenario.forward else ())), start=1)
        ]
        self.wave: list[str] = []
        self._wave_strata: set[tuple[str, str]] = set()
        self.log: list[Done] = []
        self.orders: list[tuple[float, str, str]] = []
        """(time, robot, version or what else was asked), in order."""
        self._until = SIM0 - HISTORY_S
        rules = Rules(
            rate_per_h=self._rate_per_h,
            refusal=self._refusal,
            failure=self._failure,
            target=self.target,
            finished=self._finished,
            dark_after=self._dark_after,
            previous=PREVIOUS,
        )
        found = profiles(seed, robots)
        out = set(random.Random(f"{seed}:offline").sample([p.id for p in found], scenario.long_offline))
        have = [p.id for p in found if p.site == SITES[0].id] + [p.id for p in found if p.site != SITES[0].id]
        self.already = frozenset(have[: scenario.already])
        self._floored = frozenset(have[: scenario.already_floor])
        self.robots = {
            p.id: Robot(p, seed, self._until, RELEASE if p.id in self.already else PREVIOUS, rules, offline=p.id in out)
            for p in found
        }

    # -- time ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Lives through the past, then lets the present run."""
        self._advance(SIM0)
        self.wall0 = self._clock()

    def now(self) -> float:
        """The present, with every robot brought to it."""
        t = max(self._until, self.sim0 + (self._clock() - self.wall0) * self.speed)
        self._advance(t)
        return t

    def _advance(self, t: float) -> None:
        for robot in self.robots.values():
            if robot.next <= t:
                robot.advance(t)
        self._until = t

    # -- what robots ask ----------------------------------------------------------------------------------------------

    def version_of(self, software: int | None) -> str | None:
        return next((s.version for s in self.software if s.id == software), None)

    def target(self, robot: Robot) -> tuple[str, int] | None:
        """What the server offers at a poll. As gooseBit: nothing while in Error, until `force_update` is set."""
        device = robot.device
        version = self.version_of(device.software) if device.mode == "Assigned" else None
        if version is None or device.software is None:
            return None
        if not device.force and (version == device.sw_version or device.state == "Error"):
            return None
        return version, device.software

    def floor(self, robot: Robot) -> str:
        """The lowest version its bootloader starts."""
        floored = robot.profile.variant in self.scenario.floor_variants or robot.id in self._floored
        return RELEASE if floored else OLDEST

    def _rate_per_h(self, robot: Robot) -> float:
        rate = BASE_RATE_PER_H * VARIANT_RATE[robot.profile.variant] * robot.profile.temper
        if robot.version == RELEASE:
            rate *= self.scenario.rate_new
            stratum = (robot.profile.site, robot.profile.variant)
            if stratum[1] in self.scenario.outside_variants and stratum not in self._wave_strata:
                rate *= self.scenario.rate_outside_wave
        return rate

    def _refusal(self, robot: Robot, version: str) -> str:
        floor = self.floor(robot)
        if newer(floor, version) and robot.version != version and not newer(version, robot.version):
            return f"bootloader refused {version}: anti-rollback floor is {floor}"
        return ""

    def _failure(self, robot: Robot, version: str) -> str:
        if version != RELEASE:
            return ""
        if robot.id in self.wave and self._fate(robot) == "fail":
            return "post-install check failed: lidar driver did not start within 30 s"
        if not self.will_fail(robot, version, robot.attempts[version]):
            return ""
        rng = random.Random(f"{self.seed}:{robot.id}:text:{version}")
        text = rng.choice(
            (
                "post-install check failed: lidar driver did not start within 30 s",
                "write error on /dev/mmcblk0p3: no space left on device",
                "image signature could not be verified: clock is 41 days behind",
            )
        )
        # a robot's log is text from outside: it may hold whatever the robot's programs print
        return (
            f"\x1b[31m{text}\x1b[0m [bold red]\u202e see [@click=app.quit]log[/]"
            if self.scenario.hostile_logs
            else text
        )

    def will_fail(self, robot: Robot, version: str, attempt: int = 1) -> bool:
        """Whether try number `attempt` of installing `version` fails by chance: decided by the seed alone."""
        if version != RELEASE:
            return False
        rng = random.Random(f"{self.seed}:{robot.id}:install:{version}")
        bad = rng.random() < self.scenario.fail_share
        for _ in range(attempt - 1):
            bad = bad and rng.random() >= self.scenario.retry_succeeds
        return bad

    def _dark_after(self, robot: Robot, version: str) -> float | None:
        return self.scenario.dark_after_s if version == RELEASE else None

    def _fate(self, robot: Robot) -> str:
        order = self.wave.index(robot.id)
        return self.scenario.wave_fates[order] if order < len(self.scenario.wave_fates) else ""

    def _finished(self, robot: Robot, t: float, source: str, target: str, failure: str) -> None:
        self.log.append(Done(t, robot.id, source, target, failure))

    # -- what the server is told --------------------------------------------------------------------------------------

    def assign(self, robot: Robot, software: int | None, t: float) -> None:
        """gooseBit's assignment: it clears the feed; an id it does not know leaves the device assigned to nothing."""
        device = robot.device
        device.mode, device.feed = "Assigned", None
        device.software = software if self.version_of(software) else None
        version = self.version_of(device.software)
        self.orders.append((t, robot.id, version or "nothing"))
        if version == RELEASE and robot.id not in self.wave and len(self.wave) < self.scenario.wave:
            self.wave.append(robot.id)
            self._wave_strata.add((robot.profile.site, robot.profile.variant))
            if self._fate(robot) == "offline":
                robot.drop_offline(t, self.scenario.offline_for_s)
        robot.told(t)

    def follow(self, robot: Robot, mode: str, t: float) -> None:
        """`Rollout`, `Latest` or `Pinned`. No rollout exists here, so all of them mean: nothing to install."""
        robot.device.mode, robot.device.software = mode, None
        if mode != "Rollout":
            robot.device.feed = None
        self.orders.append((t, robot.id, mode.lower()))
        robot.told(t)

    def force(self, robot: Robot, on: bool, t: float) -> None:
        robot.device.force = on
        self.orders.append((t, robot.id, "force update" if on else "no force"))
        robot.told(t)

    # -- the truth ----------------------------------------------------------------------------------------------------

    def truth(self) -> dict[str, object]:
        """What really happened, for tests and for the end of a demonstration."""
        t = self.now()
        versions = {r.id: r.version for r in self.robots.values()}
        log = sorted(self.log, key=lambda d: (d.t, d.robot))  # robots are advanced one after the other
        return {
            "now": t,
            "scenario": self.scenario.name,
            "seed": self.seed,
            "versions": versions,
            "counts": _tally(versions.values()),
            "installs": [_told(d) for d in log],
            "orders": [list(o) for o in self.orders],
            "touched": sorted({d.robot for d in self.log} | {robot for _, robot, _ in self.orders}),
            "rollbacks": [_told(d) for d in log if newer(d.source, d.target)],
            "wave": list(self.wave),
            "floors": {r.id: self.floor(r) for r in self.robots.values() if self.floor(r) != OLDEST},
            "offline": sorted(r.id for r in self.robots.values() if not r.online),
            "interventions": {r.id: len(r.line.interventions) for r in self.robots.values()},
        }


def _told(d: Done) -> dict[str, object]:
    return {
        "t": d.t,
        "robot": d.robot,
        "from": d.source,
        "to": d.target,
        "result": "failure" if d.error else "success",
        "error": d.error,
    }


def _tally(values: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return found


__all__ = ["MODEL", "VARIANTS", "Done", "Software", "World", "newer"]
