"""`qd alerts`: what fires, as the alert manager says, and silences: who silenced what, why, and until when."""

from __future__ import annotations

import click

from app import plain
from app.cli.access import Duration
from app.cli.session import DRY_RUN, ONCE, REFUSED, Session, options, risky
from app.cli.session import end as end_
from engine.contract.alerts import SILENCE_STATES, SilenceRecord
from engine.contract.common import Json
from engine.contract.oncall import Acknowledgement
from engine.contract.systems import MirrorObject, MirrorPage
from screens import alert_groups

KIND = "silence"


@click.group()
def alerts() -> None:
    """What fires, and what was silenced by whom, why, and until when."""


@alerts.command("ls")
@click.option("--system", default="", help="Of one alert manager.")
@click.option("--robot", default="", help="Only about this robot.")
@click.option("--all", "every", is_flag=True, help="Those that are silenced, too.")
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@click.option("--by", type=click.Choice(("alert", "robot", "site")), help="In clusters, the gravest first.")
@options
def ls(session: Session, *, system: str, robot: str, every: bool, limit: int, by: str | None) -> None:
    """What fires now, as last mirrored."""
    page = session.get("/v1/mirror", MirrorPage, system=system, kind="alert", text=robot, limit=limit)
    rows = [one for one in page.objects if not one.deleted_at and (every or one.state != "suppressed")]
    rows = [one for one in rows if not robot or _said(one, "robot") == robot]
    if by:
        groups = alert_groups.clusters(sorted(rows, key=lambda one: (not alert_groups.heavy(one), -one.changed_at)), by)
        session.show([_group(one) for one in groups], lambda: _groups(groups))
        return
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


def _group(one: alert_groups.Cluster) -> dict[str, Json]:
    return {
        "name": one.name, "alerts": len(one.rows), "robots": one.robots, "sites": list(one.sites), "heavy": one.heavy,
        "since": one.since, "newest": one.newest, "ids": [f"{row.system}/{row.id}" for row in one.rows],
    }  # fmt: skip


def _groups(groups: list[alert_groups.Cluster]) -> str:
    cells = [
        (one.name, len(one.rows), one.robots or "-", ", ".join(one.sites) or "-", "yes" if one.heavy else "", plain.moment(one.since), _summary(one.rows[0]))
        for one in groups
    ]  # fmt: skip
    return plain.table(cells, ("cluster", "alerts", "robots", "sites", "grave", "since", "says"), empty="nothing fires")


def _said(one: MirrorObject, name: str) -> str:
    return str(one.data.get(name) or "")


def _summary(one: MirrorObject) -> str:
    found = one.data.get("annotations")
    return str((found.get("summary") or "") if isinstance(found, dict) else "")[:60]


@alerts.command("ack")
@click.argument("alert")
@click.option("--system", default="", help="Which alert manager, when several have it.")
@click.option("--note", default="", help="What you do about it.")
@ONCE
@options
def ack(session: Session, *, alert: str, system: str, note: str, ident: str) -> None:
    """Take an alert on: its id, or NAME/ROBOT of the one that fires. It goes on firing; everybody sees who has it."""
    found = _one(session, alert, system)
    args: dict[str, Json] = {"system": found.system, "alert": found.id, "note": note}
    answer = session.command("alert.acknowledge", "", args, id=ident)
    session.done(answer, plain.clean(f"{found.name} {_said(found, 'robot')} is yours ({answer.target})"))


@alerts.command("release")
@click.argument("acknowledgement")
@click.option("--reason", default="", help="Why.")
@ONCE
@options
def release(session: Session, *, acknowledgement: str, reason: str, ident: str) -> None:
    """Let an alert go: it is nobody's again."""
    answer = session.command("alert.release", acknowledgement, {"reason": reason}, id=ident)
    session.done(answer, f"{plain.clean(acknowledgement)} is nobody's again")


@alerts.command("taken")
@options
def taken(session: Session) -> None:
    """Who has which alert."""
    rows = session.records("acknowledgement", Acknowledgement, state="held")
    cells = [(r.id, r.person, r.name, r.robot or "-", plain.moment(r.created_at), r.note or "-") for r in rows]
    session.show(
        rows, lambda: plain.table(cells, ("taken", "who", "alert", "robot", "since", "note"), empty="nobody has one")
    )


def _one(session: Session, alert: str, system: str) -> MirrorObject:
    """The alert that is meant. Ends with the reason when none is, or more than one."""
    page = session.get("/v1/mirror", MirrorPage, system=system, kind="alert", limit=1000)
    name, _, robot = alert.partition("/")
    there = [one for one in page.objects if not one.deleted_at]
    found = [one for one in there if one.id == alert] or [
        one for one in there if one.name == name and robot in ("", _said(one, "robot"))
    ]
    if len(found) != 1:
        many = ", ".join(f"{one.name}/{_said(one, 'robot') or one.id}" for one in found[:5])
        end_(
            plain.clean(
                f"refused: {alert} is {len(found)} alerts: {many}" if found else f"refused: no alert {alert} fires"
            ),
            REFUSED,
        )
    return found[0]


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
