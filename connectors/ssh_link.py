"""Connections to SSH servers that are what they were said to be, or none at all.

- Host keys are strict: a key, a CA of host certificates or a revoked key is named in the settings. Nothing is learned at
  the first contact; what an unknown host shows is reported (fingerprint) for a person to compare.
- Nothing of the account that runs the engine is used: no ~/.ssh, no agent, no configuration file, no default keys.
- A silent connection is found out by keep-alives and closed.

asyncssh is loaded when the first connection is made: an engine without gateways never imports it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from connectors.remote_text import clean
from engine.capabilities.access import ssh_ca
from engine.capabilities.ports import ActionError, Json

if TYPE_CHECKING:
    import asyncssh

logging.getLogger("asyncssh").setLevel(logging.WARNING)  # what is run on a gateway is not for the log
CONNECT_S = 10.0
KEEPALIVE_S = 15.0
KEEPALIVES = 3
"""Unanswered keep-alives after which the link is lost."""


class Place(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a host is and which keys prove that it is the one. Key lines are as in a `.pub` file or of known_hosts.

    `principal` is what its sshd lists for the engine's own certificates; `via` another host it is reached through.
    """

    host: str
    port: int = 22
    user: str = ""
    site: str = ""
    region: str = ""
    host_keys: tuple[str, ...] = ()
    host_cas: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    principal: str = ""
    via: str = ""


class Identity(Struct, frozen=True):
    """A private key (OpenSSH text) and, where the server wants one, its certificate (one line)."""

    key: str
    certificate: str = ""


class Presented:
    """What the server showed of itself during a handshake."""

    def __init__(self) -> None:
        self.fingerprint = ""
        self.line = ""
        self.authority = ""


def wrong(message: str) -> ActionError:
    return ActionError("NotConfigured", message, kind="configuration", retryable=False)


def fingerprint_of(line: str) -> str:
    """SHA256:… of a key line. Raises ActionError `NotConfigured`."""
    import asyncssh

    try:
        return asyncssh.import_public_key(_key(line)).get_fingerprint()
    except (asyncssh.KeyImportError, ValueError) as error:
        raise wrong(f"{clean(line, 60)!r} is no public key: {error}") from error


def places(given: Mapping[str, Json], *, user: str, where: str) -> dict[str, Place]:
    """The hosts of a settings block, checked. Raises ActionError `NotConfigured` that names the field."""
    found: dict[str, Place] = {}
    for name, each in given.items():
        if not isinstance(each, Mapping):
            raise wrong(f"{where}.{name}: an object with host and host_keys, not {type(each).__name__}")
        plain = {
            key: (value,) if key in ("host_keys", "host_cas", "revoked") and isinstance(value, str) else value
            for key, value in each.items()
        }
        unknown = sorted(set(plain) - set(Place.__struct_fields__))
        if unknown:
            raise wrong(f"{where}.{name}.{unknown[0]}: unknown; known: {', '.join(Place.__struct_fields__)}")
        try:
            place = msgspec.convert({"user": user, **plain}, Place, strict=False)
        except msgspec.ValidationError as error:
            raise wrong(f"{where}.{name}: {error}") from error
        if not place.user:
            raise wrong(f"{where}.{name}.user: missing (or `user` for all of them)")
        if not 0 < place.port < 65_536 or not place.host or place.host.startswith("-"):
            raise wrong(f"{where}.{name}: {clean(place.host, 60)!r} port {place.port} is no address")
        found[str(name)] = place
    for name, place in found.items():
        if place.via and (place.via not in found or found[place.via].via):
            raise wrong(f"{where}.{name}.via: names another host of these, which is reached directly")
    return found


@contextlib.asynccontextmanager
async def linked(
    place: Place,
    identity: Callable[[Place], Identity],
    *,
    presented: Presented | None = None,
    via: Place | None = None,
    connect_s: float = CONNECT_S,
    keepalive_s: float = KEEPALIVE_S,
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection for as long as it is used.

    Raises ActionError: `Unreachable` (communication), `HostKeyUnknown`, `HostKeyChanged`, `HostKeyRevoked`,
    `HostKeyExpired`, `AccessDenied` (authentication).
    """
    async with contextlib.AsyncExitStack() as stack:
        tunnel = None
        if via is not None:
            tunnel = await stack.enter_async_context(
                linked(via, identity, connect_s=connect_s, keepalive_s=keepalive_s)
            )
        connection = await _connected(
            place, identity, presented or Presented(), tunnel, connect_s=connect_s, keepalive_s=keepalive_s
        )
        stack.push_async_callback(_closed, connection)
        yield connection


async def _closed(connection: asyncssh.SSHClientConnection) -> None:
    connection.close()
    with contextlib.suppress(Exception):
        await asyncio.wait_for(connection.wait_closed(), 2.0)
    connection.abort()


async def _connected(
    place: Place,
    identity: Callable[[Place], Identity],
    presented: Presented,
    tunnel: Any,
    *,
    connect_s: float,
    keepalive_s: float,
) -> asyncssh.SSHClientConnection:
    import asyncssh

    known = _trusted(place)
    mine = await asyncio.to_thread(identity, place)
    pair = await asyncio.to_thread(_pair, mine)

    class Watching(asyncssh.SSHClient):
        """Sees what the server shows, and trusts none of it."""

        def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
            _show(presented, key)
            return False

        def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
            presented.authority = key.get_fingerprint()
            return False

    try:
        connection = await asyncssh.connect(
            place.host,
            place.port,
            username=place.user,
            client_keys=[pair],
            known_hosts=known,
            client_factory=Watching,
            tunnel=tunnel or (),
            config=None,
            agent_path=None,
            agent_forwarding=False,
            preferred_auth=("publickey",),
            connect_timeout=connect_s,
            login_timeout=connect_s,
            keepalive_interval=keepalive_s,
            keepalive_count_max=KEEPALIVES,
        )
    except asyncssh.HostKeyNotVerifiable as error:
        raise _not_it(place, presented, str(error)) from error
    except asyncssh.KeyExchangeFailed as error:
        if known[0] or known[1]:
            raise _host_key(
                "HostKeyChanged", place, f"it shows no key of the kind it is known by ({clean(error)})"
            ) from error
        raise ActionError("Unreachable", f"{_at(place)}: {clean(error)}", kind="communication") from error
    except asyncssh.PermissionDenied as error:
        raise ActionError(
            "AccessDenied",
            f"{_at(place)} does not let {place.user} in with this key: its sshd's log says why (authorized key, or "
            "CA, principal and end of the certificate)",
            kind="authentication",
            retryable=False,
        ) from error
    except (OSError, asyncssh.Error, TimeoutError) as error:
        said = "no answer" if isinstance(error, TimeoutError) else clean(error) or type(error).__name__
        raise ActionError("Unreachable", f"{_at(place)} can't be reached: {said}", kind="communication") from error
    key = connection.get_server_host_key()
    if key is not None:
        _show(presented, key)
    return connection


def _show(presented: Presented, key: asyncssh.SSHKey) -> None:
    presented.fingerprint = key.get_fingerprint()
    presented.line = key.export_public_key("openssh").decode().strip()


def _trusted(place: Place) -> tuple[list[Any], list[Any], list[Any]]:
    import asyncssh

    found = []
    for name in ("host_keys", "host_cas", "revoked"):
        try:
            found.append([asyncssh.import_public_key(_key(line)) for line in getattr(place, name)])
        except (asyncssh.KeyImportError, ValueError) as error:
            raise wrong(f"{name} of {place.host}: {error}") from error
    return found[0], found[1], found[2]


def _key(line: str) -> str:
    """The key of a line, also of one out of known_hosts: what comes before the kind of key is names of hosts."""
    words = line.split()
    for number, word in enumerate(words):
        if word.startswith(("ssh-", "ecdsa-", "sk-")):
            return " ".join(words[number : number + 2])
    return line


def _pair(identity: Identity) -> Any:
    import asyncssh

    try:
        key = asyncssh.import_private_key(identity.key)
        return (key, asyncssh.import_certificate(identity.certificate)) if identity.certificate else key
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise wrong(f"the private key can't be used: {clean(error)} (OpenSSH text without a passphrase)") from error


def _not_it(place: Place, presented: Presented, said: str) -> ActionError:
    """Which way the host is not the one that is known."""
    told = said.lower()
    if "revoked" in told:
        if len(place.revoked) == 1 and not presented.fingerprint:  # it is refused before anybody is shown it
            presented.fingerprint = fingerprint_of(place.revoked[0])
        return _host_key("HostKeyRevoked", place, f"it shows a key that was revoked {presented.fingerprint}".rstrip())
    if "expired" in told or "not yet valid" in told:
        return _host_key(
            "HostKeyExpired", place, "its host certificate is not valid now: sign it anew on the host's CA"
        )
    if "principal" in told or "not valid for" in told:
        return _host_key("HostKeyChanged", place, f"its host certificate is another host's ({clean(said)})")
    shown = presented.fingerprint or presented.authority or "another key"
    if place.host_keys or place.host_cas:
        fix = (
            "somebody may be in between, or it was set up anew: compare it on the host itself, then change its key here"
        )
        return _host_key(
            "HostKeyChanged", place, f"it shows {shown}, which is not the key it is known by; {fix}", presented
        )
    fix = "compare it on the host (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then add it as host_keys"
    return _host_key("HostKeyUnknown", place, f"it shows {shown}, and no key is known for it; {fix}", presented)


def _host_key(error: str, place: Place, says: str, presented: Presented | None = None) -> ActionError:
    detail = {"fingerprint": presented.fingerprint, "line": presented.line} if presented else None
    return ActionError(error, f"{_at(place)}: {says}", kind="authentication", retryable=False, detail=detail)


def _at(place: Place) -> str:
    return f"{clean(place.host, 80)}:{place.port}"


def made_key() -> tuple[str, str]:
    """A fresh Ed25519 pair: private text, public line. It lives in memory only."""
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    return key.export_private_key().decode(), key.export_public_key().decode().strip()


def with_known(place: Place, lines: Sequence[str]) -> Place:
    """The place with what lines of a known_hosts file say of it (hashed names too), where it names no keys itself.

    Raises ActionError `NotConfigured`.
    """
    import asyncssh

    if place.host_keys or place.host_cas:
        return place
    try:
        port = place.port if place.port != 22 else None
        matched = asyncssh.match_known_hosts(asyncssh.import_known_hosts("\n".join(lines)), place.host, "", port)
    except ValueError as error:
        raise wrong(f"known_hosts: {error}") from error
    keys, cas, revoked = (
        tuple(one.export_public_key("openssh").decode().strip() for one in part) for part in matched[:3]
    )
    return msgspec.structs.replace(place, host_keys=keys, host_cas=cas, revoked=(*place.revoked, *revoked))


class _Keyring:
    """The keyring as the CA asks for it: reading alone."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret

    def get(self, name: str) -> str:
        return self._secret(name)

    def set(self, name: str, value: str) -> None:
        raise wrong("the CA of access has no key yet: it is made with the first certificate")

    def prepare(self) -> None: ...


def own_identity(secret: Callable[[str], str], entry: str) -> Callable[[Place, float], Identity]:
    """The engine's own key: an entry of the keyring, else a fresh pair with a certificate of the CA of access.

    The certificate's times are the gateway's own, so they are real time, whatever clock the engine runs on.
    """
    if entry:
        return lambda place, seconds: Identity(secret(entry))

    def sign(place: Place, seconds: float) -> Identity:
        if not place.principal:
            raise wrong(f"{place.host}: needs `secret` (a private key), or a `principal` for certificates of the CA")
        private, public = made_key()
        now = time.time()
        signed = ssh_ca.Authority.open(_Keyring(secret), make=False).sign(
            public, serial=0, key_id="quarterdeck engine", principals=[place.principal], valid_after=now - 120,
            valid_before=now + seconds, extensions=("permit-port-forwarding",),
        )  # fmt: skip
        return Identity(private, signed.text)

    return sign
