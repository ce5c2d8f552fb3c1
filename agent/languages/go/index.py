"""When a module's version is from, as Go's proxy tells it (the `.info` of go.dev/ref/mod, "GOPROXY protocol"). That is the time of the commit."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from agent.domain.package import Package
from agent.languages.go.locking import listed


class GoIndex:
    """`Index` of Go's modules, at the proxy that `go env` names."""

    def released(self, packages: Sequence[Package]) -> Mapping[Package, datetime | None]:
        with tempfile.TemporaryDirectory(prefix="skillops-") as cache:
            told = listed([f"{package.name}@{package.version}" for package in packages], Path(cache)) if packages else {}
        return {package: told[package.name][1] if package.name in told else None for package in packages}
