"""The container skill that `skillops new` starts from: a server in Python's standard library that answers the manifest's examples."""

from __future__ import annotations

import json
import textwrap

from agent.domain.skill import Manifest
from agent.languages.document import document

PORT = 8080

_DOCKERFILE = """\
# Any language will do: what counts is that the server answers /execute, /health and /metrics on the first port of skill.yaml (8080).
# PIP_INDEX_URL, NPM_CONFIG_REGISTRY, GOPROXY and the like are there for RUN where an ARG names them, and are not left in the image.
FROM skillops/base-python:stable
COPY server.py examples.json /skill/
EXPOSE {port}
USER 65532:65532
HEALTHCHECK --interval={interval} --timeout={timeout} --retries={retries} CMD ["python3", "-S", "/skill/server.py", "--health"]
CMD ["python3", "-S", "/skill/server.py"]
"""

_SERVER = '''
"""{title}

A start made by `skillops new`: it knows the examples in examples.json and nothing else. Put the real work in `execute`.
"""

import json
import signal
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = {port}
MAX_BODY = 8 * 2**20
EXAMPLES = json.loads((Path(__file__).parent / "examples.json").read_text())
counts = {{"calls": 0, "errors": 0, "in_flight": 0}}
counting = threading.Lock()


def execute(inputs):
    """The reply to a call: outputs, or an error with a code."""
    for example in EXAMPLES:
        if example["inputs"] == inputs:
            return {{"success": True, "outputs": example["outputs"]}}
    return error("not-written-yet", "only the examples of skill.yaml are answered so far")


def error(code, message):
    return {{"success": False, "error": {{"code": code, "message": message}}}}


def count(**changes):
    with counting:
        for name, change in changes.items():
            counts[name] += change


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            self.answer(200, {{"status": "healthy"}})
        elif self.path == "/metrics":
            lines = (f"skill_calls_total {{counts['calls']}}", f"skill_errors_total {{counts['errors']}}",
                     f"skill_calls_in_flight {{counts['in_flight']}}", "")
            self.send(200, "\\n".join(lines).encode(), "text/plain; version=0.0.4")
        else:
            self.answer(404, error("not-found", "the paths are /execute, /health and /metrics"))

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, 8 * MAX_BODY))
        if self.path != "/execute" or length > MAX_BODY:
            self.close_connection = True
            self.answer(413 if length > MAX_BODY else 404, error("bad-request", "this cannot be executed"))
            return
        try:
            inputs = json.loads(body)["inputs"]
            if not isinstance(inputs, dict):
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            self.answer(400, error("bad-request", 'the body must be {{"inputs": {{...}}, "context": {{...}}}} as JSON'))
            return
        count(in_flight=1)
        reply = execute(inputs)
        count(in_flight=-1, calls=1, errors=0 if reply["success"] else 1)
        self.answer(200, reply)

    def answer(self, status, value):
        self.send(status, json.dumps(value).encode(), "application/json")

    def send(self, status, body, kind):
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    if "--health" in sys.argv:
        urllib.request.urlopen(f"http://127.0.0.1:{{PORT}}/health", timeout=10).close()
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        Server(("", PORT), Handler).serve_forever()
'''


def files(manifest: Manifest) -> dict[str, bytes]:
    """`SKILL.md`, the Dockerfile, a server and the examples that it answers."""
    port, health = (manifest.ports or (PORT,))[0], manifest.health
    examples = [{"inputs": example.inputs, "outputs": example.outputs} for example in manifest.examples]
    title = textwrap.shorten(manifest.description, 100).replace("\\", "\\\\").replace('"', "'")
    dockerfile = _DOCKERFILE.format(port=port, interval=health.interval, timeout=health.timeout, retries=health.retries)
    return {
        "SKILL.md": document(manifest).encode(),
        "Dockerfile": dockerfile.encode(),
        "server.py": _SERVER.format(title=title, port=port).lstrip().encode(),
        "examples.json": (json.dumps(examples, indent=2, ensure_ascii=False) + "\n").encode(),
    }
