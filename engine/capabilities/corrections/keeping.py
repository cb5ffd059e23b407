"""Keeping the window around a takeover: cut from its session's recording, or pinned on the robot before its ring
overwrites it and fetched within its time. What can't be had any more is LOST, with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from engine.capabilities.corrections import clips, detect, phases
from engine.capabilities.corrections.clustering import describe
from engine.capabilities.corrections.evidence_of import USABLE, WINDOWS, bounds_of
from engine.capabilities.corrections.ring import RobotsRecorder
from engine.capabilities.corrections.seeing import case_of, content
from engine.capabilities.ports import ActionError, Context, Deferred
from engine.capabilities.records import Emit
from engine.contract.corrections import CorrectionCase, WindowRef

Json = Any
Input = dict[str, Json]
GONE = ("Overwritten", "EmptyWindow", "BadClip", "NoSuchRobot", "SessionGone", "ContentChanged")
"""What no waiting brings back."""


async def capture(context: Context, given: Input) -> Json:
    """Keeps the window of raw topics, or says that it is lost and why. Asking again changes nothing."""
    policy = context.policy("correction")
    case: CorrectionCase = await case_of(context, given["correction"])
    if case.state != "detected":
        return _captured(case)
    try:
        if case.session:
            ref, signals = await _from_session(context, case, policy)
        else:
            ref, signals = await _from_ring(context, case, policy)
        if ref.covered < float(policy["min_covered"]):
            raise ActionError(
                "Overwritten",
                f"only {100 * ref.covered:.0f} % of the window is still there",
                kind="domain",
                retryable=False,
            )
    except ActionError as error:
        if error.error not in GONE:
            raise
        lost = await context.records.change(
            "correction", case.id, to="lost", set={"lost_why": error.message[:500]}, reason=error.message[:500],
            emit=(Emit("qd.correction.lost", {"correction": case.id, "robot": case.robot, "reason": error.message[:500]}),),
        )  # fmt: skip
        return _captured(lost)
    seen = detect.interventions(signals, {**policy, "merge_gap": 0}) if signals.intervention or signals.modes else None
    t0, t1, more = case.t0, case.t1, {}
    if case.trigger == "live" and seen and seen.cases:
        best = min(seen.cases, key=lambda found: abs(found.t0 - case.t0))
        t0, t1 = best.t0, best.t1
        suggested = detect.suggest(best, policy, task=case.task or signals.task)
        more = {
            "t0": t0, "t1": t1, "by": best.by, "mode": best.mode or case.mode, "link_ms": best.link_ms,
            "operator": case.operator or best.operator, "anomaly": best.anomaly, "suggested": to_builtins(suggested),
            "flags": list(dict.fromkeys((*case.flags, *best.flags))), "task": case.task or signals.task,
            "zone": case.zone or signals.zone,
        }  # fmt: skip
    auto = phases.derive(signals, t0, t1, policy)
    case = await context.records.change(
        "correction", case.id, to="captured",
        set={
            **more, "window": to_builtins(ref), "auto": to_builtins(auto), "shown": to_builtins(auto),
            "features": list(describe(phases.features(signals, t0, t1))), "group": _group(case, t0),
        },
        reason=f"window of {ref.end - ref.start:.0f} s kept ({ref.source})",
    )  # fmt: skip
    return _captured(case)


def _captured(case: CorrectionCase) -> Json:
    return {
        "correction": case.id, "state": case.state, "digest": case.window.digest if case.window else "",
        "covered": case.window.covered if case.window else 0.0, "why": case.lost_why,
    }  # fmt: skip


def _group(case: CorrectionCase, t0: float) -> str:
    """The unit of the split: site-day and robot."""
    return f"{case.site or 'nowhere'}/{datetime.fromtimestamp(t0, UTC):%Y-%m-%d}/{case.robot}"


async def _from_session(
    context: Context, case: CorrectionCase, policy: Mapping[str, Json]
) -> tuple[WindowRef, clips.Signals]:
    session = await context.records.get("session", case.session)
    if session is None:
        raise ActionError("SessionGone", f"{case.session} is not known any more", kind="domain", retryable=False)
    start, end = clips.window(case.t0, case.t1, policy)
    begin, finish = bounds_of(session)
    start, end = max(start, begin), min(end, finish)
    path = await asyncio.to_thread(content, context, session)
    if session.format != "mcap":
        from engine.capabilities.corrections.frames import as_recording

        with clips.scratch() as made:
            await asyncio.to_thread(as_recording, path, session, made, start, end)
            return await _kept(context, [made], case, start=start, end=end, source="session")
    return await _kept(context, [path], case, start=start, end=end, source="session")


async def _from_ring(
    context: Context, case: CorrectionCase, policy: Mapping[str, Json]
) -> tuple[WindowRef, clips.Signals]:
    """Pin at once (the ring overwrites), then fetch within its time. Out of reach: later, until it is too late."""
    recorder: RobotsRecorder = context.port("robots_recorder")
    start, end = clips.window(case.t0, case.t1, policy)
    pin, pinned_at = (case.window.pin, case.window.pinned_at) if case.window else ("", 0.0)
    if not pin:
        try:
            made = await recorder.pin(case.robot, start, end, key=case.id)
        except Deferred as away:
            if context.now() > case.t0 + float(policy["pin_within"]):
                raise ActionError(
                    "Overwritten",
                    f"{case.robot} was out of reach for {policy['pin_within'] / 60:g} min, as long as its ring is",
                    kind="domain",
                    retryable=False,
                ) from away
            raise Deferred(away.reason, min(away.seconds, float(policy["pin_within"]) / 10)) from away
        pin, pinned_at = made.ref, context.now()
        await context.records.change(
            "correction", case.id, set={"window": to_builtins(WindowRef(pin=pin, pinned_at=pinned_at, source="ring"))},
            reason=f"pinned on {case.robot}",
        )  # fmt: skip
    try:
        paths = await recorder.fetch(case.robot, pin)
    except Deferred as away:
        if context.now() > pinned_at + float(policy["upload_within"]):
            raise ActionError(
                "Overwritten", f"not uploaded within {policy['upload_within'] / 3600:g} h: {away.reason}", kind="domain",
                retryable=False,
            ) from away  # fmt: skip
        raise Deferred(away.reason, float(policy["retry_upload"])) from away
    ring = await recorder.ring(case.robot)
    ref, signals = await _kept(
        context,
        list(paths),
        case,
        start=start,
        end=end,
        source="ring",
        pin=pin,
        pinned_at=pinned_at,
        offset=ring.clock_offset_s,
    )
    await recorder.release(case.robot, pin)
    return ref, signals


async def _kept(
    context: Context, sources: Sequence[Path], case: CorrectionCase, *, start: float, end: float, source: str,
    pin: str = "", pinned_at: float = 0.0, offset: float = 0.0,
) -> tuple[WindowRef, clips.Signals]:  # fmt: skip
    def work() -> tuple[clips.Cut, Any, clips.Signals]:
        with clips.scratch() as target:
            made = clips.cut(sources, target, start, end)
            kept = context.vault.put_file(
                target, media=clips.MEDIA, source=case.session or case.robot, name=f"{case.id}.mcap"
            )
            return made, kept, clips.read(target)

    made, kept, signals = await asyncio.to_thread(work)
    ref = WindowRef(
        digest=kept.digest, media=clips.MEDIA, size_b=kept.size, start=made.start, end=made.end, source=source,
        covered=clips.covered(made, start, end), messages=made.messages, topics=made.topics[:40], pin=pin,
        pinned_at=pinned_at, uploaded_at=context.now(), clock_offset_s=offset,
    )  # fmt: skip
    return ref, signals


async def session_of(context: Context, case: CorrectionCase, dataset: str) -> str:
    """The session that holds a takeover seen live: one that was ingested since, else its kept window as a session of its
    own, checked like any other. Empty when it can't be used; then it can't be learnt from."""
    for session in await context.records.find("session", state=USABLE, where={"robot": case.robot}, limit=500):
        start, end = bounds_of(session)
        if start <= case.t0 <= end:
            return str(session.id)
    if case.window is None or not context.vault.has(case.window.digest):
        return ""
    from engine.capabilities.data.ingest import take

    ref = {
        "uri": str(context.vault.path(case.window.digest)), "format": "mcap", "name": f"{case.id}.mcap", "episode": -1,
        "bytes": case.window.size_b, "robot": case.robot, "site": case.site,
    }  # fmt: skip
    taken = await take(context, {"ref": ref, "campaign": WINDOWS, "dataset": dataset})
    return str(taken["session"]) if taken["state"] in ("valid", "repaired", "labelled", "curated") else ""
