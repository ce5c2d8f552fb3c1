"""npm, with the machine's own settings (the registry among them) and never with scripts of packages."""

from __future__ import annotations

import shutil
from pathlib import Path

from agent.errors import CouldNotTell, Refused
from agent.languages.node.toolchain import FIX, said

_FIXED = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error", "--fetch-retries=1")
_OUT_OF_REACH = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ERR_SOCKET_TIMEOUT", "network", "E500", "E502", "E503", "E504")


def npm(command: str, *options: str, cwd: Path, seconds: float) -> str:
    """What npm printed. Raises Refused where it says no, CouldNotTell where the registry is out of reach or npm is missing."""
    program = shutil.which("npm")
    if program is None:
        raise CouldNotTell("npm is not installed here.", next_step=FIX)
    done = said(program, command, *_FIXED, *options, cwd=cwd, seconds=seconds)
    if done.returncode == 0:
        return done.stdout.decode(errors="replace")
    told = done.stderr.decode(errors="replace")
    lines = [line.removeprefix("npm error").strip() for line in told.splitlines() if line.startswith("npm error")]
    why = " ".join(line for line in lines if line and "complete log" not in line and "_logs" not in line)[:400] or told.strip()[-400:]
    if any(sign in told for sign in _OUT_OF_REACH):
        raise CouldNotTell("The package registry is out of reach.", why=why, next_step="Look at the network and npm's registry, then try again.")
    if "ENOSPC" in told:
        raise CouldNotTell("There is no space left for the dependencies.", why=why, next_step="Make room on the disk, then try again.")
    raise Refused("The dependencies cannot be installed.", why=why, next_step="Correct `dependencies` in skill.yaml and its lock file.")
