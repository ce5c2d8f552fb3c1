"""Programs of the Go module proxy that tests run, installed by version into the cache where they are not there yet."""

from __future__ import annotations

from pathlib import Path

from tests import installing


def installed(module: str, version: str) -> Path:
    """The program of a module's package, like github.com/nektos/act."""
    name = module.rpartition("/")[2]
    return installing.installed(f"{name}-{version}", name, lambda folder: installing.ran(["go", "install", f"{module}@{version}"], GOBIN=str(folder)))
