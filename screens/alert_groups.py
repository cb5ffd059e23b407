"""Alerts in clusters, so that a flood is read as what it is: a few causes, each with how many, where and since when.

Pure. Grouped to stay near one alarm in ten minutes for a person (EEMUA 191); more than ten new ones in ten minutes is a
flood, and a flood shows clusters only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from engine.contract.oncall import Acknowledgement
from engine.contract.systems import MirrorObject

HEAVY = ("critical", "page", "safety")
FLOOD_S, FLOOD = 600.0, 10
BY = ("each", "alert", "robot", "site")
"""How alerts may be grouped."""
Held = Mapping[tuple[str, str], Acknowledgement]
NOBODY: Held = MappingProxyType({})


def said(one: MirrorObject, name: str) -> str:
    return str(one.data.get(name) or "")


def quiet(one: MirrorObject) -> bool:
    return one.state == "suppressed"


def heavy(one: MirrorObject) -> bool:
    return said(one, "severity") in HEAVY


def site(one: MirrorObject) -> str:
    """Where: the label, else the part of the robot's name before its number."""
    labels = one.data.get("labels")
    named = str(labels.get("site") or "") if isinstance(labels, dict) else ""
    robot = said(one, "robot")
    return named or (robot.split("-", 1)[0] if "-" in robot else "")


def held_by(rows: Sequence[Acknowledgement]) -> dict[tuple[str, str], Acknowledgement]:
    """Who has which alert."""
    return {(one.system, one.alert): one for one in rows if one.state == "held"}


def holder(one: MirrorObject, held: Held) -> Acknowledgement | None:
    """Who has this alert. One that fires anew is nobody's again."""
    found = held.get((one.system, one.id))
    return found if found is not None and found.fired_at >= one.changed_at else None


def fresh(rows: Sequence[MirrorObject], now: float) -> int:
    """How many began in the last ten minutes and are heard."""
    return sum(1 for one in rows if not quiet(one) and not one.deleted_at and now - one.changed_at <= FLOOD_S)


def flooded(rows: Sequence[MirrorObject], now: float) -> bool:
    return fresh(rows, now) > FLOOD


@dataclass(frozen=True, slots=True)
class Cluster:
    """Alerts that are one thing to a person. `key` names it for ever; `rows` the gravest first."""

    key: str
    name: str
    rows: tuple[MirrorObject, ...]

    @property
    def robots(self) -> int:
        return len({said(one, "robot") for one in self.rows} - {""})

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(sorted({site(one) for one in self.rows} - {""}))

    @property
    def since(self) -> float:
        return min(one.changed_at for one in self.rows)

    @property
    def newest(self) -> float:
        return max(one.changed_at for one in self.rows)

    @property
    def quiet(self) -> bool:
        return all(quiet(one) for one in self.rows)

    @property
    def heavy(self) -> bool:
        return any(heavy(one) and not quiet(one) for one in self.rows)


def clusters(rows: Sequence[MirrorObject], by: str) -> list[Cluster]:
    """The rows, in their order, as clusters: a cluster stands where its gravest row stood. Silenced alerts are clusters of
    their own, so that none hides among those that are heard.
    """
    found: dict[str, list[MirrorObject]] = {}
    for one in rows:
        word = {"alert": one.name, "robot": said(one, "robot"), "site": site(one)}.get(by, "")
        key = f"{by} {word} {'silenced' if quiet(one) else 'heard'}" if word else f"one {one.system}/{one.id}"
        found.setdefault(key, []).append(one)
    return [
        Cluster(
            key, members[0].name if key.startswith("one ") else key.split(" ", 1)[1].rpartition(" ")[0], tuple(members)
        )
        for key, members in found.items()
    ]
