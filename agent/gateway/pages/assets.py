"""The files that pages refer to, held in memory, compressed once, and kept by browsers until they change."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from agent.errors import NotFound

FOLDER = Path(__file__).parent / "static"
KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_KEPT = "public, max-age=31536000, immutable"  # its address changes with its content


class Asset(NamedTuple):
    kind: str
    plain: bytes
    packed: bytes
    digest: str


@cache
def assets() -> dict[str, Asset]:
    """The files by name."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in KINDS:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:12]
            found[path.name] = Asset(KINDS[path.suffix], content, gzip.compress(content, 9, mtime=0), digest)
    return found


def address(name: str) -> str:
    """Where browsers find a file, as it is now."""
    return f"/static/{assets()[name].digest}/{name}"


async def serve(request: Request) -> Response:
    """A file, whatever digest was asked for; only the right one is kept."""
    found = assets().get(request.path_params["name"])
    if found is None:
        raise NotFound("There is no such file.", next_step="Open the page anew.")
    packed = "gzip" in request.headers.get("accept-encoding", "")
    right = request.path_params["digest"] == found.digest
    headers = {"cache-control": _KEPT if right else "no-store", "vary": "accept-encoding", **({"content-encoding": "gzip"} if packed else {})}
    return Response(found.packed if packed else found.plain, headers=headers, media_type=found.kind)
