"""Node and npm on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from agent.errors import CouldNotTell
from agent.ports import Mount

HERE = Path(__file__).parent
SECONDS = 60.0
FIX = "Install Node 20 or newer with npm (apt-get install nodejs npm, or nodejs.org)."


@cache
def node() -> str:
    """The path of Node, the same inside of the sandbox; CouldNotTell with the fix where it is missing."""
    if path := shutil.which("node") or shutil.which("nodejs"):
        return os.path.realpath(path)
    raise CouldNotTell("Node is not installed here.", next_step=FIX)


@cache
def version() -> str:
    return said(node(), "--version").stdout.decode().strip()


def base_mounts() -> tuple[Mount, ...]:
    """Node's installation, where the system's root does not hold it already."""
    path = Path(node())
    return () if path.is_relative_to("/usr") else (Mount(source=path, target=str(path)),)


def said(*command: str, stdin: bytes = b"", cwd: Path | None = None, seconds: float = SECONDS) -> subprocess.CompletedProcess[bytes]:
    """What a program says that only reads the skill. Raises CouldNotTell where it cannot be run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NODE_", "ESLINT_"))}
    try:
        return subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, env=environment, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CouldNotTell(f"{Path(command[0]).name} could not be run.", why=str(error), next_step=FIX) from None
