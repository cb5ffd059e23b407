"""`qd data sessions`: recordings that were taken in, what was found in them, and what became of them."""

from __future__ import annotations

from pathlib import Path

import click

from app import plain
from app.cli.session import DRY_RUN, ONCE, Session, options, part
from engine.contract.sessions import SESSION_STATE, SessionFunnel, SessionReport, SessionView


@click.group()
def sessions() -> None:
    """Recordings: take in, list, show findings, set aside, look at again."""


@sessions.command("ls")
@click.option("--state", default="", help=f"Of these states alone, with commas: {', '.join(SESSION_STATE)}.")
@click.option("--dataset", default="", help="Meant for this dataset.")
@click.option("--robot", default="", help="Of this robot.")
@click.option("--site", default="", help="From this site.")
@click.option("--code", default="", help="Set aside for this reason, such as truncated.")
@click.option("--text", default="", help="Words that occur in it.")
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@options
def ls(session: Session, *, state: str, text: str, limit: int, **where: str) -> None:
    """Recordings, newest change first."""
    wanted = {name: value for name, value in where.items() if value}
    rows = session.records("session", SessionView, state=state, where=wanted, text=text, limit=limit)
    session.show(
        rows,
        lambda: plain.table(
            [
                (
                    s.id,
                    s.state,
                    s.robot,
                    s.site,
                    s.task,
                    _length(s.duration_s),
                    _size(s.bytes),
                    s.interventions,
                    says(s),
                )
                for s in rows
            ],
            ("session", "state", "robot", "site", "task", "length", "size", "interv.", "says"),
            empty="no recording yet: qd data sessions add FOLDER",
        ),
    )


@sessions.command()
@click.argument("name", metavar="SESSION")
@options
def show(session: Session, name: str) -> None:
    """One recording: what it is, its topics, every finding."""
    found = session.record("session", name, SessionView)
    report = session.get(f"/v1/sessions/{part(name)}/report", SessionReport)

    def told() -> str:
        return _detail(found, report)

    session.show({"session": found, "report": report}, told)


@sessions.command()
@click.argument("folder", type=click.Path(exists=False))
@click.option("--dataset", default="", help="The dataset they are meant for.")
@click.option("--robot", default="", help="The robot they are said to be of.")
@click.option("--site", default="", help="The site they are said to be from.")
@DRY_RUN
@ONCE
@options
def add(session: Session, *, folder: str, dry_run: bool, ident: str, **given: str) -> None:
    """Take in every recording of a folder: MCAP files and LeRobot v3 datasets. The files stay where they are."""
    place = folder if "://" in folder else str(Path(folder).absolute())
    answer = session.command(
        "session.add", "", {"folder": place, **{k: v for k, v in given.items() if v}}, preview=dry_run, id=ident
    )
    run = answer.result.get("run", "") if isinstance(answer.result, dict) else ""
    session.done(answer, f"taking in {plain.clean(place)}: qd runs watch {plain.clean(str(run))}")


@sessions.command()
@click.argument("name", metavar="SESSION")
@click.option("--reason", required=True, help="Why; it is recorded.")
@DRY_RUN
@ONCE
@options
def quarantine(session: Session, *, name: str, reason: str, dry_run: bool, ident: str) -> None:
    """Set a recording aside."""
    answer = session.command("session.quarantine", name, {"reason": reason}, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(name)} is set aside")


@sessions.command()
@click.argument("name", metavar="SESSION")
@click.option("--reason", required=True, help="Why; it is recorded.")
@DRY_RUN
@ONCE
@options
def exclude(session: Session, *, name: str, reason: str, dry_run: bool, ident: str) -> None:
    """Leave a session out of the next freeze."""
    answer = session.command("session.exclude", name, {"reason": reason}, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(name)} is left out")


@sessions.command()
@click.argument("name", metavar="SESSION")
@click.option("--reason", default="", help="Why; it is recorded.")
@DRY_RUN
@ONCE
@options
def include(session: Session, *, name: str, reason: str, dry_run: bool, ident: str) -> None:
    """Take a session back in; the rule decides again."""
    answer = session.command("session.include", name, {"reason": reason}, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(name)} may be used again")


@sessions.command()
@click.argument("name", metavar="SESSION")
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--profile", default="", help="Judge it by this validation profile.")
@DRY_RUN
@ONCE
@options
def release(session: Session, *, name: str, reason: str, profile: str, dry_run: bool, ident: str) -> None:
    """Have a recording that was set aside looked at again. What fails again is set aside again."""
    args = {"reason": reason, "profile": profile}
    answer = session.command("session.release", name, args, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(name)} is looked at again")


@sessions.command()
@click.option("--dataset", default="", help="Of this dataset alone.")
@click.option("--robot", default="", help="Of this robot alone.")
@click.option("--site", default="", help="From this site alone.")
@options
def funnel(session: Session, **where: str) -> None:
    """How many by state, and why the others were set aside."""
    found = session.get("/v1/session-funnel", SessionFunnel, **{k: v for k, v in where.items() if v})

    def told() -> str:
        states = [(state, found.states.get(state, 0)) for state in SESSION_STATE if found.states.get(state)]
        lines = [
            f"{found.sessions} recordings, {found.hours:.2f} h, {_size(found.bytes)}, {found.repaired} repaired",
            "", plain.table(states, ("state", "recordings"), empty="none"),
        ]  # fmt: skip
        if found.reasons:
            lines += ["", plain.table(list(found.reasons.items()), ("set aside for", "recordings"), empty="")]
        return "\n".join(lines)

    session.show(found, told)


def says(session: SessionView) -> str:
    """The worst finding, or that there is none."""
    if session.findings and session.findings[0].severity != "note":
        first = session.findings[0]
        more = f" (and {session.finding_count - 1} more)" if session.finding_count > 1 else ""
        return f"{first.topic + ': ' if first.topic else ''}{first.text}{more}"
    return "nothing found" if session.verdict else "not checked yet"


def _detail(s: SessionView, report: SessionReport) -> str:
    lines = [
        f"{s.id}  {s.state}  {s.title}",
        says(s),
        f"file       {s.uri}" + (f"  episode {s.episode}" if s.episode >= 0 else ""),
        f"content    {s.content or 'never read'}" + (f"  (came as {s.digest})" if s.content != s.digest else ""),
        f"robot      {s.robot or '-'}  {s.variant}  site {s.site or '-'}  region {s.region or '-'}  operator {s.operator or '-'}",
        f"recorded   {plain.moment(s.start) if s.start else 'time unknown'}  {_length(s.duration_s)}  {_size(s.bytes)}  {s.frames} frames at {s.fps:g} Hz",
        f"consent    {s.consent_basis or 'not given'}  licence {s.licence or '-'}  personal data {'yes' if s.pii else 'no'}",
        f"judged by  {s.profile or '-'}  repairs {s.repairs}"
        + (f"  lost {s.lost_bytes} bytes, about {s.lost_s:g} s" if s.lost_bytes else ""),
    ]
    if s.bill:
        lines.append("software   " + "  ".join(f"{name} {digest[:19]}" for name, digest in sorted(s.bill.items())))
    if s.duplicate_of:
        lines.append(f"the same as {s.duplicate_of}")
    lines = [plain.clean(line, 400) for line in lines]
    findings = [(f.severity, f.check, f.topic, _at(f.t_from, f.t_to), f.text) for f in report.findings]
    topics = [
        (t.name, t.role, f"{t.hz:g}", t.messages, f"{t.drop_ratio:.2%}", f"{t.gap_s:.3g} s", t.type)
        for t in report.topics
    ]
    marks = [(_at(m.t0, m.t1), m.kind, m.text) for m in s.marks[:50]]
    lines += ["", plain.table(findings, ("severity", "check", "topic", "at", "finding"), empty="no findings")]
    lines += [
        "",
        plain.table(topics, ("topic", "role", "Hz", "messages", "missing", "silence", "type"), empty="no topics"),
    ]
    if marks:
        lines += ["", plain.table(marks, ("at", "what", "text"), empty="")]
    return "\n".join(lines)


def _at(t0: float, t1: float) -> str:
    if t0 < 0:
        return "all of it"
    return f"{t0:.1f} s" if t1 - t0 < 0.05 else f"{t0:.1f}-{t1:.1f} s"


def _length(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _size(count: int) -> str:
    """Bytes, in thousands."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
