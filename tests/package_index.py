"""A package index on loopback that speaks as PyPI, npm's registry and Go's proxy do, of what a test puts into it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

INTEGRITY = "sha512-" + "A" * 86 + "=="
SIMPLE = "application/vnd.pypi.simple.v1+json"


class PackageIndex:
    """`told` maps a path to what is answered there: JSON, text, bytes, or a status. `asked` are the paths in their order."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.told: dict[str, Any] = {}
        self.asked: list[str] = []

    def python(self, name: str, *files: dict[str, Any]) -> None:
        self.told[f"/simple/{name}/"] = {"meta": {"api-version": "1.1"}, "name": name, "files": list(files)}

    def npm(self, name: str, times: dict[str, str] | None) -> None:
        versions = {
            version: {"name": name, "version": version, "dist": {"tarball": f"{self.url}/{name}.tgz", "integrity": INTEGRITY}}
            for version in times or {"1.0.0": ""}
        }
        tags = {"latest": [*versions][-1]}
        self.told[f"/{name}"] = {"name": name, "dist-tags": tags, "versions": versions, **({"time": times} if times else {})}

    def go(self, name: str, version: str, time: str | None) -> None:
        self.told[f"/{name}/@v/{version}.info"] = {"Version": version, **({"Time": time} if time else {})}
        self.told[f"/{name}/@v/{version}.mod"] = f"module {name}\n"

    @property
    def environment(self) -> dict[str, str]:
        """The clients' own settings that lead them here alone."""
        return {
            "PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": f"{self.url}/simple/", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": "",
            "PIP_NO_INDEX": "", "PIP_CERT": "", "npm_config_registry": self.url, "npm_config_fetch_retry_mintimeout": "10",
            "GOPROXY": self.url, "GOSUMDB": "off", "GOFLAGS": "", "GOPRIVATE": "", "no_proxy": "127.0.0.1",
        }  # fmt: skip


def _written(found: Any) -> bytes:
    return found.encode() if isinstance(found, str) else json.dumps(found).encode()


@contextmanager
def package_index() -> Iterator[PackageIndex]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path)
            index.asked.append(path)
            found = index.told.get(path, 404)
            status = found if isinstance(found, int) else 200
            body = b"" if isinstance(found, int) else found if isinstance(found, bytes) else _written(found)
            kind = "text/html" if isinstance(found, str) else SIMPLE if path.startswith("/simple/") else "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    index = PackageIndex(server.server_address[1])
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
