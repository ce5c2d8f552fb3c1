"""Who may be reached: rules, names and addresses."""

from __future__ import annotations

import pytest

from agent.egress.rules import Rule, allows, canonical, forbidden


@pytest.mark.parametrize(
    ("rule", "allowed", "not_allowed"),
    [
        ("api.example.com:443", ["api.example.com:443"], ["api.example.com:80", "example.com:443", "x.api.example.com:443", "api.example.co:443"]),
        ("*.example.com:443", ["a.example.com:443", "a.b.example.com:443"], ["example.com:443", "badexample.com:443", "a.example.com:80"]),
        ("*:993", ["imap.example.org:993", "localhost:993"], ["imap.example.org:143"]),
    ],
)
def test_a_rule_allows_what_it_says_and_nothing_else(rule: str, allowed: list[str], not_allowed: list[str]) -> None:
    def may(place: str) -> bool:
        host, _, port = place.rpartition(":")
        return allows([Rule.parse(rule)], host, int(port))

    assert [place for place in allowed if not may(place)] == []
    assert [place for place in not_allowed if may(place)] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("api.example.com", "no port"),
        ("api.example.com:0", "between 1 and 65535"),
        ("api.example.com:65536", "between 1 and 65535"),
        ("api.example.com:0443", "between 1 and 65535"),
        ("10.0.0.1:443", "address"),
        ("93.184.216.34:443", "address"),
        ("[::1]:443", "full host name"),
        ("127.1:443", "full host name"),
        ("0x7f.1:80", "full host name"),
        ("API.example.com:443", "write api.example.com:443"),
        ("api.example.com.:443", "write api.example.com:443"),
        ("*.Bücher.example:443", "write *.xn--bcher-kva.example:443"),
        ("localhost:443", "full host name"),
        ("*.com:443", "top-level"),
        ("**.example.com:443", "wildcard"),
        ("a.*.example.com:443", "wildcard"),
        ("-a.example.com:443", "full host name"),
        ("a..example.com:443", "full host name"),
        ("a b.example.com:443", "full host name"),
        (f"{'a' * 64}.example.com:443", "full host name"),
        (":443", "full host name"),
    ],
)
def test_a_rule_that_is_none_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError) as wrong:
        Rule.parse(text)
    assert why in str(wrong.value)


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("*:443", "api.example.com:443", True),
        ("*:443", "*.example.com:443", True),
        ("*.example.com:443", "*.api.example.com:443", True),
        ("*.example.com:443", "example.com:443", False),
        ("*.example.com:443", "*:443", False),
        ("*.api.example.com:443", "*.example.com:443", False),
        ("*:443", "api.example.com:80", False),
        ("api.example.com:443", "*.api.example.com:443", False),
    ],
)
def test_what_a_wildcard_covers_asks_for_nothing_more(wide: str, narrow: str, covered: bool) -> None:
    assert Rule.parse(wide).covers(Rule.parse(narrow)) is covered


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("API.Example.COM.", "api.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("[2606:4700::1111]", "2606:4700::1111"),
        ("127.0.0.1", "127.0.0.1"),
        ("a\nb.example.com", None),
        ("", None),
        ("a" * 300, None),
    ],
)
def test_names_are_compared_in_one_form(name: str, same: str | None) -> None:
    assert canonical(name) == same


FORBIDDEN = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8", "168.63.129.16", "169.254.169.254", "172.16.0.1"),
    *("172.31.255.255", "192.0.0.192", "192.168.1.1", "198.18.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "2001:db8::1", "2001::1", "100::1"),
    *("::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b:1::1", "2002:7f00:1::", "2002:c0a8:101::1", "nonsense"),
]
PUBLIC = ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_no_skill_reaches_an_address_that_is_not_the_internets(address: str) -> None:
    assert forbidden(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_reached(address: str) -> None:
    assert forbidden(address) == ""
