"""What an object store answers, read with suspicion: XML without entities, sizes that are numbers, keys without control
characters; and what its refusals are called here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import unquote
from xml.etree import ElementTree

from msgspec import Struct

from connectors.remote_text import clean
from engine.capabilities.ports import ActionError, Stored

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NAMESPACE = re.compile(r"^\{[^}]*\}")


class Answer(Struct, frozen=True):
    """A small answer, whole."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Part(Struct, frozen=True, kw_only=True):
    """A piece of a transfer in parts, as the store has it. `etag` without quotes: the MD5 of its bytes."""

    number: int
    bytes: int
    etag: str


def place(uri: str) -> tuple[str, str]:
    """Bucket and key or prefix of `s3://bucket/key`. Raises ActionError `BadFolder`."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not _BUCKET.fullmatch(bucket) or len(key.encode()) > 1024:
        raise ActionError(
            "BadFolder", f"{clean(uri, 200)} is not s3://bucket/prefix", kind="validation", retryable=False
        )
    return bucket, key


def read(body: bytes) -> ElementTree.Element:
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ActionError("BadAnswer", "the object store's answer declares entities", retryable=False)
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise ActionError("BadAnswer", "the object store's answer is no XML") from error


def named(root: ElementTree.Element, name: str) -> list[dict[str, str]]:
    """Every element of that name, as its children's texts."""
    return [{tag(one): one.text or "" for one in entry} for entry in root.iter() if tag(entry) == name]


def text_of(root: ElementTree.Element, name: str) -> str:
    """The first element's text; empty when there is none."""
    return next((one.text or "" for one in root.iter() if tag(one) == name), "")


def tag(element: ElementTree.Element) -> str:
    return _NAMESPACE.sub("", element.tag)


def stored(bucket: str, said: Mapping[str, str]) -> Stored | None:
    """One entry of a listing; None when it makes no sense."""
    try:
        size, at = int(said["Size"]), datetime.fromisoformat(said["LastModified"].replace("Z", "+00:00")).timestamp()
        key = said["Key"]
    except (KeyError, ValueError):
        return None
    if size < 0 or not key or any(ord(c) < 32 for c in key):
        return None
    return Stored(uri=f"s3://{bucket}/{key}", bytes=size, etag=said.get("ETag", ""), modified_at=at)


def part(said: Mapping[str, str]) -> Part | None:
    try:
        return Part(number=int(said["PartNumber"]), bytes=int(said["Size"]), etag=said["ETag"].strip('"'))
    except (KeyError, ValueError):
        return None


def refused(status: int, uri: str, body: bytes = b"") -> ActionError:
    """What this status means. The store's own code, such as NoSuchBucket, is said when there is one."""
    kind = {401: "authentication", 403: "authorization", 404: "validation", 409: "conflict", 412: "conflict"}.get(
        status, "communication"
    )
    name = {401: "NotAllowed", 403: "NotAllowed", 404: "BadFolder", 409: "Conflict", 412: "Conflict"}.get(
        status, "BadAnswer"
    )
    try:
        code = text_of(read(body), "Code") if body else ""
    except ActionError:
        code = ""
    said = f" ({clean(code, 60)})" if code else ""
    return ActionError(
        name, f"{clean(unquote(uri), 200)}: the object store answered {status}{said}", kind=kind, retryable=False
    )
