"""The ports of a declared system: tickets, notices and alerts, each write made once by key or by a marker looked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from connectors.answers import Refusal
from connectors.bodies import Part
from connectors.declared_calls import Caller, keyed, merged
from connectors.declared_feeds import Feeds, link, mapped
from connectors.remote_text import clean
from connectors.ticketing import (
    COMMENTS,
    ISSUES,
    TITLE,
    as_object,
    back,
    differing,
    lines,
    no_ticket,
    sought,
)
from engine.capabilities.ports import ActionError, Json
from engine.capabilities.systems.ports import Comment, NewTicket, Notice, RemoteObject, Silence, Ticket
from engine.capabilities.tickets.marking import mark, unmarked
from engine.contract.tickets import MEANINGS

LONGEST_SETTLE_S = 60.0
CANDIDATES = 20


class DeclaredTickets(Feeds):
    """Implements Tickets, and mirrors the feed `issue` when `list` is declared."""

    def __init__(
        self, caller: Caller, spec: Mapping[str, Json], check: Mapping[str, Json], traits: dict[str, str]
    ) -> None:
        listed = {k: v for k, v in spec.items() if k in ("list", "changes", "every", "full_every")}
        issues = (
            {"issue": {"title": ISSUES.title, "object": {"id": spec["ticket"]["id"]}, **listed}}
            if "list" in spec
            else {}
        )
        super().__init__(caller, issues, check)
        self._spec, self._meanings, self._priorities = spec, spec["meanings"], spec.get("priorities", {})
        self._to_meaning, self._to_priority = back(spec["meanings"]), back(spec.get("priorities", {}))
        lacking = {
            "update": "tickets can't be changed from here" if not {"update", "move"} & spec.keys() else "",
            "comment": "it takes no comments from here" if "add_comment" not in spec else "",
            "attach": "it takes no files from here" if "attach" not in spec else "",
        }
        self.traits = {k: v for k, v in lacking.items() if v} | traits

    async def open(self, new: NewTicket, *, key: str, in_doubt: bool = False) -> Ticket:
        spec = self._spec["open"]
        if "find" in self._spec:
            if in_doubt and spec.get("settle"):  # the owner's search may lag behind what it took
                await asyncio.sleep(min(LONGEST_SETTLE_S, spec["settle"]))
            if (found := await self.find(key)) is not None:
                return found
        sent = {
            "title": new.title,
            "body": new.body,
            "priority": self._to_priority.get(new.priority, new.priority),
            "labels": list(new.labels),
        }
        made = await self._caller.call({"item": "answer", **spec}, {"new": sent, **keyed(key)})
        return await self.read(self._caller.id(self._spec["ticket"]["id"], {"it": made}))

    async def read(self, id: str) -> Ticket:
        try:
            item = await self._caller.call(self._spec["read"], {"id": id})
        except ActionError as error:
            if error.error in ("NotFound", "Gone"):
                raise no_ticket(self._caller.title, id) from error
            raise
        ticket = self._ticket(item)
        if ticket.id != id:
            raise no_ticket(self._caller.title, id)
        return _with(ticket, comments=await self._comments(id))

    async def find(self, key: str) -> Ticket | None:
        if "find" not in self._spec:
            return None
        looked = 0
        async for item in self._caller.all(self._spec["find"], keyed(key)):
            id = self._caller.id(self._spec["ticket"]["id"], {"it": item})
            # an owner that does not know the filter lists everything: only a ticket that bears the marker is ours
            if self._bears(item, key) or self._bears(await self._caller.call(self._spec["read"], {"id": id}), key):
                return await self.read(id)
            looked += 1
            if looked >= CANDIDATES:
                raise self._caller.bad(f"find lists tickets without the marker ({looked} looked at)")
        return None

    def _bears(self, item: Json, key: str) -> bool:
        return self._spec["open"].get("once") == "key" or mark(key) in msgspec.json.encode(item).decode()

    async def update(
        self, id: str, changes: Mapping[str, str], *, version: str, key: str, in_doubt: bool = False
    ) -> Ticket:
        wanted = sought(changes)
        settable = {*self._spec.get("update", {}).get("set", {})} | ({"meaning"} if "move" in self._spec else set())
        if fixed := sorted(wanted.keys() - settable):
            raise self._unsupported(f"{', '.join(fixed)} can't be changed from here")
        before = await self.read(id)
        missing = differing(before, wanted)
        if not missing:
            return before
        if version and before.version and before.version != version:
            said = f"{self._caller.title}: somebody changed {clean(id, 60)} since it was read"
            raise ActionError("Conflict", said, kind="conflict", retryable=False)
        moving = missing.pop("meaning", "") if "move" in self._spec else ""
        if missing:
            spec = self._spec["update"]
            known = {"id": id, "version": version, **keyed(key)}
            body: dict[str, Json] = {}
            for name, value in missing.items():
                theirs = {"meaning": self._to_meaning, "priority": self._to_priority}.get(name, {}).get(value, value)
                body = merged(body, self._caller.filled(spec["set"][name], {**known, "value": theirs}))
            await self._caller.call(spec, known, version=version, body=body)
        if moving:
            state = self._to_meaning.get(moving)
            if state is None:
                raise ActionError(
                    "NoTransition", f"{self._caller.title} has no state for {moving}", kind="conflict", retryable=False
                )
            known = {"id": id, "value": state, "version": version, **keyed(key)}
            await self._caller.call(self._spec["move"], known, version="" if missing else version)
        return await self.read(id)

    async def comment(self, id: str, text: str, *, key: str, in_doubt: bool = False) -> Comment:
        if "add_comment" not in self._spec:
            raise self._unsupported("it takes no comments from here")
        if (there := await self._left(id, key)) is not None:
            return there
        await self._caller.call(self._spec["add_comment"], {"id": id, "text": text, **keyed(key)})
        left = await self._left(id, key)
        return left or Comment(id="", text=lines(text), key=mark(key))

    async def attach(self, id: str, name: str, content: bytes, media: str, *, key: str, in_doubt: bool = False) -> None:
        if "attach" not in self._spec:
            raise self._unsupported("it takes no files from here")
        kept = f"{mark(key)}-{name}"  # the same name again would be taken for another file
        listing = self._spec["attachments"]
        async for item in self._caller.all(listing, {"id": id}):
            if self._caller.text(listing.get("name", "it.name"), {"it": item}) == clean(kept, 500):
                return
        spec = self._spec["attach"]
        part = Part(name=spec.get("file", "file"), content=content, filename=kept, media=media)
        await self._caller.call(spec, {"id": id, "name": kept, "media": media, **keyed(key)}, file=part)

    def make(self, feed: str, item: Json) -> RemoteObject:
        return as_object(self._ticket(item))

    def _ticket(self, item: Json) -> Ticket:
        known, spec, give = {"it": item}, self._spec["ticket"], self._caller
        state = give.text(spec["state"], known, 100)
        said = give.text(spec.get("meaning"), known) or self._meanings.get(state, "")
        told = next((one for one in MEANINGS if one == said), None)
        if told is None:
            raise give.bad(f"meanings: nothing says what the state {state!r} means")
        priority = give.text(spec.get("priority"), known, 60)
        return Ticket(
            id=give.id(spec["id"], known),
            title=give.text(spec["title"], known, TITLE),
            state=state,
            meaning=told,
            body=lines(give.optional(spec.get("body"), known) or ""),
            priority=self._priorities.get(priority, priority),
            assignee=give.text(spec.get("assignee"), known, 100),
            url=link(give.text(spec.get("url"), known)),
            version=give.text(spec.get("version"), known, 200),
            changed_at=give.time(spec.get("changed_at"), known),
        )

    async def _comments(self, id: str) -> tuple[Comment, ...]:
        if "comments" not in self._spec:
            return ()
        spec, give = self._spec["comment"], self._caller
        found = []
        async for item in give.all(self._spec["comments"], {"id": id}):
            known = {"it": item}
            text, own = unmarked(lines(give.optional(spec["text"], known) or ""))
            found.append(
                Comment(
                    id=give.id(spec["id"], known),
                    text=text,
                    key=own,
                    author=give.text(spec.get("author"), known, 100),
                    at=give.time(spec.get("at"), known),
                )
            )
        return tuple(found[-COMMENTS:])

    async def _left(self, id: str, key: str) -> Comment | None:
        """Our comment, by the marker in its text."""
        for one in await self._comments(id):
            if mark(key) == one.key or mark(key) in one.text:
                return one
        return None

    def _unsupported(self, why: str) -> ActionError:
        return ActionError("Unsupported", f"{self._caller.title}: {why}", kind="validation", retryable=False)


class DeclaredNotify(Feeds):
    """Implements Notify. Without idempotency keys a message in doubt is not sent again: it stays in doubt."""

    def __init__(
        self, caller: Caller, spec: Mapping[str, Json], check: Mapping[str, Json], traits: dict[str, str]
    ) -> None:
        super().__init__(caller, {}, check)
        self._spec, self.traits = spec, dict(traits)

    async def channels(self) -> Sequence[str]:
        return tuple(self._spec["channels"])

    async def tell(self, channel: str, notice: Notice, *, key: str) -> None:
        if channel not in self._spec["channels"]:
            known = ", ".join(self._spec["channels"])
            raise ActionError(
                "NoSuchChannel", f"{self._caller.title} has no channel {clean(channel, 60)!r}, only {known}",
                kind="validation", retryable=False,
            )  # fmt: skip
        said = {"title": notice.title, "text": notice.text, "severity": notice.severity, "link": notice.link}
        place = self._caller.filled(self._spec["channels"][channel], {})
        await self._caller.call(self._spec["tell"], {"channel": place, "notice": said, **keyed(key)})


class DeclaredAlerts(Feeds):
    """Implements Alerts; mirrors the feed `alert`. `now` is the engine's clock."""

    def __init__(
        self,
        caller: Caller,
        spec: Mapping[str, Json],
        check: Mapping[str, Json],
        traits: dict[str, str],
        now: Callable[[], float],
    ) -> None:
        feed = {"title": "alerts", "list": spec["firing"], "object": spec["alert"], "every": spec.get("every", 30.0)}
        super().__init__(caller, {"alert": feed}, check)
        lacking = {} if "silence" in spec else {"silence": "alerts can't be silenced from here"}
        self._spec, self.traits, self._now = spec, lacking | traits, now

    async def firing(self, labels: Mapping[str, str] | None = None) -> Sequence[RemoteObject]:
        found = [mapped(self._caller, self._spec["alert"], i) async for i in self._caller.all(self._spec["firing"], {})]
        wanted = (labels or {}).items()
        return [one for one in found if all(_labels(one.data).get(k) == v for k, v in wanted)]

    async def silence(
        self, matchers: Mapping[str, str], *, until: float, by: str, comment: str, key: str, in_doubt: bool = False
    ) -> Silence:
        if "silence" not in self._spec:
            raise self._unsupported()
        if not matchers or until <= self._now():
            why = "a silence of everything" if not matchers else "a silence that is over already"
            raise ActionError("BadSilence", f"{why} is refused", kind="validation", retryable=False)
        if (there := await self._left(key)) is not None:
            return there
        known = {
            "matchers": dict(matchers), "now": self._now(), "until": until, "by": by, "comment": comment, **keyed(key),
        }  # fmt: skip
        await self._caller.call(self._spec["silence"], known)
        left = await self._left(key)
        if left is None:
            raise ActionError("NotKept", f"{self._caller.title} took the silence and does not list it", kind="conflict")
        return left

    async def unsilence(self, id: str) -> None:
        if "silence" not in self._spec:
            raise self._unsupported()
        try:
            await self._caller.call(self._spec["unsilence"], {"id": id})
        except Refusal as error:
            if error.error not in ("NotFound", "Gone"):
                raise

    async def silences(self) -> Sequence[Silence]:
        if "silences" not in self._spec:
            return ()
        return [self._silence(item) async for item in self._caller.all(self._spec["silences"], {})]

    async def _left(self, key: str) -> Silence | None:
        return next((one for one in await self.silences() if mark(key) in one.comment), None)

    def _silence(self, item: Json) -> Silence:
        known, spec, give = {"it": item}, self._spec["a_silence"], self._caller
        matchers = give.optional(spec.get("matchers"), known)
        return Silence(
            id=give.id(spec["id"], known),
            state=give.text(spec["state"], known, 40),
            matchers={clean(k, 80): clean(v, 200) for k, v in matchers.items()} if isinstance(matchers, dict) else {},
            starts_at=give.time(spec.get("starts_at"), known),
            ends_at=give.time(spec["ends_at"], known),
            by=give.text(spec.get("by"), known, 100),
            comment=give.text(spec["comment"], known, 500),
        )

    def _unsupported(self) -> ActionError:
        text = f"{self._caller.title}: alerts can't be silenced from here"
        return ActionError("Unsupported", text, kind="validation", retryable=False)


def _labels(data: Mapping[str, Json]) -> Mapping[str, Json]:
    found = data.get("labels")
    return found if isinstance(found, Mapping) else data


def _with(ticket: Ticket, **changed: Any) -> Ticket:
    return msgspec.structs.replace(ticket, **changed)
