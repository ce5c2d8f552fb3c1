"""Posted: a secret in what a person wrote on an issue or a pull request, where all who see that can read it.

The forge hands us the text without it (`agent/forges/github_requests.py`), and the kinds of what was there. Who posted it is told there, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from agent.domain.progress import Situation
from agent.domain.proposal import AGENT
from agent.domain.request import Comment
from agent.parts import Parts
from agent.pasted import posted_comment

_Posted = tuple[str, tuple[str, ...]]  # who, and the kinds


def warn(parts: Parts, seen: Situation) -> None:
    """Tells each who posted a secret on the request, in the text of the proposal or in a review of it: once on each; nothing where nobody did."""
    if seen.request:
        said = parts.forge.comments(seen.request.number)
        _tell(parts, seen.request.number, ((seen.request.requester, seen.request.pasted), *_in(said)))
    if seen.proposal:
        reviews = ((review.reviewer, review.pasted) for review in seen.reviews)
        _tell(parts, seen.proposal.number, ((seen.proposal.author, seen.proposal.pasted), *reviews))


def warn_of_comments(parts: Parts, number: int) -> None:
    """The same of the comments on a proposal, which are read where what people say there is heeded."""
    _tell(parts, number, _in(parts.forge.comments(number)))


def _in(comments: Iterable[Comment]) -> Iterator[_Posted]:
    return ((comment.author, comment.pasted) for comment in comments)


def _tell(parts: Parts, number: int, posted: Iterable[_Posted]) -> None:
    found = [(person, kinds) for person, kinds in posted if kinds]
    told = {comment.marker for comment in parts.forge.comments(number)} if found else set()
    for person, kinds in found:
        marker = f"pasted:{re.sub(r'[^A-Za-z0-9-]', '.', person)[:100]}"
        if marker not in told:
            told.add(marker)
            parts.forge.say(number, posted_comment(person, kinds), author=AGENT, marker=marker)
