"""Training on a host over SSH: a program under a supervisor there, which outlives our connection and this engine.

The supervisor is the one that serves trainings on this machine (`engine.capabilities.data.supervise`: standard library
alone); its text is copied beside the job and started in a session of its own (`setsid`). It keeps the budget, hashes each
checkpoint from its bytes and writes `status.json` whole or not at all; a lock makes a second one leave. So what is promised
of trainings here is promised there (`engine.capabilities.data.training`).

What the host does, and what follows:

- Recordings and bases are paths of this machine: each is copied to the host once, under its digest, and linked into the jobs
  that read it; the list of episodes names it as the host finds it. A copy that broke off goes on with what is missing.
- A job's name is made of its key and its folder appears by one rename: asking again finds it, and starts nothing twice.
- A host that was restarted has no supervisor: the job is `preempted`, and goes on from its newest checkpoint when asked.
- Checkpoints are copied here once and hashed again: what arrives is what was hashed there, or an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from connectors import ssh_link
from connectors.remote_text import clean
from connectors.ssh_link import Identity, Place, linked, own_identity
from engine.capabilities.data.training import Spec, Status
from engine.capabilities.ports import ActionError, Clock, Json, Param

if TYPE_CHECKING:
    import asyncssh

FOLDER = "quarterdeck-jobs"
POOL, EPISODES = ".files", "episodes.jsonl"
CALL_S = 30.0
COPY_S = 6 * 3600.0
_JOB = re.compile(r"[0-9a-f]{24}")
_OVER = ("succeeded", "failed", "cancelled")


class _Told(Status, frozen=True, kw_only=True):
    """A status as the supervisor writes it, with who it is."""

    pid: int = 0
    born: str = ""


class SshTraining:
    """One host. `folder` there holds the jobs; `cache` here what was fetched of them."""

    traits: dict[str, str] = {
        "pool": "one host: what is asked of it at once runs at once; it has no queue",
        "preemption": "a checkpoint is saved, then it goes on where it stopped",
        "isolation": "a process of the account, no container",
        "data": "copied to the host, each file once for all jobs that read it",
    }

    def __init__(
        self, place: Place, identity: Callable[[Place, float], Identity], *, folder: str = FOLDER, python: str = "python3",
        cache: str = "", connect_s: float = ssh_link.CONNECT_S,
    ) -> None:  # fmt: skip
        self._place, self._identity = place, identity
        self._folder, self._python, self._connect_s = folder, python, connect_s
        self._named_cache, self._own_cache = cache, ""

    # -- the port ----------------------------------------------------------------------------------------------------

    async def submit(self, spec: Spec, *, key: str) -> str:
        job = self.job_of(key)
        async with self._linked(COPY_S) as connection:
            if await self._read(connection, job) is None:
                await self._prepare(connection, job, spec)
            await self._supervised(connection, job)
        return job

    def job_of(self, key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()[:24]

    async def status(self, job: str) -> Status:
        async with self._linked() as connection:
            told = await self._status(connection, job)
        return Status(**{name: getattr(told, name) for name in Status.__struct_fields__})

    async def log(self, job: str, offset: int, limit: int) -> bytes:
        script = f"tail -c +{max(0, offset) + 1} log 2>/dev/null | head -c {max(0, limit)}"
        async with self._linked() as connection:
            return await self._said(connection, self._in(job, script))

    async def cancel(self, job: str) -> None:
        await self._ask(job, "cancel")

    async def preempt(self, job: str) -> None:
        await self._ask(job, "preempt")

    async def resume(self, job: str) -> None:
        async with self._linked() as connection:
            if (await self._status(connection, job)).state in ("preempted", "queued"):
                await self._supervised(connection, job)

    async def fetch(self, job: str, name: str) -> Path:
        async with self._linked(COPY_S) as connection:
            told = await self._status(connection, job)
            known = next(
                (one for one in (*told.checkpoints, *([told.result] if told.result else [])) if one.name == name), None
            )
            if known is None or Path(name).name != name:
                raise ActionError("NoCheckpoint", f"job {job} has no checkpoint {name[:80]}", retryable=False)
            target = self._cache / job / name
            if target.is_file() and await asyncio.to_thread(_digest, target) == known.digest:
                return target
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = target.with_name(target.name + ".part")
            async with _sftp(connection) as sftp:
                await sftp.get(f"{await self._base(connection)}/{job}/out/{name}", str(fresh), follow_symlinks=False)
        if await asyncio.to_thread(_digest, fresh) != known.digest:
            fresh.unlink(missing_ok=True)
            raise ActionError(
                "CheckpointMismatch",
                f"{name} came as something else than what was hashed on {self._place.host}",
                kind="communication",
            )
        os.replace(fresh, target)
        return target

    async def forget(self, job: str) -> None:
        async with self._linked() as connection:
            if (await self._status(connection, job)).state in _OVER:
                await self._said(connection, f"rm -rf {self._there()}/{self._checked(job)}")
        await asyncio.to_thread(shutil.rmtree, self._cache / job, ignore_errors=True)

    async def check(self) -> str:
        async with self._linked() as connection:
            said = await self._said(
                connection,
                f"{shlex.quote(self._python)} -c 'import os, sys; print(sys.version.split()[0], os.cpu_count())' && "
                f"df -Pk . | tail -1 | tr -s ' ' | cut -d' ' -f4",
            )
        words = said.decode("utf-8", "replace").split()
        if len(words) != 3 or not words[2].isdigit():
            raise ActionError(
                "BadHost",
                f"{self._place.host} has no {self._python}: {clean(said.decode('utf-8', 'replace'))}",
                retryable=False,
            )
        return f"Python {clean(words[0], 20)} on {self._place.host}, {clean(words[1], 6)} cores, {int(words[2]) / 1e6:.0f} GB free"

    async def close(self) -> None:
        if self._own_cache:
            await asyncio.to_thread(shutil.rmtree, self._own_cache, ignore_errors=True)

    # -- inside ------------------------------------------------------------------------------------------------------

    async def _prepare(self, connection: asyncssh.SSHClientConnection, job: str, spec: Spec) -> None:
        """The job's folder, whole or not at all: a copy that breaks off leaves one under another name."""
        base = await self._base(connection)
        fresh = f"{base}/.{job}.{os.urandom(4).hex()}"
        episodes, start, files = await asyncio.to_thread(_read_by, spec, f"{base}/{job}/data/files")
        there = msgspec.structs.replace(spec, data="data", base=start)
        async with _sftp(connection) as sftp:
            for folder in (f"{fresh}/out", f"{base}/{POOL}"):
                await sftp.makedirs(folder, exist_ok=True)
            await sftp.chmod(fresh, 0o700)
            await sftp.put(str(spec.data), f"{fresh}/data", recurse=True, preserve=False)
            await sftp.makedirs(f"{fresh}/data/files", exist_ok=True)
            for name, source in files.items():
                if not await sftp.exists(f"{base}/{POOL}/{name}"):
                    part = f"{base}/{POOL}/.{name}.{os.urandom(4).hex()}"
                    await sftp.put(str(source), part, preserve=False)
                    await sftp.chmod(part, 0o400)
                    await sftp.posix_rename(part, f"{base}/{POOL}/{name}")
                await sftp.link(f"{base}/{POOL}/{name}", f"{fresh}/data/files/{name}")
            for name, text in (
                *([(f"data/{EPISODES}", episodes)] if episodes is not None else []),
                ("recipe.json", msgspec.json.encode(spec.recipe)),
                ("spec.json", msgspec.json.encode(there)),
                ("supervise.py", supervisor()),
            ):
                async with sftp.open(f"{fresh}/{name}", "wb") as file:
                    await file.write(text)
        moved = await self._said(
            connection,
            f"cd {shlex.quote(base)} && find . -maxdepth 1 -name '.*.*' -mmin +1440 -exec rm -rf {{}} + ; "
            f"find {POOL} -type f -links 1 -mmin +1440 -delete; "
            f"mv -T {shlex.quote(fresh)} {job} 2>/dev/null || rm -rf {shlex.quote(fresh)}; [ -e {job}/spec.json ] && echo there",
        )
        if moved.strip() != b"there":
            raise ActionError("NotPrepared", f"{self._place.host} did not take job {job}", kind="communication")

    async def _supervised(self, connection: asyncssh.SSHClientConnection, job: str) -> None:
        """A supervisor, unless one is there or the job is over. Waits for its first word."""
        before = await self._status(connection, job)
        if before.state not in ("queued", "preempted"):
            return
        start = f'setsid nohup {shlex.quote(self._python)} supervise.py "$PWD" {before.attempts} >>supervisor.log 2>&1 </dev/null & echo begun'
        await self._said(connection, self._in(job, start))
        for _ in range(100):
            if (await self._status(connection, job)).attempts > before.attempts:
                return
            await asyncio.sleep(0.1)
        tail = await self._said(connection, self._in(job, "tail -c 300 supervisor.log"))
        raise ActionError(
            "NoSupervisor", f"the supervisor of job {job} did not start on {self._place.host}: {clean(tail.decode('utf-8', 'replace'), 300)}",
            kind="communication",
        )  # fmt: skip

    async def _ask(self, job: str, word: str) -> None:
        async with self._linked() as connection:
            told = await self._status(connection, job)
            if told.state == "running":
                await self._said(connection, self._in(job, f"printf %s {word} >ask.new && mv ask.new ask"))
            elif word == "cancel" and told.state in ("queued", "preempted"):
                ended = msgspec.structs.replace(
                    told, state="cancelled", error="Cancelled", message="cancelled by a person", pid=0
                )
                text = shlex.quote(msgspec.json.encode(ended).decode())
                # The ask stays for a supervisor that was started and has not said its first word.
                await self._said(
                    connection,
                    self._in(
                        job,
                        "printf %s cancel >ask.new && mv ask.new ask; "
                        f"printf %s {text} >status.json.new && mv status.json.new status.json",
                    ),
                )

    async def _status(self, connection: asyncssh.SSHClientConnection, job: str) -> _Told:
        found = await self._read(connection, job)
        if found is None:
            raise ActionError(
                "NoSuchJob", f"there is no job {job} on {self._place.host}", kind="validation", retryable=False
            )
        told, alive = found
        if told.state == "running" and alive != told.born:
            told, alive = await self._read(connection, job) or (told, alive)  # it may have ended between the two looks
            if told.state == "running" and alive != told.born:
                return msgspec.structs.replace(
                    told, state="preempted", message="its supervisor is gone: the host went down"
                )
        return told

    async def _read(self, connection: asyncssh.SSHClientConnection, job: str) -> tuple[_Told, str] | None:
        """What stands in its status, and when the process it names began (as the kernel says, for recycled pids)."""
        script = (
            "[ -e spec.json ] || exit 0; cat status.json 2>/dev/null || echo '{}'; echo; "
            "p=$(sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p' status.json 2>/dev/null); "
            "sed 's/.*) //' \"/proc/${p:-0}/stat\" 2>/dev/null | awk '$1 != \"Z\" {print $20}'"
        )
        said = await self._said(connection, f"cd {self._there()}/{self._checked(job)} 2>/dev/null || exit 0; {script}")
        if not said:
            return None
        first, _, rest = said.partition(b"\n")
        try:
            told = msgspec.json.decode(first, type=_Told)
        except msgspec.DecodeError as error:
            raise ActionError("BadStatus", f"the status of job {job} can't be read", kind="unknown") from error
        told = msgspec.structs.replace(
            told, message=clean(told.message, 500), error=clean(told.error, 60), what=clean(told.what, 60)
        )
        return told, rest.decode("ascii", "replace").strip()

    def _checked(self, job: str) -> str:
        if not _JOB.fullmatch(job):
            raise ActionError("NoSuchJob", f"{job[:40]!r} is no job of this host", kind="validation", retryable=False)
        return job

    def _there(self) -> str:
        """The folder of jobs as the shell reads it."""
        quoted = shlex.quote(self._folder)
        return quoted if self._folder.startswith("/") else f'"$HOME"/{quoted}'

    def _in(self, job: str, script: str) -> str:
        return f"cd {self._there()}/{self._checked(job)} && {{ {script}\n}}"

    @property
    def _cache(self) -> Path:
        """The folder of fetched checkpoints: the one named, else one of this process's own."""
        if not self._named_cache and not self._own_cache:
            self._own_cache = tempfile.mkdtemp(prefix="quarterdeck-checkpoints-")
        return Path(self._named_cache or self._own_cache)

    async def _base(self, connection: asyncssh.SSHClientConnection) -> str:
        """The folder of jobs as an absolute path; made when it is not there, for this account alone."""
        said = await self._said(connection, f"umask 077; mkdir -p {self._there()} && cd {self._there()} && pwd -P")
        return said.decode("utf-8", "replace").strip()

    async def _said(self, connection: asyncssh.SSHClientConnection, script: str) -> bytes:
        import asyncssh

        try:
            async with asyncio.timeout(CALL_S):
                done = await connection.run(script, encoding=None, stdin=asyncssh.DEVNULL)
        except TimeoutError as error:
            raise ActionError("Unreachable", f"{self._place.host} did not answer", kind="communication") from error
        except (OSError, asyncssh.Error) as error:
            raise ActionError(
                "Unreachable", f"{self._place.host} broke off: {clean(error)}", kind="communication"
            ) from error
        return done.stdout if isinstance(done.stdout, bytes) else b""

    @contextlib.asynccontextmanager
    async def _linked(self, seconds: float = CALL_S * 4) -> AsyncIterator[asyncssh.SSHClientConnection]:
        async with linked(
            self._place, lambda place: self._identity(place, seconds), connect_s=self._connect_s
        ) as connection:
            yield connection


@contextlib.asynccontextmanager
async def _sftp(connection: asyncssh.SSHClientConnection) -> AsyncIterator[asyncssh.SFTPClient]:
    import asyncssh

    try:
        async with connection.start_sftp_client() as sftp:
            yield sftp
    except (asyncssh.SFTPError, asyncssh.Error, ConnectionError) as error:
        raise ActionError("CopyFailed", f"the copy broke off: {clean(error)}", kind="communication") from error


def supervisor() -> bytes:
    """The program that runs a job, as it is copied to the host."""
    return (resources.files("engine.capabilities.data") / "supervise.py").read_bytes()


def _read_by(spec: Spec, at: str) -> tuple[bytes | None, str, dict[str, Path]]:
    """The list of episodes and the base with paths below `at`, and the files they name, by the name they get there. Reads
    every file once. Raises ActionError `NoRecording`."""
    files: dict[str, Path] = {}

    def named(path: Path) -> str:
        try:
            name = f"{_digest(path).removeprefix('sha256:')}{path.suffix[:12]}"
        except OSError as error:
            said = f"{clean(path, 200)} can't be read: {error.strerror}"
            raise ActionError("NoRecording", said, kind="validation", retryable=False) from error
        files[name] = path
        return f"{at}/{name}"

    known: dict[str, str] = {}
    listed: list[bytes] = []
    episodes = Path(spec.data) / EPISODES
    for line in episodes.read_bytes().splitlines() if episodes.is_file() else ():
        said: dict[str, Any] = msgspec.json.decode(line)
        if source := said.get("file"):
            said["file"] = known[source] = known.get(source) or named(Path(source))
        listed.append(msgspec.json.encode(said))
    base = named(Path(spec.base)) if spec.base and Path(spec.base).is_file() else spec.base
    return b"".join(line + b"\n" for line in listed) if episodes.is_file() else None, base, files


def _digest(path: Path) -> str:
    hashed = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(1 << 20):
            hashed.update(chunk)
    return f"sha256:{hashed.hexdigest()}"


class SshJobsConnector:
    """Settings: `url` (ssh://user@host:port), `host_keys`, `secret` (a private key), `folder`, `python`, `cache`."""

    kind = "sshjobs"
    title = "Training over SSH"
    docs = "OpenSSH 9.2; tested against the real sshd with the supervisor that also runs local trainings"
    capabilities = ("training",)
    needs: tuple[str, ...] = ()
    fields: dict[str, Param] = {
        "url": Param(type="string", description="ssh://user@host:port"),
        "host_keys": Param(type="array", required=False, description="lines of the host's public keys"),
        "host_cas": Param(type="array", required=False, description="or of the CA that signs its host certificate"),
        "secret": Param(type="string", required=False, description="keyring entry of a private key (OpenSSH text); none: certificates of the access CA"),
        "principal": Param(type="string", required=False, description="for certificates of the access CA"),
        "folder": Param(type="string", required=False, description="where jobs stand on the host (quarterdeck-jobs)"),
        "python": Param(type="string", required=False, description="the Python there that runs programs (python3, 3.9 or newer)"),
        "cache": Param(type="string", required=False, description="folder here for fetched checkpoints (a temporary one)"),
        "connect_s": Param(type="number", required=False, description="seconds a connection may take (10)"),
    }  # fmt: skip

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        url = urlsplit(str(config["url"]))
        if url.scheme != "ssh" or not url.hostname or url.path not in ("", "/") or url.password:
            raise ssh_link.wrong("url: ssh://user@host:port, and nothing else")
        given = {
            "host": url.hostname, "port": url.port or 22, "user": url.username or "",
            "host_keys": config.get("host_keys") or (), "host_cas": config.get("host_cas") or (),
            "principal": str(config.get("principal", "")),
        }  # fmt: skip
        place = ssh_link.places({"host": given}, user="", where="sshjobs")["host"]
        return {
            "training": SshTraining(
                place, own_identity(secret, str(config.get("secret", ""))), folder=str(config.get("folder", FOLDER)),
                python=str(config.get("python", "python3")), cache=str(config.get("cache", "")),
                connect_s=float(config.get("connect_s", ssh_link.CONNECT_S)),
            )
        }  # fmt: skip


connector = SshJobsConnector()
