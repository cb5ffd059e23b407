"""A contract server: the Management API of Eclipse hawkBit 1.x, built strictly from its published documents and sources.

This is not hawkBit. It was written from the OpenAPI description, the documentation and the behaviour that the sources of
the 1.x line spell out; what it gets wrong, a test against it does not find. It keeps to what is written there:

- lists have 50 rows unless told otherwise and 500 at most; more is cut in silence; `q` is RSQL, unknown fields are 400;
- assigning what is assigned counts as `alreadyAssigned` and does nothing; after an error a robot is assigned to nothing;
- a cancelled action is `canceling` until the robot agrees; a second cancel and a cancel of what is over are 405, and so
  is force-quit of what is not `canceling`; the set stays assigned meanwhile;
- a rollout is `creating` until its groups are filled, then `ready` or `waiting_for_approval`; calls in the wrong state
  are 400 `rolloutIllegalState`; names are unique (409); `triggerNextGroup` needs a scheduled group;
- answers carry a shallow ETag; quotas are 429.

    python -m tests.services.contract.hawkbit      prints {"url": …, "username": …, "password": …} and lives until SIGTERM
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.services.contract.rsql import BadQuery, Query

Json = Any
DEFAULT, MOST, QUOTA = 50, 500, 5000
ERROR = "hawkbit.server.error."
UPDATE_SERVER = "Update Server: "


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, ERROR + code


class HawkBitServer:
    """The state, what robots do to it (DDI), and `app`. `creating_s`: how long a rollout is being created. `writes`
    counts what was done, by method and path."""

    def __init__(self, *, creating_s: float = 0.0, approval: bool = False, multi: bool = False) -> None:
        self.username, self.password = "tenant\\quarterdeck", secrets.token_hex(8)
        self.creating_s, self.approval, self.multi = creating_s, approval, multi
        self.targets: dict[str, dict[str, Json]] = {}
        self.sets: dict[int, dict[str, Json]] = {}
        self.actions: dict[int, dict[str, Json]] = {}
        self.rollouts: dict[int, dict[str, Json]] = {}
        self.groups: dict[int, dict[str, Json]] = {}
        self.writes: list[tuple[str, str, Json]] = []
        self.reads: list[str] = []
        self.before: Callable[[Request], None] = lambda request: None
        self._ids = iter(range(1, 10**9))
        self.base = "https://hawkbit.example"
        self.app = Starlette(routes=[Route(p, self._door(f), methods=[m]) for m, p, f in self._routes()])

    # -- what is there ------------------------------------------------------------------------------------------------

    def add_target(self, name: str, *, type: str = "", installed: int = 0) -> None:
        now = _ms()
        self.targets[name] = {
            "controllerId": name, "name": name, "updateStatus": "registered", "createdAt": now, "lastModifiedAt": now,
            "polled": None, "installedAt": None, "installed": 0, "assigned": 0, "type": type, "metadata": {},
        }  # fmt: skip
        if installed:
            self.targets[name] |= {
                "updateStatus": "in_sync", "installed": installed, "assigned": installed, "installedAt": now, "polled": now,
            }  # fmt: skip

    def add_set(self, name: str, version: str, *, complete: bool = True, valid: bool = True) -> int:
        id_, now = next(self._ids), _ms()
        module = {"id": next(self._ids), "name": "image", "version": version, "type": "os"}
        self.sets[id_] = {
            "id": id_, "name": name, "version": version, "type": "os_app", "typeName": "OS and app", "complete": complete,
            "valid": valid, "deleted": False, "createdAt": now, "lastModifiedAt": now, "modules": [module],
        }  # fmt: skip
        return id_

    # -- what robots do -----------------------------------------------------------------------------------------------

    def open_action(self, name: str) -> dict[str, Json] | None:
        found = [a for a in self.actions.values() if a["target"] == name and a["active"]]
        return max(found, key=lambda a: int(a["id"])) if found else None

    def polls(self, name: str) -> str:
        """The robot asks: what it is given (deploymentBase, cancelAction, nothing). Being given it, it has retrieved it."""
        self.targets[name]["polled"] = _ms()
        action = self.open_action(name)
        if action is None or action["status"] in ("scheduled", "wait_for_confirmation"):
            return ""
        if action["status"] == "canceling":
            return "cancelAction"
        if action["status"] == "running":
            self._log(
                action, "retrieved", f"{UPDATE_SERVER}Target retrieved update action and should start now the download."
            )
            action["status"] = "retrieved"
        return "deploymentBase"

    def says(self, name: str, status: str, *messages: str) -> None:
        """Feedback on its open action: running, download, downloaded, finished, error, canceled, cancel_rejected."""
        action = self.open_action(name)
        assert action is not None, f"{name} has no open action"
        self._log(action, status, *messages)
        target = self.targets[name]
        if status == "cancel_rejected":
            action["status"] = "running"
            self._touch(action)
            return
        action["status"] = status
        if status == "finished":
            target |= {
                "updateStatus": "in_sync",
                "installed": action["set"],
                "assigned": action["set"],
                "installedAt": _ms(),
            }
        elif status == "error":
            target |= {"updateStatus": "error", "assigned": 0}
        elif status == "canceled":
            target |= {"updateStatus": "in_sync", "assigned": target["installed"]}
        action["active"] = status not in ("finished", "error", "canceled")
        self._touch(action)
        self._touch(target)

    def installs(self, name: str) -> None:
        """All the way to success."""
        self.polls(name)
        self.says(name, "finished", "installed")

    def _log(self, action: dict[str, Json], type_: str, *messages: str) -> None:
        line = {"id": next(self._ids), "type": type_, "messages": list(messages), "reportedAt": _ms()}
        action["history"].append(line)

    def _touch(self, row: dict[str, Json]) -> None:
        row["lastModifiedAt"] = max(_ms(), row["lastModifiedAt"] + 1)

    # -- the door -----------------------------------------------------------------------------------------------------

    def _door(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def door(request: Request) -> Response:
            expected = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            if request.headers.get("authorization") != f"Basic {expected}":
                return Response(status_code=401, headers={"www-authenticate": "Basic"})
            self.before(request)
            self._settle()
            if request.method == "GET":
                self.reads.append(request.url.path)
            else:
                body = await request.body()
                self.writes.append((request.method, str(request.url.path), json.loads(body) if body else None))
            try:
                answer = await handler(request)
            except Refused as error:
                shown = {"exceptionClass": "…", "errorCode": error.code, "message": str(error)}
                return JSONResponse(shown, error.status)
            except BadQuery as error:
                return JSONResponse({"errorCode": error.code, "message": str(error)}, 400)
            if request.method == "GET" and answer.status_code == 200:
                etag = f'"0{hashlib.md5(bytes(answer.body), usedforsecurity=False).hexdigest()}"'
                if request.headers.get("if-none-match") == etag:
                    return Response(status_code=304, headers={"etag": etag})
                answer.headers["etag"] = etag
            return answer

        return door

    def _routes(self) -> Iterable[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
        v1 = "/rest/v1"
        return (
            ("GET", f"{v1}/targets", self._get_targets),
            ("GET", v1 + "/targets/{t}", self._get_target),
            ("GET", v1 + "/targets/{t}/installedDS", self._get_installed),
            ("GET", v1 + "/targets/{t}/assignedDS", self._get_assigned),
            ("GET", v1 + "/targets/{t}/metadata/{key}", self._get_metadata),
            ("PUT", v1 + "/targets/{t}/metadata/{key}", self._put_metadata),
            ("POST", v1 + "/targets/{t}/metadata", self._post_metadata),
            ("GET", v1 + "/targets/{t}/actions/{a}/status", self._get_status),
            ("DELETE", v1 + "/targets/{t}/actions/{a}", self._cancel),
            ("GET", f"{v1}/actions", self._get_actions),
            ("GET", f"{v1}/distributionsets", self._get_sets),
            ("GET", v1 + "/distributionsets/{d}/installedTargets", self._get_installed_targets),
            ("POST", v1 + "/distributionsets/{d}/assignedTargets", self._assign),
            ("GET", f"{v1}/rollouts", self._get_rollouts),
            ("POST", f"{v1}/rollouts", self._create_rollout),
            ("GET", v1 + "/rollouts/{r}", self._get_rollout),
            ("GET", v1 + "/rollouts/{r}/deploygroups", self._get_groups),
            ("GET", v1 + "/rollouts/{r}/deploygroups/{g}/targets", self._get_group_targets),
            ("POST", v1 + "/rollouts/{r}/{call}", self._call_rollout),
        )

    # -- targets ------------------------------------------------------------------------------------------------------

    def _target(self, request: Request) -> dict[str, Json]:
        name = unquote(request.path_params["t"])
        if name not in self.targets:
            raise Refused(404, "repo.entitiyNotFound", f"Target with given identifier {{{name}}} does not exist.")
        return self.targets[name]

    def _target_view(self, row: dict[str, Json]) -> dict[str, Json]:
        keys = ("controllerId", "name", "updateStatus", "createdAt", "lastModifiedAt")
        view: dict[str, Json] = {key: row[key] for key in keys}
        if row["installedAt"]:
            view["installedAt"] = row["installedAt"]
        if row["type"]:
            view["targetTypeName"] = row["type"]
        if row["polled"]:
            view["lastControllerRequestAt"] = row["polled"]
            view["pollStatus"] = {
                "lastRequestAt": row["polled"],
                "nextExpectedRequestAt": row["polled"] + 300_000,
                "overdue": False,
            }
        view["_links"] = {"self": {"href": f"{self.base}/rest/v1/targets/{quote(row['controllerId'], safe='')}"}}
        return view

    _TARGET = {
        "id": lambda t: t["controllerId"], "controllerid": lambda t: t["controllerId"], "name": lambda t: t["name"],
        "updatestatus": lambda t: t["updateStatus"], "lastmodifiedat": lambda t: t["lastModifiedAt"],
        "createdat": lambda t: t["createdAt"], "lastcontrollerrequestat": lambda t: t["polled"],
    }  # fmt: skip

    async def _get_targets(self, request: Request) -> Response:
        return self._page(request, self.targets.values(), self._TARGET, self._target_view, "createdat:asc")

    async def _get_target(self, request: Request) -> Response:
        return JSONResponse(self._target_view(self._target(request)))

    async def _get_installed(self, request: Request) -> Response:
        found = self.sets.get(self._target(request)["installed"])
        return JSONResponse(self._set_view(found)) if found else Response(status_code=204)

    async def _get_assigned(self, request: Request) -> Response:
        found = self.sets.get(self._target(request)["assigned"])
        return JSONResponse(self._set_view(found)) if found else Response(status_code=204)

    async def _get_metadata(self, request: Request) -> Response:
        kept, key = self._target(request)["metadata"], request.path_params["key"]
        if key not in kept:
            raise Refused(404, "repo.entitiyNotFound", f"TargetMetadata {key} does not exist.")
        return JSONResponse({"key": key, "value": kept[key]})

    async def _put_metadata(self, request: Request) -> Response:
        kept, key = self._target(request)["metadata"], request.path_params["key"]
        if key not in kept:
            raise Refused(404, "repo.entitiyNotFound", f"TargetMetadata {key} does not exist.")
        kept[key] = (await request.json())["value"]
        return Response(status_code=204)

    async def _post_metadata(self, request: Request) -> Response:
        target, given = self._target(request), await request.json()
        if any(one["key"] in target["metadata"] for one in given):
            raise Refused(409, "repo.entitiyAlreayExists", "The given entity already exists in database")
        target["metadata"] |= {one["key"]: one["value"] for one in given}
        return Response(status_code=201)

    # -- actions ------------------------------------------------------------------------------------------------------

    _ACTION = {
        "id": lambda a: a["id"], "active": lambda a: a["active"], "status": lambda a: a["status"],
        "lastmodifiedat": lambda a: a["lastModifiedAt"], "createdat": lambda a: a["createdAt"],
        "target.controllerid": lambda a: a["target"], "distributionset.id": lambda a: a["set"],
    }  # fmt: skip

    def _action_view(self, row: dict[str, Json], full: bool) -> dict[str, Json]:
        path = f"{self.base}/rest/v1/targets/{quote(row['target'], safe='')}"
        keys = ("id", "status", "active", "createdAt", "lastModifiedAt", "forceType")
        view: dict[str, Json] = {key: row[key] for key in keys}
        view["type"] = "cancel" if row["status"] in ("canceling", "canceled") else "update"
        if row["rollout"]:
            view["rollout"] = row["rollout"]
        view["_links"] = {"self": {"href": f"{path}/actions/{row['id']}"}}
        if full:
            one = self.sets[row["set"]]
            view["_links"]["target"] = {"href": path, "name": self.targets[row["target"]]["name"]}
            view["_links"]["distributionset"] = {
                "href": f"{self.base}/rest/v1/distributionsets/{one['id']}", "name": f"{one['name']}:{one['version']}",
            }  # fmt: skip
        return view

    async def _get_actions(self, request: Request) -> Response:
        full = request.query_params.get("representation") == "full"
        return self._page(request, self.actions.values(), self._ACTION, lambda a: self._action_view(a, full), "id:asc")

    def _action(self, request: Request) -> dict[str, Json]:
        target = self._target(request)
        found = self.actions.get(int(request.path_params["a"]))
        if found is None or found["target"] != target["controllerId"]:
            raise Refused(404, "repo.entitiyNotFound", "Action does not exist.")
        return found

    async def _get_status(self, request: Request) -> Response:
        rows = self._action(request)["history"]
        fields = {"id": lambda s: s["id"], "reportedat": lambda s: s["reportedAt"]}
        return self._page(request, rows, fields, lambda s: s, "id:asc")

    async def _cancel(self, request: Request) -> Response:
        action, target = self._action(request), self._target(request)
        if request.query_params.get("force") == "true":
            if action["status"] != "canceling" or not action["active"]:
                raise Refused(
                    405, "action.notForceQuitable", f"{action['id']} is not canceled yet and cannot be force quit"
                )
            self._log(action, "canceled", f"{UPDATE_SERVER}A force quit has been performed.")
            action |= {"status": "canceled", "active": False}
            target |= {"updateStatus": "in_sync", "assigned": target["installed"]}
        else:
            if action["status"] in ("canceling", "canceled"):
                raise Refused(405, "action.notCancelable", "Actions in canceling or canceled state cannot be canceled")
            if not action["active"]:
                raise Refused(405, "action.notCancelable", f"{action['id']} is not active and cannot be canceled")
            self._log(action, "canceling", f"{UPDATE_SERVER}manual cancelation requested")
            action["status"] = "canceling"
        self._touch(action)
        self._touch(target)
        return Response(status_code=204)

    # -- distribution sets --------------------------------------------------------------------------------------------

    _SET = {
        "id": lambda d: d["id"], "name": lambda d: d["name"], "version": lambda d: d["version"],
        "lastmodifiedat": lambda d: d["lastModifiedAt"], "createdat": lambda d: d["createdAt"],
        "complete": lambda d: d["complete"], "valid": lambda d: d["valid"],
    }  # fmt: skip

    def _set_view(self, row: dict[str, Json]) -> dict[str, Json]:
        return {**row, "_links": {"self": {"href": f"{self.base}/rest/v1/distributionsets/{row['id']}"}}}

    async def _get_sets(self, request: Request) -> Response:
        rows = [one for one in self.sets.values() if not one["deleted"]]
        return self._page(request, rows, self._SET, self._set_view, "id:asc")

    def _set(self, request: Request) -> dict[str, Json]:
        found = self.sets.get(int(request.path_params["d"]))
        if found is None or found["deleted"]:
            raise Refused(404, "repo.entitiyNotFound", "DistributionSet does not exist.")
        return found

    async def _get_installed_targets(self, request: Request) -> Response:
        one = self._set(request)
        rows = [t for t in self.targets.values() if t["installed"] == one["id"]]
        return self._page(request, rows, self._TARGET, self._target_view, "createdat:asc")

    async def _assign(self, request: Request) -> Response:
        one, given = self._set(request), await request.json()
        if not one["complete"]:
            raise Refused(400, "distributionset.incomplete", "Distribution set is incomplete")
        if not one["valid"]:
            raise Refused(400, "distributionset.invalid", "Distribution set is invalid")
        if len(given) > QUOTA:
            raise Refused(429, "quota.tooManyEntries", f"Quota exceeded: Cannot assign {len(given)} more targets")
        unknown = [entry["id"] for entry in given if entry["id"] not in self.targets]
        if unknown:
            raise Refused(404, "repo.entitiyNotFound", f"Targets {unknown} do not exist.")
        made = []
        for entry in given:
            target = self.targets[entry["id"]]
            if target["assigned"] == one["id"] and not self.multi:
                continue
            made.append({"id": self._new_action(target, one["id"], entry.get("type", "forced"))})
        body = {
            "assigned": len(made),
            "alreadyAssigned": len(given) - len(made),
            "total": len(given),
            "assignedActions": made,
        }
        return JSONResponse(body)

    def _new_action(self, target: dict[str, Json], set_id: int, force: str, *, rollout: int = 0) -> int:
        if not self.multi:
            for old in [a for a in self.actions.values() if a["target"] == target["controllerId"] and a["active"]]:
                if old["status"] != "canceling":
                    old["status"] = "canceling"
                    self._log(old, "canceling", f"{UPDATE_SERVER}cancel obsolete action due to new update")
                    self._touch(old)
        id_, now = next(self._ids), _ms()
        self.actions[id_] = {
            "id": id_, "target": target["controllerId"], "set": set_id, "status": "running", "active": True, "forceType": force,
            "createdAt": now, "lastModifiedAt": now, "rollout": rollout, "history": [],
        }  # fmt: skip
        self._log(self.actions[id_], "running", f"{UPDATE_SERVER}Assignment initiated by user '{self.username}'")
        target |= {"assigned": set_id, "updateStatus": "pending"}
        self._touch(target)
        return id_

    # -- rollouts -----------------------------------------------------------------------------------------------------

    _ROLLOUT = {
        "id": lambda r: r["id"], "name": lambda r: r["name"], "status": lambda r: r["status"],
        "lastmodifiedat": lambda r: r["lastModifiedAt"], "createdat": lambda r: r["createdAt"],
    }  # fmt: skip

    def _rollout_view(self, row: dict[str, Json]) -> dict[str, Json]:
        own = [a for a in self.actions.values() if a["rollout"] == row["id"]]
        count = {"notstarted": 0, "scheduled": 0, "running": 0, "error": 0, "finished": 0, "cancelled": 0}
        for action in own:
            state = {"error": "error", "finished": "finished", "canceled": "cancelled"}.get(action["status"], "running")
            count[state] += 1
        count["notstarted"] = row["totalTargets"] - len(own)
        hidden = ("until", "members")
        return {**{k: v for k, v in row.items() if k not in hidden}, "totalTargetsPerStatus": count}

    async def _get_rollouts(self, request: Request) -> Response:
        rows = [one for one in self.rollouts.values() if not one["deleted"]]
        return self._page(request, rows, self._ROLLOUT, self._rollout_view, "id:asc")

    def _rollout(self, request: Request) -> dict[str, Json]:
        found = self.rollouts.get(int(request.path_params["r"]))
        if found is None or found["deleted"]:
            raise Refused(404, "repo.entitiyNotFound", "Rollout does not exist.")
        return found

    async def _get_rollout(self, request: Request) -> Response:
        return JSONResponse(self._rollout_view(self._rollout(request)))

    async def _create_rollout(self, request: Request) -> Response:
        given = await request.json()
        one = self.sets.get(given.get("distributionSetId"))
        if one is None or not (one["complete"] and one["valid"]):
            raise Refused(404 if one is None else 400, "distributionset.invalid", "distribution set can't be used")
        if any(r["name"] == given["name"] and not r["deleted"] for r in self.rollouts.values()):
            raise Refused(409, "repo.entitiyAlreayExists", "The given entity already exists in database")
        test = Query(given["targetFilterQuery"], self._TARGET).test
        members = [t["controllerId"] for t in self.targets.values() if test(t)]
        if not members:
            raise Refused(400, "repo.constraintViolation", "Rollout target filter does not match any targets")
        if given.get("groups") and given.get("amountGroups"):
            raise Refused(
                400, "repo.constraintViolation", "If 'group' is set the 'amountGroups' must not be set in the request"
            )
        id_, now = next(self._ids), _ms()
        self.rollouts[id_] = {
            "id": id_, "name": given["name"], "createdBy": self.username, "status": "creating", "distributionSetId": one["id"], "deleted": False,
            "targetFilterQuery": given["targetFilterQuery"], "totalTargets": len(members), "totalGroups": 0, "createdAt": now,
            "lastModifiedAt": now, "until": time.monotonic() + self.creating_s, "members": members,
        }  # fmt: skip
        left, amount = list(members), int(given.get("amountGroups") or 1)
        groups = given.get("groups") or [
            {"name": f"group-{i + 1}", "targetPercentage": 100 / (amount - i)} for i in range(amount)
        ]
        for group in groups:
            for name in ("successCondition", "errorCondition"):
                condition = group.get(name, {"condition": "THRESHOLD", "expression": "50"})
                if condition["condition"] != "THRESHOLD" or not condition["expression"].isdigit():
                    raise Refused(400, "repo.constraintViolation", f"{name} is not a threshold")
            if group.get("errorAction", {"action": "PAUSE"})["action"] != "PAUSE":
                raise Refused(400, "body.notReadable", "The error action is PAUSE only")
            take = max(1, -(-len(left) * int(group.get("targetPercentage", 100)) // 100))
            own, left = left[:take], left[take:]
            gid = next(self._ids)
            self.groups[gid] = {
                "id": gid,
                "rollout": id_,
                "members": own,
                "status": "creating",
                "totalTargets": len(own),
                **group,
            }
        if left:
            raise Refused(
                400,
                "repo.constraintViolation",
                "Rollout groups don't match all targets that are targeted by the rollout",
            )
        return JSONResponse(self._rollout_view(self.rollouts[id_]), 201)

    def _settle(self) -> None:
        """What the server's scheduler does between calls: groups are filled, thresholds are looked at."""
        for row in self.rollouts.values():
            groups = self._groups(row)
            if row["status"] == "creating" and time.monotonic() >= row["until"]:
                self._move(row, "waiting_for_approval" if self.approval else "ready")
                row["totalGroups"] = len(groups)
                for group in groups:
                    group["status"] = "ready"
            elif row["status"] == "starting":
                self._move(row, "running")
                for group in groups:
                    group["status"] = "scheduled"
                self._next(row)
            elif row["status"] == "running":
                self._threshold(row, groups)
            elif row["status"] == "stopping":
                self._move(row, "stopped")

    def _threshold(self, row: dict[str, Json], groups: list[dict[str, Json]]) -> None:
        for group in [g for g in groups if g["status"] == "running"]:
            own = [a for a in self.actions.values() if a["rollout"] == row["id"] and a["target"] in group["members"]]
            share = {s: 100 * sum(1 for a in own if a["status"] == s) / max(1, len(own)) for s in ("error", "finished")}
            if share["error"] > int(group.get("errorCondition", {"expression": "50"})["expression"]):
                group["status"] = "error"
                self._move(row, "paused")
            elif share["finished"] >= int(group.get("successCondition", {"expression": "50"})["expression"]):
                group["status"] = "finished"
                waiting = any(g["status"] == "scheduled" for g in groups)
                if waiting and group.get("successAction", {"action": "NEXTGROUP"})["action"] == "PAUSE":
                    self._move(row, "paused")
                elif waiting:
                    self._next(row)
        if row["status"] == "running" and all(g["status"] in ("finished", "error") for g in groups):
            self._move(row, "finished")

    def _groups(self, row: dict[str, Json]) -> list[dict[str, Json]]:
        return [g for g in self.groups.values() if g["rollout"] == row["id"]]

    def _next(self, row: dict[str, Json]) -> None:
        group = next(g for g in self._groups(row) if g["status"] == "scheduled")
        group["status"] = "running"
        for name in group["members"]:
            self._new_action(self.targets[name], row["distributionSetId"], "forced", rollout=row["id"])

    def _move(self, row: dict[str, Json], status: str) -> None:
        row["status"] = status
        self._touch(row)

    async def _get_groups(self, request: Request) -> Response:
        rows = self._groups(self._rollout(request))
        fields = {"id": lambda g: g["id"], "name": lambda g: g["name"]}
        hidden = ("members", "rollout")
        return self._page(request, rows, fields, lambda g: {k: v for k, v in g.items() if k not in hidden}, "id:asc")

    async def _get_group_targets(self, request: Request) -> Response:
        group = self.groups[int(request.path_params["g"])]
        rows = [self.targets[name] for name in group["members"]]
        return self._page(request, rows, self._TARGET, self._target_view, "createdat:asc")

    async def _call_rollout(self, request: Request) -> Response:
        row, call = self._rollout(request), request.path_params["call"]
        remark = request.query_params.get("remark", "")
        legal = {
            "start": ("ready",), "pause": ("running",), "resume": ("paused",), "triggerNextGroup": ("running",),
            "stop": ("waiting_for_approval", "ready", "starting", "running", "paused"),
            "approve": ("waiting_for_approval", "approval_denied"), "deny": ("waiting_for_approval", "approval_denied"),
        }  # fmt: skip
        if call not in legal:
            raise Refused(404, "repo.entitiyNotFound", "no such call")
        if row["status"] not in legal[call]:
            raise Refused(400, "rollout.illegalstate", f"Rollout is not in status {' '.join(legal[call])}")
        if call == "triggerNextGroup":
            if not any(g["status"] == "scheduled" for g in self._groups(row)):
                raise Refused(400, "rollout.illegalstate", "Rollout does not have any groups left to be triggered")
            self._next(row)
        elif call == "resume":
            self._move(row, "running")
            if not any(g["status"] == "running" for g in self._groups(row)) and any(
                g["status"] == "scheduled" for g in self._groups(row)
            ):
                self._next(row)
        elif call in ("approve", "deny"):
            row |= {"approvalRemark": remark, "approveDecidedBy": self.username}
            self._move(row, "ready" if call == "approve" else "approval_denied")
        else:
            self._move(row, {"start": "starting", "pause": "paused", "stop": "stopping"}[call])
        return Response(status_code=204)

    # -- lists --------------------------------------------------------------------------------------------------------

    def _page(
        self, request: Request, rows: Iterable[Any], fields: dict[str, Any], view: Callable[[Any], Any], default: str
    ) -> Response:
        given = request.query_params
        found = list(rows)
        if "q" in given:
            found = [row for row in found if Query(given["q"], fields).test(row)]
        name, _, direction = given.get("sort", default).partition(":")
        if name.lower() not in fields:
            raise Refused(400, "rest.param.invalidField", f"The given sort parameter field {{{name}}} does not exist")
        if direction.lower() not in ("asc", "desc"):
            raise Refused(
                400, "rest.param.invalidDirection", f"The given sort direction {{{direction}}} does not exist"
            )
        found.sort(key=fields[name.lower()], reverse=direction.lower() == "desc")
        limit, offset = int(given.get("limit", DEFAULT)), max(0, int(given.get("offset", 0)))
        limit = DEFAULT if limit < 1 else min(limit, MOST)
        content = [view(row) for row in found[offset : offset + limit]]
        return JSONResponse({"content": content, "total": len(found), "size": len(content)})


def _ms() -> int:
    return int(time.time() * 1000)


async def _main() -> None:
    from tests.services.contract.serving import serve

    server = HawkBitServer(creating_s=0.5)
    old = server.add_set("nav", "1.0.0")
    server.add_set("nav", "1.1.0")
    for i in range(20):
        server.add_target(f"robot-{i + 1:02d}", installed=old)
    await serve(server.app, username=server.username, password=server.password)


if __name__ == "__main__":
    asyncio.run(_main())
