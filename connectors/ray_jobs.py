"""Ray Jobs: trainings as jobs of a Ray cluster. Written against 2.60.0.

Ray runs our supervisor, and the supervisor runs the program: it keeps the budget, hashes checkpoints and writes the status
into a folder that the engine and the cluster both see (`workspace`, as Ray's own trainings want one). So a job's fate does
not depend on the engine, and Ray is only asked whether the supervisor still lives.

What Ray does, and what follows:

- A `submission_id` that is taken answers 500 with a traceback. Ours is made of the step's key and the attempt; after any
  500 or lost answer the job is read by its id before anything else.
- A missing job is 404 in plain text. Jobs are forgotten with the head node: a job Ray no longer knows whose status still
  changes is running, one whose status stands still was taken back and goes on from its newest checkpoint.
- Its log comes whole each time: the supervisor's own file is read in pieces instead, Ray's only when there is no other.
- Its dashboard knows no users: whoever reaches it runs anything. A proxy in front may want a bearer token.
"""

from __future__ import annotations

import asyncio
import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from connectors.credentials import Bearer
from connectors.http import HttpClient
from connectors.job_folder import JobFolders, Told
from connectors.remote_text import clean
from connectors.settings import FIELDS, SECRETS, client
from engine.capabilities.data.training import Spec, Status
from engine.capabilities.ports import ActionError, Clock, InDoubt, Json, Param
from engine.capabilities.systems.ports import Feed, Pulled, RemoteObject, Right

PENDING, RUNNING = ("PENDING",), ("RUNNING",)
ENDED = ("STOPPED", "SUCCEEDED", "FAILED")
TAKEN_BACK = ("JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE")
"""Ray's words for a job whose machine went away, not its program."""
STANDS_STILL_S = 2.0
"""A supervisor writes its status five times a second: one that does not change for so long is not there."""
_RESOURCES = ("entrypoint_num_cpus", "entrypoint_num_gpus", "entrypoint_memory", "entrypoint_resources")


class Job(Struct):
    """A row of `GET /api/jobs/`."""

    status: str
    submission_id: str | None = ""
    job_id: str | None = ""
    entrypoint: str | None = ""
    message: str | None = ""
    error_type: str | None = ""
    start_time: int | None = 0
    end_time: int | None = 0
    metadata: dict[str, Any] | None = field(default_factory=dict)
    driver_exit_code: int | None = None


class _Submitted(Struct):
    submission_id: str = ""


class _Stopped(Struct):
    stopped: bool = False


class _Logs(Struct):
    logs: str | None = ""


class _Version(Struct):
    ray_version: str = ""


class RayTraining:
    """Implements the port Training; a Source of `job`."""

    traits: dict[str, str] = {
        "pool": "a Ray cluster; a pool's name chooses what a job asks of it (cores, GPUs, memory)",
        "preemption": "a checkpoint is saved, then it goes on; a machine that is lost costs what came after the last checkpoint",
        "isolation": "jobs run as the cluster's own user",
        "workspace": "data and checkpoints pass through a folder that both sides have mounted",
    }
    feeds = (Feed(kind="job", title="training jobs", every_s=30.0, full_every_s=0.0, stale_s=180.0),)

    def __init__(
        self,
        http: HttpClient,
        folders: JobFolders,
        *,
        python: str = "python3",
        pools: Mapping[str, Mapping[str, Json]] | None = None,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._http, self._folders, self._python = http, folders, python
        self._pools, self._sleep = dict(pools or {}), sleep
        self._starting = asyncio.Lock()

    async def close(self) -> None:
        await self._http.close()

    async def check(self) -> str:
        found = await self._http.get("/api/version", _Version)
        free = await asyncio.to_thread(self._folders.check)
        return f"Ray {clean(found.ray_version, 40)}, {free}"

    async def rights(self) -> Sequence[Right]:
        """Ray has no users: whoever may read may run. What is looked at is the folder both sides need."""
        await self._http.get("/api/version", _Version)
        try:
            await asyncio.to_thread(self._folders.check)
            has = True
        except ActionError:
            has = False
        return (
            Right(name="read jobs", has=True, needed_for="the mirror of jobs"),
            Right(name="write the shared folder", has=has, needed_for="handing trainings over"),
            Right(name="submit jobs", has=None, needed_for="trainings"),
        )

    # -- jobs ---------------------------------------------------------------------------------------------------------

    async def submit(self, spec: Spec, *, key: str) -> str:
        """Raises ActionError `NoSuchPool`, `NoWorkspace`."""
        if self._pools and spec.pool not in self._pools and spec.pool != "local":
            known = ", ".join(sorted(self._pools))
            raise ActionError(
                "NoSuchPool", f"no pool {clean(spec.pool, 40)!r}; {known}", kind="configuration", retryable=False
            )
        job = self.job_of(key)
        await asyncio.to_thread(self._folders.prepare, job, spec)
        await self._hand_over(job)
        return job

    def job_of(self, key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()[:24]

    async def status(self, job: str) -> Status:
        told = await self._told(job)
        if told.state in ("succeeded", "failed", "cancelled"):
            return _plain(told)
        attempt = await asyncio.to_thread(self._folders.attempt, job)
        if told.attempts >= attempt and told.state == "preempted":
            return _plain(told)
        ray = await self._job(_id(job, attempt))
        if told.attempts < attempt:
            return self._not_begun(told, ray)
        if ray is not None and ray.status in PENDING + RUNNING:
            return _plain(told)
        return await self._gone(job, told)

    async def log(self, job: str, offset: int, limit: int) -> bytes:
        await self._told(job)
        found = await asyncio.to_thread(self._folders.log, job, offset, limit)
        if found or offset:
            return found
        attempt = await asyncio.to_thread(self._folders.attempt, job)
        if (await self._told(job)).attempts:
            return found
        try:
            said = (await self._http.get(f"/api/jobs/{_id(job, attempt)}/logs", _Logs)).logs or ""
        except ActionError as error:
            if error.error == "NotFound":
                return b""
            raise
        return said.encode()[: max(0, limit)]

    async def cancel(self, job: str) -> None:
        told = await self._told(job)
        if told.state in ("succeeded", "failed", "cancelled"):
            return
        await asyncio.to_thread(self._folders.ask, job, "cancel")
        attempt = await asyncio.to_thread(self._folders.attempt, job)
        if told.attempts >= attempt and told.state == "running":
            return  # its supervisor ends it, and says so when it really has ended
        ray = await self._job(_id(job, attempt))
        if ray is not None and ray.status in PENDING:
            await self._http.send("POST", f"/api/jobs/{_id(job, attempt)}/stop", _Stopped, safe=True)
            ray = await self._job(_id(job, attempt))
        if ray is None or ray.status in ENDED:
            await asyncio.to_thread(self._folders.end, job, "cancelled", "Cancelled", "cancelled by a person")

    async def preempt(self, job: str) -> None:
        if (await self._told(job)).state == "running":
            await asyncio.to_thread(self._folders.ask, job, "preempt")

    async def resume(self, job: str) -> None:
        if (await self.status(job)).state in ("preempted", "queued"):
            await self._hand_over(job)

    async def fetch(self, job: str, name: str) -> Path:
        await self._told(job)
        return await asyncio.to_thread(self._folders.checkpoint, job, name)

    async def forget(self, job: str) -> None:
        if (await self.status(job)).state not in ("succeeded", "failed", "cancelled"):
            return
        for attempt in range(1, await asyncio.to_thread(self._folders.attempt, job) + 1):
            ray = await self._job(_id(job, attempt))
            if ray is not None and ray.status in ENDED:
                await self._http.send("DELETE", f"/api/jobs/{_id(job, attempt)}", dict, safe=True)
        await asyncio.to_thread(self._folders.forget, job)

    # -- the mirror ---------------------------------------------------------------------------------------------------

    async def pull(self, feed: str, cursor: str) -> Pulled:
        """Every job the cluster remembers: Ray's list has no pages."""
        if cursor:
            raise ActionError("CursorLost", "Ray's list of jobs has no pages: it is listed anew", kind="conflict")
        answer = await self._http.send_full("GET", "/api/jobs/", list[Job], safe=True)
        objects = {one.id: one for each in answer.value if (one := _mirrored(each, self._http.url)) is not None}
        return Pulled(objects=tuple(objects.values()), full=True, owner_now=answer.owner_now)

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _hand_over(self, job: str) -> None:
        """The next attempt to Ray; one that was handed over and has not begun stays the one it is."""
        async with self._starting:
            told = await self._told(job)
            if told.state in ("succeeded", "failed", "cancelled"):
                return
            attempt = await asyncio.to_thread(self._folders.attempt, job)
            ray = await self._job(_id(job, attempt)) if attempt else None
            over = told.state == "preempted" and told.attempts >= attempt  # Ray itself notices a little later
            if ray is not None and ray.status in PENDING + RUNNING and not over:
                return
            if attempt <= told.attempts or ray is not None:
                attempt = max(attempt, told.attempts) + 1
                await asyncio.to_thread(self._folders.begin, job, attempt)
            await self._send(job, attempt)

    async def _send(self, job: str, attempt: int) -> None:
        place = self._folders.at(job)
        spec = await asyncio.to_thread(self._spec, job)
        asked = self._pools.get(spec.pool, {})
        body = {
            "entrypoint": shlex.join([self._python, f"{place}/supervise.py", place]),
            "submission_id": _id(job, attempt),
            "metadata": {"quarterdeck_job": job, "training": spec.training, "attempt": str(attempt)},
        } | {name: asked[name] for name in _RESOURCES if name in asked}
        try:
            await self._http.send("POST", "/api/jobs/", _Submitted, json=body, safe=False)
        except InDoubt:
            if await self._job(_id(job, attempt)) is None:
                raise

    def _spec(self, job: str) -> Spec:
        return msgspec.json.decode((self._folders.place(job) / "spec.json").read_bytes(), type=Spec)

    async def _told(self, job: str) -> Told:
        if not await asyncio.to_thread(self._folders.exists, job):
            raise ActionError("NoSuchJob", f"there is no job {clean(job, 40)}", kind="validation", retryable=False)
        return await asyncio.to_thread(self._folders.told, job)

    async def _job(self, id_: str) -> Job | None:
        try:
            return await self._http.get(f"/api/jobs/{id_}", Job)
        except ActionError as error:
            if error.error == "NotFound":
                return None
            raise

    def _not_begun(self, told: Told, ray: Job | None) -> Status:
        """Handed over, and its supervisor said nothing yet."""
        if ray is None:  # it never came there, or the head node forgot it: it is handed over again
            return _plain(told, state="preempted", message="Ray does not know this job")
        if ray.status in PENDING + RUNNING:
            return _plain(told, state="queued", what=clean(ray.message or ray.status.lower(), 200), message="")
        why = clean(ray.message or "it ended before its supervisor began", 400)
        if (ray.error_type or "") in TAKEN_BACK:
            return _plain(told, state="preempted", message=why)
        return _plain(told, state="failed", error=clean(ray.error_type or "NotStarted", 60), message=why)

    async def _gone(self, job: str, told: Told) -> Status:
        """Ray says that it ended, or knows nothing of it, and the status says that it runs: the status as it stands after a
        while decides."""
        before = await asyncio.to_thread(self._folders.moment, job)
        await self._sleep(STANDS_STILL_S)
        if await asyncio.to_thread(self._folders.moment, job) != before:
            return _plain(await self._told(job))
        told = await self._told(job)
        if told.state != "running":
            return _plain(told)
        return _plain(told, state="preempted", message="its supervisor is gone: its machine was taken back")


def _id(job: str, attempt: int) -> str:
    return f"qd-{job}-{attempt}"


def _plain(told: Told, **changes: Any) -> Status:
    fields = {name: getattr(told, name) for name in Status.__struct_fields__} | changes
    return Status(**fields)


def _mirrored(one: Job, base: str) -> RemoteObject | None:
    name = clean(one.submission_id or one.job_id or "", 120)
    if not name:
        return None
    said = {clean(k, 60): clean(v, 120) for k, v in list((one.metadata or {}).items())[:20]}
    data = {
        "training": said.get("training", ""), "entrypoint": clean(one.entrypoint or "", 200),
        "message": clean(one.message or "", 200), "error": clean(one.error_type or "", 60), "exit": one.driver_exit_code,
        "started_at": (one.start_time or 0) / 1000, "ended_at": (one.end_time or 0) / 1000,
    }  # fmt: skip
    digest = hashlib.sha256(msgspec.json.encode([one.status, data])).hexdigest()[:16]
    return RemoteObject(
        id=name, name=said.get("training", "") or name, state=clean(one.status, 20), etag=digest,
        changed_at=(one.end_time or one.start_time or 0) / 1000, url=f"{base}/#/jobs/{name}", data=data,
    )  # fmt: skip


class RayConnector:
    """Settings: `url` of the dashboard, `workspace` and how the cluster sees it, `pools` and what they ask for."""

    kind = "ray"
    title = "Ray"
    docs = "Jobs REST API of Ray 2.60; tested against a real head node of 2.60.0"
    capabilities = ("training",)
    needs: tuple[str, ...] = ()
    secrets = {**SECRETS}
    fields: dict[str, Param] = {
        **FIELDS,
        "secret": Param(type="string", required=False, description="keyring entry of a bearer token, for a proxy"),
        "workspace": Param(type="string", description="folder that this machine and the cluster both have mounted"),
        "cluster_workspace": Param(type="string", required=False, description="its path on the cluster, if another"),
        "python": Param(type="string", required=False, description="Python 3.11 or newer on the cluster (python3)"),
        "pools": Param(
            type="object",
            required=False,
            description="pool -> {entrypoint_num_cpus, entrypoint_num_gpus, entrypoint_memory}",
        ),
    }

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        entry, workspace = str(config.get("secret", "")), Path(str(config["workspace"]))
        pools = config.get("pools") or {}
        unknown = (
            [name for pool in pools.values() for name in pool if name not in _RESOURCES]
            if _mappings(pools)
            else ["pools"]
        )
        if not workspace.is_absolute() or unknown:
            what = (
                "workspace is an absolute path" if not unknown else f"pools hold {', '.join(_RESOURCES)}, each by name"
            )
            raise ActionError("NotConfigured", f"ray: {what}", kind="configuration", retryable=False)
        http = client(config, secret, name="Ray", auth=Bearer(lambda: secret(entry)) if entry else None)
        folders = JobFolders(workspace, str(config.get("cluster_workspace", "")))
        return {"training": RayTraining(http, folders, python=str(config.get("python", "python3")), pools=pools)}


def _mappings(pools: Json) -> bool:
    return isinstance(pools, Mapping) and all(isinstance(one, Mapping) for one in pools.values())


connector = RayConnector()
__all__ = ["RayConnector", "RayTraining", "connector"]
