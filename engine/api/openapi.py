"""The interface described: OpenAPI 3.1 generated from the very structs that are read and written."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.api.verbs import VERBS, Request
from engine.contract.common import CommandAnswer, Problem
from engine.contract.system import Changes, ValidationFinding

_PROBLEM = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def describe(reads: dict[str, tuple[Any, str, tuple[str, ...]]], version: str) -> dict[str, Any]:
    """`reads`: path -> (type of the answer, one sentence, names of its query parameters)."""
    types: list[Any] = [kind for kind, _, _ in reads.values()]
    types += [
        Problem,
        CommandAnswer,
        Request,
        Changes,
        list[ValidationFinding],
        *(verb.args for verb in VERBS.values()),
    ]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema = dict(zip([str(kind) for kind in types], schemas, strict=True))
    paths: dict[str, Any] = {}
    for path, (kind, says, queries) in reads.items():
        named = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        paths[path] = {
            "get": {
                "summary": says,
                "parameters": [
                    *({"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in named),
                    *({"name": n, "in": "query", "schema": {"type": "string"}} for n in queries),
                ],
                "responses": _responses(schema[str(kind)]),
            }
        }
    for verb in VERBS.values():
        says = (verb.args.__doc__ or "").strip().split("\n")[0]
        body = {
            "allOf": [
                schema[str(Request)],
                {"type": "object", "properties": {"args": schema[str(verb.args)]}},
            ]
        }
        paths[f"/v1/commands/{verb.name}"] = {
            "post": {
                "summary": says if not says.startswith(f"{verb.args.__name__}(") else f"May {verb.says}.",
                "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
                "responses": _responses(schema[str(CommandAnswer)]),
            }
        }
    paths["/v1/workflows/validate"] = {
        "post": {
            "summary": "Checks a definition and registers nothing. The body is the YAML text.",
            "requestBody": {"required": True, "content": {"application/yaml": {"schema": {"type": "string"}}}},
            "responses": _responses(schema[str(list[ValidationFinding])]),
        }
    }
    paths["/v1/feed"] = {
        "get": {
            "summary": "Server-sent events; id = journal sequence. Resumes after Last-Event-ID (or `after`).",
            "parameters": [
                {"name": "mode", "in": "query", "schema": {"enum": ["changes", "events"]}},
                {"name": "after", "in": "query", "schema": {"type": "integer"}},
                {"name": "run", "in": "query", "schema": {"type": "string"}},
            ],
            "responses": {
                "200": {"description": "the stream", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
            },
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Quarterdeck engine", "version": version},
        "paths": paths,
        "components": {"schemas": components},
    }


def _responses(schema: dict[str, Any]) -> dict[str, Any]:
    problem = {"description": "refused, and why", "content": _PROBLEM}
    return {
        "200": {"description": "done", "content": {"application/json": {"schema": schema}}},
        **{str(status): problem for status in (400, 403, 404, 409, 413, 422, 503)},
    }
