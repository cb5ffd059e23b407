"""Anything by its id or a word of its name: what the palette and the fields of forms ask while somebody types."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from engine.api.access import Caller
from engine.api.door import Door
from engine.api.problems import Denied
from engine.capabilities.entities import Entity
from engine.contract.search import Found, FoundPage
from engine.store import search
from engine.store.search import Search, Shelf

LONGEST = 100
_USUAL, _MOST = 30, 200
_SPOKEN = (
    "robot", "site", "symptom", "variant", "serial", "name", "line", "version", "holder", "actor", "requester", "person",
    "gateway", "session", "task", "assignee", "external_ref", "digest", "model_digest", "root_digest", "dataset", "vendor",
)  # fmt: skip
"""Columns by which people know a record, where its table has them."""
QUERIES = ("text", "kinds", "limit")


def find(door: Door, caller: Caller, at: dict[str, str], q: dict[str, str]) -> FoundPage:
    """What fits `text`, best first; `kinds` narrows it, with commas."""
    text = " ".join(q.get("text", "")[:LONGEST].split())
    kinds = tuple(filter(None, q.get("kinds", "").split(",")))
    catalogue = door.book.catalogue
    known = ("run", *(shelf.kind for shelf in search.OWN), "site", "workflow", "person", *catalogue.by_kind)
    for kind in kinds:
        if kind not in known:
            raise Denied(
                422, "bad_input", f"kinds: there is no kind {kind[:40]!r}", fix=f"there are {', '.join(dict.fromkeys(known))}",
                field="kinds",
            )  # fmt: skip
    limit = _limit(q.get("limit", ""))
    rows, cut = _search(door).find(text, kinds=kinds)
    seen = {(one.kind, one.id): one for one in (*rows, *_elsewhere(door, text, kinds, limit))}
    # a rollout is a run as well: it is said once, as what people call it
    best = [one for one in seen.values() if not (one.kind == "run" and ("rollout", one.id) in seen)]
    best.sort(key=lambda one: (-search.fit(text, one), -one.at, one.id))
    return FoundPage(rows=tuple(best[:limit]), cut=cut or len(best) > limit, as_of=door.now())


def _limit(text: str) -> int:
    if not text:
        return _USUAL
    if not text.isdecimal() or len(text) > 6 or not int(text):
        raise Denied(422, "bad_input", f"limit is a whole number from 1, not {text[:40]!r}", field="limit")
    return min(_MOST, int(text))


def _elsewhere(door: Door, text: str, kinds: tuple[str, ...], limit: int) -> list[Found]:
    """What is no table of ours to walk: runs have an index of their own, people stand in the policy."""
    words = text.lower().split()
    found: list[Found] = []
    if not words:
        return found
    if not kinds or "run" in kinds:
        ids = [text, f"run-{text}"] if text.isdecimal() else [text]
        rows = {row.id: row for row in (*door.reads.run_rows(ids), *door.reads.run_page(text=text, limit=limit).rows)}
        found += [
            Found(kind="run", id=row.id, title=row.title or row.workflow, state=row.status, at=row.updated_at)
            for row in rows.values()
        ]
    if not kinds or "person" in kinds:
        found += [
            Found(kind="person", id=name, title=", ".join(roles))
            for name, roles in door.policy.roster.items()
            if name[0] != "@" and all(word in f"{name} {' '.join(roles)}".lower() for word in words)
        ]
    return found


def _search(door: Door) -> Search:
    reads = door.book.reads
    shelves = []
    for entity in door.book.catalogue:
        if entity.kind != "robot":
            shelves.append(_shelf(entity, tuple(reads.columns(entity.kind))))
    return Search(reads.reading, shelves)


@lru_cache(256)
def _shelf_of(kind: str, table: str, quiet: bool, columns: tuple[str, ...]) -> Shelf:
    words = ("title", *(column for column in _SPOKEN if column in columns))
    title = "title"
    if "robot" in columns:
        title = "case when title = '' then robot when instr(title, robot) then title else robot||' '||title end"
    return Shelf(kind, table, title, "state", "updated_at", words, "seq", quiet)


def _shelf(entity: Entity, columns: tuple[Any, ...]) -> Shelf:
    return _shelf_of(entity.kind, entity.table, entity.quiet, columns)
