"""`qd access`: ask for access, see why, take it back; certificates, leases and exports."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import click

from app import plain
from app.cli import gateways
from app.cli.session import DRY_RUN, ONCE, REFUSED, Session, end, options, part, risky
from engine.contract.access import (
    ACTIONS,
    FINDINGS,
    SORTS,
    AccessPage,
    AuthorityView,
    CredentialView,
    Grant,
    PackageChunk,
    ReplayView,
    RequestDetail,
    RuleResult,
)
from engine.contract.common import Json

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_MARK = {"ok": "ok", "deny": "!!", "error": "!!", "ask": "? ", "hold": "..", "note": "- "}


class Duration(click.ParamType[float]):
    """`30m`, `8h`, `1h30m`, `2d` as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", str(value))
        if not parts or "".join(n + u for n, u in parts) != str(value).strip():
            self.fail(f"{value!r} is not a length of time: write it like 30m, 8h or 2d", param, ctx)
        return sum(float(number) * _UNITS[unit] for number, unit in parts)


@click.group()
def access() -> None:
    """Access requests, grants, leases."""


for _each in (gateways.ssh, gateways.sessions, gateways.watch, gateways.cut):
    access.add_command(_each)

_REASON = click.option("--reason", default="", help="Why; it is recorded.")
_KEY = click.option(
    "--key", "key", type=click.Path(path_type=Path), help="Your public SSH key (id.pub); it gets a certificate."
)


@access.command("ls")
@click.option("--all", "everything", is_flag=True, help="Also what is over.")
@options
def ls(session: Session, everything: bool) -> None:
    """Requests by what is due first, then grants that run and who has a hand on a robot."""
    page = session.get("/v1/access", AccessPage)
    over = ("closed", "denied", "withdrawn")

    def told() -> str:
        rows = [
            (one.id, one.state.replace("_", " "), one.action, one.requester, _where(one.robots, one.sessions, one.site),
             plain.span(page.gates[one.id] - page.as_of) if one.id in page.gates else "", one.reason or one.purpose)
            for one in sorted(page.requests, key=lambda one: page.gates.get(one.id, 9e18))
            if everything or one.state not in over
        ]  # fmt: skip
        lines = [
            plain.table(
                rows,
                ("request", "state", "wants", "who", "what", "decide in", "why"),
                empty="no request is open: qd access request --help",
            )
        ]
        held = [
            (one.id, one.state, ", ".join(one.actions), one.actor, _where(one.robots, one.sessions, one.site), plain.span(one.expires_at - page.as_of), one.enforced_by)
            for one in page.grants
        ]  # fmt: skip
        lines += [
            "",
            plain.table(
                held, ("grant", "state", "may", "who", "what", "left", "ended by"), empty="nothing is granted now"
            ),
        ]
        hands = [
            (one.robot, one.mode, one.holder, one.id, plain.span(one.expires_at - page.as_of)) for one in page.leases
        ]
        return "\n".join(
            [
                *lines,
                *(["", plain.table(hands, ("robot", "mode", "holder", "lease", "left"), empty="")] if hands else []),
            ]
        )

    session.show(page, told)


def _where(robots: tuple[str, ...], sessions: tuple[str, ...], site: str) -> str:
    names = robots or sessions
    return ", ".join(names[:2]) + (f" +{len(names) - 2}" if len(names) > 2 else "") if names else site


@access.command("show")
@click.argument("request")
@click.option("--trace", is_flag=True, help="Every rule with the facts it looked at.")
@options
def show(session: Session, request: str, trace: bool) -> None:
    """One request: who wants what, what the rules say, what would intrude less, what was granted and used."""
    detail = session.get(f"/v1/access/requests/{part(request)}", RequestDetail)
    session.show(detail, lambda: _detail(detail, trace))


def _detail(detail: RequestDetail, trace: bool) -> str:
    request, evaluation = detail.request, detail.request.evaluation
    lines = [
        f"{request.id}  {request.state.replace('_', ' ')}  {evaluation.verdict.replace('_', ' ')}",
        request.sentence or request.title,
    ]
    counts = [
        f"{one.name.replace('_', ' ')} ({f'{one.volume.files} files, ' if one.volume.files else ''}{one.why})"
        for one in request.classification.counts
    ]
    lines += ["", f"data: {'; '.join(counts) or 'not yet classified'}"]
    lines += [
        "",
        *(
            rule(one, trace)
            for one in evaluation.trace
            if trace or one.result != "ok" or one.seats or one.stage in ("transfer", "teleop")
        ),
    ]
    lines += (
        [f"less intrusive: {' | '.join(one.says for one in evaluation.alternatives)}"]
        if evaluation.alternatives
        else []
    )
    lines += [f"offered instead: {request.offered} by {request.offered_by}"] if request.offered else []
    lines += (
        [f"decided on at {detail.gate} until {plain.moment(detail.gate_expires_at)}: qd gates show {detail.gate}"]
        if detail.gate
        else []
    )
    lines += [f"agreed: {', '.join(one.person for one in request.approvals)}"] if request.approvals else []
    lines += [f"why it is so: {request.reason}"] if request.reason else []
    if grant := detail.grant:
        lines += [
            "",
            f"{grant.id}  {grant.state}  {', '.join(grant.actions)} until {plain.moment(grant.expires_at)}, ended by its {grant.enforced_by}",
            _used(grant),
        ]
    if detail.history:
        lines += [
            "",
            f"last 30 d: {len(detail.history)} grants, {sum(one.over_scope for one in detail.history)} over scope, {detail.denials} denials",
        ]
    lines += [f"review: {request.finding} by {request.reviewer} {request.follow_up}"] if request.finding else []
    lines += [f"record: {request.record}"] if request.record else []
    return "\n".join(plain.clean(line, 1000) for line in lines)


def rule(one: RuleResult, trace: bool) -> str:
    """A rule's answer on one line."""
    seats = f" [{', '.join(one.seats)}]" if one.seats else ""
    text = f" {_MARK.get(one.result, '  ')} {one.rule}  {one.says}{seats}"
    if not trace:
        return text
    source = f" ({one.source}, verified {one.verified_on})" if one.source else ""
    return f"{text}{source}" + (f"\n      rev {one.rev}, looked at {one.fact}" if one.fact else "")


def _used(grant: Grant) -> str:
    used = grant.used
    if not used.started_at:
        return "not used" + (f", refused {used.refused} times" if used.refused else "")
    text = f"used from {plain.moment(used.started_at)}: {used.sessions} sessions, {used.commands} commands, {used.bytes} bytes"
    return text + (f"; BEYOND WHAT WAS GRANTED: {'; '.join(used.excess)}" if used.excess else "")


@access.command("request")
@click.argument("action", type=click.Choice([one for actions in ACTIONS.values() for one in actions]))
@click.option("--because", "purpose", required=True, help="What it is for.")
@click.option(
    "--sort", type=click.Choice(SORTS), help="What it is, when the action is not enough (copy: export or cross_border)."
)
@click.option("--robot", "robots", multiple=True)
@click.option("--session", "sessions", multiple=True)
@click.option("--snapshot", default="")
@click.option("--file", "files", multiple=True, metavar="DIGEST", help="Something kept as evidence.")
@click.option("--site", default="")
@click.option("--ticket", default="")
@click.option(
    "--for", "duration_s", type=Duration(), default=0.0, help="How long, e.g. 30m; the policy's limit otherwise."
)
@click.option("--behalf", "on_behalf_of", default="", help="Whom it is for, when not for you.")
@click.option("--from", "actor_location", default="", help="Where you are, when the directory has it wrong.")
@click.option("--to-region", default="", help="Where the data goes, when not to you.")
@click.option("--transform", type=click.Choice(["blurred", "derived"]), help="Take less of it.")
@click.option("--class", "classes", multiple=True, help="A data class it also has: can only be added.")
@_KEY
@DRY_RUN
@ONCE
@options
def request_(session: Session, *, key: Path | None, dry_run: bool, ident: str, **given: Any) -> None:
    """Ask for access to robots or their data."""
    args = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value not in ("", (), None, 0.0)
    }
    answer = session.command("access.open", "", args | _key(key), preview=dry_run, id=ident)
    session.done(answer, f"asked: qd access show {plain.clean(answer.target)}")


def _key(path: Path | None) -> dict[str, Json]:
    """The public key's text. A private key never leaves this machine."""
    if path is None:
        return {}
    try:
        text = path.read_text("utf-8", errors="replace")[:4000]
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from error
    if "PRIVATE KEY" in text:
        raise click.UsageError(f"{path} is a private key: give the .pub beside it")
    return {"public_key": text.strip()}


def _simple(name: str, verb: str, says: str, done: str, *parameters: Any, kind: str = "request") -> None:
    """A verb on one request or grant."""

    @DRY_RUN
    @ONCE
    @options
    def command(
        session: Session, *, target: str, dry_run: bool, ident: str, key: Path | None = None, **args: Any
    ) -> None:
        sent = {
            field: list(value) if isinstance(value, tuple) else value
            for field, value in args.items()
            if value not in ("", (), None, 0.0, False)
        }
        answer = session.command(verb, target, sent | _key(key), preview=dry_run, id=ident)
        session.done(answer, f"{plain.clean(target)} {done}")

    for parameter in (*parameters, click.argument("target", metavar=kind.upper())):  # the last stands first
        command = parameter(command)
    access.command(name, help=says)(command)


_simple(
    "tell", "access.told", "Add what was asked for.", "is looked at again", _KEY, click.option("--text", default=""),
    click.option("--ticket", default=""), click.option("--because", "purpose", default=""), click.option("--from", "actor_location", default=""),
    click.option("--robot", "robots", multiple=True), click.option("--site", default=""), click.option("--class", "classes", multiple=True),
)  # fmt: skip
_simple(
    "report", "access.report", "Report what a session at a robot needs.", "has its report",
    click.option("--latency-ms", "latency_p95_ms", type=float), click.option("--recording/--no-recording", default=None),
    click.option("--deadman/--no-deadman", default=None), click.option("--stop-tested", is_flag=True),
    click.option("--zone-clear/--zone-not-clear", default=None),
)  # fmt: skip
_simple(
    "ack", "access.ack", "Acknowledge from the site.", "is acknowledged on site", click.option("--note", default="")
)
_simple("offer", "access.offer", "Offer the less intrusive option.", "has an offer", click.argument("alternative"))
_simple("withdraw", "access.withdraw", "Take a request back.", "is withdrawn", _REASON)
_simple("revoke", "access.revoke", "End a grant at once.", "is revoked", _REASON, kind="grant")
_simple("relinquish", "access.relinquish", "Give a grant back early.", "is given back", _REASON, kind="grant")
_simple(
    "extend", "access.extend", "Ask for more time: a new request.", "has a new request", click.option("--for", "duration_s", type=Duration(), required=True),
    click.option("--because", "purpose", required=True), kind="grant",
)  # fmt: skip
_simple(
    "use", "access.use", "Record what is done with a grant.", "has it on record",
    click.argument("what", type=click.Choice(["start", "command", "bytes", "link", "stop"])), click.option("--count", type=int, default=0),
    click.option("--robot", default=""), click.option("--action", default=""), click.option("--recording", default=""),
    click.option("--latency-ms", "latency_p95_ms", type=float), kind="grant",
)  # fmt: skip


@access.command("answer")
@click.argument("request")
@click.option("--take/--decline", "accept", required=True, help="Take what was offered, or stay with what was asked.")
@ONCE
@options
def answer_(session: Session, *, request: str, accept: bool, ident: str) -> None:
    """Answer an offer of something less intrusive."""
    answer = session.command("access.answer", request, {"accept": accept}, id=ident)
    session.done(answer, f"{plain.clean(request)}: {'taken' if accept else 'declined'}")


@access.command("review")
@click.argument("request")
@click.option("--finding", type=click.Choice(FINDINGS), required=True)
@click.option("--follow-up", default="")
@click.option("--because", "rationale", default="")
@options
def review(session: Session, *, request: str, finding: str, follow_up: str, rationale: str) -> None:
    """File the finding of a review that is open (a vote at its gate)."""
    from engine.contract.gates import GateDetail

    detail = session.get(f"/v1/access/requests/{part(request)}", RequestDetail)
    if not detail.gate or detail.request.state != "in_review":
        end(f"{plain.clean(request)} is {detail.request.state.replace('_', ' ')}: no review of it is open", REFUSED)
    gate = session.get(f"/v1/gates/{part(detail.gate)}", GateDetail)
    args: dict[str, Json] = {
        "answer": "approve", "evidence_digest": gate.evidence_digest, "rationale": rationale or follow_up,
        "form": {"finding": finding, "follow_up": follow_up}, **({"phrase": gate.phrase} if gate.phrase else {}),
    }  # fmt: skip
    session.done(session.command("gate.vote", detail.gate, args), f"{plain.clean(request)}: {finding}")


@access.command("remove")
@click.argument("person")
@click.option("--reason", required=True)
@ONCE
@options
def remove(session: Session, *, person: str, reason: str, ident: str) -> None:
    """Somebody left: end everything they hold."""
    answer = session.command("access.remove", "", {"person": person, "reason": reason}, id=ident)
    ended = answer.result.get("ended", []) if isinstance(answer.result, dict) else []
    session.done(answer, f"ended: {plain.clean(', '.join(ended)) or 'they held nothing'}")


@access.command("breakglass")
@click.argument("action", type=click.Choice(["shell", "observe", "assist", "direct"]))
@click.option("--reason", required=True)
@click.option("--robot", "robots", multiple=True)
@click.option("--site", default="")
@_KEY
@click.option("--phrase", default="", help="The typed phrase, when it can't be typed here.")
@click.option("--yes", is_flag=True, help="Take the phrase as it is now.")
@DRY_RUN
@ONCE
@options
def breakglass(
    session: Session,
    *,
    phrase: str,
    yes: bool,
    dry_run: bool,
    ident: str,
    key: Path | None,
    robots: tuple[str, ...],
    **given: Any,
) -> None:
    """Take access at once, without approval: compliance is paged, and it is reviewed."""
    args = (
        {name: value for name, value in given.items() if value}
        | ({"robots": list(robots)} if robots else {})
        | _key(key)
    )
    answer = risky(session, "breakglass.take", "", args, phrase=phrase, yes=yes, dry_run=dry_run, id=ident)
    session.done(answer, f"broken: qd access show {plain.clean(answer.target)}")


@access.command("cert")
@click.argument("grant")
@click.option("--out", type=click.Path(path_type=Path), help="Write it there (id-cert.pub beside your key id).")
@options
def cert(session: Session, *, grant: str, out: Path | None) -> None:
    """The credential of a grant: a certificate for ssh, or a signed statement. Nothing secret is in it."""
    found = session.get(f"/v1/access/grants/{part(grant)}/credential", CredentialView)
    if not found.sound:
        end(f"{plain.clean(found.grant)}: what is kept is not what was signed", REFUSED)
    if out is not None:
        _write(out, (found.text.strip() + "\n").encode())
    session.show(found, lambda: f"written to {out}" if out is not None else plain.clean_lines(found.text))


@access.command("ca")
@click.option("--krl", type=click.Path(path_type=Path), help="Write the revocation list there (RevokedKeys of sshd).")
@options
def ca(session: Session, *, krl: Path | None) -> None:
    """What gateways trust: the CA's public key (TrustedUserCAKeys) and the certificates taken back."""
    found = session.get("/v1/access/authority", AuthorityView)
    if krl is not None:
        if not found.revoked:
            end(plain.clean(found.advice) or "there is no CA yet", REFUSED)
        _write(krl, base64.b64decode(found.revoked))
    session.show(found, lambda: plain.clean(found.public_key or found.advice, 2000))


@access.command("replay")
@click.argument("request")
@options
def replay(session: Session, request: str) -> None:
    """Evaluate a request again on the facts that were kept, with the rules as they are now."""
    found = session.get(f"/v1/access/requests/{part(request)}/replay", ReplayView)

    def told() -> str:
        head = f"{found.request}: {found.then} then, {found.now} now" + (" (the same)" if found.same else "")
        return "\n".join(plain.clean(line) for line in (head, *found.differences))

    session.show(found, told)


@access.command("fetch")
@click.argument("grant")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The archive to write; it holds its signed manifest."
)
@ONCE
@options
def fetch(session: Session, *, grant: str, out: Path, ident: str) -> None:
    """Fetch what was exported: once, by the person it was made for."""
    if out.exists():
        raise click.UsageError(f"{out} is there already")
    answer = session.command("access.fetch", grant, {}, id=ident)
    digest, offset = hashlib.sha256(), 0
    fresh = out.with_name(f".{out.name}.part")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        while True:
            got = session.get(f"/v1/access/grants/{part(grant)}/package", PackageChunk, offset=offset)
            data = base64.b64decode(got.data)
            stream.write(data)
            digest.update(data)
            offset += len(data)
            if not got.more:
                break
    if f"sha256:{digest.hexdigest()}" != got.digest:
        fresh.unlink()
        end(f"{plain.clean(grant)}: what came is not what was made; nothing was kept", REFUSED)
    fresh.replace(out)
    session.done(answer, f"{out}: {offset} bytes, {got.digest}")


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from error
