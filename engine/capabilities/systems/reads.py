"""Remote systems as they are read: what there is, what can be added, what was asked of one, what it holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

import msgspec

from engine.capabilities.connections import GROUP, secret_fields
from engine.capabilities.ports import Connector
from engine.capabilities.reads import Look, Read
from engine.capabilities.systems.live import Systems
from engine.contract.systems import (
    CallPage,
    FieldView,
    KindPage,
    KindView,
    MirrorObject,
    MirrorPage,
    SystemPage,
    SystemView,
)

Json = Any
MOST = 1000


def _live(look: Look) -> Systems:
    found: Systems = look.ports["systems"]
    return found


def _all(look: Look, at: dict[str, str], query: dict[str, str]) -> SystemPage:
    live = _live(look)
    records = look.find("system", state=("active", "suspended"), limit=MOST, order="created_at")
    return SystemPage(systems=tuple(live.view(record, secrets=True) for record in records), as_of=look.now())


def _one(look: Look, at: dict[str, str], query: dict[str, str]) -> SystemView | None:
    record = look.get("system", at["system"])
    return None if record is None else _live(look).view(record, secrets=True)


def _log(look: Look, at: dict[str, str], query: dict[str, str]) -> CallPage | None:
    if look.get("system", at["system"]) is None:
        return None
    return CallPage(calls=_live(look).calls(at["system"], _limit(query, 200)), as_of=look.now())


def _kinds(look: Look, at: dict[str, str], query: dict[str, str]) -> KindPage:
    declared = _live(look).connections.declared()
    described = [_kind(name, load, "described in a file") for name, load in declared.items()]
    return KindPage(kinds=tuple(sorted((*_installed(), *described), key=lambda kind: kind.kind)))


@lru_cache(maxsize=1)
def _installed() -> tuple[KindView, ...]:
    """Every kind that is installed, also those that can't be loaded, with the reason."""
    points = entry_points(group=GROUP)
    return tuple(_kind(each.name, each.load, each.dist.name if each.dist is not None else "") for each in points)


def _kind(name: str, load: Callable[[], Connector], package: str) -> KindView:
    try:
        connector = load()
        secret = secret_fields(connector)
        fields = [
            FieldView(
                name=field,
                type=param.type,
                required=param.required,
                description=param.description,
                secret=field in secret,
            )
            for field, param in connector.fields.items()
        ]
        return KindView(
            kind=name,
            title=str(getattr(connector, "title", "") or name),
            capabilities=tuple(connector.capabilities),
            needs=tuple(connector.needs),
            fields=tuple(fields),
            docs=str(getattr(connector, "docs", "")),
            package=package,
            webhooks=callable(getattr(connector, "receive", None)),
        )
    except Exception as error:  # noqa: BLE001 - a third party's connector may fail in any way: the others are shown
        return KindView(kind=name, package=package, error=f"{type(error).__name__}: {error}"[:300])


_COLUMNS = "system, kind, id, name, state, url, changed_at, at, deleted_at, data"


def _mirror(look: Look, at: dict[str, str], query: dict[str, str]) -> MirrorPage:
    """What is mirrored; what its owner no longer has only with `state=deleted`."""
    values: list[Json] = []
    conditions = ["length(digest) > 0"]
    for name in ("system", "kind"):
        if query.get(name):
            conditions.append(f"{name} = ?")
            values.append(query[name])
    if query.get("state") == "deleted":
        conditions.append("deleted_at > 0")
    else:
        conditions.append("deleted_at = 0")
        if query.get("state"):
            conditions.append("state = ?")
            values.append(query["state"])
    for word in query.get("text", "").lower().split()[:8]:
        conditions.append("instr(lower(id || ' ' || name || ' ' || state || ' ' || cast(data as text)), ?) > 0")
        values.append(word)
    where = " and ".join(conditions)
    total = look.one(f"select count(*) from mirror where {where}", values)[0]
    rows = look.all(
        f"select {_COLUMNS} from mirror where {where} order by system, kind, id limit ?", (*values, _limit(query, 200))
    )
    return MirrorPage(objects=tuple(_object(row) for row in rows), total=int(total), as_of=look.now())


def _object(row: Any) -> MirrorObject:
    system, kind, id_, name, state, url, changed_at, seen_at, deleted_at, data = row
    return MirrorObject(
        system=system, kind=kind, id=id_, name=name, state=state, url=url, changed_at=changed_at, seen_at=seen_at,
        deleted_at=deleted_at, data=msgspec.json.decode(data) if data else {},
    )  # fmt: skip


def _limit(query: dict[str, str], usual: int) -> int:
    text = query.get("limit", "")
    if text and not (text.isdigit() and int(text) > 0):
        raise ValueError(f"limit is a number above zero, not {text[:40]!r}")
    return min(MOST, int(text)) if text else usual


READS = (
    Read(path="/v1/connectors", shape=SystemPage, says="Remote systems, and how each is.", give=_all),
    Read(path="/v1/connectors/kinds", shape=KindPage, says="Kinds of systems that can be added.", give=_kinds),
    Read(
        path="/v1/connectors/{system}/log", shape=CallPage, says="What was last asked of it, newest first.",
        queries=("limit",), give=_log,
    ),
    Read(path="/v1/connectors/{system}", shape=SystemView, says="One remote system.", give=_one),
    Read(
        path="/v1/mirror", shape=MirrorPage, says="Objects of remote systems, as last read.",
        queries=("system", "kind", "state", "text", "limit"), give=_mirror,
    ),
)  # fmt: skip
