"""One run as lines: the path it took and did not take, its timeline, why it waits, what went in and out. Pure functions."""

from __future__ import annotations

import importlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable

from engine.contract.common import Json
from engine.contract.runs import EventView, GraphNode, RunDetail, StepView
from screens import chrome
from screens.acts import REGISTRY, key_of, shown_key
from screens.model import age
from screens.places import ONE
from screens.widgets.clean import clean_lines
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

STATUS = {
    "scheduled": ("\u25cb", ""),
    "running": ("\u25b8", "strong"),
    "retrying": ("\u21bb", "caution"),
    "waiting": ("\u25d4", "strong"),
    "completed": ("\u25cf", ""),
    "failed": ("\u2717", "alarm"),
    "skipped": ("\u2298", "caution"),
    "cancelled": ("\u2298", "muted"),
    "compensated": ("\u21b6", "caution"),
    "in_doubt": ("?", "alarm"),
}
ENDED = ("completed", "failed", "cancelled", "terminated")
_ITEM = re.compile(r"#\d+")
JSON_LINES = 400


def node_of(path: str) -> str:
    """The definition's step behind a path: `stages#1.observe` -> `stages.observe`."""
    return _ITEM.sub("", path)


def visits(detail: RunDetail) -> dict[str, list[StepView]]:
    """Visits by node id, oldest first. A node may be named by its path without items, its id, or its last word."""
    ids = {node.id for node in detail.graph}
    found: dict[str, list[StepView]] = defaultdict(list)
    for step in detail.steps:
        known = next(
            (id for id in (node_of(step.path), step.step, step.step.rpartition(".")[2]) if id in ids), step.step
        )
        found[known].append(step)
    return found


def _took(step: StepView, now: float) -> str:
    if step.started_at is None:
        return ""
    return age((step.ended_at or now) - step.started_at)


def _open(detail: RunDetail) -> bool:
    return detail.run.status not in ENDED


def reachable(detail: RunDetail, seen: dict[str, list[StepView]]) -> set[str]:
    """Nodes that can still be reached from where the run stands; none once it has ended."""
    if not _open(detail):
        return set()
    children: dict[str, list[str]] = defaultdict(list)
    for node in detail.graph:
        children[node.parent].append(node.id)
    edges = {node.id: [target for _, target in node.edges] for node in detail.graph}
    active = [id for id, steps in seen.items() if any(step.ended_at is None for step in steps)]
    if not active and detail.graph:
        active = [detail.graph[0].id] if not seen else [next(reversed(seen))]
    parents = {node.id: node.parent for node in detail.graph}
    todo = list(active)
    found: set[str] = set()
    while todo:
        id = todo.pop()
        if id in found or id not in edges:
            continue
        found.add(id)
        todo += edges[id]
        todo += children[id]
        if parents.get(id):
            todo += edges.get(parents[id], [])
    return found


def taken(node: GraphNode, steps: list[StepView], seen: dict[str, list[StepView]], detail: RunDetail) -> set[str]:
    """Targets this node's finished visits went to: the one that began first after each visit ended."""
    out: set[str] = set()
    for step in steps:
        if step.ended_at is None:
            continue
        chosen = [target for _, target in node.edges if step.detail in (target, target.rpartition(".")[2])]
        if node.kind == "choice" and step.detail and chosen:
            out.add(chosen[0])  # a choice says itself where it went
            continue
        scope = step.path.rpartition(".")[0]
        best: tuple[float, str] | None = None
        for _, target in node.edges:
            for other in seen.get(target, ()):
                if other.path.rpartition(".")[0] != scope or other.started_at is None:
                    continue
                if other.fence > step.fence and (best is None or other.fence < best[0]):
                    best = (other.fence, target)
        if best is not None:
            out.add(best[1])
        elif not _open(detail):
            ends = [target for _, target in node.edges if target in ("done", "fail")]
            wanted = "fail" if detail.run.status == "failed" else "done"
            if wanted in ends and step is max(detail.steps, key=lambda one: one.fence):
                out.add(wanted)
    return out


def node_cells(node: GraphNode, steps: list[StepView], ahead: bool, now: float) -> tuple[Part, Part, Part, list[Part]]:
    """A step of the definition: glyph and name, kind, when it began and what it took, what became of it."""
    if not steps:
        glyph, tone = ("\u25cb", "") if ahead else ("\u2504", "muted")
        note = node.detail if ahead else "not taken"
        label = f"{glyph} {node.name or node.id}"
        return ((label, tone) if tone else label, (node.kind, "muted"), "", [(note, "muted")])
    last = steps[-1]
    glyph, tone = STATUS.get(last.status, ("?", ""))
    label = f"{glyph} {node.name or node.id}"
    notes: list[Part] = []
    bad = last.status in ("failed", "retrying", "in_doubt", "skipped", "compensated")
    if bad or last.status in ("waiting", "running"):
        notes.append((last.status.replace("_", " "), tone) if tone else last.status)
    if len(steps) > 1:
        items = {step.path for step in steps}
        notes.append((f" {len(items)} items" if len(items) > 1 else f" visit {len(steps)}", "muted"))
    if last.attempt > 1:
        notes.append((f" try {last.attempt}", "caution" if last.ended_at is None else "muted"))
    if last.due and last.ended_at is None:
        notes.append(f" until {chrome.at(last.due, now)}")
    if last.error:
        notes.append((f" {last.error}", "alarm" if last.status == "failed" else "caution"))
    elif last.detail:
        notes.append((f" {last.detail}", "muted"))
    began = f"{chrome.at(last.started_at, now)}" if last.started_at else ""
    took = _took(last, now) if last.ended_at is not None else ""
    return ((label, tone) if tone else label, (node.kind, "muted"), (f"{began} {took}".strip(), "muted"), notes)


def hint(view: str) -> str:
    """The keys of the view in front."""
    if view == "timeline":
        return "+ - zoom  < > move  b then "
    return "+ - zoom  f follow  [ ] time " if view == "path" else "arrows: next view  [ ] time "


def why(detail: RunDetail, now: float, blocked: str) -> list[list[Part]]:
    """What the run waits for, who or what can move it, until when, and what happens then; and what it is."""
    run = detail.run
    page: list[list[Part]] = []
    if detail.error:
        page += [[("\u2717 ", "alarm"), (detail.error, "alarm")], [""]]
    if run.attention and run.attention != "gate":
        page += [[("! ", "caution"), (run.attention, "caution")], [""]]
    for one in detail.waiting:
        page.append([("\u25d4 ", "strong"), (one.what, "strong"), (f"  at {one.path}", "muted")])
        if one.who:
            page.append([("  who can   ", "muted"), ", ".join(one.who)])
        if one.until:
            left = one.until - now
            said = f" (in {age(left)})" if left > 0 else f" ({age(-left)} ago)"
            page.append(
                [("  until     ", "muted"), chrome.at(one.until, now) + "Z", (said, "" if left > 0 else "caution")]
            )
        if one.then:
            page.append([("  then      ", "muted"), one.then])
        if one.can:
            page.append([("  can be    ", "muted"), *_verbs(one.can)])
        if one.gate:
            page.append([("  gate      ", "muted"), one.gate, ("   A opens it", "muted")])
        page.append([""])
    if not detail.waiting:
        if run.status in ENDED:
            ended = f" as \u201c{run.ending}\u201d" if run.ending and run.ending != run.status else ""
            page += [[f"It waits for nothing: {run.status}{ended}."], [""]]
        else:
            page += [[f"It waits for nobody: {run.status}{' at ' + run.step if run.step else ''}."], [""]]
    facts: list[tuple[str, str]] = [
        ("workflow", f"{detail.definition or run.workflow}   digest {detail.digest[:19]}"),
        ("started", f"{chrome.at(run.started_at, now)}Z by {run.started_by or 'nobody named'}"),
    ]
    if detail.cause is not None:
        about = f" about {detail.cause.subject}" if detail.cause.subject else ""
        facts.append(("because", f"{detail.cause.event}{about}, event {detail.cause.seq}   h shows the thread"))
    if detail.told:
        facts.append(("told", f"{detail.told} event{'s' * (detail.told != 1)}   h shows what followed"))
    if run.ended_at:
        facts.append(("ended", f"{chrome.at(run.ended_at, now)}Z after {age(run.ended_at - run.started_at)}"))
    if detail.parent:
        facts.append(("child of", f"{detail.parent}"))
    if detail.children:
        facts.append(("children", ", ".join(detail.children[:12]) + (" \u2026" if len(detail.children) > 12 else "")))
    if detail.rollout:
        facts.append(("rollout", f"{detail.rollout}   o opens it"))
    if blocked:
        facts.append(("note", blocked))
    page += [[(f"{name:<10}", "muted"), value] for name, value in facts]
    return page


def _verbs(names: Iterable[str]) -> list[Part]:
    out: list[Part] = []
    for name in names:
        noun = name.partition(".")[0]
        if name not in REGISTRY and noun in ONE and ONE[noun].screen:  # its acts are known once its screen is
            importlib.import_module(ONE[noun].screen.partition(":")[0])
        act = REGISTRY.get(name)
        if out:
            out.append(", ")
        if act is not None:
            out += [act.verb, (f" {shown_key(key_of(act))}", "key")]
        else:
            out.append(name)
    return out


def data_page(detail: RunDetail, step: StepView | None, event: EventView | None, now: float) -> list[list[Part]]:
    """What went in and what came out: of the step or event under the cursor first, then of the run."""
    page: list[list[Part]] = []
    if event is not None:
        page += [
            [(event.type, "strong"), (f"  #{event.seq}  {chrome.at(event.at, now)}Z", "muted")],
            [
                ("actor  ", "muted"),
                f"{event.actor.kind} {event.actor.id}",
                (f" via {event.actor.via}" if event.actor.via else "", "muted"),
            ],
            [("cause  ", "muted"), event.cause],
        ]
        if event.hash:
            page.append([("hash   ", "muted"), event.hash])
        page += [*json_lines(event.data), [""]]
    if step is not None:
        glyph, tone = STATUS.get(step.status, ("?", ""))
        word = f"{glyph} {step.status.replace('_', ' ')}"
        page.append(
            [
                (step.path, "strong"),
                f"  {step.kind}  ",
                (word, tone) if tone else word,
                (f"  try {step.attempt}", "muted"),
            ]
        )
        if step.error:
            page.append([("error  ", "muted"), (step.error, "alarm")])
        page += [[("in", "muted")], *json_lines(step.input), [("out", "muted")], *json_lines(step.output), [""]]
    page += [[("inputs of the run", "strong")], *json_lines(detail.inputs)]
    page += [[""], [("output of the run", "strong")], *json_lines(detail.output)]
    return page


def json_lines(value: Json) -> list[list[Part]]:
    """A value as indented lines, keys muted. Absent values say so."""
    if value is None:
        return [[("  none", "muted")]]
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    lines: list[list[Part]] = []
    for line in clean_lines(text)[:JSON_LINES]:
        key = re.match(r'^(\s*)"([^"]{1,120})": ?(.*)$', line)
        if key:
            lines.append([f"  {key[1]}", (f"{key[2]}: ", "muted"), key[3]])
        else:
            lines.append([f"  {line}"])
    return lines


def event_row(event: EventView, now: float) -> tuple[str, Cells]:
    who = event.actor.id if event.actor.kind in ("person", "engine") else f"{event.actor.kind} {event.actor.id}"
    if event.actor.on_behalf_of:
        who += f" for {event.actor.on_behalf_of}"
    bad = any(word in event.type for word in ("Failed", "Refused", "Expired", "Rejected"))
    type_: Part = (event.type, "caution") if bad else event.type
    return (
        f"{event.seq}",
        (
            (str(event.n), "muted"),
            (chrome.at(event.at, now), "muted"),
            type_,
            (event.text or _brief(event.data)),
            (who, "muted"),
        ),
    )


def _brief(data: Json) -> str:
    if not data:
        return ""
    return json.dumps(data, ensure_ascii=False, default=str)[:300]
