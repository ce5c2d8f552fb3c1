"""The Redactor: strikes known secrets out of text that leaves, such as a skill's log or its error. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.errors import SkillOpsError
from agent.notations import notations
from agent.ports import Secrets

STRUCK = "[secret]"
SHORTEST_LINE = 8  # characters: a line of a secret that is shorter (`-----`) may be anything


class Redactor:
    """Knows `values` in all their notations, and each longer line of those that have several.

    A text is to be cut after it was looked at, not before. The beginning of a value is left where it stands alone: whoever has a skill repeat
    their guesses would else be told of each sign whether it is right.
    """

    def __init__(self, values: Iterable[str]) -> None:
        found: set[str] = set()
        for value in values:
            lines = [line.strip() for line in value.splitlines()]
            for piece in {value, value.strip(), *(line for line in lines if len(line) >= SHORTEST_LINE)}:
                found |= notations(piece)
        self._known = tuple(found)

    def __call__(self, text: str) -> str:
        """What lies over one another, like a secret that holds another or begins with its end, is struck out as a whole."""
        told, at = list[str](), 0
        for start, end in sorted(span for form in self._known for span in _spans(form, text)):
            if start >= at:
                told += [text[at:start], STRUCK]
            at = max(at, end)
        return "".join([*told, text[at:]])


def _spans(form: str, text: str) -> Iterator[tuple[int, int]]:
    at = text.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = text.find(form, at + 1)


def struck(secrets: Secrets, skill: str, text: str) -> str:
    """The text without any secret that the skill may have; none of it where the vault cannot be read."""
    if not text:
        return text
    try:
        return Redactor(secrets.known(skill))(text)
    except SkillOpsError as error:
        return f"(withheld, as secrets could not be struck out of it: {error.fault})"
