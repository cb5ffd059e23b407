"""Checks of types: every expression compiles, fits what it is used for, and what is passed on fits what is declared."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

from engine.core.evaluator import ExpressionError
from engine.language.draft import Draft, Scope, Step
from engine.language.expressions import ANY, TYPES, Expression, check, parse, template_parts
from engine.language.findings import did_you_mean, quoted
from engine.language.shapes import Site
from engine.language.signatures import ActionSignature, Parameter

FITS = {
    "boolean": {"boolean"},
    "duration": {"string", "integer", "number", "duration"},
    "time": {"string", "integer", "number", "timestamp"},
    "list": {"array"},
    "people": {"string", "array"},
}
"""What an expression may statically be where a certain thing is due; `any` always may. Checked again when it runs."""
NO_VALUE = {"bytes", "type"}

SAID = {
    "boolean": "true or false",
    "duration": "a duration",
    "time": "a time",
    "list": "a list",
    "people": "a person or a list",
}


def check_types(draft: Draft, actions: Mapping[str, ActionSignature]) -> None:
    types = _Types(draft, actions)
    for site in draft.reader.sites:
        types.site(site)
    for _, step in draft.steps():
        _literals(draft, step)


def kind_of(value: Any) -> str:
    """The JSON Schema word for a plain value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {int: "integer", float: "number", str: "string", list: "array", tuple: "array"}
    return names.get(type(value), "object")


def fits(found: str, declared: str) -> bool:
    """Whether a value of one type may be passed where another is declared: a whole number is a number too."""
    return found == declared or ANY in (found, declared) or (found == "integer" and declared == "number")


class _Types:
    def __init__(self, draft: Draft, actions: Mapping[str, ActionSignature]) -> None:
        self.draft, self.actions = draft, actions
        self.homes: dict[str, tuple[Scope | None, Step | None]] = {
            step.id: (scope, step) for scope, step in draft.steps()
        }
        self.inputs = {name: field.get("type", ANY) for name, field in draft.values.get("inputs", {}).items()}

    def site(self, site: Site) -> str:
        """Checks one site and gives the static type of its value."""
        try:
            if site.bare:
                found = self.expression(site, parse(site.text))
            else:
                parts = template_parts(site.text)
                kinds = [self.expression(site, part) for part in parts if isinstance(part, Expression)]
                found = kinds[0] if len(parts) == 1 and kinds else "string"
        except ExpressionError as error:
            self.draft.reader.findings.add(site.line, site.field, f"in {quoted(site.text)}: {error}", _fix(str(error)))
            return ANY
        allowed = FITS.get(site.gives)
        if found in NO_VALUE or (allowed is not None and found != ANY and found not in allowed):
            due = SAID.get(site.gives, "a value")
            fix = "compare it with something" if site.gives == "boolean" else ""
            self.draft.reader.findings.add(
                site.line, site.field, f"{quoted(site.text)} gives {_said(found)} where {due} is due", fix
            )
        return found

    def expression(self, site: Site, expression: Expression) -> str:
        scope, step = self.homes.get(site.owner, (None, None))
        names: dict[str, str] = {}
        for reference in expression.reading.references:
            # Only what it reads, so that few environments serve all; a name that can't be used here is anything: the
            # checks of names tell it.
            names.setdefault(reference.path[0], ANY)
            for length in range(2, len(reference.path) + 1):
                path = reference.path[:length]
                kind = self._declared(path, scope, step)
                if kind != ANY:
                    names[".".join(path)] = kind
        return check(expression.text, names)

    def _declared(self, path: tuple[str, ...], scope: Scope | None, step: Step | None) -> str:
        """The declared type of a path, `any` when nothing is declared."""
        if path[0] == "inputs" and len(path) == 2:
            return str(self.inputs.get(path[1], ANY))
        if path in (
            ("run", "id"),
            ("run", "workflow"),
            ("run", "started_by"),
            ("error", "error"),
            ("error", "message"),
        ):
            return "string"
        if path[0] == "sample" and len(path) == 2 and step is not None and step.kind == "observe":
            return self._output(step, path[1])
        if path[0] == "steps" and len(path) == 4 and scope is not None and (source := scope.find(path[1])) is not None:
            if path[2] == "output":
                return self._output(source, path[3])
            if path[2] == "form" and source.kind == "gate":
                return str(source.values.get("form", {}).get(path[3], {}).get("type", ANY))
        return ANY

    def _output(self, step: Step, name: str) -> str:
        signature = self.actions.get(step.values.get(step.kind, "")) if step.kind in ("action", "observe") else None
        parameter = signature.outputs.get(name) if signature is not None else None
        # An output that may be missing may be null too, and CEL's checker takes null for no type but its own.
        return parameter.type if parameter is not None and parameter.required and parameter.type in TYPES else ANY


def pass_on(
    draft: Draft,
    step: str,
    values: Mapping[str, Any],
    *,
    declared: Mapping[str, Parameter],
    what: str,
    types: Mapping[str, str],
) -> None:
    """Checks what is passed under `with` at field `step` against declared parameters: unknown, missing, unfit.

    `types` maps the field of each whole template to its static type.
    """
    for name, value in values.items():
        field = f"{step}.{name}"
        if name not in declared:
            draft.error(field, f"{what} has no parameter {quoted(name)}", did_you_mean(name, declared))
            continue
        found = types.get(field, "string" if isinstance(value, str) and "${" in value else kind_of(value))
        if not fits(found, declared[name].type):
            if found == "null" and not declared[name].required:
                continue
            fix = (
                f'quote it: "{value}"'
                if declared[name].type == "string" and kind_of(value) in ("integer", "number")
                else ""
            )
            draft.error(field, f"{what} wants {_said(declared[name].type)} for {quoted(name)}, not {_said(found)}", fix)
    for name, parameter in declared.items():
        if parameter.required and name not in values and f"{step}.{name}" not in draft.reader.lines:
            draft.error(step, f"{what} needs the parameter {quoted(name)}", f"add `{name}:` under `with:`")


def static_types(draft: Draft, actions: Mapping[str, ActionSignature]) -> dict[str, str]:
    """The static type of every template that is one `${cel}` alone, by its field; unreadable ones are `any`."""
    types = _Types(draft, actions)
    found: dict[str, str] = {}
    for site in draft.reader.sites:
        try:
            parts = () if site.bare else template_parts(site.text)
            if len(parts) == 1 and isinstance(parts[0], Expression):
                found[site.field] = types.expression(site, parts[0])
        except ExpressionError:
            found[site.field] = ANY
    return found


def _literals(draft: Draft, step: Step) -> None:
    """Values that are no template but still have to be a time or a list."""
    over = step.values.get("map")
    if step.kind == "map" and not isinstance(over, list) and not (isinstance(over, str) and "${" in over):
        draft.error(
            f"{step.field}.map", f"a list is expected, not {_said(kind_of(over))}", "such as ${inputs.robots} or [a, b]"
        )
    until = step.values.get("wait", {}).get("until") if step.kind == "wait" else None
    if isinstance(until, str) and "${" not in until:
        try:
            if datetime.datetime.fromisoformat(until).tzinfo is None:
                raise ValueError
        except ValueError:
            draft.error(
                f"{step.field}.wait.until",
                f"{quoted(until)} is not a time with its zone",
                "such as 2026-11-23T02:00:00Z",
            )


def _said(kind: str) -> str:
    words = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
    words |= {"array": "a list", "object": "an object", "null": "null", "any": "anything"}
    return words.get(kind, f"a {kind}")


def _fix(message: str) -> str:
    if re.search(r"overload for '_[-+*/%]_'.*(?:int, double|double, int)", message):
        return "whole numbers and floats do not mix: write 2.0 instead of 2, or double(x)"
    if re.search(r"token recognition error at: '= ?", message):
        return "equality is written =="
    if "undeclared reference to 'and'" in message or "undeclared reference to 'or'" in message:
        return "and is written &&, or is ||, not is !"
    if "token recognition error" in message or "mismatched input" in message or "extraneous input" in message:
        return "and is written &&, or is ||, not is !, text stands in quotes"
    unknown = re.search(r"undeclared reference to '(\w+)'", message)
    if unknown:
        return did_you_mean(unknown[1], FUNCTIONS, "this function does not exist")
    return ""


FUNCTIONS = (
    "size", "has", "matches", "startsWith", "endsWith", "contains", "all", "exists", "exists_one", "filter", "map", "int", "uint",
    "double", "string", "bool", "type", "dyn", "duration", "timestamp", "getHours", "getMinutes", "getSeconds", "getDate",
    "getDayOfWeek", "getDayOfMonth", "getMonth", "getFullYear", "getDayOfYear", "getMilliseconds",
)  # fmt: skip
