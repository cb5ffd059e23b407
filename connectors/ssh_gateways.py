"""Fleet gateways over SSH: looked at, run on, copied to and from, forwarded, opened for people.

Written against OpenSSH 9.2 (`sshd`), with asyncssh; each call is a connection of its own (0.1 s), so that what is open
is what is used. What a gateway does, and what follows:

- Signals for a forced command are refused by sshd: a command is ended by closing its channel, and `run` with a limit is
  given its own end on the gateway (`timeout`).
- A command that is asked for with a key leaves its mark in a folder on the gateway before it starts and its exit status
  after it ended; the same key later finds the mark and takes what stands there. So a lost connection repeats nothing.
- An exit status comes only from a command that ended while the connection stood.
- Files go over SFTP and are renamed into place.

The engine's own key is an entry of the keyring; without one it signs itself a certificate of a few minutes with the CA
of access, for the gateway's `principal`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from connectors import ssh_link
from connectors.remote_text import clean
from connectors.ssh_commands import CHUNK, SshTerminal, once
from connectors.ssh_link import Identity, Place, Presented, linked, own_identity
from engine.capabilities import dry
from engine.capabilities.ports import ActionError, Clock, Json, Param
from engine.capabilities.systems.ports import Feed, GatewayState, Pulled, Ran, RemoteObject, Right

if TYPE_CHECKING:
    import asyncssh

CERTIFICATE_S = 600.0
STREAM_S = 12 * 3600.0
LOOKS = 8
"""Gateways that are looked at side by side."""
FOLDER = ".quarterdeck"
WORDS = {
    "HostKeyUnknown": "unknown", "HostKeyChanged": "changed", "HostKeyRevoked": "revoked", "HostKeyExpired": "expired",
}  # fmt: skip
_VERSION = re.compile(r"\b(\d+(?:\.\d+){1,3}[\w.+-]{0,20})")


class SshGateways:
    """Implements the port Gateways, and is a Source of the feed `gateway`."""

    traits: dict[str, str] = {
        "trust": "host keys are never learned: an unknown or changed one is shown and nothing is sent",
        "signals": "a forced command takes no signals: it is ended by closing its channel",
        "exit": "a connection that breaks gives no exit status: the outcome is then not known",
        "sudo": "a session is the gateway account's: what a person did inside is in the recording",
    }
    feeds = (Feed(kind="gateway", title="gateways", every_s=60.0, full_every_s=0.0, stale_s=300.0),)

    def __init__(
        self,
        places: Mapping[str, Place],
        identity: Callable[[Place, float], Identity],
        clock: Clock,
        *,
        name: str = "gateways",
        folder: str = FOLDER,
        version: str = "qd --version",
        connect_s: float = ssh_link.CONNECT_S,
        keepalive_s: float = ssh_link.KEEPALIVE_S,
    ) -> None:
        self._places, self._identity, self._clock = dict(places), identity, clock
        self._name, self._folder, self._version = name, folder, version
        self._connect_s, self._keepalive_s = connect_s, keepalive_s
        self._seen: dict[str, GatewayState] = {}
        self._looking = asyncio.Semaphore(LOOKS)

    # -- looking ---------------------------------------------------------------------------------------------------

    async def names(self) -> Sequence[str]:
        return tuple(self._places)

    def seen(self, gateway: str) -> GatewayState:
        place = self._place(gateway)
        return self._seen.get(gateway) or GatewayState(
            name=gateway, host=place.host, port=place.port, user=place.user, site=place.site, region=place.region,
            system=self._name,
        )  # fmt: skip

    def all_seen(self) -> Sequence[GatewayState]:
        return tuple(self.seen(name) for name in self._places)

    async def look(self, gateway: str) -> GatewayState:
        place, shown = self._place(gateway), Presented()
        told: dict[str, Any] = {"reachable": False, "host_key": "unknown", "engine_version": "", "error": ""}
        async with self._looking:
            try:
                async with self._linked(place, CERTIFICATE_S, shown) as connection:
                    told |= {"reachable": True, "host_key": "trusted"}
                    told |= await self._asked(connection)
            except ActionError as error:
                before = self._seen.get(gateway)
                met = error.error in WORDS or error.error == "AccessDenied"
                kept = before.host_key if before else "unknown"
                told |= {
                    "reachable": error.error == "AccessDenied",  # it is there, and it is the one
                    "host_key": WORDS.get(error.error, "trusted") if met else kept,
                    "error": error.message,
                }
        state = GatewayState(
            name=gateway, host=place.host, port=place.port, user=place.user, site=place.site, region=place.region,
            fingerprint=shown.fingerprint, looked_at=self._clock.now(), system=self._name, **told,
        )  # fmt: skip
        self._seen[gateway] = state
        return state

    async def _asked(self, connection: asyncssh.SSHClientConnection) -> dict[str, Any]:
        """The engine's version there and how far its clock is off. Neither is needed for it to be reachable."""
        import asyncssh

        try:
            async with asyncio.timeout(self._connect_s):
                sent = time.time()
                done = await connection.run(
                    f"date +%s.%N; {self._version} 2>/dev/null | head -c 200",
                    encoding="utf-8",
                    errors="replace",
                    stdin=asyncssh.DEVNULL,
                )
                took = time.time() - sent
        except (OSError, asyncssh.Error, TimeoutError) as error:
            return {"error": f"let in, and then no answer: {clean(error)}"}
        first, _, rest = str(done.stdout or "").partition("\n")
        version = _VERSION.search(rest)
        off = float(first) - (sent + took / 2) if re.fullmatch(r"\d{9,11}\.\d+", first) else 0.0
        return {
            "engine_version": clean(version.group(1), 30) if version else "",
            "clock_off_s": round(off, 1) if abs(off) > max(1.0, took) else 0.0,
        }

    async def pull(self, feed: str, cursor: str) -> Pulled:
        if feed != "gateway":
            raise ActionError("NoSuchFeed", f"gateways have no feed {feed[:40]!r}", kind="validation", retryable=False)
        states = await asyncio.gather(*(self.look(name) for name in self._places))
        return Pulled(
            objects=tuple(
                RemoteObject(
                    id=one.name, name=one.name, state=word(one),
                    data={
                        "host": one.host, "port": one.port, "site": one.site, "region": one.region, "host_key": one.host_key,
                        "fingerprint": one.fingerprint, "engine_version": one.engine_version, "error": one.error,
                    },
                )
                for one in states
            ),
            full=True,
        )  # fmt: skip

    async def rights(self) -> Sequence[Right]:
        states = await asyncio.gather(*(self.look(name) for name in self._places))
        return [
            Right(name=f"log in to {one.name}", has=one.host_key == "trusted" and not one.error if one.reachable else None,
                  needed_for="looking at it, running and copying")
            for one in states
        ]  # fmt: skip

    async def check(self) -> str:
        """Raises ActionError when not one gateway can be logged in to."""
        states = await asyncio.gather(*(self.look(name) for name in self._places))
        good = [one for one in states if one.reachable and not one.error]
        if not good:
            raise ActionError("Unreachable", states[0].error if states else "no gateway is named", kind="communication")
        away = [f"{one.name} {word(one)}" for one in states if one not in good]
        return f"{len(good)} of {len(states)} gateways answer" + (f" ({', '.join(away[:3])})" if away else "")

    # -- running ---------------------------------------------------------------------------------------------------

    async def run(self, gateway: str, command: str, *, timeout_s: float, limit_b: int = 1 << 20, key: str = "") -> Ran:
        import asyncssh

        place, began = self._place(gateway), time.monotonic()
        self._withheld(place, "RUN", command)
        line = once(command, self._folder, key, limit_b=limit_b) if key else command
        out, err = bytearray(), bytearray()
        async with self._linked(place, timeout_s + CERTIFICATE_S) as connection:
            try:
                async with asyncio.timeout(timeout_s):
                    process = await connection.create_process(line, encoding=None, stdin=asyncssh.DEVNULL)
                    await asyncio.gather(_kept(process.stdout, out, limit_b), _kept(process.stderr, err, limit_b))
                    await process.wait_closed()
                code = process.exit_status
            except TimeoutError as error:
                tail = "; it may go on there, and the same step asked again waits for it" if key else ""
                raise ActionError(
                    "Timeout", f"{gateway} has not ended the command after {timeout_s:.0f} s{tail}", kind="timeout"
                ) from error
            except (OSError, asyncssh.Error):
                code = None
        if key and code == 125 and b"begun and not finished" in err:
            raise ActionError(
                "Unfinished",
                f"{gateway} began this command and did not finish it (the machine went down, or somebody ended it): what "
                "it did is not known",
                kind="unknown",
                retryable=False,
            )
        return Ran(
            exit=None if code in (None, -1) else code, stdout=_text(out), stderr=_text(err), seconds=time.monotonic() - began,
        )  # fmt: skip

    async def stream(self, gateway: str, command: str) -> AsyncIterator[bytes]:
        """What the command says, as it says it (both streams). Leaving the loop ends it on the gateway's side too."""
        import asyncssh

        place = self._place(gateway)
        async with self._linked(place, STREAM_S) as connection:
            process = await connection.create_process(
                command, encoding=None, stdin=asyncssh.DEVNULL, stderr=asyncssh.STDOUT
            )
            try:
                while data := await process.stdout.read(CHUNK):
                    yield data
            except (OSError, asyncssh.Error) as error:
                raise ActionError(
                    "Unreachable", f"{gateway} broke off: {clean(error)}", kind="communication"
                ) from error
            finally:
                process.close()

    async def fetch(self, gateway: str, remote: str, target: Path, *, limit_b: int) -> int:
        """Raises ActionError `NoSuchFile`, `TooLarge` beside what connecting raises. `target` appears whole or not at all."""
        fresh, size = target.with_name(target.name + ".part"), 0
        async with self._sftp(gateway) as sftp:
            try:
                source: Any
                async with sftp.open(remote, "rb") as source:
                    with fresh.open("wb") as stream:
                        while data := await source.read(CHUNK):
                            size += len(data)
                            if size > limit_b:
                                raise ActionError(
                                    "TooLarge",
                                    f"{clean(remote)} on {gateway} is larger than {limit_b} bytes",
                                    retryable=False,
                                )
                            await asyncio.to_thread(stream.write, data)
                        stream.flush()
                        os.fsync(stream.fileno())
                os.replace(fresh, target)
            finally:
                fresh.unlink(missing_ok=True)
        return size

    async def send(self, gateway: str, source: Path, remote: str) -> int:
        self._withheld(self._place(gateway), "PUT", f"{source.stat().st_size} bytes to {remote}")
        async with self._sftp(gateway) as sftp:
            fresh, size = f"{remote}.part-{os.urandom(4).hex()}", 0
            async with sftp.open(fresh, "wb") as target:
                with source.open("rb") as stream:
                    while data := await asyncio.to_thread(stream.read, CHUNK):
                        await target.write(data)
                        size += len(data)
            await sftp.posix_rename(fresh, remote)
        return size

    @contextlib.asynccontextmanager
    async def forward(self, gateway: str, remote: str, local: Path) -> AsyncIterator[Path]:
        import asyncssh

        async with self._linked(self._place(gateway), STREAM_S) as connection:
            before = os.umask(0o177)  # the socket is ours alone from its first moment
            try:
                listener = await connection.forward_local_path(str(local), remote)
            except (OSError, asyncssh.Error) as error:
                raise ActionError(
                    "Unreachable", f"{gateway} forwards nothing: {clean(error)}", kind="communication"
                ) from error
            finally:
                os.umask(before)
            try:
                yield local
            finally:
                listener.close()
                local.unlink(missing_ok=True)

    async def open(
        self,
        gateway: str,
        *,
        key: str,
        certificate: str,
        command: str = "",
        term: str = "",
        cols: int = 80,
        rows: int = 24,
    ) -> SshTerminal:
        import asyncssh

        place, shown = self._place(gateway), Presented()
        stack = contextlib.AsyncExitStack()
        try:
            connection = await stack.enter_async_context(
                linked(
                    place, self._as(place, Identity(key, certificate)), presented=shown, via=self._via(place),
                    connect_s=self._connect_s, keepalive_s=self._keepalive_s,
                )
            )  # fmt: skip
            process = await connection.create_process(
                command or None, encoding=None, stderr=asyncssh.STDOUT, term_type=term or None,
                term_size=(cols, rows) if term else (), request_pty="force" if term else False,
            )  # fmt: skip
        except (OSError, asyncssh.Error) as error:
            await stack.aclose()
            raise ActionError(
                "Unreachable", f"{gateway} gave no session: {clean(error)}", kind="communication"
            ) from error
        except BaseException:
            await stack.aclose()
            raise
        return SshTerminal(stack, process, connection, shown.fingerprint)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _place(self, gateway: str) -> Place:
        place = self._places.get(gateway)
        if place is None:
            raise ActionError(
                "NoSuchGateway", f"there is no gateway {clean(gateway, 60)}", kind="validation", retryable=False
            )
        return place

    def _withheld(self, place: Place, method: str, what: str) -> None:
        """In dry mode it is written down and not done."""
        would = dry.sink()
        if would is None:
            return
        url = f"ssh://{place.user}@{place.host}:{place.port}"
        would.append(dry.Would(system=self._name, method=method, url=url, body=clean(what, 4000)))
        text = f"{self._name}: dry mode, nothing was run on or copied to {place.host}"
        raise dry.NotSent("NotSent", text, kind="configuration", retryable=False, detail=msgspec.to_builtins(would[-1]))

    def _via(self, place: Place) -> Place | None:
        return self._places[place.via] if place.via else None

    def _as(self, place: Place, identity: Identity) -> Callable[[Place], Identity]:
        """Somebody's certificate is for their gateway; the hop before it is the engine's own way."""
        return lambda other: identity if other is place else self._identity(other, STREAM_S)

    def _linked(self, place: Place, seconds: float, shown: Presented | None = None) -> Any:
        return linked(
            place, lambda one: self._identity(one, seconds), presented=shown, via=self._via(place),
            connect_s=self._connect_s, keepalive_s=self._keepalive_s,
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def _sftp(self, gateway: str) -> AsyncIterator[asyncssh.SFTPClient]:
        import asyncssh

        async with self._linked(self._place(gateway), STREAM_S) as connection:
            try:
                async with connection.start_sftp_client() as sftp:
                    yield sftp
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
                raise ActionError(
                    "NoSuchFile", f"{gateway}: {clean(error)}", kind="validation", retryable=False
                ) from error
            except asyncssh.SFTPError as error:
                raise ActionError("CopyFailed", f"{gateway}: {clean(error)}", kind="communication") from error
            except (asyncssh.Error, ConnectionError) as error:
                raise ActionError(
                    "Unreachable", f"{gateway} broke off: {clean(error)}", kind="communication"
                ) from error


def word(state: GatewayState) -> str:
    """A gateway's state in one word for the mirror: up, away, host key …, no login."""
    if state.host_key in ("changed", "revoked", "expired") or (state.host_key == "unknown" and state.fingerprint):
        return f"host key {state.host_key}"
    if not state.reachable:
        return "away"
    return "no login" if state.error else "up"


async def _kept(stream: Any, kept: bytearray, limit_b: int) -> None:
    """The beginning of what is said; the rest is read and dropped, so that nobody waits for us."""
    while data := await stream.read(CHUNK):
        kept += data[: max(0, limit_b - len(kept))]


def _text(data: bytearray) -> str:
    """Lines of the gateway, each clean."""
    return "\n".join(clean(line, 4000) for line in data.decode("utf-8", "replace").split("\n"))


class SshConnector:
    """Settings: `gateways` (name -> host, port, user, site, region, host_keys, host_cas, revoked, principal, via)."""

    kind = "ssh"
    title = "SSH gateways"
    docs = "OpenSSH 9.2 (RFC 4251-4254, PROTOCOL.certkeys); tested against the real sshd"
    capabilities = ("gateways",)
    needs: tuple[str, ...] = ()
    fields: dict[str, Param] = {
        "gateways": Param(type="object", description="name -> {host, port, user, site, region, host_keys, host_cas, principal, via}"),
        "user": Param(type="string", required=False, description="account on the gateways, where one does not name its own"),
        "secret": Param(type="string", required=False, description="keyring entry of a private key (OpenSSH text); none: certificates of the access CA"),
        "known_hosts": Param(type="array", required=False, description="lines of a known_hosts file, for gateways without host_keys"),
        "folder": Param(type="string", required=False, description="where marks of commands are kept on a gateway (.quarterdeck)"),
        "version_command": Param(type="string", required=False, description="what prints the engine's version there (qd --version)"),
        "connect_s": Param(type="number", required=False, description="seconds a connection may take (10)"),
        "keepalive_s": Param(type="number", required=False, description="seconds between keep-alives (15)"),
    }  # fmt: skip

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        found = ssh_link.places(config["gateways"], user=str(config.get("user", "")), where="gateways")
        lines = [str(one) for one in config.get("known_hosts") or ()]
        if lines:
            found = {name: ssh_link.with_known(place, lines) for name, place in found.items()}
        return {
            "gateways": SshGateways(
                found, own_identity(secret, str(config.get("secret", ""))), clock, name=str(config.get("name", "") or "gateways"),
                folder=str(config.get("folder", FOLDER)), version=str(config.get("version_command", "qd --version")),
                connect_s=float(config.get("connect_s", ssh_link.CONNECT_S)),
                keepalive_s=float(config.get("keepalive_s", ssh_link.KEEPALIVE_S)),
            )
        }  # fmt: skip


connector = SshConnector()
