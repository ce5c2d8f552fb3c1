"""A database of advisories, as OSV's API is described, on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agent.advisories import ask
from agent.domain.package import Package
from agent.errors import CouldNotTell

MS, UUID = Package(ecosystem="npm", name="ms", version="2.0.0"), Package(ecosystem="Go", name="github.com/google/uuid", version="v1.3.0")
TOLD = {
    "GHSA-1": {
        "id": "GHSA-1", "summary": "ms takes for ever.", "affected": [
            {"package": {"name": "ms", "ecosystem": "npm"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "2.0.1"}]}]},
            {"package": {"name": "other"}, "ranges": [{"type": "SEMVER", "events": [{"fixed": "9.9.9"}]}]},
        ],
    },
    "GHSA-2": {"id": "GHSA-2", "summary": "It was none.", "withdrawn": "2024-01-01T00:00:00Z"},
    "GO-3": {"id": "GO-3", "details": "It is in the details."},
}  # fmt: skip


@contextmanager
def database(pages: dict[str, list[list[str]]] | None = None, status: int = 200, body: bytes | None = None) -> Iterator[tuple[str, list[Any]]]:
    """Its address, and the queries that it was asked. `pages` has by name what each page of an answer tells."""
    asked: list[Any] = []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            asked.extend(queries)
            results = []
            for query in queries:
                known, page = (pages or {}).get(query["package"]["name"], []), int(query.get("page_token", "0"))
                told: dict[str, Any] = {"vulns": [{"id": each} for each in known[page]]} if page < len(known) else {}
                results.append({**told, "next_page_token": str(page + 1)} if page + 1 < len(known) else told)
            self.answer({"results": results})

        def do_GET(self) -> None:
            self.answer(TOLD[self.path.rpartition("/")[2]])

        def answer(self, document: Any) -> None:
            data = body if body is not None else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_what_is_known_of_each_version_is_told_with_what_mends_it() -> None:
    with database({"ms": [["GHSA-1"], ["GHSA-2"]], "github.com/google/uuid": [["GO-3"]]}) as (address, asked):
        found = ask([MS, UUID], address)

    assert [(each.id, each.package.name, each.fixed) for each in found] == [("GHSA-1", "ms", ("2.0.1",)), ("GO-3", "github.com/google/uuid", ())]
    assert [each.summary for each in found] == ["ms takes for ever.", "It is in the details."]
    assert [query["version"] for query in asked] == ["2.0.0", "1.3.0", "2.0.0"]  # the last for the second page


def test_who_depends_on_nothing_asks_nobody() -> None:
    assert ask([], "http://127.0.0.1:1") == ()


@pytest.mark.parametrize("address", ["", "http://127.0.0.1:1", "http://", "nonsense"])
def test_a_database_that_is_not_there_is_no_clean_bill(address: str) -> None:
    with pytest.raises(CouldNotTell):
        ask([MS], address)


@pytest.mark.parametrize(("status", "body"), [(500, b"{}"), (200, b"<html>"), (200, b"[]"), (200, b'{"results": []}'), (200, b'{"results": [7]}')])
def test_an_answer_that_is_none_could_not_be_told(status: int, body: bytes) -> None:
    with database(status=status, body=body) as (address, _), pytest.raises(CouldNotTell):
        ask([MS], address)


def test_an_answer_without_end_could_not_be_told() -> None:
    with database({"ms": [["GHSA-1"]] * 40}) as (address, _), pytest.raises(CouldNotTell, match="no end"):
        ask([MS], address)
