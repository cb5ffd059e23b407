"""Signatures over what is built: Ed25519, in DSSE envelopes around in-toto statements.

The private key is an entry of the keyring (32 bytes in hex) and is read when something is signed; it is never kept,
shown or logged. Who verifies needs the public key alone; `key_id` is the SHA-256 of it.
Formats: DSSE v1.0 (secure-systems-lab/dsse, protocol.md), in-toto Statement v1.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from engine.capabilities.ports import ActionError

Json = Any
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
_canonical = msgspec.json.Encoder(order="sorted")


class Signed(Struct, frozen=True, kw_only=True):
    """An envelope and by which key: `public_key` is 32 bytes in hex."""

    envelope: dict[str, Json]
    key_id: str
    public_key: str


class Signer(Protocol):
    """The port `signing`."""

    def sign(self, statement: dict[str, Json], *, key: str, create: bool = False) -> Signed:
        """Raises ActionError `SecretMissing`, `KeyringUnusable`, `BadSigningKey`."""
        ...


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the bytes that are signed."""
    name = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


def statement(subjects: dict[str, str], predicate_type: str, predicate: dict[str, Json]) -> dict[str, Json]:
    """An in-toto statement about things by name and `sha256:` digest."""
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
            for name, digest in sorted(subjects.items())
        ],
        "predicateType": predicate_type,
        "predicate": predicate,
    }


class KeyringSigner:
    """Signs with a key of the installation's keyring."""

    def __init__(self, secrets: Any) -> None:
        self._secrets = secrets

    def sign(self, statement: dict[str, Json], *, key: str, create: bool = False) -> Signed:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        private = Ed25519PrivateKey.from_private_bytes(self._private(key, create))
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        payload = _canonical.encode(statement)
        key_id = "sha256:" + hashlib.sha256(public).hexdigest()
        signature = private.sign(pae(PAYLOAD_TYPE, payload))
        envelope = {
            "payloadType": PAYLOAD_TYPE,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"keyid": key_id, "sig": base64.b64encode(signature).decode()}],
        }
        return Signed(envelope=envelope, key_id=key_id, public_key=public.hex())

    def _private(self, key: str, create: bool) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        try:
            text = self._secrets.get(key)
        except ActionError as error:
            if error.error != "SecretMissing" or not create:
                raise
            fresh = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
            self._secrets.prepare()
            self._secrets.set(key, fresh.hex())
            return fresh
        try:
            value = bytes.fromhex(text.strip())
        except ValueError:
            value = b""
        if len(value) != 32:
            raise ActionError(
                "BadSigningKey", f"the keyring's entry {key!r} is no Ed25519 private key: 32 bytes in hex",
                kind="configuration", retryable=False,
            )  # fmt: skip
        return value


def verified(envelope: dict[str, Json], public_key: str, subject: str) -> str:
    """Why this envelope is no signature of that key over that digest; empty when it is."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        public.verify(signature, pae(envelope["payloadType"], payload))
        found = msgspec.json.decode(payload)
        subjects = {"sha256:" + one["digest"]["sha256"] for one in found["subject"]}
    except InvalidSignature:
        return "the signature is not by this key, or what it is over was changed"
    except (KeyError, IndexError, TypeError, ValueError, binascii.Error, msgspec.DecodeError) as error:
        return f"no readable envelope: {error.__class__.__name__}"
    return "" if subject in subjects else "the signature is over something else"
