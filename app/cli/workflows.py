"""`qd workflows`: definitions."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from app import plain, wire
from app.cli.session import REFUSED, Session, options, part
from engine.contract.client import Refused
from engine.contract.common import CommandAnswer, Problem
from engine.contract.system import ValidationFinding, WorkflowView


@click.group()
def workflows() -> None:
    """Definitions: list, show, validate, register."""


@workflows.command("ls")
@options
def ls(session: Session) -> None:
    """What is registered."""
    found = session.get("/v1/workflows", tuple[WorkflowView, ...])
    rows = [(w.workflow, w.version, w.runs, w.digest[:19], w.source, w.title) for w in found]
    heads = ("workflow", "version", "runs", "digest", "source", "title")
    session.show(found, lambda: plain.table(rows, heads, empty="no workflow is registered: qd workflows register FILE"))


@workflows.command()
@click.argument("name")
@options
def show(session: Session, name: str) -> None:
    """One definition as it was registered."""
    found = session.get(f"/v1/workflows/{part(name)}", WorkflowView)
    head = f"# {found.workflow} version {found.version}, {found.digest}, {found.runs} runs"
    by = [word for word in found.triggers if not word.startswith("manual")]
    by.append(f"by hand by {', '.join(found.starters)}" if found.starters else "by hand by whoever may start runs")
    head += f"; started by {'; '.join(by)}"
    session.show(found, lambda: plain.clean(head, 2000) + "\n\n" + plain.clean_lines(found.text))


@workflows.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@options
def validate(session: Session, file: str) -> None:
    """Check a definition: every finding with its line, its field and what to do. Registers nothing."""
    findings = wire.post_text(
        session.home, "/v1/workflows/validate", _text(file), list[ValidationFinding], session.headers
    )
    bad = any(finding.severity == "error" for finding in findings)
    session.show({"ok": not bad, "findings": findings}, lambda: _findings(file, findings))
    if bad:
        sys.exit(REFUSED)


@workflows.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--id", "ident", default="", help="Idempotence: the same id is done once.")
@options
def register(session: Session, file: str, ident: str) -> None:
    """Register a definition. Running runs stay on theirs."""
    answer: CommandAnswer = session.command("workflow.register", args={"text": _text(file)}, id=ident)
    made = answer.result if isinstance(answer.result, dict) else {}
    said = f"{made.get('workflow', '')} version {made.get('version', '')}, {made.get('digest', '')}"
    session.done(answer, f"registered {plain.clean(said)}")


def _text(file: str) -> str:
    """What stands in the file. What is no UTF-8 is refused here: it would not survive the way to the engine."""
    raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        reason = f"line {line}: byte {error.start} of the file is not UTF-8"
        fix = "save it as UTF-8"
        raise Refused(Problem(code="bad_definition", reason=reason, fix=fix, field="args.text"), 422) from error


def _findings(file: str, findings: list[ValidationFinding]) -> str:
    lines = []
    for found in findings:
        where = f"{file}:{found.line}: " if found.line else f"{file}: "
        lines.append(
            plain.clean(f"{where}{found.severity}: {found.field + ': ' if found.field else ''}{found.message}")
        )
        if found.fix:
            lines.append(f"    {plain.clean(found.fix)}")
    return "\n".join(lines) or f"{file}: nothing to complain about"
