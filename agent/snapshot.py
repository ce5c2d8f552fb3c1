"""Files from git objects, laid out in a throw-away folder for tools and builders that need paths."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def write_files(root: Path, files: Mapping[str, bytes]) -> None:
    """Writes `files` (relative path to bytes) below `root`."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@contextmanager
def snapshot(name: str, files: Mapping[str, bytes]) -> Iterator[Path]:
    """A folder called `name` that holds `files`, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="skillops-") as folder:
        root = Path(folder) / name
        root.mkdir()
        write_files(root, files)
        yield root
