"""Gateways on the command line: `qd fleet gateways`, sessions under `qd access`, recordings under `qd history`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from app import cast, plain
from app.cli.session import REFUSED, Session, end, options, part
from engine.contract.gateways import SESSION_LIVE, CastPage, GatewayPage, GatewayRow, SessionEnd, SshSession


def state_of(row: GatewayRow, now: float, stale_s: float) -> str:
    """A gateway in words: what is wrong first."""
    if not row.looked_at:
        return "not looked at yet"
    if row.host_key in ("changed", "revoked", "expired") or (row.host_key == "unknown" and row.fingerprint):
        word = f"HOST KEY {row.host_key.upper()}"
    elif not row.reachable:
        word = "AWAY"
    else:
        word = "NO LOGIN" if row.error else "up"
    old = now - row.looked_at
    return f"{word}, STALE {plain.span(old)}" if old > stale_s else word


@click.command("gateways")
@click.option("--look", is_flag=True, help="Look at them now, not as they were last seen.")
@options
def gateways(session: Session, look: bool) -> None:
    """Gateways: reachable or not, host keys, versions, open sessions."""
    if look:
        session.command("gateway.look")
    page = session.get("/v1/gateways", GatewayPage)

    def told() -> str:
        rows = [
            (one.name, one.site, state_of(one, page.as_of, page.stale_s), one.host_key, one.fingerprint[:23], one.engine_version,
             ", ".join(f"{s.id} {s.person}" for s in one.sessions), one.grant or ("no grant" if one.why_not else "free"))
            for one in page.gateways
        ]  # fmt: skip
        heads = ("gateway", "site", "state", "host key", "fingerprint", "engine", "sessions", "you")
        text = plain.table(rows, heads, empty="no gateways: add them with qd connectors add ssh")
        wrong = [f"{one.name}: {plain.clean(one.error, 300)}" for one in page.gateways if one.error]
        slow = [f"{one.name}: its clock is {one.clock_off_s:+.0f} s off: certificates begin and end wrongly there"
                for one in page.gateways if abs(one.clock_off_s) > 30]  # fmt: skip
        return "\n".join([text, *([""] if wrong or slow else []), *wrong, *slow])

    session.show(page, told)


@click.command("ssh", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("gateway")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@options
@click.option("--grant", default="", help="Which grant, when there are several.")
@click.option("--because", "purpose", default="", help="What for; it is recorded.")
@click.option("--system", default="", help="Which system knows the gateway, when several do.")
@click.option("--dry-run", is_flag=True, help="Say what would happen.")
def ssh(
    session: Session, *, gateway: str, command: tuple[str, ...], grant: str, purpose: str, system: str, dry_run: bool
) -> None:
    """Open a session on a gateway, or run COMMAND there. It needs a grant that runs, is recorded, and ends with the grant.

    `~.` at the beginning of a line leaves a session that hangs.
    """
    from app import shell

    interactive = not command
    if interactive and not dry_run and not (sys.stdin.isatty() and sys.stdout.isatty()):
        end("refused: a session needs a terminal; give a command to run one without", REFUSED)
    cols, rows = shell.size()
    args = {
        "gateway": gateway, "grant": grant, "purpose": purpose, "system": system, "command": " ".join(command),
        "tty": interactive, "cols": cols, "rows": rows,
    }  # fmt: skip
    answer = session.command("gateway.open", "", {k: v for k, v in args.items() if v != ""}, preview=dry_run)
    if dry_run:
        session.done(answer, "")
        return
    found = answer.result if isinstance(answer.result, dict) else {}
    if interactive:
        left = plain.span(float(found.get("left_s") or 0.0))
        by = f"with {found['grant']}" if found.get("grant") else "without a grant"
        click.echo(
            f"{shell.opened(found)} on {plain.clean(gateway)} as {plain.clean(found.get('account', ''))}, {by}, {left} left; "
            "recorded; ~. leaves", err=True,
        )  # fmt: skip
    done = shell.attach(session.home, shell.opened(found), session.headers, interactive=interactive)
    _ended(session, done, quiet=not interactive)
    sys.exit(shell.LOST if done.exit is None else done.exit)


def _ended(session: Session, done: SessionEnd, *, quiet: bool) -> None:
    if session.json:
        click.echo(plain.as_json(done), err=True)
    elif not quiet or done.exit is None:
        kept = f"; qd history play {done.session}" if done.recording else ""
        click.echo(f"{done.session}: {plain.clean(done.why)}{kept}", err=True)


@click.command("sessions")
@click.option("--all", "everything", is_flag=True, help="Also what is over.")
@options
def sessions(session: Session, everything: bool) -> None:
    """Sessions on gateways: who, where, with which grant, how it ended, the digest of the recording."""
    found = session.records("ssh_session", SshSession, state="" if everything else ",".join(SESSION_LIVE), limit=200)
    rows = [
        (one.id, one.state, one.person, one.gateway, one.grant, plain.moment(one.started_at), plain.span(one.recorded_s) if one.recorded_s else "",
         one.recording[:19], one.command or one.ended_why)
        for one in found
    ]  # fmt: skip
    heads = ("session", "state", "who", "gateway", "grant", "since", "length", "recording", "what")
    session.show(found, lambda: plain.table(rows, heads, empty="no session is open" if not everything else "none yet"))


@click.command("cut")
@click.argument("target", metavar="SESSION")
@click.option("--reason", default="")
@options
def cut(session: Session, target: str, reason: str) -> None:
    """End somebody's session on a gateway, at once."""
    answer = session.command("gateway.cut", target, {"reason": reason} if reason else {})
    session.done(answer, f"{plain.clean(target)} is ended")


@click.command("watch")
@click.argument("target", metavar="SESSION")
@options
def watch(session: Session, target: str) -> None:
    """Look over somebody's shoulder while their session runs. It is recorded that you do."""
    from app import shell

    session.command("gateway.watch", target)
    _ended(session, shell.attach(session.home, target, session.headers, interactive=False), quiet=False)


@click.command("play")
@click.argument("recording", metavar="DIGEST|SESSION")
@click.option("--speed", type=click.FloatRange(0.05, 1000), default=1.0, show_default=True)
@click.option(
    "--longest", type=click.FloatRange(0), default=2.0, show_default=True, help="No pause is longer (seconds)."
)
@click.option("--text", is_flag=True, help="What was shown, as plain lines, at once.")
@click.option("--out", type=click.Path(), default="", help="Save it (asciicast v2) instead of playing it.")
@options
def play(session: Session, *, recording: str, speed: float, longest: float, text: bool, out: str) -> None:
    """Play the recording of a session as it was."""
    first = session.get(f"/v1/casts/{part(recording)}", CastPage)
    if not first.sound:
        end(
            f"refused: what is kept under {plain.clean(recording)} is not what was recorded (its digest does not fit)",
            REFUSED,
        )
    events = _events(session, recording, first)
    if session.json:
        session.show(
            {"recording": first.digest, "session": first.session, "header": first.header, "events": list(events)}, str
        )
    elif out:
        count = _saved(out, first, events)
        click.echo(f"{count} events in {plain.clean(out)}")
    elif text or not sys.stdout.isatty():
        click.echo(cast.plain_text("".join(data for _, code, data in events if code == "o")))
    else:
        cast.play(events, _shown, speed=speed, longest=longest)
        click.echo(f"\n{plain.clean(first.title)}: {plain.clean(first.digest or 'still open')}", err=True)


def _events(session: Session, recording: str, page: CastPage) -> Iterator[tuple[float, str, str]]:
    while True:
        yield from page.events
        if not page.more:
            return
        page = session.get(f"/v1/casts/{part(recording)}", CastPage, **{"from": page.next})


def _shown(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _saved(out: str, page: CastPage, events: Iterator[tuple[float, str, str]]) -> int:
    import json
    import os
    from pathlib import Path

    count = 0
    with os.fdopen(os.open(Path(out), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(json.dumps(page.header) + "\n")
        for event in events:
            file.write(json.dumps(list(event)) + "\n")
            count += 1
    return count
