"""A contract server: issues of one project in Jira Cloud's platform REST API v3, built strictly from the published documents.

This is not Jira. It keeps to what "Issues", "Issue comments", "Issue search", "Issue attachments", "User search" and
"Permissions" of the API reference say:

- `/search/jql` has no total; pages by `nextPageToken`, `isLast`; only named fields come back; unknown body fields are 400;
  its index lags (`lag` newest writes are not found); the old `/search` is 410;
- a state is changed by a transition that the issue's present state has, 204; any other id is 400;
- texts are ADF documents, a string is 400; a summary has no line ends and 255 characters at most;
- comments carry entity properties, which come back with `expand=properties` alone;
- attachments want `X-Atlassian-Token: no-check`, else 403; times have milliseconds and an offset;
- unknown issues, and those one may not see, are 404; wrong credentials 401; limits are 429 with `Retry-After`.

    python -m tests.services.contract.jira      prints {"url": …, "username": …, "token": …, "project": …}
"""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.services.contract.serving import serve

Json = Any
API = "/rest/api/3"
STATUSES = {
    "To Do": "new", "In Progress": "indeterminate", "On Hold": "indeterminate", "Done": "done", "Won't Do": "done",
}  # fmt: skip
WORKFLOW = {
    "To Do": {"11": "In Progress", "51": "Won't Do"},
    "In Progress": {"21": "On Hold", "31": "Done", "41": "To Do", "51": "Won't Do"},
    "On Hold": {"61": "In Progress"},
    "Done": {"71": "To Do"},
    "Won't Do": {"71": "To Do"},
}
PRIORITIES = ("Highest", "High", "Medium", "Low", "Lowest")
SEARCHED = {
    "jql",
    "nextPageToken",
    "maxResults",
    "fields",
    "expand",
    "properties",
    "fieldsByKeys",
    "failFast",
    "reconcileIssues",
}
ME = {"accountId": "712020:bot", "displayName": "Quarterdeck", "emailAddress": "quarterdeck@example.com"}
PEOPLE = [
    ME,
    {"accountId": "712020:kay", "displayName": "Kay Lund", "emailAddress": "kay@example.com"},
    {"accountId": "712020:mara", "displayName": "Mara Ek"},  # her address is hidden
]


class JiraServer:
    """The state and `app`. `lag`: so many of the newest issues are not in the index yet; each search makes it smaller."""

    def __init__(self) -> None:
        self.username, self.token, self.project = ME["emailAddress"], secrets.token_urlsafe(24), "OPS"
        self.issues: dict[str, dict[str, Json]] = {}
        self.comments: dict[str, list[dict[str, Json]]] = {}
        self.files: list[bytes] = []
        self.writes: list[str] = []
        self.lag = self.limited = 0
        self._tokens: dict[str, int] = {}
        self._number = self._id = 0
        self._last = datetime.now(UTC)
        one = f"{API}/issue/{{key}}"
        routes = [
            (f"{API}/myself", self._myself, "GET"), (f"{API}/project/{{project}}", self._about, "GET"),
            (f"{API}/mypermissions", self._permissions, "GET"), (f"{API}/search/jql", self._search, "POST"),
            (f"{API}/search", self._old_search, "POST"), (f"{API}/user/assignable/search", self._users, "GET"),
            (f"{API}/issue", self._create, "POST"), (one, self._get, "GET"), (one, self._edit, "PUT"), (one, self._delete, "DELETE"),
            (f"{one}/transitions", self._ways, "GET"), (f"{one}/transitions", self._transit, "POST"),
            (f"{one}/comment", self._list_comments, "GET"), (f"{one}/comment", self._add_comment, "POST"),
            (f"{one}/attachments", self._attach, "POST"),
        ]  # fmt: skip
        self.app = Starlette(routes=[Route(path, self._guarded(do), methods=[how]) for path, do, how in routes])

    # -- what people do there -----------------------------------------------------------------------------------------

    def set(self, key: str, **fields: Json) -> None:
        if "status" in fields:
            fields["status"] = _status(fields["status"])
        if "priority" in fields:
            fields["priority"] = {"name": fields["priority"]}
        self.issues[key]["fields"] |= fields | {"updated": self._now()}

    def say(self, key: str, text: str) -> None:
        content = [{"type": "paragraph", "content": [{"type": "text", "text": text}]}]
        self._said(key, {"type": "doc", "version": 1, "content": content}, PEOPLE[1], [])

    # -- the API ------------------------------------------------------------------------------------------------------

    def _guarded(self, do: Any) -> Any:
        expected = "Basic " + base64.b64encode(f"{self.username}:{self.token}".encode()).decode()

        async def answer(request: Request) -> Response:
            if request.headers.get("authorization") != expected:
                return _error(401, "Client must be authenticated to access this resource.")
            if self.limited > 0:
                self.limited -= 1
                headers = {"Retry-After": "0", "RateLimit-Reason": "jira-burst-based", "X-RateLimit-NearLimit": "true"}
                return JSONResponse({"errorMessages": ["Rate limit exceeded."]}, 429, headers=headers)
            key = request.path_params.get("key")
            if key is not None and key not in self.issues:
                return _error(404, "Issue does not exist or you do not have permission to see it.")
            found: Response = await do(request)
            return found

        return answer

    async def _myself(self, request: Request) -> Response:
        return JSONResponse(ME)

    async def _about(self, request: Request) -> Response:
        known = request.path_params["project"] == self.project
        return (
            JSONResponse({"key": self.project, "name": "Operations"})
            if known
            else _error(404, "No project could be found")
        )

    async def _permissions(self, request: Request) -> Response:
        asked = request.query_params.get("permissions", "")
        if not asked:
            return _error(400, "The parameter permissions is required.")
        found = {one: {"key": one, "havePermission": one != "CREATE_ATTACHMENTS"} for one in asked.split(",")}
        return JSONResponse({"permissions": found})

    async def _old_search(self, request: Request) -> Response:
        return _error(410, "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API.")

    async def _search(self, request: Request) -> Response:
        sent = await request.json()
        if set(sent) - SEARCHED or not sent.get("jql"):
            return _error(400, "Invalid request payload. Refer to the REST API documentation and try again.")
        newest = sorted(self.issues, key=_numbered)[-self.lag :] if self.lag else []
        self.lag = max(0, self.lag - 1)
        rows = [one for key, one in self.issues.items() if key not in newest]
        jql, order = sent["jql"], ""
        if " ORDER BY " in jql or jql.startswith("ORDER BY"):
            jql, _, order = jql.partition(" ORDER BY ")
        for term in jql.split(" AND "):
            if match := re.fullmatch(r'project = "?([A-Z]+)"?', term):
                rows = [one for one in rows if one["key"].startswith(match[1] + "-")]
            elif match := re.fullmatch(r'labels = "([^"]+)"', term):
                rows = [one for one in rows if match[1] in one["fields"]["labels"]]
            elif match := re.fullmatch(r"updated >= -(\d+)m", term):
                since = datetime.now(UTC) - timedelta(minutes=int(match[1]))
                rows = [
                    one
                    for one in rows
                    if datetime.strptime(one["fields"]["updated"], "%Y-%m-%dT%H:%M:%S.%f%z") >= since
                ]
            else:
                return _error(400, f"Error in the JQL Query: {term}")
        rows.sort(key=lambda one: one["fields"]["updated"] if order.startswith("updated") else _numbered(one["key"]))
        start = 0
        if token := sent.get("nextPageToken"):
            if token not in self._tokens:
                return _error(400, "The provided next page token is invalid or expired.")
            start = self._tokens[token]
        size = min(int(sent.get("maxResults", 50)), 5000)
        fields = sent.get("fields") or ["id"]
        shown = [
            {"id": one["id"], "key": one["key"], "fields": {n: v for n, v in one["fields"].items() if n in fields}}
            for one in rows[start : start + size]
        ]
        found: dict[str, Json] = {"issues": shown, "isLast": start + size >= len(rows)}
        if not found["isLast"]:
            found["nextPageToken"] = secrets.token_urlsafe(12)
            self._tokens[found["nextPageToken"]] = start + size
        return JSONResponse(found)

    async def _users(self, request: Request) -> Response:
        asked = request.query_params.get("query", "").lower()
        found = [one for one in PEOPLE if any(asked in str(value).lower() for value in one.values())]
        return JSONResponse(found)

    async def _create(self, request: Request) -> Response:
        sent = (await request.json()).get("fields", {})
        if (sent.get("project") or {}).get("key") != self.project:
            return _error(400, project="Specify a valid project ID or key")
        if not (sent.get("issuetype") or {}).get("name"):
            return _error(400, issuetype="Specify an issue type")
        if wrong := self._wrong(sent):
            return wrong
        self._number += 1
        key = f"{self.project}-{self._number}"
        self.issues[key] = {"id": str(10_000 + self._number), "key": key, "fields": {
            "summary": sent["summary"], "description": sent.get("description"), "labels": sent.get("labels", []),
            "priority": sent.get("priority", {"name": "Medium"}), "status": _status("To Do"), "assignee": None,
            "resolution": None, "updated": self._now(), "attachment": [],
        }}  # fmt: skip
        self.comments[key] = []
        self.writes.append("create")
        return JSONResponse({"id": self.issues[key]["id"], "key": key, "self": f"{request.url}/{key}"}, 201)

    def _wrong(self, sent: dict[str, Json]) -> Response | None:
        if "summary" in sent and ("\n" in sent["summary"] or not sent["summary"] or len(sent["summary"]) > 255):
            return _error(400, summary="The summary is invalid because it contains newline characters or is too long.")
        if sent.get("description") is not None and not _document(sent["description"]):
            return _error(400, description="Operation value must be an Atlassian Document")
        if any(re.search(r"\s", one) for one in sent.get("labels", ())):
            return _error(400, labels="The label can't contain spaces.")
        if sent.get("priority") and sent["priority"].get("name") not in PRIORITIES:
            return _error(400, priority="The priority selected is invalid.")
        if sent.get("assignee") and all(one["accountId"] != sent["assignee"].get("accountId") for one in PEOPLE):
            return _error(400, assignee="User does not exist.")
        return None

    async def _get(self, request: Request) -> Response:
        one = self.issues[request.path_params["key"]]
        names = request.query_params.get("fields", "*all").split(",")
        fields = {n: v for n, v in one["fields"].items() if n in names or "*all" in names}
        return JSONResponse({"id": one["id"], "key": one["key"], "fields": fields})

    async def _edit(self, request: Request) -> Response:
        one, sent = self.issues[request.path_params["key"]], (await request.json()).get("fields", {})
        if "status" in sent:
            return _error(400, status="Field 'status' cannot be set. It is not on the appropriate screen, or unknown.")
        if wrong := self._wrong(sent):
            return wrong
        if "assignee" in sent:
            given = (sent["assignee"] or {}).get("accountId")
            sent["assignee"] = next((each for each in PEOPLE if each["accountId"] == given), None)
        one["fields"] |= sent | {"updated": self._now()}
        self.writes.append("update " + ",".join(sorted(sent)))
        return Response(status_code=204)

    async def _delete(self, request: Request) -> Response:
        del self.issues[request.path_params["key"]]
        self.writes.append("delete")
        return Response(status_code=204)

    async def _ways(self, request: Request) -> Response:
        now = self.issues[request.path_params["key"]]["fields"]["status"]["name"]
        found = [{"id": id, "name": to, "to": _status(to)} for id, to in WORKFLOW[now].items()]
        return JSONResponse({"expand": "transitions", "transitions": found})

    async def _transit(self, request: Request) -> Response:
        one, sent = self.issues[request.path_params["key"]], await request.json()
        to = WORKFLOW[one["fields"]["status"]["name"]].get(str((sent.get("transition") or {}).get("id")))
        if to is None:
            return _error(400, "It seems that you have tried to perform a workflow operation that is not valid for the "
                               "current state of this issue.")  # fmt: skip
        done = {"Done": {"name": "Done"}, "Won't Do": {"name": "Won't Do"}}.get(to)
        one["fields"] |= {"status": _status(to), "resolution": done, "updated": self._now()}
        self.writes.append(f"transition {to}")
        return Response(status_code=204)

    async def _list_comments(self, request: Request) -> Response:
        asked, rows = request.query_params, self.comments[request.path_params["key"]]
        start, size = int(asked.get("startAt", "0")), min(5000, int(asked.get("maxResults", "50")))
        bare = "properties" not in asked.get("expand", "")
        shown = [
            {n: v for n, v in one.items() if not (bare and n == "properties")} for one in rows[start : start + size]
        ]
        return JSONResponse({"startAt": start, "maxResults": size, "total": len(rows), "comments": shown})

    async def _add_comment(self, request: Request) -> Response:
        sent = await request.json()
        if not _document(sent.get("body")):
            return _error(400, comment="Comment body is not valid!")
        made = self._said(request.path_params["key"], sent["body"], ME, sent.get("properties", []))
        self.writes.append("comment")
        return JSONResponse({n: v for n, v in made.items() if n != "properties"}, 201)

    def _said(self, key: str, body: Json, author: Json, properties: list[Json]) -> dict[str, Json]:
        self._id += 1
        now = self._now()
        made = {"id": str(20_000 + self._id), "author": author, "body": body, "created": now, "properties": properties}
        self.comments[key].append(made)
        self.issues[key]["fields"]["updated"] = now
        return made

    async def _attach(self, request: Request) -> Response:
        if request.headers.get("x-atlassian-token") != "no-check":
            return _error(403, "XSRF check failed")
        head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
        parts = email.message_from_bytes(head + await request.body(), policy=email.policy.HTTP)
        file = next(one for one in parts.iter_parts() if one.get_param("name", header="content-disposition") == "file")
        content = file.get_payload(decode=True)
        self.files.append(content if isinstance(content, bytes) else b"")
        one = {"id": str(30_000 + len(self.files)), "filename": file.get_filename(), "size": len(self.files[-1])}
        fields = self.issues[request.path_params["key"]]["fields"]
        fields |= {"attachment": [*fields["attachment"], one], "updated": self._now()}
        self.writes.append("attach")
        return JSONResponse([one])

    def _now(self) -> str:
        """A later one every time, in milliseconds."""
        self._last = max(datetime.now(UTC), self._last + timedelta(milliseconds=1))
        return self._last.strftime("%Y-%m-%dT%H:%M:%S.") + f"{self._last.microsecond // 1000:03d}+0000"


def _status(name: str) -> dict[str, Json]:
    return {"name": name, "statusCategory": {"key": STATUSES[name]}}


def _numbered(key: str) -> int:
    return int(key.rpartition("-")[2])


def _document(body: Json) -> bool:
    return (
        isinstance(body, dict)
        and body.get("type") == "doc"
        and body.get("version") == 1
        and isinstance(body.get("content"), list)
    )


def _error(code: int, /, *messages: str, **errors: str) -> Response:
    return JSONResponse({"errorMessages": list(messages), "errors": errors}, code)


if __name__ == "__main__":
    server = JiraServer()
    asyncio.run(serve(server.app, username=server.username, token=server.token, project=server.project))
