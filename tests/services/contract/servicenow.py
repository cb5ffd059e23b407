"""A contract server: the Table API and the Attachment API of ServiceNow, built strictly from the published documents.

This is not ServiceNow. It keeps to what "Table API", "Attachment API" and "Incident" in its product documentation say:

- every value is a string; `sysparm_fields` names what comes back, dot-walked fields too; references are links unless
  `sysparm_exclude_reference_link=true`; `X-Total-Count` and `Link` on lists;
- encoded queries: `^` joins, operators `= >= > IN`, `ORDERBY`; what can't be read matches everything (as an instance
  does unless it is told to be strict), which is why nothing wrong may get into one;
- priority comes from the lookup of impact and urgency and can't be written; a field without access is left as it was and
  the answer is 200; resolving without close_code and close_notes is 403 "Data Policy Exception";
- comments and work_notes are journals: written by PATCH, read in `sys_journal_field`; `sys_mod_count` counts updates;
- wrong credentials 401 with `error.message`; no such record 404; creating answers 201 and `Location`.

    python -m tests.services.contract.servicenow   prints {"url": …, "username": …, "password": …} and lives until SIGTERM
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.services.contract.serving import serve

Json = Any
Row = dict[str, str]
LOOKUP = {
    ("1", "1"): "1", ("1", "2"): "2", ("2", "1"): "2", ("1", "3"): "3", ("2", "2"): "3", ("3", "1"): "3", ("2", "3"): "4",
    ("3", "2"): "4", ("3", "3"): "5",
}  # fmt: skip
JOURNALS = ("comments", "work_notes")
_TERM = re.compile(r"([a-z_.]+)(>=|=|>|IN)(.*)")


class ServiceNowServer:
    """The state and `app`. `writes` is what was done; `kept` names fields the account may not write."""

    def __init__(self) -> None:
        self.username, self.password = "quarterdeck.svc", secrets.token_hex(12)
        self.tables: dict[str, dict[str, Row]] = {
            "incident": {},
            "sys_user": {},
            "sys_journal_field": {},
            "sys_attachment": {},
        }
        self.files: dict[str, bytes] = {}
        self.writes: list[str] = []
        self.kept: set[str] = set()
        self._number = 10_000
        for name in (self.username, "kay", "mara"):
            self._insert("sys_user", {"user_name": name, "active": "true"})
        self.app = Starlette(
            routes=[
                Route("/api/now/table/{table}", self._guarded(self._list), methods=["GET"]),
                Route("/api/now/table/{table}", self._guarded(self._create), methods=["POST"]),
                Route("/api/now/table/{table}/{sys_id}", self._guarded(self._get), methods=["GET"]),
                Route("/api/now/table/{table}/{sys_id}", self._guarded(self._update), methods=["PATCH", "PUT"]),
                Route("/api/now/table/{table}/{sys_id}", self._guarded(self._delete), methods=["DELETE"]),
                Route("/api/now/attachment", self._guarded(self._attachments), methods=["GET"]),
                Route("/api/now/attachment/file", self._guarded(self._upload), methods=["POST"]),
            ]
        )

    # -- what people do there -----------------------------------------------------------------------------------------

    def named(self, number: str) -> Row:
        return next(one for one in self.tables["incident"].values() if one["number"] == number)

    def set(self, number: str, *, by: str = "kay", **fields: str) -> None:
        self._write(self.named(number), fields, by)

    def say(self, number: str, text: str, by: str = "kay") -> None:
        self._write(self.named(number), {"comments": text}, by)

    # -- the API ------------------------------------------------------------------------------------------------------

    def _guarded(self, do: Any) -> Any:
        expected = "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

        async def answer(request: Request) -> Response:
            if request.headers.get("authorization") != expected:
                return _error(401, "User Not Authenticated", "Required to provide Auth information")
            table = request.path_params.get("table")
            if table is not None and table not in self.tables:
                return _error(400, f"Invalid table {table}", "")
            found: Response = await do(request)
            return found

        return answer

    def _insert(self, table: str, fields: Row) -> Row:
        now = _now()
        row = {
            "sys_id": secrets.token_hex(16),
            "sys_created_on": now,
            "sys_updated_on": now,
            "sys_mod_count": "0",
            **fields,
        }
        row.setdefault("sys_created_by", self.username)
        self.tables[table][row["sys_id"]] = row
        return row

    def _write(self, row: Row, fields: Row, by: str) -> None:
        for name, value in fields.items():
            if name in JOURNALS:
                entry = {"element_id": row["sys_id"], "element": name, "value": value, "sys_created_by": by}
                self._insert("sys_journal_field", {"name": "incident", **entry})
            elif name != "priority" and name in row:
                row[name] = value
        row["priority"] = LOOKUP.get((row["impact"], row["urgency"]), row["priority"])
        row |= {"sys_updated_on": _now(), "sys_mod_count": str(int(row["sys_mod_count"]) + 1), "sys_updated_by": by}

    async def _list(self, request: Request) -> Response:
        asked = request.query_params
        rows = self._found(list(self.tables[request.path_params["table"]].values()), asked.get("sysparm_query", ""))
        limit, offset = int(asked.get("sysparm_limit", "10000")), int(asked.get("sysparm_offset", "0"))
        shown = [self._shown(one, request) for one in rows[offset : offset + limit]]
        headers = {"X-Total-Count": str(len(rows))}
        if offset + limit < len(rows):
            headers["Link"] = f'<{request.url}&sysparm_offset={offset + limit}>;rel="next"'
        return JSONResponse({"result": shown}, headers=headers)

    def _found(self, rows: list[Row], query: str) -> list[Row]:
        orders: list[tuple[str, bool]] = []
        for term in filter(None, query.split("^")):
            if term.startswith("ORDERBY"):
                down = term.startswith("ORDERBYDESC")
                orders.append((term.removeprefix("ORDERBYDESC" if down else "ORDERBY"), down))
            elif match := _TERM.fullmatch(term):
                name, how, value = match.groups()
                rows = [one for one in rows if _holds(one.get(name, ""), how, value)]
        for name, down in reversed(orders):
            rows = sorted(rows, key=lambda one: one.get(name, ""), reverse=down)
        return rows

    def _shown(self, row: Row, request: Request) -> dict[str, Json]:
        asked = request.query_params
        names = [one for one in asked.get("sysparm_fields", "").split(",") if one] or list(row)
        found: dict[str, Json] = {}
        for name in names:
            if "." in name:
                reference, _, field = name.partition(".")
                found[name] = self.tables["sys_user"].get(row.get(reference, ""), {}).get(field, "")
            elif name == "assigned_to" and row.get(name) and asked.get("sysparm_exclude_reference_link") != "true":
                found[name] = {"link": f"{request.base_url}api/now/table/sys_user/{row[name]}", "value": row[name]}
            else:
                found[name] = row.get(name, "")
        return found

    async def _create(self, request: Request) -> Response:
        sent = await request.json()
        self._number += 1
        row = self._insert("incident", {
            "number": f"INC{self._number:07d}", "short_description": "", "description": "", "state": "1", "impact": "3",
            "urgency": "3", "priority": "5", "assigned_to": "", "assignment_group": "", "correlation_id": "",
            "correlation_display": "", "close_code": "", "close_notes": "", "hold_reason": "",
        })  # fmt: skip
        self._write(row, {name: str(value) for name, value in sent.items()}, self.username)
        row["sys_mod_count"] = "0"
        self.writes.append("create")
        return JSONResponse(
            {"result": self._shown(row, request)}, 201, headers={"Location": f"{request.url}/{row['sys_id']}"}
        )

    async def _get(self, request: Request) -> Response:
        row = self.tables[request.path_params["table"]].get(request.path_params["sys_id"])
        return JSONResponse({"result": self._shown(row, request)}) if row else _missing()

    async def _update(self, request: Request) -> Response:
        row = self.tables["incident"].get(request.path_params["sys_id"])
        if row is None:
            return _missing()
        sent = {name: str(value) for name, value in (await request.json()).items() if name not in self.kept}
        after = row | sent
        if after["state"] == "6" and not (after["close_code"] and after["close_notes"]):
            why = "Data Policy Exception: The following fields are mandatory: Resolution code, Resolution notes"
            return _error(403, "Operation Failed", why)
        if sent.get("assigned_to") and sent["assigned_to"] not in self.tables["sys_user"]:
            sent.pop("assigned_to")
        self._write(row, sent, self.username)
        self.writes.append("update " + ",".join(sorted(sent)))
        return JSONResponse({"result": self._shown(row, request)})

    async def _delete(self, request: Request) -> Response:
        if self.tables["incident"].pop(request.path_params["sys_id"], None) is None:
            return _missing()
        self.writes.append("delete")
        return Response(status_code=204)

    async def _attachments(self, request: Request) -> Response:
        rows = self._found(list(self.tables["sys_attachment"].values()), request.query_params.get("sysparm_query", ""))
        return JSONResponse({"result": rows})

    async def _upload(self, request: Request) -> Response:
        asked = request.query_params
        if not all(asked.get(name) for name in ("table_name", "table_sys_id", "file_name")):
            return _error(400, "Invalid or missing parameters", "")
        row = self._insert("sys_attachment", {
            "table_name": asked["table_name"], "table_sys_id": asked["table_sys_id"], "file_name": asked["file_name"],
            "content_type": request.headers.get("content-type", ""),
        })  # fmt: skip
        self.files[row["sys_id"]] = await request.body()
        self.writes.append("attach")
        return JSONResponse({"result": row}, 201)


def _holds(has: str, how: str, value: str) -> bool:
    if how == "IN":
        return has in value.split(",")
    return has == value if how == "=" else has > value if how == ">" else has >= value


def _error(status: int, message: str, detail: str) -> Response:
    return JSONResponse({"error": {"message": message, "detail": detail}, "status": "failure"}, status)


def _missing() -> Response:
    return _error(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


if __name__ == "__main__":
    server = ServiceNowServer()
    asyncio.run(serve(server.app, username=server.username, password=server.password))
