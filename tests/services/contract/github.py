"""A contract server: issues of one repository in GitHub's REST API 2022-11-28, built strictly from the published documents.

This is not GitHub. It keeps to what "REST API endpoints for issues", "… for issue comments", "… for labels", "… for issue
assignees", "Best practices" and "Rate limits" say:

- lists are paged by `Link`, 30 entries unless told otherwise, 100 at most, and hold pull requests;
- `since` compares `updated_at`; times are whole seconds in UTC;
- reads answer with an ETag and honour `If-None-Match` (304, which counts against no limit); writes honour no condition;
- `state_reason` counts only together with a change of `state`; assignees without access are left out in silence, so are
  labels without push access; a label that is not there yet is made;
- a deleted issue is 410, a transferred one 301, everything unknown 404; without a token 401; 422 says which field;
- `x-ratelimit-*` on every answer; a secondary limit is 403 with a message, without `retry-after` at times.

    python -m tests.services.contract.github      prints {"url": …, "token": …, "repository": …} and lives until SIGTERM
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.services.contract.serving import serve

Json = Any
OWNER, REPOSITORY = "dockside", "fleet"
BASE = f"/repos/{OWNER}/{REPOSITORY}"
BUSY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


class GitHubServer:
    """The state and `app`. `writes` is what was done, in order; `busy` answers so many writes with a secondary limit."""

    def __init__(self) -> None:
        self.token = f"ghp_{secrets.token_hex(18)}"
        self.repository = f"{OWNER}/{REPOSITORY}"
        self.me, self.people = "quarterdeck-bot", {"kay", "mara", "quarterdeck-bot"}
        self.issues: dict[int, dict[str, Json]] = {}
        self.comments: dict[int, list[dict[str, Json]]] = {}
        self.gone: set[int] = set()
        self.writes: list[str] = []
        self.busy = self.free_reads = 0
        self.push = True
        self._number = self._comment = 0
        routes = [
            ("/user", self._user, ["GET"]),
            (BASE, self._about, ["GET"]),
            (f"{BASE}/issues", self._list, ["GET"]),
            (f"{BASE}/issues", self._create, ["POST"]),
            (f"{BASE}/issues/{{number:int}}", self._get, ["GET"]),
            (f"{BASE}/issues/{{number:int}}", self._update, ["PATCH"]),
            (f"{BASE}/issues/{{number:int}}/comments", self._list_comments, ["GET"]),
            (f"{BASE}/issues/{{number:int}}/comments", self._add_comment, ["POST"]),
            (f"{BASE}/issues/{{number:int}}/labels", self._add_labels, ["POST"]),
            (f"{BASE}/issues/{{number:int}}/labels/{{name:path}}", self._remove_label, ["DELETE"]),
            (f"{BASE}/assignees/{{login}}", self._assignable, ["GET"]),
        ]
        self.app = Starlette(routes=[Route(path, self._guarded(do), methods=how) for path, do, how in routes])

    # -- what people do there -----------------------------------------------------------------------------------------

    def set(self, number: int, **fields: Json) -> None:
        self.issues[number] |= fields | {"updated_at": _now()}

    def say(self, number: int, text: str, login: str = "kay") -> None:
        self._said(number, text, login)

    def pull_request(self, title: str) -> int:
        number = self._made({"title": title})
        self.issues[number]["pull_request"] = {"url": f"https://api.github.com{BASE}/pulls/{number}"}
        return number

    # -- the API ------------------------------------------------------------------------------------------------------

    def _guarded(self, do: Any) -> Any:
        async def answer(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {self.token}":
                return _error(401, "Bad credentials")
            if request.method != "GET" and self.busy > 0:
                self.busy -= 1
                return _error(403, BUSY, {"retry-after": "0"})
            number = request.path_params.get("number")
            if number in self.gone:
                return _error(410, "This issue was deleted")
            if number is not None and number not in self.issues:
                return _error(404, "Not Found")
            found: Response = await do(request)
            found.headers["x-ratelimit-limit"] = "5000"
            found.headers["x-ratelimit-remaining"] = "4000"
            found.headers["x-ratelimit-reset"] = str(int(time.time()) + 3600)
            found.headers["x-ratelimit-resource"] = "core"
            if request.method == "GET" and found.status_code == 200:
                etag = f'W/"{hashlib.sha256(bytes(found.body)).hexdigest()}"'
                if request.headers.get("if-none-match") == etag:
                    self.free_reads += 1
                    return Response(status_code=304, headers={"etag": etag})
                found.headers["etag"] = etag
            return found

        return answer

    async def _user(self, request: Request) -> Response:
        return JSONResponse({"login": self.me, "type": "User"})

    async def _about(self, request: Request) -> Response:
        permissions = {"admin": False, "push": self.push, "triage": self.push, "pull": True}
        return JSONResponse({"full_name": self.repository, "has_issues": True, "permissions": permissions})

    async def _list(self, request: Request) -> Response:
        asked = request.query_params
        rows = list(self.issues.values())
        state = asked.get("state", "open")
        rows = [one for one in rows if state == "all" or one["state"] == state]
        if since := asked.get("since"):
            rows = [one for one in rows if one["updated_at"] >= since]
        if creator := asked.get("creator"):
            rows = [one for one in rows if one["user"]["login"] == creator]
        order = {"created": "number", "updated": "updated_at"}[asked.get("sort", "created")]
        rows.sort(key=lambda one: (one[order], one["number"]), reverse=asked.get("direction", "desc") == "desc")
        return _paged(request, rows)

    async def _create(self, request: Request) -> Response:
        sent = await request.json()
        if not isinstance(sent.get("title"), str) or not sent["title"]:
            return _invalid("title", "missing_field")
        number = self._made(sent)
        self.writes.append("create")
        return JSONResponse(self.issues[number], 201)

    def _made(self, sent: dict[str, Json]) -> int:
        self._number += 1
        labels = [{"name": one} for one in sent.get("labels") or ()] if self.push else []
        self.issues[self._number] = {
            "id": 9_000 + self._number, "number": self._number, "title": sent["title"], "body": sent.get("body"),
            "state": "open", "state_reason": None, "labels": labels, "assignee": None, "assignees": [],
            "user": {"login": self.me}, "comments": 0, "created_at": _now(), "updated_at": _now(),
            "html_url": f"https://github.com/{self.repository}/issues/{self._number}",
        }  # fmt: skip
        self.comments[self._number] = []
        return self._number

    async def _get(self, request: Request) -> Response:
        return JSONResponse(self.issues[request.path_params["number"]])

    async def _update(self, request: Request) -> Response:
        issue, sent = self.issues[request.path_params["number"]], await request.json()
        if sent.get("state") not in (None, "open", "closed"):
            return _invalid("state", "invalid")
        if sent.get("state_reason") not in (None, "completed", "not_planned", "duplicate", "reopened"):
            return _invalid("state_reason", "invalid")
        issue |= {name: sent[name] for name in ("title", "body") if name in sent}
        if sent.get("state") and sent["state"] != issue["state"]:
            default = "completed" if sent["state"] == "closed" else "reopened"
            issue |= {"state": sent["state"], "state_reason": sent.get("state_reason") or default}
        elif sent.get("state") == "closed" and sent.get("state_reason"):
            issue["state_reason"] = sent["state_reason"]
        if "assignees" in sent:
            able = [{"login": one} for one in sent["assignees"] if one in self.people]
            issue |= {"assignees": able, "assignee": able[0] if able else None}
        issue["updated_at"] = _now()
        self.writes.append("update " + ",".join(sorted(sent)))
        return JSONResponse(issue)

    async def _list_comments(self, request: Request) -> Response:
        return _paged(request, self.comments[request.path_params["number"]])

    async def _add_comment(self, request: Request) -> Response:
        sent = await request.json()
        if not sent.get("body"):
            return _invalid("body", "missing_field")
        self.writes.append("comment")
        return JSONResponse(self._said(request.path_params["number"], sent["body"], self.me), 201)

    def _said(self, number: int, text: str, login: str) -> dict[str, Json]:
        self._comment += 1
        made = {"id": 70_000 + self._comment, "body": text, "user": {"login": login}, "created_at": _now()}
        self.comments[number].append(made)
        self.issues[number] |= {"comments": len(self.comments[number]), "updated_at": _now()}
        return made

    async def _add_labels(self, request: Request) -> Response:
        if not self.push:
            return _error(403, "Must have triage permissions")
        issue, sent = self.issues[request.path_params["number"]], await request.json()
        has = [one["name"] for one in issue["labels"]]
        issue["labels"] += [{"name": one} for one in sent["labels"] if one not in has]
        issue["updated_at"] = _now()
        self.writes.append("label")
        return JSONResponse(issue["labels"])

    async def _remove_label(self, request: Request) -> Response:
        issue, name = self.issues[request.path_params["number"]], request.path_params["name"]
        if name not in [one["name"] for one in issue["labels"]]:
            return _error(404, "Label does not exist")
        issue["labels"] = [one for one in issue["labels"] if one["name"] != name]
        issue["updated_at"] = _now()
        self.writes.append("unlabel")
        return JSONResponse(issue["labels"])

    async def _assignable(self, request: Request) -> Response:
        known = request.path_params["login"] in self.people
        return Response(status_code=204) if known else _error(404, "Not Found")


def _paged(request: Request, rows: list[dict[str, Json]]) -> Response:
    asked = request.query_params
    size = min(100, max(1, int(asked.get("per_page", "30"))))
    page, last = max(1, int(asked.get("page", "1"))), max(1, -(-len(rows) // size))
    links = [("next", page + 1), ("last", last)] if page < last else []
    links += [("first", 1), ("prev", page - 1)] if page > 1 else []
    base = str(request.url).partition("?")[0]
    said = ", ".join(
        f'<{base}?{urlencode({**dict(asked), "page": str(at), "per_page": str(size)})}>; rel="{rel}"'
        for rel, at in links
    )
    return JSONResponse(rows[(page - 1) * size : page * size], headers={"link": said} if said else None)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    body = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
    return JSONResponse(body, status, headers=headers)


def _invalid(name: str, code: str) -> Response:
    errors = [{"resource": "Issue", "field": name, "code": code}]
    return JSONResponse({"message": "Validation Failed", "errors": errors, "status": "422"}, 422)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    server = GitHubServer()
    asyncio.run(serve(server.app, token=server.token, repository=server.repository))
