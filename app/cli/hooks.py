"""`qd hooks`: who may tell by webhook, and what came that could not be read."""

from __future__ import annotations

import click

from app import plain
from app.cli.session import DRY_RUN, ONCE, Session, options, part
from engine.contract.hooks import DELIVERY_STATES, DeliveryView, HookSourceView, HooksView
from engine.contract.records import EvidenceText, RecordEvent

KIND = "delivery"


@click.group()
def hooks() -> None:
    """Webhooks: who tells, what could not be read, reading it again."""


@hooks.command("ls")
@click.option("--deliveries", is_flag=True, help="What stands in quarantine, instead of the sources.")
@click.option("--state", type=click.Choice(DELIVERY_STATES), help="Deliveries in this state.")
@click.option("--source", default="", help="Only deliveries of this source.")
@options
def ls(session: Session, *, deliveries: bool, state: str | None, source: str) -> None:
    """The sources and how it goes with each; with --deliveries what was kept aside."""
    if deliveries or state or source:
        where = {"source": source} if source else {}
        rows = session.records(KIND, DeliveryView, state=state or "quarantined", where=where)
        heads = ("delivery", "source", "state", "came", "times", "bytes", "why")
        cells = [(r.id, r.source, r.state, plain.moment(r.received_at), r.times, r.size_b, r.reason) for r in rows]
        session.show(rows, lambda: plain.table(cells, heads, empty=f"nothing is {state or 'quarantined'}"))
        return
    found = session.get("/v1/hooks", HooksView)
    session.show(found, lambda: _sources(found))


def _sources(found: HooksView) -> str:
    where = f"webhooks come in at {found.address}" if found.address else f"no webhook comes in: {found.why}"
    rows = [
        (s.url, s.proof, s.taken, s.repeated, s.waiting, s.unproven, plain.moment(s.last_at), s.trouble or "-")
        for s in found.sources
    ]
    heads = ("path", "proof", "taken", "again", "aside", "unproven", "last", "trouble")
    empty = "nobody may tell: add a system that sends webhooks, or `webhooks:` in quarterdeck.yaml"
    tail = f"\n{found.unknown} for nobody we know" if found.unknown else ""
    return f"{plain.clean(where)}\n{plain.table(rows, heads, empty=empty)}{tail}"


@hooks.command("show")
@click.argument("name", metavar="DELIVERY|SOURCE")
@options
def show(session: Session, name: str) -> None:
    """One delivery with what it says and why it could not be read, or one source."""
    sources = {one.name: one for one in session.get("/v1/hooks", HooksView).sources}
    if name in sources:
        session.show(sources[name], lambda: _source(sources[name]))
        return
    found = session.record(KIND, name, DeliveryView)
    text = session.get(f"/v1/evidence/{part(found.digest)}", EvidenceText)
    past = session.get(f"/v1/records/{KIND}/{part(name)}/history", tuple[RecordEvent, ...])
    if session.json:
        session.show({"delivery": plain.full(found), "text": text.text}, str)
        return
    lines = [
        f"{found.id}  {found.state}  of {found.source}, {plain.moment(found.received_at)}, {found.size_b} bytes"
        + (f", came {found.times} times" if found.times > 1 else ""),
        f"why: {found.reason}",
        *(f"  {header}: {value}" for header, value in found.headers.items()),
        found.digest,
        *(f"{plain.moment(one.at)}  {one.actor.id}  {one.to}  {one.reason}" for one in past if one.to),
        "",
    ]
    session.show(found, lambda: "\n".join(plain.clean(line) for line in lines) + plain.clean_lines(text.text, 4000))


def _source(found: HookSourceView) -> str:
    lines = [
        f"POST {found.url}, proven by {found.proof}" + (f" ({found.kind})" if found.kind else ""),
        f"{found.taken} events taken, {found.repeated} came again, {found.quarantined} deliveries kept aside",
        f"{found.unproven} not proven" + (f", the last {plain.moment(found.unproven_at)}" if found.unproven else ""),
        *([f"a signature is good for {plain.span(found.replay_window_s)}"] if found.replay_window_s else []),
        *([f"trouble: {found.trouble}"] if found.trouble else []),
    ]
    return "\n".join(plain.clean(line) for line in lines)


@hooks.command()
@click.argument("delivery")
@DRY_RUN
@ONCE
@options
def retry(session: Session, delivery: str, *, dry_run: bool, ident: str) -> None:
    """Reads a delivery again and tells what it says; it was proven when it came."""
    answer = session.command("delivery.retry", delivery, preview=dry_run, id=ident)
    told = answer.result.get("told", 0) if isinstance(answer.result, dict) else 0
    session.done(answer, f"{delivery} is read: {told} event{'s' * (told != 1)} told")


@hooks.command()
@click.argument("delivery")
@click.option("--reason", required=True, help="Why it is not needed.")
@DRY_RUN
@ONCE
@options
def discard(session: Session, delivery: str, *, reason: str, dry_run: bool, ident: str) -> None:
    """Throws a delivery away; its bytes stay in the vault."""
    answer = session.command("delivery.discard", delivery, {"reason": reason}, preview=dry_run, id=ident)
    session.done(answer, f"{delivery} is discarded")
