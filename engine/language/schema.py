"""The published JSON Schema, read off the grammar. `python -m engine.language` writes `schema.json` anew.

For editors: completion and a first check. The loader checks more (graph, names, types) and has the last word.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.language import grammar

FILE = Path(__file__).with_name("schema.json")


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a definition as YAML gives it to an editor."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:quarterdeck:definition:1",
        "title": "Quarterdeck workflow definition",
        **grammar.WORKFLOW.schema(),
        "$defs": {
            "field": grammar.INPUT.definition(),
            "steps": grammar.Steps().definition(),
            **{kind: _required(kind) for kind in grammar.KINDS},
        },
    }


def _required(kind: str) -> dict[str, Any]:
    schema = grammar.KINDS[kind].schema()
    return {**schema, "required": list(dict.fromkeys([kind, *schema.get("required", [])]))}


def text() -> str:
    """The schema as it stands in the file."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"
