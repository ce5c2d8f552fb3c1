"""The Redactor: strikes known secrets out of text that leaves, such as a skill's log or its error. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.errors import SkillOpsError
from agent.notations import notations
from agent.ports import Secrets

STRUCK = "[secret]"
SHORTEST_LINE = 8  # characters: a line of a secret that is shorter (`-----`) may be anything
SHORTEST_START = 6  # characters at the end of a text that was cut, which may be how a secret begins
_AFTER_A_CUT = "'\"`….)]}> \r\n\t"  # what may follow there


class Redactor:
    """Knows `values` in all their notations, and each longer line of those that have several; of a text that was cut within one, its beginning."""

    def __init__(self, values: Iterable[str]) -> None:
        found: set[str] = set()
        for value in values:
            lines = [line.strip() for line in value.splitlines()]
            for piece in {value, value.strip(), *(line for line in lines if len(line) >= SHORTEST_LINE)}:
                found |= notations(piece)
        self._known = tuple(found)

    def __call__(self, text: str) -> str:
        """What lies over one another, like a secret that holds another or begins with its end, is struck out as a whole."""
        spans = sorted(span for form in self._known for span in _spans(form, text))
        told, at = list[str](), 0
        while spans:
            start, end = spans.pop(0)
            while spans and spans[0][0] < end:
                end = max(end, spans.pop(0)[1])
            told += [text[at:start], STRUCK]
            at = end
        return "".join([*told, text[at:]])


def _spans(form: str, text: str) -> Iterator[tuple[int, int]]:
    """Where it stands, whole, or cut at the end."""
    at = text.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = text.find(form, at + 1)
    if len(form) > SHORTEST_START:
        whole = len(text.rstrip(_AFTER_A_CUT)) if text[-1:] in _AFTER_A_CUT else len(text)
        for end in {whole, len(text)}:
            at = text.find(form[:SHORTEST_START], max(0, end - len(form) + 1), end)
            while at >= 0:
                if form.startswith(text[at:end]):
                    yield at, end
                    break
                at = text.find(form[:SHORTEST_START], at + 1, end)


def struck(secrets: Secrets, skill: str, text: str) -> str:
    """The text without any secret that the skill may have; none of it where the vault cannot be read."""
    if not text:
        return text
    try:
        return Redactor(secrets.known(skill))(text)
    except SkillOpsError as error:
        return f"(withheld, as secrets could not be struck out of it: {error.fault})"
