import gzip
import http.client
import socket
import ssl
import threading

import pytest

from faults import BadCertificateError, SlowError, TooLargeError, UnreachableError
from fetching import MAX_BYTES, Client, Page, meant
from tests.sites import moved, page, site


@pytest.fixture
def listening():
    """A server that says `said` to whoever connects, and nothing more."""
    opened = []

    def listen(said):
        server = socket.create_server(("127.0.0.1", 0))

        def serve():
            connection, _ = server.accept()
            opened.append(connection)
            connection.recv(10_000)
            connection.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        opened.append(server)
        return f"http://127.0.0.1:{server.getsockname()[1]}/"

    yield listen
    for one in opened:
        one.close()


def test_gives_a_reply_of_any_status():
    with site(
        {
            "/a": page("ä"),
            "/b": moved("/a", 301),
            "/c": (500, {}, b"x"),
            "/d": (200, {"Content-Type": "IMAGE/PNG"}, b"y"),
        }
    ) as (url, asked):
        client = Client("me/1", languages="de, en;q=0.5")
        assert client.fetch(f"{url}/a") == Page(f"{url}/a", 200, "ä".encode(), "text/html", "utf-8")
        assert client.fetch(f"{url}/b") == Page(f"{url}/b", 301, b"", "", None, "/a")
        assert client.fetch(f"{url}/c") == Page(f"{url}/c", 500, b"x", "", None)
        assert client.fetch(f"{url}/d").kind == "image/png"
    headers = asked[0][1]
    assert (headers["User-Agent"], headers["Accept-Language"], headers["Accept-Encoding"]) == (
        "me/1",
        "de, en;q=0.5",
        "gzip",
    )
    assert headers["Accept"].startswith("text/html")


def test_goes_through_the_proxy_of_the_settings():
    with site({"http://www.example.com/x": page("far")}) as (url, asked):
        assert Client("me", proxy=url).fetch("http://www.example.com/x").body == b"far"
    assert asked[0][0] == "http://www.example.com/x"


def test_unpacks_what_is_packed():
    for how in ("gzip", "X-GZIP"):
        with site({"/": (200, {"Content-Encoding": how}, gzip.compress(b"plain"))}) as (url, _):
            assert Client("me").fetch(f"{url}/").body == b"plain"


def test_reads_no_more_than_is_allowed():
    bomb = gzip.compress(b"\0" * (MAX_BYTES + 1))
    pages = {
        "/most": (200, {}, b"x" * MAX_BYTES),
        "/more": (200, {}, b"x" * (MAX_BYTES + 1)),
        "/bomb": (200, {"Content-Encoding": "gzip"}, bomb),
    }
    with site(pages) as (url, _):
        assert len(Client("me").fetch(f"{url}/most").body) == MAX_BYTES
        for path in ("more", "bomb"):
            with pytest.raises(TooLargeError, match=f"^the page has more than {MAX_BYTES} bytes$"):
                Client("me").fetch(f"{url}/{path}")


def test_says_what_went_wrong(listening):
    with pytest.raises(UnreachableError, match="refused"):
        Client("me").fetch("http://127.0.0.1:9/")
    with pytest.raises(UnreachableError, match=r"^http://nowhere\.invalid/ could not be reached: "):
        Client("me").fetch("http://nowhere.invalid/")
    with pytest.raises(UnreachableError):
        Client("me").fetch(listening(b"SSH-2.0\r\n\r\n"))
    with pytest.raises(UnreachableError):
        Client("me").fetch(listening(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Encoding: gzip\r\n\r\nnone"))


def test_waits_only_so_long(listening):
    with pytest.raises(SlowError, match=r"did not answer within 0\.1 seconds$"):
        Client("me", seconds=0.1).fetch(listening(b""))
    with pytest.raises(SlowError, match=r"did not answer within 0\.1 seconds$"):
        Client("me", seconds=0.1).fetch(listening(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx"))


def test_a_reply_in_drops_ends_in_time():
    server = socket.create_server(("127.0.0.1", 0))

    def drip():
        connection, _ = server.accept()
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                connection.sendall(b"x")
                threading.Event().wait(0.05)
        except OSError:
            connection.close()

    threading.Thread(target=drip, daemon=True).start()
    with server, pytest.raises(SlowError):
        Client("me", seconds=0.2).fetch(f"http://127.0.0.1:{server.getsockname()[1]}/")


def test_knows_what_errors_mean():
    error = ssl.SSLCertVerificationError("x")
    error.verify_message = "it is old"
    told = meant("https://a/", error, 1.0)
    assert (type(told), str(told)) == (BadCertificateError, "https://a/: the host cannot prove who it is: it is old")
    assert type(meant("https://a/", TimeoutError(), 1.0)) is SlowError
    assert (
        str(meant("https://a/", http.client.IncompleteRead(b""), 1.0))
        == "https://a/ could not be reached: IncompleteRead(0 bytes read)"
    )
    assert str(meant("https://a/", OSError(), 1.0)) == "https://a/ could not be reached: OSError"
