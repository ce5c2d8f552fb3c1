"""Compression for large blobs that hardly change from one to the next, as registry.yaml does.

A zlib stream may be put together from pieces that were compressed apart (RFC 1950 and 1951; `Z_SYNC_FLUSH` ends each on a whole
byte), so a piece that the last stream held already is taken from there. The stream is one that any git reads.
"""

from __future__ import annotations

import zlib

_PIECE = 2**15  # bytes at least; it then ends with the next mark, so that after a change the pieces fall in step again
_MARK = b"00\n"  # the end of about every eightieth skill: a digest or object id that ends so
_KEY = 256  # bytes of its start that a piece is looked up by: more than the lines that skills have in common


class Deflate:
    """Gives the zlib stream of a header and `data`. Keeps the pieces of the last one."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[bytes, bytes]] = {}  # the start of a piece to the piece and its stream

    def __call__(self, header: bytes, data: bytes) -> bytes:
        before, known, streams, at = self._known, dict[bytes, tuple[bytes, bytes]](), [_compressed(header)], 0
        while at < len(data):
            start = data[at : at + _KEY]
            piece, stream = before.get(start, (b"", b""))
            if not piece or not data.startswith(piece, at):
                piece = _cut(data, at)
                stream = _compressed(piece)
            known[start] = piece, stream
            streams.append(stream)
            at += len(piece)
        self._known = known
        return b"\x78\x01" + b"".join(streams) + b"\x03\x00" + zlib.adler32(data, zlib.adler32(header)).to_bytes(4, "big")


def _cut(data: bytes, at: int) -> bytes:
    mark = data.find(_MARK, at + _PIECE)
    return data[at:] if mark < 0 else data[at : mark + len(_MARK)]


def _compressed(piece: bytes) -> bytes:
    deflate = zlib.compressobj(zlib.Z_BEST_SPEED, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(piece) + deflate.flush(zlib.Z_SYNC_FLUSH)
