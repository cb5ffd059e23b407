"""ServiceNow incidents, over the Table API (`/api/now/table/…`).

What its documents say, and what follows:

- There are no idempotency keys. An incident carries our mark in `correlation_id`, which is made for this and is looked for
  before one is opened; a comment carries it as its last line and is looked for in the journal.
- Writes are not conditional. The incident is read just before, and a `sys_mod_count` that went on is `Conflict`.
- Priority is worked out from impact and urgency, so those two are written.
- A field the account may not write, or a data policy keeps, is left as it was *and the answer is 200*: what was written is
  compared with what came back, and what did not change is said.
- Resolving needs `close_code` and `close_notes`, on hold a `hold_reason`. Closing is left to the instance, which does it
  some days after the resolution.
- An encoded query is text with `^` as its separator: nothing of the sort gets into one.
- The whole table is listed by `sys_id` from the last one seen, so that no row is missed when others go.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import NoneType
from typing import Any

import msgspec
from msgspec import Struct

from connectors import ticketing as t
from connectors.http import Basic, HttpClient
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
from engine.contract.tickets import MEANINGS, Meaning

NAME = "ServiceNow"
STATES: dict[str, Meaning] = {
    "1": "open",
    "2": "in_progress",
    "3": "on_hold",
    "6": "resolved",
    "7": "closed",
    "8": "cancelled",
}
WEIGHTS = {"P1": ("1", "1"), "P2": ("1", "2"), "P3": ("2", "2"), "P4": ("2", "3"), "P5": ("3", "3")}
"""Impact and urgency that the shipped priority lookup turns into each priority."""
FIELDS = (
    "sys_id,number,short_description,description,state,priority,assigned_to.user_name,correlation_id,sys_mod_count,"
    "sys_updated_on"
)
PAGE = 200
_NUMBER = re.compile(r"[A-Za-z]{2,10}[0-9]{1,20}")
_PLAIN = re.compile(r"[A-Za-z0-9._@ -]{1,80}")
_TABLE = re.compile(r"[a-z][a-z0-9_]{1,79}")
_TIME = "%Y-%m-%d %H:%M:%S"


class _Incident(Struct, rename={"user": "assigned_to.user_name"}):
    sys_id: str = ""
    number: str = ""
    short_description: str = ""
    description: str = ""
    state: str = ""
    priority: str = ""
    user: str = ""
    correlation_id: str = ""
    sys_mod_count: str = ""
    sys_updated_on: str = ""


class _One(Struct):
    result: _Incident


class _Rows(Struct):
    result: list[_Incident]


class _Id(Struct):
    sys_id: str = ""
    file_name: str = ""


class _Ids(Struct):
    result: list[_Id]


class _Entry(Struct):
    sys_id: str = ""
    value: str = ""
    sys_created_by: str = ""
    sys_created_on: str = ""


class _Journal(Struct):
    result: list[_Entry]


class ServiceNow:
    """Implements the port Tickets and is a Source."""

    feeds: tuple[Feed, ...] = (t.ISSUES,)
    traits: dict[str, str] = {
        "conditional": "writes can't be made conditional: the incident is compared just before it is written",
        "closed": "incidents are resolved from here; the instance closes them by itself some days later",
        "silence": "a field the account may not write stays as it was without an error; it is compared and said",
    }

    def __init__(
        self,
        http: HttpClient,
        clock: Clock,
        username: str,
        *,
        states: Mapping[str, Meaning],
        options: Mapping[str, str],
    ) -> None:
        self._http, self._clock, self._me = http, clock, username
        self._states, self._options = dict(states), dict(options)
        self._table = f"/api/now/table/{options['table']}"

    async def close(self) -> None:
        await self._http.close()

    def shows(self, meaning: str) -> str:
        """What an incident that is set to this meaning says afterwards."""
        return self._states.get(self._state(meaning), "open")

    def _state(self, meaning: str) -> str:
        ways = t.back(self._states)
        found = ways.get("resolved") if meaning == "closed" else ways.get(meaning)
        if found is None:
            raise t.no_transition(NAME, "an incident", meaning, sorted(set(self._states.values())))
        return found

    # -- reading ------------------------------------------------------------------------------------------------------

    async def read(self, id: str) -> Ticket:
        incident = await self._incident(id)
        comments = [_comment(one, self._me) for one in await self._journal(incident.sys_id)]
        return msgspec.structs.replace(self._ticket(incident), comments=tuple(comments))

    async def find(self, key: str) -> Ticket | None:
        rows = await self._query(f"correlation_id={mark(key)}", 1)
        return await self.read(rows[0].number) if rows else None

    async def _incident(self, id: str) -> _Incident:
        if _NUMBER.fullmatch(id) is None:
            raise t.no_ticket(NAME, id)
        rows = await self._query(f"number={id}", 1)
        if not rows:
            raise t.no_ticket(NAME, id)
        return rows[0]

    async def _query(self, query: str, limit: int) -> list[_Incident]:
        params = {"sysparm_query": query, "sysparm_limit": str(limit), "sysparm_fields": FIELDS}
        params |= {"sysparm_exclude_reference_link": "true", "sysparm_display_value": "false"}
        return (await self._http.get(self._table, _Rows, params=params)).result

    async def _journal(self, sys_id: str) -> list[_Entry]:
        """Comments and work notes, oldest first. An account that may not read the journal sees none."""
        params = {
            "sysparm_query": f"element_id={sys_id}^elementINcomments,work_notes^ORDERBYsys_created_on",
            "sysparm_fields": "sys_id,value,sys_created_by,sys_created_on",
            "sysparm_limit": str(t.COMMENTS),
        }
        return (await self._http.get("/api/now/table/sys_journal_field", _Journal, params=params)).result

    def _ticket(self, one: _Incident) -> Ticket:
        return Ticket(
            id=clean(one.number, 40),
            title=clean(one.short_description, t.TITLE),
            body=t.lines(one.description),
            state=clean(one.state, 20),
            meaning=self._states.get(one.state, "open"),
            priority=f"P{one.priority}" if one.priority in ("1", "2", "3", "4", "5") else "",
            assignee=clean(one.user, 80),
            url=f"{self._http.url}/nav_to.do?uri={self._options['table']}.do?sys_id={clean(one.sys_id, 40)}",
            version=clean(one.sys_mod_count, 20),
            changed_at=t.epoch(one.sys_updated_on, _TIME),
        )

    # -- writing ------------------------------------------------------------------------------------------------------

    async def open(self, new: NewTicket, *, key: str, in_doubt: bool = False) -> Ticket:
        if (known := await self.find(key)) is not None:
            return known
        sent = {
            "short_description": new.title[:160],
            "description": new.body[: t.BODY],
            "correlation_id": mark(key),
            "correlation_display": "Quarterdeck",
        }
        if new.priority in WEIGHTS:
            sent["impact"], sent["urgency"] = WEIGHTS[new.priority]
        if self._options["group"]:
            sent["assignment_group"] = self._options["group"]
        params = {"sysparm_fields": FIELDS, "sysparm_exclude_reference_link": "true"}
        made = (await self._http.send("POST", self._table, _One, json=sent, params=params, safe=False)).result
        return await self.read(made.number)

    async def update(
        self, id: str, changes: Mapping[str, str], *, version: str, key: str, in_doubt: bool = False
    ) -> Ticket:
        incident = await self._incident(id)
        left = t.remaining(NAME, self._ticket(incident), changes, self.shows, version)
        sent: dict[str, str] = {}
        if "title" in left:
            sent["short_description"] = left["title"][:160]
        if "body" in left:
            sent["description"] = left["body"][: t.BODY]
        if left.get("priority"):
            sent["impact"], sent["urgency"] = WEIGHTS[left["priority"]]
        if "assignee" in left:
            sent["assigned_to"] = await self._user(left["assignee"]) if left["assignee"] else ""
        if "meaning" in left:
            sent |= self._moved(left["meaning"])
        if sent:
            params = {"sysparm_fields": FIELDS, "sysparm_exclude_reference_link": "true"}
            place = f"{self._table}/{incident.sys_id}"
            await self._http.send("PATCH", place, _One, json=sent, params=params, safe=True)
        found = await self.read(id)
        self._kept(found, left)
        return found

    def _moved(self, meaning: str) -> dict[str, str]:
        sent = {"state": self._state(meaning)}
        if meaning in ("resolved", "closed"):
            sent |= {"close_code": self._options["close_code"], "close_notes": "Resolved in Quarterdeck."}
        elif meaning == "cancelled":
            sent |= {"close_notes": "Cancelled in Quarterdeck."}
        elif meaning == "on_hold":
            sent |= {"hold_reason": self._options["hold_reason"]}
        return sent

    def _kept(self, found: Ticket, left: Mapping[str, str]) -> None:
        """What was answered with success and left as it was."""
        if "meaning" in left and found.meaning != self.shows(left["meaning"]):
            raise t.no_transition(NAME, found.id, left["meaning"], ())
        same = [
            name
            for name in ("priority", "assignee", "title")
            if left.get(name) and getattr(found, name)[:160] != left[name][:160]
        ]
        if same:
            said = f"{NAME} took the change of {found.id} and left {', '.join(same)} as it was: the account may not write it"
            raise ActionError("Refused", said, kind="authorization", retryable=False)

    async def _user(self, name: str) -> str:
        if _PLAIN.fullmatch(name) is None:
            raise t.no_user(NAME, name)
        params = {"sysparm_query": f"user_name={name}^active=true", "sysparm_fields": "sys_id", "sysparm_limit": "1"}
        rows = (await self._http.get("/api/now/table/sys_user", _Ids, params=params)).result
        if not rows:
            raise t.no_user(NAME, name)
        return rows[0].sys_id

    async def comment(self, id: str, text: str, *, key: str, in_doubt: bool = False) -> Comment:
        incident = await self._incident(id)
        if (known := await self._said(incident.sys_id, key)) is not None:
            return known
        sent = {self._options["comments"]: marked(text[: t.BODY], key)}
        params = {"sysparm_fields": "sys_id"}
        await self._http.send(
            "PATCH", f"{self._table}/{incident.sys_id}", NoneType, json=sent, params=params, safe=False
        )
        made = await self._said(incident.sys_id, key)
        if made is None:
            said = f"{NAME} took the comment on {clean(id, 40)} and its journal does not show it"
            raise ActionError("Refused", said, kind="authorization", retryable=False)
        return made

    async def _said(self, sys_id: str, key: str) -> Comment | None:
        for one in await self._journal(sys_id):
            found = _comment(one, self._me)
            if found.key == mark(key):
                return found
        return None

    async def attach(self, id: str, name: str, content: bytes, media: str, *, key: str, in_doubt: bool = False) -> None:
        incident = await self._incident(id)
        kept = f"{mark(key)}-{clean(name, 80)}"
        params = {"sysparm_query": f"table_sys_id={incident.sys_id}", "sysparm_limit": "1000"}
        rows = (await self._http.get("/api/now/attachment", _Ids, params=params)).result
        if any(one.file_name == kept for one in rows):
            return
        params = {"table_name": self._options["table"], "table_sys_id": incident.sys_id, "file_name": kept}
        await self._http.send(
            "POST", "/api/now/attachment/file", NoneType, content=content, media=media, params=params, safe=False
        )

    async def discard(self, kind: str, id: str) -> None:
        """Deletes what a check of this connector made."""
        if kind == "ticket":
            incident = await self._incident(id)
            await self._http.send("DELETE", f"{self._table}/{incident.sys_id}", NoneType, safe=True)

    # -- mirroring ----------------------------------------------------------------------------------------------------

    async def pull(self, feed: str, cursor: str) -> Pulled:
        walk = t.walk(cursor, 0.0)
        where = self._options["query"]
        if walk.full:
            own = f"sys_id>{walk.page}^ORDERBYsys_id" if walk.page else "ORDERBYsys_id"
            offset = 0
        else:
            since = datetime.fromtimestamp(walk.since, UTC).strftime(_TIME)
            own = f"sys_updated_on>={since}^ORDERBYsys_updated_on^ORDERBYsys_id"
            offset = int(walk.page) if walk.page.isdigit() else 0
        params = {
            "sysparm_query": f"{where}^{own}" if where else own,
            "sysparm_limit": str(PAGE),
            "sysparm_offset": str(offset),
            "sysparm_fields": FIELDS,
            "sysparm_exclude_reference_link": "true",
        }
        answer = await self._http.send_full("GET", self._table, _Rows, params=params, safe=True)
        rows, now = answer.value.result, answer.owner_now
        began, more = walk.began or now or time.time(), len(rows) == PAGE
        objects = tuple([t.as_object(self._ticket(one)) for one in rows])
        if walk.full:
            here = t.Walk(began=began, page=rows[-1].sys_id if rows else "")
        else:
            newest = max((one.changed_at for one in objects), default=0.0)
            here = t.onward(walk, newest, began, str(offset + PAGE))
        return Pulled(
            objects=objects,
            cursor=here.written() if more else here.ended(),
            more=more,
            full=walk.full,
            owner_now=now,
        )

    # -- about itself -------------------------------------------------------------------------------------------------

    async def check(self) -> str:
        params = {"sysparm_query": f"user_name={self._me}", "sysparm_fields": "sys_id", "sysparm_limit": "1"}
        await self._http.get("/api/now/table/sys_user", _Ids, params=params)
        await self._query("ORDERBYDESCsys_updated_on", 1)
        return f"ServiceNow {self._options['table']} as {clean(self._me, 80)}"

    async def rights(self) -> Sequence[Right]:
        needed = {self._options["table"]: "tickets", "sys_journal_field": "comments", "sys_user": "assignees"}
        found = []
        for table, what in needed.items():
            try:
                params = {"sysparm_limit": "1", "sysparm_fields": "sys_id"}
                await self._http.get(f"/api/now/table/{table}", _Ids, params=params)
                has = True
            except ActionError as error:
                if error.kind != "authorization":
                    raise
                has = False
            found.append(Right(name=f"read {table}", has=has, needed_for=what))
        return (*found, Right(name=f"write {self._options['table']}", has=None, needed_for="opening, resolving"))


def _comment(one: _Entry, me: str) -> Comment:
    text, own = unmarked(t.lines(one.value))
    author = clean(one.sys_created_by, 80)
    key = own if author == me else ""
    return Comment(id=clean(one.sys_id, 40), text=text, author=author, at=t.epoch(one.sys_created_on, _TIME), key=key)


class _Hook(Struct):
    number: str
    event: str = "incident.updated"
    state: str = ""
    id: str = ""


class ServiceNowConnector:
    """Settings: `url` of the instance, `username`, `secret` (keyring entry: the password)."""

    kind = "servicenow"
    title = "ServiceNow incidents"
    docs = (
        "Table API, Attachment API (as published for the current releases); tested against a contract server built from "
        "the documents, not against an instance"
    )
    capabilities = ("tickets",)
    needs: tuple[str, ...] = ()
    secrets = {**SECRETS, "webhook_secret": "servicenow-webhook"}
    fields: dict[str, Param] = {
        **t.COMMON,
        "url": Param(type="string", description="https://INSTANCE.service-now.com"),
        "username": Param(type="string", description="the account's user name"),
        "table": Param(type="string", required=False, description="a table of tasks (incident)"),
        "query": Param(type="string", required=False, description="encoded query: which rows are mirrored"),
        "group": Param(type="string", required=False, description="sys_id of the assignment group of what is opened"),
        "comments": Param(type="string", required=False, description="work_notes (internal) or comments (customers see)"),
        "close_code": Param(type="string", required=False, description="close_code of a resolution (Solution provided)"),
        "hold_reason": Param(type="string", required=False, description="hold_reason while on hold (4: awaiting vendor)"),
        "states": Param(type="object", required=False, description="state -> open, in_progress, on_hold, resolved, closed, cancelled"),
    }  # fmt: skip

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, username = str(config["secret"]), str(config["username"])
        default = {
            "table": "incident", "query": "", "group": "", "comments": "work_notes", "close_code": "Solution provided",
            "hold_reason": "4",
        }  # fmt: skip
        options = {key: str(config.get(key, value)) for key, value in default.items()}
        if _TABLE.fullmatch(options["table"]) is None:
            raise t.wrong(NAME, f"options.table: {clean(options['table'], 60)!r} is no table")
        if options["comments"] not in ("comments", "work_notes"):
            raise t.wrong(NAME, "options.comments: comments or work_notes")
        if "ORDERBY" in options["query"] or "^NQ" in options["query"]:
            raise t.wrong(NAME, "options.query: conditions only, no ORDERBY and no ^NQ")
        if _PLAIN.fullmatch(username) is None:
            raise t.wrong(NAME, "options.username: letters, digits, . _ @ - and blanks")
        http = client(config, secret, name=NAME, auth=Basic(username, lambda: secret(name)))
        states = t.words(config.get("states"), STATES, MEANINGS, NAME, "states")
        return {"tickets": ServiceNow(http, clock, username, states=states, options=options)}

    def receive(self, headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Sequence[Incoming]:
        """What a business rule of the instance posts: `{"number", "event", "state", "id"}` with a bearer secret or a
        signature, as the rule is written. A hint to look."""
        proofs.any_usual(headers, body, secret)
        try:
            said = msgspec.json.decode(body, type=_Hook)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadDelivery(f"not what the business rule sends: {clean(error, 200)}") from error
        if _NUMBER.fullmatch(said.number) is None:
            raise BadDelivery(f"{clean(said.number, 40)!r} is no number of an incident")
        data = {"id": said.number, "state": clean(said.state, 20), "what": clean(said.event, 60)}
        id = clean(said.id, 80) or f"{said.number}/{now:.3f}"
        return (Incoming(event="qd.remote.issue.told", id=id, subject=said.number, data=data),)


connector = ServiceNowConnector()
__all__ = ["ServiceNow", "ServiceNowConnector", "connector"]
