"""From accepted labels to the measured effect: priority, the split, inclusion, which release learnt, and what it did.

Each action reads what is and does what is missing, so that asking again ends at the same place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import to_builtins

from engine.capabilities.corrections import clustering, evidence_of, priority, rates
from engine.capabilities.corrections.keeping import session_of
from engine.capabilities.corrections.labelling import cluster_of, members, prepare, refreshed, rescored, scored
from engine.capabilities.corrections.seeing import OVER
from engine.capabilities.ports import Context
from engine.capabilities.records import Change, Emit, Records
from engine.contract.corrections import ClusterView, CorrectionCase, EffectView

Json = Any
Input = dict[str, Json]

SETTLED = ("included", "case_added", "awaiting_effect")
SIDED = ("routed", "stale", *SETTLED, "effect_confirmed")
"""States in which a correction's side is known to the world: its group is bound to it."""


async def prioritise(context: Context, given: Input) -> Json:
    """After the gate: the labels are accepted, and the cluster has its place in the queue."""
    policy = context.policy("correction")
    facts = {"gate": given["gate"], "by": given.get("by")}
    found = await refreshed(context, given["cluster"])
    rows = await members(context.records, found.id)
    changes = [
        Change(kind="correction", id=case.id, to="prioritised", facts=facts, reason="labels accepted")
        for case in rows if case.state == "in_review"
    ]  # fmt: skip
    if changes:
        await context.records.change_many(changes)
    score = await scored(context, found, rows, policy)
    await refreshed(context, found.id, factors=score, score=score.score)
    return {"factors": to_builtins(score), "corrections": len(changes)}


async def route(context: Context, given: Input) -> Json:
    """Each accepted correction to one side, by group; or all of them where the review said."""
    policy = context.policy("correction")
    found = await cluster_of(context.records, given["cluster"])
    rows = [case for case in await members(context.records, found.id) if case.state == "prioritised"]
    facts = {"gate": given["gate"]}
    how = given.get("route") or "by rule"
    changes: list[Change] = []
    says = ""
    if how == "discard":
        changes = [_discarded(case, given.get("reason") or "discarded in the label review") for case in rows]
        says = f"{len(rows)} discarded"
    elif how == "safety case":
        changes = [_safety(case, facts) for case in rows]
        says = f"{len(rows)} to the safety case"
    else:
        discarded = [case for case in rows if case.wanted == "discard"]
        kept = [case for case in rows if case.wanted != "discard"]
        changes = [_discarded(case, case.reason or "discarded by its annotator") for case in discarded]
        dataset = await _dataset(context.records, rows)
        kept = [case if case.session else await _with_session(context, case, dataset) for case in kept]
        pieces = [await _piece(context.records, case) for case in kept]
        parted = priority.split(pieces, eval_share=float(policy["eval_share"]), seed=int(policy["split_seed"]))
        for case in kept:
            why = parted.refused.get(case.id) or ("as asked" if case.wanted == parted.sides[case.id] else "by rule")
            changes.append(_routed(case, parted.sides[case.id], why, dataset, facts))
        says = parted.says + (f"; {len(parted.refused)} wishes not met" if parted.refused else "")
    if changes:
        await context.records.change_many(changes)
    every = await members(context.records, found.id)
    sides = {side: sum(case.route == side for case in every if case.state in SIDED) for side in ("train", "eval")}
    followed = sum(sides.values())
    if found.state == "in_review":
        stale_at = context.now() + float(policy["stale"])
        fields = {"split": sides, "split_says": says, "routed_at": context.now(), "stale_at": stale_at}
        to = "routed" if followed else "dropped"
        await context.records.change("cluster", found.id, to=to, set=fields, facts=facts, reason=says)
    return {
        **sides,
        "followed": followed,
        "says": says,
        "discarded": len(rows) - followed if followed < len(rows) else 0,
    }


async def _piece(records: Records, case: CorrectionCase) -> priority.Piece:
    """A side that the session or the group already has, from whatever was routed before, binds."""
    session = await records.get("session", case.session) if case.session else None
    print_ = (session.trajectory or session.fingerprint) if session is not None else ""
    bound = ""
    near = await records.find("correction", state=SIDED, where={"robot": case.robot}, limit=500)
    if case.session:
        near += await records.find("correction", state=SIDED, where={"session": case.session}, limit=100)
    for other in near:
        if other.id != case.id and (other.group == case.group or (case.session and other.session == case.session)):
            bound = "eval" if "eval" in (bound, other.route) else other.route or bound
    if not bound and session is not None:
        bound = await _learnt_already(records, case.session)
    return priority.Piece(
        id=case.id, group=case.group, session=case.session, fingerprint=print_, wanted=case.wanted, bound=bound
    )


async def _learnt_already(records: Records, session: str) -> str:
    """A session that stands in a finalized snapshot was learnt from: it can't be used to judge any more."""
    for snapshot in await records.find("snapshot", state=("finalized", "superseded"), limit=50):
        if session in snapshot.sessions:
            return "train"
    return ""


async def _dataset(records: Records, rows: Sequence[CorrectionCase]) -> str:
    """The dataset that most of their sessions were recorded for; empty when nobody said."""
    found: dict[str, int] = {}
    for case in rows:
        session = await records.get("session", case.session) if case.session else None
        if session is not None and session.dataset:
            found[session.dataset] = found.get(session.dataset, 0) + 1
    return max(sorted(found), key=lambda name: found[name], default="")


async def _with_session(context: Context, case: CorrectionCase, dataset: str) -> CorrectionCase:
    """A takeover seen live gets the session it is learnt from; one that has none is kept for detection."""
    session = await session_of(context, case, dataset)
    fields = {"session": session} if session else {"use": "detection"}
    reason = f"its session is {session}" if session else "no usable session: kept for detection"
    return await context.records.change("correction", case.id, set=fields, reason=reason)  # type: ignore[no-any-return]


def _routed(case: CorrectionCase, side: str, why: str, dataset: str, facts: Mapping[str, Json]) -> Change:
    data = {
        "correction": case.id, "cluster": case.cluster, "session": case.session, "route": side, "task": case.task,
        "site": case.site, "use": case.use, "robot": case.robot, "version": case.version, "dataset": dataset,
        "window": case.window.digest if case.window else "",
    }  # fmt: skip
    return Change(
        kind="correction", id=case.id, to="routed", set={"route": side, "route_why": why}, facts=dict(facts), reason=why,
        emit=(Emit("qd.correction.accepted", data),),
    )  # fmt: skip


def _safety(case: CorrectionCase, facts: Mapping[str, Json]) -> Change:
    data = {
        "correction": case.id,
        "cluster": case.cluster,
        "robot": case.robot,
        "site": case.site,
        "severity": case.severity,
    }
    return Change(
        kind="correction", id=case.id, to="safety_case", set={"route": "safety_case"}, facts=dict(facts),
        reason="for the safety case", emit=(Emit("qd.correction.safety", data),),
    )  # fmt: skip


def _discarded(case: CorrectionCase, reason: str) -> Change:
    data = {"correction": case.id, "cluster": case.cluster, "reason": reason}
    return Change(
        kind="correction", id=case.id, to="discarded", set={"route": "discard", "reason": reason}, reason=reason,
        emit=(Emit("qd.correction.rejected", data),),
    )  # fmt: skip


# -- inclusion -------------------------------------------------------------------------------------------------------


async def inclusion(context: Context, given: Input) -> Json:
    """Looks for a finalized snapshot and a pack version that hold them. Complete once nothing that is learnt from is missing;
    evaluation cases may follow later and are looked for again at each step after."""
    found = await cluster_of(context.records, given["cluster"])
    rows = await members(context.records, found.id)
    await _include(context, found, rows)
    await rescored(context, found.id)
    rows = await members(context.records, found.id)
    train = [case for case in rows if case.route == "train" and case.use != "detection"]
    missing = [case for case in train if case.state in ("routed", "stale")]
    evals = [case for case in rows if case.route == "eval"]
    eval_missing = [case for case in evals if case.state in ("routed", "stale")]
    waits = missing if train else eval_missing
    complete = bool(rows) and not waits
    if complete:
        for case in rows:
            if case.state in ("included", "case_added"):
                await context.records.change("correction", case.id, to="awaiting_effect")
        if found.state == "routed":
            await context.records.change("cluster", found.id, to="awaiting_effect")
    stale = not complete and context.now() >= found.stale_at > 0
    if stale:
        for case in waits:
            if case.state == "routed":
                await context.records.change("correction", case.id, to="stale", reason="in no snapshot or pack in time")
    return {
        "complete": complete, "stale": stale, "left": len(missing), "eval_left": len(eval_missing), "of": len(rows),
        "snapshots": sorted({case.snapshot for case in rows if case.snapshot}),
        "packs": sorted({case.pack for case in rows if case.pack}), "stale_at": found.stale_at, "at": context.now(),
    }  # fmt: skip


async def _include(context: Context, found: ClusterView, rows: Sequence[CorrectionCase]) -> None:
    waiting = {case.id: case for case in rows if case.state in ("routed", "stale")}
    if not waiting:
        return
    for snapshot in await context.records.find("snapshot", state=("finalized", "superseded"), limit=50):
        for id_ in snapshot.corrections:
            case = waiting.get(id_)
            if case is not None and case.route == "train":
                await _back(context, case)
                await context.records.change(
                    "correction", id_, to="included", set={"snapshot": snapshot.id}, reason=f"in {snapshot.id}"
                )
                del waiting[id_]
                await context.records.change("cluster", found.id, set={"snapshot": snapshot.id})
    for pack in await context.records.find("pack", state=("draft", "locked"), order="version", limit=200):
        held = {one.origin for one in (*pack.regressions, *pack.smoke, *pack.tasks)}
        for id_ in [one for one in waiting if one in held and waiting[one].route == "eval"]:
            await _back(context, waiting[id_])
            await context.records.change(
                "correction", id_, to="case_added", set={"pack": pack.id}, reason=f"a case of {pack.id}"
            )
            del waiting[id_]
            await context.records.change("cluster", found.id, set={"pack": pack.id})


async def _back(context: Context, case: CorrectionCase) -> None:
    if case.state == "stale":
        await context.records.change("correction", case.id, to="routed", reason="used after all")


async def keep(context: Context, given: Input) -> Json:
    """The stale review said: keep it for another term."""
    policy = context.policy("correction")
    for case in await members(context.records, given["cluster"]):
        if case.state == "stale":
            await context.records.change("correction", case.id, to="routed", reason=given.get("reason") or "kept")
    stale_at = context.now() + float(policy["stale"])
    await context.records.change(
        "cluster", given["cluster"], set={"stale_at": stale_at}, reason=given.get("reason") or "kept"
    )
    return {"stale_at": stale_at}


# -- effect ----------------------------------------------------------------------------------------------------------


async def lineage(context: Context, given: Input) -> Json:
    """Whether a release learnt from this cluster. One that a person named is taken at their word, and that is said."""
    found = await cluster_of(context.records, given["cluster"])
    await inclusion(context, given)
    release: Mapping[str, Json] = given.get("release") or {}
    rows = await members(context.records, found.id)
    relevant, why = await evidence_of.learnt_from(
        context.records, release, {case.snapshot for case in rows if case.snapshot}
    )
    asked = bool(given.get("asked"))
    names = await evidence_of.names_of(context.records, release)
    if (relevant or asked) and names:
        told = why if relevant else f"named by a person ({why})"
        effect = EffectView(
            word="PENDING", sentence=f"measuring {names[0]}: {told}", rollout=str(release.get("rollout") or ""),
            version=names[0], at=context.now(), versions_before=tuple(sorted(set(found.versions) - set(names))),
            sites=tuple(sorted(found.sites)),
        )  # fmt: skip
        await context.records.change("cluster", found.id, set={"effect": to_builtins(effect)}, reason=told)
    return {"relevant": relevant or asked, "why": why, "names": list(names), "cluster": found.id}


async def effect(context: Context, given: Input) -> Json:
    """The cluster's rate before and after that release, on robot-hours of its own task at its own sites."""
    policy = context.policy("correction")
    await inclusion(context, given)
    found = await cluster_of(context.records, given["cluster"])
    measured = found.effect or EffectView()
    after = set(await evidence_of.names_of(context.records, {"version": measured.version}))
    now = context.now()
    since = now - float(policy["effect_before"])
    components = policy["version_components"]
    before_h = after_h = 0.0
    versions: set[str] = set()
    for session in await evidence_of.sessions(context.records, task=found.task, since=since):
        if found.sites and session.site not in found.sites:
            continue
        if after & set(session.bill.values()):
            after_h += session.duration_s / 3600
        else:
            before_h += session.duration_s / 3600
            versions.add(evidence_of.version_of(session, components))
    before_n, after_n, unsure = await _events(context, found, after, since, policy)
    over = bool(given.get("over"))
    result = rates.effect(
        before_n=before_n, before_h=before_h, after_n=after_n, after_h=after_h, over=over, policy=policy
    )
    said = result.sentence + (f"; {unsure} not triaged yet are counted as the same" if unsure else "")
    inputs = [before_n, round(before_h, 6), after_n, round(after_h, 6), sorted(after), sorted(versions)]
    view = msgspec.structs.replace(
        measured, word=result.word, sentence=said, before_n=before_n, before_h=before_h, after_n=after_n, after_h=after_h,
        ratio=result.ratio, low=result.low, high=None if result.high == float("inf") else result.high, p=result.p,
        needed_h=result.needed_h, versions_before=tuple(sorted(versions - {""})), at=now,
        inputs_digest="sha256:" + hashlib.sha256(msgspec.json.encode(inputs)).hexdigest(),
    )  # fmt: skip
    if found.state == "awaiting_effect" and (found.effect is None or found.effect.inputs_digest != view.inputs_digest):
        await context.records.change("cluster", found.id, set={"effect": to_builtins(view)}, reason=said)
    return to_builtins(view)


async def _events(
    context: Context, found: ClusterView, after: set[str], since: float, policy: Mapping[str, Json]
) -> tuple[int, int, int]:
    """Corrections like this cluster's, before and after; what nobody triaged yet counts as the same after (never before)."""
    before = later = unsure = 0
    for case in await context.records.find("correction", where={"task": found.task}, limit=2_000):
        if case.t0 < since or (found.sites and case.site not in found.sites):
            continue
        session = await context.records.get("session", case.session) if case.session else None
        on_new = case.version in after or (session is not None and bool(after & set(session.bill.values())))
        same = case.cluster == found.id or (
            case.cause in ("", "policy") and bool(case.features)
            and clustering.distance(case.features, found.centre) <= float(policy["cluster_distance"])
        )  # fmt: skip
        if not on_new:
            before += same and bool(case.cause)
        elif same and case.cause:
            later += 1
        elif not case.cause and case.state in ("detected", "captured", "lost"):
            later += 1
            unsure += 1
    return before, later, unsure


async def conclude(context: Context, given: Input) -> Json:
    """Writes the verdict to every correction of the cluster."""
    found = await cluster_of(context.records, given["cluster"])
    word = given["word"]
    view = found.effect or EffectView()
    if view.word != word:  # time was up, and people decided
        view = msgspec.structs.replace(view, word=word, sentence=f"{view.sentence} (decided by people)")
    to = "effect_confirmed" if word == "CONFIRMED" else "not_fixed"
    done = []
    for case in await members(context.records, found.id):
        if case.state == "awaiting_effect":
            await context.records.change(
                "correction", case.id, to=to, set={"effect": to_builtins(view)}, reason=view.sentence
            )
            done.append(case.id)
    if found.state == "awaiting_effect":
        cluster_to = "confirmed" if word == "CONFIRMED" else "not_fixed"
        round_ = found.round + (word == "NOT_FIXED")
        found = await context.records.change(
            "cluster", found.id, to=cluster_to, set={"effect": to_builtins(view), "round": round_}, reason=view.sentence
        )
    return {"effect": to_builtins(view), "corrections": done, "round": found.round, "cluster": found.id}


async def round_again(context: Context, given: Input) -> Json:
    """Not fixed: triaged again with its count one higher, and the same clips to the annotators with clean hands."""
    found = await cluster_of(context.records, given["cluster"])
    again = []
    for case in await members(context.records, found.id):
        if case.state == "not_fixed":
            case = await context.records.change(
                "correction", case.id, to="triaged",
                set={"count": case.count + 1, "annotations": [], "final": [], "quality": 0, "route": "", "wanted": "",
                     "snapshot": "", "pack": "", "adjudicated_by": "", "use": ""},
                reason=f"not fixed by {case.effect.version if case.effect else 'the release'}",
            )  # fmt: skip
        if case.state == "triaged":
            await context.records.change("correction", case.id, to="clustered", set={"cluster": found.id})
            again.append(case.id)
    if found.state == "not_fixed":
        await context.records.change(
            "cluster", found.id, to="annotating", set={"effect": None, "snapshot": "", "pack": ""}, reason="round again"
        )
    await prepare(context, given)
    return {"corrections": again}


async def give_up(context: Context, given: Input) -> Json:
    """Closed by decision, with the reason."""
    reason = given.get("reason") or "closed by decision"
    for case in await members(context.records, given["cluster"]):
        if case.state == "not_fixed":
            await context.records.change(
                "correction", case.id, to="triaged", set={"count": case.count + 1}, reason=reason
            )
            await context.records.change("correction", case.id, to="closed", set={"reason": reason}, reason=reason)
    await context.records.change("cluster", given["cluster"], to="closed", reason=reason)
    return {"cluster": given["cluster"]}


async def stand(context: Context, given: Input) -> Json:
    """Where every correction of a run stands at its end."""
    states: dict[str, int] = {}
    for id_ in given["cases"]:
        case = await context.records.get("correction", id_)
        if case is not None:
            states[case.state] = states.get(case.state, 0) + 1
    return {"states": states, "over": sum(n for state, n in states.items() if state in OVER)}
