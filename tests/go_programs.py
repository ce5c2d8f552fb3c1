"""Programs of the Go module proxy that tests run, installed by version into the cache where they are not there yet."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.engines import missing


def installed(module: str, version: str) -> Path:
    """The program of a module's package, like github.com/nektos/act."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skillops" / "tests" / f"{module.rpartition('/')[2]}-{version}"
    program = home / module.rpartition("/")[2]
    if not program.is_file():
        env = {**os.environ, "GOBIN": str(home)}
        done = subprocess.run(["go", "install", f"{module}@{version}"], env=env, capture_output=True, text=True, check=False, timeout=500)
        if not program.is_file():
            missing(f"{module} {version} cannot be installed: {done.stderr[-300:]}")
    return program
