"""Signed statements (DSSE envelopes, Ed25519): the manifest of an export, the ticket to look at data.

A statement names what may be done, by whom, and until when; whoever holds the files or serves them checks it without the
engine: the public key, the signature over the pre-authentication encoding, the end, then each file's digest.
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from engine.capabilities.access.ssh_ca import Secrets, key_text

Json = Any
SECRET = "access-export-key"
EXPORT = "application/vnd.quarterdeck.export+json"
TICKET = "application/vnd.quarterdeck.access-ticket+json"
MEDIA = "application/vnd.dsse.envelope.v1+json"
_canonical = msgspec.json.Encoder(order="sorted")


class BadEnvelope(ValueError):
    """What was given is no statement of this key, or it is over; the message says which."""


class Statement(Struct, frozen=True, kw_only=True):
    """A statement that was checked."""

    type: str
    body: dict[str, Json]
    keyid: str


class Signer:
    """Signs with a key of the keyring, made at the first use."""

    def __init__(self, private: Any) -> None:
        self._private = private

    @classmethod
    def open(cls, secrets: Secrets, *, make: bool = True) -> Signer:
        """Raises ActionError `SecretMissing`, `KeyringUnusable`."""
        from cryptography.hazmat.primitives.serialization import load_ssh_private_key

        return cls(load_ssh_private_key(key_text(secrets, SECRET, make).encode(), password=None))

    @property
    def public(self) -> str:
        """The raw public key in base64."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return base64.b64encode(self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()

    def sign(self, type_: str, body: dict[str, Json]) -> bytes:
        """The envelope as JSON."""
        payload = _canonical.encode(body)
        signature = self._private.sign(encoding(type_, payload))
        return _canonical.encode(
            {
                "payloadType": type_,
                "payload": base64.b64encode(payload).decode(),
                "signatures": [{"keyid": key_id(self.public), "sig": base64.b64encode(signature).decode()}],
            }
        )


def encoding(type_: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: lengths first, so that nothing can be moved between type and body."""
    return b"DSSEv1 %d %b %d %b" % (len(type_), type_.encode(), len(payload), payload)


def key_id(public: str) -> str:
    return "sha256:" + hashlib.sha256(base64.b64decode(public)).hexdigest()[:32]


def opened(envelope: bytes, public: str, *, now: float | None = None) -> Statement:
    """The statement of an envelope that `public` (raw Ed25519 in base64) signed. With `now` it must not be over.

    Raises BadEnvelope.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        found = msgspec.json.decode(envelope)
        type_, payload = str(found["payloadType"]), base64.b64decode(found["payload"], validate=True)
        signatures = [base64.b64decode(one["sig"], validate=True) for one in found["signatures"]]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, binascii.Error) as error:
        raise BadEnvelope(f"this is no signed statement: {error}") from error
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public))
    for signature in signatures[:8]:
        try:
            key.verify(signature, encoding(type_, payload))
            break
        except InvalidSignature:
            continue
    else:
        raise BadEnvelope("the signature is not by this key, or the statement was changed")
    body = msgspec.json.decode(payload)
    if not isinstance(body, dict):
        raise BadEnvelope("the statement is no object")
    if now is not None and not float(body.get("not_before", 0.0)) <= now < float(body.get("expires_at", 0.0)):
        raise BadEnvelope("the statement is over, or not yet valid")
    return Statement(type=type_, body=body, keyid=key_id(public))
