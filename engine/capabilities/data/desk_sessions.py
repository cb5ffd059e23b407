"""What people do with recordings beside campaigns: take a folder in, set a session aside, have one looked at again."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from engine.capabilities.data.entities_sessions import USABLE
from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Given, Short
from engine.contract.sessions import SessionView

Json = Any


class AddArgs(Args, frozen=True, kw_only=True):
    """`folder` is an absolute path that the engine can read."""

    folder: Given
    dataset: Short = ""
    robot: Short = ""
    site: Short = ""


class AsideArgs(Args, frozen=True, kw_only=True):
    reason: Given


class ReleaseArgs(Args, frozen=True, kw_only=True):
    reason: Given
    profile: Short = ""


async def add(desk: Desk, record: None, args: AddArgs) -> Json:
    await _seen(desk, args.folder)
    given = {"folder": args.folder, "dataset": args.dataset, "robot": args.robot, "site": args.site}
    run = await desk.start("session-intake", given, {"folder": args.folder})
    return {"run": run}


async def _added(desk: Desk, record: None, args: AddArgs) -> Foreseen:
    await _seen(desk, args.folder)
    return Foreseen((f"every recording under {args.folder[:200]} is read and checked; files stay where they are",))


async def _seen(desk: Desk, folder: str) -> None:
    """A slip in a path is answered at once, not by a run."""
    if folder.startswith("s3://"):
        return
    if not folder.startswith(("/", "file:///")):
        desk.refuse(
            "BadFolder",
            f"{folder[:200]!r} is no absolute path",
            "give the whole path, as the engine sees it, or s3://…",
            "folder",
        )
    if not await asyncio.to_thread(os.path.exists, folder.removeprefix("file://").replace("\0", "")):
        desk.refuse("BadFolder", f"the engine sees nothing at {folder[:200]}", "", "folder")


async def quarantine(desk: Desk, record: SessionView, args: AsideArgs) -> Json:
    from engine.capabilities.data.formats import set_aside

    done = await set_aside(desk.records, record, args.reason, code="by_hand")
    return {"session": done.id, "state": done.state}


async def _quarantined(desk: Desk, record: SessionView, args: AsideArgs) -> Foreseen:
    said = [f"{record.id} is set aside: {args.reason[:200]}"]
    if record.state in ("labelled", "curated"):
        said.append("snapshots that hold it keep it until they are withdrawn; it joins no new one")
    return Foreseen(tuple(said))


async def release(desk: Desk, record: SessionView, args: ReleaseArgs) -> Json:
    if record.state != "quarantined":
        desk.refuse("NotQuarantined", f"{record.id} is {record.state}, not quarantined")
    if not record.digest:
        desk.refuse(
            "NeverRead",
            f"{record.id} was never read: {_why(record)}",
            "mend the file where it comes from, and add it again",
        )
    if (
        record.code == "duplicate"
        and (other := await desk.records.get("session", record.duplicate_of))
        and other.state in (*USABLE, "ingested")
    ):
        desk.refuse("Duplicate", f"{record.id} is what {other.id} holds already, which is {other.state}")
    before = f"{record.code}: {_why(record)}"
    fields = {"verdict": "", "code": "", "duplicate_of": ""}
    await desk.records.change(
        "session", record.id, to="ingested", set=fields, reason=f"{args.reason} (was set aside for {before})"[:1000]
    )
    run = await desk.start("session-recheck", {"session": record.id, "profile": args.profile}, {"session": record.id})
    return {"session": record.id, "run": run}


async def _released(desk: Desk, record: SessionView, args: ReleaseArgs) -> Foreseen:
    return Foreseen((f"{record.id} is judged again; what fails again is set aside again",))


def _why(record: SessionView) -> str:
    return record.findings[0].text if record.findings else record.code


VERBS: tuple[DeskVerb, ...] = (
    DeskVerb(name="session.add", args=AddArgs, says="take recordings in", do=add, foresee=_added),
    DeskVerb(
        name="session.quarantine",
        args=AsideArgs,
        says="set a session aside",
        kind="session",
        do=quarantine,
        foresee=_quarantined,
    ),
    DeskVerb(
        name="session.release",
        args=ReleaseArgs,
        says="have a session looked at again",
        kind="session",
        do=release,
        foresee=_released,
    ),
)
