"""What the tests of the sandboxes share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def eventually(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    """Whether it comes true in so many seconds."""
    deadline = time.monotonic() + seconds
    while not (true := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.01)
    return true


def a_private_folder(folder: Path) -> Path:
    """A folder below `folder` that only its owner may enter, with a `file` in it that only the owner may read."""
    private = folder / "home" / "private"
    private.mkdir(parents=True)
    for each in (folder / "home", private):
        each.chmod(0o700)
    (private / "file").write_text("private")
    (private / "file").chmod(0o600)
    return private
