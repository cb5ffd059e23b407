"""User certificates for gateways: signed by a CA of the engine, whose private key lies in the keyring and nowhere else.

The end of a grant is inside its certificate, so a gateway ends it with no engine near: sshd refuses the login after
`valid_before`, and the forced command ends a session that is open at that moment (sshd itself would let it go on). What
is taken back earlier stands in a key revocation list (PROTOCOL.krl) that gateways fetch.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from engine.capabilities.ports import ActionError

SECRET = "access-ssh-ca"
KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
MIN_RSA = 3072
KRL_MAGIC = b"SSHKRL\n\0"
_KRL_CERTIFICATES, _KRL_SERIALS = 1, 0x20


class Secrets(Protocol):
    """What is needed of the keyring (`engine.capabilities.secrets.Secrets`)."""

    def get(self, name: str) -> str: ...
    def set(self, name: str, value: str) -> None: ...
    def prepare(self) -> None: ...


class Certificate(Struct, frozen=True, kw_only=True):
    """A signed certificate as one line for an `id-cert.pub` file; `fingerprint` is of the person's own key."""

    text: str
    serial: int
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    fingerprint: str


def bad_key(message: str) -> ActionError:
    return ActionError("BadKey", message, kind="validation", retryable=False)


def fingerprint(public: str) -> str:
    """SHA256:… of a public key line, as `ssh-keygen -l` shows it. Raises ActionError `BadKey`."""
    return _fingerprint(_blob(public))


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _blob(public: str) -> bytes:
    words = public.split()
    if len(words) < 2 or words[0] not in KEY_TYPES:
        raise bad_key(f"not a public SSH key of a kind that is taken ({', '.join(KEY_TYPES)})")
    try:
        return base64.b64decode(words[1], validate=True)
    except ValueError as error:
        raise bad_key("the public key is not base64") from error


def public_key(text: str) -> Any:
    """The key of one line as OpenSSH writes it. Private keys, certificates and weak keys are refused (ActionError `BadKey`)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    if "PRIVATE KEY" in text:
        raise bad_key(
            "that is a private key: it is not to leave the person's own machine; make a new pair and send the .pub"
        )
    _blob(text)
    try:
        key = load_ssh_public_key(text.strip().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise bad_key(f"the public key can't be read: {error}") from error
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA:
        raise bad_key(f"an RSA key of {key.key_size} bits is too weak: {MIN_RSA} or more, or Ed25519")
    return key


class Authority:
    """The CA. Its key is made at the first use; `public` is the line for `TrustedUserCAKeys`."""

    def __init__(self, private: Any) -> None:
        self._private = private

    @classmethod
    def open(cls, secrets: Secrets, *, make: bool = True) -> Authority:
        """Raises ActionError `SecretMissing` (with `make` only when the keyring can't be used), `KeyringUnusable`."""
        from cryptography.hazmat.primitives.serialization import load_ssh_private_key

        return cls(load_ssh_private_key(key_text(secrets, SECRET, make).encode(), password=None))

    @property
    def public(self) -> str:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        line = self._private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        return f"{line.decode()} quarterdeck-access-ca"

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public)

    def sign(
        self,
        public: str,
        *,
        serial: int,
        key_id: str,
        principals: Sequence[str],
        valid_after: float,
        valid_before: float,
        extensions: Iterable[str] = ("permit-pty",),
        source_address: str = "",
    ) -> Certificate:
        """A user certificate for `public` between the two times (UTC epoch s). Raises ActionError `BadKey`."""
        from cryptography.hazmat.primitives.serialization.ssh import SSHCertificateBuilder, SSHCertificateType

        key = public_key(public)
        if not principals:
            raise ActionError(
                "NoPrincipal", "a certificate without principals would open every account", retryable=False
            )
        after, before = int(valid_after), int(valid_before)
        if before <= after:
            raise ActionError("BadTime", "the certificate would end before it begins", retryable=False)
        builder = (
            SSHCertificateBuilder()
            .public_key(key)
            .serial(serial)
            .type(SSHCertificateType.USER)
            .key_id(key_id.encode())
            .valid_principals([one.encode() for one in principals])
            .valid_after(after)
            .valid_before(before)
            .add_critical_option(b"force-command", forced_command(before).encode())
        )
        if source_address:
            builder = builder.add_critical_option(b"source-address", source_address.encode())
        for name in sorted(set(extensions)):
            builder = builder.add_extension(name.encode(), b"")
        line = builder.sign(self._private).public_bytes().decode()
        return Certificate(
            text=f"{line} {key_id.replace(' ', '_')}", serial=serial, key_id=key_id, principals=tuple(principals), valid_after=after,
            valid_before=before, fingerprint=fingerprint(public),
        )  # fmt: skip

    def revocations(self, serials: Iterable[int], *, version: int, at: float, comment: str = "") -> bytes:
        """The key revocation list that names these certificates of this CA: for `RevokedKeys`."""
        listed = b"".join(struct.pack(">Q", serial) for serial in sorted(set(serials)))
        head = KRL_MAGIC + struct.pack(">IQQQ", 1, version, int(at), 0) + _string(b"") + _string(comment.encode())
        if not listed:
            return head
        body = _string(_blob(self.public)) + _string(b"") + bytes([_KRL_SERIALS]) + _string(listed)
        return head + bytes([_KRL_CERTIFICATES]) + _string(body)


def fresh_pair() -> tuple[str, str]:
    """An Ed25519 pair of a session's own: private text and public line (OpenSSH). It never touches a disk."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def forced_command(until: int) -> str:
    """What the gateway runs instead of what was asked: the same, for no longer than the grant (GNU `timeout`).

    The whole process group gets a hang-up, and two seconds later no choice. On a terminal the shell has to stay in the
    foreground, and its end hangs up the rest. A gateway whose clock runs ahead ends it at once. What detaches itself from
    its session is the gateway's to end (`KillUserProcesses=yes` in logind.conf).
    """
    left = f'n=$(({until}-$(date +%s))); [ "$n" -gt 0 ] || {{ echo "this access has ended" >&2; exit 255; }}'
    limited = 'exec timeout $f -s HUP -k 2 "$n" "${SHELL:-/bin/sh}" ${SSH_ORIGINAL_COMMAND:+-c "$SSH_ORIGINAL_COMMAND"}'
    return f"{left}; f=; [ -t 0 ] && f=--foreground; {limited}"


def key_text(secrets: Secrets, name: str, make: bool) -> str:
    """An Ed25519 private key of the keyring, made and stored when there is none yet."""
    try:
        return secrets.get(name)
    except ActionError as error:
        if error.error != "SecretMissing" or not make:
            raise
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    secrets.prepare()
    secrets.set(name, text)
    return secrets.get(name)


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
