"""`connector.dry`: what a call to a system would send, found out without sending it. Reads still go through.

Only for ports of which it is known that they honour dry mode (`engine.capabilities.dry`): what speaks HTTP through the
shared client, and a third party's port that says so with `dry_mode = True`. Commands on hosts do not.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from engine.capabilities import dry
from engine.capabilities.desk import Args, Desk, DeskVerb, Json, Refusal, Short
from engine.capabilities.ports import ActionError, Updates
from engine.capabilities.systems import ports as systems
from engine.contract.dry import CallForm, DryReport, WouldView

CALLS: Mapping[str, type] = {
    "updates": Updates,
    "tickets": systems.Tickets,
    "paging": systems.Paging,
    "alerts": systems.Alerts,
    "registry": systems.Registry,
    "labels": systems.Labels,
    "objects": systems.Objects,
    "decisions": systems.Decisions,
    "notify": systems.Notify,
}
OURS = ("connectors",)
"""Packages whose ports of these capabilities go through the shared client."""
KEY = "dry-run"
_SELF_FILLED = ("self", "key", "in_doubt", "told")


class DryArgs(Args, frozen=True):
    """`call` is `capability.method`, such as `tickets.open` (empty: which there are); `args` what it asks for."""

    call: Short = ""
    args: Annotated[dict[str, Json], Meta(max_length=40)] = {}


def forms(capabilities: Sequence[str]) -> tuple[CallForm, ...]:
    """The calls that can be tried, and what each asks for."""
    found = [
        _form(f"{name}.{method}", CALLS[name])
        for name in capabilities
        if name in CALLS
        for method in _methods(CALLS[name])
    ]
    return tuple(one for one in found if "a file" not in one.asks.values())


def _methods(protocol: type) -> list[str]:
    return [
        name
        for name, each in vars(protocol).items()
        if inspect.iscoroutinefunction(each) and name not in ("check", "pull")
    ]


def _asked(call: str, protocol: type) -> dict[str, tuple[Any, bool]]:
    """Parameter -> (type, needed), without those that are filled in by themselves."""
    method = getattr(protocol, call.partition(".")[2])
    hints = typing.get_type_hints(method)
    return {
        name: (hints.get(name, Any), each.default is inspect.Parameter.empty)
        for name, each in inspect.signature(method).parameters.items()
        if name not in _SELF_FILLED
    }


def _form(call: str, protocol: type) -> CallForm:
    asks = {
        name: f"{_word(hint)}{'' if needed else ', may be left out'}"
        for name, (hint, needed) in _asked(call, protocol).items()
    }
    said = inspect.getdoc(getattr(protocol, call.partition(".")[2])) or ""
    return CallForm(call=call, asks=asks, says=" ".join(said.split("\n\n", maxsplit=1)[0].split()))


def _word(hint: Any) -> str:
    """A type as people write values of it."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        fields = ", ".join(one.name for one in msgspec.structs.fields(hint))
        return f"an object with {fields}"
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_word(one) for one in typing.get_args(hint) if one is not type(None))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "an object"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return "a list"
    if origin is typing.Literal:
        return " or ".join(str(one) for one in typing.get_args(hint))
    return {
        "str": "text",
        "int": "a number",
        "float": "a number",
        "bool": "true or false",
        "bytes": "text",
        "Path": "a file",
    }.get(getattr(hint, "__name__", ""), "a value")


async def _dry(desk: Desk, record: Any, args: DryArgs) -> Json:
    capability, _, method = args.call.partition(".")
    known = forms(_serves(desk, record))
    if not args.call:
        return {"calls": msgspec.to_builtins(known)}
    if args.call not in {one.call for one in known}:
        fix = f"there are: {', '.join(one.call for one in known)}" if known else "nothing it serves can be tried dry"
        desk.refuse(
            "bad_input", f"{record.id} has no call {args.call!r} that can be tried without sending", fix, "args.call"
        )
    port = desk.port(f"{capability}@{record.id}")
    if type(port).__module__.partition(".")[0] not in OURS and getattr(port, "dry_mode", False) is not True:
        desk.refuse("no_dry_mode", f"it is not known that {record.id} holds writes back in dry mode; nothing was tried")
    given = _converted(args, CALLS[capability])
    accepted = inspect.signature(getattr(port, method)).parameters
    if "key" in accepted:
        given.setdefault("key", KEY)
    result: Json = None
    error = ""
    with dry.recording() as would:
        try:
            result = await getattr(port, method)(**given)
        except dry.NotSent:
            pass
        except ActionError as failed:
            error = f"{failed.error}: {failed.message}"
    rows = tuple(msgspec.convert(msgspec.to_builtins(one), WouldView) for one in would)
    shown = msgspec.to_builtins(result) if not rows and not error else None
    return msgspec.to_builtins(DryReport(system=record.id, call=args.call, would=rows, result=shown, error=error))


def _serves(desk: Desk, record: Any) -> tuple[str, ...]:
    system = desk.port("systems").connections.systems.get(record.id)
    return tuple(system.serves) if system is not None else ()


def _converted(args: DryArgs, protocol: type) -> dict[str, Any]:
    """The arguments as the call takes them. Raises Refusal that names the one that is wrong."""
    asked = _asked(args.call, protocol)
    asks = "; ".join(f"{name}: {how}" for name, how in _form(args.call, protocol).asks.items())
    for name in args.args:
        if name not in asked:
            raise Refusal(
                "bad_input", f"{args.call} has no {name!r}", fix=f"it asks for {asks}", field=f"args.args.{name}"
            )
    found: dict[str, Any] = {}
    for name, (hint, needed) in asked.items():
        if name not in args.args:
            if needed:
                raise Refusal(
                    "missing_field", f"{args.call} needs {name}", fix=f"it asks for {asks}", field=f"args.args.{name}"
                )
            continue
        if getattr(hint, "__name__", "") == "Path":
            raise Refusal("bad_input", f"{args.call} moves a file; that can't be tried dry", field=f"args.args.{name}")
        value = args.args[name]
        if hint is bytes and isinstance(value, str):
            found[name] = value.encode()
            continue
        try:
            found[name] = msgspec.convert(value, hint, strict=False)
        except msgspec.ValidationError as error:
            raise Refusal(
                "bad_input", f"{name}: {error}", fix=f"it asks for {asks}", field=f"args.args.{name}"
            ) from error
    return found


VERBS: tuple[DeskVerb, ...] = (
    DeskVerb(
        name="connector.dry", args=DryArgs, says="try a call to a system without sending it", kind="system", do=_dry
    ),
)
