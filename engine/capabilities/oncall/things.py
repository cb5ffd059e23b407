"""What can be watched: anything with an id. How it stands is read from its projection; whether it changed, from its newest
event, so that watching costs nobody anything until somebody looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from engine.capabilities.oncall.shelf import Shelf
from engine.contract.oncall import Watched, WatchRecord

Json = Any
_RUN = re.compile(r"run-\d+\Z")
_GATE = re.compile(r"run-\d+\..+\Z")
REASON = 160


class Thing(Struct, frozen=True):
    """How a thing stands: `seq` is the event of its newest change."""

    kind: str
    id: str
    title: str
    text: str
    seq: int
    at: float


def find(shelf: Shelf, id: str, kind: str = "") -> Thing | None:
    """The thing with this id; `kind` where an id alone does not tell (a robot, a snapshot). None: there is none."""
    if kind in ("run", "rollout", "trace") or (not kind and _RUN.match(id)):
        return _rollout(shelf, id) or _run(shelf, id)
    if kind == "gate" or (not kind and _GATE.match(id)):
        return _gate(shelf, id)
    if kind == "robot":
        return _robot(shelf, id)
    if kind:
        return _record(shelf, kind, id)
    guessed = _kind_of(id)
    return (_record(shelf, guessed, id) if guessed else None) or _robot(shelf, id) or _record(shelf, "snapshot", id)


def watched(shelf: Shelf, watches: Iterable[WatchRecord]) -> list[Watched]:
    """The things as they stand, what changed first. One that is gone says so."""
    found = []
    for one in watches:
        thing = find(shelf, one.of, one.of_kind)
        if thing is None:
            found.append(
                Watched(watch=one.id, kind=one.of_kind, id=one.of, title=one.title, text="it is not there any more")
            )
        else:
            found.append(
                Watched(
                    watch=one.id, kind=thing.kind, id=thing.id, title=thing.title or one.title, text=thing.text, seq=thing.seq,
                    at=thing.at, news=thing.seq > one.seen_seq,
                )
            )  # fmt: skip
    return sorted(found, key=lambda one: (not one.news, -one.at))


def alert(shelf: Shelf, system: str, id: str) -> tuple[str, str, float] | None:
    row = shelf.one(
        "select name, data, changed_at from mirror where system = ? and kind = 'alert' and id = ? and deleted_at = 0",
        (system, id),
    )
    if row is None:
        return None
    data = msgspec.json.decode(row[1]) if row[1] else {}
    return str(row[0]), str(data.get("robot") or ""), float(row[2])


def _kind_of(id: str) -> str:
    from engine.capabilities.subjects import catalogue

    prefix = id.rpartition("-")[0]
    return next((entity.kind for entity in catalogue() if entity.prefix == prefix), "")


def _run(shelf: Shelf, id: str) -> Thing | None:
    row = shelf.one(
        "select title, workflow, status, waiting_on, attention, ending, seq, updated_at from runs where id = ?", (id,)
    )
    if row is None:
        return None
    why = row[4] or row[5] or row[3]
    return Thing("run", id, row[0] or row[1], row[2] + (f": {why}" if why else ""), row[6], row[7])


def _rollout(shelf: Shelf, id: str) -> Thing | None:
    row = shelf.one(
        "select artifact, version, state, stage, verdict, seq, updated_at from rollouts where id = ?", (id,)
    )
    if row is None:
        return None
    said = row[2].replace("_", " ") + (f" at {row[3]}" if row[3] else "") + (f", {row[4]}" if row[4] else "")
    return Thing("rollout", id, f"{row[0]} {row[1]}".strip(), said, row[5], row[6])


def _gate(shelf: Shelf, id: str) -> Thing | None:
    row = shelf.one(
        "select question, state, seats_open, seats_total, claimed_by, seq, coalesce(closed_at, opened_at) from gates where id = ?",
        (id,),
    )
    if row is None:
        return None
    seats = f", {row[3] - row[2]} of {row[3]} seats filled" if row[1] == "open" else ""
    claimed = f", claimed by {row[4]}" if row[4] and row[1] == "open" else ""
    return Thing("gate", id, row[0], f"{row[1]}{seats}{claimed}", row[5], row[6])


def _robot(shelf: Shelf, id: str) -> Thing | None:
    row = shelf.one("select site, mode, reported, state, hold, seq, at from robots where id = ?", (id,))
    own = shelf.get("robot", id)
    if row is None:
        return _record(shelf, "robot", id) if own is not None else None
    words = [row[1] or "", row[2] or "", (row[3] or "").replace("_", " "), "on hold" if row[4] else ""]
    seq = max(int(row[5]), _newest(shelf, "robot", id)[0]) if own is not None else int(row[5])
    return Thing(
        "robot", id, f"robot at {row[0]}" if row[0] else "robot", ", ".join(w for w in words if w), seq, row[6]
    )


def _record(shelf: Shelf, kind: str, id: str) -> Thing | None:
    try:
        one = shelf.get(kind, id)
    except ValueError:  # no such kind
        return None
    if one is None:
        return None
    seq, reason = _newest(shelf, kind, id)
    text = one.state.replace("_", " ") + (f": {reason[:REASON]}" if reason else "")
    return Thing(kind, id, one.title, text, seq, one.updated_at)


def _newest(shelf: Shelf, kind: str, id: str) -> tuple[int, str]:
    """The event of a record's newest change, and its reason."""
    row = shelf.one(
        "select c.seq, coalesce(e.data, b.data) from record_changes c join events e on e.seq = c.seq "
        "left join blobs b on e.data is null and b.digest = e.digest where c.kind = ? and c.id = ? order by c.rev desc limit 1",
        (kind, id),
    )
    if row is None:
        return 0, ""
    data = msgspec.json.decode(row[1]) if row[1] is not None else {}
    return int(row[0]), str(data.get("reason") or "")
