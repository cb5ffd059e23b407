"""A ticket system in memory that keeps every promise, and can be told to break one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from engine.capabilities.ports import ActionError
from engine.capabilities.systems.ports import Comment, Feed, NewTicket, Pulled, RemoteObject, Right, Ticket

NOW = 1_790_000_000.0


def refusal(error: str, said: str, kind: str = "validation") -> ActionError:
    return ActionError(error, said, kind=kind, retryable=False)


class Desk:
    """`broken` holds the names of what it does wrong."""

    def __init__(self, *broken: str, tickets: int = 3) -> None:
        self.broken, self.calls = set(broken), list[str]()
        self.tickets: dict[str, Ticket] = {}
        self.keys: dict[str, str] = {}
        self.done: dict[str, Any] = {}
        self.traits = {"priority": "the owner has three priorities, ours has five"}
        self.feeds: tuple[Feed, ...] = (Feed(kind="issue", title="Tickets"),)
        for number in range(tickets):
            self._new(NewTicket(title=f"Ticket {number}", body="it is so", priority="P3"))

    def _new(self, new: NewTicket) -> Ticket:
        id = str(len(self.tickets) + 1)
        made = Ticket(id=id, title=new.title, state="new", meaning="open", body=new.body, priority=new.priority or "P3",
                      version="1", changed_at=NOW, url=f"https://desk.example/{id}")  # fmt: skip
        self.tickets[id] = made
        return made

    async def check(self) -> str:
        if "down" in self.broken:
            raise ActionError("Unreachable", "the desk does not answer", kind="communication")
        return "" if "nameless" in self.broken else "Desk 1.0"

    async def rights(self) -> tuple[Right, ...]:
        return (Right(name="open", has=True, needed_for="tickets of cases"),)

    async def pull(self, feed: str, cursor: str) -> Pulled:
        rows = tuple(
            RemoteObject(id=t.id, name=t.title, state=t.state, changed_at=t.changed_at * (1000 if "ms" in self.broken else 1),
                         data={"title": t.title, "meaning": t.meaning, "priority": t.priority, "assignee": t.assignee})
            for t in self.tickets.values()
        )  # fmt: skip
        if not cursor:
            if "circles" in self.broken:
                return Pulled(objects=rows, cursor="p1", more=True, full=True)
            return Pulled(objects=rows[:2], cursor="page-2", more=True, full=True)
        if cursor == "page-2":
            return Pulled(objects=rows[1 if "twice" in self.broken else 2 :], cursor=f"since {NOW}", full=True)
        if cursor.startswith("since "):
            return Pulled(cursor=cursor, unchanged=True)
        if cursor == "p1":
            return Pulled(cursor="p1", more=True, full=True)
        if "gap" in self.broken:
            return Pulled(cursor=cursor)
        raise refusal("CursorLost", "no such cursor")

    async def open(self, new: NewTicket, *, key: str, in_doubt: bool = False) -> Ticket:
        self.calls.append("open")
        if key in self.keys and "doubles" not in self.broken:
            return self.tickets[self.keys[key]]
        made = self._new(new)
        self.keys.setdefault(key, made.id)
        return made

    async def read(self, id: str) -> Ticket:
        if id not in self.tickets:
            raise refusal("NoSuchThing" if "misnamed" in self.broken else "NoSuchTicket", f"no ticket {id[:20]}")
        found = self.tickets[id]
        return replace(found, title=found.title + "\x1b[31m") if "dirty" in self.broken else found

    async def find(self, key: str) -> Ticket | None:
        return self.tickets.get(self.keys.get(key, ""))

    async def update(
        self, id: str, changes: Mapping[str, str], *, version: str, key: str, in_doubt: bool = False
    ) -> Ticket:
        found = await self.read(id)
        if key in self.done:
            return found
        if version and version != found.version and "overwrites" not in self.broken:
            raise refusal("Conflict", "somebody changed it", "conflict")
        if changes.get("meaning") == "cancelled":
            raise refusal("NoTransition", "cancelled is not reached from here")
        self.done[key] = True
        values: dict[str, Any] = {**changes, "version": str(int(found.version) + 1)}
        self.tickets[id] = replace(found, **values)
        return self.tickets[id]

    async def comment(self, id: str, text: str, *, key: str, in_doubt: bool = False) -> Comment:
        found = await self.read(id)
        known = next((one for one in found.comments if one.key == key), None)
        if known is not None and "repeats" not in self.broken:
            return known
        cleaned = "".join(c if c.isprintable() else "\ufffd" for c in text)
        made = Comment(id=f"c{len(found.comments)}", text=cleaned, author="desk", at=NOW, key=key)
        self.tickets[id] = replace(found, comments=(*found.comments, made))
        return made

    async def attach(self, id: str, name: str, content: bytes, media: str, *, key: str, in_doubt: bool = False) -> None:
        if "crashes" in self.broken:
            raise KeyError("attachments")
        raise refusal("Unsupported", "this desk takes no files")
