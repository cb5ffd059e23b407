"""`qd trace`: the thread that something belongs to, from its first cause to everything that followed."""

from __future__ import annotations

import click

from app import plain
from app.cli.session import Session, options, part
from engine.contract.events import Trace, TraceNode
from screens.thread import EVENT, HOW, MORE, RUN, branches, focused, made, plain_branches, unheard


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--causes", is_flag=True, help="Only what led here.")
@click.option("--effects", is_flag=True, help="Only this and what followed.")
@click.option("--whole", is_flag=True, help="Every line, also what else followed from the same causes.")
@options
def trace(session: Session, id_: str, *, causes: bool, effects: bool, whole: bool) -> None:
    """The thread from an event, run, gate or record, both ways.

    ID: the number of an event (qd events ls --told), a run, a gate, a record such as M-311, or what an event was about.
    """
    found = session.get(f"/v1/trace/{part(id_)}", Trace)
    if causes or effects:
        found = narrowed(found, causes=causes)
    session.show(found, lambda: _tree(found, whole=whole))


def narrowed(trace: Trace, *, causes: bool) -> Trace:
    """The line from the root to what was asked for, or what was asked for with all below it."""
    import msgspec

    at = next((at for at, node in enumerate(trace.nodes) if node.here), 0)
    if causes:
        kept: list[TraceNode] = []
        for node in trace.nodes[: at + 1]:
            del kept[node.level :]
            kept.append(node)
        return msgspec.structs.replace(trace, nodes=tuple(kept))
    level = trace.nodes[at].level if trace.nodes else 0
    below = _until(trace.nodes[at:], level)
    return msgspec.structs.replace(
        trace, nodes=tuple(msgspec.structs.replace(node, level=node.level - level) for node in below)
    )


def _until(nodes: tuple[TraceNode, ...], level: int) -> list[TraceNode]:
    """A node and its descendants: up to the next one at its level."""
    end = next((at for at, node in enumerate(nodes) if at and node.level <= level), len(nodes))
    return list(nodes[:end])


def _tree(trace: Trace, *, whole: bool) -> str:
    utf8 = plain.says_utf8()
    lines = []
    nodes = list(trace.nodes) if whole else focused(trace.nodes)
    for node, branch in zip(nodes, branches(nodes), strict=True):
        shown = branch if utf8 else plain_branches(branch)
        lines.append(shown + plain.clean(line(node, utf8=utf8), 300))
    if trace.cut:
        lines.append("… and more: ask for one of these")
    return "\n".join(lines)


def line(node: TraceNode, *, utf8: bool = True) -> str:
    """One event or run."""
    if node.kind == MORE:
        return f"({node.label}: --whole shows them)"
    glyph = (EVENT if node.kind == "event" else RUN) if utf8 else ("*" if node.kind == "event" else ">")
    here = "  <-- here" if node.here else ""
    word = HOW.get(node.how, node.how)
    how = f"{word}: " if word and node.how != "opened" else ""
    if node.kind == "event":
        about = f" {node.subject}" if node.subject else ""
        by = "" if node.actor.startswith("run:") else f" by {node.actor}"
        left = unheard(node.fates)
        said = f"  {left}" if left else ""
        return f"{glyph} {how}{node.label}{about}  {plain.moment(node.at)}{by}  (event {node.id}){said}{here}"
    things = f"  made {made(node.records)}" if node.records else ""
    return f"{glyph} {how}{node.id} {node.label}  {node.state}{things}{here}"
