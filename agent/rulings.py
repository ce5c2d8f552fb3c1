"""That witness cases were disputed, and what became of it: in the words that a reader of the proposal sees, and that the author is told."""

from __future__ import annotations

from collections.abc import Sequence

from agent.domain.dispute import Ruling
from agent.domain.wording import counted
from agent.markdown import plain

_OUTCOMES = {
    "struck": "**struck**; it is tested no more",
    "upheld": "upheld",
    "could_not_tell": "could not tell, so it stands",
    "addressed": "not put to the arbiter, so it stands",
}


def told(rulings: Sequence[Ruling]) -> str:
    """For the end of a proposal's text; empty where nothing was disputed."""
    lines = "\n".join(f"- {_line(ruling)}" for ruling in rulings)
    return f"\n\nWitness cases that the author disputed, and what an arbiter said, who saw the case and not the code:\n\n{lines}" if lines else ""


def _line(ruling: Ruling) -> str:
    quoted = f" The requirement says: “{_one(ruling.quote)}”." if ruling.quote else ""
    held = f" The author held: “{_one(ruling.objection)}”" if ruling.objection else ""
    return f"“{_one(ruling.name)}” ({_one(ruling.clause)}): {_OUTCOMES[ruling.outcome]}. {_one(ruling.why)}{quoted}{held}"


def to_author(number: int, ruling: Ruling) -> str:
    """What is said to the author of a case that stands: words of the requirement, which it knows, and nothing that was said of the case."""
    if ruling.outcome == "upheld":
        return f"(You disputed the case {number}, and an arbiter upheld it. The requirement says: “{ruling.quote}”. Mend the skill.)"
    return f"(You disputed the case {number}, and it could not be settled, so it stands. Mend the skill.)"


def struck_commit(name: str, count: int, request: int) -> str:
    return f"test({name}): {counted(count, 'witness case')} taken out, as an arbiter ruled\n\nFor request #{request}."


def _one(text: str) -> str:
    return plain(" ".join(text.split()), 600)
