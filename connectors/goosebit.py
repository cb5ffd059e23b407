"""gooseBit (OTA update server), driven robot by robot.

The server's own rollouts are never used: pausing one makes an older one the target, which downgrades robots, and its
counters lose updates. This connector assigns one software to each robot, and every fact it reports is read from the
robots' own records. Written against 0.2.12.

What the server does, and what follows:

- `PATCH /devices` with one unknown id answers 500 after it changed the ids before it. Ids are checked against the list
  first, sent in one order by one caller at a time, and read back.
- An unknown software id answers success and leaves the device assigned to nothing. Only ids just read are sent, and the
  assignment is read back.
- A device in Error is skipped until `force_update` is set. A new target for such a device sets it in the same call; a
  target that already stands does not (that would be a retry nobody asked for).
- `assigned_software` of the device list is the *effective* target; `sw_version` becomes what the server believes after
  a success, so the robot's own report (metrics) outranks it.
- Changing the target of a device that is already running makes it come back afterwards. `withdraw` leaves those alone.
- `last_seen` is an age in seconds of the server's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from connectors.http import Bearer, HttpClient
from connectors.listing import listed
from connectors.remote_text import clean
from engine.capabilities.ports import ActionError, Clock, InDoubt, InstallReport, Json, Param, Release
from engine.capabilities.systems.ports import Feed, Pulled, RemoteObject, Right

BATCH = 25
ERROR_WORDS = ("fail", "error", "refus", "denied", "no space", "not ", "could", "abort", "timeout", "mismatch")


class Hardware(Struct, frozen=True):
    model: str = ""
    revision: str = ""


class Software(Struct, frozen=True):
    id: int
    version: str
    size: int = 0
    hash: str = ""
    name: str = ""
    compatibility: list[Hardware] = field(default_factory=list)


class Device(Struct, frozen=True):
    """A row of `GET /api/v1/devices`."""

    id: str
    sw_version: str | None = None
    assigned_software: Software | None = None
    hardware: Hardware | None = None
    progress: int | None = None
    last_state: str = "None"
    update_mode: str = "None"
    force_update: bool = False
    last_seen: float | None = None
    poll_seconds: float | None = None
    name: str | None = None
    feed: str | None = None


class _Devices(Struct):
    devices: list[Device]


class _AllSoftware(Struct):
    software: list[Software]


class _Rollout(Struct):
    id: int
    name: str | None = None
    feed: str | None = None
    software: Software | None = None
    paused: bool = False
    created_at: int = 0


class _Rollouts(Struct):
    rollouts: list[_Rollout] = field(default_factory=list)


class _Log(Struct):
    log: str | None = None
    progress: int | None = None


class _Token(Struct):
    access_token: str


class _Done(Struct):
    success: bool


class _Info(Struct):
    title: str = ""
    version: str = ""


class _OpenApi(Struct):
    info: _Info = field(default_factory=_Info)


class Login:
    """The form login: user name from the settings, password from the keyring, token kept in memory only."""

    def __init__(self, http: HttpClient, username: str, secret: Callable[[], str]) -> None:
        self._http, self._username, self._secret, self._token = http, username, secret, ""
        self._lock = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        async with self._lock:
            if not self._token:
                password = await asyncio.to_thread(self._secret)
                found = await self._http.send(
                    "POST",
                    "/login",
                    _Token,
                    form={"username": self._username, "password": password},
                    safe=True,
                    reads=True,
                    authenticated=False,
                )
                self._token = found.access_token
        return {"authorization": f"Bearer {self._token}"}

    async def rejected(self) -> bool:
        self._token = ""
        return True


class GooseBit:
    """Implements the port Updates; `devices` is the raw list for the fleet. Mirrors devices, software and rollouts: what
    moves by itself at every poll (when a robot was seen, how far its install is) is no difference.
    """

    feeds = (
        Feed(kind="device", title="devices", every_s=60.0, full_every_s=0.0, stale_s=300.0),
        Feed(kind="software", title="software", every_s=300.0, full_every_s=0.0, stale_s=1200.0),
        Feed(kind="rollout", title="rollouts", every_s=120.0, full_every_s=0.0, stale_s=600.0),
    )
    server = "gooseBit"
    traits: dict[str, str] = {
        "pause": "the server's pause downgrades robots to an older live rollout: it is never used; assignments are withdrawn robot by robot",
        "stop": "an install that has begun cannot be stopped; it ends on the new version or fails by itself",
        "counters": "the server's rollout counters lose updates: robots are counted one by one",
        "history": "only the log of a robot's last install is kept",
        "targets": "its rollouts take in every robot of a feed, also those that join later: only single robots are assigned",
        "failure rule": "no rule stops a rollout when robots fail: that is decided here",
        "gate": "no groups, stages or approvals: they are kept here",
        "health": "it does not look at robots after the install: that is done here",
        "roll back": "going back is an order like any other; a robot in error has to be forced to take it",
        "reported": "the version is what the server believes after a success; the robot's own report outranks it",
        "retry": "a robot whose install failed is skipped by the server until it is retried",
    }

    def __init__(self, http: HttpClient, clock: Clock) -> None:
        self._http, self._clock = http, clock
        self._writing = asyncio.Lock()  # two writers to one device would overwrite each other's fields

    async def close(self) -> None:
        await self._http.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    async def devices(self) -> list[Device]:
        try:
            return (await self._http.get("/api/v1/devices", _Devices)).devices
        except ActionError as error:
            if error.error == "ServerError":
                raise ActionError(
                    "DeviceListBroken",
                    f"{error.message}. gooseBit answers so for good when two robots registered the same new hardware at "
                    "once (duplicate hardware rows): its administrator has to merge them and restart it",
                    kind="unavailable",
                    detail=error.detail,
                ) from error
            raise

    async def releases(self) -> Sequence[Release]:
        return [
            Release(
                id=str(s.id),
                version=clean(s.version, 64),
                digest=f"sha1:{s.hash}",
                size_b=s.size,
                models=tuple(clean(f"{h.model}/{h.revision}", 64) for h in s.compatibility),
                name=clean(s.name, 120),
            )
            for s in await self._software()
        ]

    async def _software(self) -> list[Software]:
        return (await self._http.get("/api/v1/software", _AllSoftware)).software

    async def reports(self, robots: Sequence[str] | None = None) -> Sequence[InstallReport]:
        now, wanted = self._clock.now(), None if robots is None else set(robots)
        return [_report(d, now) for d in await self.devices() if wanted is None or d.id in wanted]

    async def first_error(self, robot: str) -> str:
        """The first line of the robot's log that reads like an error, else its last line."""
        found = await self._http.get(f"/api/v1/devices/{_path(robot)}/log", _Log)
        lines = [line for line in (found.log or "")[:200_000].splitlines() if line.strip()]
        for line in lines:
            if any(word in line.lower() for word in ERROR_WORDS):
                return clean(line, 200)
        return clean(lines[-1], 200) if lines else ""

    async def check(self) -> str:
        await self._http.get("/api/v1/software", _AllSoftware)  # proves the credentials, which the description does not
        info = (await self._http.get("/openapi.json", _OpenApi)).info
        return f"{clean(info.title or 'gooseBit', 40)} {clean(info.version, 40)}".strip()

    async def rights(self) -> Sequence[Right]:
        """What can be found out by reading; writing is not tried."""
        found = []
        for name, path, why in (
            ("goosebit.device.read", "/api/v1/devices", "seeing the fleet"),
            ("goosebit.software.read", "/api/v1/software", "knowing releases"),
            ("goosebit.rollout.read", "/api/v1/rollouts", "mirroring rollouts"),
        ):
            try:
                await self._http.get(path, msgspec.Raw)
                found.append(Right(name=name, has=True, needed_for=why))
            except ActionError as error:
                if error.kind not in ("authorization", "authentication"):
                    raise
                found.append(Right(name=name, has=False, needed_for=why))
        return (*found, Right(name="goosebit.device.write", has=None, needed_for="assigning, withdrawing, retrying"))

    async def pull(self, feed: str, cursor: str) -> Pulled:
        """Implements Source: the server lists everything, and tells no versions and no times."""
        if feed == "device":
            return listed([_mirrored(d) for d in await self.devices()], cursor)
        if feed == "software":
            return listed([_mirrored_software(s) for s in await self._software()], cursor)
        found = (await self._http.get("/api/v1/rollouts", _Rollouts)).rollouts
        return listed([_mirrored_rollout(r) for r in found], cursor)

    # -- writing ------------------------------------------------------------------------------------------------------

    async def assign(self, robots: Sequence[str], version: str, *, key: str) -> Sequence[str]:
        async with self._writing:
            found = await self._known(robots)
            software = [s for s in await self._software() if s.version == version]
            if not software:
                raise _refusal("NoSuchRelease", f"the update server has no software {version!r}")
            calls: dict[tuple[int, bool], list[str]] = {}
            for robot in dict.fromkeys(robots):
                device, choice = found[robot], _fitting(found[robot], software)
                if device.assigned_software is not None and device.assigned_software.id == choice.id:
                    continue
                again = device.last_state == "Error" and device.sw_version != version
                calls.setdefault((choice.id, again), []).append(robot)
            doubt = await self._patch_all(
                (ids, {"software": str(software_id), **({"force_update": True} if again else {})})
                for (software_id, again), ids in calls.items()
            )
            after = {d.id: d for d in await self.devices()}
            have = [r for r in dict.fromkeys(robots) if (d := after.get(r)) and _target(d) == version]
            if doubt is not None and len(have) < len(set(robots)):
                raise doubt
            return have

    async def withdraw(self, robots: Sequence[str], *, key: str) -> Sequence[str]:
        async with self._writing:
            found = await self._known(robots)
            software = await self._software()
            calls: dict[str, list[str]] = {}
            for robot in dict.fromkeys(robots):
                device = found[robot]
                if device.last_state == "Running" or _still(device):
                    continue
                own = [s for s in software if s.version == device.sw_version]
                try:
                    calls.setdefault(str(_fitting(device, own).id) if own else "", []).append(robot)
                except ActionError:
                    calls.setdefault("", []).append(robot)
            doubt = await self._patch_all(
                (ids, {"software": software_id} if software_id else {"pinned": True})
                for software_id, ids in calls.items()
            )
            after = {d.id: d for d in await self.devices()}
            # began between reading and writing: it will finish on the new version, and must not be sent back by this
            late = [r for ids in calls.values() for r in ids if (d := after.get(r)) and d.last_state == "Running"]
            for robot in late:
                before = found[robot].assigned_software
                if before is not None:
                    await self._patch([robot], {"software": str(before.id)})
            still = [
                r for r in dict.fromkeys(robots) if (d := after.get(r)) and _still(d) and d.last_state != "Running"
            ]
            if doubt is not None and len(still) + len(late) < len(set(robots)):
                raise doubt
            return still

    async def retry(self, robots: Sequence[str], *, key: str) -> None:
        """Once for each robot that failed; a robot that is not in Error is left alone (it would install again)."""
        async with self._writing:
            found = await self._known(robots)
            failed = [r for r in dict.fromkeys(robots) if found[r].last_state == "Error" and not found[r].force_update]
            doubt = await self._patch_all([(failed, {"force_update": True})] if failed else [])
            if doubt is None:
                return
            after = {d.id: d for d in await self.devices()}
            if any(after[r].last_state == "Error" and not after[r].force_update for r in failed if r in after):
                raise doubt

    async def _known(self, robots: Sequence[str]) -> dict[str, Device]:
        """The records of `robots`. Raises NoSuchRobot before anything is sent: an unknown id would half-apply a call."""
        found = {d.id: d for d in await self.devices()}
        missing = [r for r in robots if r not in found]
        if missing:
            names = ", ".join(clean(r, 40) for r in missing[:5]) + (
                f" and {len(missing) - 5} more" if missing[5:] else ""
            )
            raise _refusal("NoSuchRobot", f"the update server does not know {names}", {"robots": missing[:100]})
        return found

    async def _patch_all(self, calls: Any) -> InDoubt | None:
        """Sends batch by batch. A batch in doubt is kept for after the read-back; the rest is still sent."""
        doubt: InDoubt | None = None
        for ids, change in calls:
            for at in range(0, len(ids), BATCH):
                try:
                    await self._patch(ids[at : at + BATCH], change)
                except InDoubt as error:
                    doubt = error
        return doubt

    async def _patch(self, ids: list[str], change: dict[str, Json]) -> None:
        answer = await self._http.send("PATCH", "/api/v1/devices", _Done, json={"devices": ids, **change}, safe=False)
        if not answer.success:
            raise ActionError(
                "Refused", f"the update server did not accept a change of {len(ids)} robots", kind="validation"
            )


def _refusal(error: str, message: str, detail: Json = None) -> ActionError:
    return ActionError(error, message, kind="validation", retryable=False, detail=detail)


def _path(robot: str) -> str:
    """A robot's id inside a path: an id with a slash or a query must not reach another resource."""
    from urllib.parse import quote

    return quote(robot, safe="")


def _fitting(device: Device, candidates: Sequence[Software]) -> Software:
    """The software made for the device's hardware; several hold one version when boards differ."""
    hardware = device.hardware or Hardware()
    for each in candidates:
        if any(h.model == hardware.model and h.revision == hardware.revision for h in each.compatibility):
            return each
    board = clean(f"{hardware.model}/{hardware.revision}", 60)
    raise _refusal(
        "NotCompatible", f"no such software is made for {board} ({clean(device.id, 40)})", {"robot": device.id}
    )


def _target(device: Device) -> str:
    return device.assigned_software.version if device.assigned_software else ""


def _still(device: Device) -> bool:
    """Nothing will be installed at the next poll."""
    return not device.force_update and (device.assigned_software is None or _target(device) == device.sw_version)


def _mirrored(device: Device) -> RemoteObject:
    hardware = device.hardware or Hardware()
    return RemoteObject(
        id=clean(device.id, 120),
        name=clean(device.name or "", 120),
        state=clean(device.last_state, 40),
        data={
            "reported": clean(device.sw_version or "", 64),
            "desired": clean(_target(device), 64),
            "model": clean(hardware.model, 64),
            "revision": clean(hardware.revision, 64),
            "feed": clean(device.feed or "", 64),
            "mode": clean(device.update_mode, 40),
        },
    )


def _mirrored_software(software: Software) -> RemoteObject:
    made_for = sorted(clean(f"{h.model}/{h.revision}", 64) for h in software.compatibility)
    return RemoteObject(
        id=str(software.id),
        name=clean(software.name, 120),
        state="released",
        data={
            "version": clean(software.version, 64), "digest": f"sha1:{clean(software.hash, 64)}", "size_b": software.size,
            "models": made_for,
        },
    )  # fmt: skip


def _mirrored_rollout(rollout: _Rollout) -> RemoteObject:
    return RemoteObject(
        id=str(rollout.id),
        name=clean(rollout.name or "", 120),
        state="paused" if rollout.paused else "live",
        data={
            "feed": clean(rollout.feed or "", 64),
            "version": clean(rollout.software.version, 64) if rollout.software else "",
            "created_at": rollout.created_at / 1000,
        },
    )


def _report(device: Device, now: float) -> InstallReport:
    desired, reported, progress = _target(device), device.sw_version or "", device.progress or 0
    error = ""
    if device.last_state == "Running":
        state = "downloading" if progress < 100 else "installing"
    elif not desired or (desired == reported and not device.force_update):
        state = "done" if desired and device.last_state == "Finished" else "idle"
    elif device.last_state == "Error" and not device.force_update:
        state, error = "failed", "the last install failed; the server skips this robot until it is retried"
    else:
        state = "assigned"
    return InstallReport(
        robot=device.id,
        state=state,
        desired=clean(desired, 64),
        reported=clean(reported, 64),
        progress=max(0, min(100, progress))
        if state in ("downloading", "installing")
        else 100
        if state == "done"
        else 0,
        last_seen_at=now - device.last_seen if device.last_seen is not None else 0.0,
        error=error,
    )


class GooseBitConnector:
    """Settings: `url`, `secret` (keyring entry: the password, or a bearer token when no user name is set)."""

    kind = "goosebit"
    title = "gooseBit"
    docs = "the JSON interface of gooseBit 0.2.12; tested against the real server"
    capabilities = ("updates",)
    needs: tuple[str, ...] = ()
    fields: dict[str, Param] = {
        "url": Param(type="string", description="base URL, e.g. https://updates.example.com"),
        "secret": Param(type="string", description="name of the keyring entry"),
        "username": Param(
            type="string", required=False, description="user of the form login; absent: secret is a token"
        ),
        "ca": Param(type="string", required=False, description="file of certificate authorities to trust"),
        "allow_plaintext": Param(type="boolean", required=False, description="http to another machine"),
        "timeout_s": Param(type="number", required=False, description="seconds one call may take (20)"),
    }

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        http = HttpClient(
            str(config["url"]),
            name="gooseBit",
            ca=str(config.get("ca", "")),
            allow_plaintext=config.get("allow_plaintext") is True,
            timeout_s=float(config.get("timeout_s", 20.0)),
        )
        name, username = str(config["secret"]), str(config.get("username", ""))
        http.use(Login(http, username, lambda: secret(name)) if username else Bearer(lambda: secret(name)))
        return {"updates": GooseBit(http, clock)}


connector = GooseBitConnector()
__all__ = ["Device", "GooseBit", "GooseBitConnector", "Hardware", "Login", "Software", "connector"]
