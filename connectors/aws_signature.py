"""AWS signature version 4, as S3 and what speaks like it check it: in headers, and in a URL that is lent out for a while.

Sources: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and sigv4-query-string-auth.html.
`path` is percent-encoded already; `at` is UTC epoch seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import quote

from msgspec import Struct

EMPTY = hashlib.sha256(b"").hexdigest()
LONGEST_S = 7 * 86_400
"""A presigned URL lives at most a week."""


class Key(Struct, frozen=True, kw_only=True):
    """An access key. Its representation shows no secret."""

    access: str
    secret: str
    region: str = "us-east-1"

    def __repr__(self) -> str:
        return f"Key({self.access}, {self.region})"


def signed(
    method: str, host: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], *, access_key: str, secret: str,
    region: str, at: float, payload: str = EMPTY,
) -> dict[str, str]:  # fmt: skip
    """The headers with a signature over them. `payload` is the SHA-256 of the body, in hex."""
    key = Key(access=access_key, secret=secret, region=region)
    stamp = _stamp(at)
    every = {k.lower(): v.strip() for k, v in headers.items()} | {
        "host": host,
        "x-amz-content-sha256": payload,
        "x-amz-date": stamp,
    }
    names = ";".join(sorted(every))
    canonical = "\n".join((method, path, query_of(query), _lines(every), names, payload))
    signature = _signature(key, stamp, canonical)
    del every["host"]
    return every | {
        "authorization": (
            f"AWS4-HMAC-SHA256 Credential={access_key}/{_scope(key, stamp)},SignedHeaders={names},Signature={signature}"
        )
    }


def presigned(method: str, host: str, path: str, *, key: Key, at: float, seconds: int) -> str:
    """`path` with a query that lets whoever holds it do this one thing for `seconds`. It names the access key, never the secret."""
    stamp = _stamp(at)
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{key.access}/{_scope(key, stamp)}", "X-Amz-Date": stamp,
        "X-Amz-Expires": str(seconds), "X-Amz-SignedHeaders": "host",
    }  # fmt: skip
    canonical = "\n".join((method, path, query_of(query), f"host:{host}\n", "host", "UNSIGNED-PAYLOAD"))
    return f"{path}?{query_of(query)}&X-Amz-Signature={_signature(key, stamp, canonical)}"


def query_of(query: Mapping[str, str]) -> str:
    """A query as it is signed: sorted, and nothing left unescaped that may be escaped."""
    return "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(query.items()))


def _signature(key: Key, stamp: str, canonical: str) -> str:
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, _scope(key, stamp), hashlib.sha256(canonical.encode()).hexdigest()))
    signing = f"AWS4{key.secret}".encode()
    for part in (stamp[:8], key.region, "s3", "aws4_request"):
        signing = hmac.digest(signing, part.encode(), "sha256")
    return hmac.new(signing, text.encode(), "sha256").hexdigest()


def _scope(key: Key, stamp: str) -> str:
    return f"{stamp[:8]}/{key.region}/s3/aws4_request"


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))


def _stamp(at: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
