"""Roundup (issue tracker), over its REST API, version 1. Written against 2.6.0 and its classic template.

What the server does, and what follows:

- A changing call wants `Origin`, `Referer` and `X-Requested-With` of the tracker, else it is refused.
- Every change of an issue wants its ETag (`If-Match`), so a write never overtakes somebody else's: 412 is `Conflict`.
- A message becomes part of an issue by a second write. The message carries our mark in its `messageid`, so a comment that
  was sent and not answered is found again wherever it stopped; an issue is found by its first message.
- New messages and issues go through a post-once link (`@poe`), which the server honours a single time.
- A message without an author breaks the tracker's own notifications; ours carry the account's name.
- A message moves an unread or resolved issue to "chatting" unless the same write says its status: ours say it.
- DELETE retires: the issue stays readable by its number and is missing from every list. A list decides whether it exists.
- `activity` has whole seconds, in UTC; a filter on it means the account's own time zone, which is expected to be UTC.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct

from connectors import roundup_shapes as shapes
from connectors import ticketing as t
from connectors.http import Basic, HttpClient, Part
from connectors.remote_text import clean
from connectors.settings import SECRETS, client
from engine.capabilities.hooks import proofs
from engine.capabilities.ports import ActionError, Clock, InDoubt, Json, Param
from engine.capabilities.systems.ports import (
    BadDelivery,
    Comment,
    Feed,
    Incoming,
    NewTicket,
    Pulled,
    Right,
    Ticket,
)
from engine.capabilities.tickets.marking import mark
from engine.contract.tickets import MEANINGS, Meaning
from engine.contract.tickets import PRIORITIES as RANKS

NAME = "Roundup"
STATES: dict[str, Meaning] = {
    "unread": "open",
    "chatting": "open",
    "in-progress": "in_progress",
    "testing": "in_progress",
    "need-eg": "on_hold",
    "deferred": "on_hold",
    "resolved": "resolved",
    "done-cbb": "resolved",
}
PRIORITIES = {"critical": "P1", "urgent": "P2", "bug": "P3", "feature": "P4", "wish": "P5"}
FIELDS = "title,status,priority,assignedto,activity,messages,files"
PAGE = 200
USERS_S = 300.0
_DATE = "%Y-%m-%d.%H:%M:%S"


class Login(Basic):
    """Basic, with what the tracker's guard against forged requests wants to see."""

    def __init__(self, url: str, username: str, secret: Callable[[], str]) -> None:
        super().__init__(username, secret)
        parts = urlsplit(url)
        self._guard = {
            "origin": f"{parts.scheme}://{parts.netloc}",
            "referer": url.rstrip("/") + "/",
            "x-requested-with": "rest",
        }

    async def headers(self) -> dict[str, str]:
        return self._guard | await super().headers()


class Roundup:
    """Implements the port Tickets and is a Source."""

    feeds: tuple[Feed, ...] = (t.ISSUES,)
    traits: dict[str, str] = {
        "body": "the first message of an issue stays as it was written",
        "closed": "no state beyond resolved: closed and cancelled tickets are resolved there",
        "deleted": "deleting retires: the issue keeps its number and is no longer listed",
    }

    def __init__(
        self,
        http: HttpClient,
        clock: Clock,
        username: str,
        states: Mapping[str, Meaning],
        priorities: Mapping[str, str],
    ) -> None:
        self._http, self._clock, self._me = http, clock, username
        self._states, self._priorities = dict(states), dict(priorities)
        self._users: dict[str, str] = {}
        self._users_at = -USERS_S
        self._kept: dict[str, Comment] = {}

    async def close(self) -> None:
        await self._http.close()

    def shows(self, meaning: str) -> str:
        """What a ticket that is set to this meaning says afterwards."""
        return self._states.get(self._word(meaning), "open")

    def _word(self, meaning: str) -> str:
        ways = t.back(self._states)
        for one in (meaning, *{"closed": ("resolved",), "cancelled": ("closed", "resolved")}.get(meaning, ())):
            if one in ways:
                return ways[one]
        raise t.no_transition(NAME, "a ticket", meaning, sorted(self._states))

    # -- reading ------------------------------------------------------------------------------------------------------

    async def read(self, id: str) -> Ticket:
        issue, etag = await self._issue(id)
        comments = [await self._comment(one.id) for one in issue.messages[1 : t.COMMENTS]]
        body = (await self._comment(issue.messages[0].id)).text if issue.messages else ""
        found = await self._ticket(issue, etag)
        return msgspec.structs.replace(found, body=body, comments=tuple(comments))

    async def find(self, key: str) -> Ticket | None:
        message = await self._message(mark(key))
        issue = await self._issue_of(message) if message else ""
        return await self.read(issue) if issue else None

    async def _issue(self, id: str) -> tuple[shapes.Issue, str]:
        if not id.isdigit():
            raise t.no_ticket(NAME, id)
        asked = {"@fields": FIELDS, "@verbose": "2"}
        try:
            listed, answer = await asyncio.gather(
                self._http.get("/rest/data/issue", shapes.RefsAnswer, params={"id": id}),
                self._http.get(f"/rest/data/issue/{id}", shapes.OneAnswer, params=asked),
            )
        except ActionError as error:
            if error.error == "NotFound":
                raise t.no_ticket(NAME, id) from error
            raise
        if not listed.data.collection:
            raise t.no_ticket(NAME, id)
        found = answer.data
        issue = found.attributes
        issue.id = id
        return issue, found.etag

    async def _ticket(self, issue: shapes.Issue, etag: str) -> Ticket:
        state = clean(issue.status.name if issue.status else "", 60)
        who = issue.assignedto.id if issue.assignedto else ""
        rank = issue.priority.name if issue.priority else ""
        return Ticket(
            id=clean(issue.id, 20),
            title=clean(issue.title or "", t.TITLE),
            state=state,
            meaning=self._states.get(state, "open"),
            priority=self._priorities.get(rank, ""),
            assignee=await self._user(who) if who else "",
            url=f"{self._http.url}/issue{quote(clean(issue.id, 20), safe='')}",
            version=etag,
            changed_at=t.epoch(issue.activity, _DATE),
        )

    async def _comment(self, id: str) -> Comment:
        """A message. What is written in it stays as it is, so it is fetched once."""
        if id not in self._kept:
            place = f"/rest/data/msg/{quote(id, safe='')}"
            whole, content = await asyncio.gather(
                self._http.get(place, shapes.MessageAnswer, params={"@verbose": "2"}),
                self._http.get(f"{place}/content", shapes.TextAnswer),
            )
            about, text = whole.data.attributes, content.data.data
            own = (about.messageid or "").strip("<>").partition("@")[0]
            author = await self._user(about.author.id) if about.author else ""
            if len(self._kept) > 5_000:
                self._kept.clear()
            self._kept[id] = Comment(
                id=clean(id, 20),
                text=t.lines(text),
                author=author,
                at=t.epoch(about.date, _DATE),
                key=own if own.startswith("qd-") and author == self._me else "",
            )
        return self._kept[id]

    async def _user(self, id: str) -> str:
        if id not in self._users or time.monotonic() - self._users_at > USERS_S:
            params = {"@fields": "username", "@page_size": "2000"}
            rows = (await self._http.get("/rest/data/user", shapes.RefsAnswer, params=params)).data.collection
            self._users = {one.id: clean(one.username, 60) for one in rows}
            self._users_at = time.monotonic()
        return self._users.get(id, "")

    async def _message(self, word: str) -> str:
        """The message with this mark; the filter finds parts of words, a mark is no part of another."""
        params = {"messageid": f"<{word}@quarterdeck>"}
        rows = (await self._http.get("/rest/data/msg", shapes.RefsAnswer, params=params)).data.collection
        return rows[0].id if rows else ""

    async def _issue_of(self, message: str) -> str:
        rows = (
            await self._http.get("/rest/data/issue", shapes.RefsAnswer, params={"messages": message})
        ).data.collection
        return rows[0].id if rows else ""

    # -- writing ------------------------------------------------------------------------------------------------------

    async def open(self, new: NewTicket, *, key: str, in_doubt: bool = False) -> Ticket:
        message = await self._message(mark(key))
        if message and (issue := await self._issue_of(message)):
            return await self.read(issue)
        if not message:
            message = await self._say(new.body or new.title, key)
        given: dict[str, Json] = {
            "title": new.title[: t.TITLE],
            "status": self._word("open"),
            "messages": [message],
        }
        if rank := t.back(self._priorities).get(new.priority):
            given["priority"] = rank
        return await self.read(await self._post_once("issue", given))

    async def update(
        self, id: str, changes: Mapping[str, str], *, version: str, key: str, in_doubt: bool = False
    ) -> Ticket:
        issue, etag = await self._issue(id)
        wanted = {name: value for name, value in changes.items() if name != "body"}
        left = t.remaining(NAME, await self._ticket(issue, etag), wanted, self.shows, version)
        if not left:
            return await self.read(id)
        sent: dict[str, Json] = {}
        if "title" in left:
            sent["title"] = left["title"][: t.TITLE]
        if "assignee" in left:
            sent["assignedto"] = left["assignee"] or None
        if "priority" in left:
            sent["priority"] = t.back(self._priorities).get(left["priority"]) or None
        if "meaning" in left:
            sent["status"] = self._word(left["meaning"])
        await self._patch(id, sent, etag, who=left.get("assignee", ""))
        return await self.read(id)

    async def comment(self, id: str, text: str, *, key: str, in_doubt: bool = False) -> Comment:
        message = await self._message(mark(key)) or await self._say(text, key)
        for _ in range(3):  # somebody else's change between the two calls costs one more look, not the comment
            issue, etag = await self._issue(id)
            if any(one.id == message for one in issue.messages):
                break
            sent: dict[str, Json] = {"messages": [*(one.id for one in issue.messages), message]}
            if issue.status:
                sent["status"] = issue.status.name
            try:
                await self._patch(id, sent, etag)
                break
            except InDoubt:
                raise
            except ActionError as error:
                if error.error != "Conflict":
                    raise
        else:
            raise t.changed_meanwhile(NAME, id)
        return await self._comment(message)

    async def attach(self, id: str, name: str, content: bytes, media: str, *, key: str, in_doubt: bool = False) -> None:
        kept = f"{mark(key)}-{clean(name, 80)}"
        rows = (await self._http.get("/rest/data/file", shapes.RefsAnswer, params={"name": kept})).data.collection
        file = rows[0].id if rows else ""
        if not file:
            parts = (
                Part(name="name", content=kept.encode()),
                Part(name="type", content=media.encode()),
                Part(name="content", content=content, filename=clean(name, 80), media=media),
            )
            file = (
                await self._http.send("POST", "/rest/data/file", shapes.MadeAnswer, parts=parts, safe=False)
            ).data.id
        issue, etag = await self._issue(id)
        if all(one.id != file for one in issue.files):
            await self._patch(id, {"files": [*(one.id for one in issue.files), file]}, etag)

    async def _say(self, text: str, key: str) -> str:
        """A message, which carries its mark: a second one is never needed."""
        now = time.time()
        given = {
            "content": text[: t.BODY],
            "author": self._me,
            "date": datetime.fromtimestamp(now, UTC).strftime(_DATE),
            "messageid": f"<{mark(key)}@quarterdeck>",
        }
        return (await self._http.send("POST", "/rest/data/msg", shapes.MadeAnswer, json=given, safe=False)).data.id

    async def _post_once(self, kind: str, given: Mapping[str, Json]) -> str:
        """Makes one, by a link that works once."""
        place = f"/rest/data/{kind}/@poe"
        once = await self._http.send("POST", place, shapes.OnceAnswer, json={}, safe=True, reads=True)
        token = once.data.link.rpartition("/")[2]
        if not token or "?" in token:
            raise ActionError("BadAnswer", f"{NAME} gave no post-once link", kind="communication")
        place = f"{place}/{quote(token, safe='')}"
        return (await self._http.send("POST", place, shapes.MadeAnswer, json=dict(given), safe=False)).data.id

    async def _patch(self, id: str, sent: Mapping[str, Json], etag: str, who: str = "") -> None:
        try:
            await self._http.send(
                "PATCH", f"/rest/data/issue/{id}", msgspec.Raw, json=dict(sent), if_match=etag, safe=False
            )
        except InDoubt:
            raise
        except ActionError as error:
            if error.error == "Conflict":
                raise t.changed_meanwhile(NAME, id) from error
            if who and error.error == "Refused" and "is not a user" in error.message:
                raise t.no_user(NAME, who) from error
            raise

    # -- mirroring ----------------------------------------------------------------------------------------------------

    async def pull(self, feed: str, cursor: str) -> Pulled:
        walk = t.walk(cursor, 0.0)
        page = int(walk.page or "1") if (walk.page or "1").isdigit() else 1
        params = {
            "@fields": "title,status,priority,assignedto,activity",
            "@verbose": "2",
            "@sort": "id" if walk.full else "activity",
            "@page_size": str(PAGE),
            "@page_index": str(page),
        }
        if not walk.full:
            params["activity"] = "from " + datetime.fromtimestamp(walk.since, UTC).strftime(_DATE)
        answer = await self._http.send_full("GET", "/rest/data/issue", shapes.RowsAnswer, params=params, safe=True)
        rows, now = answer.value.data, answer.owner_now
        began = walk.began or now or time.time()
        if walk.full and rows.total < walk.total:
            raise t.cursor_lost("an issue went away while the issues were listed")  # pages shifted, one may be missed
        more = page * PAGE < rows.total
        objects = tuple([t.as_object(await self._ticket(one, "")) for one in rows.collection])
        here = t.Walk(since=walk.since, began=began, page=str(page + 1), total=rows.total)
        if not walk.full:
            here = t.onward(walk, max((one.changed_at for one in objects), default=0.0), began, str(page + 1))
        return Pulled(
            objects=objects,
            cursor=here.written() if more else here.ended(),
            more=more,
            full=walk.full,
            owner_now=now,
        )

    # -- about itself -------------------------------------------------------------------------------------------------

    async def discard(self, kind: str, id: str) -> None:
        """Retires what a check of this connector made."""
        if kind == "ticket":
            _, etag = await self._issue(id)
            await self._http.send("DELETE", f"/rest/data/issue/{id}", msgspec.Raw, if_match=etag, safe=False)

    async def check(self) -> str:
        version = (await self._http.get("/rest/", shapes.ApiAnswer)).data.default_version
        rows = (
            await self._http.get(
                "/rest/data/user", shapes.RefsAnswer, params={"username": self._me, "@fields": "username"}
            )
        ).data.collection
        if not any(one.username == self._me for one in rows):
            said = f"{NAME} shows no account {clean(self._me, 60)}"
            raise ActionError("Forbidden", said, kind="authorization", retryable=False)
        return f"{NAME} (REST {clean(version, 10)}) as {clean(self._me, 60)}"

    async def rights(self) -> Sequence[Right]:
        found = []
        for kind, needed in (("issue", "tickets"), ("msg", "comments"), ("file", "attachments"), ("user", "assignees")):
            try:
                await self._http.get(f"/rest/data/{kind}", shapes.RefsAnswer, params={"@page_size": "1"})
                has = True
            except ActionError as error:
                if error.kind != "authorization":
                    raise
                has = False
            found.append(Right(name=f"read {kind}", has=has, needed_for=needed))
        return (*found, Right(name="change issue", has=None, needed_for="opening, commenting, resolving"))


class RoundupConnector:
    """Settings: `url` of the tracker, `username`, `secret` (keyring entry: the password)."""

    kind = "roundup"
    title = "Roundup issue tracker"
    docs = "Roundup 2.6.0 REST API; tested against the real server"
    capabilities = ("tickets",)
    needs: tuple[str, ...] = ()
    secrets = {**SECRETS, "webhook_secret": "roundup-webhook"}
    fields: dict[str, Param] = {
        **t.COMMON,
        "url": Param(type="string", description="URL of the tracker, e.g. https://issues.example.com/fleet"),
        "username": Param(type="string", description="the account's name"),
        "states": Param(type="object", required=False, description="status -> open, in_progress, on_hold, resolved, closed, cancelled"),
        "priorities": Param(type="object", required=False, description="priority -> P1 … P5"),
    }  # fmt: skip

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, url = str(config["secret"]), str(config["url"]).rstrip("/")
        http = client(config, secret, name=NAME, auth=Login(url, str(config["username"]), lambda: secret(name)))
        states = t.words(config.get("states"), STATES, MEANINGS, NAME, "states")
        ranks = t.words(config.get("priorities"), PRIORITIES, RANKS, NAME, "priorities")
        return {"tickets": Roundup(http, clock, str(config["username"]), states, ranks)}

    def receive(self, headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Sequence[Incoming]:
        """What a detector on the tracker posts (`tests/services/roundup_webhook.py` is one): a hint to look. It speaks
        before the tracker has committed, so nothing of it is taken for a fact."""
        proofs.any_usual(headers, body, secret)
        try:
            said = msgspec.json.decode(body, type=_Hook)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadDelivery(f"not what the detector sends: {clean(error, 200)}") from error
        if said.event not in ("issue.created", "issue.updated") or not said.issue.id.isdigit():
            raise BadDelivery(f"an event {clean(said.event, 60)!r} of an issue {clean(said.issue.id, 20)!r}")
        return (
            Incoming(
                event="qd.remote.issue.told",
                id=said.delivery or f"{said.issue.id}/{said.event}/{now:.3f}",
                subject=said.issue.id,
                data={"id": said.issue.id, "state": clean(said.issue.status or "", 60), "what": said.event},
            ),
        )


class _Told(Struct):
    id: str
    status: str | None = None


class _Hook(Struct):
    event: str
    issue: _Told
    delivery: str = ""


connector = RoundupConnector()
__all__ = ["Roundup", "RoundupConnector", "connector"]
