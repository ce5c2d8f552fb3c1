"""One page over HTTP: its bytes, within a time and a size, without following where it leads."""

import http.client
import ssl
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass, field
from email.message import Message

from faults import BadCertificateError, SlowError, TooLargeError, UnreachableError

MAX_BYTES = 2 * 2**20  # of a page, unpacked
SECONDS = 15.0  # for one page
PIECE = 65536


@dataclass(frozen=True)
class Page:
    """`url` is where it came from, `location` where it leads to instead, if anywhere."""

    url: str
    status: int
    body: bytes
    kind: str  # the media type, in small letters
    charset: str | None = None
    location: str | None = None


class Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is a reply like others: whoever follows has to ask the next host's robots.txt first."""

    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True)
class Client:
    """`proxy` is an address like http://proxy.example.com:8080, or empty."""

    agent: str
    proxy: str = ""
    languages: str = "en"
    seconds: float = SECONDS
    opener: urllib.request.OpenerDirector = field(init=False)

    def __post_init__(self) -> None:
        proxies = {"http": self.proxy, "https": self.proxy} if self.proxy else {}
        object.__setattr__(self, "opener", urllib.request.build_opener(urllib.request.ProxyHandler(proxies), Stay))

    def fetch(self, url: str) -> Page:
        """A reply of any status. Raises what `faults` has for what is none."""
        headers = {
            "User-Agent": self.agent,
            "Accept": "text/html,application/xhtml+xml,*/*;q=0.5",
            "Accept-Language": self.languages,
            "Accept-Encoding": "gzip",
        }
        until = time.monotonic() + self.seconds
        try:
            with self._opened(urllib.request.Request(url, headers=headers)) as reply:
                return page_of(url, reply.status, reply.headers, body_of(reply, until))
        except TimeoutError:
            raise SlowError(f"{url} did not answer within {self.seconds:g} seconds") from None
        except urllib.error.URLError as error:
            raise meant(url, error.reason, self.seconds) from None
        except (OSError, http.client.HTTPException, zlib.error) as error:
            raise meant(url, error, self.seconds) from None

    def _opened(self, request: urllib.request.Request) -> http.client.HTTPResponse | urllib.error.HTTPError:
        try:
            return self.opener.open(request, timeout=self.seconds)
        except urllib.error.HTTPError as reply:
            return reply


def meant(url: str, reason: object, seconds: float) -> ValueError:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return BadCertificateError(f"{url}: the host cannot prove who it is: {reason.verify_message}")
    if isinstance(reason, TimeoutError):
        return SlowError(f"{url} did not answer within {seconds:g} seconds")
    return UnreachableError(f"{url} could not be reached: {str(reason) or type(reason).__name__}")


def page_of(url: str, status: int, headers: Message, body: bytes) -> Page:
    kind = headers.get_content_type() if "Content-Type" in headers else ""
    return Page(url, status, body, kind, headers.get_content_charset(), headers.get("Location"))


def body_of(reply: http.client.HTTPResponse | urllib.error.HTTPError, until: float) -> bytes:
    """The body, unpacked. What is larger than MAX_BYTES, packed or not, is not read to its end."""
    unpacker = (
        zlib.decompressobj(wbits=31)
        if reply.headers.get("Content-Encoding", "").lower() in ("gzip", "x-gzip")
        else None
    )
    body = b""
    while piece := reply.read1(PIECE):  # type: ignore[union-attr]
        body += unpacker.decompress(piece, MAX_BYTES + 1 - len(body)) if unpacker else piece
        if len(body) > MAX_BYTES:
            raise TooLargeError(f"the page has more than {MAX_BYTES} bytes")
        if time.monotonic() > until:
            raise TimeoutError
    return body
