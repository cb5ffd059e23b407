"""GitHub issues of one repository, over the REST API, version 2022-11-28.

What its documents say, and what follows:

- There are no idempotency keys. An issue and a comment carry our mark as their last line; before one is written, those
  that are there are looked through (newest first, only the account's own, at most `LOOKED_AT`).
- Writes are never conditional ("conditional requests for unsafe methods are not supported"): the issue is read with its
  ETag just before, and what changed since is `Conflict`. Reads with an ETag cost nothing when nothing changed (304).
- Issues are open or closed, with a reason. What else a case knows is said by labels, where the settings name some.
- Lists of issues hold pull requests, too; they are left out.
- A deleted issue answers 410, one that was moved elsewhere 301: both are gone from here.
- Both 403 and 429 mean a rate limit at times; the client knows them apart.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import NoneType
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct, field

from connectors import paging
from connectors import ticketing as t
from connectors.answers import NotModified
from connectors.http import Bearer, HttpClient
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
from engine.capabilities.tickets.marking import mark, marked, unmarked
from engine.contract.tickets import PRIORITIES as RANKS
from engine.contract.tickets import Meaning

NAME = "GitHub"
VERSION = "2022-11-28"
PAGE, LOOKED_AT = 100, 2_000
CLOSED: dict[str, Meaning] = {"completed": "resolved", "not_planned": "cancelled", "duplicate": "cancelled"}
LABELS: dict[str, Meaning] = {"in progress": "in_progress", "on hold": "on_hold"}
PRIORITIES = {one: one for one in RANKS}
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")


class _User(Struct):
    login: str = ""


class _Label(Struct):
    name: str = ""


class _Issue(Struct):
    number: int
    title: str = ""
    body: str | None = None
    state: str = "open"
    state_reason: str | None = None
    labels: list[_Label | str] = field(default_factory=list)
    assignee: _User | None = None
    user: _User | None = None
    html_url: str = ""
    updated_at: str = ""
    pull_request: Json = None


class _Comment(Struct):
    id: int
    body: str | None = None
    user: _User | None = None
    created_at: str = ""


class _Repository(Struct):
    full_name: str = ""
    has_issues: bool = True
    permissions: dict[str, bool] = field(default_factory=dict)


class GitHub:
    """Implements the port Tickets and is a Source."""

    feeds: tuple[Feed, ...] = (t.ISSUES,)
    traits: dict[str, str] = {
        "attach": "its API takes no files: the context stays here, under its digest",
        "conditional": "writes can't be made conditional: the issue is compared just before it is written",
        "closed": "open or closed, and a label for in progress and on hold; closed cases are closed as completed there",
    }

    def __init__(
        self,
        http: HttpClient,
        clock: Clock,
        repository: str,
        labels: Mapping[str, Meaning],
        priorities: Mapping[str, str],
    ) -> None:
        self._http, self._clock = http, clock
        self._base = f"/repos/{repository}"
        self._labels, self._priorities = dict(labels), dict(priorities)
        self._me: str | None = None

    async def close(self) -> None:
        await self._http.close()

    def shows(self, meaning: str) -> str:
        """What an issue that is set to this meaning says afterwards."""
        if meaning in ("in_progress", "on_hold"):
            return meaning if meaning in self._labels.values() else "open"
        return {"closed": "resolved"}.get(meaning, meaning)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def read(self, id: str) -> Ticket:
        found = await self._ticket(id)
        me = await self._login()
        comments = [_comment(one, me) async for one in self._comments(id)]
        return msgspec.structs.replace(found, comments=tuple(comments))

    async def find(self, key: str) -> Ticket | None:
        me, seen = await self._login(), 0
        params = {"state": "all", "sort": "created", "direction": "desc", "per_page": str(PAGE)}
        if me:
            params["creator"] = me
        async for answer in paging.by_link(self._http, f"{self._base}/issues", list[_Issue], params=params):
            for one in answer.value:
                if unmarked((one.body or "").replace("\r\n", "\n"))[1] == mark(key):
                    return await self.read(str(one.number))
            seen += len(answer.value)
            if seen >= LOOKED_AT:
                break
        return None

    async def _ticket(self, id: str) -> Ticket:
        """Without its comments."""
        if not id.isdigit() or len(id) > 12:
            raise t.no_ticket(NAME, id)
        try:
            answer = await self._http.send_full("GET", f"{self._base}/issues/{id}", _Issue, safe=True)
        except ActionError as error:
            if error.error in ("NotFound", "Gone", "Redirected"):
                raise t.no_ticket(NAME, id) from error
            raise
        if answer.value.pull_request is not None:
            raise t.no_ticket(NAME, id)
        return self._as_ticket(answer.value, answer.etag)

    def _as_ticket(self, issue: _Issue, etag: str) -> Ticket:
        names = [one.name if isinstance(one, _Label) else one for one in issue.labels]
        said = [self._labels[one] for one in names if one in self._labels]
        meaning = CLOSED.get(issue.state_reason or "completed", "resolved") if issue.state == "closed" else "open"
        if meaning == "open" and said:
            meaning = said[0]
        reason = f" ({clean(issue.state_reason, 40)})" if issue.state_reason else ""
        return Ticket(
            id=str(issue.number),
            title=clean(issue.title, t.TITLE),
            body=unmarked(t.lines(issue.body or ""))[0],
            state=clean(issue.state, 20) + reason,
            meaning=meaning,
            priority=next((self._priorities[one] for one in names if one in self._priorities), ""),
            assignee=clean(issue.assignee.login, 60) if issue.assignee else "",
            url=clean(issue.html_url, 300) if issue.html_url.startswith("https://") else "",
            version=etag,
            changed_at=t.epoch(issue.updated_at),
        )

    async def _comments(self, id: str) -> AsyncIterator[_Comment]:
        params, seen = {"per_page": str(PAGE)}, 0
        async for answer in paging.by_link(
            self._http, f"{self._base}/issues/{id}/comments", list[_Comment], params=params
        ):
            for one in answer.value:
                yield one
            seen += len(answer.value)
            if seen >= t.COMMENTS:
                return

    async def _login(self) -> str:
        """Who we are; empty for credentials that are nobody (an app's)."""
        if self._me is None:
            try:
                self._me = (await self._http.get("/user", _User)).login
            except ActionError as error:
                if error.kind not in ("authorization", "validation"):
                    raise
                self._me = ""
        return self._me

    # -- writing ------------------------------------------------------------------------------------------------------

    async def open(self, new: NewTicket, *, key: str, in_doubt: bool = False) -> Ticket:
        if (known := await self.find(key)) is not None:
            return known
        rank = t.back(self._priorities).get(new.priority)
        sent = {
            "title": new.title[: t.TITLE],
            "body": marked(new.body[: t.BODY], key),
            "labels": [*new.labels, *([rank] if rank else [])],
        }
        made = await self._http.send("POST", f"{self._base}/issues", _Issue, json=sent, safe=False)
        return await self.read(str(made.number))

    async def update(
        self, id: str, changes: Mapping[str, str], *, version: str, key: str, in_doubt: bool = False
    ) -> Ticket:
        now = await self._ticket(id)
        left = t.remaining(NAME, now, changes, self.shows, version)
        sent: dict[str, Json] = {}
        if "title" in left:
            sent["title"] = left["title"][: t.TITLE]
        if "body" in left:
            sent["body"] = await self._body(id, left["body"])
        if "assignee" in left:
            await self._assignable(left["assignee"])
            sent["assignees"] = [left["assignee"]] if left["assignee"] else []
        if "meaning" in left:
            sent |= _state(left["meaning"])
        if sent:
            await self._http.send("PATCH", f"{self._base}/issues/{id}", _Issue, json=sent, safe=True)
        if "priority" in left:
            await self._relabel(id, self._priorities, left["priority"])
        if "meaning" in left:
            await self._relabel(id, self._labels, left["meaning"])
        return await self.read(id)

    async def _body(self, id: str, text: str) -> str:
        """The new text with the mark the old one has."""
        issue = await self._http.get(f"{self._base}/issues/{id}", _Issue)
        own = unmarked((issue.body or "").replace("\r\n", "\n"))[1]
        return f"{text[: t.BODY].rstrip()}\n\n[quarterdeck {own}]" if own else text[: t.BODY]

    async def _assignable(self, login: str) -> None:
        """A name that can't be assigned would be left out in silence."""
        if not login:
            return
        if re.fullmatch(r"[A-Za-z0-9-]{1,39}", login) is None:
            raise t.no_user(NAME, login)
        try:
            await self._http.get(f"{self._base}/assignees/{login}", NoneType)
        except ActionError as error:
            if error.error == "NotFound":
                raise t.no_user(NAME, login) from error
            raise

    async def _relabel(self, id: str, words: Mapping[str, str], meaning: str) -> None:
        """Exactly the label of `words` that means this. Added and removed one by one, so that labels somebody else sets at
        the same time stay."""
        issue = await self._http.get(f"{self._base}/issues/{id}", _Issue)
        has = {one.name if isinstance(one, _Label) else one for one in issue.labels}
        wanted = t.back(words).get(meaning)
        place = f"{self._base}/issues/{id}/labels"
        if wanted and wanted not in has:
            await self._http.send("POST", place, list[_Label], json={"labels": [wanted]}, safe=True)
        for one in sorted(has & set(words) - {wanted or ""}):
            try:
                await self._http.send("DELETE", f"{place}/{quote(one, safe='')}", NoneType, safe=True)
            except ActionError as error:
                if error.error != "NotFound":  # somebody was quicker
                    raise

    async def comment(self, id: str, text: str, *, key: str, in_doubt: bool = False) -> Comment:
        me = await self._login()
        await self._ticket(id)
        async for one in self._comments(id):
            found = _comment(one, me)
            if found.key == mark(key):
                return found
        sent = {"body": marked(text[: t.BODY], key)}
        made = await self._http.send("POST", f"{self._base}/issues/{id}/comments", _Comment, json=sent, safe=False)
        return _comment(made, me)

    async def attach(self, id: str, name: str, content: bytes, media: str, *, key: str, in_doubt: bool = False) -> None:
        raise t.unsupported(NAME, self.traits["attach"])

    # -- mirroring ----------------------------------------------------------------------------------------------------

    async def pull(self, feed: str, cursor: str) -> Pulled:
        walk = t.walk(cursor, 0.0)
        params = {"state": "all", "per_page": str(PAGE), "direction": "asc"}
        params |= {"sort": "created"} if walk.full else {"sort": "updated", "since": _written(walk.since)}
        if walk.page:
            params["page"] = walk.page
        fresh = not walk.page and not walk.full
        found = await self._http.get_if_changed(
            f"{self._base}/issues", list[_Issue], walk.etag if fresh else "", params=params
        )
        if isinstance(found, NotModified):
            return Pulled(cursor=cursor, unchanged=True, owner_now=found.owner_now)
        began = walk.began or found.owner_now or time.time()
        more = bool(found.link("next"))
        issues = [self._as_ticket(one, "") for one in found.value if one.pull_request is None]
        newest = max((t.epoch(one.updated_at) for one in found.value), default=0.0)
        page = str(int(walk.page or "1") + 1)
        here = (t.Walk(began=began, page=page) if walk.full else t.onward(walk, newest, began, page)).written()
        if not more:
            idle = fresh and newest <= walk.since + t.OVERLAP_S
            # the same question is asked again while nothing is newer, so that its ETag keeps answering it for free
            here = (
                t.Walk(since=walk.since, etag=found.etag).written()
                if idle
                else t.Walk(since=max(1.0, began - t.OVERLAP_S)).written()
            )
        return Pulled(
            objects=tuple([t.as_object(one) for one in issues]),
            cursor=here,
            more=more,
            full=walk.full,
            owner_now=found.owner_now,
        )

    # -- about itself -------------------------------------------------------------------------------------------------

    async def _repository(self) -> _Repository:
        found = await self._http.get(self._base, _Repository)
        if not found.has_issues:
            raise t.wrong(NAME, f"{clean(found.full_name, 140)} has its issues turned off")
        return found

    async def check(self) -> str:
        found = await self._repository()
        who = await self._login()
        return f"GitHub {clean(found.full_name, 140)}" + (f" as {clean(who, 60)}" if who else "")

    async def rights(self) -> Sequence[Right]:
        has = (await self._repository()).permissions
        return (
            Right(name="read issues", has=has.get("pull", True), needed_for="tickets"),
            Right(name="triage", has=has.get("triage") or has.get("push"), needed_for="labels, assignees, closing"),
        )


def _state(meaning: str) -> dict[str, Json]:
    if meaning in ("resolved", "closed"):
        return {"state": "closed", "state_reason": "completed"}
    if meaning == "cancelled":
        return {"state": "closed", "state_reason": "not_planned"}
    return {"state": "open"}


def _comment(one: _Comment, me: str) -> Comment:
    """A mark counts only in what we wrote ourselves."""
    text, own = unmarked(t.lines(one.body or ""))
    author = clean(one.user.login, 60) if one.user else ""
    ours = own if not me or author == me else ""
    return Comment(id=str(one.id), text=text, author=author, at=t.epoch(one.created_at), key=ours)


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _HookIssue(Struct):
    number: int
    state: str = ""
    pull_request: Json = None


class _Hook(Struct):
    action: str = ""
    issue: _HookIssue | None = None


class GitHubConnector:
    """Settings: `url` (https://api.github.com, or https://HOST/api/v3), `repository` OWNER/NAME, `secret` (a token)."""

    kind = "github"
    title = "GitHub issues"
    docs = "REST API 2022-11-28 as published; tested against a contract server built from the documents, not against GitHub"
    capabilities = ("tickets",)
    needs: tuple[str, ...] = ()
    secrets = {**SECRETS, "webhook_secret": "github-webhook"}
    fields: dict[str, Param] = {
        **t.COMMON,
        "url": Param(
            type="string", description="https://api.github.com, or https://HOST/api/v3 of an Enterprise Server"
        ),
        "repository": Param(type="string", description="OWNER/NAME"),
        "labels": Param(type="object", required=False, description="label -> in_progress or on_hold"),
        "priorities": Param(type="object", required=False, description="label -> P1 … P5"),
    }

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, repository = str(config["secret"]), str(config["repository"])
        if REPOSITORY.fullmatch(repository) is None or repository.endswith("/.."):
            raise t.wrong(NAME, f"options.repository: {clean(repository, 60)!r} is not OWNER/NAME")
        http = client(
            config, secret, name=NAME, auth=Bearer(lambda: secret(name)),
            headers={"x-github-api-version": VERSION, "accept": "application/vnd.github+json"},
        )  # fmt: skip
        labels = t.words(config.get("labels"), LABELS, ("in_progress", "on_hold"), NAME, "labels")
        ranks = t.words(config.get("priorities"), PRIORITIES, RANKS, NAME, "priorities")
        return {"tickets": GitHub(http, clock, repository, labels, ranks)}

    def receive(self, headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Sequence[Incoming]:
        """Deliveries of the events `issues` and `issue_comment`: hints to look. Others (ping) say nothing here."""
        proofs.github(headers, body, secret, name="x-hub-signature-256")
        kind = headers.get("x-github-event", "")
        if kind not in ("issues", "issue_comment"):
            return ()
        try:
            said = msgspec.json.decode(body, type=_Hook)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadDelivery(f"not a delivery of {clean(kind, 40)}: {clean(error, 200)}") from error
        if said.issue is None or said.issue.number <= 0:
            raise BadDelivery("it names no issue")
        if said.issue.pull_request is not None:
            return ()
        number = str(said.issue.number)
        delivery = clean(headers.get("x-github-delivery", ""), 80)
        data = {"id": number, "state": clean(said.issue.state, 20), "what": f"{kind}.{clean(said.action, 40)}"}
        return (
            Incoming(event="qd.remote.issue.told", id=delivery or f"{number}/{now:.3f}", subject=number, data=data),
        )


connector = GitHubConnector()
__all__ = ["GitHub", "GitHubConnector", "connector"]
