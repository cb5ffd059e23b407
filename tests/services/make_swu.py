"""A minimal SWUpdate image (.swu): a cpio archive whose first member is sw-description. Enough for an update server."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def _member(name: str, data: bytes, inode: int) -> bytes:
    """One cpio entry, format 070702 (newc with checksum), as SWUpdate wants it."""
    path = name.encode() + b"\0"
    fields = [inode, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), sum(data) & 0xFFFFFFFF]
    if name == "TRAILER!!!":
        fields = [0] * 11 + [len(path), 0]
    head = b"070702" + b"".join(b"%08X" % f for f in fields) + path
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def swu(version: str, board: str, revisions: Sequence[str]) -> bytes:
    """An unsigned image of `version` for the given hardware."""
    payload = f"robot software {version}\n".encode()
    listed = ", ".join(f'"{r}"' for r in revisions)
    description = f"""software =
{{
    version = "{version}";
    {board} = {{
        hardware-compatibility: [ {listed} ];
        files: ( {{
            filename = "payload.bin";
            path = "/opt/robot/payload.bin";
            sha256 = "{hashlib.sha256(payload).hexdigest()}";
        }} );
    }};
}}
""".encode()
    body = (
        _member("sw-description", description, 1) + _member("payload.bin", payload, 2) + _member("TRAILER!!!", b"", 0)
    )
    return body + b"\0" * (-len(body) % 512)
