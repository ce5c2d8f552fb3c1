"""Compression for large blobs that hardly change from one to the next, as registry.yaml does.

A zlib stream may be put together from pieces that were compressed apart (RFC 1950 and 1951; `Z_SYNC_FLUSH` ends each on a whole
byte), so a piece that the last stream held already is taken from there. The stream is one that any git reads.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_PIECE = 2**15  # bytes at least; it then ends with the next mark, so that after a change the pieces fall in step again
_MARK = b"00\n"  # the end of about every eightieth skill: a digest or object id that ends so


class Deflate:
    """Gives the zlib stream of a header and `data`. Keeps the pieces of the last one."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def __call__(self, header: bytes, data: bytes) -> bytes:
        known, pieces = self._known, [header, *_pieces(data)]
        streams = {piece: known.get(piece) or _compressed(piece) for piece in pieces}
        self._known = streams
        return b"\x78\x01" + b"".join(streams[piece] for piece in pieces) + b"\x03\x00" + zlib.adler32(data, zlib.adler32(header)).to_bytes(4, "big")


def _pieces(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        mark = data.find(_MARK, at + _PIECE)
        end = len(data) if mark < 0 else mark + len(_MARK)
        yield data[at:end]
        at = end


def _compressed(piece: bytes) -> bytes:
    deflate = zlib.compressobj(zlib.Z_BEST_SPEED, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(piece) + deflate.flush(zlib.Z_SYNC_FLUSH)
