"""What the probes were told, and how one says that it failed. Runs in the sandbox; standard library only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

JOB: dict[str, Any] = {}


def said(name: str) -> str:
    return str(JOB[name])


def word(path: str) -> str:
    return Path(path).read_text(errors="replace")


def fail(code: int) -> NoReturn:
    raise OSError(code, os.strerror(code))
