"""What people do with corrections: say the cause, set the phases, settle differences, ask for a side, merge, hand over.

Accepting labels is no verb: it is the gate of the run. The last act of a stage wakes the run that waits for it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field, structs, to_builtins

from engine.capabilities.corrections import clustering, phases
from engine.capabilities.corrections.labelling import WORKING, hand_over, members
from engine.capabilities.corrections.seeing import OVER
from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Given, Name, Refusal, Short, Text
from engine.capabilities.records import Change
from engine.contract.corrections import ClusterView, CorrectionCase, PhaseAnnotation, Span

Json = Any
Cause = Literal["policy", "hardware", "network", "operator", "environment", "test"]
Severity = Literal["", "nuisance", "task_failure", "damage", "safety"]
Quality = Annotated[int, Meta(ge=1, le=5)]
TRIAGE = ("captured", "triaged")
BEFORE_REVIEW = ("clustered", "annotating", "adjudicating")


class OpenArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`at`: UTC epoch seconds of the takeover; 0 is now."""

    robot: Name
    at: float = 0.0
    until: float = 0.0
    task: Short = ""
    zone: Short = ""
    site: Short = ""
    version: Short = ""
    operator: Short = ""
    mode: Short = ""
    severity: Literal["nuisance", "task_failure", "damage", "safety"] = "task_failure"
    reason: Text = ""


class TriageArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    cause: Cause
    severity: Severity = ""
    reason: Text = ""


class GivenSpan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    t0: float
    t1: float
    phase: Short


class AnnotateArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Spans in seconds from the takeover, in order and without gaps; empty: as they are shown."""

    spans: Annotated[tuple[GivenSpan, ...], Meta(max_length=phases.MAX_SPANS)] = ()
    quality: Quality
    gated_by: Literal["human", "robot"] = "human"
    success_after: bool = True
    note: Text = ""


class AdjudicateArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    spans: Annotated[tuple[GivenSpan, ...], Meta(min_length=1, max_length=phases.MAX_SPANS)]
    quality: Quality
    note: Text = ""


class WishArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Text = ""


class ReasonArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Given


class MergeArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    into: Name
    reason: Text = ""
    phrase: Short = ""


class MeasureArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Name
    reason: Text = ""


class ContinueArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    cases: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=500)] = field(default_factory=tuple)
    reason: Text = ""


# -- opening and triage ----------------------------------------------------------------------------------------------


async def open_one(desk: Desk, record: None, args: OpenArgs) -> Json:
    """A run that pins the robot's window at once."""
    if args.at > desk.now() + 60:
        desk.refuse("BadTime", "that is in the future", field="at")
    ring = float(desk.policy("correction")["pin_within"])
    given = structs.asdict(args)
    run = await desk.start("correction-loop", given, {"robot": args.robot})
    late = bool(args.at) and desk.now() - args.at > ring
    told = (
        f"it is {(desk.now() - args.at) / 60:.0f} min ago: the robot's ring holds {ring / 60:.0f} min" if late else ""
    )
    return {"run": run, "says": told}


async def foresee_open(desk: Desk, record: None, args: OpenArgs) -> Foreseen:
    policy = desk.policy("correction")
    before, after = float(policy["window_before"]), float(policy["window_after"])
    told = [f"a run starts and pins {before:.0f} s before to {after:.0f} s after the takeover on {args.robot}"]
    ring = float(policy["pin_within"])
    if args.at and desk.now() - args.at > ring:
        told.append(
            f"it is {(desk.now() - args.at) / 60:.0f} min ago and the ring holds {ring / 60:.0f} min: it will likely be lost"
        )
    return Foreseen(tuple(told))


async def foresee_triage(desk: Desk, record: CorrectionCase, args: TriageArgs) -> Foreseen:
    then = {"policy": "clustered with those like it", "hardware": "handed to maintenance, which opens a case"}
    return Foreseen((f"{record.id} is {then.get(args.cause, 'closed: nothing for the policy to learn')}",))


async def foresee_discard(desk: Desk, record: CorrectionCase, args: ReasonArgs) -> Foreseen:
    if record.state in ("in_review", "prioritised"):
        return Foreseen((f"{record.id} is discarded when the review decides",))
    return Foreseen((f"{record.id} is learnt from by nobody; what was said about it stays in its history",))


async def foresee_maintenance(desk: Desk, record: CorrectionCase, args: ReasonArgs) -> Foreseen:
    return Foreseen((f"{record.id} leaves the loop; maintenance opens a case for {record.robot}",))


async def triage(desk: Desk, record: CorrectionCase, args: TriageArgs) -> Json:
    if record.state not in TRIAGE:
        desk.refuse("NotNow", f"{record.id} is {record.state}: its cause is said while it is captured or triaged")
    fields: dict[str, Json] = {"cause": args.cause, "cause_by": desk.person}
    if args.severity:
        fields["severity"] = args.severity
    reason = args.reason or ("as suggested" if args.cause == record.suggested.cause else "")
    if args.cause != record.suggested.cause and not args.reason:
        desk.refuse(
            "ReasonNeeded", f"the rules suggest {record.suggested.cause} ({record.suggested.why}): say why not", field="reason"
        )  # fmt: skip
    await desk.records.change("correction", record.id, to="triaged", set=fields, reason=reason)
    left = 0
    if record.run:
        rows = await desk.records.find("correction", state=("detected", "captured"), limit=2_000)
        left = sum(row.run == record.run for row in rows)
        if not left:
            await _tell(desk, record.run, "correction.triaged", {"run": record.run})
    return {"cause": args.cause, "left": left}


async def send_to_maintenance(desk: Desk, record: CorrectionCase, args: ReasonArgs) -> Json:
    """What was no fault of the policy after all: pattern 6 hears of it in the same commit."""
    if record.state not in (*TRIAGE, "clustered", "annotating"):
        desk.refuse("NotNow", f"{record.id} is {record.state}: only what is not settled yet goes to maintenance")
    cluster = record.cluster
    fields = {"cause": "hardware", "cause_by": desk.person, "cluster": ""}
    moved = await desk.records.change("correction", record.id, to="triaged", set=fields, reason=args.reason)
    await hand_over(desk.records, moved, args.reason)
    await _wake(desk, record, cluster)
    return {"handed_over": record.id}


async def _tell(desk: Desk, run: str, event: str, data: dict[str, Json]) -> None:
    """Wakes a run that waits. One that is just elsewhere looks again by itself: what was done stands either way."""
    try:
        await desk.signal(run, event, data)
    except Refusal:
        return


async def _wake(desk: Desk, record: CorrectionCase, cluster: str) -> None:
    """After a correction left its place: does anybody still wait?"""
    if cluster:
        await _annotated(desk, cluster)
    elif record.run:
        rows = await desk.records.find("correction", state=("detected", "captured"), limit=2_000)
        if not any(row.run == record.run for row in rows):
            await _tell(desk, record.run, "correction.triaged", {"run": record.run})


async def resume(desk: Desk, record: None, args: ContinueArgs) -> Json:
    """A run that goes on with corrections whose own run ended."""
    for id_ in args.cases:
        case = await desk.records.get("correction", id_)
        if case is None:
            desk.refuse("NoSuchRecord", f"there is no correction {id_}", field="cases")
        if case.state in OVER:
            desk.refuse("NotNow", f"{id_} is {case.state}: there is nothing to go on with", field="cases")
    run = await desk.start("correction-loop", {"cases": list(args.cases), "reason": args.reason}, {})
    return {"run": run}


# -- phases ----------------------------------------------------------------------------------------------------------


def _clip(record: CorrectionCase) -> tuple[float, float]:
    """The clip in seconds from the takeover."""
    if record.window is None or not record.window.digest:
        return (record.auto[0].t0, record.auto[-1].t1) if record.auto else (0.0, 0.0)
    return record.window.start - record.t0, record.window.end - record.t0


def _spans(desk: Desk, record: CorrectionCase, given: tuple[GivenSpan, ...]) -> tuple[Span, ...]:
    spans = tuple(Span(t0=round(one.t0, 3), t1=round(one.t1, 3), phase=one.phase) for one in given) or record.shown
    start, end = _clip(record)
    if why := phases.wrong(spans, start, end):
        desk.refuse("BadPhases", why, field="spans")
    return spans


async def annotate(desk: Desk, record: CorrectionCase, args: AnnotateArgs) -> Json:
    if record.state != "annotating":
        desk.refuse("NotNow", f"{record.id} is {record.state}: phases are set while it is annotating")
    spans = _spans(desk, record, args.spans)
    said = PhaseAnnotation(
        author=desk.person, at=desk.now(), spans=spans, quality=args.quality, gated_by=args.gated_by,
        success_after=args.success_after, note=args.note, copied=phases.same_edges(spans, record.shown),
        missed=record.known_answer and phases.left_wrong(record.auto, record.shown, spans),
    )  # fmt: skip
    others = tuple(one for one in record.annotations if one.author != desk.person)
    needed = 2 if record.double else 1
    if len(others) >= needed:
        desk.refuse("Enough", f"{' and '.join(one.author for one in others)} annotated it already")
    every = (*others, said)
    to = "adjudicating" if len(every) >= needed else ""
    await desk.records.change("correction", record.id, to=to, set={"annotations": to_builtins(every)}, reason=args.note)
    left = await _annotated(desk, record.cluster)
    return {"annotators": len(every), "needed": needed, "left": left}


async def _annotated(desk: Desk, cluster: str) -> int:
    """Wakes the cluster's run once nobody is waited for; how many clips are left."""
    rows = await members(desk.records, cluster)
    left = sum(row.state in ("clustered", "annotating") for row in rows)
    found = await desk.records.get("cluster", cluster)
    if not left and found is not None and found.run:
        await _tell(desk, found.run, "correction.annotated", {"cluster": cluster})
    return left


async def adjudicate(desk: Desk, record: CorrectionCase, args: AdjudicateArgs) -> Json:
    """A third person settles what two people see differently."""
    if record.state != "adjudicating" or record.final:
        desk.refuse("NotNow", f"{record.id} is {record.state}: there is nothing to settle")
    if desk.person in {one.author for one in record.annotations}:
        desk.refuse("OwnWork", "who annotated a clip does not settle it: a third person does")
    if len({one.author for one in record.annotations}) < 2 and not record.double:
        desk.refuse("NotNow", "one person annotated it: there is no difference to settle")
    spans = _spans(desk, record, args.spans)
    use = "imitation" if args.quality >= int(desk.policy("correction")["imitation_quality"]) else "detection"
    await desk.records.change(
        "correction", record.id, to="in_review",
        set={"final": to_builtins(spans), "quality": args.quality, "use": use, "adjudicated_by": desk.person},
        reason=args.note or "settled",
    )  # fmt: skip
    rows = await members(desk.records, record.cluster)
    left = sum(row.state == "adjudicating" and not row.final for row in rows)
    found = await desk.records.get("cluster", record.cluster)
    if not left and found is not None and found.run:
        await _tell(desk, found.run, "correction.adjudicated", {"cluster": record.cluster})
    return {"left": left}


# -- where it goes ---------------------------------------------------------------------------------------------------


def wish(side: str) -> Any:
    async def do(desk: Desk, record: CorrectionCase, args: WishArgs) -> Json:
        """Asks for a side; the route after the review honours it unless the group is bound to the other one."""
        if record.state not in ("captured", "triaged", *BEFORE_REVIEW, "in_review"):
            desk.refuse("NotNow", f"{record.id} is {record.state}: its side is decided")
        await desk.records.change(
            "correction", record.id, set={"wanted": side}, reason=args.reason or f"asked for {side}"
        )
        same = await desk.records.find("correction", where={"robot": record.robot}, limit=500)
        together = [
            one.id for one in same if one.group == record.group and one.id != record.id and one.state not in OVER
        ]
        told = f"with it, whole: {', '.join(together[:5])}" if together else ""
        return {"wanted": side, "says": told}

    return do


async def discard(desk: Desk, record: CorrectionCase, args: ReasonArgs) -> Json:
    """At once while people work on it; from the review on with the cluster's decision."""
    if record.state in ("in_review", "prioritised"):
        await desk.records.change(
            "correction", record.id, set={"wanted": "discard", "reason": args.reason}, reason=args.reason
        )
        return {"discarded": False, "says": "it is discarded when the review decides"}
    if record.state in ("detected", "captured", "triaged"):
        await desk.records.change("correction", record.id, to="closed", set={"reason": args.reason}, reason=args.reason)
    elif record.state in (*BEFORE_REVIEW, "routed", "stale"):
        await desk.records.change(
            "correction", record.id, to="discarded", set={"reason": args.reason}, reason=args.reason
        )
    else:
        desk.refuse("NotNow", f"{record.id} is {record.state}: what is in a snapshot or pack is taken out there")
    await _wake(desk, record, record.cluster)
    return {"discarded": True}


async def foresee_merge(desk: Desk, record: ClusterView, args: MergeArgs) -> Foreseen:
    into = await _into(desk, record, args.into)
    moved = [row for row in await members(desk.records, record.id) if row.state in BEFORE_REVIEW]
    far = clustering.distance(record.centre, into.centre)
    return Foreseen(
        (
            f"{len(moved)} corrections of {record.id} go to {into.id} ({into.title}, {into.n})",
            f"{record.id} ends; its run with it",
            f"distance {far:.2f}; up to {desk.policy('correction')['cluster_distance']:g} counts as alike",
        ),
        f"merge {len(moved)} into {into.id}",
    )


async def _into(desk: Desk, record: ClusterView, id_: str) -> ClusterView:
    into = await desk.records.get("cluster", id_)
    if into is None or into.id == record.id:
        desk.refuse("NoSuchRecord", f"there is no other cluster {id_}", field="into")
    if record.state not in WORKING or into.state not in WORKING:
        desk.refuse(
            "NotNow", f"{record.id} is {record.state} and {into.id} is {into.state}: both must still take members in"
        )
    if into.task != record.task or into.cause != record.cause:
        desk.refuse(
            "NotAlike",
            f"{into.id} is about {into.task or 'another task'}: a cluster has one task and cause",
            field="into",
        )
    return into  # type: ignore[no-any-return]


async def merge(desk: Desk, record: ClusterView, args: MergeArgs) -> Json:
    into = await _into(desk, record, args.into)
    moved = [row for row in await members(desk.records, record.id) if row.state in BEFORE_REVIEW]
    reason = args.reason or f"{record.id} is the same as {into.id}"
    changes = [Change(kind="correction", id=row.id, set={"cluster": into.id}, reason=reason) for row in moved]
    changes.append(
        Change(kind="cluster", id=into.id, set={"members": sorted({*into.members, *(row.id for row in moved)}), "n": into.n + len(moved)})
    )  # fmt: skip
    changes.append(
        Change(
            kind="cluster",
            id=record.id,
            to="merged",
            set={"merged_into": into.id, "members": [], "n": 0},
            reason=reason,
        )
    )
    await desk.records.change_many(changes)
    if record.run:
        await _tell(desk, record.run, "correction.dropped", {"cluster": record.id, "into": into.id})
    return {"into": into.id, "moved": len(moved)}


async def gathered(desk: Desk, record: ClusterView, args: WishArgs) -> Json:
    """No more of its like is waited for: once its clips are annotated, the labels are reviewed."""
    if record.state != "annotating" or not record.run:
        desk.refuse("NotNow", f"{record.id} is {record.state}: it no longer gathers")
    await desk.signal(
        record.run, "correction.gathered", {"cluster": record.id, "by": desk.person, "reason": args.reason}
    )
    return {"cluster": record.id}


async def measure(desk: Desk, record: ClusterView, args: MeasureArgs) -> Json:
    """Names the release to measure, where its lineage is not known here (an external trainer)."""
    if record.state != "awaiting_effect" or not record.run:
        desk.refuse("NotNow", f"{record.id} is {record.state}: an effect is measured once a snapshot holds it")
    data = {"cluster": record.id, "version": args.version, "by": desk.person, "reason": args.reason}
    await desk.signal(record.run, "correction.measure", data)
    return {"version": args.version}


VERBS = (
    DeskVerb(name="correction.open", args=OpenArgs, says="open a correction", do=open_one, foresee=foresee_open),
    DeskVerb(
        name="correction.triage", args=TriageArgs, says="say what caused a correction", kind="correction", do=triage,
        foresee=foresee_triage,
    ),
    DeskVerb(name="correction.annotate", args=AnnotateArgs, says="set the phases of a correction", kind="correction", do=annotate),
    DeskVerb(name="correction.adjudicate", args=AdjudicateArgs, says="settle a correction", kind="correction", do=adjudicate),
    DeskVerb(name="correction.train", args=WishArgs, says="ask for the training side", kind="correction", do=wish("train")),
    DeskVerb(name="correction.eval", args=WishArgs, says="ask for the evaluation side", kind="correction", do=wish("eval")),
    DeskVerb(
        name="correction.discard", args=ReasonArgs, says="discard a correction", kind="correction", do=discard,
        foresee=foresee_discard,
    ),
    DeskVerb(
        name="correction.maintenance", args=ReasonArgs, says="hand a correction to maintenance", kind="correction",
        do=send_to_maintenance, foresee=foresee_maintenance,
    ),
    DeskVerb(name="correction.continue", args=ContinueArgs, says="go on with corrections", do=resume),
    DeskVerb(
        name="cluster.merge", args=MergeArgs, says="merge clusters", kind="cluster", do=merge, foresee=foresee_merge, risk=True
    ),
    DeskVerb(name="cluster.gathered", args=WishArgs, says="end the gathering of a cluster", kind="cluster", do=gathered),
    DeskVerb(name="cluster.measure", args=MeasureArgs, says="name the release to measure", kind="cluster", do=measure),
)  # fmt: skip
