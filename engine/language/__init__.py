"""The definition language: strict YAML in, checked definitions out; expressions; the published JSON Schema."""

from engine.core.evaluator import ExpressionError
from engine.language.expressions import Expressions
from engine.language.findings import DefinitionError, Finding
from engine.language.loader import Reading, World, load, read
from engine.language.schema import json_schema
from engine.language.signatures import ActionSignature, Declared, Signature

__all__ = [
    "ActionSignature",
    "Declared",
    "DefinitionError",
    "ExpressionError",
    "Expressions",
    "Finding",
    "Reading",
    "Signature",
    "World",
    "json_schema",
    "load",
    "read",
]
