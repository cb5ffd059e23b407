"""Checks against what is declared: actions and their parameters, effects and keys, inputs, triggers, roles, windows."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from engine.language.cron import problem as cron_problem
from engine.language.draft import Draft, Step
from engine.language.findings import did_you_mean, quoted
from engine.language.signatures import ActionSignature, Declared
from engine.language.typecheck import fits, kind_of, pass_on, static_types

STRENGTH = {"read": 0, "idempotent": 1, "once": 2}


def check(
    draft: Draft, actions: Mapping[str, ActionSignature], roles: Collection[str] | None, windows: Collection[str] | None
) -> None:
    types = static_types(draft, actions)
    for _, step in draft.steps():
        _action(draft, step, actions, types)
    for name, field in draft.values.get("inputs", {}).items():
        _field(draft, f"inputs.{name}", field)
    for _, step in draft.steps():
        for name, field in (step.values.get("form", {}) if step.kind == "gate" else {}).items():
            _field(draft, f"{step.field}.form.{name}", field)
    _triggers(draft, types)
    if roles is not None:
        for field, role in _roles(draft):
            if role not in roles:
                draft.error(field, f"there is no role {quoted(role)}", did_you_mean(role, roles))
    if windows is not None:
        for index, name in enumerate(draft.values.get("windows", {}).get("honour", ())):
            if name not in windows:
                draft.error(
                    f"windows.honour.{index}", f"there is no window {quoted(name)}", did_you_mean(name, windows)
                )


def _action(draft: Draft, step: Step, actions: Mapping[str, ActionSignature], types: Mapping[str, str]) -> None:
    if step.kind in ("action", "observe") and step.kind in step.values:
        _call(draft, step, step.kind, actions, types)
    compensate = step.values.get("compensate", {})
    if "action" in compensate:
        inner = Step(step.name, step.id, "compensate", step.line, f"{step.field}.compensate", compensate, step.next)
        _call(draft, inner, "action", actions, types)


def _call(draft: Draft, step: Step, key: str, actions: Mapping[str, ActionSignature], types: Mapping[str, str]) -> None:
    """Checks the action named under `key` of a step, or of its compensation given as a step."""
    name, field, passing = step.values[key], f"{step.field}.{key}", f"{step.field}.with"
    signature = actions.get(name)
    if signature is None and actions:
        draft.error(
            field, f"there is no action {quoted(name)}", did_you_mean(name, actions, "see `qd workflows actions`")
        )
    declared = signature.effect if signature is not None else "idempotent"
    effect = step.values.get("effect", declared)
    if signature is not None and STRENGTH[effect] < STRENGTH[declared]:
        draft.error(
            f"{step.field}.effect",
            f"{quoted(name)} declares its effect {declared}; {effect} would hide that",
            f"write {declared}",
        )
    if step.kind == "action" and effect == "once" and "key" not in step.values:
        draft.error(
            f"{step.field}.key",
            "`effect: once` needs a key: after a crash the owner is asked by it whether it was done",
            "add `key:`, such as run.id + '/' + inputs.release",
        )
    if step.kind == "observe" and declared == "once":
        draft.error(field, f"{quoted(name)} acts once and can't be sampled", "observe an action that reads")
    if signature is not None:
        what = f"the action {quoted(name)}"
        pass_on(draft, passing, step.values.get("with", {}), declared=signature.inputs, what=what, types=types)


def _field(draft: Draft, at: str, field: Mapping[str, Any]) -> None:
    kind = field.get("type")
    if kind is None:
        return
    for key, kinds in {
        "pattern": ("string",),
        "minimum": ("integer", "number"),
        "maximum": ("integer", "number"),
    }.items():
        if key in field and kind not in kinds:
            draft.error(
                f"{at}.{key}", f"{quoted(key)} says nothing about {kind}", f"it belongs to {' or '.join(kinds)}"
            )
    if "items" in field:
        if kind != "array":
            draft.error(f"{at}.items", "only an array has items", "write `type: array`")
        _field(draft, f"{at}.items", field["items"])
    if "pattern" in field:
        try:
            re.compile(field["pattern"])
        except (re.error, OverflowError, RecursionError) as error:
            draft.error(f"{at}.pattern", f"this is no regular expression: {quoted(error)}")
            return
    if field.get("minimum", 0) > field.get("maximum", field.get("minimum", 0)):
        draft.error(f"{at}.minimum", f"the minimum {field['minimum']:g} is above the maximum {field['maximum']:g}")
    for index, value in enumerate(field.get("enum", ())):
        if not fits(kind_of(value), kind):
            draft.error(f"{at}.enum.{index}", _unfit(value, kind), _quote(value, kind))
    if "default" in field and not (isinstance(field["default"], str) and "${" in field["default"]):
        problem = value_problem(field["default"], field)
        if problem:
            draft.error(f"{at}.default", problem, _quote(field["default"], kind))


def value_problem(value: Any, field: Mapping[str, Any]) -> str:
    """Why a value does not fit a declared field; empty when it does."""
    kind = str(field.get("type", "any"))
    if value is None and field.get("required") is False:
        return ""
    if not fits(kind_of(value), kind):
        return _unfit(value, kind)
    if "enum" in field and value not in field["enum"]:
        return f"{quoted(value)} is none of {', '.join(str(one) for one in field['enum'])}"
    if kind in ("integer", "number"):
        if "minimum" in field and value < field["minimum"]:
            return f"{value} is below the minimum {field['minimum']:g}"
        if "maximum" in field and value > field["maximum"]:
            return f"{value} is above the maximum {field['maximum']:g}"
    if kind == "string" and "pattern" in field and not re.search(field["pattern"], value):
        return f"{quoted(value)} does not match {field['pattern']}"
    if kind == "array" and "items" in field:
        return next((problem for item in value if (problem := value_problem(item, field["items"]))), "")
    return ""


def _unfit(value: Any, kind: str) -> str:
    return f"{quoted(value)} is {kind_of(value)}, not {kind}"


def _quote(value: Any, kind: str) -> str:
    return f'quote it: "{value}"' if kind == "string" and isinstance(value, (int, float)) else ""


def _triggers(draft: Draft, types: Mapping[str, str]) -> None:
    inputs = draft.values.get("inputs", {})
    declared = {
        name: Declared(type=str(field.get("type", "any")), required=bool(field.get("required", "default" not in field)))
        for name, field in inputs.items()
    }
    if set(draft.declared("inputs")) - set(declared):
        return  # an input could not be read: what is passed can't be judged
    for index, trigger in enumerate(draft.values.get("triggers", ())):
        at = f"triggers.{index}"
        if "manual" not in trigger:
            pass_on(draft, f"{at}.with", trigger.get("with", {}), declared=declared, what="this workflow", types=types)
        if "cron" in trigger and (problem := cron_problem(trigger["cron"])):
            draft.error(f"{at}.cron", problem, "five fields: minute hour day month weekday, such as 0 3 * * 1-5")
        if "zone" in trigger and not known_zone(trigger["zone"]):
            draft.error(
                f"{at}.zone", f"there is no time zone {quoted(trigger['zone'])}", "such as UTC or Europe/Berlin"
            )


def known_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _roles(draft: Draft) -> Iterator[tuple[str, str]]:
    """Every role a definition names, with its field."""
    values = draft.values
    if "override" in values.get("windows", {}):
        yield "windows.override", values["windows"]["override"]
    if "role" in values.get("defaults", {}).get("escalate", {}):
        yield "defaults.escalate.role", values["defaults"]["escalate"]["role"]
    for index, trigger in enumerate(values.get("triggers", ())):
        for place, role in enumerate(trigger.get("manual", {}).get("roles", ())):
            yield f"triggers.{index}.manual.roles.{place}", role
    for _, step in draft.steps():
        if "role" in step.values.get("escalate", {}):
            yield f"{step.field}.escalate.role", step.values["escalate"]["role"]
        if "escalate" in step.values.get("on_timeout", {}):
            yield f"{step.field}.on_timeout.escalate", step.values["on_timeout"]["escalate"]
        for index, seat in enumerate(step.values.get("seats", ()) if step.kind == "gate" else ()):
            if "role" in seat:
                yield f"{step.field}.seats.{index}.role", seat["role"]
