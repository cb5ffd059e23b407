"""Jira Cloud, over the platform REST API, version 3.

What its documents say, and what follows:

- There are no idempotency keys. An issue carries our mark as a label, a comment as an entity property; both are looked for
  before they are written. The search lags behind: after a write in doubt it is asked several times, over some seconds.
- A state is changed by a transition, and which there are depends on the project's workflow: they are read, and one whose
  target means what is asked for is taken. There is none: `NoTransition`, with those there are.
- Writes are not conditional: the issue is read just before, and a later `updated` (milliseconds) is `Conflict`.
- The search has no total and no offset, only `nextPageToken` (`/search` is gone); its times mean the account's time zone, so
  only "so many minutes ago" is asked for.
- People are account ids. They are shown and found by their e-mail address where that is visible, else by display name.
- Texts are documents (ADF), not strings.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import NoneType
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct, field

from connectors import adf
from connectors import ticketing as t
from connectors.http import Basic, HttpClient, Part
from connectors.remote_text import clean
from connectors.settings import SECRETS, client
from engine.capabilities.hooks import proofs
from engine.capabilities.ports import ActionError, Clock, Json, Param
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

NAME = "Jira"
CATEGORIES: dict[str, Meaning] = {
    "new": "open",
    "undefined": "open",
    "indeterminate": "in_progress",
    "done": "resolved",
}
STATES: dict[str, Meaning] = {
    "on hold": "on_hold", "blocked": "on_hold", "waiting": "on_hold", "waiting for customer": "on_hold", "pending": "on_hold",
    "closed": "closed", "cancelled": "cancelled", "canceled": "cancelled", "won't do": "cancelled", "declined": "cancelled",
    "reopened": "open",
}  # fmt: skip
PRIORITIES = {"Highest": "P1", "High": "P2", "Medium": "P3", "Low": "P4", "Lowest": "P5"}
DROPPED = frozenset({"won't do", "won't fix", "duplicate", "cannot reproduce", "declined", "cancelled"})
FIELDS = ["summary", "status", "priority", "assignee", "description", "updated", "labels", "resolution", "attachment"]
PAGE = 100
LAG_S = (1.0, 3.0, 6.0)
"""Seconds between looks for what was sent and not answered: the search may not know it yet."""
_KEY = re.compile(r"[A-Z][A-Z0-9_]{1,19}-[0-9]{1,12}")
_PROJECT = re.compile(r"[A-Z][A-Z0-9_]{1,19}")
_TIME = "%Y-%m-%dT%H:%M:%S.%f%z"
PROPERTY = "quarterdeck"


class _Category(Struct):
    key: str = ""


class _Status(Struct, rename={"category": "statusCategory"}):
    name: str = ""
    category: _Category = field(default_factory=_Category)


class _Named(Struct):
    name: str = ""


class _User(Struct):
    accountId: str = ""
    displayName: str = ""
    emailAddress: str = ""


class _File(Struct):
    filename: str = ""


class _Fields(Struct):
    summary: str = ""
    status: _Status = field(default_factory=_Status)
    priority: _Named | None = None
    assignee: _User | None = None
    description: Json = None
    updated: str = ""
    labels: list[str] = field(default_factory=list)
    resolution: _Named | None = None
    attachment: list[_File] = field(default_factory=list)


class _Issue(Struct):
    key: str
    fields: _Fields = field(default_factory=_Fields)


class _Made(Struct):
    key: str


class _Found(Struct):
    issues: list[_Issue] = field(default_factory=list)
    nextPageToken: str | None = None
    isLast: bool | None = None


class _Transition(Struct):
    id: str
    to: _Status
    name: str = ""


class _Transitions(Struct):
    transitions: list[_Transition]


class _Property(Struct):
    key: str = ""
    value: Json = None


class _Comment(Struct):
    id: str
    body: Json = None
    author: _User | None = None
    created: str = ""
    properties: list[_Property] = field(default_factory=list)


class _Comments(Struct):
    comments: list[_Comment]
    total: int = 0


class _May(Struct):
    havePermission: bool = False


class _Permissions(Struct):
    permissions: dict[str, _May]


class Jira:
    """Implements the port Tickets and is a Source."""

    feeds: tuple[Feed, ...] = (t.ISSUES,)
    traits: dict[str, str] = {
        "conditional": "writes can't be made conditional: the issue is compared just before it is written",
        "find": "its search lags behind: what was sent and not answered is looked for several times over some seconds",
        "workflow": "states are changed by the transitions of the project's workflow; one without a way there says so",
    }

    def __init__(
        self,
        http: HttpClient,
        clock: Clock,
        project: str,
        issue_type: str,
        *,
        states: Mapping[str, Meaning],
        priorities: Mapping[str, str],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http, self._clock, self._project, self._type = http, clock, project, issue_type
        self._states = {name.lower(): meaning for name, meaning in states.items()}
        self._priorities, self._sleep = dict(priorities), sleep
        self._own: str | None = None

    async def close(self) -> None:
        await self._http.close()

    def shows(self, meaning: str) -> str:
        """What an issue that is set to this meaning says afterwards, where the workflow has no word of its own for it."""
        return {"closed": "resolved"}.get(meaning, meaning)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def read(self, id: str) -> Ticket:
        found = await self._ticket(id)
        own = await self._me()
        comments = [_comment(one, own) for one in await self._comments(id)]
        return msgspec.structs.replace(found, comments=tuple(comments))

    async def find(self, key: str) -> Ticket | None:
        found = await self._search(f'project = "{self._project}" AND labels = "{mark(key)}"', ["labels"])
        return await self.read(found.issues[0].key) if found.issues else None

    async def _search(self, jql: str, fields: Sequence[str], token: str = "", size: int = PAGE) -> _Found:
        sent: dict[str, Json] = {"jql": jql, "fields": list(fields), "maxResults": size}
        if token:
            sent["nextPageToken"] = token
        return await self._http.send("POST", "/rest/api/3/search/jql", _Found, json=sent, safe=True, reads=True)

    async def _issue(self, id: str) -> _Issue:
        if _KEY.fullmatch(id) is None:
            raise t.no_ticket(NAME, id)
        try:
            params = {"fields": ",".join(FIELDS)}
            return await self._http.get(f"/rest/api/3/issue/{id}", _Issue, params=params)
        except ActionError as error:
            if error.error == "NotFound":
                raise t.no_ticket(NAME, id) from error
            raise

    async def _ticket(self, id: str) -> Ticket:
        return self._as_ticket(await self._issue(id))

    def _means(self, status: _Status, resolution: _Named | None = None) -> Meaning:
        named = self._states.get(status.name.lower())
        found = named or CATEGORIES.get(status.category.key, "open")
        if found == "resolved" and resolution is not None and resolution.name.lower() in DROPPED:
            return "cancelled"
        return found

    def _as_ticket(self, issue: _Issue) -> Ticket:
        about = issue.fields
        key = clean(issue.key, 40)
        return Ticket(
            id=key,
            title=clean(about.summary, t.TITLE),
            body=t.lines(adf.text(about.description)),
            state=clean(about.status.name, 60),
            meaning=self._means(about.status, about.resolution),
            priority=self._priorities.get(about.priority.name, "") if about.priority else "",
            assignee=_who(about.assignee),
            url=f"{self._http.url}/browse/{quote(key, safe='')}",
            version=clean(about.updated, 40),
            changed_at=t.epoch(about.updated, _TIME),
        )

    async def _comments(self, id: str) -> list[_Comment]:
        found: list[_Comment] = []
        while len(found) < t.COMMENTS:
            params = {"startAt": str(len(found)), "maxResults": str(PAGE), "orderBy": "created", "expand": "properties"}
            page = await self._http.get(f"/rest/api/3/issue/{id}/comment", _Comments, params=params)
            found += page.comments
            if not page.comments or len(found) >= page.total:
                break
        return found

    async def _me(self) -> str:
        if self._own is None:
            self._own = (await self._http.get("/rest/api/3/myself", _User)).accountId
        return self._own

    # -- writing ------------------------------------------------------------------------------------------------------

    async def open(self, new: NewTicket, *, key: str, in_doubt: bool = False) -> Ticket:
        for wait in (0.0, *(LAG_S if in_doubt else ())):
            if wait:
                await self._sleep(wait)
            if (known := await self.find(key)) is not None:
                return known
        fields: dict[str, Json] = {
            "project": {"key": self._project},
            "issuetype": {"name": self._type},
            "summary": _summary(new.title),
            "description": adf.document(new.body[: t.BODY]),
            "labels": [mark(key), *(re.sub(r"\s+", "-", one) for one in new.labels)],
        }
        if rank := t.back(self._priorities).get(new.priority):
            fields["priority"] = {"name": rank}
        made = await self._http.send("POST", "/rest/api/3/issue", _Made, json={"fields": fields}, safe=False)
        return await self.read(made.key)

    async def update(
        self, id: str, changes: Mapping[str, str], *, version: str, key: str, in_doubt: bool = False
    ) -> Ticket:
        now = await self._ticket(id)
        left = t.remaining(NAME, now, changes, self.shows, version)
        fields: dict[str, Json] = {}
        if "title" in left:
            fields["summary"] = _summary(left["title"])
        if "body" in left:
            fields["description"] = adf.document(left["body"][: t.BODY])
        if left.get("priority"):
            rank = t.back(self._priorities).get(left["priority"])
            if rank is None:
                raise t.unsupported(NAME, f"no priority means {left['priority']}; set options.priorities")
            fields["priority"] = {"name": rank}
        if "assignee" in left:
            fields["assignee"] = {"accountId": await self._account(id, left["assignee"])} if left["assignee"] else None
        if fields:
            place = f"/rest/api/3/issue/{id}"
            await self._http.send("PUT", place, NoneType, json={"fields": fields}, safe=True)
        if "meaning" in left:
            await self._move(id, left["meaning"])
        return await self.read(id)

    async def _move(self, id: str, meaning: str) -> None:
        """By the first transition whose target means it. A repeat finds itself there already, as the ticket was read."""
        place = f"/rest/api/3/issue/{id}/transitions"
        ways = (await self._http.get(place, _Transitions)).transitions
        for wanted in dict.fromkeys((meaning, self.shows(meaning))):
            for one in ways:
                if self._means(one.to) == wanted:
                    sent = {"transition": {"id": one.id}}
                    await self._http.send("POST", place, NoneType, json=sent, safe=False)
                    return
        raise t.no_transition(NAME, id, meaning, [one.to.name for one in ways])

    async def _account(self, id: str, name: str) -> str:
        params = {"issueKey": id, "query": name, "maxResults": "50"}
        found = await self._http.get("/rest/api/3/user/assignable/search", list[_User], params=params)
        exact = [one for one in found if name in (one.accountId, one.emailAddress, one.displayName)]
        if len(exact) != 1:
            raise t.no_user(NAME, name)
        return exact[0].accountId

    async def comment(self, id: str, text: str, *, key: str, in_doubt: bool = False) -> Comment:
        own = await self._me()
        await self._ticket(id)
        for one in await self._comments(id):
            known = _comment(one, own)
            if known.key == mark(key):
                return known
        sent = {
            "body": adf.document(text[: t.BODY]),
            "properties": [{"key": PROPERTY, "value": {"mark": mark(key)}}],
        }
        place = f"/rest/api/3/issue/{id}/comment"
        made = await self._http.send("POST", place, _Comment, json=sent, safe=False)
        return msgspec.structs.replace(_comment(made, own), key=mark(key))

    async def attach(self, id: str, name: str, content: bytes, media: str, *, key: str, in_doubt: bool = False) -> None:
        kept = f"{mark(key)}-{clean(name, 80)}"
        if any(one.filename == kept for one in (await self._issue(id)).fields.attachment):
            return
        parts = (Part(name="file", content=content, filename=kept, media=media),)
        headers = {"x-atlassian-token": "no-check"}
        place = f"/rest/api/3/issue/{id}/attachments"
        await self._http.send("POST", place, list[_File], parts=parts, headers=headers, safe=False)

    async def discard(self, kind: str, id: str) -> None:
        """Deletes what a check of this connector made."""
        if kind == "ticket":
            await self._ticket(id)
            await self._http.send("DELETE", f"/rest/api/3/issue/{id}", NoneType, safe=True)

    # -- mirroring ----------------------------------------------------------------------------------------------------

    async def pull(self, feed: str, cursor: str) -> Pulled:
        walk = t.walk(cursor, 0.0)
        jql = f'project = "{self._project}"'
        if walk.full:
            jql += " ORDER BY key ASC"
        else:
            # relative, because absolute times mean the account's time zone; by key, because what is changed meanwhile would
            # move in a list by time, and shift another one past us
            now = time.time() + (self._http.owner_offset_s or 0.0)
            jql += f" AND updated >= -{max(1, math.ceil((now - walk.since) / 60) + 1)}m ORDER BY key ASC"
        sent: dict[str, Json] = {"jql": jql, "fields": FIELDS[:-1], "maxResults": PAGE}
        if walk.page:
            sent["nextPageToken"] = walk.page
        try:
            answer = await self._http.send_full(
                "POST", "/rest/api/3/search/jql", _Found, json=sent, safe=True, reads=True
            )
        except ActionError as error:
            if walk.page and error.error == "Refused":
                raise t.cursor_lost("the page token is no longer good") from error
            raise
        found, began = answer.value, walk.began or answer.owner_now or time.time()
        token = found.nextPageToken or ""
        more = bool(token) and found.isLast is not True
        here = t.Walk(since=walk.since, began=began, page=token)
        return Pulled(
            objects=tuple([t.as_object(self._as_ticket(one)) for one in found.issues]),
            cursor=here.written() if more else here.ended(),
            more=more,
            full=walk.full,
            owner_now=answer.owner_now,
        )

    # -- about itself -------------------------------------------------------------------------------------------------

    async def check(self) -> str:
        who = await self._http.get("/rest/api/3/myself", _User)
        self._own = who.accountId
        await self._http.get(f"/rest/api/3/project/{self._project}", _Named)
        return f"Jira project {self._project} as {clean(who.displayName, 80)}"

    async def rights(self) -> Sequence[Right]:
        needed = {
            "BROWSE_PROJECTS": "tickets", "CREATE_ISSUES": "opening", "EDIT_ISSUES": "title, priority",
            "TRANSITION_ISSUES": "states", "ASSIGN_ISSUES": "assignees", "ADD_COMMENTS": "comments",
            "CREATE_ATTACHMENTS": "attachments",
        }  # fmt: skip
        params = {"projectKey": self._project, "permissions": ",".join(needed)}
        has = (await self._http.get("/rest/api/3/mypermissions", _Permissions, params=params)).permissions
        return tuple(
            Right(name=name.lower(), has=has[name].havePermission if name in has else None, needed_for=what)
            for name, what in needed.items()
        )


def _summary(title: str) -> str:
    """One line of at most 255 characters, as a summary has to be."""
    return " ".join(title.split())[:250]


def _who(user: _User | None) -> str:
    return clean(user.emailAddress or user.displayName or user.accountId, 80) if user else ""


def _comment(one: _Comment, me: str) -> Comment:
    ours = bool(one.author) and one.author is not None and one.author.accountId == me
    values = [each.value for each in one.properties if each.key == PROPERTY and isinstance(each.value, dict)]
    key = clean(values[0].get("mark", ""), 40) if values and ours else ""
    return Comment(
        id=clean(one.id, 40), text=t.lines(adf.text(one.body)), author=_who(one.author), at=t.epoch(one.created, _TIME), key=key
    )  # fmt: skip


class _Hook(Struct):
    webhookEvent: str = ""
    timestamp: int = 0
    issue: _Issue | None = None


class JiraConnector:
    """Settings: `url` of the site, `username` (e-mail), `secret` (an API token), `project`."""

    kind = "jira"
    title = "Jira Cloud"
    docs = (
        "Jira Cloud platform REST API v3 as published; tested against a contract server built from the documents, not "
        "against Jira"
    )
    capabilities = ("tickets",)
    needs: tuple[str, ...] = ()
    secrets = {**SECRETS, "webhook_secret": "jira-webhook"}
    fields: dict[str, Param] = {
        **t.COMMON,
        "url": Param(type="string", description="https://SITE.atlassian.net"),
        "username": Param(type="string", description="e-mail address of the account; secret is its API token"),
        "project": Param(type="string", description="key of the project, e.g. OPS"),
        "issue_type": Param(type="string", required=False, description="type of what is opened (Task)"),
        "states": Param(type="object", required=False, description="status -> open, in_progress, on_hold, resolved, closed, cancelled"),
        "priorities": Param(type="object", required=False, description="priority -> P1 … P5"),
    }  # fmt: skip

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, project = str(config["secret"]), str(config["project"])
        if _PROJECT.fullmatch(project) is None:
            raise t.wrong(NAME, f"options.project: {clean(project, 60)!r} is no project key")
        http = client(config, secret, name=NAME, auth=Basic(str(config["username"]), lambda: secret(name)))
        given = config.get("states")
        lowered = {str(k).lower(): v for k, v in given.items()} if isinstance(given, Mapping) else None
        states = t.words(lowered, STATES, MEANINGS, NAME, "states")
        ranks = t.words(config.get("priorities"), PRIORITIES, RANKS, NAME, "priorities")
        kind = str(config.get("issue_type", "Task"))
        return {"tickets": Jira(http, clock, project, kind, states=states, priorities=ranks)}

    def receive(self, headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Sequence[Incoming]:
        """Webhooks of issues and comments, signed in `X-Hub-Signature`: hints to look."""
        proofs.github(headers, body, secret, name="x-hub-signature")
        try:
            said = msgspec.json.decode(body, type=_Hook)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadDelivery(f"not a webhook of Jira: {clean(error, 200)}") from error
        if not said.webhookEvent.startswith(("jira:issue_", "comment_")):
            return ()
        if said.issue is None or _KEY.fullmatch(said.issue.key) is None:
            raise BadDelivery("it names no issue")
        key, what = said.issue.key, clean(said.webhookEvent, 60)
        id = clean(headers.get("x-atlassian-webhook-identifier", ""), 80) or f"{key}/{what}/{said.timestamp}"
        data = {"id": key, "state": clean(said.issue.fields.status.name, 60), "what": what}
        at = said.timestamp / 1000 if said.timestamp > 0 else 0.0
        return (Incoming(event="qd.remote.issue.told", id=id, subject=key, at=at, data=data),)


connector = JiraConnector()
__all__ = ["Jira", "JiraConnector", "connector"]
