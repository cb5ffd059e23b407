"""What others do with a session that was taken in: find its content, set it aside."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from engine.capabilities.data.byte_source import stamp_of
from engine.capabilities.data.scanning import Refused
from engine.capabilities.ports import ActionError
from engine.capabilities.records import Emit
from engine.contract.sessions import SessionView


def content_stamp(path: Path, format: str) -> str:
    """Changes when a recording is written or replaced; of a data set, when any of its files is. Raises OSError."""
    stamp = stamp_of(path.lstat())
    if format == "lerobot-v3":
        from engine.capabilities.data.lerobot import files_of

        try:
            return files_of(path)[1]
        except Refused:
            return stamp  # it can't be read as it stands, which is found when it is
    return stamp


def locate(vault: Any, session: SessionView, *, verify: bool = False) -> Path:
    """The file that holds what is used of a session: the mended or fetched one in the vault, else the one that came in.

    Raises ActionError `SessionGone` or `ContentChanged`: a name proves nothing, so what stands there is compared with what
    was read (by size and times; by its bytes when those differ, and with `verify`).
    """
    kept = session.content != session.digest or "://" in session.uri
    if session.format != "lerobot-v3" and kept:
        found: Path = vault.path(session.content)
        if verify and not vault.verify(session.content):
            raise ActionError(
                "ContentChanged",
                f"{session.id}: its file in the vault is not what was kept",
                kind="conflict",
                retryable=False,
            )
        return found
    path = Path(session.uri)
    try:
        same = content_stamp(path, session.format) == session.stamp
    except OSError as error:
        raise ActionError(
            "SessionGone", f"{session.id}: {session.name}: {error.strerror}", kind="unavailable", retryable=False
        ) from error
    if session.format == "lerobot-v3":
        if (verify or not same) and _root(path) != session.container:
            raise ActionError(
                "ContentChanged",
                f"{session.id}: {session.name} is not what was ingested",
                kind="conflict",
                retryable=False,
            )
    elif verify or not same:
        with path.open("rb") as stream:
            digest = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
        if digest != session.digest:
            raise ActionError(
                "ContentChanged",
                f"{session.id}: {session.name} is not what was ingested",
                kind="conflict",
                retryable=False,
            )
    return path


def _root(path: Path) -> str:
    from engine.capabilities.data.lerobot import open_dataset

    try:
        return open_dataset(path).root
    except Refused:
        return ""


async def set_aside(records: Any, session: SessionView, reason: str, *, code: str) -> SessionView:
    """Quarantines a session by somebody's decision; whoever uses it is told."""
    said = {
        "session": session.id, "digest": session.digest, "robot": session.robot, "site": session.site, "checks": [code],
        "reason": reason, "dataset": session.dataset,
    }  # fmt: skip
    found: SessionView = await records.change(
        "session",
        session.id,
        to="quarantined",
        set={"code": code},
        reason=reason,
        emit=(Emit("qd.session.quarantined", said),),
    )
    return found
