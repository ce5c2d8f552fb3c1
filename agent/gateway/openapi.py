"""The OpenAPI document: the gateway's own routes and, for each skill that can be called, its execute route with its real schemas. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from agent.domain.invocation import Receipt
from agent.domain.schema import Json, Schema
from agent.domain.skill import Manifest
from agent.gateway.problems import KIND

_TEXT = {"type": "string"}
PROBLEM: Schema = {
    "type": "object",
    "description": "A problem (RFC 9457). `code` is a stable word, the same as the command's; `reason` is a skill's own.",
    "properties": {
        **dict.fromkeys(("type", "title", "detail", "code", "next_step", "request_id", "reason"), _TEXT),
        "status": {"type": "integer"}, "exit_code": {"type": "integer"},
    },
    "required": ["type", "title", "status", "detail", "code", "next_step", "exit_code", "request_id"],
}  # fmt: skip
_DEADLINE = {"type": ["number", "null"], "exclusiveMinimum": 0, "exclusiveMaximum": 1e6, "description": "Seconds that it may take."}
_CONTEXT = {"type": "object", "properties": {"deadline": _DEADLINE}}


def document(base: dict[str, Any], manifests: Iterable[Manifest], revision: int, open_paths: Container[str] = ()) -> dict[str, Any]:
    """`base` (of the routes that are there for every skill) with the skills at `revision` of the registry. `open_paths` need no key."""
    paths, schemas = dict(base["paths"]), dict(base.get("components", {}).get("schemas", {}))
    schemas["Problem"], schemas["Receipt"] = PROBLEM, _receipt()
    for manifest in manifests:
        inputs, outputs = f"{manifest.name}.inputs", f"{manifest.name}.outputs"
        schemas[inputs], schemas[outputs] = embedded(manifest.inputs, inputs), embedded(manifest.outputs, outputs)
        paths[f"/skills/{manifest.name}/execute"] = {"post": _operation(manifest, inputs, outputs)}
    return {
        **base,
        "info": {**base["info"], "version": f"{base['info']['version']}+registry.{revision}"},
        "paths": {path: _with_problems(item, path in open_paths) for path, item in paths.items()},
        "components": {"schemas": schemas, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}],
    }


def _receipt() -> Schema:
    """It holds receipts: those of the calls that the skill made."""
    told = Receipt.model_json_schema(ref_template="#/components/schemas/{model}")
    return told["$defs"]["Receipt"] if "$defs" in told else told


def embedded(schema: Json, name: str) -> Json:
    """A skill's schema as it lies in the document: what it refers to in itself lies below its own name there."""
    if isinstance(schema, list):
        return [embedded(item, name) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: f"#/components/schemas/{name}{value[1:]}"
        if key == "$ref" and isinstance(value, str) and value.startswith("#")
        else embedded(value, name)
        for key, value in schema.items()
        if key not in ("$id", "$schema")
    }


def _operation(manifest: Manifest, inputs: str, outputs: str) -> dict[str, Any]:
    asked = {
        "type": "object", "required": ["inputs"], "additionalProperties": False,
        "properties": {"inputs": {"$ref": f"#/components/schemas/{inputs}"}, "context": _CONTEXT},
    }  # fmt: skip
    answered = {
        "type": "object", "required": ["success", "outputs", "receipt"],
        "properties": {
            "success": {"const": True}, "outputs": {"$ref": f"#/components/schemas/{outputs}"}, "receipt": {"$ref": "#/components/schemas/Receipt"},
        },
    }  # fmt: skip
    examples = {f"example {number}": {"value": {"inputs": each.inputs}} for number, each in enumerate(manifest.examples, 1)}
    return {
        "tags": ["execute"], "operationId": f"execute-{manifest.name}", "summary": f"{manifest.name} {manifest.version}",
        "description": manifest.description, "deprecated": manifest.status == "deprecated",
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked, "examples": examples}}},
        "responses": {"200": {"description": "The outputs, with their receipt.", "content": {"application/json": {"schema": answered}}}},
    }  # fmt: skip


def _with_problems(item: dict[str, Any], is_open: bool) -> dict[str, Any]:
    """Every operation may answer a problem, in place of FastAPI's own form; those that are open say so."""
    problem = {"description": "A problem.", "content": {KIND: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    done = {}
    for method, operation in item.items():
        responses = {status: told for status, told in operation["responses"].items() if status != "422"}
        done[method] = {**operation, "responses": {**responses, "default": problem}, **({"security": []} if is_open else {})}
    return done
