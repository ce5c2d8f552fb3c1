"""GET /docs: the OpenAPI document as a page that needs no script and no other site. Pure."""

from __future__ import annotations

import json
from html import escape
from typing import Any

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff; }}
pre {{ background: #f4f4f4; padding: .8rem; overflow-x: auto; }} summary {{ cursor: pointer; }} code {{ font-size: .95em; }}
</style></head><body>
<h1>{title} {version}</h1>
<p>Send <code>Authorization: Bearer KEY</code> with every call; <code>skillops key create</code> makes a key. The whole document is at
<a href="/openapi.json">/openapi.json</a>.</p>
{sections}
</body></html>
"""


def page(document: dict[str, Any]) -> str:
    """The page; skills first."""
    by_tag: dict[str, list[str]] = {"execute": []}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            by_tag.setdefault(operation.get("tags", ["other"])[0], []).append(_operation(method, path, operation, document))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(parts)}" for tag, parts in by_tag.items() if parts)
    return _PAGE.format(title=escape(document["info"]["title"]), version=escape(document["info"]["version"]), sections=sections)


def _operation(method: str, path: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    shown = [f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"]
    if body:
        shown.append(f"<h3>Body</h3>{_pre(_plain(body['schema'], document))}")
    for name, example in body.get("examples", {}).items():
        shown.append(f"<h3>{escape(name.capitalize())}</h3>{_pre(example['value'])}")
    for status, told in operation["responses"].items():
        schema = told.get("content", {}).get("application/json", {}).get("schema")
        if status.startswith("2") and schema:
            shown.append(f"<h3>Answer</h3>{_pre(_plain(schema, document))}")
    return f"<details><summary><code>{method.upper()} {escape(path)}</code></summary>{''.join(shown)}</details>"


def _plain(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """One level of what it refers to, in its place."""
    schemas = document["components"]["schemas"]

    def put(part: Any) -> Any:
        name = part.get("$ref", "").removeprefix("#/components/schemas/") if isinstance(part, dict) else ""
        return schemas.get(name, part)

    schema = put(schema)
    properties = {name: put(part) for name, part in schema.get("properties", {}).items()}
    return {**schema, "properties": properties} if properties else schema


def _pre(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"
