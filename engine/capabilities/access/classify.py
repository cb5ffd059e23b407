"""What was asked for, sorted into data classes with counts. Pure; one pass over what was asked for, whatever its size.

The classes come from what is there (topics, robots, customers), never from what the requester says: that can only add one.
Faces and plates that nobody counted are taken to be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from engine.contract.access import CLASSES, ClassCount, Classification, Volume

Json = Any
SHOWN = 5
"""Names given of what is odd or missing; the rest is counted."""


class Item(Struct, frozen=True, kw_only=True):
    """One thing that was asked for. `topics` are its streams; `faces` None when nobody counted; `camera` when one is in it."""

    id: str
    kind: str = "session"
    robot: str = ""
    site: str = ""
    region: str = ""
    home_region: str = ""
    customer: str = ""
    variant: str = ""
    bytes: int = 0
    minutes: float = 0.0
    frames: int = 0
    files: int = 1
    topics: tuple[str, ...] = ()
    camera: bool = False
    pii: bool = False
    faces: int | None = None
    plates: int | None = None
    robots: tuple[str, ...] = ()


class _Sum(Struct):
    files: int = 0
    minutes: float = 0.0
    bytes: int = 0
    frames: int = 0
    faces: int = 0
    plates: int = 0
    uncounted: bool = False
    robots: set[str] = field(default_factory=set)
    why: str = ""

    def add(self, item: Item, why: str) -> None:
        self.files += item.files
        self.minutes += item.minutes
        self.bytes += item.bytes
        self.frames += item.frames
        self.faces += item.faces or 0
        self.plates += item.plates or 0
        self.uncounted = self.uncounted or (item.faces is None and (item.camera or item.pii))
        if item.robots:
            self.robots.update(item.robots)
        elif item.robot:
            self.robots.add(item.robot)
        self.why = self.why or why

    def volume(self) -> Volume:
        return Volume(
            files=self.files, minutes=round(self.minutes, 3), bytes=self.bytes, frames=self.frames, robots=len(self.robots),
            faces=None if self.uncounted else self.faces, plates=None if self.uncounted else self.plates,
        )  # fmt: skip


def classify(
    items: Iterable[Item],
    policy: Mapping[str, Json],
    *,
    declared: Sequence[str] = (),
    missing: Sequence[str] = (),
    standing: Sequence[str] = (),
    live: bool = False,
) -> Classification:
    """The classes of everything that was asked for. `declared` classes are added, none is ever taken away; `standing` ones
    lie wherever it leads, whatever is found there; `live` means
    that it is looked at as it happens, through the robot's cameras."""
    words = {"personal_video": _words(policy, "video_topics"), "precise_location": _words(policy, "precise_topics")}
    contracts, controlled = policy.get("contracts") or {}, set(policy.get("export_controlled") or ())
    sums: dict[str, _Sum] = {}
    whole = _Sum()
    regions: dict[str, None] = {}
    customers: dict[str, None] = {}
    sites: dict[str, None] = {}
    odd: list[str] = []
    known: dict[tuple[Any, ...], dict[str, str]] = {}  # recordings of one kind have the same topics
    for item in items:
        whole.add(item, "")
        alike = (item.topics, item.camera, item.pii, item.customer, item.variant)
        found = known.get(alike)
        if found is None:
            found = known[alike] = _classes(item, words, contracts, controlled, live)
        for name, why in found.items():
            sums.setdefault(name, _Sum()).add(item, why)
        for seen, value in ((regions, item.home_region or item.region), (customers, item.customer), (sites, item.site)):
            if value:
                seen[value] = None
        if item.region and item.home_region and item.region != item.home_region:
            odd.append(f"{item.id} is tagged {item.region}, its robot stands in {item.home_region}")
    for name in (*standing, *declared):
        if name in CLASSES and name not in sums:
            sums[name] = _whole_of(whole, "kept where it leads" if name in standing else "the requester says so")
    counts = tuple(
        ClassCount(name=name, volume=sums[name].volume(), why=sums[name].why, declared=name in declared)
        for name in CLASSES
        if name in sums
    )
    return Classification(
        classes=tuple(one.name for one in counts), counts=counts, volume=whole.volume(), subject_regions=tuple(regions),
        customers=tuple(customers), sites=tuple(sites), odd=_some(odd), missing=_some(list(missing)), live=live,
    )  # fmt: skip


def _classes(
    item: Item, words: Mapping[str, tuple[str, ...]], contracts: Mapping[str, Json], controlled: set[str], live: bool
) -> dict[str, str]:
    found = {"telemetry": "measured by the robot"}
    if live or item.camera:
        found["personal_video"] = "live video" if live else "it has a camera in it"
    for name, marks in words.items():
        topic = next((t for t in item.topics if any(mark in t.lower() for mark in marks)), "")
        if topic and (name != "personal_video" or item.camera or "image" in topic.lower() or item.pii):
            found.setdefault(name, f"topic {topic}")
    if item.pii:
        found.setdefault("personal_video", "marked as personal")
    if live:
        found.setdefault("precise_location", "the robot's position is shown")
    contract = contracts.get(item.customer)
    if isinstance(contract, Mapping) and contract.get("confidential"):
        found["customer_confidential"] = f"contract with {item.customer}"
    if item.variant and item.variant in controlled:
        found["export_controlled"] = f"variant {item.variant}"
    return found


def _whole_of(whole: _Sum, why: str) -> _Sum:
    return _Sum(
        files=whole.files, minutes=whole.minutes, bytes=whole.bytes, frames=whole.frames, faces=whole.faces, plates=whole.plates,
        uncounted=whole.uncounted, robots=set(whole.robots), why=why,
    )  # fmt: skip


def _words(policy: Mapping[str, Json], key: str) -> tuple[str, ...]:
    return tuple(str(word).lower() for word in policy.get(key) or ())


def _some(found: list[str]) -> tuple[str, ...]:
    more = len(found) - SHOWN
    return tuple([*found[:SHOWN], f"and {more} more"] if more > 0 else found)
