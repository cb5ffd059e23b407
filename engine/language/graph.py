"""Checks of the graph: every target exists, every step can be reached, no loop goes round without waiting."""

from __future__ import annotations

from engine.language.draft import ENDS, WAITING, Draft, Scope
from engine.language.findings import did_you_mean, quoted
from engine.language.tokens import RESERVED

TAKEN = frozenset({"inputs", "steps", "run", "attributes", "error", "event", "sample", "index", "has"})
"""Names every expression may use: a map's item may not hide them."""


def check(draft: Draft) -> None:
    for scope in draft.scopes:
        _names(draft, scope)
        dangling = _targets(draft, scope)
        if scope.whole and not dangling:  # else what seems lost may be what was meant
            _reachable(draft, scope)
        _loops(draft, scope)
    _exempt(draft)


def _names(draft: Draft, scope: Scope) -> None:
    for name, step in scope.steps.items():
        if name in ENDS or name in RESERVED or step.id == "on_failure":
            draft.error(step.field, f"{quoted(name)} is a reserved word", f"call it {name}_step")
        outer = next((one for one in scope.around() if one is not scope and name in one.steps), None)
        if outer is not None:
            line = outer.steps[name].line
            draft.error(
                step.field, f"{quoted(name)} is already a step outside (line {line})", "give it a name of its own"
            )
        item = step.values.get("as", "item")
        if step.kind == "map":
            inside = [one.owner.values.get("as", "item") for one in scope.around() if one.owner is not None]
            if item in TAKEN or item in RESERVED or item in inside:
                draft.error(
                    f"{step.field}.as", f"{quoted(item)} is already a name here", "choose another, such as `as: stage`"
                )


def _targets(draft: Draft, scope: Scope) -> bool:
    """Tells targets that are not there, and whether there are any."""
    dangling = False
    for step in scope.steps.values():
        for edge in step.edges():
            if edge.target in ENDS or edge.target in scope.names:
                continue
            home = next((other for other in draft.scopes if edge.target in other.names), None)
            if home is None:
                fix = did_you_mean(edge.target, [*scope.names, *ENDS])
            elif home.owner is not None:
                fix = f"it stands inside the map {home.owner.name!r}: only its own steps can go there"
            else:
                fix = "a body ends with next: done, fail, or a raised error"
            draft.error(edge.field, f"there is no step {quoted(edge.target)} here", fix)
            dangling = True
    return dangling


def _reachable(draft: Draft, scope: Scope) -> None:
    if not scope.names:
        return
    reached = {scope.names[0]}
    frontier = [scope.names[0]]
    while frontier:
        for edge in scope.steps[frontier.pop()].edges():
            if edge.target in scope.steps and edge.target not in reached:
                reached.add(edge.target)
                frontier.append(edge.target)
    lost = [name for name in scope.names if name not in reached]
    led_to = {edge.target for name in lost for edge in scope.steps[name].edges() if edge.target != name}
    # What only a lost step leads to is lost because of that one: telling the first says it all.
    for name in [name for name in lost if name not in led_to] or lost[:1]:
        draft.error(
            scope.steps[name].field,
            f"no path leads to {quoted(name)}",
            "point a next, goto or else at it, or remove it",
        )


def _loops(draft: Draft, scope: Scope) -> None:
    """Finds cycles among the steps that do not wait. A step with `when` may be skipped, so it does not wait for sure."""
    idle = {
        name for name, step in scope.steps.items() if step.kind not in WAITING or step.values.get("when") is not None
    }
    told: set[str] = set()
    for name in scope.names:
        if name in idle and name not in told:
            circle = _circle(scope, name, idle)
            if circle and not told & set(circle):
                told.update(circle)
                way = " → ".join([*circle, circle[0]])
                draft.error(
                    scope.steps[name].field,
                    f"{way} goes round without waiting",
                    "put a wait, gate or observe step without `when` into the loop",
                )


def _circle(scope: Scope, start: str, idle: set[str]) -> list[str]:
    """The shortest way from `start` back to itself through idle steps; empty when there is none."""
    came: dict[str, str] = {}
    frontier = [start]
    while frontier:
        following: list[str] = []
        for name in frontier:
            for edge in scope.steps[name].edges():
                if edge.target == start:
                    way = [name]
                    while way[-1] != start:
                        way.append(came[way[-1]])
                    return way[::-1]
                if edge.target in idle and edge.target not in came:
                    came[edge.target] = name
                    following.append(edge.target)
        frontier = following
    return []


def _exempt(draft: Draft) -> None:
    known = {step.id for _, step in draft.steps()}
    for index, id in enumerate(draft.values.get("windows", {}).get("exempt", ())):
        if id not in known:
            draft.error(f"windows.exempt.{index}", f"there is no step {quoted(id)}", did_you_mean(id, known))
