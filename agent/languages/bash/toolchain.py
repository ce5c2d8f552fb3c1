"""Bash and its tools on this machine."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

from agent.errors import CouldNotTell

SECONDS = 60.0
FIXES = {
    "bash": "apt-get install bash, or the package of your system.",
    "curl": "apt-get install curl, or the package of your system.",
    "jq": "apt-get install jq, or the package of your system.",
    "shellcheck": "apt-get install shellcheck, or the package of your system.",
}


def program(name: str) -> str:
    """The path of a tool that Bash skills need; CouldNotTell with the fix where it is missing."""
    if path := shutil.which(name, path="/usr/local/bin:/usr/bin:/bin"):  # what the sandbox shows too
        return path
    raise CouldNotTell(f"{name} is not installed here, and Bash skills need it.", next_step=FIXES[name])


@cache
def versions() -> str:
    """What runs a Bash skill, by version."""
    return "\n".join(said(name, "--version").stdout.decode(errors="replace").partition("\n")[0] for name in ("bash", "jq"))


def said(name: str, *options: str, stdin: bytes = b"", cwd: str | None = None) -> subprocess.CompletedProcess[bytes]:
    """What a tool says that only reads. Raises CouldNotTell where it cannot be run."""
    try:
        return subprocess.run([program(name), *options], input=stdin, capture_output=True, timeout=SECONDS, check=False, cwd=cwd)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CouldNotTell(f"{name} could not be run.", why=str(error), next_step=FIXES[name]) from None
