"""What the core asks of an expression language. The evaluator is passed in, so that the core imports none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Json = Any


class ExpressionError(Exception):
    """An expression could not be evaluated. What depended on it closes: a gate, a pass, a case is never taken."""


class Evaluator(Protocol):
    def value(self, template: Json, env: Mapping[str, Json]) -> Json:
        """`template` with each `${cel}` in it replaced. A text that is one `${cel}` alone keeps the value's type.

        Raises ExpressionError.
        """
        ...

    def truth(self, cel: str, env: Mapping[str, Json]) -> bool:
        """The value of bare CEL when it is a boolean; anything else, an error included, raises ExpressionError."""
        ...
