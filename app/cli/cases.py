"""`qd cases`: maintenance cases and problems. A robot goes back to service by its gate: `qd gates approve`."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path
from typing import Any

import click
import msgspec

from app import plain
from app.cli.filtering import FILTER, narrowed
from app.cli.session import DRY_RUN, ONCE, Session, end, options, part
from engine.contract.cases import CASE_OVER, HOLD_REASONS, CaseDetail, CaseQueue, Clock, ProblemView
from engine.contract.common import CommandAnswer, Json

ATTACHED = 500_000
USAGE = 2


@click.group()
def cases() -> None:
    """Maintenance cases: list, show, open, claim, work on, resolve; problems."""


@cases.command("ls")
@click.option("--queue", default="", help="Only this queue.")
@click.option("--text", default="", help="Only cases with these words.")
@click.option("--mine", is_flag=True, help="Only what I have or worked on.")
@click.option("--all", "with_over", is_flag=True, help="Closed, merged and cancelled ones, too.")
@FILTER
@options
def ls(session: Session, *, queue: str, text: str, mine: bool, with_over: bool, words: str) -> None:
    """Cases by what is due first."""
    asked = {"queue": queue, "text": text, "mine": "1" if mine else "", "all": "1" if with_over else ""}
    found = session.get("/v1/cases/queue", CaseQueue, **{name: value for name, value in asked.items() if value})
    kept = narrowed(found.rows, words, now=found.as_of, inner=lambda line: line.case)
    found = msgspec.structs.replace(found, rows=kept)
    rows = [
        (
            one.case.id,
            f"P{one.case.priority}" if one.case.priority else "-",
            one.case.robot,
            one.case.symptom,
            one.case.state,
            _clock(one.clock),
            one.case.assignee or "-",
            one.ticket + (" !" if one.disagree else "") or "-",
            one.gate,
        )
        for one in found.rows
    ]
    heads = ("case", "P", "robot", "symptom", "state", "clock", "who", "ticket", "gate")
    counts = "  ".join(f"{name} {count}" for name, count in found.counts.items())
    said = f"{counts}  breach in <{found.soon_s / 60:.0f} min: {found.breaching}\n" if counts else ""
    session.show(found, lambda: said + plain.table(rows, heads, empty="no case is open: qd cases open ROBOT SYMPTOM"))


def _clock(clock: Clock | None) -> str:
    if clock is None:
        return "-"
    if clock.state == "stopped":
        return f"{clock.name} stopped"
    left = clock.left_s
    return f"{clock.name} {'late' if left < 0 else 'in'} {_span(abs(left))}"


def _span(length_s: float) -> str:
    minutes = int(length_s // 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d}" if minutes < 2880 else f"{minutes // 1440} d"


@cases.command()
@click.argument("case")
@click.option("--bundle", is_flag=True, help="The context bundle as it was kept, too.")
@click.option("--at", type=click.IntRange(0), default=0, metavar="EVENT", help="As it was after this event.")
@options
def show(session: Session, case: str, bundle: bool, at: int) -> None:
    """One case: the fault, who else has it, clocks, runbook, what it needs to be verified; now or as it was."""
    detail = session.get(f"/v1/cases/{part(case)}/view", CaseDetail, at=at)
    session.show(detail, lambda: _detail(detail, bundle))


def _detail(detail: CaseDetail, bundle: bool) -> str:
    case = detail.case
    lines = [
        f"{case.id}  P{case.priority}  {case.robot}  {case.site}  {case.variant}  serial {case.serial}  {case.state}",
        case.symptom,
        f"queue {case.queue or '-'}  on call {case.on_call or '-'}  with {case.assignee or 'nobody'}  run {case.run or '-'}",
        "clocks: " + ("; ".join(_clock_line(one) for one in detail.clocks) or "none"),
        f"hypothesis {case.hypothesis or '-'}: {'; '.join(case.grounds) or 'no grounds'}",
        f"robot {detail.robot_state or '-'}, held by {', '.join(detail.robot_holds) or 'nothing'}",
    ]
    coded = [
        f"{name} {value}"
        for name in ("mode", "mechanism", "cause", "detection", "item")
        if (value := getattr(case, name))
    ]
    lines += [f"coded: {', '.join(coded)}"] if coded else []
    lines += [f"resolution: {case.resolution}"] if case.resolution else []
    lines += [f"! {warning}" for warning in case.warnings]
    if case.state not in CASE_OVER:
        second = ", and a second person" if detail.four_eyes else ""
        lines.append(
            f"to verify: {detail.need_hours:g} robot-h or {detail.need_tasks:g} tasks without the fault{second}"
        )
        lines += [f"to resolve, code: {', '.join(detail.missing)}"] if detail.missing else []
    for one in detail.tickets:
        about = ", ".join(each.field for each in one.link.conflicts)
        said = (
            f"disagrees about {about}: qd tickets show {one.link.id}"
            if about
            else one.link.error or one.link.their_state
        )
        lines.append(f"ticket {one.link.system}/{one.link.ticket or '-'}  {one.link.state}  {said}  {one.link.url}")
    lines += [f"page {one.system}: {one.state}" for one in detail.pages]
    lines += [f"open question: qd gates show {detail.gate}"] if detail.gate else []
    text = "\n".join(plain.clean(line, 1000) for line in lines)
    if detail.runbook:
        rows = [("x" if one.done else "", one.number, one.text, one.value, one.by) for one in detail.runbook]
        text += "\n\n" + plain.table(
            rows, ("done", "", f"{case.runbook} {detail.runbook_title}", "reading", "by"), empty=""
        )
    if bundle:
        text += "\n\n" + plain.clean_lines(plain.as_json(detail.bundle))
    return text


def _clock_line(clock: Clock) -> str:
    if clock.state in ("met", "late"):
        return f"{clock.name} {'met' if clock.state == 'met' else 'met late'}"
    return _clock(clock) if clock.limit_s else f"{clock.name} best effort"


@cases.command("open")
@click.argument("robot")
@click.argument("symptom")
@click.option("--impact", type=click.IntRange(1, 3), help="1 people or the fleet, 2 a site, 3 one robot.")
@click.option("--urgency", type=click.IntRange(1, 3), help="1 now, 2 today, 3 can wait.")
@click.option("--safety", is_flag=True, help="It is about safety: the robot leaves dispatch at once.")
@click.option("--mode", default="", help="Failure mode, if it is known.")
@click.option("--ref", default="", help="A ticket or work order elsewhere.")
@DRY_RUN
@ONCE
@options
def open_(session: Session, *, robot: str, symptom: str, dry_run: bool, ident: str, **more: Any) -> None:
    """File a case: one more report of a fault that is known joins its case."""
    args: dict[str, Json] = {"robot": robot, "symptom": symptom, "safety_related": more["safety"]}
    args |= {name: more[name] for name in ("impact", "urgency", "mode") if more[name]}
    args |= {"external_ref": more["ref"]} if more["ref"] else {}
    answer = session.command("case.open", "", args, preview=dry_run, id=ident)
    found = answer.result if isinstance(answer.result, dict) else {}
    outcome = {"opened": "filed", "joined": "joined", "reopened": "reopened"}.get(str(found.get("outcome")), "filed")
    session.done(answer, f"{outcome} {plain.clean(found.get('id', ''))} {plain.clean(found.get('why', ''))}".rstrip())


def _simple(name: str, says: str, done: str, *parameters: Any, verb: str = "") -> None:
    """A verb on one case whose arguments are its options."""

    @DRY_RUN
    @ONCE
    @options
    def command(session: Session, *, case: str, dry_run: bool, ident: str, **given: Any) -> None:
        args = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
        args = {key: value for key, value in args.items() if value not in (None, "", [])}
        answer: CommandAnswer = session.command(verb or f"case.{name}", case, args, preview=dry_run, id=ident)
        session.done(answer, f"{plain.clean(case)} {done}")

    for parameter in reversed(parameters):
        command = parameter(command)
    cases.command(name, help=says)(click.argument("case")(command))


_REASON = click.argument("reason")
_CODES = (
    click.option("--mode", default="", help="How the failure is seen."),
    click.option("--mechanism", default="", help="How it came about."),
    click.option("--cause", default="", help="Why; `unknown` is an answer."),
    click.option("--detection", default="", help="How it was found."),
    click.option("--item", default="", help="What is to be maintained."),
    click.option("--resolution", default="", help="What was done."),
    click.option("--part", "parts", multiple=True, help="Exchanged: 'connector J7: A-1 out, A-2 in'."),
    click.option("--calibration", default="", help="Digest of a new calibration file."),
)

_simple("claim", "Say that I have it: the first clock is met.", "is yours")
_simple("start", "Begin work, or go on after a hold.", "is being worked on")
_simple(
    "hold", "Wait for something: the clocks stop as long as the policy allows.", "is on hold",
    click.option("--reason", type=click.Choice(HOLD_REASONS), required=True),
    click.option("--ref", required=True, help="What it waits for: an order, a ticket, a name."),
    click.option("--hours", type=float, help="When that is expected."),
)  # fmt: skip
_simple("resume", "Go on after a hold.", "goes on")
_simple("note", "Note something.", "has a note", click.argument("text"))
_simple(
    "step", "Tick a step of its runbook.", "has the step ticked", click.argument("step", type=int),
    click.option("--value", default="", help="What was measured, with its unit."),
)  # fmt: skip
_simple("code", "Code the fault without resolving it.", "is coded", *_CODES)
_simple("resolve", "Repaired: the verification begins. Refused while a code is blank.", "is resolved", *_CODES)
_simple(
    "check",
    "Fill in the checklist, by words or numbers.",
    "is checked",
    click.argument("done", nargs=-1, required=True),
)
_simple(
    "escalate", "To the next level, with the bundle.", "is escalated", click.option("--level", default=""),
    click.option("--reason", required=True),
)  # fmt: skip
_simple(
    "weigh", "Weigh it anew.", "is weighed anew",
    click.option("--impact", type=click.IntRange(1, 3), required=True),
    click.option("--urgency", type=click.IntRange(1, 3), required=True),
    click.option("--safety/--no-safety", "safety_related", default=None),
    click.option("--reason", required=True),
)  # fmt: skip
_simple("link", "Join it to a problem.", "is linked", click.argument("problem"))
_simple("merge", "It is the same fault as another case.", "is a duplicate", click.argument("into"))
_simple("cancel", "There is nothing to do, and why.", "is cancelled", _REASON)
_simple("reopen", "The repair does not hold.", "is open again", _REASON)
_simple("watch", "Have a case watched again whose run ended before it.", "is watched again")
_simple("takeout", "Take its robot out of service, at once.", "keeps its robot out of service")


@cases.command()
@click.argument("case")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", default="", help="How to call it (default: the file's name).")
@ONCE
@options
def attach(session: Session, *, case: str, file: Path, name: str, ident: str) -> None:
    """Keep a photo, a measurement, a confirmation with the case (at most 500 KB)."""
    if file.stat().st_size > ATTACHED:
        end(
            f"{plain.clean(file.name)} is larger than {ATTACHED // 1000} KB: keep it where it is and name it in a note",
            USAGE,
        )
    content = base64.b64encode(file.read_bytes()).decode()
    media = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    args: dict[str, Json] = {"name": name or file.name, "content": content, "media": media}
    answer = session.command("case.attach", case, args, id=ident)
    found = answer.result if isinstance(answer.result, dict) else {}
    session.done(answer, f"{plain.clean(case)} has {plain.clean(found.get('digest', ''))}")


@cases.command()
@click.option("--state", default="", help="open, known_error, fix_in_release or closed.")
@options
def problems(session: Session, state: str) -> None:
    """The same fault again and again: problems with their cases."""
    found = session.records("problem", ProblemView, state=state)
    rows = [(one.id, one.state, one.title, len(one.robots), len(one.cases), one.rule, one.fix_in) for one in found]
    heads = ("problem", "state", "what", "robots", "cases", "rule", "fixed in")
    session.show(found, lambda: plain.table(rows, heads, empty="no problem is known"))


def _on_problem(name: str, verb: str, says: str, done: str, *parameters: Any) -> None:
    @DRY_RUN
    @ONCE
    @options
    def command(session: Session, *, problem: str, dry_run: bool, ident: str, **given: Any) -> None:
        answer: CommandAnswer = session.command(verb, problem, dict(given), preview=dry_run, id=ident)
        session.done(answer, f"{plain.clean(problem)} {done}")

    for parameter in reversed(parameters):
        command = parameter(command)
    cases.command(name, help=says)(click.argument("problem")(command))


_on_problem(
    "workaround",
    "problem.workaround",
    "Make a problem a known error.",
    "is a known error",
    click.argument("workaround"),
)
_on_problem(
    "fix-in", "problem.fixin", "Say which release fixes a problem.", "has its release", click.argument("fix_in")
)
_on_problem("close-problem", "problem.close", "Close a problem whose cases are all verified.", "is closed", _REASON)
