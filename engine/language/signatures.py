"""What the loader has to know of an action. `engine.capabilities.ports.Action` is one; tests make their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from msgspec import Struct, field


class Parameter(Protocol):
    """A typed parameter or output, in the words of JSON Schema or `any`."""

    @property
    def type(self) -> str: ...
    @property
    def required(self) -> bool: ...


class ActionSignature(Protocol):
    """An action's declared inputs, outputs and effect. Empty `outputs` mean: not declared, anything may be there."""

    @property
    def inputs(self) -> Mapping[str, Parameter]: ...
    @property
    def outputs(self) -> Mapping[str, Parameter]: ...
    @property
    def effect(self) -> Literal["read", "idempotent", "once"]: ...


class Declared(Struct, frozen=True, kw_only=True):
    """A typed parameter by itself."""

    type: str = "any"
    required: bool = True


class Signature(Struct, frozen=True, kw_only=True):
    """An action's signature by itself, for tools that know no implementation."""

    inputs: dict[str, Declared] = field(default_factory=dict)
    outputs: dict[str, Declared] = field(default_factory=dict)
    effect: Literal["read", "idempotent", "once"] = "idempotent"
    reads_back: bool = False


def as_declared(value: Any, kind: str) -> Any:
    """A value with a whole number made a float where a number is declared: CEL does not multiply one by the other."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if kind == "number" and whole else value


def output_of(signature: ActionSignature, output: Any) -> Any:
    """An action's answer as expressions may rely on it: declared numbers are floats. To be called where answers come in."""
    if not isinstance(output, Mapping):
        return output
    declared = signature.outputs
    return {
        name: as_declared(value, declared[name].type) if name in declared else value for name, value in output.items()
    }
