"""What a polite visitor does: asks robots.txt first (RFC 9309), and leaves a pause between two pages of a host.

What is known of a host lies in a folder below the temporary one, which the calls of a running skill share.
"""

import fcntl
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from protego import Protego

from faults import DisallowedError, RateLimitedError, TooLargeError, UnreachableError
from fetching import Client

KEPT = 3600.0  # seconds that a robots.txt is believed
LONGEST_PAUSE = 30.0  # seconds between two pages that a robots.txt may ask for
LONGEST_WAIT = 20.0  # seconds that a call waits for its turn
HOPS = 5
LARGEST = 512 * 1024  # characters of a robots.txt that count (RFC 9309, 2.5)


@dataclass(frozen=True)
class Manners:
    """`pause`: seconds between two pages of a host, where its robots.txt asks for no more."""

    client: Client
    pause: float

    @property
    def token(self) -> str:
        """The name that robots.txt knows us by: SkillOps-scrape of SkillOps-scrape/1.0."""
        return self.client.agent.partition("/")[0].partition(" ")[0]

    def knock(self, url: str) -> None:
        """Waits until `url` may be fetched. Raises DisallowedError, RateLimitedError."""
        site = site_of(url)
        with known(site) as told:
            if told.get("until", 0) < time.time():
                told["robots"], told["until"] = self._robots(site), time.time() + KEPT
            rules = told["robots"]
            if rules is None:
                raise DisallowedError(
                    f"{site}/robots.txt could not be had, so that nothing there may be fetched: try again later"
                )
            robots = Protego.parse(rules)
            if not robots.can_fetch(url, self.token):
                raise DisallowedError(f"{site}/robots.txt does not allow {self.token} to fetch {url}")
            asked = robots.crawl_delay(self.token) or 0.0
            now = time.time()
            turn = max(now, told.get("next", 0.0))
            wait = turn - now
            if wait > LONGEST_WAIT:
                raise RateLimitedError(f"{site} has been visited too often: try again in {wait:.0f} seconds")
            told["next"] = turn + max(self.pause, min(asked, LONGEST_PAUSE))
        time.sleep(wait)

    def _robots(self, site: str) -> str | None:
        """robots.txt; empty where there is none, None where nobody can tell (RFC 9309, 2.3.1)."""
        url = f"{site}/robots.txt"
        for _ in range(HOPS):
            try:
                page = self.client.fetch(url)
            except TooLargeError:
                return ""
            except UnreachableError:
                return None
            if page.location and 300 <= page.status < 400:
                url = absolute(url, page.location)
            elif page.status >= 500:
                return None
            else:
                return page.body.decode(errors="replace")[:LARGEST] if page.status < 300 else ""
        return ""


def absolute(url: str, location: str) -> str:
    return urldefrag(urljoin(url, location)).url


def site_of(url: str) -> str:
    """https://example.com of https://example.com/a."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


@contextmanager
def known(site: str) -> Iterator[dict[str, Any]]:
    """What is known of a site, to read and to change; one call at a time."""
    folder = Path(tempfile.gettempdir()) / "scrape"
    folder.mkdir(exist_ok=True)
    with open(folder / hashlib.sha256(site.encode()).hexdigest(), "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        told: dict[str, Any] = json.loads(text) if text else {}
        try:
            yield told
        finally:
            file.truncate(0)
            file.write(json.dumps(told))
