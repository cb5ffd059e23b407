"""Telling people: once per channel and cause. That a message is being sent is on disk before it goes out; whether one that
was not answered for arrived nobody knows, so it is not sent again, and said to be doubtful."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from engine.capabilities.notices.rules import NoticePolicy
from engine.capabilities.ports import Action, ActionError, Context, Deferred, InDoubt, Param, optional, required
from engine.capabilities.records import Emit
from engine.capabilities.systems.ports import Notice, Notify
from engine.contract.notices import NoticeView

Json = Any
FINAL = ("told", "doubtful", "failed", "over")
FAILED, DOUBTFUL = "qd.notice.failed", "qd.notice.doubtful"


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]] = WeakKeyDictionary()


def _turn(channel: str) -> asyncio.Lock:
    return _turns.setdefault(asyncio.get_running_loop(), {}).setdefault(channel, asyncio.Lock())


async def tell(context: Context, given: dict[str, Json]) -> dict[str, Json]:
    """One message to one channel. It never fails for good: that nobody could be told is told in the console."""
    channel, _, system = str(given["channel"]).partition("@")
    policy = NoticePolicy.of(context.policy("notices"))
    notice = await _record(context, given, channel, system)
    if notice.state in FINAL:
        return _said(notice)
    if notice.state == "sending":  # an earlier try was interrupted between the two
        if notice.severity not in policy.repeat_in_doubt:
            return await _doubtful(context, notice, "the engine stopped while it was sent")
        notice = await context.records.change("notice", notice.id, to="waiting", reason="sent again")
    if notice.gate and not await asyncio.to_thread(context.port("gates").open, notice.gate):
        return _said(await context.records.change("notice", notice.id, to="over", reason="decided meanwhile"))
    try:
        port: Notify = context.port(f"notify@{system}" if system else "notify")
    except ActionError as error:  # the system was taken out meanwhile
        return await _not_told(context, policy, notice, error)
    async with _turn(f"{system}/{channel}"):  # the share of a channel is counted by one at a time
        await _wait_for_room(context, policy, notice)
        notice = await context.records.change("notice", notice.id, to="sending", set={"tries": notice.tries + 1})
    message = Notice(title=notice.title, text=notice.text, severity=notice.severity, link=notice.link)
    try:
        await port.tell(channel, message, key=f"{context.key}/{notice.tries}")
    except InDoubt as error:
        return await _doubtful(context, notice, error.message)
    except ActionError as error:
        return await _not_told(context, policy, notice, error)
    told = {"told_at": context.now(), "error": ""}
    return _said(await context.records.change("notice", notice.id, to="told", set=told))


async def _record(context: Context, given: Mapping[str, Json], channel: str, system: str) -> NoticeView:
    severity = str(given.get("severity") or "info")
    fields = {
        "title": str(given["title"])[:200], "channel": channel, "system": system, "text": str(given["text"])[:2000],
        "severity": severity if severity in ("info", "warning", "critical") else "warning",
        "link": str(given.get("link") or "")[:200], "once": str(given["once"])[:300],
        "gate": str(given.get("gate") or "")[:100], "event": str(given.get("event") or "")[:200],
    }  # fmt: skip
    # whichever rules wanted it: a channel hears of an open gate once
    once = f"gate/{fields['gate']}/opened" if fields["event"] == "gate.opened" else fields["once"]
    found: NoticeView = await context.records.create("notice", fields, key=f"{once}|{system}|{channel}")
    return found


async def _wait_for_room(context: Context, policy: NoticePolicy, notice: NoticeView) -> None:
    """Raises Deferred in quiet hours, and when the channel had its share. What is critical waits for neither."""
    now = context.now()
    quiet = policy.quiet.until(notice.severity, now)
    if quiet > now:
        raise Deferred(f"quiet hours in {notice.channel}", quiet - now)
    if notice.severity == "critical":
        return
    most = policy.at_most
    where = {"channel": notice.channel}
    told = await context.records.find("notice", state="told", where=where, limit=most.count, order="-told_at")
    going = await context.records.find("notice", state="sending", where=where, limit=most.count)
    times = sorted([*(one.told_at for one in told), *(now for _ in going)], reverse=True)[: most.count]
    if len(times) >= most.count and (free := times[-1] + most.per) > now:
        raise Deferred(f"{notice.channel} had {most.count} messages", max(1.0, free - now))


async def _doubtful(context: Context, notice: NoticeView, why: str) -> dict[str, Json]:
    said = {"channel": notice.channel, "title": notice.title, "gate": notice.gate, "reason": why[:300]}
    return _said(
        await context.records.change(
            "notice", notice.id, to="doubtful", set={"error": why[:500]}, reason=why[:200], emit=(Emit(DOUBTFUL, said),)
        )
    )


async def _not_told(context: Context, policy: NoticePolicy, notice: NoticeView, error: ActionError) -> dict[str, Json]:
    """Certainly not sent: tried again later, until it has been tried often enough."""
    why = error.message[:500]
    if error.retryable and notice.tries < policy.tries and notice.state == "sending":
        await context.records.change("notice", notice.id, to="waiting", set={"error": why}, reason=why[:200])
        raise error
    said = {"channel": notice.channel, "title": notice.title, "gate": notice.gate, "reason": why[:300]}
    return _said(
        await context.records.change(
            "notice", notice.id, to="failed", set={"error": why}, reason=why[:200], emit=(Emit(FAILED, said),)
        )
    )


def _said(notice: NoticeView) -> dict[str, Json]:
    return {"notice": notice.id, "state": notice.state, "error": notice.error}


def actions() -> Mapping[str, Action]:
    return {
        "notify.tell": Action(
            name="notify.tell",
            run=tell,
            inputs=required(channel="string", once="string", title="string", text="string")
            | optional(severity="string", link="string", gate="string", event="string")
            | {"channel": Param(type="string", description="a channel, or CHANNEL@SYSTEM")},
            outputs=required(notice="string", state="string", error="string"),
            effect="idempotent",
            reads_back=True,
            description="Tells people through a channel, once; a message that was perhaps sent is not sent again.",
        )
    }
