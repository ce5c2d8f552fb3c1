"""The Python of this machine, as a sandbox sees it: it runs our own servers and forwarders there, whatever a skill is written in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from agent.ports import Mount


def interpreter() -> str:
    """The path of the Python that our own virtual environment was made from; it is the same inside."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def base_mounts() -> tuple[Mount, ...]:
    """That Python's installation, where the system's root does not hold it already."""
    prefix = os.path.realpath(sys.base_prefix)
    return () if prefix == "/usr" or prefix.startswith("/usr/") else (Mount(source=Path(prefix), target=prefix),)
