"""MCP's tools/call through the gateway, to a real skill in its sandbox, against the same function on a FastMCP 4 server.

The same request (revision 2026-07-28) goes to both, in turns, one worker each. Beside the call, ours looks at a key and its scopes,
holds inputs and outputs against their schemas, adds the receipt, and counts. FastMCP lives in an environment of its own, made once.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from agent.errors import CouldNotTell
from agent.manifest_file import write_manifest
from tests.acceptance.harness import CODE, Home
from tests.acceptance.test_gateway import read_url
from tests.benchmarks.load import NO_WRK, Load, post, wrk_is_here
from tests.benchmarks.row import Row
from tests.builders import a_manifest
from tests.mcp_clients import a_call, call_headers

FASTMCP = "4.2.3"
TIMES = 6  # as many calls a second as FastMCP answers
ROUNDS, SECONDS = 3, 5.0
PURE = {"readOnly": True, "idempotent": True, "destructive": False}  # what the function is: it looks at its text and at nothing else


def measure(rounds: int = ROUNDS, seconds: float = SECONDS) -> list[Row]:
    """The time of a call where eight are under way (the inverse of the calls a second), and the slowest in a hundred."""
    if not wrk_is_here():
        return [Row("MCP tools/call", None, "ms/call", 1 / TIMES, against=NO_WRK), Row("MCP tools/call, p99", None, "ms", 1.0, against=NO_WRK)]
    python = environment()
    with tempfile.TemporaryDirectory(prefix="skillops-") as folder, ours(Path(folder)) as (url, headers), theirs(python) as reference:
        loads: dict[str, list[Load]] = {"ours": [], "FastMCP": []}
        for where, more in ((url, headers), (reference, {})):
            _warm(where, more)
        for _ in range(rounds):
            loads["FastMCP"].append(post(reference, call_headers(), json.dumps(a_call()), seconds))
            loads["ours"].append(post(url, {**call_headers(), **headers}, json.dumps(a_call()), seconds))
    rate, p50, p99 = (
        {name: statistics.median(getattr(load, what) for load in found) for name, found in loads.items()} for what in ("rate", "p50", "p99")
    )
    times = rate["ours"] / rate["FastMCP"]
    against = f"FastMCP {FASTMCP}; {rate['ours']:.0f} calls/s against {rate['FastMCP']:.0f}: {times:.1f} times, wanted ≥ {TIMES}"
    told = {"ours": {"p50": p50["ours"], "p99": p99["ours"]}, f"FastMCP {FASTMCP}": {"p50": p50["FastMCP"], "p99": p99["FastMCP"]}}
    return [
        Row("MCP tools/call", 1000 / rate["ours"], "ms/call", 1 / TIMES, "ratio", 1000 / rate["FastMCP"], against, told),
        Row("MCP tools/call, p99", p99["ours"], "ms", 1.0, "ratio", p99["FastMCP"], f"FastMCP {FASTMCP}"),
    ]


def environment() -> Path:
    """The Python that has FastMCP: of an environment in the user's cache, made where it is not there. CouldNotTell where it cannot be."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skillops-bench" / f"fastmcp-{FASTMCP}"
    python, made = folder / "bin" / "python", folder / "made"
    if not made.exists():
        venv.create(folder, with_pip=True, clear=True)
        packages = [f"fastmcp=={FASTMCP}", "uvicorn", "uvloop", "httptools"]
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], capture_output=True, text=True, check=False)
        if done.returncode:
            raise CouldNotTell("FastMCP cannot be installed.", why=done.stderr[-600:], next_step="See that pip reaches a package index.")
        made.touch()
    return python


@contextmanager
def ours(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of `skillops serve` with the skill behind it, and the headers of a key that may call it."""
    home = Home.founded(folder / "skills")
    files = {"skill.yaml": write_manifest(a_manifest(annotations=PURE)), "skill.py": CODE.encode()}
    home.commit({f"skills/word-count/{path}": data for path, data in files.items()})
    home.run()
    command = [sys.executable, "-m", "agent.cli", "serve", "--port", "0", "--json", "--repository", str(home.path)]
    unlimited = {**os.environ, "SKILLOPS_GATEWAY_RATE": "0"}  # one key makes all the calls here; by default it may make 500 a second
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=unlimited)
    try:
        url = read_url(process)
        made = [sys.executable, "-m", "agent.cli", "key", "create", "--scope", "invoke", "--json", "--repository", str(home.path)]
        key = json.loads(subprocess.run(made, capture_output=True, check=True).stdout)["key"]
        headers = {"authorization": f"Bearer {key}"}
        yield f"{url}/mcp", headers
        usage = httpx.get(f"{url}/skills/word-count", headers=headers, timeout=30).json()["usage"]
        if usage["errors"]:
            raise CouldNotTell(f"{usage['errors']} of {usage['calls']} calls of the skill failed.")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        home.close()


@contextmanager
def theirs(python: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([python, Path(__file__).with_name("fastmcp_server.py"), str(port)])
    try:
        until = time.monotonic() + 60
        while True:
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > until:
                raise CouldNotTell("The FastMCP server does not start.")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(30)


def _warm(url: str, headers: Mapping[str, str]) -> None:
    """What is loaded, and started, at the first call is there before anything is measured; and both answer the same."""
    for _ in range(20):
        answer: dict[str, Any] = httpx.post(url, json=a_call(), headers={**call_headers(), **headers}, timeout=60).json()
        if answer.get("result", {}).get("structuredContent") != {"words": 2}:
            raise CouldNotTell(f"{url} does not answer as it should.", why=json.dumps(answer)[:600])
