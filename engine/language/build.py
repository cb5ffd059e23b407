"""Turns what was read into the structs of `engine/core/definition.py`: order made explicit, names made ids, defaults filled in.

Only called for a text without errors. What is made here is what a run is pinned to, so nothing may depend on where the
text came from: `digest` hashes the canonical form without lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.core import definition as core
from engine.language.signatures import ActionSignature, as_declared

_DEFAULTED = {"action": ("timeout", "heartbeat", "retry"), "observe": ("heartbeat", "retry")}
"""Which of `defaults` go into which kinds: how long a gate, a child or a whole observation takes is no technical time-out."""


def definition(values: Mapping[str, Any], actions: Mapping[str, ActionSignature]) -> core.Definition:
    """The checked definition with its digest."""
    steps: dict[str, core.Step] = {}
    defaults = values.get("defaults", {})
    _scope(values["steps"], "", steps, defaults, actions)
    failing = values.get("on_failure", {})
    _scope(failing.get("then", {}), "on_failure.", steps, defaults, actions)
    windows = values.get("windows")
    concurrency = values.get("concurrency")
    made = core.Definition(
        workflow=values["workflow"],
        version=values["version"],
        steps=steps,
        start=next(iter(values["steps"])),
        title=values.get("title", ""),
        description=values.get("description", ""),
        inputs={name: typed_field(field) for name, field in values.get("inputs", {}).items()},
        triggers=tuple(_trigger(trigger) for trigger in values.get("triggers", ())),
        concurrency=core.Concurrency(**concurrency) if concurrency else None,
        windows=core.Windows(**windows) if windows else None,
        attributes=values.get("attributes", {}),
        timeout=values.get("timeout"),
        escalate=core.Escalation(**defaults.get("escalate", {})),
        on_failure=core.OnFailure(
            compensate=failing.get("compensate", "reverse"),
            start="on_failure." + next(iter(failing["then"])) if failing.get("then") else None,
        ),
    )
    return msgspec.structs.replace(made, digest=digest(made))


def digest(made: core.Definition) -> str:
    """SHA-256 of the canonical form. Order is kept (two definitions that differ in it differ); lines do not count."""
    bare = {id: msgspec.structs.replace(step, line=0) for id, step in made.steps.items()}
    canonical = msgspec.structs.replace(made, digest="", steps=bare)
    return "sha256:" + hashlib.sha256(msgspec.json.encode(canonical)).hexdigest()


def typed_field(field: Mapping[str, Any]) -> core.FormField:
    """A field as the core knows it. Declared numbers are floats; a field with a default may be left out."""
    known = dict(field)
    if "items" in known:
        known["items"] = typed_field(known["items"])
    if "enum" in known:
        known["enum"] = tuple(_floats(value, field) for value in known["enum"])
    if "default" in known:
        known["default"] = _floats(known["default"], field)
        known.setdefault("required", False)
    return core.FormField(**known)


def _floats(value: Any, field: Mapping[str, Any]) -> Any:
    if field.get("type") == "array" and isinstance(value, list) and isinstance(field.get("items"), Mapping):
        return [_floats(item, field["items"]) for item in value]
    return as_declared(value, str(field.get("type", "any")))


def _scope(
    read: Mapping[str, Any],
    prefix: str,
    steps: dict[str, core.Step],
    defaults: Mapping[str, Any],
    actions: Mapping[str, ActionSignature],
) -> None:
    """The steps of one scope (the run's, a map's body, on_failure's) under their full ids, `next` filled in."""
    names = list(read)
    for name, following in zip(names, [*names, core.DONE][1:], strict=True):
        kind, values, line = read[name]["kind"], dict(read[name]["values"]), read[name]["line"]
        for key in _DEFAULTED.get(kind, ()):
            if key in defaults:
                values.setdefault(key, defaults[key])
        values.setdefault("next", following)
        steps[prefix + name] = _step(prefix, name, {"kind": kind, "line": line, "values": values}, actions)
        if kind == "map":
            _scope(values["do"], f"{prefix}{name}.", steps, defaults, actions)


def _step(prefix: str, name: str, read: Mapping[str, Any], actions: Mapping[str, ActionSignature]) -> core.Step:
    kind, values = read["kind"], read["values"]

    def to(target: str) -> str:
        return target if target in (core.DONE, core.FAIL) else prefix + target

    signature = actions.get(values.get(kind, "")) if kind in ("action", "observe") else None
    common: dict[str, Any] = {
        key: values[key] for key in ("title", "when", "timeout", "heartbeat", "key") if key in values
    }
    if kind == "child":
        common.pop("key")
    if "retry" in values:
        common["retry"] = _retry(values["retry"])
    if "escalate" in values:
        common["escalate"] = core.Escalation(**values["escalate"])
    if "compensate" in values:
        common["compensate"] = _compensate(values["compensate"])
    if "on_timeout" in values and kind != "gate":
        common["on_timeout"] = _outcome(values["on_timeout"], to)
    if signature is not None:
        common["effect"] = values.get("effect", signature.effect)
        common["reads_back"] = bool(getattr(signature, "reads_back", False))
    elif "effect" in values:
        common["effect"] = values["effect"]
    own: dict[str, Any] = {}
    if kind == "action":
        own["action"] = values["action"]
    elif kind == "choice":
        own["choice"] = tuple(core.Case(when=case["when"], goto=to(case["goto"])) for case in values["choice"])
        own["otherwise"] = to(values["else"])
    else:
        own[kind] = _OWN[kind](values, to, f"{prefix}{name}.")
    return core.Step(
        id=prefix + name,
        kind=kind,
        next=to(values["next"]),
        line=read["line"],
        with_=values.get("with", {}),
        catch=tuple(_renamed(core.Catch, catch, to) for catch in values.get("catch", ())),
        interrupt=tuple(_renamed(core.Interrupt, interrupt, to) for interrupt in values.get("interrupt", ())),
        **common,
        **own,
    )


def _renamed(struct: Any, values: Mapping[str, Any], to: Any) -> Any:
    known = dict(values)
    if "raise" in known:
        known["raise_"] = known.pop("raise")
    if "goto" in known:
        known["goto"] = to(known["goto"])
    return struct(**known)


def _outcome(values: Mapping[str, Any], to: Any) -> core.Outcome:
    made: core.Outcome = _renamed(core.Outcome, values, to)
    return made


def _retry(values: Mapping[str, Any]) -> core.Retry:
    return core.Retry(**values)


def _compensate(values: Mapping[str, Any]) -> core.Compensate:
    known = {"action": values["action"], "with_": values.get("with", {})}
    if "retry" in values:
        known["retry"] = _retry(values["retry"])
    if "timeout" in values:
        known["timeout"] = values["timeout"]
    return core.Compensate(**known)


def _gate(values: Mapping[str, Any], to: Any, _: str) -> core.Gate:
    evidence = values.get("evidence", {})
    shown = (
        dict(evidence) if isinstance(evidence, Mapping) else {evidence_name(path): f"${{{path}}}" for path in evidence}
    )
    known = {key: values[key] for key in ("kind", "exclude", "remind") if key in values}
    return core.Gate(
        question=values["gate"],
        seats=tuple(core.Seat(**seat) for seat in values["seats"]),
        expires=values["expires"],
        on_timeout=_outcome(values["on_timeout"], to),
        on_reject=_outcome(values["on_reject"], to),
        evidence=shown,
        form={name: typed_field(field) for name, field in values.get("form", {}).items()},
        **known,
    )


def evidence_name(path: str) -> str:
    """The name a path of evidence is shown under: `steps.preflight.output` is `preflight`."""
    return path.removeprefix("steps.").removesuffix(".output").replace(".", "_")


def _wait(values: Mapping[str, Any], to: Any, _: str) -> core.Wait:
    known = dict(values["wait"])
    if "for" in known:
        known["for_"] = known.pop("for")
    return core.Wait(**known)


def _observe(values: Mapping[str, Any], to: Any, _: str) -> core.Observe:
    known = {key: values[key] for key in ("every", "exposure", "fail", "min_samples", "hold") if key in values}
    return core.Observe(
        source=values["observe"],
        pass_=values["pass"],
        for_=values.get("for"),
        limits=core.Limits(**values.get("limits", {})),
        **known,
    )


def _map(values: Mapping[str, Any], to: Any, body: str) -> core.Map:
    known = {key: values[key] for key in ("parallel", "tolerate") if key in values}
    return core.Map(over=values["map"], start=body + next(iter(values["do"])), as_=values.get("as", "item"), **known)


def _child(values: Mapping[str, Any], to: Any, _: str) -> core.Child:
    known = {"on_cancel": values["on_cancel"]} if "on_cancel" in values else {}
    return core.Child(workflow=values["child"], key=values["key"], **known)


def _emit(values: Mapping[str, Any], to: Any, _: str) -> core.Emit:
    return core.Emit(event=values["emit"], subject=values.get("subject"))


_OWN = {"gate": _gate, "wait": _wait, "observe": _observe, "map": _map, "child": _child, "emit": _emit}


def _trigger(values: Mapping[str, Any]) -> core.Trigger:
    known = {key: value for key, value in values.items() if key not in ("with", "manual")}
    if "manual" in values:
        known["roles"] = values["manual"]["roles"]
    for name, kind in (("rate", core.Rate), ("burst", core.Burst)):
        if name in known:
            known[name] = kind(**known[name])
    return core.Trigger(with_=values.get("with", {}), **known)
