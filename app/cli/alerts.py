"""`qd alerts`: what fires, as the alert manager says, and silences: who silenced what, why, and until when."""

from __future__ import annotations

import click

from app import plain
from app.cli.access import Duration
from app.cli.session import DRY_RUN, ONCE, Session, options, risky
from engine.contract.alerts import SILENCE_STATES, SilenceRecord
from engine.contract.systems import MirrorObject, MirrorPage

KIND = "silence"


@click.group()
def alerts() -> None:
    """What fires, and what was silenced by whom, why, and until when."""


@alerts.command("ls")
@click.option("--system", default="", help="Of one alert manager.")
@click.option("--robot", default="", help="Only about this robot.")
@click.option("--all", "every", is_flag=True, help="Those that are silenced, too.")
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@options
def ls(session: Session, *, system: str, robot: str, every: bool, limit: int) -> None:
    """What fires now, as last mirrored."""
    page = session.get("/v1/mirror", MirrorPage, system=system, kind="alert", text=robot, limit=limit)
    rows = [one for one in page.objects if not one.deleted_at and (every or one.state != "suppressed")]
    rows = [one for one in rows if not robot or _said(one, "robot") == robot]
    cells = [
        (
            one.name,
            _said(one, "robot") or "-",
            _said(one, "severity") or "-",
            one.state,
            plain.moment(one.changed_at),
            _summary(one),
        )
        for one in rows
    ]
    heads = ("alert", "robot", "severity", "state", "since", "says")
    session.show(rows, lambda: plain.table(cells, heads, empty="nothing fires, as far as is mirrored"))


def _said(one: MirrorObject, name: str) -> str:
    return str(one.data.get(name) or "")


def _summary(one: MirrorObject) -> str:
    found = one.data.get("annotations")
    return str((found.get("summary") or "") if isinstance(found, dict) else "")[:60]


@alerts.command("silences")
@click.option("--state", type=click.Choice(SILENCE_STATES), help="Silences in this state; those that run otherwise.")
@click.option("--all", "every", is_flag=True, help="Those that are over, too.")
@options
def silences(session: Session, *, state: str | None, every: bool) -> None:
    """Who silenced what, why, and until when."""
    rows = session.records(KIND, SilenceRecord, state=state or ("" if every else "asked,active"))
    cells = [
        (
            r.id,
            r.state,
            ", ".join(f"{k}={v}" for k, v in sorted(r.matchers.items())),
            r.owner,
            plain.moment(r.ended_at or r.ends_at),
            r.case or "-",
            r.comment[:60],
        )
        for r in rows
    ]
    heads = ("silence", "state", "what", "by", "until", "case", "why")
    session.show(rows, lambda: plain.table(cells, heads, empty="nothing is silenced from here"))


@alerts.command("silence")
@click.argument("labels", nargs=-1, required=True, metavar="LABEL=VALUE...")
@click.option("--for", "seconds", type=Duration(), required=True, help="How long, e.g. 2h.")
@click.option("--comment", required=True, help="Why.")
@click.option("--case", default="", help="The case it is for.")
@click.option("--system", default="", help="Which alert manager; the first that is there.")
@click.option("--phrase", default="", help="The typed phrase.")
@click.option("--yes", is_flag=True, help="Take the phrase as typed.")
@DRY_RUN
@ONCE
@options
def silence(
    session: Session,
    *,
    labels: tuple[str, ...],
    seconds: float,
    comment: str,
    case: str,
    system: str,
    phrase: str,
    yes: bool,
    dry_run: bool,
    ident: str,
) -> None:
    """Silence alerts with these labels until an end. You answer for it, and it ends by itself."""
    matchers = {}
    for pair in labels:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise click.UsageError(f"a label is NAME=VALUE, not {pair!r}")
        matchers[name] = value
    asked = {"matchers": matchers, "seconds": seconds, "comment": comment, "case": case, "system": system}
    answer = risky(session, "silence.start", "", asked, phrase=phrase, yes=yes, dry_run=dry_run, id=ident)
    made = answer.result.get("id", "") if isinstance(answer.result, dict) else ""
    session.done(answer, f"{made} is asked for; qd alerts silences shows when it stands")


@alerts.command("end")
@click.argument("silence_", metavar="SILENCE")
@click.option("--reason", default="", help="Why before its time.")
@DRY_RUN
@ONCE
@options
def end(session: Session, *, silence_: str, reason: str, dry_run: bool, ident: str) -> None:
    """End a silence now."""
    answer = session.command("silence.end", silence_, {"reason": reason}, preview=dry_run, id=ident)
    session.done(answer, f"{silence_} ends")
