"""`qd corrections`: what people had to correct; causes, phases, sides, clusters and effects."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from app import plain
from app.cli.session import DRY_RUN, ONCE, Session, options, risky
from engine.contract.common import Json
from engine.contract.corrections import (
    CAUSES,
    SEVERITIES,
    ClusterView,
    CorrectionCase,
    CorrectionsBoard,
    EffectView,
    Factors,
    SessionScore,
    SpikeView,
)

_REASON = click.option("--reason", default="", help="Why; it is recorded.")
_WHY = click.option("--reason", required=True, help="Why; it is recorded.")
OPEN = (
    "detected,captured,triaged,clustered,annotating,adjudicating,in_review,prioritised,routed,included,case_added,"
    "awaiting_effect,not_fixed,stale"
)


@click.group()
def corrections() -> None:
    """What people had to correct: triage, phases, clusters, routes, effects."""


@corrections.command("ls")
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@click.option("--state", default="", help="Only these states, comma-separated.")
@click.option("--cluster", default="", help="Only of this cluster.")
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@options
def ls(session: Session, everything: bool, state: str, cluster: str, limit: int) -> None:
    """Corrections by what they wait for."""
    rows = session.records(
        "correction", CorrectionCase, state=state or ("" if everything else OPEN), where={"cluster": cluster} if cluster else {},
        limit=limit,
    )  # fmt: skip
    listed = [
        (
            r.id, r.state, r.robot, r.task, r.cause or f"{r.suggested.cause}?", r.cluster, r.quality or "", r.route or r.wanted,
            r.snapshot or r.pack, r.session,
        )
        for r in rows
    ]  # fmt: skip
    heads = ("correction", "state", "robot", "task", "cause", "cluster", "quality", "route", "held by", "session")
    session.show(rows, lambda: plain.table(listed, heads, empty="no correction waits"))


@corrections.command()
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@options
def clusters(session: Session, everything: bool) -> None:
    """Clusters by score."""
    states = "" if everything else "open,annotating,in_review,routed,awaiting_effect,not_fixed"
    rows = session.records("cluster", ClusterView, state=states, sort="-score", limit=500)
    listed = [
        (r.id, r.title, f"{r.score:.1f}", r.n_30d, _rate(r), r.state, _alpha(r), r.split_says or _counts(r.versions))
        for r in rows
    ]
    heads = ("cluster", "what", "score", "n", "per 100 robot-h", "state", "alpha", "split or versions")
    session.show(rows, lambda: plain.table(listed, heads, empty="no cluster"))


@corrections.command()
@click.argument("name")
@options
def show(session: Session, name: str) -> None:
    """One correction (COR-N), or a cluster with its factors and effect (CL-N)."""
    if name.startswith("CL-"):
        cluster = session.record("cluster", name, ClusterView)
        session.show(cluster, lambda: _cluster(cluster))
        return
    case = session.record("correction", name, CorrectionCase)
    session.show(case, lambda: _case(case))


@corrections.command()
@options
def board(session: Session) -> None:
    """How many wait for what."""
    found = session.get("/v1/corrections/board", CorrectionsBoard)
    waits = f"{found.to_triage} to triage, {found.to_annotate} to annotate, {found.to_adjudicate} to settle"
    session.show(found, lambda: f"{found.open} open in {found.clusters} clusters: {waits}, {found.in_review} in review")


@corrections.command()
@options
def spikes(session: Session) -> None:
    """More interventions than chance: version, site, window."""
    rows = session.records("spike", SpikeView)
    listed = [
        (r.id, r.version, r.site, r.k, f"{r.expected:.2g}", f"{r.p:.2g}" if r.p is not None else "-", r.says)
        for r in rows
    ]
    heads = ("spike", "version", "site", "seen", "expected", "p", "says")
    session.show(rows, lambda: plain.table(listed, heads, empty="no spike"))


@corrections.command()
@click.option("--flagged", is_flag=True, help="Only sessions that a rule flags.")
@options
def sessions(session: Session, flagged: bool) -> None:
    """What was found in each session, the most telling first."""
    rows = sorted(session.records("session_score", SessionScore, limit=500), key=lambda r: -r.rank)
    listed = [
        (
            r.session,
            r.robot,
            r.site,
            r.interventions,
            f"{r.robot_h:.2f}",
            f"{100 * r.human_share:.0f} %",
            "; ".join(r.why) or "-",
        )
        for r in rows
        if r.flagged or not flagged
    ]
    heads = ("session", "robot", "site", "n", "robot-h", "by hand", "flagged for")
    session.show(rows, lambda: plain.table(listed, heads, empty="no session was looked through"))


@corrections.command("open")
@click.argument("robot")
@click.option("--at", type=float, default=0.0, help="UTC epoch seconds of the takeover; now when not given.")
@click.option("--until", type=float, default=0.0, help="When the person let go.")
@click.option("--site", default="")
@click.option("--version", default="")
@click.option("--task", default="")
@click.option("--zone", default="")
@click.option("--severity", type=click.Choice(SEVERITIES), default="task_failure", show_default=True)
@_REASON
@DRY_RUN
@ONCE
@options
def open_(session: Session, *, dry_run: bool, ident: str, **args: Any) -> None:
    """Somebody took over from a robot: pin its window before it is overwritten."""
    answer = session.command("correction.open", "", args, preview=dry_run, id=ident)
    said = str((answer.result or {}).get("says") or "") if isinstance(answer.result, dict) else ""
    run = answer.result.get("run", "") if isinstance(answer.result, dict) else ""
    session.done(answer, f"opened: qd runs show {plain.clean(run)}" + (f"\n{plain.clean(said)}" if said else ""))


@corrections.command()
@click.argument("correction")
@click.option("--cause", type=click.Choice(CAUSES), default=None, help="Else as the rules suggest.")
@click.option("--severity", type=click.Choice(SEVERITIES), default=None)
@_REASON
@DRY_RUN
@ONCE
@options
def triage(
    session: Session,
    *,
    correction: str,
    cause: str | None,
    severity: str | None,
    reason: str,
    dry_run: bool,
    ident: str,
) -> None:
    """Say what caused it."""
    if cause is None:
        cause = session.record("correction", correction, CorrectionCase).suggested.cause
    args: dict[str, Json] = {"cause": cause, "reason": reason} | ({"severity": severity} if severity else {})
    answer = session.command("correction.triage", correction, args, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(correction)}: {cause}")


def _spans(file: str | None) -> list[Json]:
    """Spans from a JSON file ([{t0, t1, phase}]; `-` for stdin)."""
    if file is None:
        return []
    try:
        found = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text("utf-8"))
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{file}: not JSON: {error}") from error
    if not isinstance(found, list):
        raise click.UsageError(f"{file}: phases are a list of {{t0, t1, phase}}")
    return found


@corrections.command()
@click.argument("correction")
@click.option(
    "--quality", type=click.IntRange(1, 5), required=True, help="Below 3 it is kept for detection, not imitated."
)
@click.option("--spans", "file", metavar="FILE", help="Phases as JSON, seconds from the takeover; else as shown.")
@click.option("--gated-by", type=click.Choice(["human", "robot"]), default="human", show_default=True)
@click.option("--failed-after", is_flag=True, help="The task did not succeed afterwards.")
@click.option("--note", default="")
@DRY_RUN
@ONCE
@options
def annotate(
    session: Session, *, correction: str, quality: int, file: str | None, gated_by: str, failed_after: bool, note: str,
    dry_run: bool, ident: str,
) -> None:  # fmt: skip
    """Set the phases of a clip."""
    args: dict[str, Json] = {
        "quality": quality, "spans": _spans(file), "gated_by": gated_by, "success_after": not failed_after, "note": note,
    }  # fmt: skip
    answer = session.command("correction.annotate", correction, args, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(correction)} is annotated")


@corrections.command()
@click.argument("correction")
@click.option("--quality", type=click.IntRange(1, 5), required=True)
@click.option("--spans", "file", metavar="FILE", required=True, help="Phases as JSON, seconds from the takeover.")
@click.option("--note", default="")
@DRY_RUN
@ONCE
@options
def settle(session: Session, *, correction: str, quality: int, file: str, note: str, dry_run: bool, ident: str) -> None:
    """Settle what two people see differently, as a third."""
    args: dict[str, Json] = {"quality": quality, "spans": _spans(file), "note": note}
    answer = session.command("correction.adjudicate", correction, args, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(correction)} is settled")


def _plain(name: str, verb: str, says: str, done: str, reason: Any) -> None:
    """A verb on one correction with nothing but a reason."""

    @options
    def command(session: Session, *, correction: str, reason: str, dry_run: bool, ident: str) -> None:
        answer = session.command(verb, correction, {"reason": reason}, preview=dry_run, id=ident)
        told = answer.result.get("says", "") if isinstance(answer.result, dict) else ""
        session.done(answer, f"{plain.clean(correction)} {done}" + (f"\n{plain.clean(told)}" if told else ""))

    corrections.command(name, help=says)(click.argument("correction")(reason(DRY_RUN(ONCE(command)))))


_plain(
    "train", "correction.train", "Ask for the training side, with its whole group.", "is asked for training", _REASON
)
_plain(
    "eval", "correction.eval", "Ask for the evaluation side, with its whole group.", "is asked for evaluation", _REASON
)
_plain("discard", "correction.discard", "Not to be learnt from.", "is discarded", _WHY)
_plain("maintenance", "correction.maintenance", "The hardware's fault: to maintenance.", "is handed over", _WHY)


@corrections.command("continue")
@click.argument("names", nargs=-1, required=True, metavar="CORRECTION...")
@_REASON
@DRY_RUN
@ONCE
@options
def continue_(session: Session, *, names: tuple[str, ...], reason: str, dry_run: bool, ident: str) -> None:
    """Go on with corrections whose run ended."""
    answer = session.command(
        "correction.continue", "", {"cases": list(names), "reason": reason}, preview=dry_run, id=ident
    )
    run = answer.result.get("run", "") if isinstance(answer.result, dict) else ""
    session.done(answer, f"goes on: qd runs show {plain.clean(run)}")


@corrections.command()
@click.argument("cluster")
@click.option("--into", required=True, help="The cluster that stays.")
@_REASON
@click.option("--phrase", default="", help="The typed phrase, when it can't be typed here.")
@click.option("--yes", is_flag=True, help="Take the phrase as it is now.")
@DRY_RUN
@ONCE
@options
def merge(
    session: Session, *, cluster: str, into: str, reason: str, phrase: str, yes: bool, dry_run: bool, ident: str
) -> None:
    """Two clusters are one: the corrections of CLUSTER go to another."""
    args: dict[str, Json] = {"into": into, "reason": reason}
    answer = risky(session, "cluster.merge", cluster, args, phrase=phrase, yes=yes, dry_run=dry_run, id=ident)
    session.done(answer, f"{plain.clean(cluster)} is merged into {plain.clean(into)}")


@corrections.command()
@click.argument("cluster")
@_REASON
@DRY_RUN
@ONCE
@options
def gathered(session: Session, *, cluster: str, reason: str, dry_run: bool, ident: str) -> None:
    """Wait for no more of its like: its labels are reviewed once its clips are annotated."""
    answer = session.command("cluster.gathered", cluster, {"reason": reason}, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(cluster)} gathers no more")


@corrections.command()
@click.argument("cluster")
@click.option("--version", required=True, help="The release that learnt from it, as session bills call it.")
@_REASON
@DRY_RUN
@ONCE
@options
def measure(session: Session, *, cluster: str, version: str, reason: str, dry_run: bool, ident: str) -> None:
    """Name the release to measure, where its lineage is not known here."""
    args: dict[str, Json] = {"version": version, "reason": reason}
    answer = session.command("cluster.measure", cluster, args, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(cluster)} is measured on {plain.clean(version)}")


# -- text ------------------------------------------------------------------------------------------------------------


def _rate(r: ClusterView) -> str:
    return f"{r.rate:.1f} [{r.low or 0:.1f} {r.high or 0:.1f}]" if r.rate is not None else "-"


def _alpha(r: ClusterView) -> str:
    return f"{r.agreement.alpha:.2f}" if r.agreement.alpha is not None else "-"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda row: -row[1])[:4])


def _factors(f: Factors) -> str:
    if not f.at:
        return "no score before the labels"
    age = 2 ** (-f.age_d / f.half_life_d)
    return (
        f"score {f.score:.2f} = severity {f.w_sev:g} ({f.severity}) x ln(1+{f.n_30d}) x gap {1 - f.coverage:.2f} "
        f"({f.coverage_says}) x novelty {f.novelty:.2f} x quality {f.quality:.2f} x age {age:.2f}"
    )


def _effect(e: EffectView | None) -> list[str]:
    return [f"effect of {e.version}: {e.word}: {e.sentence}"] if e is not None and e.word else []


def _cluster(r: ClusterView) -> str:
    lines = [
        f"{r.id}  {r.title}  {r.state}  round {r.round + 1}",
        _factors(r.factors),
        f"{r.n_30d} events in 30 d, {r.exposure_h:.1f} robot-h, per 100 h: {_rate(r)}; by week {' '.join(map(str, r.trend))}",
        f"versions {_counts(r.versions)}; sites {_counts(r.sites)}; causes {_counts(r.causes)}",
        f"agreement {_alpha(r)} (n={r.agreement.n}); clips {', '.join(r.clips)}",
        f"corrections {', '.join(r.members)}",
    ]
    lines += [f"split: {r.split_says}"] if r.split_says else []
    lines += [f"held by {', '.join(filter(None, (r.snapshot, r.pack)))}"] if r.snapshot or r.pack else []
    lines += [f"annotators who left known edges as shown: {', '.join(r.copiers)}"] if r.copiers else []
    return "\n".join(plain.clean(line, 1000) for line in [*lines, *_effect(r.effect)])


def _case(r: CorrectionCase) -> str:
    lines = [
        f"{r.id}  {r.title}  {r.state}",
        f"{r.robot} {r.site}  session {r.session or '-'}  version {r.version or '-'}  taken over {r.t0:.1f}, {r.t1 - r.t0:.1f} s",
        f"cause {r.cause or '-'}; suggested {r.suggested.cause} ({r.suggested.why})",
    ]
    if r.window is not None and r.window.digest:
        lines.append(
            f"window {r.window.digest} {100 * r.window.covered:.0f} % from {r.window.source}, {r.window.messages} messages"
        )
    lines += [f"lost: {r.lost_why}"] if r.lost_why else []
    lines += [f"flags: {'; '.join(r.flags)}"] if r.flags else []
    lines += [f"annotated by {', '.join(one.author for one in r.annotations)}"] if r.annotations else []
    lines += [f"cluster {r.cluster}; route {r.route or r.wanted or '-'} {r.route_why}"] if r.cluster else []
    lines += [f"quality {r.quality}, {r.use}"] if r.quality else []
    text = "\n".join(plain.clean(line, 1000) for line in [*lines, *_effect(r.effect)])
    spans = r.final or r.shown or r.auto
    rows = [(s.phase, f"{s.t0:.1f}", f"{s.t1:.1f}") for s in spans]
    return text + ("\n\n" + plain.table(rows, ("phase", "from s", "to s"), empty="") if rows else "")
