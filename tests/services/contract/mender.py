"""A contract server: the management APIs of Mender Server, built strictly from its published OpenAPI documents.

This is not Mender. It was written from the documents of deployments v1 and v2, inventory v1 and v2 and user
administration v1, and from what the documentation says about the order in which a device works its deployments off. What
it gets wrong, a test against it does not find. It keeps to what is written there:

- lists have 20 rows unless told otherwise and 500 at most (the history of one device 20, the inventory 10), with `Link` and
  `X-Total-Count`;
- `devices/list` has only devices that have asked since the deployment was made, `device_list` has all;
- a deployment with the same parameters as an active one is 409, one without any artifact 422, an abort of a finished one 422;
- aborting: finished devices keep their status, waiting ones never start, those in the middle roll back by themselves;
- a device without an artifact for its type gets `noartifact`, one that has it `already-installed`: both count as finished.

    python -m tests.services.contract.mender      prints {"url": …, "token": …} and lives until SIGTERM
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

Json = Any
ENDED = ("success", "failure", "noartifact", "already-installed", "aborted", "decommissioned")
D1, D2 = "/api/management/v1/deployments", "/api/management/v2/deployments"
I1, I2 = "/api/management/v1/inventory", "/api/management/v2/inventory"


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class MenderServer:
    """The state, what devices do to it, and `app`. `writes` is what was done, by method and path."""

    def __init__(self, *, page: int = 500) -> None:
        self.token, self.username, self.password = secrets.token_hex(16), "kay@example.com", secrets.token_hex(8)
        self.most = page
        self.items: dict[str, dict[str, Json]] = {}
        self.artifacts: dict[str, list[dict[str, Json]]] = {}
        self.deployments: dict[str, dict[str, Json]] = {}
        self.writes: list[tuple[str, str, Json]] = []
        self.reads: list[str] = []
        self.app = Starlette(routes=[Route(p, self._door(f), methods=[m]) for m, p, f in self._routes()])

    # -- what is there ------------------------------------------------------------------------------------------------

    def add_device(self, serial: str, *, type: str = "amr-600", artifact: str = "") -> str:
        id_ = str(uuid.uuid4())
        self.items[id_] = {
            "id": id_, "status": "accepted", "type": type, "serial": serial, "artifact": artifact, "updated": time.time(), "tags": {},
        }  # fmt: skip
        return id_

    def add_release(self, name: str, *types: str) -> None:
        self.artifacts[name] = [
            {
                "id": str(uuid.uuid4()), "name": name, "description": "", "device_types_compatible": [each], "size": 36_891_648,
                "modified": _stamp(time.time()), "signed": False, "info": {"format": "mender", "version": 3},
                "updates": [{"type_info": {"type": "rootfs-image"}, "files": [{"name": "rootfs", "size": 36_000_000,
                             "checksum": (name + each).encode().hex().ljust(64, "0")[:64]}]}],
            }
            for each in types or ("amr-600",)
        ]  # fmt: skip

    # -- what devices do ----------------------------------------------------------------------------------------------

    def asks(self, id_: str) -> dict[str, Json] | None:
        """The device asks for its next update: its oldest deployment that it has not ended. Artifacts are chosen now."""
        device = self.items[id_]
        for one in sorted(self.deployments.values(), key=lambda d: float(d["at"])):
            if id_ not in one["devices"]:
                continue
            entry = one["entries"].get(id_)
            if entry is not None and entry["status"] in ENDED:
                continue
            if entry is None:
                if one["finished"]:
                    continue
                entry = one["entries"][id_] = {"status": "pending", "created": time.time(), "log": ""}
                if device["artifact"] == one["artifact_name"] and not one["force"]:
                    self._end(one, id_, "already-installed")
                    continue
                if device["type"] not in {
                    t for a in self.artifacts[one["artifact_name"]] for t in a["device_types_compatible"]
                }:
                    self._end(one, id_, "noartifact")
                    continue
            return dict(one)
        return None

    def says(self, id_: str, status: str, log: str = "") -> None:
        """The status of its current deployment: downloading, installing, rebooting, pause_before_…, success, failure."""
        one = self.asks(id_)
        assert one is not None, "it has no deployment"
        if log:
            one["entries"][id_]["log"] = log
        if status in ENDED:
            self._end(self.deployments[one["id"]], id_, status)
            if status == "success":
                self.items[id_]["artifact"] = one["artifact_name"]
        else:
            one["entries"][id_]["status"] = status

    def inventory(self, id_: str) -> None:
        """Its inventory update, hours after the install as a rule."""
        self.items[id_]["updated"] = time.time()
        self.items[id_]["shown"] = self.items[id_]["artifact"]

    def _end(self, one: dict[str, Json], id_: str, status: str) -> None:
        entry = one["entries"].setdefault(id_, {"created": time.time(), "log": ""})
        entry |= {"status": status, "finished": time.time()}
        if all(one["entries"].get(d, {}).get("status") in ENDED for d in one["devices"]):
            one["finished"] = time.time()

    # -- the door -----------------------------------------------------------------------------------------------------

    def _door(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def door(request: Request) -> Response:
            login = request.url.path.endswith("/auth/login")
            if not login and request.headers.get("authorization") != f"Bearer {self.token}":
                return JSONResponse({"error": "unauthorized", "request_id": "r"}, 401)
            if request.method == "GET":
                self.reads.append(request.url.path)
            elif not login and not request.url.path.endswith("/search"):
                body = await request.body()
                self.writes.append((request.method, request.url.path, json.loads(body) if body else None))
            try:
                return await handler(request)
            except Refused as error:
                return JSONResponse({"error": str(error), "request_id": "r"}, error.status)

        return door

    def _routes(self) -> Sequence[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
        return (
            ("POST", "/api/management/v1/useradm/auth/login", self._login),
            ("GET", f"{I1}/devices", self._list_devices),
            ("GET", I1 + "/devices/{id}", self._get_device),
            ("PATCH", I1 + "/devices/{id}/tags", self._tag),
            ("POST", f"{I2}/filters/search", self._search),
            ("GET", f"{D2}/deployments", self._list_deployments),
            ("GET", f"{D2}/deployments/releases", self._list_releases),
            ("GET", D2 + "/deployments/releases/{name}", self._get_release),
            ("POST", f"{D1}/deployments", self._create),
            ("DELETE", D1 + "/deployments/devices/{id}", self._abort_device),
            ("GET", D1 + "/deployments/{id}", self._get_deployment),
            ("PUT", D1 + "/deployments/{id}/status", self._abort),
            ("GET", D1 + "/deployments/{id}/device_list", self._device_list),
            ("GET", D1 + "/deployments/{id}/devices/list", self._devices_list),
            ("GET", D1 + "/deployments/{id}/devices/{device}/log", self._log),
        )

    async def _login(self, request: Request) -> Response:
        expected = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {expected}":
            raise Refused(401, "unauthorized")
        return PlainTextResponse(self.token, media_type="application/jwt")

    # -- inventory ----------------------------------------------------------------------------------------------------

    def _attributes(self, row: dict[str, Json]) -> dict[tuple[str, str], Json]:
        found = {
            ("identity", "status"): row["status"], ("identity", "serial"): row["serial"],
            ("inventory", "device_type"): row["type"], ("inventory", "artifact_name"): row.get("shown", row["artifact"]),
            ("system", "created_ts"): row["updated"],
        }  # fmt: skip
        return found | {("tags", name): value for name, value in row["tags"].items()}

    def _device_view(self, row: dict[str, Json]) -> dict[str, Json]:
        attributes = [{"scope": s, "name": n, "value": v} for (s, n), v in self._attributes(row).items()]
        return {"id": row["id"], "attributes": attributes, "updated_ts": _stamp(row["updated"])}

    def _device(self, request: Request) -> dict[str, Json]:
        found = self.items.get(unquote(request.path_params["id"]))
        if found is None:
            raise Refused(404, "device not found")
        return found

    async def _list_devices(self, request: Request) -> Response:
        return self._page(request, [self._device_view(one) for one in self.items.values()], default=10)

    async def _get_device(self, request: Request) -> Response:
        return JSONResponse(self._device_view(self._device(request)))

    async def _tag(self, request: Request) -> Response:
        self._device(request)["tags"] |= {one["name"]: one["value"] for one in await request.json()}
        return Response(status_code=200)

    async def _search(self, request: Request) -> Response:
        given = await request.json()
        rows = list(self.items.values())
        for test in given.get("filters", []):
            if test["type"] not in ("$eq", "$in", "$nin"):
                raise Refused(400, f"type: must be a valid value: {test['type']}")
            where = (test["scope"], test["attribute"])
            values = [test["value"]] if test["type"] == "$eq" else test["value"]
            rows = [r for r in rows if (self._attributes(r).get(where) in values) == (test["type"] != "$nin")]
        for by in given.get("sort", []):
            rows.sort(
                key=lambda r: str(self._attributes(r).get((by["scope"], by["attribute"]), "")),
                reverse=by["order"] == "desc",
            )
        found = [self._device_view(one) for one in rows]
        return self._page(request, found, default=10, page=given.get("page"), per_page=given.get("per_page"))

    # -- releases -----------------------------------------------------------------------------------------------------

    def _release(self, name: str) -> dict[str, Json]:
        return {
            "name": name,
            "modified": self.artifacts[name][0]["modified"],
            "artifacts": self.artifacts[name],
            "tags": [],
        }

    async def _list_releases(self, request: Request) -> Response:
        return self._page(request, [self._release(name) for name in sorted(self.artifacts)])

    async def _get_release(self, request: Request) -> Response:
        name = unquote(request.path_params["name"])
        if name not in self.artifacts:
            raise Refused(404, "release not found")
        return JSONResponse(self._release(name))

    # -- deployments --------------------------------------------------------------------------------------------------

    def _view(self, one: dict[str, Json]) -> dict[str, Json]:
        begun = any(e["status"] != "pending" for e in one["entries"].values())
        view = {
            "id": one["id"], "name": one["name"], "artifact_name": one["artifact_name"], "created": _stamp(one["at"]),
            "status": "finished" if one["finished"] else "inprogress" if begun else "pending",
            "device_count": len(one["devices"]), "type": "software", "artifacts": [], "groups": [],
        }  # fmt: skip
        return view | ({"finished": _stamp(one["finished"])} if one["finished"] else {})

    async def _list_deployments(self, request: Request) -> Response:
        given = request.query_params
        rows = sorted(
            self.deployments.values(), key=lambda d: float(d["at"]), reverse=given.get("sort", "desc") == "desc"
        )
        names, status = given.getlist("name"), given.get("status")
        found = [self._view(one) for one in rows if not names or one["name"] in names]
        return self._page(request, [one for one in found if not status or one["status"] == status])

    async def _create(self, request: Request) -> Response:
        given = await request.json()
        for name in ("name", "artifact_name"):
            if not given.get(name):
                raise Refused(400, f"{name}: cannot be blank.")
        if not given.get("devices") and not given.get("all_devices"):
            raise Refused(400, "Invalid deployments definition: provide list of devices or set all_devices flag")
        devices = given.get("devices") or list(self.items)
        if given["artifact_name"] not in self.artifacts:
            raise Refused(422, "No artifact for the deployment")
        same = (given["name"], given["artifact_name"], sorted(devices))
        for one in self.deployments.values():
            if not one["finished"] and (one["name"], one["artifact_name"], sorted(one["devices"])) == same:
                raise Refused(409, "Active deployment with the same parameters already exists")
        id_ = str(uuid.uuid4())
        self.deployments[id_] = {
            "id": id_, "name": given["name"], "artifact_name": given["artifact_name"], "devices": devices, "at": time.time(),
            "finished": None, "force": given.get("force_installation", False), "entries": {},
        }  # fmt: skip
        return Response(status_code=201, headers={"location": f"./management/v1/deployments/deployments/{id_}"})

    def _deployment(self, request: Request) -> dict[str, Json]:
        found = self.deployments.get(request.path_params["id"])
        if found is None:
            raise Refused(404, "Deployment not found")
        return found

    async def _get_deployment(self, request: Request) -> Response:
        return JSONResponse(self._view(self._deployment(request)))

    async def _abort(self, request: Request) -> Response:
        one = self._deployment(request)
        if (await request.json()).get("status") != "aborted":
            raise Refused(400, "Unexpected deployment status")
        if one["finished"]:
            raise Refused(422, "Deployment already finished")
        for device in one["devices"]:
            if one["entries"].get(device, {}).get("status") not in ENDED:
                self._end(one, device, "aborted")
        one["finished"] = time.time()
        return Response(status_code=204)

    async def _abort_device(self, request: Request) -> Response:
        device = unquote(request.path_params["id"])
        for one in self.deployments.values():
            active = one["entries"].get(device, {}).get("status") not in ENDED
            if device in one["devices"] and not one["finished"] and active:
                self._end(one, device, "aborted")
        return Response(status_code=204)

    async def _device_list(self, request: Request) -> Response:
        return JSONResponse(self._deployment(request)["devices"])

    async def _devices_list(self, request: Request) -> Response:
        one = self._deployment(request)
        found = []
        for id_, entry in one["entries"].items():
            view = {
                "id": id_,
                "status": entry["status"],
                "created": _stamp(entry["created"]),
                "log": bool(entry["log"]),
            }
            found.append(view | ({"finished": _stamp(entry["finished"])} if "finished" in entry else {}))
        return self._page(request, found)

    async def _log(self, request: Request) -> Response:
        entry = self._deployment(request)["entries"].get(unquote(request.path_params["device"]))
        if not entry or not entry["log"]:
            raise Refused(404, "Deployment log not found")
        return PlainTextResponse(entry["log"])

    # -- lists --------------------------------------------------------------------------------------------------------

    def _page(
        self,
        request: Request,
        rows: list[Json],
        *,
        default: int = 20,
        page: int | None = None,
        per_page: int | None = None,
    ) -> Response:
        page = page or int(request.query_params.get("page", 1))
        per_page = per_page or int(request.query_params.get("per_page", default))
        if page < 1 or per_page < 1:
            raise Refused(400, "page, per_page: must be positive")
        per_page = min(per_page, self.most)
        content = rows[(page - 1) * per_page : page * per_page]
        path = request.url.path
        links = [f'<{path}?page=1&per_page={per_page}>;rel="first"']
        if page > 1:
            links.append(f'<{path}?page={page - 1}&per_page={per_page}>;rel="prev"')
        if page * per_page < len(rows):
            links.append(f'<{path}?page={page + 1}&per_page={per_page}>;rel="next"')
        return JSONResponse(content, headers={"link": ", ".join(links), "x-total-count": str(len(rows))})


def _stamp(at: float) -> str:
    return (
        datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "123Z")
    )


async def _main() -> None:
    from tests.services.contract.serving import serve

    server = MenderServer()
    for version in ("1.0.0", "1.1.0"):
        server.add_release(version)
    for i in range(20):
        server.add_device(f"S-{i:05d}", artifact="1.0.0")
    await serve(server.app, token=server.token)


if __name__ == "__main__":
    asyncio.run(_main())
