"""What of a skill's outputs is worth drawing: lists of records as tables, pictures as files. Pure, but for writing a picture."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from agent.domain import Frozen
from agent.domain.schema import Json
from agent.pasted import unpasted

ROWS, COLUMNS, DEPTH = 30, 10, 6
PICTURE = 8 * 2**20  # bytes
KEPT, KEPT_PICTURE, CELL = 3, 2 * 2**20, 200  # tables and pictures of an answer that are kept, bytes of a picture, characters of a cell
Records = list[dict[str, Json]]

_DATA_URL = re.compile(r"data:image/(png|jpeg|gif|webp|svg\+xml);base64,([A-Za-z0-9+/=\s]+)")
_ENDINGS = {"jpeg": "jpg", "svg+xml": "svg"}


class Drawing(Frozen):
    """A table, as rows of text of which the first is its head, or a picture: the ending of its file's name and its bytes."""

    rows: tuple[tuple[str, ...], ...] = ()
    ending: str = ""
    data: bytes = b""


def drawings(outputs: Json, strike: Callable[[str], str] = unpasted) -> tuple[Drawing, ...]:
    """The first tables and pictures, as far as they are kept; without the secrets that `strike` knows."""
    drawn = [Drawing(rows=cells(records, strike)) for _, records in zip(range(KEPT), tables(outputs), strict=False)]
    small = ((ending, data) for ending, data in pictures(outputs) if len(data) <= KEPT_PICTURE)
    return (*drawn, *(Drawing(ending=ending, data=data) for _, (ending, data) in zip(range(KEPT), small, strict=False)))


def cells(records: Records, strike: Callable[[str], str] = unpasted) -> tuple[tuple[str, ...], ...]:
    """The records as rows of text, their names first."""
    names = list(dict.fromkeys(name for record in records for name in record))
    rows = (tuple(_cell(record.get(name), strike) for name in names) for record in records)
    return tuple(_cell(name, strike) for name in names), *rows


def _cell(value: Json, strike: Callable[[str], str]) -> str:
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return strike(" ".join(text[: 2 * CELL + 500].split()))[:CELL]  # looked at beyond the cut, which may be through a secret


def tables(outputs: Json) -> Iterator[Records]:
    """Lists of at least two flat records: at most ROWS rows of at most COLUMNS columns."""
    for value in _all(outputs, 0):
        if not isinstance(value, list) or len(value) < 2:
            continue
        flat = [row for row in value if isinstance(row, dict) and row and not any(isinstance(cell, dict | list) for cell in row.values())]
        if len(flat) == len(value) and len({name for row in flat for name in row}) <= COLUMNS:
            yield flat[:ROWS]


def pictures(outputs: Json) -> Iterator[tuple[str, bytes]]:
    """The ending of a file's name and the bytes of each picture: a data URL, or base64 beside its media type."""
    for value in _all(outputs, 0):
        if isinstance(value, str) and (found := _DATA_URL.fullmatch(value)):
            kind, text = found[1], found[2]
        elif isinstance(value, dict) and (named := _with_type(value)):
            kind, text = named
        else:
            continue
        try:
            data = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            continue
        if 0 < len(data) <= PICTURE:
            yield _ENDINGS.get(kind, kind), data


def kept_picture(folder: Path, ending: str, data: bytes) -> Path:
    """Writes a picture where it can be opened; the same picture lies there once."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.{ending}"
    path.write_bytes(data)
    return path


def _with_type(value: Mapping[str, Json]) -> tuple[str, str] | None:
    media = next((value[name] for name in ("media_type", "mediaType", "mimeType", "mime") if name in value), None)
    text = next((value[name] for name in ("data", "base64", "content") if isinstance(value.get(name), str)), None)
    found = re.fullmatch(r"image/(png|jpeg|gif|webp|svg\+xml)", media) if isinstance(media, str) else None
    return (found[1], text) if found and text else None


def _all(value: Json, depth: int) -> Iterator[Json]:
    """The value and everything in it, to a depth that an answer may have."""
    yield value
    if depth < DEPTH and isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value[:ROWS]:
            yield from _all(child, depth + 1)
