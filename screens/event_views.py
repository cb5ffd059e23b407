"""What is said about one event, one rule, one run of a thread: pages made of plain values."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from engine.contract.common import Json
from engine.contract.events import FateView, OutEvent, TraceNode, TriggerView
from screens import chrome
from screens.model import age
from screens.widgets.parts import Part

Paragraph = list[Part]
OUTCOME = {
    "opened": ("\u25b8 opened", "strong"),
    "attached": ("\u2192 given to", ""),
    "ignored": ("\u00b7 ignored", "muted"),
    "failed": ("\u2717 failed", "alarm"),
}
LONG = 4_000
MISSED = {"skip": "left out", "once": "made up for once", "all": "made up for, each"}


def path(base: str, id: str) -> str:
    """A thing's address, whatever it is called."""
    return f"{base}/{quote(id, safe='')}"


def event_page(event: OutEvent, now: float) -> list[Paragraph]:
    """One event: where it comes from, what became of it, what it says."""
    cause = f"event {event.cause}" if event.cause else "no known cause"
    lines: list[Paragraph] = [
        [(event.event, "strong")],
        [("number   ", "muted"), str(event.seq), ("   depth ", "muted"), f"{event.depth}"],
        [("at       ", "muted"), f"{chrome.at(event.at, now)}Z"],
        [("about    ", "muted"), event.subject or "\u2014"],
        [("from     ", "muted"), f"{event.actor}", (f"  {event.source}", "muted")],
        [("because  ", "muted"), cause],
    ]
    if event.record:
        lines.append([("record   ", "muted"), event.record])
    lines += [[], [("What became of it", "strong")]]
    lines += [fate_line(fate) for fate in event.fates]
    if not event.fates:
        lines.append([("no rule listened and no run waited", "muted")])
    if not event.delivered:
        lines.append([("a rule still waits for quiet", "caution")])
    lines += [[], [("What it says", "strong")], *values(event.data)]
    return lines


def fate_line(fate: FateView) -> Paragraph:
    """What one rule made of it."""
    word, tone = OUTCOME.get(fate.outcome, (fate.outcome, ""))
    who = fate.rule.partition(":")[0] if fate.rule else "a run that waited"
    line: Paragraph = [(f"{word} ", tone) if tone else f"{word} "]
    if fate.run:
        line.append((f"{fate.run} ", "key"))
    line.append((f"by {who}" if fate.outcome in ("opened", "attached") else who, "muted"))
    if fate.reason:
        line.append(f": {fate.reason}")
    return line


def values(data: Json) -> list[Paragraph]:
    """Names and values, one a line; what nests as JSON."""
    if not isinstance(data, dict):
        return [[("nothing", "muted")]] if data in (None, "") else [[_text(data)]]
    if not data:
        return [[("nothing", "muted")]]
    wide = min(20, max(len(str(name)) for name in data))
    return [[(f"{name!s:<{wide}}  ", "muted"), _text(value)] for name, value in data.items()]


def _text(value: Json) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= LONG else text[: LONG - 1] + "\u2026"


def run_page(node: TraceNode) -> list[Paragraph]:
    """A run of a thread, in short."""
    lines: list[Paragraph] = [
        [(node.id, "strong"), f"  {node.title or node.label}"],
        [("workflow ", "muted"), node.label],
        [("state    ", "muted"), node.state],
    ]
    if node.actor:
        lines.append([("by       ", "muted"), node.actor])
    if node.records:
        lines += [[], [("What it made", "strong")], *_each(node.records)]
    return [*lines, [], [("Enter opens it", "muted")]]


def _each(texts: Sequence[str]) -> list[Paragraph]:
    return [[text] for text in texts]


def rule_page(rule: TriggerView, now: float) -> list[Paragraph]:
    """A rule in words."""
    lines: list[Paragraph] = [[(rule.on, "strong"), (f"  starts {rule.workflow} {rule.version}", "muted")]]

    def tell(name: str, text: str, tone: str = "") -> None:
        lines.append([(f"{name:<10}", "muted"), (text, tone) if tone else text])

    if rule.muted:
        tell("MUTED", "by policy: it starts nothing", "caution")
    if rule.filter:
        tell("only if", rule.filter)
    if rule.dedupe:
        tell("once per", rule.dedupe + (f" in {age(rule.within_s)}" if rule.within_s else ", ever"))
    if rule.correlate:
        tell("one run", f"per {rule.correlate}; further events go to it")
    if not rule.opens:
        tell("opens", "nothing; it only gives events to open runs")
    if rule.debounce_s:
        tell("waits", f"until nothing further came for {age(rule.debounce_s)}")
    if rule.burst:
        tell("from", rule.burst)
    if rule.kind == "cron":
        tell("zone", rule.zone)
        tell(
            "missed",
            MISSED.get(rule.missed or "once", rule.missed),
        )
        tell("next", f"{chrome.at(rule.next_at, now)}Z" if rule.next_at else "never")
    if rule.must:
        tell("guards", "none: no mute, rate or depth stops it", "strong")
    elif rule.rate:
        tell("at most", f"{rule.rate} runs")
    said = ", ".join(f"{count} {word}" for word, count in rule.counts.items()) or "nothing yet"
    tell("so far", said)
    if rule.last_at:
        tell("last", f"{chrome.at(rule.last_at, now)}Z")
    return lines


def became(event: OutEvent) -> list[Part]:
    """What became of an event, in a few words."""
    opened = [fate.run for fate in event.fates if fate.outcome == "opened"]
    given = [fate.run for fate in event.fates if fate.outcome == "attached"]
    failed = [fate for fate in event.fates if fate.outcome == "failed"]
    passed = [fate for fate in event.fates if fate.outcome == "ignored"]
    said: list[Part] = []
    if failed:
        said.append((f"\u2717 {len(failed)} rule{'s' * (len(failed) != 1)} failed ", "alarm"))
    if opened:
        said.append((f"\u25b8 {', '.join(opened[:3])} ", "key"))
    if given:
        said.append(f"\u2192 {', '.join(given[:3])} ")
    if passed and not said:
        said.append((f"\u00b7 {passed[0].reason if len(passed) == 1 else f'{len(passed)} ignored it'}", "muted"))
    if not said:
        said.append(("\u00b7 nobody listened" if event.delivered else "waits for quiet", "muted"))
    return said
