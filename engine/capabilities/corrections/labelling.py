"""From causes to accepted labels: sorting, clusters, giving out clips, settling, the card for the review.

Each action reads what is and does what is missing, so that asking again ends at the same place.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import to_builtins

from engine.capabilities.corrections import agreement, clustering, evidence_of, phases, priority, rates
from engine.capabilities.corrections.detect import CLOCKS
from engine.capabilities.corrections.seeing import OVER
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Change, Emit, Records
from engine.contract.corrections import Agreement, ClusterView, CorrectionCase, Factors

Json = Any
Input = dict[str, Json]

DAY = 86_400.0
WORKING = ("open", "annotating")
"""Clusters that still take members in."""
_ONE_AT_A_TIME = asyncio.Lock()


async def progress(context: Context, given: Input) -> Json:
    """How many still wait for people, at a stage: triage, annotate or adjudicate."""
    stage = given["stage"]
    if stage == "triage":
        rows = [case for id_ in given["cases"] if (case := await context.records.get("correction", id_)) is not None]
        left = [case for case in rows if case.state == "captured"]
    else:
        rows = await members(context.records, given["cluster"])
        left = [case for case in rows if case.state in _STAGES[stage]]
        if stage == "adjudicate":
            left = [case for case in left if not case.final]
        await rescored(context, given["cluster"])
    return {
        "left": len(left),
        "of": len(rows),
        "ids": [case.id for case in left[:50]],
        "stage": stage,
        "at": context.now(),
    }


_STAGES = {"annotate": ("clustered", "annotating"), "adjudicate": ("adjudicating",)}


async def members(records: Records, cluster: str) -> list[CorrectionCase]:
    """A cluster's corrections that are still followed."""
    rows = await records.find("correction", where={"cluster": cluster}, limit=2_000, order="t0")
    return [case for case in rows if case.state not in OVER]


async def cluster_of(records: Records, id_: str) -> ClusterView:
    found = await records.get("cluster", id_)
    if found is None:
        raise ActionError("NoSuchCluster", f"there is no cluster {id_[:80]}", kind="validation", retryable=False)
    return found  # type: ignore[no-any-return]


async def sort(context: Context, given: Input) -> Json:
    """Policy goes on; hardware is handed to maintenance; the rest is closed with its cause."""
    policy: list[str] = []
    handed: list[str] = []
    closed: list[str] = []
    left = 0
    for id_ in given["cases"]:
        case = await context.records.get("correction", id_)
        if case is None or case.state in OVER:
            continue
        if case.state in ("detected", "captured"):
            left += 1
        elif case.state == "triaged" and case.cause == "policy":
            policy.append(case.id)
        elif case.state == "triaged" and case.cause == "hardware":
            await hand_over(context.records, case)
            handed.append(case.id)
        elif case.state == "triaged":
            reason = f"caused by {case.cause}: nothing for the policy to learn"
            await context.records.change("correction", case.id, to="closed", set={"reason": reason}, reason=reason)
            closed.append(case.id)
    return {"policy": policy, "handed_over": handed, "closed": closed, "left": left}


async def hand_over(records: Records, case: CorrectionCase, reason: str = "") -> Any:
    """To pattern 6, which hears of it in the same commit."""
    why = reason or f"caused by {case.cause}"
    data = {
        "correction": case.id, "robot": case.robot, "site": case.site, "cause": case.cause, "session": case.session,
        "symptom": case.title, "at": case.t0, "reason": why, "window": case.window.digest if case.window else "",
    }  # fmt: skip
    return await records.change(
        "correction", case.id, to="handed_over", set={"reason": why}, reason=why,
        emit=(Emit("qd.correction.handedover", data),),
    )  # fmt: skip


async def close(context: Context, given: Input) -> Json:
    """Closes what nobody looked at."""
    done = []
    for id_ in given["cases"]:
        case = await context.records.get("correction", id_)
        if case is not None and case.state in ("detected", "captured"):
            await context.records.change(
                "correction", case.id, to="closed", set={"reason": given["reason"]}, reason=given["reason"]
            )
            done.append(case.id)
    return {"closed": done}


async def cluster(context: Context, given: Input) -> Json:
    """Puts corrections with those like them. New clusters are this run's to follow; joined ones are followed elsewhere."""
    policy = context.policy("correction")
    own: list[str] = []
    joined: list[Json] = []
    async with _ONE_AT_A_TIME:
        cases = [case for id_ in given["cases"] if (case := await context.records.get("correction", id_)) is not None]
        fresh = [case for case in cases if case.state == "triaged" and case.cause == "policy"]
        known: list[ClusterView] = await context.records.find("cluster", state=WORKING, limit=1_000, order="id")
        groups = [
            clustering.Group(key=one.id, cause=one.cause, task=one.task, zone=one.zone, centre=one.centre, n=one.n)
            for one in known
        ]
        items = [_item(case) for case in fresh]
        where = clustering.assign(items, groups, reach=float(policy["cluster_distance"]))
        by_key: dict[str, list[CorrectionCase]] = {}
        for case in fresh:
            by_key.setdefault(where[case.id], []).append(case)
        for key, rows in sorted(by_key.items()):
            id_ = key if not key.startswith("new:") else await _new_cluster(context, rows)
            await context.records.change_many(
                [
                    Change(
                        kind="correction",
                        id=case.id,
                        to="clustered",
                        set={"cluster": id_},
                        reason=f"like those of {id_}",
                    )
                    for case in rows
                ]
            )
        for case in cases:  # also what an earlier try had put away already
            now = await context.records.get("correction", case.id)
            if now is not None and now.cluster and now.state not in OVER:
                found = await refreshed(context, now.cluster)
                if found.run == context.run or not found.run:
                    own.append(found.id)
                else:
                    joined.append({"correction": now.id, "cluster": found.id, "run": found.run})
                    if found.state == "annotating":
                        await _give_out(context, found.id)
    own = list(dict.fromkeys(own))
    return {"own": own, "joined": joined, "says": f"{len(own)} clusters of this run, {len(joined)} joined others"}


def _item(case: CorrectionCase) -> clustering.Item:
    return clustering.Item(
        id=case.id, cause=case.cause, task=case.task, zone=case.zone, features=case.features, t0=case.t0
    )


async def _new_cluster(context: Context, rows: Sequence[CorrectionCase]) -> str:
    first = min(rows, key=lambda case: (case.t0, case.id))
    middle = clustering.centre([case.features for case in rows])
    before = await context.records.find(
        "cluster", state=("awaiting_effect", "not_fixed", "routed", "confirmed"), where={"task": first.task}, limit=200
    )
    near = [one for one in before if clustering.distance(one.centre, middle) <= 0.5]
    after = min(near, key=lambda one: clustering.distance(one.centre, middle)).id if near else ""
    made = await context.records.create(
        "cluster",
        {
            "title": _title(first), "cause": first.cause, "task": first.task, "zone": first.zone,
            "members": sorted(case.id for case in rows), "centre": list(middle), "n": len(rows), "after": after,
            "region": first.region,
        },
        key=f"{context.run}/{first.id}/{first.count}",
    )  # fmt: skip
    return str(made.id)


def _title(case: CorrectionCase) -> str:
    where = f" at {case.zone}" if case.zone else ""
    return f"{case.task or 'intervention'}{where}"


async def refreshed(context: Context, id_: str, **more: Json) -> ClusterView:
    """The cluster with its facts counted anew: members, rate on its task, trend, versions, sites, causes, agreement."""
    found = await cluster_of(context.records, id_)
    rows = await members(context.records, id_)
    facts = await counted(context, found, rows)
    fields = {**facts, **more}
    plain: dict[str, Json] = to_builtins(found)
    if all(plain.get(name) == to_builtins(value) for name, value in fields.items()):
        return found
    return await context.records.change("cluster", id_, set=to_builtins(fields))  # type: ignore[no-any-return]


async def counted(context: Context, found: ClusterView, rows: Sequence[CorrectionCase]) -> dict[str, Json]:
    now = context.now()
    policy = context.policy("correction")
    sites = Counter(case.site for case in rows)
    newest = max((case.t0 for case in rows), default=now)
    since = newest - 30 * DAY
    recent = [case for case in rows if case.t0 >= since]
    hours = 0.0
    for session in await evidence_of.sessions(context.records, task=found.task, since=since):
        if not sites or session.site in sites:
            hours += session.duration_s / 3600
    rate, low, high = rates.rate(len(recent), hours)
    alike = [
        case for case in await context.records.find("correction", where={"task": found.task}, limit=1_000)
        if case.cause and _near(case, found, float(policy["cluster_distance"]))
    ]  # fmt: skip
    trend = [0, 0, 0, 0]
    for case in rows:
        week = 3 - math.floor((newest - case.t0) / (7 * DAY))
        if 0 <= week <= 3:
            trend[week] += 1
    items = [_item(case) for case in rows]
    return {
        "members": tuple(sorted(case.id for case in rows)), "n": len(rows), "n_30d": len(recent), "exposure_h": round(hours, 4),
        "rate": rate, "low": low, "high": high, "trend": tuple(trend), "centre": clustering.centre([i.features for i in items]),
        "versions": dict(Counter(case.version or "unknown" for case in rows)), "sites": dict(sites),
        "robots": dict(Counter(case.robot for case in rows)), "causes": dict(Counter(case.cause for case in alike)),
        "handed": tuple(case.handed_to or case.id for case in alike if case.state == "handed_over"),
        "clips": clustering.representative(items), "agreement": _agreement(rows),
        "copiers": copiers(rows, int(policy["copied_alarm"])),
    }  # fmt: skip


def _near(case: CorrectionCase, found: ClusterView, reach: float) -> bool:
    if case.cluster == found.id:
        return True
    return bool(case.features) and clustering.distance(case.features, found.centre) <= reach


def _agreement(rows: Sequence[CorrectionCase]) -> Agreement:
    pairs = []
    for case in rows:
        newest = {each.author: each.spans for each in case.annotations}
        if len(newest) >= 2:
            one, two = (newest[author] for author in sorted(newest)[:2])
            pairs.append((one, two))
    return agreement.of_clips(pairs)


def copiers(rows: Sequence[CorrectionCase], alarm: int) -> tuple[str, ...]:
    """Annotators who passed over known answers: they leave the machine's edges as they were shown."""
    missed = Counter(each.author for case in rows if case.known_answer for each in case.annotations if each.missed)
    return tuple(sorted(author for author, n in missed.items() if n >= alarm))


async def prepare(context: Context, given: Input) -> Json:
    """Gives the clips out: who gets two people, and where a known answer is hidden."""
    found = await cluster_of(context.records, given["cluster"])
    await _give_out(context, found.id)
    if found.state == "open":
        found = await context.records.change("cluster", found.id, to="annotating", set={"run": context.run})
    await refreshed(context, found.id)
    await rescored(context, found.id)
    rows = await members(context.records, found.id)
    return {
        "cluster": found.id, "members": [case.id for case in rows], "double": sum(case.double for case in rows),
        "known": sum(case.known_answer for case in rows),
    }  # fmt: skip


async def _give_out(context: Context, id_: str) -> None:
    policy = context.policy("correction")
    rows = await members(context.records, id_)
    ids = [case.id for case in rows]
    double = priority.chosen(ids, float(policy["double_share"]), salt=f"double/{id_}", least=1)
    double |= {case.id for case in rows if any(flag.startswith(CLOCKS) for flag in case.flags)}
    known = priority.chosen(ids, float(policy["known_share"]), salt=f"known/{id_}")
    changes = []
    for case in rows:
        if case.state != "clustered":
            continue
        hidden = case.id in known
        shown = phases.shifted(case.auto, float(policy["known_shift"])) if hidden else case.auto
        changes.append(
            Change(
                kind="correction", id=case.id, to="annotating",
                set={"double": case.id in double, "known_answer": hidden, "shown": to_builtins(shown)},
            )
        )  # fmt: skip
    if changes:
        await context.records.change_many(changes)


async def settle(context: Context, given: Input) -> Json:
    """Where one person was enough, or two agree, the phases are final; the others wait for a third person."""
    policy = context.policy("correction")
    rows = await members(context.records, given["cluster"])
    left: list[str] = []
    ready = 0
    for case in rows:
        if case.state == "in_review":
            ready += 1
        if case.state != "adjudicating":
            continue
        spans, quality, found = (case.final, case.quality, case.agreement)
        if not spans:
            spans, quality, found = agreement.settled(
                case.annotations,
                double=case.double,
                least_alpha=float(policy["alpha"]),
                least_iou=float(policy["edge_iou"]),
                apart=float(policy["edge_apart"]),
            )
        if not spans:
            left.append(case.id)
            await context.records.change("correction", case.id, set={"agreement": to_builtins(found)})
            continue
        use = "imitation" if quality >= int(policy["imitation_quality"]) else "detection"
        await context.records.change(
            "correction", case.id, to="in_review",
            set={"final": to_builtins(spans), "quality": quality, "use": use, "agreement": to_builtins(found)},
            reason="annotators agree" if len(case.annotations) > 1 else "",
        )  # fmt: skip
        ready += 1
    waiting = sum(case.state in ("clustered", "annotating") for case in rows)
    return {"left": len(left), "ids": left[:50], "ready": ready, "annotating": waiting, "of": len(rows)}


async def card(context: Context, given: Input) -> Json:
    """The cluster as people judge it, kept under its digest: what was decided on is what was seen."""
    policy = context.policy("correction")
    found = await refreshed(context, given["cluster"])
    rows = await members(context.records, found.id)
    for case in rows:
        if case.state == "adjudicating" and case.final:
            await context.records.change("correction", case.id, to="in_review")
    rows = [case for case in await members(context.records, found.id) if case.state == "in_review"]
    if not rows:
        raise ActionError("NothingToReview", f"no correction of {found.id} is ready", kind="domain", retryable=False)
    score = await scored(context, found, rows, policy)
    found = await refreshed(context, found.id, factors=score, score=score.score)
    if found.state == "annotating":
        found = await context.records.change("cluster", found.id, to="in_review")
    shown = card_of(found, rows, policy)
    kept = await asyncio.to_thread(
        context.vault.put_bytes, msgspec.json.encode(shown, order="deterministic"), media="application/json",
        source=found.id, name=f"{found.id}-card.json",
    )  # fmt: skip
    people = sorted(
        {each.author for case in rows for each in case.annotations} | {c.adjudicated_by for c in rows} - {""}
    )
    return {
        "card": shown, "digest": kept.digest, "annotators": people,
        "question": f"Accept the labels of {found.id} ({found.title}): {len(rows)} corrections, score {score.score:.1f}?",
    }  # fmt: skip


async def rescored(context: Context, id_: str) -> None:
    """The place in the queue, once a day: age, coverage and novelty move while people work. Before the labels their quality
    counts as full."""
    policy = context.policy("correction")
    found = await cluster_of(context.records, id_)
    if found.state in ("merged", "dropped", "closed", "confirmed"):
        return
    if found.factors.at and context.now() - found.factors.at < float(policy["priority_every"]):
        return
    score = await scored(context, found, await members(context.records, id_), policy)
    await refreshed(context, id_, factors=score, score=score.score)


async def scored(
    context: Context, found: ClusterView, rows: Sequence[CorrectionCase], policy: Mapping[str, Json]
) -> Factors:
    """The five factors of a cluster now."""
    site = max(found.sites, key=lambda one: found.sites[one], default="")
    share, says = await evidence_of.coverage(context.records, task=found.task, site=site)
    learnt = await context.records.find("cluster", state=("awaiting_effect", "confirmed"), limit=500)
    novelty = 1 - clustering.nearest(
        found.centre, [one.centre for one in learnt if one.id != found.id and one.task == found.task]
    )
    rated = [case.quality for case in rows if case.quality]
    return priority.factors(
        severity=priority.worst([case.severity for case in rows]), n_30d=found.n_30d, coverage=share, coverage_says=says,
        novelty=max(float(policy["novelty_floor"]), novelty), quality=sum(rated) / len(rated) / 5 if rated else 1.0,
        newest_at=max((case.t0 for case in rows), default=context.now()), now=context.now(), policy=policy,
    )  # fmt: skip


def card_of(found: ClusterView, rows: Sequence[CorrectionCase], policy: Mapping[str, Json]) -> Json:
    a = found.agreement
    word = "none" if a.alpha is None else "accept"
    if a.alpha is not None and a.alpha < float(policy["alpha"]):
        word = "tentative" if a.alpha >= float(policy["alpha_tentative"]) else "reject"
    return {
        "cluster": found.id, "title": found.title, "events": found.n, "robot_hours": round(found.exposure_h, 2),
        "rate_per_100h": [found.rate, found.low, found.high], "trend_by_week": list(found.trend), "versions": found.versions,
        "sites": found.sites, "causes": found.causes, "handed_over": list(found.handed), "clips": list(found.clips),
        "agreement": {"alpha": a.alpha, "low": a.low, "high": a.high, "n": a.n, "iou": a.iou, "word": word},
        "adjudicated": sum(bool(case.adjudicated_by) for case in rows), "copied_by": list(found.copiers),
        "quality": dict(Counter(str(case.quality) for case in rows)),
        "not_for_imitation": sum(case.use == "detection" for case in rows), "priority": to_builtins(found.factors),
        "expected_benefit": _benefit(found), "round": found.round, "after": found.after,
        "corrections": [[case.id, case.window.digest if case.window else "", case.quality, case.use] for case in rows],
    }  # fmt: skip


def _benefit(found: ClusterView) -> str:
    if found.rate is None:
        return "no robot-hours on the task are known yet"
    return f"at most {found.rate:.1f} interventions per 100 robot-h on {found.task or 'its task'} would go away"


async def reopen(context: Context, given: Input) -> Json:
    """The review said no: the same clips again, with clean hands. What was said before stays in the history."""
    changes = []
    for case in await members(context.records, given["cluster"]):
        if case.state == "in_review":
            changes.append(
                Change(
                    kind="correction", id=case.id, to="annotating", reason=given.get("reason") or "labels not accepted",
                    set={"annotations": [], "final": [], "quality": 0, "adjudicated_by": "", "use": ""},
                )
            )  # fmt: skip
    if changes:
        await context.records.change_many(changes)
    found = await cluster_of(context.records, given["cluster"])
    if found.state == "in_review":
        await context.records.change("cluster", found.id, to="annotating", reason=given.get("reason") or "")
    return {"again": len(changes)}


async def leave_out(context: Context, given: Input) -> Json:
    """Discards what is still open in a cluster; what was included or is in review stays."""
    done = []
    for case in await members(context.records, given["cluster"]):
        held = (case.state == "adjudicating" and bool(case.final)) or case.state in (
            "included",
            "case_added",
            "awaiting_effect",
        )
        if case.state in ("clustered", "annotating", "adjudicating", "routed", "stale") and not held:
            await context.records.change(
                "correction", case.id, to="discarded", set={"reason": given["reason"]}, reason=given["reason"],
                emit=(Emit("qd.correction.rejected", {"correction": case.id, "cluster": case.cluster, "reason": given["reason"]}),),
            )  # fmt: skip
            done.append(case.id)
    found = await refreshed(context, given["cluster"])
    if found.state == "routed" and not found.members:
        await context.records.change("cluster", found.id, to="closed", reason=given["reason"])
    return {"discarded": done}
