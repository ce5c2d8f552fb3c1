"""Fetches a web page politely and tells what it holds."""

import os
import random
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from faults import BadUrlError, HttpStatusError, NotHtmlError, TooManyRedirectsError
from fetching import Client, Page
from manners import Manners, absolute
from reading import Document

HTML = ("text/html", "application/xhtml+xml", "application/xml", "text/xml", "text/plain", "")
MOST_FIELDS = 50
HOPS = 5  # redirects
SAFE = "!$%&'()*+,/:;=?@[]~"  # what stays as it is (RFC 3986, 2.2)


def execute(inputs: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    fields, records = wanted(inputs, "fields"), wanted(inputs, "records")
    page = visited(address(inputs.get("url")), manners(str(inputs.get("languages", "en"))))
    document = Document(page)
    limit = number(inputs, "limit", 100, 1000)
    outputs: dict[str, Any] = {"url": page.url, "status": page.status, **document.about()}
    if fields:
        outputs["fields"] = document.fields(fields)
    if "each" in inputs:
        outputs["records"] = document.records(str(inputs["each"]), records, limit)
    if inputs.get("links"):
        outputs["links"] = document.links(limit)
    if inputs.get("tables"):
        outputs["tables"] = document.tables()[:limit]
    if inputs.get("text"):
        outputs["text"], outputs["truncated"] = document.text(number(inputs, "max_chars", 20_000, 200_000))
    return outputs


def manners(languages: str) -> Manners:
    """As the settings of skill.yaml have it. Of several user agents one is taken, another for each call."""
    agents = [agent.strip() for agent in os.environ["USER_AGENTS"].split("|") if agent.strip()]
    agent = random.choice(agents)
    return Manners(Client(agent, os.environ["PROXY"].strip(), languages), float(os.environ["SECONDS_BETWEEN_PAGES"]))


def address(url: Any) -> str:
    """In ASCII, as it is sent, and without a fragment, which no server sees."""
    try:
        parts = urlsplit(str(url).strip())
        host = parts.netloc.encode("idna").decode()
        good = parts.scheme in ("http", "https") and parts.hostname and "@" not in host and parts.port != 0
    except (ValueError, UnicodeError):
        good = False
    if not good:
        raise BadUrlError("url is a full address without a login, like https://www.example.com/page")
    return quote(urlunsplit(parts._replace(netloc=host, fragment="")), safe=SAFE)


def wanted(inputs: dict[str, Any], name: str) -> dict[str, Any]:
    fields = inputs.get(name, {})
    if (
        not isinstance(fields, dict)
        or len(fields) > MOST_FIELDS
        or not all(isinstance(ask, str | dict) for ask in fields.values())
    ):
        raise ValueError(f"{name} names at most {MOST_FIELDS} selectors")
    if name == "records" and ("each" in inputs) != bool(fields):
        raise ValueError("each says where a record is, and records what it holds: give both or none")
    return fields


def number(inputs: dict[str, Any], name: str, otherwise: int, most: int) -> int:
    value = inputs.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{name} is a whole number from 1 to {most}")
    return value


def visited(url: str, manners: Manners) -> Page:
    """The page that `url` leads to; each host on the way is asked whether it wants us."""
    for _ in range(HOPS + 1):
        manners.knock(url)
        page = manners.client.fetch(url)
        if 300 <= page.status < 400 and page.location:
            url = address(absolute(url, page.location))
            continue
        if page.status >= 400:
            raise HttpStatusError(f"{url} answers with status {page.status}")
        if page.kind not in HTML:
            raise NotHtmlError(f"{url} is {page.kind}, and no web page")
        return page
    raise TooManyRedirectsError(f"it leads on after {HOPS} redirects, to {url}")
