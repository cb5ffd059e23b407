"""Typed values from people: the inputs of a run and the forms of gates, checked against their declared fields."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.core.definition import FormField

Json = Any

LONGEST_TEXT = 32_768
"""A pattern is never tried on more than this: matching time grows with the text."""


class FormError(Exception):
    """A value does not fit its field. `field` names it, dotted (`waves[0].percent`)."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


def fields_of(plain: Mapping[str, Json]) -> dict[str, FormField]:
    """A form as an event carries it, typed again."""
    return msgspec.convert(dict(plain), dict[str, FormField])


def checked(
    fields: Mapping[str, FormField], given: Mapping[str, Json], defaults: Mapping[str, Json]
) -> dict[str, Json]:
    """The values with defaults filled in, numbers as floats. Raises FormError for the first that does not fit."""
    for name in given:
        if name not in fields:
            known = ", ".join(sorted(fields)) or "none"
            raise FormError(name, f"no such field; known are: {known}")
    out: dict[str, Json] = {}
    for name, field in fields.items():
        if name in given and given[name] is not None:
            out[name] = _value(name, field, given[name])
        elif name in defaults and defaults[name] is not None:
            out[name] = _value(name, field, defaults[name])
        elif field.required:
            raise FormError(name, "is required")
    return out


def _value(name: str, field: FormField, value: Json) -> Json:
    match field.type:
        case "string":
            value = _text(name, field, value)
        case "boolean":
            if not isinstance(value, bool):
                raise FormError(name, "must be true or false")
        case "integer" | "number":
            value = _number(name, field, value)
        case "array":
            if not isinstance(value, (list, tuple)):
                raise FormError(name, "must be a list")
            item = field.items
            value = [_value(f"{name}[{at}]", item, one) for at, one in enumerate(value)] if item else list(value)
        case "object":
            if not isinstance(value, dict):
                raise FormError(name, "must be an object")
    if field.enum is not None and value not in field.enum:
        raise FormError(name, "must be one of: " + ", ".join(str(one) for one in field.enum))
    return value


def _text(name: str, field: FormField, value: Json) -> str:
    if not isinstance(value, str):
        raise FormError(name, "must be text")
    if len(value) > LONGEST_TEXT:
        raise FormError(name, f"is longer than {LONGEST_TEXT} characters")
    if field.pattern is not None and re.search(field.pattern, value) is None:
        raise FormError(name, f"must match {field.pattern}")
    return value


def _number(name: str, field: FormField, value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise FormError(name, "must be a number")
    if field.type == "integer" and value != int(value):
        raise FormError(name, "must be a whole number")
    if field.minimum is not None and value < field.minimum:
        raise FormError(name, f"must be at least {field.minimum:g}")
    if field.maximum is not None and value > field.maximum:
        raise FormError(name, f"must be at most {field.maximum:g}")
    return int(value) if field.type == "integer" else float(value)
