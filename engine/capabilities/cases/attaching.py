"""Photos, measurements and confirmations of a case: kept in the vault, named by digest in the case."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any

from engine.capabilities.cases.asked import Attach
from engine.capabilities.desk import Desk
from engine.contract.cases import Attachment, CaseView

Json = Any
MOST = 50
"""Attachments of one case; more belong into a recording."""


async def attach(desk: Desk, case: CaseView, args: Attach) -> Json:
    """Keeps the content for good under its digest. The same content twice is one attachment."""
    try:
        content = base64.b64decode(args.content, validate=True)
    except (binascii.Error, ValueError):
        desk.refuse("bad_content", "the content is not base64", field="content")
    if len(case.attachments) >= MOST:
        desk.refuse("too_many", f"{case.id} has {MOST} attachments", "name the rest in a note")
    kept = await asyncio.to_thread(
        desk.vault.put_bytes, content, media=args.media, source=case.id, name=f"{case.id}: {args.name}"[:200]
    )
    if any(one.digest == kept.digest for one in case.attachments):
        return {"id": case.id, "digest": kept.digest}
    one = Attachment(digest=kept.digest, name=args.name, media=args.media, by=desk.person, at=desk.now())
    found = await desk.records.change(
        "case", case.id, set={"attachments": [*case.attachments, one]}, reason=f"{args.name} attached by {desk.person}"
    )
    return {"id": found.id, "digest": kept.digest}
