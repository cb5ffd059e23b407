"""Writing to an object store: put in one piece or in parts, lent out by a signed URL, removed; and what it holds, mirrored.

Rules:

1. What is put is hashed before and after: the digest is computed from the file, sent as the signed hash of each request's
   body, kept with the object (`x-amz-meta-quarterdeck-digest`) and read back. An upload that is not whole is no object.
2. Putting the same content to the same place again is doing it once, also after a crash: what is there with this digest
   stays, and an upload in parts goes on with the parts the store has.
3. An object that holds anything else is never overwritten (`Conflict`).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from connectors import s3_answers as answers
from connectors.aws_signature import LONGEST_S, Key, presigned
from connectors.remote_text import clean
from connectors.s3 import S3, path_of
from connectors.s3_answers import Answer, Part, place, refused
from engine.capabilities.ports import ActionError, Stored
from engine.capabilities.systems.ports import Feed, Pulled, RemoteObject, Right

PART_B = 16 << 20
LEAST_PART_B = 5 << 20  # S3's own limit for all parts but the last
MOST_PARTS = 10_000
META = "x-amz-meta-quarterdeck-digest"
OBJECT = Feed(kind="object", title="objects", every_s=300.0, full_every_s=0.0, stale_s=1800.0)


class Held(Struct, frozen=True, kw_only=True):
    """What stands at a place. `digest` as it was put by us; empty for what others put."""

    bytes: int
    etag: str
    digest: str


class ObjectStore(S3):
    """Implements Objects and, when something is mirrored, Source; reading is its base's (Recordings)."""

    traits: dict[str, str] = {
        "overwrite": "an object that holds something else is never overwritten: another name, or remove it first",
        "rename": "a store has no renames: a moved object is a removed and a new one",
    }

    def __init__(self, url: str, *, mirror: str = "", part_b: int = PART_B, **options: Any) -> None:
        super().__init__(url, **options)
        if part_b < LEAST_PART_B and self._transport is None:
            part_b = LEAST_PART_B
        self._part_b = part_b
        self._mirror = place(mirror) if mirror else ("", "")
        self.feeds: tuple[Feed, ...] = (OBJECT,) if mirror else ()

    async def check(self) -> str:
        said = await super().check()
        if self.feeds:
            await self._page(*self._mirror, "")
        return said

    async def rights(self) -> list[Right]:
        """What can be found out by reading; writing is only known by doing it."""
        found = []
        if self.feeds:
            try:
                await self._page(*self._mirror, "")
                may: bool | None = True
            except ActionError as error:
                may = False if error.kind in ("authorization", "authentication") else None
            found.append(Right(name=f"list {self._mirror[0]}", has=may, needed_for="the mirror of its objects"))
        return [*found, Right(name="write and remove objects", has=None, needed_for="object.put, object.remove")]

    # -- writing ------------------------------------------------------------------------------------------------------

    async def put(self, uri: str, file: Path, *, digest: str, told: Callable[[int, int], None] | None = None) -> str:
        """Returns the URI. Raises ActionError `DigestMismatch` (the file is not what was said) and `Conflict`."""
        bucket, key = _object(uri)
        whole, md5, size = await asyncio.to_thread(_hashed, file)
        if whole != digest:
            raise _wrong("DigestMismatch", f"{file.name} is {whole}, not {digest}")
        if await self._stands(uri, digest, size, md5):
            return uri
        if size <= self._part_b:
            await self._put_whole(uri, file, digest, size)
        else:
            await self._put_parts(uri, file, digest, size, told)
        held = await self._held(bucket, key)
        if held is None or held.bytes != size or held.digest not in (digest, ""):
            raise ActionError(
                "NotKept", f"{clean(uri, 200)}: the object store does not hold what was put", kind="unknown"
            )
        if told is not None:
            told(size, size)
        return uri

    async def get(
        self, uri: str, target: Path, *, digest: str = "", told: Callable[[int, int], None] | None = None
    ) -> str:
        """Writes the object to `target`; its digest. Raises `NoSuchObject`, and `DigestMismatch` with nothing left behind."""
        bucket, key = _object(uri)
        held = await self._held(bucket, key)
        if held is None:
            raise _wrong("NoSuchObject", f"there is no {clean(uri, 200)}")
        await self.fetch(Stored(uri=uri, bytes=held.bytes, etag=held.etag), target, told)
        found, _, _ = await asyncio.to_thread(_hashed, target)
        expected = digest or held.digest
        if expected and found != expected:
            target.unlink(missing_ok=True)
            raise _wrong("DigestMismatch", f"{clean(uri, 200)} is {found}, not {expected}")
        return found

    async def presign(self, uri: str, *, method: Literal["GET", "PUT"], seconds: int) -> str:
        """A URL that lets whoever has it read or write this one object for a while. It is a credential: never kept or logged."""
        bucket, key = _object(uri)
        if not self._access or self._secret is None:
            raise ActionError(
                "NotConfigured", "s3: only what has an access key can sign", kind="configuration", retryable=False
            )
        if not 1 <= seconds <= LONGEST_S:
            raise _wrong("BadInput", f"a signed URL lives 1 to {LONGEST_S} seconds, not {seconds}")
        signing = Key(access=self._access, secret=await asyncio.to_thread(self._secret), region=self._region)
        host = urlsplit(self.url).netloc
        path = path_of(bucket, key)
        return self.url + presigned(method, host, path, key=signing, at=self._wall(), seconds=seconds)

    async def delete(self, uri: str) -> None:
        """Removing what is not there is no mistake."""
        bucket, key = _object(uri)
        answer = await self._answered("DELETE", path_of(bucket, key), {})
        if answer.status not in (200, 204, 404):
            raise refused(answer.status, uri, answer.body)

    # -- the mirror ---------------------------------------------------------------------------------------------------

    async def pull(self, feed: str, cursor: str) -> Pulled:
        """Everything, page by page: a store tells no changes. The cursor is the store's own token of the next page. Raises
        `CursorLost`."""
        bucket, prefix = self._mirror
        try:
            page, token = await self._page(bucket, prefix, cursor)
        except ActionError as error:
            if cursor and error.error == "BadAnswer":
                what = "the object store no longer knows that page: everything is listed anew"
                raise ActionError("CursorLost", what, kind="conflict") from error
            raise
        return Pulled(
            objects=tuple(
                RemoteObject(
                    id=clean(one.uri, 1100), name=clean(one.uri.rsplit("/", 1)[-1], 200), state="stored",
                    changed_at=one.modified_at, etag=clean(one.etag.strip('"'), 100), data={"bytes": one.bytes},
                )
                for one in page
                if not one.uri.endswith("/")
            ),
            cursor=token, more=bool(token), full=True,
        )  # fmt: skip

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _held(self, bucket: str, key: str) -> Held | None:
        answer = await self._answered("HEAD", path_of(bucket, key), {})
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise refused(answer.status, f"s3://{bucket}/{key}")
        size = answer.headers.get("content-length", "")
        if not size.isdigit():
            raise _wrong("BadAnswer", "the object store does not say how long an object is")
        return Held(bytes=int(size), etag=answer.headers.get("etag", ""), digest=answer.headers.get(META, ""))

    async def _stands(self, uri: str, digest: str, size: int, md5: str) -> bool:
        """Whether it is there already. Raises `Conflict` when something else is."""
        held = await self._held(*_object(uri))
        if held is None:
            return False
        if held.bytes == size and (held.digest == digest or (not held.digest and held.etag.strip('"') == md5)):
            return True
        raise ActionError(
            "Conflict",
            f"{clean(uri, 200)} holds something else ({held.digest or held.etag}); it is not overwritten",
            kind="conflict",
            retryable=False,
        )

    async def _put_whole(self, uri: str, file: Path, digest: str, size: int) -> None:
        bucket, key = _object(uri)
        body = await asyncio.to_thread(file.read_bytes)
        headers = {META: digest, "if-none-match": "*", "content-type": "application/octet-stream"} | _checksum(body)
        path = path_of(bucket, key)
        answer = await self._answered(
            "PUT", path, {}, headers=headers, body=body, payload=digest.removeprefix("sha256:")
        )
        if answer.status == 501:  # an older store that knows no condition: the look before has to do
            del headers["if-none-match"]
            answer = await self._answered(
                "PUT", path, {}, headers=headers, body=body, payload=digest.removeprefix("sha256:")
            )
        if answer.status in (409, 412):  # ours, when an answer was lost; else somebody else's
            if not await self._stands(uri, digest, size, hashlib.md5(body, usedforsecurity=False).hexdigest()):
                raise refused(answer.status, uri, answer.body)
        elif answer.status not in (200, 201, 204):
            raise refused(answer.status, uri, answer.body)

    async def _put_parts(
        self, uri: str, file: Path, digest: str, size: int, told: Callable[[int, int], None] | None
    ) -> None:
        """In parts of one size. Parts that are there already, from an upload that was broken off, are not sent again."""
        bucket, key = _object(uri)
        path = path_of(bucket, key)
        part_b = max(self._part_b, -(-size // MOST_PARTS))
        count = -(-size // part_b)
        upload, have = await self._begun(bucket, key, file, part_b, size)
        if not upload:
            headers = {META: digest, "content-type": "application/octet-stream", "x-amz-checksum-algorithm": "SHA256"}
            answer = await self._answered("POST", path, {"uploads": ""}, headers=headers)
            if answer.status != 200:
                raise refused(answer.status, uri, answer.body)
            upload = answers.text_of(answers.read(answer.body), "UploadId")
        lines = []
        for number in range(1, count + 1):
            body = await asyncio.to_thread(_slice, file, (number - 1) * part_b, part_b)
            checksum = _checksum(body)
            known = have.get(number)
            if known is None:
                query = {"partNumber": str(number), "uploadId": upload}
                hexed = hashlib.sha256(body).hexdigest()
                answer = await self._answered("PUT", path, query, headers=checksum, body=body, payload=hexed)
                if answer.status not in (200, 201):
                    raise refused(answer.status, uri, answer.body)
                known = answer.headers.get("etag", "").strip('"')
            lines.append(
                f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{known}&quot;</ETag>"
                f"<ChecksumSHA256>{checksum['x-amz-checksum-sha256']}</ChecksumSHA256></Part>"
            )
            if told is not None:
                told(min(size, number * part_b), size)
        await self._complete(uri, upload, "".join(lines), digest, size)

    async def _complete(self, uri: str, upload: str, parts: str, digest: str, size: int) -> None:
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        hexed = hashlib.sha256(body).hexdigest()
        path = path_of(*_object(uri))
        answer: Answer = await self._answered(
            "POST", path, {"uploadId": upload}, headers={"content-type": "application/xml"}, body=body, payload=hexed
        )
        failed = answer.status != 200 or answers.tag(answers.read(answer.body)) == "Error"  # 200 may say that it failed
        if failed and not await self._stands(uri, digest, size, ""):  # an answer that was lost: it is complete already
            raise refused(answer.status if answer.status != 200 else 500, uri, answer.body)

    async def _begun(self, bucket: str, key: str, file: Path, part_b: int, size: int) -> tuple[str, dict[int, str]]:
        """An upload of exactly this that was broken off: its id, and the ETags of its parts."""
        answer = await self._answered("GET", f"/{bucket}", {"uploads": "", "prefix": key})
        if answer.status != 200:
            return "", {}  # no right to look, or no such call: it begins anew
        for said in answers.named(answers.read(answer.body), "Upload"):
            upload = said.get("UploadId", "")
            if said.get("Key") != key or not upload:
                continue
            parts = await self._parts(bucket, key, upload)
            same = parts and all([await asyncio.to_thread(_is, file, one, part_b, size) for one in parts])
            if same:
                return upload, {one.number: one.etag for one in parts}
        return "", {}

    async def _parts(self, bucket: str, key: str, upload: str) -> list[Part]:
        found: list[Part] = []
        marker = ""
        while True:
            query = {"uploadId": upload, "max-parts": "1000"} | ({"part-number-marker": marker} if marker else {})
            answer = await self._answered("GET", path_of(bucket, key), query)
            if answer.status != 200:
                return []
            root = answers.read(answer.body)
            found += [one for said in answers.named(root, "Part") if (one := answers.part(said)) is not None]
            before, marker = marker, answers.text_of(root, "NextPartNumberMarker")
            if answers.text_of(root, "IsTruncated") != "true" or marker in ("", before):
                return found


def _object(uri: str) -> tuple[str, str]:
    bucket, key = place(uri)
    if not key or key.endswith("/"):
        raise _wrong("BadObject", f"{clean(uri, 200)} names no object")
    return bucket, key


def _checksum(body: bytes) -> dict[str, str]:
    return {"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(body).digest()).decode()}


def _is(file: Path, part: Part, part_b: int, size: int) -> bool:
    """Whether a part at the store is this file's part of that number."""
    begin = (part.number - 1) * part_b
    if part.bytes != min(part_b, size - begin):
        return False
    return hashlib.md5(_slice(file, begin, part_b), usedforsecurity=False).hexdigest() == part.etag


def _slice(file: Path, begin: int, length: int) -> bytes:
    with file.open("rb") as stream:
        stream.seek(begin)
        return stream.read(length)


def _pieces(file: Path) -> Iterator[bytes]:
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb", buffering=0) as stream:
        while piece := stream.read(1 << 20):
            yield piece


def _hashed(file: Path) -> tuple[str, str, int]:
    """SHA-256 (as we name it), MD5 (the store's ETag of an object in one piece), bytes. Raises ActionError `NoFile`."""
    whole, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    try:
        for piece in _pieces(file):
            whole.update(piece)
            md5.update(piece)
            size += len(piece)
    except OSError as error:
        raise _wrong("NoFile", f"{file.name} can't be read: {error.strerror}") from error
    return f"sha256:{whole.hexdigest()}", md5.hexdigest(), size


def _wrong(error: str, message: str) -> ActionError:
    return ActionError(error, message, kind="validation", retryable=False)
