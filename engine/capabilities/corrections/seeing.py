"""Seeing interventions: in a session, live on a robot, or after a spike.

Each reads what is and does what is missing, so that an engine that died in the middle ends at the same place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from engine.capabilities.corrections import clips, detect, rates
from engine.capabilities.corrections.evidence_of import bounds_of, sessions, stretch, version_of, zone_of
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Emit, RecordError
from engine.contract.corrections import CorrectionCase
from engine.core.statistics import rate_ratio

Json = Any
Input = dict[str, Json]

OVER = ("lost", "closed", "handed_over", "discarded", "safety_case", "effect_confirmed")
_ONE_AT_A_TIME = asyncio.Lock()
"""Looking whether a case or cluster is there already, and making it, is one step."""
MOST_SESSIONS = 50


def terms(policy: Mapping[str, Json]) -> Json:
    """The deadlines this run goes by, fixed when it begins."""
    return {
        "poll_s": policy["poll"], "gather_s": policy["gather"], "triage_s": policy["triage_within"], "annotate_s": policy["annotate_within"],
        "adjudicate_s": policy["adjudicate_within"], "review_s": policy["review"], "effect_every_s": policy["effect_every"],
        "effect_s": policy["effect_for"], "include_every_s": policy["include_every"], "stale_s": policy["stale"], "release_s": policy["release_within"], "max_rounds": policy["max_rounds"],
    }  # fmt: skip


# -- detect ----------------------------------------------------------------------------------------------------------


async def see(context: Context, given: Input) -> Json:
    policy = context.policy("correction")
    spikes: list[Json] = []
    scored: list[str] = []
    async with _ONE_AT_A_TIME:
        if given.get("cases"):
            found = await _given_cases(context, given["cases"])
            says = f"{len(found)} corrections given"
        elif given.get("session"):
            session = await context.records.get("session", given["session"])
            if session is None:
                raise ActionError(
                    "NoSuchSession", f"there is no session {given['session'][:80]}", kind="validation", retryable=False
                )
            found, spikes, scored, says = await _look_through(context, [session], policy, raise_spikes=True)
        elif given.get("robot"):
            found, says = await _live(context, given, policy)
        elif given.get("site") or given.get("version"):
            found, spikes, scored, says = await _after_spike(context, given, policy)
        else:
            raise ActionError(
                "NothingGiven", "give a session, a robot, a site, or corrections", kind="validation", retryable=False
            )
    return {
        "cases": found,
        "scored": scored,
        "spikes": spikes,
        "says": says,
        "terms": terms(policy),
        "at": context.now(),
    }


async def _given_cases(context: Context, ids: Sequence[str]) -> list[str]:
    found = []
    for id_ in ids[:500]:
        case = await context.records.get("correction", str(id_))
        if case is None:
            raise ActionError(
                "NoSuchCorrection", f"there is no correction {str(id_)[:80]}", kind="validation", retryable=False
            )
        if case.state not in OVER:
            found.append(case.id)
    return found


async def _after_spike(
    context: Context, given: Input, policy: Mapping[str, Json]
) -> tuple[list[str], list[Json], list[str], str]:
    """Every session of that version at that site with interventions that no run has opened yet."""
    since = context.now() - float(policy["look_back"])
    rows = await sessions(context.records, site=given.get("site") or "", since=since)
    version = given.get("version") or ""
    wanted = [
        one for one in rows
        if one.interventions and (not version or version_of(one, policy["version_components"]) == version)
    ]  # fmt: skip
    found, spikes, scored, says = await _look_through(
        context, wanted[:MOST_SESSIONS], policy, raise_spikes=False, open_all=True
    )
    loose = await context.records.find(
        "correction", state="triaged", where={"site": given.get("site") or ""}, limit=200
    )
    found += [
        one.id for one in loose if not one.cluster and one.id not in found and (not version or one.version == version)
    ]
    return found, spikes, scored, says


async def _look_through(
    context: Context, rows: Sequence[Any], policy: Mapping[str, Json], *, raise_spikes: bool, open_all: bool = False
) -> tuple[list[str], list[Json], list[str], str]:
    opened: list[str] = []
    spikes: list[Json] = []
    scored: list[str] = []
    told = ""
    for at, session in enumerate(rows):
        context.heartbeat({"done": at, "of": len(rows), "unit": "sessions", "what": "looking for interventions"})
        seen, signals = await _seen(context, session, policy)
        same_site = await sessions(
            context.records, site=session.site, since=bounds_of(session)[0] - float(policy["look_back"])
        )
        spike = await _spike(context, session, same_site, policy, tell=raise_spikes)
        if spike is not None:
            spikes.append(spike)
        judged = _judged(session, seen, signals, same_site=same_site, calm=await _calm(context, session), policy=policy)
        watched = await _watched(context, session)
        why = [*judged.why, *([f"spike {spike['id']}"] if spike else []), *watched]
        ids = []
        if seen.cases and (judged.flagged or spike or watched or open_all):
            notes = _often(session, same_site, policy)
            for found in seen.cases:
                if case_id := await _open(context, session, found, signals, policy=policy, notes=notes):
                    ids.append(case_id)
        opened += ids
        score = f"SC-{session.id}"
        if await context.records.get("session_score", score) is None:
            rate, low, high = rates.rate(seen.count, session.duration_s / 3600)
            await _once(
                context, "session_score", score,
                {
                    "title": f"{session.id} {session.robot}", "session": session.id, "robot": session.robot,
                    "site": session.site, "version": version_of(session, policy["version_components"]),
                    "task": session.task, "start": bounds_of(session)[0], "robot_h": session.duration_s / 3600,
                    "interventions": seen.count, "rate": rate, "low": low, "high": high,
                    "site_median": judged.site_median,
                    "human_share": seen.human_s / session.duration_s if session.duration_s else 0.0,
                    "anomaly": _peak(signals), "flagged": bool(why), "why": why, "cases": ids,
                    "ignored": list(seen.ignored), "distance_m": session.distance_m, "rank": judged.rank,
                    "region": session.region,
                },
            )  # fmt: skip
        scored.append(session.id)
        told = f"{session.id}: {seen.count} interventions; {'; '.join(why) or 'not flagged'}"
    says = told if len(rows) == 1 else f"{len(rows)} sessions looked through, {len(opened)} corrections"
    return opened, spikes, scored, says


async def _once(context: Context, kind: str, id_: str, fields: dict[str, Json], emit: Sequence[Emit] = ()) -> bool:
    """Creates a record under an id of its own; whether it was new."""
    try:
        await context.records.create(kind, fields, key=id_, id=id_, emit=emit)
    except RecordError as error:
        if error.error == "Exists":
            return False
        raise
    return True


async def _seen(context: Context, session: Any, policy: Mapping[str, Json]) -> tuple[detect.Seen, clips.Signals]:
    """Interventions from the recording; a recording of another make gives what its own marks say."""
    start, end = bounds_of(session)
    marks = [(start + mark.t0, start + mark.t1) for mark in session.marks if mark.kind == "intervention"]
    signals = clips.Signals(start=start, end=end)
    if session.format == "mcap":
        path = await asyncio.to_thread(content, context, session)
        signals = await asyncio.to_thread(clips.read, path)
        if not signals.messages:
            signals.start, signals.end = start, end
    return detect.interventions(signals, policy, marks=marks), signals


def content(context: Context, session: Any) -> Path:
    """The session's recording as it is used now. Raises ActionError `SessionGone`, `ContentChanged`."""
    from engine.capabilities.data.formats import locate

    return Path(locate(context.vault, session))


def _peak(signals: clips.Signals) -> float:
    return max((score for _, score in signals.anomaly), default=0.0)


def _judged(
    session: Any, seen: detect.Seen, signals: clips.Signals, *, same_site: Sequence[Any], calm: Sequence[float],
    policy: Mapping[str, Json],
) -> detect.Judged:  # fmt: skip
    per_hour = [
        one.interventions / (one.duration_s / 3600) for one in same_site if one.id != session.id and one.duration_s > 0
    ]
    return detect.judge(
        count=seen.count, hours=session.duration_s / 3600, human_s=seen.human_s, duration_s=session.duration_s,
        anomaly=_peak(signals), site_rates=per_hour, calm=calm, policy=policy,
    )  # fmt: skip


async def _calm(context: Context, session: Any) -> list[float]:
    rows = await context.records.find("session_score", where={"task": session.task, "interventions": 0}, limit=500)
    return [row.anomaly for row in rows]


async def _watched(context: Context, session: Any) -> list[str]:
    """Clusters whose effect is measured on this task: every intervention counts then, flagged or not."""
    rows = await context.records.find("cluster", state="awaiting_effect", where={"task": session.task}, limit=50)
    return [f"{row.id} is measured on this task" for row in rows]


async def _spike(
    context: Context, session: Any, same_site: Sequence[Any], policy: Mapping[str, Json], *, tell: bool
) -> Json | None:
    """More than chance in the session's window? One record, and one event, per version, site and window."""
    components = policy["version_components"]
    version, length = version_of(session, components), float(policy["spike_window"])
    if not version or not session.site or not session.interventions:
        return None
    start = bounds_of(session)[0] // length * length
    stretches = [stretch(one, components) for one in {one.id: one for one in [*same_site, session]}.values()]
    found = rates.spike(stretches, version=version, site=session.site, start=start, end=start + length, policy=policy)
    id_ = f"SPK-{_short(version)}-{_short(session.site)}-{int(start)}"
    told = await context.records.get("spike", id_)
    if (
        told is not None
    ):  # a spike that was told stands: sessions that come in late belong to it, whatever they do to the sum
        return {
            "id": id_,
            "k": told.k,
            "expected": told.expected,
            "says": told.says,
            "version": version,
            "site": session.site,
        }
    if not found.alarm:
        return None
    data = {
        "spike": id_, "version": version, "site": session.site, "window_start": start, "k": found.k,
        "expected": round(found.expected, 4), "p": found.p, "e": found.e, "says": found.says, "cluster": "",
        "exposure_h": round(found.exposure_h, 4), "task": session.task,
    }  # fmt: skip
    data |= {"contrast": to_builtins(_contrast(stretches, version, start, length))}
    fields = {
        "title": f"{version} at {session.site}: {found.k} where {found.expected:.2g} were expected", "version": version,
        "site": session.site, "window_start": start, "window_end": start + length, "k": found.k, "needed": found.needed,
        "expected": found.expected, "p": found.p, "e": found.e, "exposure_h": found.exposure_h, "says": found.says,
        "baseline_n": found.baseline_n, "baseline_h": found.baseline_h, "region": session.region,
    }  # fmt: skip
    await _once(context, "spike", id_, fields, (Emit("qd.intervention.spike", data, id_),) if tell else ())
    return {
        "id": id_,
        "k": found.k,
        "expected": found.expected,
        "says": found.says,
        "version": version,
        "site": session.site,
    }


def _contrast(stretches: Sequence[rates.Stretch], version: str, start: float, length: float) -> Json:
    """This version's rate against the others' at the same site in the same window: ratio and one-sided 95 % bounds."""
    near = [s for s in stretches if s.end > start and s.start < start + length]
    mine, other = [s for s in near if s.version == version], [s for s in near if s.version != version]
    found = rate_ratio(
        sum(len(s.events) for s in mine), sum(s.hours for s in mine), sum(len(s.events) for s in other),
        sum(s.hours for s in other),
    )  # fmt: skip
    return {
        name: None if value is None or value == float("inf") else round(value, 4)
        for name, value in to_builtins(found).items()
    }


def _short(text: str) -> str:
    kept = "".join(c if c.isalnum() or c in "._" else "_" for c in text)
    return kept[:24] if not text.startswith("sha256:") else kept[7:19]


def _often(session: Any, same_site: Sequence[Any], policy: Mapping[str, Json]) -> tuple[str, ...]:
    """Whether this operator takes over more often than the others at the site."""
    if not session.operator:
        return ()
    every = {one.id: one for one in [*same_site, session] if one.operator}.values()
    mine = [one for one in every if one.operator == session.operator]
    rest = [one for one in every if one.operator != session.operator]
    told = detect.often(_worked(mine), _worked(rest), policy)
    return (told,) if told else ()


def _worked(rows: Sequence[Any]) -> tuple[int, float]:
    return sum(one.interventions for one in rows), sum(one.duration_s for one in rows) / 3600


async def _open(
    context: Context,
    session: Any,
    found: detect.Found,
    signals: clips.Signals,
    *,
    policy: Mapping[str, Json],
    notes: Sequence[str] = (),
) -> str | None:
    """The correction of one intervention; None when it belongs to one that is there and goes on elsewhere."""
    near = await context.records.find("correction", where={"robot": session.robot}, limit=300, order="-t0")
    for one in near:
        if one.session == session.id and abs(one.t0 - found.t0) < 0.05:
            return one.id if one.state == "detected" else None
        gap = max(found.t0, one.t0) - min(found.t1, one.t1)
        if one.session != session.id and gap <= float(policy["merge_gap"]):
            return None
    start = bounds_of(session)[0]
    suggested = detect.suggest(found, policy, task=session.task)
    flags = [*found.flags, *notes, *(["personal data: stays in its region"] if session.pii else [])]
    made = await context.records.create(
        "correction",
        {
            "title": f"{session.task or 'intervention'} at {found.t0 - start:.1f} s, {session.robot}", "session": session.id,
            "robot": session.robot, "site": session.site, "region": session.region, "task": session.task or signals.task,
            "zone": signals.zone or zone_of(session), "version": version_of(session, policy["version_components"]),
            "operator": found.operator or session.operator, "trigger": "session", "t0": found.t0, "t1": found.t1,
            "link_ms": found.link_ms, "mode": found.mode, "by": found.by, "anomaly": found.anomaly, "flags": flags,
            "suggested": to_builtins(suggested), "severity": _severity(session, found, policy),
            "source_system": session.source_system, "observed_at": found.t0,
            "policy_digest": next((session.bill[n] for n in ("policy", "model") if n in session.bill), ""),
        },
        key=f"{session.id}/{found.t0:.3f}",
        emit=(Emit("qd.correction.opened", {"session": session.id, "robot": session.robot, "site": session.site}),),
    )  # fmt: skip
    return str(made.id)


def _severity(session: Any, found: detect.Found, policy: Mapping[str, Json]) -> str:
    """From what the recording says: a safety mark near the takeover, damage, a failed task; else a nuisance."""
    start = bounds_of(session)[0]
    near = {m.kind for m in session.marks if start + m.t0 <= found.t1 + 5 and start + m.t1 >= found.t0 - 5}
    if "safety" in near:
        return "safety"
    if "damage" in near:
        return "damage"
    return "nuisance" if found.t1 - found.t0 < float(policy["nuisance_below"]) else "task_failure"


async def _live(context: Context, given: Input, policy: Mapping[str, Json]) -> tuple[list[str], str]:
    """An intervention seen on a robot now, before any session of it was ingested."""
    t0 = float(given.get("at") or 0) or context.now()
    if t0 > context.now() + 60:
        raise ActionError("NothingGiven", "that is in the future", kind="validation", retryable=False)
    robot = str(given["robot"])
    for one in await context.records.find("correction", where={"robot": robot}, limit=100, order="-t0"):
        if abs(one.t0 - t0) <= float(policy["merge_gap"]):
            mine = one.state == "detected" and one.run == context.run
            return (
                [one.id] if mine else []
            ), f"{robot}: {one.id} stands for what happened within {policy['merge_gap'] / 60:g} min"
    found = detect.Found(
        t0=t0, t1=max(t0, float(given.get("until") or 0)), mode=str(given.get("mode") or "").upper(),
        operator=str(given.get("operator") or ""),
    )  # fmt: skip
    made = await context.records.create(
        "correction",
        {
            "title": f"{given.get('task') or 'intervention'}, {robot}", "robot": robot, "site": given.get("site") or "",
            "task": given.get("task") or "", "zone": given.get("zone") or "", "version": given.get("version") or "",
            "operator": found.operator, "trigger": "live", "t0": found.t0, "t1": found.t1, "mode": found.mode,
            "by": "site_staff" if found.mode in ("MANUAL", "TEACH_IN") else "human", "observed_at": context.now(),
            "severity": given.get("severity") or "task_failure",
            "suggested": to_builtins(detect.suggest(found, policy, task=given.get("task") or "")),
        },
        key=f"live/{robot}/{t0:.0f}",
        emit=(Emit("qd.correction.opened", {"session": "", "robot": robot, "site": given.get("site") or ""}),),
    )  # fmt: skip
    return [made.id], f"{robot}: intervention opened"


async def case_of(context: Context, id_: Json) -> CorrectionCase:
    case = await context.records.get("correction", str(id_))
    if case is None:
        raise ActionError(
            "NoSuchCorrection", f"there is no correction {str(id_)[:80]}", kind="validation", retryable=False
        )
    return case  # type: ignore[no-any-return]
