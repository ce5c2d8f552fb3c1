"""A model behind OpenAI's protocol on loopback, which answers what a test wrote for each purpose."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OPENINGS = {
    "You assess requests": "assess", "You write acceptance cases": "witness", "You write skills": "author",
    "You review one skill for correctness": "review-correctness", "You review one skill for security": "review-security",
    "You review one skill for fit": "review-fit",
}  # fmt: skip


class ModelServer:
    """`answers` has for each purpose what is said: a list, whose last answer is said again and again. `keys` are those that were shown."""

    def __init__(self, address: str, answers: Mapping[str, list[Any]]) -> None:
        self.address, self.answers = address, {purpose: list(said) for purpose, said in answers.items()}
        self.keys: set[str] = set()

    def answer(self, question: Mapping[str, Any], key: str) -> dict[str, Any]:
        self.keys.add(key)
        opening = question["messages"][0]["content"]
        said = self.answers[next(purpose for start, purpose in OPENINGS.items() if opening.startswith(start))]
        text = json.dumps(said.pop(0) if len(said) > 1 else said[0])
        message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 6, "completion_tokens": 4, "total_tokens": 10}
        return {"id": "1", "object": "chat.completion", "created": 0, "model": "scripted", "choices": [message], "usage": usage}


@contextmanager
def serving(answers: Mapping[str, list[Any]]) -> Iterator[ModelServer]:
    """A server that ends with the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            data = json.dumps(served.answer(question, self.headers["Authorization"])).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = ModelServer(f"http://127.0.0.1:{server.server_address[1]}/v1", answers)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield served
        server.shutdown()
