"""A third party's connector, as somebody outside would write it: tickets as JSON files in a folder.

It is a package of its own with an entry point (`acme_depot-1.0.dist-info`), knows the ports alone, and is not part of
Quarterdeck's own connectors. Tests put this folder on the path of an engine.
"""

from __future__ import annotations

import json
import os
import time
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.capabilities.ports import ActionError, Clock, Param
from engine.capabilities.systems.ports import Comment, Feed, NewTicket, Pulled, RemoteObject, Ticket

STATES = {
    "open": "new",
    "in_progress": "doing",
    "on_hold": "parked",
    "resolved": "fixed",
    "closed": "shut",
    "cancelled": "void",
}
MEANINGS = {word: meaning for meaning, word in STATES.items()}


def refused(error: str, said: str, kind: str = "validation") -> ActionError:
    return ActionError(error, said, kind=kind, retryable=False)


def inert(text: str) -> str:
    return "".join(c if c in "\n\t" or unicodedata.category(c)[0] != "C" else "\ufffd" for c in text)


class Depot:
    """Each ticket is a file; its revision is its version; the keys of writes stand in it."""

    traits = {"attach": "the depot keeps words, no files", "assignee": "whoever stands at the counter has all of them"}
    feeds = (Feed(kind="issue", title="Depot tickets", every_s=2.0, full_every_s=0.0, stale_s=10.0),)

    def __init__(self, folder: Path, token: Callable[[], str]) -> None:
        self._folder, self._token = folder, token

    async def check(self) -> str:
        if (
            not (self._folder / "token").is_file()
            or (self._folder / "token").read_text("utf-8").strip() != self._token()
        ):
            raise refused("Unauthenticated", "the depot does not know this token", "authentication")
        return "Acme Depot 1.0"

    def _all(self) -> list[dict[str, Any]]:
        return [json.loads(file.read_text("utf-8")) for file in sorted(self._folder.glob("*.json"))]

    def _load(self, id: str) -> dict[str, Any]:
        file = self._folder / f"{id}.json"
        if not id.isalnum() or not file.is_file():
            raise refused("NoSuchTicket", f"the depot has no ticket {inert(id)[:40]!r}")
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return found

    def _save(self, row: dict[str, Any]) -> Ticket:
        row = {**row, "rev": row["rev"] + 1, "changed_at": time.time()}
        fresh = self._folder / f"{row['id']}.new"
        fresh.write_text(json.dumps(row), "utf-8")
        os.replace(fresh, self._folder / f"{row['id']}.json")
        return self._ticket(row)

    def _ticket(self, row: dict[str, Any]) -> Ticket:
        comments = tuple(
            Comment(id=str(n), text=inert(one["text"]), author="quarterdeck", at=one["at"], key=one["key"])
            for n, one in enumerate(row["comments"])
        )
        return Ticket(
            id=row["id"], title=inert(row["title"]), state=row["state"], meaning=MEANINGS[row["state"]], body=inert(row["body"]),  # type: ignore[arg-type]
            priority=row["priority"], assignee="counter", version=str(row["rev"]), changed_at=row["changed_at"], comments=comments,
        )  # fmt: skip

    async def open(self, new: NewTicket, *, key: str, in_doubt: bool = False) -> Ticket:
        found = await self.find(key)
        if found is not None:
            return found
        id = str(1 + max((int(row["id"]) for row in self._all()), default=0))
        row = {
            "id": id,
            "title": new.title,
            "body": new.body,
            "priority": new.priority,
            "state": "new",
            "keys": [key],
            "comments": [],
            "rev": 0,
        }
        return self._save(row)

    async def read(self, id: str) -> Ticket:
        return self._ticket(self._load(id))

    async def find(self, key: str) -> Ticket | None:
        return next((self._ticket(row) for row in self._all() if key in row["keys"][:1]), None)

    async def update(
        self, id: str, changes: Mapping[str, str], *, version: str, key: str, in_doubt: bool = False
    ) -> Ticket:
        row = self._load(id)
        if key in row["keys"]:
            return self._ticket(row)
        if version and version != str(row["rev"]):
            raise refused("Conflict", f"ticket {id} was changed meanwhile", "conflict")
        values = {
            ("state" if name == "meaning" else name): (STATES[value] if name == "meaning" else value)
            for name, value in changes.items()
        }
        return self._save({**row, **values, "keys": [*row["keys"], key]})

    async def comment(self, id: str, text: str, *, key: str, in_doubt: bool = False) -> Comment:
        row = self._load(id)
        if all(one["key"] != key for one in row["comments"]):
            self._save({**row, "comments": [*row["comments"], {"text": text, "key": key, "at": time.time()}]})
        return next(one for one in (await self.read(id)).comments if one.key == key)

    async def attach(self, id: str, name: str, content: bytes, media: str, *, key: str, in_doubt: bool = False) -> None:
        raise refused("Unsupported", self.traits["attach"])

    async def discard(self, kind: str, id: str) -> None:
        self._load(id)
        (self._folder / f"{id}.json").unlink()

    async def pull(self, feed: str, cursor: str) -> Pulled:
        if cursor:
            raise refused("CursorLost", "the depot keeps no cursors")
        rows = [self._ticket(row) for row in self._all()]
        return Pulled(
            objects=tuple(
                RemoteObject(id=one.id, name=one.title, state=one.state, changed_at=one.changed_at, etag=one.version,
                             data={"title": one.title, "meaning": one.meaning, "priority": one.priority, "assignee": one.assignee})
                for one in rows
            ),
            full=True, owner_now=time.time(),
        )  # fmt: skip


class DepotConnector:
    kind = "depot"
    title = "Acme Depot"
    docs = "our own program of 2026; tested against itself"
    capabilities = ("tickets",)
    needs: tuple[str, ...] = ()
    fields = {
        "folder": Param(type="string", description="where the depot keeps its tickets"),
        "secret": Param(type="string", description="name of the keyring entry of the counter's token"),
    }

    def build(
        self, config: Mapping[str, Any], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        name = str(config["secret"])
        return {"tickets": Depot(Path(str(config["folder"])), lambda: secret(name))}


connector = DepotConnector()
