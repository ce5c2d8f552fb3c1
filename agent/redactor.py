"""The Redactor: strikes known secrets out of text that leaves, such as a skill's log or its error. Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from agent.errors import SkillOpsError
from agent.ports import Secrets

STRUCK = "[secret]"
SHORTEST_LINE = 8  # characters: a line of a secret that is shorter (`-----`) may be anything


class Redactor:
    """Knows `values` as they are, as JSON, a URL and base64 write them, and each longer line of those that have several."""

    def __init__(self, values: Iterable[str]) -> None:
        found: set[str] = set()
        for value in values:
            lines = [line.strip() for line in value.splitlines()]
            pieces = {value, value.strip(), *(line for line in lines if len(line) >= SHORTEST_LINE)}
            found.update(form for piece in pieces for form in forms(piece))
        # The longest first, so that a secret which holds another is struck out as a whole.
        self._known = re.compile("|".join(map(re.escape, sorted(found, key=len, reverse=True)))) if found else None

    def __call__(self, text: str) -> str:
        return self._known.sub(STRUCK, text) if self._known else text


def struck(secrets: Secrets, skill: str, text: str) -> str:
    """The text without any secret that the skill may have; none of it where the vault cannot be read."""
    if not text:
        return text
    try:
        return Redactor(secrets.known(skill))(text)
    except SkillOpsError as error:
        return f"(withheld, as secrets could not be struck out of it: {error.fault})"


def forms(value: str) -> Iterable[str]:
    """As usual notations write it."""
    if not value:
        return
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield quote(value)
    yield quote(value, safe="")
    yield quote_plus(value)
    encoded = value.encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(encoded).decode().rstrip("=")
