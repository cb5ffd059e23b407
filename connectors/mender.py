"""Mender (update server), driven robot by robot. Written against the management APIs of Mender Server (deployments v1 and
v2, inventory v1 and v2).

What the server does, and what follows:

- A deployment is the only kind of order. Each call here makes one for exactly the robots it is for, never for a group or a
  filter: those keep taking in robots that join later.
- A robot works its deployments off oldest first. One that has not begun is aborted for that robot before it gets another.
- `devices/list` of a deployment has only robots that have asked since; `device_list` has all. A robot in the second and not
  in the first has not begun.
- Aborting one that has begun makes the robot roll itself back and nobody is told why: what has begun is left alone.
- Nothing says that two deployments are the same, except their name: it carries the step's key, and is looked for before a
  second one is made. 409 means that the very same one is active.
- `noartifact` counts as a success there; here it is a failure, because the robot did not get what it was to get.
- An inventory comes hours later than an install: a success that is newer than it says what the robot runs.
- A list is read by its own `next` links: a page may have fewer rows than were asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.http import Bearer, HttpClient, NoneType
from connectors.mender_login import Login
from connectors.mender_reading import DEPLOYMENTS, DEPLOYMENTS_2, INVENTORY, WITHDRAWN, MenderReading, path_part
from connectors.mender_rows import ACTIVE, BEGUN, FAILED, Deployment, Naming, ReleaseRow, Standing
from connectors.remote_text import clean
from connectors.settings import FIELDS, SECRETS, client
from engine.capabilities.ports import ActionError, Clock, InDoubt, Json, Param


class Mender(MenderReading):
    """Implements the port Updates."""

    server = "Mender"
    traits: dict[str, str] = {
        "pause": "there is no pause: orders that have not begun are aborted robot by robot; phases by time or size are not used",
        "stop": "an install that has begun is left to finish: an abort would make the robot roll itself back behind everybody's back",
        "targets": "a deployment to a group's filter never ends and takes in robots that join later: only fixed lists are used",
        "failure rule": "no rule stops a deployment when robots fail: that is decided here",
        "gate": "no approval: it is asked for here",
        "roll back": "going back is a deployment of the older release: one that was deleted there can't be gone back to",
        "health": "robots are only looked at by scripts of their own on the device",
        "already installed": "a robot that has the artifact counts as done without being touched; one for which there is no artifact counts as a success there and as a failure here",
        "latency": "a robot hears of anything with its next poll, half an hour by default",
        "order": "a robot works its deployments off oldest first; configuration deployments are aborted together with software",
        "reported": "the version is the artifact's name in the robot's inventory, as old as its last inventory update",
    }

    def __init__(self, http: HttpClient, clock: Clock, naming: Naming | None = None) -> None:
        super().__init__(http, clock, naming)
        self._writing = asyncio.Lock()

    # -- writing ------------------------------------------------------------------------------------------------------

    async def assign(self, robots: Sequence[str], version: str, *, key: str) -> Sequence[str]:
        async with self._writing:
            artifact = self._naming.artifact_of(version)
            models = await self._release(artifact)
            found = await self._known(robots)
            for one in found.values():
                if models and one.device_type and one.device_type not in models:
                    names = ", ".join(clean(m, 40) for m in sorted(models)[:4])
                    raise _refusal(
                        "NotCompatible",
                        f"{clean(version, 60)} is for {names}, not for {clean(one.device_type, 40)} ({clean(one.robot, 40)})",
                        {"robot": one.robot},
                    )
            send = [one for one in found.values() if self._needs(one, artifact)]
            for one in send:
                if one.waiting:
                    await self._abort(one.device)
            doubt = await self._deploy(artifact, send, key, "")
            after = await self._standings(robots)
            have = [n for n in dict.fromkeys(robots) if n in after and after[n].wanted == artifact]
            if doubt is not None and len(have) < len(found):
                raise doubt
            return have

    @staticmethod
    def _needs(one: Standing, artifact: str) -> bool:
        last = one.last
        if last is None or last.status == "aborted":
            return one.runs != artifact
        if last.deployment.artifact_name != artifact:
            return True
        if last.status in FAILED:
            return one.withdrawn == last.deployment.id  # else it waits for a retry
        return last.status not in ACTIVE and one.runs != artifact

    async def withdraw(self, robots: Sequence[str], *, key: str) -> Sequence[str]:
        async with self._writing:
            found = await self._known(robots)
            for one in found.values():
                if one.waiting:
                    await self._abort(one.device)
                elif one.failed is not None:
                    await self._tag(one.device, one.failed.deployment.id)
            after = await self._standings(robots)
            return [n for n in dict.fromkeys(robots) if n in after and after[n].still]

    async def retry(self, robots: Sequence[str], *, key: str) -> None:
        """Once for each robot that failed: a failure of the retry that this key made is not retried by it."""
        async with self._writing:
            found = await self._known(robots)
            groups: dict[str, list[Standing]] = {}
            for one in found.values():
                if one.failed is not None and not one.failed.deployment.name.endswith(f"retry:{_mark(key)}"):
                    groups.setdefault(one.failed.deployment.artifact_name, []).append(one)
            doubt = None
            for artifact, group in groups.items():
                doubt = await self._deploy(artifact, group, key, "retry") or doubt
            if doubt is not None:
                after = await self._standings([one.robot for group in groups.values() for one in group])
                if any(one.failed is not None for one in after.values()):
                    raise doubt

    async def _release(self, artifact: str) -> set[str]:
        """The device types it is made for. Raises NoSuchRelease."""
        try:
            found = await self._http.get(f"{DEPLOYMENTS_2}/deployments/releases/{path_part(artifact)}", ReleaseRow)
        except ActionError as error:
            if error.error != "NotFound":
                raise
            raise _refusal("NoSuchRelease", f"Mender has no release {clean(artifact, 60)!r}") from error
        return {model for each in found.artifacts for model in each.device_types_compatible}

    async def _known(self, robots: Sequence[str]) -> dict[str, Standing]:
        """Raises NoSuchRobot before anything is sent."""
        found = await self._standings(robots)
        missing = [name for name in dict.fromkeys(robots) if name not in found]
        if missing:
            more = f" and {len(missing) - 5} more" if missing[5:] else ""
            names = ", ".join(clean(name, 40) for name in missing[:5])
            raise _refusal("NoSuchRobot", f"Mender does not know {names}{more}", {"robots": missing[:100]})
        return {name: found[name] for name in dict.fromkeys(robots)}

    async def _deploy(self, artifact: str, robots: Sequence[Standing], key: str, what: str) -> InDoubt | None:
        """One deployment for these robots, found by its name if it is there already."""
        if not robots:
            return None
        devices = sorted(one.device for one in robots)
        # one key may tell several groups of robots in turn; a retry is known by its key alone
        inside = "" if what else hashlib.sha256("\n".join(devices).encode()).hexdigest()[:8]
        name = f"quarterdeck {artifact[:60]} {what}:{_mark(key)}{inside}"
        if await self._named(name, devices):
            return None
        body = {"name": name, "artifact_name": artifact, "devices": devices}
        try:
            await self._http.send("POST", f"{DEPLOYMENTS}/deployments", NoneType, json=body, safe=False)
        except InDoubt as error:
            return None if await self._named(name, devices) else error
        except ActionError as error:
            if _status(error) == 422:
                raise _refusal("NoSuchRelease", f"Mender has no artifact for {clean(artifact, 60)!r}") from error
            if error.error != "Conflict":
                raise
        return None

    async def _named(self, name: str, devices: Sequence[str]) -> bool:
        """Whether a deployment of this name is under way for all these devices. One that was aborted since does not count:
        what was called back may be ordered again."""
        found = await self._http.get(f"{DEPLOYMENTS_2}/deployments", list[Deployment], params={"name": name})
        for one in found:
            if one.name == name and one.status != "finished":
                inside = await self._http.get(f"{DEPLOYMENTS}/deployments/{path_part(one.id)}/device_list", list[str])
                if set(devices) <= set(inside):
                    return True
        return False

    async def _abort(self, device: str) -> None:
        """Everything it has not finished, for this device alone. Twice is once."""
        await self._http.send("DELETE", f"{DEPLOYMENTS}/deployments/devices/{path_part(device)}", NoneType, safe=True)

    async def _tag(self, device: str, deployment: str) -> None:
        body = [{"name": WITHDRAWN, "value": deployment}]
        await self._http.send("PATCH", f"{INVENTORY}/devices/{path_part(device)}/tags", NoneType, json=body, safe=True)

    # -- whole deployments --------------------------------------------------------------------------------------------

    async def split(self, id: str) -> tuple[int, int, int]:
        """What aborting a deployment leaves: (done and staying, in progress and rolling back, never starting)."""
        one = await self._http.get(f"{DEPLOYMENTS}/deployments/{path_part(id)}", Deployment)
        inside = await self._members(one)
        running = sum(1 for each in inside.values() if each.status in BEGUN)
        waiting = sum(1 for each in inside.values() if each.status == "pending")
        return len(inside) - running - waiting, running, waiting

    async def abort_deployment(self, id: str) -> None:
        """Ends a whole deployment. One that has ended stays as it is."""
        try:
            await self._http.send(
                "PUT",
                f"{DEPLOYMENTS}/deployments/{path_part(id)}/status",
                NoneType,
                json={"status": "aborted"},
                safe=True,
            )
        except ActionError as error:
            one = await self._http.get(f"{DEPLOYMENTS}/deployments/{path_part(id)}", Deployment)
            if _status(error) != 422 or one.status != "finished":
                raise


def _refusal(error: str, message: str, detail: Json = None) -> ActionError:
    return ActionError(error, message, kind="validation", retryable=False, detail=detail)


def _status(error: ActionError) -> int:
    return int(error.detail.get("status", 0)) if isinstance(error.detail, dict) else 0


def _mark(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


class MenderConnector:
    """Settings: `url`, `secret` (keyring entry: a personal access token, or the password of `username`)."""

    kind = "mender"
    title = "Mender"
    docs = (
        "management APIs of Mender Server: deployments v1 and v2, inventory v1 and v2, user administration v1; the server "
        "can't be had here, so it is tested against a contract server built from those documents, not against Mender itself"
    )
    capabilities = ("updates",)
    needs: tuple[str, ...] = ()
    fields: dict[str, Param] = {
        **FIELDS,
        "url": Param(type="string", description="base URL, e.g. https://hosted.mender.io"),
        "secret": Param(type="string", description="name of the keyring entry"),
        "username": Param(type="string", required=False, description="user of the login; absent: secret is a token"),
        "robot": Param(
            type="string", required=False, description="attribute that names the robot, as scope/name (the device's id)"
        ),
        "artifact": Param(
            type="string", required=False, description="how releases are called, e.g. nav-{version} ({version})"
        ),
    }
    secrets = SECRETS

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        naming = Naming.read(str(config.get("robot", "")), str(config.get("artifact", "{version}")))
        http = client(config, secret, name="Mender")
        name, username = str(config["secret"]), str(config.get("username", ""))
        http.use(Login(http, username, lambda: secret(name)) if username else Bearer(lambda: secret(name)))
        return {"updates": Mender(http, clock, naming)}


connector = MenderConnector()
__all__ = ["Mender", "MenderConnector", "connector"]
