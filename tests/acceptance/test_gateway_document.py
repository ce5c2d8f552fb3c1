"""The gateway keeps to its own OpenAPI document: schemathesis calls every operation with right and wrong data, and finds nothing.

The examples are few and come from a seed, so that a run is short and the next the same; `--max-examples` looks longer.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.serving import a_gateway, a_skill

pytestmark = pytest.mark.slow

# `positive_data_acceptance` is left out: that a text is base64, holds a manifest or has no control characters is no matter of a schema.
# A deadline that is too short is answered with 504, which is no fault of the gateway; nor is it that no model
# is set, which a task for the agent is answered with (503).
CONFIG = """
[checks]
positive_data_acceptance.enabled = false

[[operations]]
include-path-regex = "/execute$"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "504"]

[[operations]]
include-path-regex = "^/conversations"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""


def test_schemathesis_finds_nothing_over_the_whole_document(tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    with a_skill() as skill, a_gateway(tmp_path / "place", skill, skills=2) as gateway:
        command = [Path(sys.executable).parent / "schemathesis", "--config-file", config, "run", f"{gateway.url}/openapi.json"]
        command += ["-H", f"Authorization: Bearer {gateway.key}", "--phases", "examples,coverage,fuzzing"]
        command += ["--max-examples", "10", "--seed", "7", "--generation-database", "none", "--continue-on-failure", "--no-color"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout or "passed" in done.stdout, done.stdout[-2000:]
