"""A build's context as a tar whose bytes follow from the files alone, so that an engine's cache knows it again."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from agent.errors import Refused

MEBIBYTE = 2**20
EPOCH = 1_577_836_800  # 2020-01-01; zip files, which some tools make of it, know no time before 1980
LEFT_OUT = frozenset(("__pycache__", "build.json"))  # compiled files name the times of their sources

File = tuple[str, Path | bytes]


def of_folder(folder: Path) -> Iterator[File]:
    """The files and links below `folder`, in order."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        linked = [name for name in folders if (Path(place) / name).is_symlink()]
        for name in sorted({*names, *linked} - LEFT_OUT):
            path = Path(place) / name
            yield path.relative_to(folder).as_posix(), path


def of_files(files: Mapping[str, bytes]) -> Iterator[File]:
    yield from sorted(files.items())


def pack(files: Iterable[File], limit: int) -> IO[bytes]:
    """A temporary file with the tar, at its start. Raises Refused where the files are larger than `limit` bytes together."""
    packed, size = tempfile.TemporaryFile(prefix="skillops-context-"), 0  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.mtime, member.mode = EPOCH, 0o644
            if isinstance(content, Path) and content.is_symlink():
                member.type, member.linkname = tarfile.SYMTYPE, str(content.readlink())
                tar.addfile(member)
                continue
            member.size = content.stat().st_size if isinstance(content, Path) else len(content)
            size += member.size
            if size > limit:
                packed.close()
                raise too_large(limit)
            if isinstance(content, Path):
                member.mode = 0o755 if content.stat().st_mode & 0o100 else 0o644
            with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as source:
                tar.addfile(member, source)
    packed.seek(0)
    return packed


def too_large(limit: int) -> Refused:
    return Refused(
        f"The skill with its dependencies is larger than {limit // MEBIBYTE} MiB, which is the most that an image is built from.",
        next_step="Use smaller dependencies, or fetch the data when the skill runs.",
    )
