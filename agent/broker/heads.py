"""The heads of brokered requests and answers, rewritten (RFC 9110, RFC 9112). Pure.

A key is put into the values of headers, into the credentials of Basic, and into the query; never into a path, a body or a name. Every
request goes to the host that the manifest names, whatever its own Host says: with the key in it, it would be worth a lot elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import quote

import h11

from agent.broker.striking import Strike

LONGEST_VALUE = 8192  # bytes of a key that goes into a head
# Of one connection alone (RFC 9110, 7.6.1), or set by us; and what would let an answer come back in pieces, packed, or by another protocol.
_OWN = {b"host", b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"trailer", b"upgrade", b"expect",
        b"http2-settings", b"accept-encoding", b"range", b"if-range"}  # fmt: skip
_BACK = {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"te", b"trailer", b"transfer-encoding", b"upgrade",
         b"content-length", b"strict-transport-security", b"alt-svc"}  # fmt: skip
_FRAMING = {b"content-length", b"transfer-encoding"}


class Unfit(Exception):
    """What is not carried; `status` and `why` are told to the skill. Neither quotes a head: a key may be in it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


def outward(request: h11.Request, host: str, port: int, values: Mapping[str, str]) -> tuple[h11.Request, dict[bytes, bytes]]:
    """The request as it is sent, `values` (by placeholder) put in; and what of it may come back otherwise than a value is usually written,
    with what to put in its place. Raises Unfit."""
    if request.method in (b"CONNECT", b"TRACE"):
        raise Unfit(405, f"the broker carries no {request.method.decode()}")
    if not request.target.startswith(b"/") and (request.method, request.target) != (b"OPTIONS", b"*"):
        raise Unfit(400, "the broker carries requests for a path of the host, like /v1/items, and no others")
    names = [name for name, _ in request.headers]
    if set(names) >= _FRAMING:
        raise Unfit(400, "the request has a Content-Length and a Transfer-Encoding, which nobody can read alike")
    keys = {placeholder.encode(): _fit(value) for placeholder, value in values.items()}
    packed: dict[bytes, bytes] = {}
    named = _tokens(request, b"connection") - _FRAMING
    headers = [(b"host", (host if port == 443 else f"{host}:{port}").encode()), (b"accept-encoding", b"identity")]
    headers += [(name, _filled(value, keys, packed)) for name, value in request.headers if name not in _OWN | named]
    path, mark, query = request.target.partition(b"?")
    for placeholder, key in keys.items():
        query = query.replace(placeholder, quote(key, safe="").encode())
    try:
        return h11.Request(method=request.method, target=path + mark + query, headers=headers), packed
    except h11.LocalProtocolError:
        raise Unfit(502, "a secret holds what no header can") from None


def homeward(answer: h11.Response, method: bytes, host: str, port: int, strike: Strike) -> h11.Response:
    """The answer as the skill gets it: without a length, as that changes where something is struck out. Raises Unfit."""
    coding = {token for name, value in answer.headers if name == b"content-encoding" for token in value.lower().replace(b" ", b"").split(b",")}
    if coding - {b"identity", b""} and method != b"HEAD":
        raise Unfit(502, "the host packs its answer although it was asked not to, so that no key could be struck out of it")
    named = _tokens(answer, b"connection")
    headers = [(strike.whole(name), strike.whole(value)) for name, value in answer.headers if name not in _BACK | named]
    at_home = (f"https://{host}/".encode(), f"https://{host}:{port}/".encode())
    for number, (name, value) in enumerate(headers):
        if name == b"location" and (base := next((base for base in at_home if value.startswith(base)), None)):
            headers[number] = (name, f"http://{host}:{port}/".encode() + value[len(base) :])
    framed = any(name in _FRAMING for name, _ in answer.headers) or answer.status_code in (204, 304) or method == b"HEAD"
    if b"close" in named or not framed or answer.http_version < b"1.1":
        headers.append((b"connection", b"close"))
    return h11.Response(status_code=answer.status_code, headers=headers, reason=strike.whole(answer.reason))


def _fit(value: str) -> bytes:
    key = value.strip().encode()
    if len(key) > LONGEST_VALUE:
        raise Unfit(502, f"a secret is longer than the {LONGEST_VALUE} bytes that the broker puts into a head")
    return key


def _filled(value: bytes, keys: Mapping[bytes, bytes], packed: dict[bytes, bytes]) -> bytes:
    scheme, space, credentials = value.partition(b" ")
    if scheme.lower() == b"basic" and space:
        try:
            plain = base64.b64decode(credentials.strip(), validate=True)
        except binascii.Error:
            return value
        filled = base64.b64encode(_put(plain, keys))
        if filled != credentials.strip():
            packed[filled] = credentials.strip()
        return scheme + b" " + filled
    return _put(value, keys)


def _put(text: bytes, keys: Mapping[bytes, bytes]) -> bytes:
    for placeholder, key in keys.items():
        text = text.replace(placeholder, key)
    return text


def _tokens(message: h11.Request | h11.Response, header: bytes) -> set[bytes]:
    return {token.strip().lower() for name, value in message.headers if name == header for token in value.split(b",")}
