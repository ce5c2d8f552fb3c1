"""Which hosts a skill may reach, and which addresses nobody may. Pure: no I/O.

A rule is `api.example.com:443`, `*.example.com:443` (every name below it, not the name itself) or `*:443` (every host).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
ANY_PORT = 0  # in a policy's limits
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# What is_global of an older Python, or the registries it follows, would let through (IANA special-purpose registries, RFC 6890).
_FORBIDDEN = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
        "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # a cloud's own host, which answers with its machines' metadata
        "::/96", "100::/64", "64:ff9b:1::/48", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10",
        "ff00::/8",
    )
)  # fmt: skip
# Forms of IPv6 that carry an IPv4 address which a gateway would go on to reach: how far from the right it lies, in bits.
_CARRYING = (
    (ipaddress.ip_network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (ipaddress.ip_network("::ffff:0:0:0/96"), 0),  # IPv4-translated (RFC 2765)
    (ipaddress.ip_network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (ipaddress.ip_network("2002::/16"), 80),  # 6to4 (RFC 3056)
)


@dataclass(frozen=True)
class Rule:
    """`host` in small letters and ASCII, with `*.` before it or `*` alone for a wildcard."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Rule:
        """ValueError says what is wrong with the rule, as the end of a sentence that begins with it."""
        host, colon, port = text.rpartition(":")
        if not colon or not re.fullmatch(r"[1-9]\d{0,4}", port) or int(port) > 65535:
            raise ValueError("has no port between 1 and 65535, like api.example.com:443")
        suffix = host.removeprefix("*.")
        if host == "*":
            return cls(host, int(port))
        if _is_address(suffix):
            raise ValueError("is an address; name the host")
        if "*" in suffix:
            raise ValueError("has a wildcard that is neither *:443 nor *.example.com:443")
        right = canonical(suffix)
        if right is None or not right.rpartition(".")[2][:1].isalpha():  # 127.1 and 0x7f.1 are addresses, too
            raise ValueError("is not a full host name, like api.example.com:443")
        if suffix != right:
            raise ValueError(f"is not in the form in which names are compared; write {host[: -len(suffix)]}{right}:{port}")
        if "." not in suffix:
            raise ValueError("is not a full host name, like api.example.com:443" if host == suffix else "would allow a whole top-level domain")
        return cls(host, int(port))

    @classmethod
    def parse_any_port(cls, text: str) -> Rule:
        """As `parse`; the port may also be `*`, as in a policy's limits."""
        host, colon, port = text.rpartition(":")
        return cls(cls.parse(f"{host}:1").host, ANY_PORT) if colon and port == "*" else cls.parse(text)

    @property
    def exact(self) -> bool:
        return not self.host.startswith("*")

    def matches(self, host: str, port: int) -> bool:
        """`host` as `canonical` gives it."""
        if self.port not in (port, ANY_PORT):
            return False
        return self.host == "*" or host == self.host or (not self.exact and host.endswith(self.host[1:]))

    def covers(self, other: Rule) -> bool:
        """Whether all that `other` allows is allowed by this one."""
        if other.exact or self.port not in (other.port, ANY_PORT):
            return self.matches(other.host, other.port)
        return self.host in ("*", other.host) or (not self.exact and other.host[1:].endswith(self.host[1:]))

    def __str__(self) -> str:
        return f"{self.host}:{'*' if self.port == ANY_PORT else self.port}"


def allows(rules: Iterable[Rule], host: str, port: int) -> bool:
    """`host` as `canonical` gives it."""
    return any(rule.matches(host, port) for rule in rules)


def canonical(host: str) -> str | None:
    """The name as it is compared: small letters, ASCII (IDNA), no dot at the end; None where it is no host name.

    Addresses are their own names, as a URL may hold them.
    """
    name = host.strip("[]") if host.startswith("[") and host.endswith("]") else host
    if _is_address(name):
        return str(ipaddress.ip_address(name))
    try:
        ascii_name = name.removesuffix(".").encode("idna").decode().lower()
    except (UnicodeError, ValueError):
        return None
    if not 1 <= len(ascii_name) <= 253 or not all(_LABEL.fullmatch(label) for label in ascii_name.split(".")):
        return None
    return ascii_name


def forbidden(address: str) -> str:
    """Why no skill may reach an address, or nothing where it may: only what the whole internet reaches is not forbidden."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "it is no address"
    carried = _carried(parsed)
    if carried is not None:
        why = forbidden(str(carried))
        return f"it carries {carried}, and {why}" if why else ""
    if any(parsed in block for block in _FORBIDDEN if block.version == parsed.version) or not parsed.is_global:
        return f"it is {_kind(parsed)}"
    return ""


def pinned_by(resolve: Mapping[str, str]) -> dict[tuple[str, int], tuple[str, int]]:
    """`Proxy.pinned` from the setting egress_resolve, host:port -> address:port. ValueError says what is wrong with an entry."""
    return {_place(source): _address(source, target) for source, target in resolve.items()}


def _place(source: str) -> tuple[str, int]:
    try:
        rule = Rule.parse(source)
    except ValueError as error:
        raise ValueError(f"{source!r} {error}") from None
    if not rule.exact:
        raise ValueError(f"{source!r} is a wildcard; name each host")
    return rule.host, rule.port


def _address(source: str, target: str) -> tuple[str, int]:
    address, _, port = target.rpartition(":")
    try:
        if 1 <= int(port) <= 65535:
            return str(ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))), int(port)
        raise ValueError
    except ValueError:
        raise ValueError(f"{source!r} leads to {target!r}, which is no address with a port, like 10.0.0.7:443 or [fd00::7]:443") from None


def _carried(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv6Address):
        for block, bits in _CARRYING:
            if address in block:
                return ipaddress.IPv4Address((int(address) >> bits) & 0xFFFFFFFF)
    return None


def _kind(address: Address) -> str:
    for kind in ("loopback", "link_local", "multicast", "unspecified"):
        if getattr(address, f"is_{kind}"):
            return f"{kind.replace('_', '-')}"
    return "private or reserved"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
