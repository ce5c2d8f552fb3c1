"""Subjects for the tests of checks: a whole skill in memory, a language that answers as told, a skill's server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from agent.domain.capability import Capability
from agent.domain.check import Finding, Subject, TestReport, TestRun
from agent.domain.invocation import MAX_BODY
from agent.domain.release import Artifact, Endpoint
from agent.domain.skill import Case, Expectation, Manifest
from agent.manifest_file import write_witness
from agent.ports import Sandbox
from agent.workbench import make_subject
from tests.builders import HEAD

SKILL_YAML = """\
apiVersion: skillops/v1
name: word-count
version: 1.0.0
description: Count the words of a text. Use when somebody asks how long a text is.
entrypoint: skill.py
inputs: {type: object, properties: {text: {type: string}}, required: [text], additionalProperties: false}
outputs: {type: object, properties: {words: {type: integer}}, required: [words], additionalProperties: false}
examples:
  - inputs: {text: one two}
    outputs: {words: 2}
"""
SKILL_MD = """\
---
name: word-count
description: Count the words of a text. Use when somebody asks how long a text is.
---

# Word count

Give `text`; `words` says how many words it has.
"""
CODE = """\
def execute(inputs: dict, context: dict) -> dict:
    return {"words": len(inputs["text"].split())}
"""
TESTS = """\
from skill import execute


def test_counts_words_parted_by_white_space() -> None:
    assert execute({"text": "one  two"}, {}) == {"words": 2}


def test_an_empty_text_has_none() -> None:
    assert execute({"text": ""}, {}) == {"words": 0}
"""
CASE = Case(name="three words", clause="words are parted by white space", inputs={"text": "a b c"}, expect=Expectation(outputs={"words": 3}))
WITNESS = write_witness("sha256:" + "0" * 64, [CASE]).decode()


def skill_files(**changed: str | bytes | None) -> dict[str, bytes]:
    """The files of word-count; `skill_files(**{"skill.py": "…"})` replaces one, None leaves it out."""
    files: dict[str, str | bytes | None] = {"skill.yaml": SKILL_YAML, "SKILL.md": SKILL_MD, "skill.py": CODE, "tests/test_skill.py": TESTS, **changed}
    return {path: data.encode() if isinstance(data, str) else data for path, data in files.items() if data is not None}


def a_subject(root: Path, files: Mapping[str, bytes] | None = None, **traits: Any) -> Subject:
    return make_subject("word-count", HEAD, skill_files() if files is None else files, root=root / "word-count", **traits)


@dataclass
class ToldLanguage:
    """A Language whose findings and test report are given; it notes what it was asked."""

    findings: tuple[Finding, ...] = ()
    report: TestReport = TestReport(tests=(TestRun(id="test_skill.py::test_one", outcome="passed"),), coverage=1.0)  # noqa: RUF009
    asked: list[dict[str, Any]] = field(default_factory=list)
    name: str = "python"
    can: tuple[Capability, ...] = ()

    def style(self, root: Path) -> tuple[Finding, ...]:
        return self.findings

    def security(self, root: Path) -> tuple[Finding, ...]:
        return self.findings

    def capabilities(self, root: Path) -> tuple[Capability, ...]:
        return self.can

    def dependencies(self, root: Path, manifest: Manifest) -> tuple[Finding, ...]:
        return self.findings

    def run_tests(self, root: Path, manifest: Manifest, sandbox: Sandbox, **options: Any) -> TestReport:
        self.asked.append({"root": root, **options})
        return self.report


@dataclass
class ToldBench:
    """A Workbench whose trial is given: an endpoint, or the exception that asking for it raises."""

    endpoint: Endpoint | Exception = Endpoint(url="http://127.0.0.1:9")  # noqa: RUF009

    def artifact(self) -> Artifact:
        return Artifact(digest="sha256:" + "0" * 64, kind="directory", location="unused")

    def trial(self) -> Endpoint:
        if isinstance(self.endpoint, Exception):
            raise self.endpoint
        return self.endpoint


Execute = Callable[[dict[str, Any]], dict[str, Any]]


def count_words(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"words": len(inputs["text"].split())}


@contextmanager
def served(
    execute: Execute = count_words, *, sees: Callable[[dict[str, Any]], None] = lambda context: None, metrics: str = "calls_total 1\n",
    strict: bool = True, dies_after: int | None = None,
) -> Iterator[Endpoint]:  # fmt: skip
    """A skill's server on loopback. Not `strict`: it answers malformed calls with a bare 500. `sees` is told each call's context. `dies_after`: it is
    unhealthy after so many calls."""
    calls = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.path == "/metrics":
                return self._answer(200, metrics.encode())
            healthy = dies_after is None or len(calls) < dies_after
            return self._answer(200 if healthy else 503, json.dumps({"status": "healthy" if healthy else "ill"}).encode())

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            if length > MAX_BODY:
                self.close_connection = True
                return self._error(413, "too-large")
            body = self.rfile.read(length)
            calls.append(1)
            try:
                told = json.loads(body)
                inputs = told["inputs"]
                sees(told.get("context", {}))
                if not isinstance(inputs, dict):
                    raise TypeError
            except (ValueError, KeyError, TypeError, RecursionError):
                return self._error(400, "bad-request") if strict else self._answer(500, b"oops")
            try:
                outputs = execute(inputs)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                return self._error(200, type(error).__name__) if strict else self._answer(500, b"oops")
            return self._answer(200, json.dumps({"success": True, "outputs": outputs}).encode())

        def _error(self, status: int, code: str) -> None:
            self._answer(status, json.dumps({"success": False, "error": {"code": code, "message": code}}).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield Endpoint(url=f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
