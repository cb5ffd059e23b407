"""A definition as nodes and edges: every possible path, before a run starts."""

from __future__ import annotations

from engine.contract.runs import GraphNode
from engine.core.definition import Definition, Outcome, Step


def _outcome(label: str, outcome: Outcome | None) -> list[tuple[str, str]]:
    if outcome is None:
        return []
    if outcome.escalate:
        label = f"{label}, after {outcome.escalate}"
    if outcome.goto:
        return [(label, outcome.goto)]
    return [(label, f"raise {outcome.raise_}")] if outcome.raise_ else []


def edges_of(step: Step) -> tuple[tuple[str, str], ...]:
    """(label, target) in the order in which they are tried; the plain way on has an empty label."""
    edges: list[tuple[str, str]] = []
    if step.kind == "choice":
        edges += [(case.when, case.goto) for case in step.choice]
        if step.otherwise:
            edges.append(("else", step.otherwise))
    else:
        edges.append(("", step.next))
    if step.map is not None:
        edges.append(("each", step.map.start))
    if step.gate is not None:
        edges += _outcome("reject", step.gate.on_reject)
        edges += _outcome("timeout", step.gate.on_timeout)
    edges += _outcome("timeout", step.on_timeout)
    for caught in step.catch:
        label = "error " + ", ".join(caught.error)
        target = caught.goto or (f"raise {caught.raise_}" if caught.raise_ else "")
        if target:
            edges.append((label, target))
    for interrupt in step.interrupt:
        target = interrupt.goto or (f"raise {interrupt.raise_}" if interrupt.raise_ else "")
        if target:
            edges.append((f"on {interrupt.event}", target))
    return tuple(edges)


def detail_of(step: Step) -> str:
    """What the step names: its action, question, event, source, workflow."""
    if step.gate is not None:
        return step.gate.question
    if step.wait is not None:
        wait = step.wait
        return f"event {wait.event}" if wait.event else f"until {wait.until}" if wait.until else f"for {wait.for_}"
    if step.observe is not None:
        return step.observe.source
    if step.child is not None:
        return step.child.workflow
    if step.emit is not None:
        return step.emit.event
    return step.action or ""


def graph_of(definition: Definition) -> tuple[GraphNode, ...]:
    """The nodes in the order of the document."""
    return tuple(
        GraphNode(
            id=step.id,
            name=step.name,
            kind=step.kind,
            title=step.title,
            parent=step.parent,
            edges=edges_of(step),
            detail=detail_of(step),
        )
        for step in definition.steps.values()
    )
