"""A ticket system in memory that keeps the port's promises, with people on it and ways to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import msgspec

from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.systems.ports import Comment, NewTicket, Ticket
from engine.capabilities.tickets.marking import mark
from tests.unit.cases.ground import Ground

SYSTEM = "desk"


class Tracker:
    """`writes` is what was really done; `after` is called when a write was done and before it is answered; `before`
    before a write is done (somebody else is quicker)."""

    def __init__(self, clock: Any) -> None:
        self.traits: dict[str, str] = {}
        self.tickets: dict[str, Ticket] = {}
        self.keys: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.writes: list[str] = []
        self.users = {"kay", "mara", "tom", "tom-there"}
        self.no_way_to: set[str] = set()
        self.few_words = False
        self.lost = False
        self.after: Any = lambda: None
        self.before: Any = lambda: None
        self._clock = clock

    def shows(self, meaning: str) -> str:
        return {"closed": "resolved", "cancelled": "resolved"}.get(meaning, meaning) if self.few_words else meaning

    def set(self, id: str, **fields: Any) -> None:
        """Somebody changes a ticket there."""
        one = self.tickets[id]
        version = str(int(one.version) + 1)
        fields.setdefault("state", fields.get("meaning", one.state))
        self.tickets[id] = msgspec.structs.replace(one, version=version, changed_at=self._clock.now(), **fields)

    def say(self, id: str, text: str, author: str = "kay") -> None:
        one = self.tickets[id]
        comment = Comment(id=f"{id}-{len(one.comments) + 1}", text=text, author=author, at=self._clock.now())
        self.set(id, comments=(*one.comments, comment))

    async def _reach(self) -> None:
        await asyncio.sleep(0)  # somebody else's turn
        if self.lost:
            raise ActionError("Unreachable", "the desk cannot be reached", kind="unavailable")

    def _wrote(self, what: str) -> None:
        self.writes.append(what)
        self.after()

    async def open(self, new: NewTicket, *, key: str, in_doubt: bool = False) -> Ticket:
        await self._reach()
        if key in self.keys:
            return self.tickets[self.keys[key]]
        await self._reach()
        id = f"OPS-{len(self.tickets) + 1}"
        self.tickets[id] = Ticket(
            id=id, title=new.title, body=new.body, priority=new.priority, state="open", meaning="open", version="1",
            url=f"https://desk.example/{id}", changed_at=self._clock.now(),
        )  # fmt: skip
        self.keys[key] = id
        self._wrote("open")
        return self.tickets[id]

    async def read(self, id: str) -> Ticket:
        await self._reach()
        if id not in self.tickets:
            raise ActionError("NoSuchTicket", f"no {id}", kind="validation", retryable=False)
        return self.tickets[id]

    async def find(self, key: str) -> Ticket | None:
        return self.tickets.get(self.keys.get(key, ""))

    async def update(
        self, id: str, changes: Mapping[str, str], *, version: str, key: str, in_doubt: bool = False
    ) -> Ticket:
        await self._reach()
        self.before()
        one = await self.read(id)
        left = {name: value for name, value in changes.items() if getattr(one, name) != value}
        if not left:
            return one
        if version and version != one.version:
            raise ActionError("Conflict", "changed since", kind="conflict")
        if left.get("meaning") in self.no_way_to:
            raise ActionError("NoTransition", f"no way to {left['meaning']}", kind="conflict", retryable=False)
        if left.get("assignee") and left["assignee"] not in self.users:
            raise ActionError("NoSuchUser", f"nobody is called {left['assignee']}", kind="validation", retryable=False)
        if "meaning" in left:
            left["meaning"] = self.shows(left["meaning"])
        self.set(id, **left)
        self._wrote("update " + ",".join(sorted(left)))
        return self.tickets[id]

    async def comment(self, id: str, text: str, *, key: str, in_doubt: bool = False) -> Comment:
        await self._reach()
        one = await self.read(id)
        for known in one.comments:
            if known.key == mark(key):
                return known
        await self._reach()
        one = await self.read(id)
        made = Comment(id=f"{id}-{len(one.comments) + 1}", text=text, author="quarterdeck", key=mark(key))
        self.set(id, comments=(*one.comments, made))
        self._wrote("comment")
        return made

    async def attach(self, id: str, name: str, content: bytes, media: str, *, key: str, in_doubt: bool = False) -> None:
        await self._reach()
        if mark(key) not in self.files:
            self.files[mark(key)] = content
            self._wrote(f"attach {name}")

    async def check(self) -> str:
        return "desk"


def dies(tracker: Tracker) -> None:
    """The next write is done and never answered."""

    def once() -> None:
        tracker.after = lambda: None
        raise InDoubt("Unanswered", "the line went dead", kind="unknown")

    tracker.after = once


class Pager:
    """Pages by key."""

    def __init__(self) -> None:
        self.traits: dict[str, str] = {}
        self.told: list[tuple[str, str]] = []

    async def raise_(self, summary: str, *, key: str, **rest: Any) -> str:
        self.told.append(("raise", key))
        return key

    async def acknowledge(self, key: str) -> None:
        self.told.append(("acknowledge", key))

    async def resolve(self, key: str) -> None:
        self.told.append(("resolve", key))


class TicketGround(Ground):
    """The ground of cases with a ticket system and a pager."""

    tracker: Tracker
    pager: Pager
    packs: dict[str, dict[str, Any]]

    def begin(self) -> None:
        self.tracker, self.pager = Tracker(self.clock), Pager()
        self.packs = {"maintenance": self.policy, "tickets": load_pack("tickets")}
        self.runs = 0

    def port(self, capability: str) -> Any:
        name, _, system = capability.partition("@")
        if name in ("tickets", "paging") and system in ("", SYSTEM):
            return self.tracker if name == "tickets" else self.pager
        if capability == "systems":
            return SimpleNamespace(connections=SimpleNamespace(first=lambda capability: SYSTEM))
        return super().port(capability)

    def pack(self, name: str) -> dict[str, Any]:
        return self.packs[name]

    async def sync(self, *, case: str = "", ticket: str = "", link: str = "", fresh: bool = False) -> str:
        """What the workflow does about it; tried again where it would be. The link's number."""
        self.runs += 1
        run = f"sync-{self.runs}"
        for _ in range(4):
            try:
                plan = await self.act(
                    "ticket.plan",
                    run=f"{run}-plan",
                    case=case,
                    ticket=ticket,
                    system=SYSTEM if ticket else "",
                    link=link,
                )
                if plan["outcome"] == "open":
                    await self.act("ticket.raise", run=f"{run}-raise", link=plan["link"])
                if plan["outcome"] != "none":
                    await self.act("ticket.sync", run=f"{run}-sync", link=plan["link"], fresh=fresh)
                return str(plan["link"])
            except InDoubt:
                continue
        raise AssertionError("in doubt for ever")

    def link(self, id: str) -> Any:
        return self.host.book.reads.get("ticket_link", id)

    def ticket(self, link: str) -> Ticket:
        return self.tracker.tickets[self.link(link).ticket]
