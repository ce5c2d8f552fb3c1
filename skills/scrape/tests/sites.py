"""A local web site for the tests."""

import contextlib
import http.server
import threading


@contextlib.contextmanager
def site(pages):
    """Serves `pages`: a path to (status, headers, body). Gives the address, and the list of (path, headers) that were asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append((self.path, dict(self.headers)))
            status, headers, body = pages.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def page(body, **headers):
    return 200, {"Content-Type": "text/html; charset=utf-8", **headers}, body.encode()


def moved(location, status=302):
    return status, {"Location": location}, b""
