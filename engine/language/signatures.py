"""What the loader has to know of an action. `engine.capabilities.ports.Action` is one; tests make their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

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
