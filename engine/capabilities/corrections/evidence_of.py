"""What the loop reads of other subjects' records: sessions as robot-hours, snapshots, packs, and what a release learnt from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.capabilities.corrections.rates import Stretch
from engine.capabilities.records import Records

Json = Any
USABLE = ("ingested", "valid", "repaired", "labelled", "curated", "excluded")
"""Sessions whose robot-hours count: also those that no dataset takes, but not what was quarantined or withdrawn."""
MOST = 2_000
WINDOWS = "correction-windows"
"""The campaign of sessions that are kept windows: they are learnt from, but are nobody's operating hours."""


def version_of(session: Any, components: Sequence[str]) -> str:
    """The version that drives: the first of these components in the session's software bill, else its only one."""
    bill: Mapping[str, str] = session.bill
    for name in components:
        if bill.get(name):
            return str(bill[name])
    return str(next(iter(bill.values()))) if len(bill) == 1 else ""


def zone_of(session: Any) -> str:
    return str(session.conditions.get("zone") or session.conditions.get("scene") or "")


def bounds_of(session: Any) -> tuple[float, float]:
    """Begin and end, UTC epoch seconds."""
    start = session.start or session.start_ns / 1e9
    return start, session.end or session.end_ns / 1e9 or start + session.duration_s


def stretch(session: Any, components: Sequence[str]) -> Stretch:
    start, end = bounds_of(session)
    marks = sorted(mark.t0 for mark in session.marks if mark.kind == "intervention")[: session.interventions]
    missing = session.interventions - len(marks)
    middle = (end - start) / 2
    events = tuple(start + t for t in [*marks, *([middle] * max(0, missing))])
    return Stretch(
        robot=session.robot,
        site=session.site,
        version=version_of(session, components),
        task=session.task,
        start=start,
        end=end,
        events=events,
    )


async def sessions(records: Records, *, site: str = "", task: str = "", since: float = 0.0) -> list[Any]:
    """Usable sessions, newest first."""
    where = {name: value for name, value in (("site", site), ("task", task)) if value}
    found = await records.find("session", state=USABLE, where=where, limit=MOST, order="-start_ns")
    return [one for one in found if bounds_of(one)[1] >= since and one.campaign != WINDOWS]


async def newest_snapshot(records: Records) -> Any | None:
    found = await records.find("snapshot", state="finalized", limit=1)
    return found[0] if found else None


async def coverage(records: Records, *, task: str, site: str, dataset: str = "") -> tuple[float, str]:
    """Share of the stratum's target that the newest finalized snapshot of a dataset with that stratum has, and in words."""
    for snapshot in await records.find("snapshot", state="finalized", limit=20):
        cells = [cell for cell in snapshot.coverage if _fits(cell.dims, task, site)]
        if cells and (not dataset or snapshot.dataset == dataset):
            have, need = sum(cell.have for cell in cells), sum(cell.need for cell in cells)
            return (have / need if need else 1.0), f"{have}/{need} in {snapshot.id}"
    return 0.0, "no snapshot has this stratum"


def _fits(dims: Mapping[str, str], task: str, site: str) -> bool:
    asked = {"task": task, "site": site}
    known = {name: value for name, value in dims.items() if name in asked}
    return bool(known) and all(asked[name] == value for name, value in known.items())


async def learnt_from(records: Records, release: Mapping[str, Json], wanted: Iterable[str]) -> tuple[bool, str]:
    """Whether a release's model was trained on one of these snapshots: artifact -> candidate -> snapshot and its parents.

    The second value says how that is known, or where the thread ends.
    """
    snapshots = set(wanted)
    artifact = await _artifact(records, release)
    if artifact is None:
        return False, f"no artifact is known for {release.get('version') or release.get('artifact') or 'this release'}"
    name = getattr(artifact, "candidate", "")
    candidate = await records.get("candidate", name) if name else None
    if candidate is None:
        return False, f"{artifact.id} was not built from a candidate we know"
    trail, seen = [candidate.snapshot], set[str]()
    while trail:
        at = trail.pop()
        if at in snapshots:
            return True, f"{artifact.id} <- {candidate.id} <- {at}"
        if not at or at in seen or len(seen) > 200:
            continue
        seen.add(at)
        parent = await records.get("snapshot", at)
        trail += list(parent.parents) if parent is not None else []
    return (
        False,
        f"{candidate.id} was trained on {candidate.snapshot or 'no snapshot'}, not on {', '.join(sorted(snapshots)) or 'any'}",
    )


async def _artifact(records: Records, release: Mapping[str, Json]) -> Any | None:
    for key in ("artifact", "digest", "version"):
        value = release.get(key)
        if not isinstance(value, str) or not value:
            continue
        if key == "artifact" and (found := await records.get("artifact", value)) is not None:
            return found
        for field in ("digest", "version"):
            for one in await records.find("artifact", text=value, limit=50):
                if getattr(one, field, "") == value:
                    return one
    return None


async def names_of(records: Records, release: Mapping[str, Json]) -> tuple[str, ...]:
    """Everything a session's bill may call this release: version, artifact digest, model digest."""
    found = [str(release.get(key) or "") for key in ("version", "digest", "artifact")]
    artifact = await _artifact(records, release)
    if artifact is not None:
        found += [artifact.digest, artifact.version, artifact.id]
        candidate = await records.get("candidate", getattr(artifact, "candidate", "") or "-")
        found += [candidate.model_digest] if candidate is not None else []
    return tuple(dict.fromkeys(name for name in found if name))
