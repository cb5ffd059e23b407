"""Checks of names: an expression may use what exists where it stands, on every path that leads there.

For each step it is computed which steps have surely *run well* or at least *ended* (failed, interrupted, skipped, timed
out) before it, whatever path was taken. `has(steps.x)` in the same expression, or in the step's own `when`, tells that
the author knows that x may be absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.core.evaluator import ExpressionError
from engine.language.draft import Draft, Edge, Scope, Step
from engine.language.expressions import Expression, parse, template_parts
from engine.language.findings import did_you_mean, quoted
from engine.language.shapes import Site

ENDED, WELL = "ended", "well"

Facts = frozenset[tuple[str, str]]

FIELDS: dict[str, tuple[str, ...]] = {
    "action": ("output",),
    "wait": ("output",),
    "emit": ("output",),
    "child": ("output", "status", "child"),
    "map": ("output", "completed", "failed", "failures"),
    "gate": ("output", "answer", "form", "by", "rationale"),
    "observe": ("output", "verdict", "samples", "reason"),
    "choice": ("goto",),
}
"""What stands under `steps.<name>`, by kind; beside `error` after a failure and `skipped`, `by`, `reason` after a skip."""
AFTERWARDS = ("error", "skipped", "reason", "by")
NEEDS_SUCCESS: dict[str, frozenset[str]] = {
    kind: frozenset({"output"}) for kind in ("action", "wait", "emit", "child", "map")
} | {"gate": frozenset({"form"})}
"""Fields that are there only when the step ended well. What an observation saw is there in any case."""

RUN = (
    "id", "workflow", "version", "digest", "started_by", "started_at", "trigger", "parent", "attributes", "cause", "undone",
    "undo_failed",
)  # fmt: skip
ERROR = ("error", "message", "kind", "detail")
EVENT = ("event", "id", "data", "by")
OUTER_EVENT = (*EVENT, "subject", "source", "time")
"""What a trigger sees of an event, beside what a step sees of one it waited for."""


def expressions(site: Site) -> list[Expression]:
    """The expressions of a site; none when one of them can't be read, which is told elsewhere."""
    try:
        if site.bare:
            return [parse(site.text)]
        return [part for part in template_parts(site.text) if isinstance(part, Expression)]
    except ExpressionError:
        return []


def check(draft: Draft) -> None:
    facts = {id(scope): _facts(scope) for scope in draft.scopes}
    for inner in draft.scopes:
        start = _entry(inner, facts)
        for name in inner.steps:
            facts[id(inner)][name] |= start
    homes: dict[str, tuple[Scope | None, Step | None]] = {step.id: (scope, step) for scope, step in draft.steps()}
    for site in draft.reader.sites:
        scope, step = homes.get(site.owner, (None, None))
        for expression in expressions(site):
            guards = _guards(expression) | _guards_of(step)
            for path, asked in ((r.path, r.asked) for r in expression.reading.references):
                if not asked:
                    _given(draft, site, path, scope, guards)
                if scope is None or step is None:
                    _outside(draft, site, path)
                else:
                    _inside(draft, site, path, scope, step)
                    if path[0] == "steps" and len(path) > 1:
                        _produced(
                            draft,
                            site,
                            path[:-1] if asked else path,
                            scope=scope,
                            step=step,
                            facts=facts[id(scope)][step.name],
                            guards={guard[1] for guard in guards if guard[0] == "steps"},
                        )


def usable(draft: Draft, site: Site, scope: Scope | None, step: Step | None) -> list[str]:
    """The names an expression may begin with where it stands."""
    if scope is None or step is None:
        return ["event"] if site.field.startswith("triggers.") else ["inputs", "run"]
    names = ["inputs", "attributes", "run", "steps", "error", "event"]
    if step.kind == "observe":
        names.append("sample")
    for one in scope.around():
        if one.owner is not None:
            names += [one.owner.values.get("as", "item"), "index"]
    return names


def _outside(draft: Draft, site: Site, path: tuple[str, ...]) -> None:
    known = usable(draft, site, None, None)
    if path[0] not in known:
        draft.error(site.field, f"{quoted(path[0])} is no name that can be used here", did_you_mean(path[0], known))
        return
    _field(draft, site, path, {"inputs": draft.declared("inputs"), "run": RUN, "event": OUTER_EVENT})


def _inside(draft: Draft, site: Site, path: tuple[str, ...], scope: Scope, step: Step) -> None:
    known = usable(draft, site, scope, step)
    if path[0] not in known:
        near = did_you_mean(path[0], known)
        if scope.find(path[0]) is not None:
            near = f"did you mean 'steps.{path[0]}'?"
        elif path[0] in draft.declared("inputs"):
            near = f"did you mean 'inputs.{path[0]}'?"
        draft.error(site.field, f"{quoted(path[0])} is no name that can be used here", near)
        return
    sections = {"inputs": draft.declared("inputs"), "attributes": draft.declared("attributes"), "run": RUN}
    _field(draft, site, path, sections | {"error": ERROR, "event": EVENT})


def _field(draft: Draft, site: Site, path: tuple[str, ...], sections: Mapping[str, Sequence[str]]) -> None:
    known = sections.get(path[0])
    if known is None or len(path) < 2 or path[1] in known:
        return
    what = {"inputs": "there is no input", "attributes": "there is no attribute"}.get(
        path[0], f"{path[0]!r} has no field"
    )
    draft.error(site.field, f"{what} {quoted(path[1])}", did_you_mean(path[1], known))


def _produced(
    draft: Draft, site: Site, path: tuple[str, ...], *, scope: Scope, step: Step, facts: Facts, guards: set[str]
) -> None:
    """`path` begins with steps.<name>: the step must exist, have the field, and surely have run before."""
    if len(path) < 2:
        return
    name = path[1]
    source = scope.find(name)
    shown = ".".join(path[:3])
    if source is None:
        if any(name in one.names for one in scope.around()):
            return  # it stands there but could not be read, which is told already
        inner = next((one for one in draft.scopes if name in one.names and one.owner is not None), None)
        fix = did_you_mean(name, [known for one in scope.around() for known in one.names])
        if inner is not None and inner.owner is not None:
            fix = (
                f"it runs inside the map {inner.owner.name!r}: its outputs are the list steps.{inner.owner.name}.output"
            )
        elif any(name in one.names for one in draft.scopes):
            fix = "steps of on_failure are known only there"
        draft.error(site.field, f"there is no step {quoted(name)} to take {shown} from", fix)
        return
    if len(path) > 2 and path[2] not in (*FIELDS[source.kind], *AFTERWARDS):
        draft.error(
            site.field, f"a {source.kind} step has no {quoted(path[2])}", did_you_mean(path[2], FIELDS[source.kind])
        )
        return
    if name in guards:
        return
    if source is step and ".compensate." in site.field:
        draft.error(
            site.field,
            f"{shown} is not known when the step is undone: an action in doubt is undone too, and has no output",
            "use inputs or the output of an earlier step",
        )
        return
    level = WELL if len(path) > 2 and path[2] in NEEDS_SUCCESS.get(source.kind, ()) else ENDED
    if (name, level) in facts or _same_condition(source, step, name, facts):
        return
    what = "a compensate uses" if ".compensate." in site.field else "uses"
    when = "may not have ended well" if level == WELL and (name, ENDED) in facts else "may not have run"
    draft.error(
        site.field,
        f"{what} {shown}, but {quoted(name)} {when} on every path to {quoted(step.name)}",
        f"guard it: has({'.'.join(path[:3])}) ? … : …, or change the path",
    )


def _same_condition(source: Step, step: Step, name: str, facts: Facts) -> bool:
    """Both run under the same `when`, and the source surely was come by: then it did not merely get skipped."""
    condition = source.values.get("when")
    return condition is not None and condition == step.values.get("when") and (name, "if") in facts


def _given(draft: Draft, site: Site, path: tuple[str, ...], scope: Scope | None, guards: set[tuple[str, ...]]) -> None:
    """An input or a form's field that may be left out, and has no default, is absent when it was."""
    field: Mapping[str, Any] | None = None
    if path[0] == "inputs" and len(path) > 1:
        field, name = draft.values.get("inputs", {}).get(path[1]), path[:2]
    elif path[0] == "steps" and path[2:3] == ("form",) and len(path) > 3 and scope is not None:
        source = scope.find(path[1])
        field, name = source.values.get("form", {}).get(path[3]) if source is not None else None, path[:4]
    if field is None or field.get("required") is not False or field.get("default") is not None:
        return
    if not any(guard[: len(name)] == name for guard in guards):
        shown = ".".join(name)
        draft.error(
            site.field, f"{shown} may be left out", f"guard it: has({shown}) ? {shown} : …, or give it a default"
        )


def _guards(expression: Expression) -> set[tuple[str, ...]]:
    return {path for _, path in expression.reading.asked}


def _guards_of(step: Step | None) -> set[tuple[str, ...]]:
    condition = step.values.get("when") if step is not None else None
    if condition is None:
        return set()
    try:
        return _guards(parse(condition))
    except ExpressionError:
        return set()


def _entry(scope: Scope, facts: dict[int, dict[str, Facts]]) -> Facts:
    """What surely has run when a scope is entered: what had run before its map. A failing run promises nothing."""
    if scope.outer is None or scope.owner is None:
        return frozenset()
    return facts[id(scope.outer)][scope.owner.name]


def _facts(scope: Scope) -> dict[str, Facts]:
    """Per step, what surely has run before it in this scope: the meet over all paths, as a fixpoint from above."""
    into: dict[str, list[tuple[Step, Edge]]] = {name: [] for name in scope.steps}
    for step in scope.steps.values():
        for edge in step.edges():
            if edge.target in into:
                into[edge.target].append((step, edge))
    first = scope.names[0] if scope.names else ""
    before: dict[str, Facts | None] = dict.fromkeys(scope.steps)
    if first in before:
        before[first] = frozenset()
    work = [name for name in scope.names if name in scope.steps]
    while work:
        changed = False
        for name in work:
            met: Facts | None = frozenset() if name == first else None
            for step, edge in into[name]:
                known = before[step.name]
                if known is not None:
                    after = known | frozenset(_left_behind(step, edge))
                    met = after if met is None else met & after
            if met is not None and met != before[name]:
                before[name] = met
                changed = True
        if not changed:
            break
    return {name: facts or frozenset() for name, facts in before.items()}


def _left_behind(step: Step, edge: Edge) -> Iterator[tuple[str, str]]:
    """What taking an edge makes sure of.

    A step that was interrupted or ran out of time leaves nothing, but an observation what it saw, and a gate that
    expired its answer.
    """
    if (edge.via == "interrupt" and step.kind != "observe") or (
        edge.via == "on_timeout" and step.kind not in ("gate", "observe")
    ):
        return
    yield step.name, ENDED
    if edge.via in ("next", "case"):
        if step.values.get("when") is None:
            yield step.name, WELL
        else:
            yield step.name, "if"
