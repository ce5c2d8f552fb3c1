"""The verb for desktop clients: mcp."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit, opened


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Serve")(mcp)


def mcp(
    stdio: Annotated[bool, typer.Option("--stdio", help="Serve MCP on standard input and output, until the input ends.")] = False,
    work: Annotated[bool, typer.Option("--work", help="With --stdio: work on requests too; otherwise `skillops run` does.")] = False,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Serve the skills to a desktop client over MCP; without --stdio, show how a client is set up.

    Example: skillops mcp --stdio
    """
    if not stdio:
        place = opened(repository, as_json=True)
        document = _configuration(place.checkout.root)
        emit(document, as_json, f"{_STDIO}\n{json.dumps(document['stdio'], indent=2)}\n\n{_HTTP}\n{json.dumps(document['http'], indent=2)}")
        return
    from agent import wiring
    from agent.gateway import mcp_stdio

    gateway = wiring.gateway_of(opened(repository, as_json=True), "127.0.0.1", work=work)
    if gateway.worker:
        gateway.worker.start()
    try:
        mcp_stdio.run(gateway, gateway.place.parts.settings.gateway_url or wiring.GATEWAY)
    finally:
        if gateway.worker:
            gateway.worker.stop()


_STDIO = "For a client that starts its servers itself:"
_HTTP = "For one that takes an address, while `skillops serve` runs (`skillops key create --scope invoke --scope request` makes the key):"


def _configuration(root: Path) -> dict[str, object]:
    """What desktop clients have in their file of MCP servers."""
    program = Path(sys.executable).with_name("skillops")
    command = str(program) if program.exists() else "skillops"
    return {
        "stdio": {"mcpServers": {"skillops": {"command": command, "args": ["mcp", "--stdio", "--repository", str(root)]}}},
        "http": {"mcpServers": {"skillops": {"type": "http", "url": "http://127.0.0.1:8765/mcp", "headers": {"Authorization": "Bearer KEY"}}}},
    }
