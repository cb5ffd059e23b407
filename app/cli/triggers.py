"""`qd triggers`: the rules that start runs without a person, and why one did or did not."""

from __future__ import annotations

import click
import msgspec

from app import plain
from app.cli.session import Session, inputs, options
from engine.contract.events import Explanation, FateView, RuleWord, TriggerView


@click.group()
def triggers() -> None:
    """What events start; why one did or did not."""


@triggers.command("ls")
@click.option("--event", default="", help="Only rules on this event.")
@click.option("--all", "everything", is_flag=True, help="Also who may start a workflow by hand.")
@options
def ls(session: Session, event: str, *, everything: bool) -> None:
    """Every rule: what it waits for, what stops it, what it made of events so far."""
    found = session.get("/v1/triggers", tuple[TriggerView, ...], event=event)
    shown = found if everything else tuple(view for view in found if view.kind != "manual")
    rows = [(v.on, v.workflow, _counts(v), _guards(v)) for v in sorted(shown, key=lambda v: (v.on, v.name))]
    heads = ("on", "workflow", "opened/attached/ignored", "rule")
    session.show(shown, lambda: plain.table(rows, heads, empty="no rule waits for anything"))


def _counts(view: TriggerView) -> str:
    if view.kind == "manual":
        return "-"
    said = "/".join(str(view.counts.get(word, 0)) for word in ("opened", "attached", "ignored"))
    return said + (f" failed {view.counts['failed']}" if view.counts.get("failed") else "")


def _guards(view: TriggerView) -> str:
    """The rule in words."""
    if view.kind == "manual":
        return f"by hand: {', '.join(view.roles)}"
    if view.kind == "cron":
        return f"{view.zone}, missed: {view.missed}, next {plain.moment(view.next_at)}"
    parts = ["MUTED"] if view.muted else []
    parts += ["only attaches"] if not view.opens else []
    parts += [f"if {view.filter}"] if view.filter else []
    if view.dedupe:
        parts.append(f"once per {view.dedupe}" + (f" in {plain.span(view.within_s)}" if view.within_s else ""))
    parts += [f"one open run per {view.correlate}"] if view.correlate else []
    parts += [f"after {plain.span(view.debounce_s)} of quiet"] if view.debounce_s else []
    parts += [f"from {view.burst}"] if view.burst else []
    parts += ["cannot be muted"] if view.must else []
    return "; ".join(parts).replace("event.data.", "").replace("event.", "") or "always"


@triggers.command()
@click.argument("event")
@click.option("--data", "pairs", multiple=True, metavar="NAME=VALUE", help="A field of an event that is imagined.")
@click.option("--subject", default="", help="What it is about.")
@options
def explain(session: Session, event: str, pairs: tuple[str, ...], subject: str) -> None:
    """Why an event started what it did, or what one would start now.

    EVENT: the number of one that happened (qd events ls --told), or a name with --data for one that is imagined.
    """
    data = msgspec.json.encode(inputs(pairs, None)).decode() if pairs else ""
    found = session.get("/v1/explain", Explanation, event=event, data=data, subject=subject)
    session.show(found, lambda: "\n".join(_explained(found)))


def _explained(found: Explanation) -> list[str]:
    lines = []
    if found.happened is not None:
        e = found.happened
        about = f" about {e.subject}" if e.subject else ""
        lines.append(plain.clean(f"event {e.seq}: {e.event}{about}, {plain.moment(e.at)}, from {e.actor} ({e.source})"))
        cause = f"follows from event {e.cause}" if e.cause else "no cause is known"
        lines.append(f"  {cause}; {e.depth} deep" + ("" if e.delivered else "; still being seen to"))
        lines += ["what became of it:", *(_fate(fate) for fate in found.fates)]
        if not found.fates:
            lines.append("  nothing: no rule listened and no run waited")
        lines.append("if it came now:")
    lines += [_word(word) for word in found.now]
    if not found.now:
        lines.append("  no rule listens to this event")
        if found.near:
            lines.append(plain.clean(f"  near: {', '.join(found.near)}"))
    if found.waiting:
        lines.append(plain.clean(f"  runs that wait for it: {', '.join(found.waiting)}"))
    return lines


def _fate(fate: FateView) -> str:
    who = fate.rule or "waiting run"
    run = f" {fate.run}" if fate.run else ""
    return plain.clean(f"  {fate.outcome:<9}{run}  {who}" + (f": {fate.reason}" if fate.reason else ""), 400)


def _word(word: RuleWord) -> str:
    said = {
        "open": "would open",
        "opened": "opened a run",
        "attach": "would go to",
        "ignore": "ignores it",
        "fail": "fails",
    }[word.outcome]
    run = f" {word.run}" if word.run and word.outcome == "attach" else ""
    with_ = f" with {msgspec.json.encode(word.inputs).decode()}" if word.inputs else ""
    return plain.clean(f"  {word.rule}: {said}{run}{with_}" + (f": {word.reason}" if word.reason else ""), 400)
