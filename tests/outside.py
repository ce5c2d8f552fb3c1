"""The world outside, for the bundled skills: a web server, one with TLS and a mail server, all on loopback and all speaking the real protocols."""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from socketserver import BaseServer

from agent.stand_ins.authority import issue
from tests.imap_server import Account, Server, a_mail

WEATHER, SEARCH, MAIL, SHOP, API = "api.openweathermap.org", "html.duckduckgo.com", "imap.gmail.com", "shop.example.com", "api.example.com"
Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Asked:
    """One request that came."""

    method: str
    host: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Outside:
    """`pages`: what answers a host and path; `asked`: what came. `authority`: whom to trust (PEM). `resolve`: as the setting egress_resolve."""

    account: Account
    authority: bytes = b""
    resolve: dict[str, str] = field(default_factory=dict)
    pages: dict[tuple[str, str], Callable[[Asked], Reply]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def serve(self, host: str, path: str, reply: Reply | Callable[[Asked], Reply]) -> None:
        self.pages[host, path] = reply if callable(reply) else lambda _: reply

    def of(self, host: str) -> list[Asked]:
        return [one for one in self.asked if one.host == host]


@contextlib.contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    inbox = [
        a_mail(3, datetime(2025, 4, 1, 8, tzinfo=UTC), From="Ada <ada@example.com>", Subject="Old", text="done", flags={"\\Seen"}),
        a_mail(
            5, datetime(2025, 4, 3, 12, tzinfo=UTC), From="Ada <ada@example.com>", To="me@example.com", Subject="Käse am Freitag", text="Um zwölf?"
        ),
        a_mail(6, datetime(2025, 4, 4, 12, tzinfo=UTC), From="bob@example.com", Subject="Other", text="x", flags={"\\Flagged"}),
    ]
    world = Outside(Account("me@example.com", "app password", {"INBOX": inbox, "Archive": []}))
    context, world.authority = issue([WEATHER, SEARCH, MAIL, SHOP, API], folder)
    handler = _handler(world)
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(_serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)))
        secure = stack.enter_context(_serving(_secure(handler, context)))
        mail = stack.enter_context(_serving(Server(world.account, context)))
        for host in (WEATHER, SEARCH, SHOP, API, "unnamed.example.com"):  # the last is in no certificate
            world.resolve[f"{host}:443"] = f"127.0.0.1:{secure}"
        world.resolve |= {"www.example.com:80": f"127.0.0.1:{plain}", f"{MAIL}:993": f"127.0.0.1:{mail}"}
        yield world


def _handler(world: Outside) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.command, self.headers["Host"], self.path, dict(self.headers), body)
            world.asked.append(asked)
            page = world.pages.get((asked.host, asked.path.partition("?")[0]), lambda _: (404, {}, b"nothing here"))
            status, headers, content = page(asked)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else content)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _secure(handler: type[http.server.BaseHTTPRequestHandler], context: ssl.SSLContext) -> http.server.ThreadingHTTPServer:
    class Secure(http.server.ThreadingHTTPServer):
        def finish_request(self, request: object, address: object) -> None:
            with contextlib.suppress(OSError), context.wrap_socket(request, server_side=True) as wrapped:  # type: ignore[call-overload]
                self.RequestHandlerClass(wrapped, address, self)  # type: ignore[arg-type]

    return Secure(("127.0.0.1", 0), handler)


@contextlib.contextmanager
def _serving(server: BaseServer) -> Iterator[int]:
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield int(server.server_address[1])  # type: ignore[index]
    finally:
        server.shutdown()
        server.server_close()
