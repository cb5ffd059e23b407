"""The fleet's mirror: who is out there, what each robot should run and says it runs. References and facts, never a copy
of the owners' records.

Drift is a desired version that is not reported past the deadline (twice the poll interval, and never while the robot
is offline), or a reported version nobody asked for. Look-alike names at one site are marked, because at three in the
morning `HAM2-AMR-17` and `HAM2-AMR-71` are the same robot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from engine.capabilities.ports import Fleet, InstallReport, Robot, Updates
from engine.capabilities.rollout.eligibility import offline
from engine.capabilities.rollout.planning import lookalikes
from engine.contract.fleet import RobotRow
from engine.store import statements as sql

Json = Any
Statements = Sequence[tuple[str, Sequence[tuple[Any, ...]]]]

INSTALL_S = 3600.0
"""A robot may take this long over an install, on top of its polls, before a difference counts as drift."""

_INSERT = sql.ROBOT_NEW
_CHANGE = (
    "update robots set site=?, region=?, customer=?, variant=?, mode=?, desired=?, reported=?, at=?, view=? where id=?"
)


class Mirror:
    """Reads the owners and gives the rows to write. Remembers since when each robot has differed, and whose drift was told."""

    def __init__(self, fleet: Fleet, updates: Updates, now: Callable[[], float]) -> None:
        self._fleet, self._updates, self._now = fleet, updates, now
        self._differs: dict[str, tuple[str, float]] = {}
        self._known: set[str] = set()
        self.drifted: list[RobotRow] = []
        """Robots that drift as of the last look and whose drift was not told yet."""
        self._told: dict[str, str] = {}
        self._released: frozenset[str] = frozenset()

    def remember(self, rows: Sequence[RobotRow]) -> None:
        """The rows as an earlier engine left them: a deadline doesn't begin anew because the engine did, and a robot that
        went while nobody looked is still found to be gone.
        """
        self._known.update(row.id for row in rows)
        self._differs.update({r.id: (_pair(r.desired, r.reported), r.differs_since) for r in rows if r.differs_since})

    def told(self, row: RobotRow) -> None:
        """That this robot drifts on this version has been said, and is not said again until it agrees or reports another."""
        self._told[row.id] = row.reported

    def unknown(self, version: str) -> bool:
        """Whether the update server holds no release of that version: nobody here can have made it."""
        return bool(self._released) and version not in self._released

    async def look(self) -> Statements:
        """One look at the owners. Raises ActionError when they can't be read: the rows then keep their age."""
        robots, reports, releases = await asyncio.gather(
            self._fleet.robots(), self._updates.reports(), self._updates.releases()
        )
        self._released = frozenset(release.version for release in releases)
        now = self._now()
        rows = self.rows(robots, {r.robot: r for r in reports}, now)
        self.drifted = [row for row in rows if row.drift and self._told.get(row.id) != row.reported]
        fresh: list[tuple[Any, ...]] = []
        changed: list[tuple[Any, ...]] = []
        for row in rows:
            view = msgspec.json.encode(row)
            facts = (row.site, row.region, row.customer, row.variant, row.mode, row.desired, row.reported, now, view)
            if row.id not in self._known:
                fresh.append((row.id, *facts[:7], "", "", "", 0, now, view))
            self._known.add(row.id)
            changed.append((*facts, row.id))
        gone = sorted(self._known - {row.id for row in rows})
        self._known.difference_update(gone)
        for name in gone:
            self._differs.pop(name, None)
            self._told.pop(name, None)
        return [(_INSERT, fresh), (_CHANGE, changed), ("delete from robots where id = ?", [(name,) for name in gone])]

    def rows(self, robots: Sequence[Robot], reports: Mapping[str, InstallReport], now: float) -> list[RobotRow]:
        alike: dict[str, str] = {}
        for one, other in lookalikes(robots):
            alike.setdefault(one, other)
            alike.setdefault(other, one)
        rows = []
        for robot in sorted(robots, key=lambda r: r.id):
            report = reports.get(robot.id)
            reported = robot.version or (report.reported if report else "")
            desired = report.desired if report and report.desired else reported
            drift, since = self._drifts(robot, desired, reported, now)
            rows.append(
                RobotRow(
                    id=robot.id, serial=robot.serial, site=robot.site, region=robot.region, customer=robot.customer,
                    variant=robot.variant, mode=robot.mode, desired=desired, reported=reported, battery=robot.battery,
                    last_seen_at=robot.last_seen_at, poll_s=robot.poll_s, online=robot.online,
                    drift=drift, differs_since=since, lookalike=alike.get(robot.id, ""), as_of=now,
                )
            )  # fmt: skip
        return rows

    def _drifts(self, robot: Robot, desired: str, reported: str, now: float) -> tuple[bool, float]:
        """Whether the robot drifts, and since when it differs (0: it agrees)."""
        if not desired or not reported:  # not known is not agreed: what was seen before stands
            return False, self._differs.get(robot.id, ("", 0.0))[1]
        if desired == reported:
            self._differs.pop(robot.id, None)
            self._told.pop(robot.id, None)
            return False, 0.0
        known, since = self._differs.get(robot.id, ("", now))
        if known != _pair(desired, reported):
            since = now
            self._differs[robot.id] = (_pair(desired, reported), since)
        return not offline(robot) and now - since > 2 * robot.poll_s + INSTALL_S, since


def _pair(desired: str, reported: str) -> str:
    return f"{desired}/{reported}"
