"""`qd data`: datasets and their snapshots; recordings, labels and trainings in groups of their own."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import click

from app import plain
from app.cli import pictures
from app.cli.data_datasets import datasets
from app.cli.data_labels import labels
from app.cli.data_training import trainings
from app.cli.session import DRY_RUN, ONCE, REFUSED, Session, end, inputs, options, part, risky
from engine.contract.common import Json
from engine.contract.datasets import EpisodePage, SnapshotDiff, SnapshotProof, SnapshotView


@click.group()
def data() -> None:
    """Recordings, labels, datasets, snapshots and training."""


data.add_command(datasets)
data.add_command(labels)
data.add_command(trainings)
if importlib.util.find_spec("app.cli.data_sessions"):
    data.add_command(importlib.import_module("app.cli.data_sessions").sessions)


@data.command("ls")
@click.option("--dataset", default="", help="Of this dataset alone.")
@click.option("--state", default="", help="building, review, finalized, superseded, withdrawn; several with commas.")
@options
def ls(session: Session, dataset: str, state: str) -> None:
    """Snapshots, newest change first."""
    where = {"dataset": dataset} if dataset else {}
    rows = session.records("snapshot", SnapshotView, state=state, where=where)
    session.show(
        rows,
        lambda: plain.table(
            [
                (s.id, s.state, s.episodes, f"{s.hours:.1f}", _splits(s), _alpha(s), _audit(s), _short(s), sentence(s))
                for s in rows
            ],
            ("snapshot", "state", "episodes", "hours", "train/val/test", "alpha", "audit", "short", "says"),
            empty="no snapshot yet: qd data build DATASET --folder FOLDER",
        ),
    )


@data.command()
@click.argument("snapshot")
@options
def show(session: Session, snapshot: str) -> None:
    """One snapshot: funnel, agreement, audit, coverage with the gaps first, shift, leaks."""
    found = session.record("snapshot", snapshot, SnapshotView)
    session.show(found, lambda: _detail(found))


@data.command()
@click.argument("dataset")
@click.option("--folder", default="", help="Recordings to take in: MCAP files and LeRobot datasets.")
@click.option("--line", default="", help="The model line that is trained, such as pick.")
@click.option("--purpose", default="", help="What the dataset is for.")
@click.option("--region", default="", help="Region whose rules it follows.")
@click.option("--licence", default="", help="Its licence.")
@click.option("--consent", default="", help="Basis of recordings that name none, such as operator-consent.")
@click.option("--train/--no-train", default=True, show_default=True, help="Train when it is signed.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--recipe", "pairs", multiple=True, metavar="NAME=VALUE", help="One value of the training recipe.")
@click.option("--reason", default="", help="Why; it is recorded.")
@DRY_RUN
@ONCE
@options
def build(session: Session, *, pairs: tuple[str, ...], dry_run: bool, ident: str, **args: Any) -> None:
    """Build the next snapshot of a dataset (and make the dataset, when it is new)."""
    given: dict[str, Json] = {name: value for name, value in args.items() if value not in ("", 0)}
    if args["folder"]:
        from pathlib import Path

        given["folder"] = str(Path(args["folder"]).expanduser().absolute())
    if pairs:
        given["recipe"] = inputs(pairs, None)
    answer = session.command("dataset.build", "", given, preview=dry_run, id=ident)
    session.done(answer, f"started {plain.clean(answer.target)}: qd runs show {plain.clean(answer.target)}")


@data.command()
@click.argument("snapshot")
@click.option("--left-out", is_flag=True, help="Only what was left out.")
@click.option("--split", default="", help="Of this split alone.")
@click.option("--code", default="", help="With this reason code alone.")
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@options
def episodes(session: Session, *, snapshot: str, left_out: bool, split: str, code: str, limit: int) -> None:
    """What is in it and what was left out, each with its reason; the cheap baseline beside the score."""
    page = session.get(
        f"/v1/snapshots/{part(snapshot)}/episodes", EpisodePage, decision="left-out" if left_out else "", split=split, code=code, limit=limit
    )  # fmt: skip
    rows = [
        (r.session, r.decision, r.split, f"{r.weight:g}", f"{r.score:.2f}", f"{r.baseline:.2f}", r.site, r.task, r.why)
        for r in page.rows
    ]
    heads = ("session", "decision", "split", "weight", "score", "baseline", "site", "task", "why")
    session.show(page, lambda: plain.table(rows, heads, empty="nothing was decided yet"))


@data.command("coverage")
@click.argument("snapshot")
@pictures.WIDTH
@options
def coverage_(session: Session, *, snapshot: str, width: int | None) -> None:
    """Its coverage matrix: what there is against what is needed, gaps first."""
    found = session.record("snapshot", snapshot, SnapshotView)

    def drawn() -> str:
        from screens.pictures import coverage

        return pictures.text([*coverage.matrix(found.coverage, pictures.cells(width)), "", coverage.legend()])

    session.show(found.coverage, drawn)


@data.command()
@click.argument("snapshot")
@click.option("--before", default="", help="Against this one, not against its predecessor.")
@options
def diff(session: Session, snapshot: str, before: str) -> None:
    """What changed since the snapshot before."""
    found = session.get(f"/v1/snapshots/{part(snapshot)}/diff", SnapshotDiff, before=before)
    lines = [
        f"{found.snapshot} against {found.before or 'nothing'}",
        f"added {len(found.added)}: {', '.join(found.added[:12])}",
        f"removed {len(found.removed)}: {', '.join(found.removed[:12])}",
        f"labelled anew {len(found.relabelled)}: {', '.join(found.relabelled[:12])}",
        f"in another split {len(found.moved)}: {', '.join(found.moved[:12])}",
        *(f"{key}: {old} -> {now}" for key, old, now in found.cells),
    ]
    session.show(found, lambda: "\n".join(plain.clean(line) for line in lines))


@data.command()
@click.argument("snapshot")
@options
def verify(session: Session, snapshot: str) -> None:
    """Hash it again: is it still what was signed?"""
    found = session.get(f"/v1/snapshots/{part(snapshot)}/proof", SnapshotProof)
    word = "sound" if found.ok else f"NOT SOUND: {found.problem}"
    session.show(found, lambda: plain.clean(f"{found.snapshot} {word}: {found.episodes} episodes, {found.root_digest}"))
    if not found.ok:
        end("", REFUSED)


@data.command()
@click.argument("snapshot")
@click.argument("sessions", nargs=-1, required=True)
@click.option("--reason", default="", help="Why; it is recorded.")
@DRY_RUN
@ONCE
@options
def admit(
    session: Session, *, snapshot: str, sessions: tuple[str, ...], reason: str, dry_run: bool, ident: str
) -> None:
    """Let sessions join that came too late to join by themselves."""
    args: dict[str, Json] = {"sessions": list(sessions), "reason": reason}
    answer = session.command("snapshot.admit", snapshot, args, preview=dry_run, id=ident)
    session.done(answer, f"{len(sessions)} sessions join {plain.clean(snapshot)}")


@data.command()
@click.argument("snapshot")
@click.option("--reason", required=True, help="Why; it is recorded.")
@DRY_RUN
@ONCE
@options
def enough(session: Session, *, snapshot: str, reason: str, dry_run: bool, ident: str) -> None:
    """End the labelling: what has no labels stays out, and is counted."""
    answer = session.command("snapshot.enough", snapshot, {"reason": reason}, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(snapshot)} goes on with what is labelled")


@data.command()
@click.argument("snapshot")
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--phrase", default="", help="The typed phrase, when it can't be typed here.")
@click.option("--yes", is_flag=True, help="Take the phrase as it is now.")
@DRY_RUN
@ONCE
@options
def withdraw(
    session: Session, *, snapshot: str, reason: str, phrase: str, yes: bool, dry_run: bool, ident: str
) -> None:
    """Withdraw a snapshot for good; what was made from it is named first."""
    answer = risky(
        session, "snapshot.withdraw", snapshot, {"reason": reason}, phrase=phrase, yes=yes, dry_run=dry_run, id=ident
    )
    session.done(answer, f"{plain.clean(snapshot)} is withdrawn")


def sentence(s: SnapshotView) -> str:
    """Why it can't be signed, or what should be seen before it is."""
    if s.state == "withdrawn":
        return s.withdrawn_for
    if s.state in ("finalized", "superseded"):
        return f"signed by {', '.join(s.signed_by)}" if s.signed_by else s.state
    if s.blockers:
        return "NOT READY: " + "; ".join(s.blockers)
    ready = ["ready to be signed"] if s.state == "review" else []
    return "; ".join([*ready, *s.flags])


def _detail(s: SnapshotView) -> str:
    f, c, a = s.funnel, s.checks, s.agreement
    lines = [
        f"{s.id}  {s.state}  {s.region or 'no region'}  {s.episodes} episodes, {s.hours:.2f} h, {s.frames} frames",
        sentence(s),
        f"found {f.found} > ingested {f.ingested} > valid {f.valid} > labelled {f.labelled} > kept {f.kept}   quarantined {f.quarantined}  repaired {f.repaired}",
        "left out: " + (", ".join(f"{code} {count}" for code, count in f.reasons.items()) or "nothing"),
        f"agreement {_alpha(s)} n={a.n}   audit {_audit(s)}   leak {c.left}/{s.episodes}",
        f"split {_splits(s)} (train/val/test), {s.groups} groups, seed {s.split_seed}",
        f"interventions {s.interventions}   failures {s.failures}   estimated {s.gpu_hours:g} h of computing",
        f"root {s.root_digest or 'not frozen yet'}",
        f"manifest {s.manifest or '-'}   schema {s.schema[:19]}   licence {s.licence or 'not stated'}",
        f"before: {', '.join(s.parents) or 'nothing'}   signed by: {', '.join(s.signed_by) or 'nobody'}",
    ]
    lines = [plain.clean(line, 1000) for line in lines if line]
    cells = [
        ("!" if x.short else " ", x.key, f"{x.have}/{x.need}", f"waived by {x.waived}" if x.waived else "")
        for x in s.coverage
    ]
    lines += ["", plain.table(cells, ("", "cell", "has", ""), empty="no cell is asked for")]
    shifts = [
        (x.feature, f"{x.psi:.2f}", "" if x.p is None else f"{x.p:.3g}", "!" if x.flag else "") for x in s.shift[:5]
    ]
    if shifts:
        lines += ["", plain.table(shifts, (f"shift vs {s.shift_against}", "PSI", "KS p", ""), empty="")]
    if s.dependants:
        lines += ["", "made from it:", *[plain.clean(f"  {one}") for one in s.dependants]]
    return "\n".join(lines)


def _alpha(s: SnapshotView) -> str:
    a = s.agreement
    return "-" if a.alpha is None else f"{a.alpha:.2f} [{a.low or 0:.2f} {a.high or 0:.2f}]"


def _audit(s: SnapshotView) -> str:
    return f"{s.audit.k}/{s.audit.n} bad -> <={100 * s.audit.u95:.1f}% (95%)" if s.audit.n else "-"


def _splits(s: SnapshotView) -> str:
    return "/".join(str(s.splits.get(name, 0)) for name in ("train", "val", "test")) if s.splits else "-"


def _short(s: SnapshotView) -> str:
    short = sum(one.short for one in s.coverage)
    return f"{short}/{len(s.coverage)}" if s.coverage else "-"
