"""A skill's schemas as the tools that models are given, in the form of each who asks. Pure."""

from __future__ import annotations

from typing import Any, Literal, get_args

from agent.domain.skill import Manifest

Format = Literal["openai", "openai-responses", "anthropic", "mcp"]
FORMATS: tuple[Format, ...] = get_args(Format)


def tool(manifest: Manifest, form: Format) -> dict[str, Any]:
    """One tool: of OpenAI's chat completions or responses, of Anthropic's messages, or of MCP's tools/list."""
    name, description, inputs = manifest.name, manifest.description, manifest.inputs
    match form:
        case "openai":
            return {"type": "function", "function": {"name": name, "description": description, "parameters": inputs}}
        case "openai-responses":
            return {"type": "function", "name": name, "description": description, "parameters": inputs, "strict": False}
        case "anthropic":
            return {"name": name, "description": description, "input_schema": inputs}
        case "mcp":
            marks = manifest.annotations
            hints = {"readOnlyHint": marks.readOnly, "idempotentHint": marks.idempotent, "destructiveHint": marks.destructive}
            open_world = {"openWorldHint": bool(manifest.permissions.network)}
            return {
                "name": name, "description": description, "inputSchema": inputs, "outputSchema": manifest.outputs, "annotations": hints | open_world,
            }  # fmt: skip
