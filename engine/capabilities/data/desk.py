"""What people may do with datasets, labels and trainings beside answering gates."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Annotated, Any

from msgspec import Meta, to_builtins

from engine.capabilities.data import labelling
from engine.capabilities.data.campaign import checked_name, declared
from engine.capabilities.data.labelling import LabelError
from engine.capabilities.data.training import Training
from engine.capabilities.data.withdrawal import dependants_of
from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Given, Name, Short, Text
from engine.capabilities.ports import ActionError
from engine.capabilities.records import Change, Emit
from engine.contract.datasets import AnnotationView, DatasetView, Label, LabelTaskView, SnapshotView, TrainingView
from engine.contract.sessions import SessionView

Json = Any
ALL = 100_000
Places = Annotated[list[Annotated[int, Meta(ge=0, le=10_000)]], Meta(max_length=1_000)]
Names = Annotated[list[Name], Meta(max_length=1_000)]


class BuildArgs(Args, frozen=True, kw_only=True):
    """`dataset` is its name; with `folder`, recordings are taken in first."""

    dataset: Name
    folder: Text = ""
    line: Short = ""
    purpose: Text = ""
    region: Short = ""
    licence: Short = ""
    consent: Short = ""
    train: bool = True
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 0
    recipe: dict[str, Json] = {}
    reason: Text = ""


class CreateArgs(Args, frozen=True, kw_only=True):
    """A dataset before any data comes. `strata`: {dims: {task: …, site: …}, need}; `recipe`: what is trained from it."""

    dataset: Name
    line: Short = ""
    purpose: Text = ""
    strata: Annotated[list[dict[str, Json]], Meta(max_length=1_000)] = []
    label_schema: dict[str, Json] = {}
    recipe: dict[str, Json] = {}
    region: Short = ""
    licence: Short = ""
    consent: Short = ""
    reason: Text = ""


class ReasonArgs(Args, frozen=True, kw_only=True):
    reason: Text = ""


class WhyArgs(Args, frozen=True, kw_only=True):
    reason: Given


class RiskArgs(Args, frozen=True, kw_only=True):
    reason: Given
    phrase: Short = ""


class SubmitArgs(Args, frozen=True, kw_only=True):
    """`labels`: name and value, with t0 and t1 in seconds from the session's start for spans."""

    labels: Annotated[list[Label], Meta(max_length=5_000)]
    note: Text = ""


class AuditArgs(Args, frozen=True, kw_only=True):
    """`wrong` are the places (from 0) of labels that are not right; none when all are."""

    wrong: Places = []
    note: Text = ""


class AdmitArgs(Args, frozen=True, kw_only=True):
    sessions: Names
    reason: Text = ""


# -- datasets and snapshots --------------------------------------------------------------------------------------------


async def build(desk: Desk, record: None, args: BuildArgs) -> Json:
    inputs = {name: value for name, value in to_builtins(args).items() if value not in ("", {}, None)}
    run = await desk.start("data-to-training", inputs)
    return {"id": run, "run": run}


async def create(desk: Desk, record: None, args: CreateArgs) -> Json:
    """Describes a dataset; campaigns that events open find what they need."""
    if await desk.records.get("dataset", args.dataset) is not None:
        desk.refuse(
            "exists",
            f"there is a dataset {args.dataset} already",
            fix="a campaign may declare it anew",
            field="dataset",
        )
    try:
        checked_name(args.dataset)
        fields = declared(to_builtins(args), desk.policy("data"))
    except ActionError as error:
        desk.refuse("bad_input", error.message, field="dataset" if error.error == "BadDataset" else "")
    fields["owner"] = desk.person
    await desk.records.create("dataset", fields, key=f"dataset/{args.dataset}", id=args.dataset, reason=args.reason)
    return {"id": args.dataset}


async def archive(desk: Desk, record: DatasetView, args: WhyArgs) -> Json:
    busy = await desk.records.find("snapshot", state=("building", "review"), where={"dataset": record.id}, limit=1)
    if busy:
        desk.refuse("busy", f"{busy[0].id} of it is still being built", fix=f"end {busy[0].run} first")
    await desk.records.change("dataset", record.id, to="archived", reason=args.reason)
    return {"id": record.id}


async def admit(desk: Desk, record: SnapshotView, args: AdmitArgs) -> Json:
    """Sessions that came too late to join by themselves, or from elsewhere."""
    if record.state not in ("building", "review"):
        desk.refuse(
            "not_open", f"{record.id} is {record.state}: nothing joins it any more", fix="start the next version"
        )
    for name in args.sessions:
        session: SessionView | None = await desk.records.get("session", name)
        if session is None:
            desk.refuse("not_found", f"there is no session {name}", field="sessions")
        if session.dataset not in ("", record.dataset):
            desk.refuse("elsewhere", f"{name} belongs to dataset {session.dataset}", field="sessions")
        await desk.records.change(
            "session",
            name,
            set={"dataset": record.dataset, "run": record.run},
            reason=args.reason or f"admitted to {record.id}",
        )
    await desk.signal(record.run, "data.admitted", {"sessions": args.sessions})
    return {"id": record.id, "sessions": args.sessions}


async def enough(desk: Desk, record: SnapshotView, args: WhyArgs) -> Json:
    """Labelling ends here; sessions without labels stay out, and are counted."""
    if record.state != "building":
        desk.refuse("not_open", f"{record.id} is {record.state}: nobody waits for its labels")
    await desk.signal(record.run, "data.enough", {"reason": args.reason})
    return {"id": record.id}


async def foresee_withdraw(desk: Desk, record: SnapshotView, args: RiskArgs) -> Foreseen:
    _signed(desk, record)
    made = await dependants_of(desk.records, record.id)
    said = [f"{record.id} can never be trained on again ({record.episodes} episodes, {record.hours:.1f} h)"]
    said += [f"made from it: {one}" for one in made[:12]] or ["nothing was made from it"]
    return Foreseen(tuple(said), f"withdraw {record.id}")


def _signed(desk: Desk, record: SnapshotView) -> None:
    if record.state not in ("finalized", "superseded"):
        fix = "its run is open: reject its gate, or cancel the run" if record.state in ("building", "review") else ""
        desk.refuse("not_signed", f"{record.id} is {record.state}", fix=fix)


async def withdraw(desk: Desk, record: SnapshotView, args: RiskArgs) -> Json:
    _signed(desk, record)
    made = await dependants_of(desk.records, record.id)
    data = {
        "snapshot": record.id,
        "root_digest": record.root_digest,
        "dataset": record.dataset,
        "reason": args.reason,
        "dependants": made,
    }
    await desk.records.change(
        "snapshot", record.id, to="withdrawn", set={"withdrawn_for": args.reason, "dependants": made}, reason=args.reason,
        emit=(Emit("qd.dataset.withdrawn", data),),
    )  # fmt: skip
    return {"id": record.id, "dependants": made}


async def exclude(desk: Desk, record: SessionView, args: WhyArgs) -> Json:
    """Leaves a session out of the next snapshot."""
    await desk.records.change("session", record.id, to="excluded", set={"code": "by_hand"}, reason=args.reason)
    return {"id": record.id}


async def include(desk: Desk, record: SessionView, args: ReasonArgs) -> Json:
    """Takes back a person's exclusion; the rule decides again."""
    if record.code != "by_hand":
        desk.refuse("not_by_hand", f"{record.id} was not left out by a person: {record.code or record.state}")
    await desk.records.change("session", record.id, to="labelled", set={"code": ""}, reason=args.reason or "taken back")
    return {"id": record.id}


# -- labels ------------------------------------------------------------------------------------------------------------


async def claim(desk: Desk, record: LabelTaskView, args: ReasonArgs) -> Json:
    """Takes a task. Who labels a session neither labels it twice nor audits it."""
    if record.state == "claimed" and record.assignee == desk.person:
        return {"id": record.id, "session": record.session}
    if record.state != "open":
        who = f" by {record.assignee}" if record.assignee else ""
        desk.refuse("taken", f"{record.id} is {record.state}{who}", fix="take another: qd data labels ls")
    others = await desk.records.find(
        "label_task", where={"session": record.session, "snapshot": record.snapshot}, limit=ALL
    )
    mine = [one for one in others if one.id != record.id and one.assignee == desk.person and one.state != "dropped"]
    if mine:
        desk.refuse(
            "own_labels", f"you have {mine[0].purpose} {mine[0].id} of this session: a second pair of eyes is asked for"
        )
    excluded = sorted(
        {
            *record.excluded,
            *(one.assignee for one in others if one.id != record.id and one.assignee and one.state != "dropped"),
        }
    )
    await desk.records.change(
        "label_task", record.id, to="claimed", set={"assignee": desk.person, "excluded": excluded}, expect=record.rev
    )
    return {"id": record.id, "session": record.session}


async def release(desk: Desk, record: LabelTaskView, args: ReasonArgs) -> Json:
    if record.state == "claimed" and record.assignee != desk.person and "data-lead" not in desk.roles:
        desk.refuse("not_yours", f"{record.id} is with {record.assignee}")
    await desk.records.change(
        "label_task", record.id, to="open", set={"assignee": ""}, reason=args.reason or "given back"
    )
    return {"id": record.id}


async def submit(desk: Desk, record: LabelTaskView, args: SubmitArgs) -> Json:
    """Hands labels in, complete as the schema asks."""
    if record.purpose == "audit":
        desk.refuse(
            "audit", f"{record.id} is an audit: say which labels are wrong", fix=f"qd data labels audit {record.id}"
        )
    _mine(desk, record)
    rules = desk.policy("data")["labels"]
    try:
        labels = labelling.checked(
            record.schema,
            args.labels,
            duration_s=record.duration_s,
            edge=float(rules["edge"]),
            most=int(rules["max_labels"]),
        )
    except LabelError as error:
        desk.refuse("bad_labels", str(error), field=error.field)
    note = await _annotated(desk, record, {"labels": to_builtins(list(labels)), "note": args.note})
    older = await desk.records.find(
        "annotation", state="current", where={"session": record.session, "purpose": record.purpose}, limit=ALL
    )
    gone = [one for one in older if one.id != note.id and (one.author == note.author or record.purpose == "label")]
    await desk.records.change_many(
        [Change(kind="annotation", id=one.id, to="superseded", reason=f"{note.id} took its place") for one in gone]
        + [Change(kind="label_task", id=record.id, to="submitted", set={"annotation": note.id})]
    )
    return {"id": record.id, "annotation": note.id, "labels": len(labels)}


async def audit(desk: Desk, record: LabelTaskView, args: AuditArgs) -> Json:
    """Says which of another person's labels are wrong."""
    if record.purpose != "audit":
        desk.refuse(
            "not_audit", f"{record.id} asks for labels, not for an audit", fix=f"qd data labels submit {record.id}"
        )
    _mine(desk, record)
    of: AnnotationView | None = await desk.records.get("annotation", record.audits)
    if of is None or of.state != "current":
        desk.refuse("changed", "the labels it audits were changed meanwhile", fix="the sample is drawn anew")
    wrong = sorted(set(args.wrong))
    if wrong and wrong[-1] >= len(of.labels):
        desk.refuse(
            "bad_input",
            f"there are {len(of.labels)} labels, counted from 0; {wrong[-1]} is none of them",
            field="wrong",
        )
    note = await _annotated(desk, record, {"wrong": wrong, "audited": of.id, "note": args.note})
    await desk.records.change("label_task", record.id, to="submitted", set={"annotation": note.id})
    return {"id": record.id, "annotation": note.id, "wrong": len(wrong), "of": len(of.labels)}


def _mine(desk: Desk, record: LabelTaskView) -> None:
    if record.state != "claimed":
        desk.refuse(
            "not_taken", f"{record.id} is {record.state}", fix=f"take it first: qd data labels claim {record.id}"
        )
    if record.assignee != desk.person:
        desk.refuse("not_yours", f"{record.id} is with {record.assignee}")


async def _annotated(desk: Desk, record: LabelTaskView, fields: dict[str, Json]) -> AnnotationView:
    found: AnnotationView = await desk.records.create(
        "annotation",
        {
            "title": f"{record.purpose} of {record.session}", "task": record.id, "session": record.session, "dataset": record.dataset,
            "author": labelling.pseudonym(desk.person, record.dataset), "purpose": record.purpose, "schema": record.schema.digest,
            "region": record.region, **fields,
        },
        key=f"annotation/{record.id}/{record.rev}",
    )  # fmt: skip
    return found


# -- trainings ---------------------------------------------------------------------------------------------------------


async def cancel(desk: Desk, record: TrainingView, args: WhyArgs) -> Json:
    """Ends a training; what it wrote so far stays with its record."""
    if record.state not in ("submitted", "running", "preempted"):
        desk.refuse("over", f"{record.id} is {record.state}")
    launcher: Training = desk.port("training")
    await launcher.cancel(record.job)
    await desk.records.change(
        "training",
        record.id,
        set={"message": f"cancel asked for by {desk.person}: {args.reason}"[:500]},
        reason=args.reason,
    )
    return {"id": record.id}


async def preempt(desk: Desk, record: TrainingView, args: ReasonArgs) -> Json:
    """Gives the machine back: the program saves, stops, and goes on from there."""
    if record.state != "running":
        desk.refuse("not_running", f"{record.id} is {record.state}")
    launcher: Training = desk.port("training")
    await launcher.preempt(record.job)
    return {"id": record.id}


def _sessions() -> tuple[DeskVerb, ...]:
    """Those of recordings stand in a module of their own."""
    name = f"{__package__}.desk_sessions"
    found: tuple[DeskVerb, ...] = importlib.import_module(name).VERBS if importlib.util.find_spec(name) else ()
    return found


VERBS: tuple[DeskVerb, ...] = (
    *_sessions(),
    DeskVerb(name="dataset.build", args=BuildArgs, says="build a snapshot of a dataset", do=build),
    DeskVerb(name="dataset.create", args=CreateArgs, says="describe a dataset", do=create),
    DeskVerb(name="dataset.archive", args=WhyArgs, says="archive a dataset", kind="dataset", do=archive),
    DeskVerb(name="snapshot.admit", args=AdmitArgs, says="let sessions join", kind="snapshot", do=admit),
    DeskVerb(name="snapshot.enough", args=WhyArgs, says="end the labelling", kind="snapshot", do=enough),
    DeskVerb(
        name="snapshot.withdraw", args=RiskArgs, says="withdraw a snapshot", kind="snapshot", do=withdraw,
        foresee=foresee_withdraw, risk=True,
    ),
    DeskVerb(name="session.exclude", args=WhyArgs, says="leave a session out", kind="session", do=exclude),
    DeskVerb(name="session.include", args=ReasonArgs, says="take a session back in", kind="session", do=include),
    DeskVerb(name="label.claim", args=ReasonArgs, says="take a label task", kind="label_task", do=claim),
    DeskVerb(name="label.release", args=ReasonArgs, says="give a label task back", kind="label_task", do=release),
    DeskVerb(name="label.submit", args=SubmitArgs, says="hand labels in", kind="label_task", do=submit),
    DeskVerb(name="label.audit", args=AuditArgs, says="audit labels", kind="label_task", do=audit),
    DeskVerb(name="training.cancel", args=WhyArgs, says="end a training", kind="training", do=cancel),
    DeskVerb(name="training.preempt", args=ReasonArgs, says="give a training's machine back", kind="training", do=preempt),
)  # fmt: skip
