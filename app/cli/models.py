"""`qd models`: candidates against what runs today, evaluation packs, trials, artifacts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from app import plain
from app.cli.session import DRY_RUN, ONCE, Session, options, part, risky
from engine.contract.common import CommandAnswer, Json
from engine.contract.models import (
    ArtifactView,
    CandidateView,
    ComparisonView,
    PackView,
    Scoreboard,
    TaskRow,
    TrialView,
    Verified,
)

_YES = click.option("--yes", is_flag=True, help="Don't ask.")


@click.group()
def models() -> None:
    """Candidates, evaluation packs, artifacts."""


@models.command("ls")
@click.option("--line", default="", help="Only this model line.")
@click.option("--state", default="", help="Only in this state (several with commas).")
@options
def ls(session: Session, line: str, state: str) -> None:
    """Candidates, newest change first."""
    found = session.records("candidate", CandidateView, state=state, where={"line": line} if line else None)
    rows = [
        (c.id, c.line, c.state, c.verdict.replace("_", " "), c.baseline.label, c.artifact, c.why or c.sentence)
        for c in found
    ]
    heads = ("candidate", "line", "state", "verdict", "against", "artifact", "says")
    session.show(found, lambda: plain.table(rows, heads, empty="no candidate: qd models register FILE --line LINE"))


@models.command()
@click.argument("candidate")
@options
def show(session: Session, candidate: str) -> None:
    """One candidate: task by task, readiness, decisions."""
    board = session.get(f"/v1/candidates/{part(candidate)}/scoreboard", Scoreboard)
    session.show(board, lambda: _board(board))


def _board(board: Scoreboard) -> str:
    c = board.candidate
    lines = [
        f"{c.id}  {c.line} {c.version}  {c.state}" + (f"  (approvals wait for {c.frozen_by})" if c.frozen_by else "")
    ]
    if c.baseline.label:
        lines.append(f"against {c.baseline.label}, {c.baseline.robots} robots now ({c.baseline.found})  pack {c.pack}")
    lines += [c.sentence] if c.sentence else []
    lines += [f"why: {c.why}"] if c.why else []
    if board.comparison is not None:
        tasks = [*board.comparison.tasks, *([board.comparison.overall] if board.comparison.overall else [])]
        heads = ("task", "candidate", "baseline", "difference (90 %)", "K better", "K no worse", "verdict")
        lines += ["", plain.table([_row(one) for one in tasks], heads, empty="no trial")]
    marks = {True: "ok", False: "NO", None: "-"}
    if c.checks:
        lines += [
            "",
            plain.table([(marks[one.ok], one.name, one.says) for one in c.checks], ("", "check", "says"), empty=""),
        ]
    if board.excluded:
        rows = [(t.id, t.arm, t.task, t.seed, t.excluded, t.excluded_by) for t in board.excluded]
        lines += ["", plain.table(rows, ("left out", "arm", "task", "seed", "why", "by"), empty="")]
    for one in c.decisions:
        lines.append(f"{plain.moment(one.at)} {one.answer} by {', '.join(one.people) or 'policy'}: {one.reason}")
    if board.open_gate:
        lines.append(f"asked: qd gates show {board.open_gate} ({board.seats} seats filled)")
    return plain.clean_lines("\n".join(lines))


def _row(one: TaskRow) -> tuple[str, ...]:
    interval = f"{100 * one.diff:+.0f} [{100 * one.low:+.0f} {100 * one.high:+.0f}] pts"
    return (
        one.task, f"{one.k1:g}/{one.n1}", f"{one.k0:g}/{one.n0}", interval, _k(one.k_better), _k(one.k_no_worse), one.word,
    )  # fmt: skip


def _k(value: float) -> str:
    return ">1000" if value > 1000 else f"{value:.3g}"


@models.command()
@click.argument("checkpoint")
@click.option("--line", required=True, help="The model line.")
@click.option("--version", default="", help="The software version it becomes part of.")
@click.option("--snapshot", default="", help="The dataset snapshot it learnt from.")
@click.option("--pack", default="", help="Evaluation pack (else the line's newest).")
@click.option("--baseline", default="", help="Digest to compare with (else what runs today).")
@click.option("--safety-relevant", is_flag=True, help="It touches a safety function: two people approve.")
@click.option("--notes", default="", help="Intended use and limits.")
@DRY_RUN
@ONCE
@options
def register(session: Session, checkpoint: str, dry_run: bool, ident: str, **given: Any) -> None:
    """Take a checkpoint (a file, or sha256:… that is kept) to its release."""
    args: dict[str, Json] = {name: value for name, value in given.items() if value}
    args |= {"digest": checkpoint} if checkpoint.startswith("sha256:") else {"path": str(Path(checkpoint).resolve())}
    answer = session.command("candidate.register", "", args, preview=dry_run, id=ident)
    session.done(answer, f"on its way: qd runs watch {_of(answer, 'run')}")


@models.command()
@click.argument("path")
@options
def keep(session: Session, path: str) -> None:
    """Keep a file under its digest (a baseline's checkpoint, a session to replay)."""
    answer = session.command("candidate.keep", "", {"path": str(Path(path).resolve())})
    session.done(answer, _of(answer, "digest"))


@models.command()
@click.argument("candidate")
@click.option("--task", default="", help="Only this task.")
@click.option("--excluded", is_flag=True, help="Only those left out.")
@click.option("--failed", is_flag=True, help="Only failures.")
@options
def trials(session: Session, candidate: str, task: str, excluded: bool, failed: bool) -> None:
    """The single trials of a candidate."""
    where = {"candidate": candidate} | ({"task": task} if task else {}) | ({"outcome": "failure"} if failed else {})
    found = session.records(
        "trial", TrialView, state="excluded" if excluded else "", where=where, sort="task", limit=1000
    )
    rows = [
        (
            t.id,
            t.arm,
            t.task,
            t.seed,
            t.purpose,
            t.outcome,
            f"{t.rubric:.2f}",
            f"{t.duration_s:.1f} s",
            t.excluded or t.mode,
        )
        for t in found
    ]
    heads = ("trial", "arm", "task", "seed", "purpose", "outcome", "rubric", "took", "says")
    session.show(found, lambda: plain.table(rows, heads, empty="no trial"))


@models.command()
@click.argument("candidate")
@options
def comparisons(session: Session, candidate: str) -> None:
    """Every comparison that was made of a candidate, newest first."""
    found = session.records("comparison", ComparisonView, where={"candidate": candidate}, sort="-created_at")
    rows = [(c.id, plain.moment(c.created_at), c.purpose, c.verdict, c.excluded, c.sentence) for c in found]
    session.show(
        found, lambda: plain.table(rows, ("comparison", "made", "of", "verdict", "left out", "says"), empty="none")
    )


@models.command()
@click.argument("trial")
@click.option("--reason", required=True, help="Why; it stays visible.")
@click.option("--sort", type=click.Choice(["operator", "environment", "hardware", "protocol"]), default="operator")
@DRY_RUN
@_YES
@ONCE
@options
def exclude(session: Session, *, trial: str, reason: str, sort: str, dry_run: bool, yes: bool, ident: str) -> None:
    """Leave a trial out, with its reason; who was asked is asked again."""
    args: dict[str, Json] = {"reason": reason, "sort": sort}
    answer = risky(session, "candidate.exclude", trial, args, phrase="", yes=yes, dry_run=dry_run, id=ident)
    session.done(answer, f"{plain.clean(trial)} is left out")


@models.command()
@click.argument("candidate")
@click.option("--reason", default="", help="Why; it is recorded.")
@DRY_RUN
@ONCE
@options
def more(session: Session, candidate: str, reason: str, dry_run: bool, ident: str) -> None:
    """More trials for what is undecided."""
    answer = session.command("candidate.more", candidate, {"reason": reason}, preview=dry_run, id=ident)
    session.done(answer, f"more trials for {plain.clean(candidate)}")


@models.command()
@click.argument("candidate")
@click.option("--reason", default="", help="Why; it is recorded.")
@DRY_RUN
@ONCE
@options
def reopen(session: Session, candidate: str, reason: str, dry_run: bool, ident: str) -> None:
    """Ask for its approval again, after nobody answered."""
    answer = session.command("candidate.reopen", candidate, {"reason": reason}, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(candidate)} is asked about again")


@models.command()
@click.argument("candidate")
@click.argument("number", type=click.IntRange(1))
@click.argument("outcome", type=click.Choice(["success", "failure"]))
@click.option("--rubric", type=click.FloatRange(0, 1), default=0.0, help="How far it came, 0 to 1.")
@click.option("--took", type=click.FloatRange(0), default=0.0, help="Seconds.")
@click.option("--safety-event", default="", help="What must not have happened.")
@click.option("--note", default="")
@ONCE
@options
def enter(
    session: Session, *, candidate: str, number: int, outcome: str, took: float, ident: str, **given: Any
) -> None:
    """Enter one trial of the hardware order sheet, by its number."""
    args: dict[str, Json] = {"number": number, "outcome": outcome, "duration_s": took}
    args |= {name: value for name, value in given.items() if value}
    answer = session.command("candidate.enter", candidate, args, id=ident)
    session.done(answer, f"entered; {_of(answer, 'left')} left")


@models.command("hardware-done")
@click.argument("candidate")
@ONCE
@options
def hardware_done(session: Session, candidate: str, ident: str) -> None:
    """The order sheet is done."""
    session.done(session.command("candidate.hardware_done", candidate, {}, id=ident), "compared now")


@models.command()
@click.option("--line", default="", help="Only this model line.")
@click.option("--state", default="", help="Only in this state.")
@options
def artifacts(session: Session, line: str, state: str) -> None:
    """What was built, newest change first."""
    found = session.records("artifact", ArtifactView, state=state, where={"line": line} if line else None)
    rows = [
        (a.id, a.line, a.version, a.state, a.candidate, plain.moment(a.expires_at), a.digest[:19], a.why) for a in found
    ]
    heads = ("artifact", "line", "version", "state", "of", "expires", "digest", "why")
    session.show(found, lambda: plain.table(rows, heads, empty="no artifact"))


@models.command()
@click.argument("artifact")
@options
def verify(session: Session, artifact: str) -> None:
    """Check an artifact from its bytes: digest, signature, bill of materials, provenance."""
    found = session.get(f"/v1/artifacts/{part(artifact)}/verify", Verified)
    rows = [("ok" if one.ok else "NO", one.name, one.says) for one in found.checks]
    session.show(found, lambda: plain.table(rows, ("", "what", "found"), empty=""))
    if not found.sound:
        sys.exit(1)


@models.command()
@click.argument("artifact")
@click.option("--reason", required=True, help="Why; everybody concerned reads it.")
@DRY_RUN
@_YES
@ONCE
@options
def revoke(session: Session, *, artifact: str, reason: str, dry_run: bool, yes: bool, ident: str) -> None:
    """For good and at once: rollouts of it pause, nothing new starts with it."""
    answer = risky(
        session, "artifact.revoke", artifact, {"reason": reason}, phrase="", yes=yes, dry_run=dry_run, id=ident
    )
    session.done(answer, f"{plain.clean(artifact)} is revoked")


@models.group()
def pack() -> None:
    """Evaluation packs: list, show, add, add a case, lock, retire."""


@pack.command("ls")
@options
def pack_ls(session: Session) -> None:
    """Evaluation packs, newest change first."""
    found = session.records("pack", PackView)
    rows = [
        (p.id, p.line, p.state, len(p.tasks), len(p.regressions), p.plan.n_max or "", p.used_by, p.digest[:19])
        for p in found
    ]
    heads = ("pack", "line", "state", "tasks", "incident cases", "n max", "used by", "digest")
    session.show(found, lambda: plain.table(rows, heads, empty="no pack: qd models pack add FILE"))


@pack.command("show")
@click.argument("name")
@options
def pack_show(session: Session, name: str) -> None:
    """One pack: tasks with their predicates, plan, cases."""
    found = session.record("pack", name, PackView)
    session.show(found, lambda: _pack(found))


def _pack(p: PackView) -> str:
    plan = p.plan
    lines = [
        f"{p.id}  line {p.line}  {p.state}  runner {p.runner}  {p.simulator}  {p.digest}",
        f"plan: {plan.test} alpha {plan.alpha:g}, no more than {100 * plan.margin:g} pts worse overall, "
        f"{100 * plan.task_margin:g} per task, n max {plan.n_max}",
        "",
        plain.table(
            [(t.task, t.seeds, t.predicate, t.rubric) for t in p.tasks],
            ("task", "seeds", "success is", "rubric"),
            empty="",
        ),
    ]
    if p.regressions:
        lines += [
            "",
            plain.table(
                [(c.id, c.task, c.seed, c.origin) for c in p.regressions], ("case", "task", "seed", "from"), empty=""
            ),
        ]
    return plain.clean_lines("\n".join(lines))


@pack.command("add")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@DRY_RUN
@ONCE
@options
def pack_add(session: Session, file: Path, dry_run: bool, ident: str) -> None:
    """A new version of a pack from a JSON document."""
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise click.UsageError(f"{file}: a pack is one JSON object")
    answer = session.command("pack.add", "", {"document": document}, preview=dry_run, id=ident)
    session.done(answer, f"{_of(answer, 'id')} is {_of(answer, 'state')}")


@pack.command("case")
@click.argument("name")
@click.argument("case")
@click.option("--task", required=True)
@click.option("--seed", type=int, default=0)
@click.option("--origin", required=True, help="The incident or correction it comes from.")
@ONCE
@options
def pack_case(session: Session, *, name: str, case: str, task: str, seed: int, origin: str, ident: str) -> None:
    """The pack's next version, with one more case that has to hold."""
    args: dict[str, Json] = {"id": case, "task": task, "seed": seed, "origin": origin}
    answer = session.command("pack.case", name, args, id=ident)
    session.done(answer, f"{_of(answer, 'id')} has it")


@pack.command("lock")
@click.argument("name")
@ONCE
@options
def pack_lock(session: Session, name: str, ident: str) -> None:
    """From here on its content no longer changes (the first trial locks it, too)."""
    session.done(session.command("pack.lock", name, {}, id=ident), f"{plain.clean(name)} is locked")


@pack.command("retire")
@click.argument("name")
@click.option("--reason", required=True)
@ONCE
@options
def pack_retire(session: Session, name: str, reason: str, ident: str) -> None:
    """No new candidate is tried on it."""
    session.done(session.command("pack.retire", name, {"reason": reason}, id=ident), f"{plain.clean(name)} is retired")


def _of(answer: CommandAnswer, name: str) -> str:
    """A field of what a command came to, for a sentence."""
    result: Any = answer.result or {}
    return plain.clean(result.get(name, "")) if isinstance(result, dict) else ""
