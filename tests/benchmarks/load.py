"""Load by wrk (github.com/wg/wrk), a client in another process: one POST again and again, over so many connections at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.errors import CouldNotTell

CONNECTIONS = 8
NO_WRK = "wrk is not here: apt-get install wrk"
_DONE = """
done = function(summary, latency, requests)
  local errors = summary.errors
  local wrong = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  io.write(string.format('\\n{"calls": %d, "micros": %d, "wrong": %d, "p50": %d, "p99": %d}\\n',
    summary.requests, summary.duration, wrong, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Load:
    """What one round came to: calls a second, and milliseconds that half, or all but one in a hundred, took at most."""

    rate: float
    p50: float
    p99: float


def wrk_is_here() -> bool:
    return shutil.which("wrk") is not None


def post(url: str, headers: Mapping[str, str], body: str, seconds: float, connections: int = CONNECTIONS) -> Load:
    """One round. CouldNotTell where wrk is missing, or an answer was not a 2xx."""
    if not (wrk := shutil.which("wrk")):
        raise CouldNotTell("wrk is not here.", next_step="apt-get install wrk")
    told = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()]
    script = "\n".join(['wrk.method = "POST"', f"wrk.body = {json.dumps(body)}", *told, _DONE])
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        Path(file.name).write_text(script)
        command = [wrk, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "-s", file.name, url]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if found["wrong"] or not found["calls"]:
        raise CouldNotTell(f"{found['wrong']} of {found['calls']} calls of {url} were not answered well.", why=done.stdout[-600:])
    return Load(found["calls"] / found["micros"] * 1e6, found["p50"] / 1000, found["p99"] / 1000)
