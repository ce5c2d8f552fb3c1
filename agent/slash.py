"""Slash commands: what a person writes as a comment on a pull request, /approve and the like, or /withdraw on an issue; heeded once each."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, get_args

from agent import people
from agent.domain.proposal import AGENT
from agent.domain.request import Comment
from agent.errors import Refused, SkillOpsError
from agent.markdown import plain
from agent.parts import Parts
from agent.situation import OURS
from agent.story import event_sentence, story

Verb = Literal["approve", "reject", "revise", "hold", "retry", "explain", "withdraw"]
_LINE = re.compile(rf"/({'|'.join(get_args(Verb))})(?:[ \t]+(?P<why>.*))?", re.DOTALL)
_HEARD = "heard:"  # the beginning of the marker of our answer, so that no command is heeded twice
_COMMIT = re.compile(r"[0-9a-fA-F]{7,40}")
CLOCKS = timedelta(seconds=5)  # that the forge's clock and ours may be apart
LINES = 30  # of a trail that is told in a comment


class Command(NamedTuple):
    verb: Verb
    why: str


def read(text: str) -> Command | None:
    """The command of a comment that begins with one; what stands behind it is the reason. Anything else is talk."""
    found = _LINE.fullmatch(text.strip())
    return Command(found[1], (found["why"] or "").strip()) if found else None  # type: ignore[arg-type]


def heed_all(parts: Parts, number: int) -> list[str]:
    """Heeds every command on a proposal that was not heeded yet, in the order in which they were written. Our answers."""
    return [_heed(parts, comment, command, _done) for comment, command in _unheeded(parts, number)]


def heed_request(parts: Parts, number: int) -> list[str]:
    """The same on a request, of which there is one: it is taken back. Anything else is talk there."""
    found = [(comment, command) for comment, command in _unheeded(parts, number) if command.verb == "withdraw"]
    return [_heed(parts, comment, command, _withdrawn) for comment, command in found]


def _unheeded(parts: Parts, number: int) -> list[tuple[Comment, Command]]:
    comments = parts.forge.comments(number)
    heard = {comment.marker for comment in comments if comment.marker}
    return [
        (comment, command) for comment in comments
        if comment.author not in OURS and comment.marker is None and f"{_HEARD}{comment.id}" not in heard and (command := read(comment.text))
    ]  # fmt: skip


def _heed(parts: Parts, comment: Comment, command: Command, do: Callable[[Parts, Comment, Command], str]) -> str:
    """Does it, and answers; a refusal is an answer too."""
    try:
        told, heeded = do(parts, comment, command), True
    except SkillOpsError as error:
        if error.exit_code == 4:
            raise  # we could not find out: it is heeded the next time
        told, heeded = f"/{command.verb} was refused: {plain(str(error))}", False
    parts.forge.say(comment.number, told, author=AGENT, marker=f"{_HEARD}{comment.id}")
    parts.forge.react(comment.id, heeded=heeded)
    return told


def _withdrawn(parts: Parts, comment: Comment, command: Command) -> str:
    """By who asked, or by whom the forge itself knows to have a say there."""
    asked = parts.forge.request(comment.number)
    if not asked.asked_by(comment.author, vouched=comment.vouched) and not (comment.vouched and parts.forge.may_judge(comment.author)):
        why = f"{asked.requester} asked for it, and write permission on the repository is needed to take back what others asked for."
        raise Refused(f"{comment.author} may not take #{comment.number} back.", why=why)
    _check_unedited(comment, command)
    people.withdraw(parts, comment.number, comment.author, command.why)
    return f"{comment.author} took this back, and nothing more is done for it. Raise it again where it is wanted after all."


def _done(parts: Parts, comment: Comment, command: Command) -> str:
    number, person = comment.number, comment.author
    if command.verb == "explain":
        return _trail(parts, number)
    if command.verb == "withdraw":
        raise Refused(f"#{number} is a proposal.", next_step="/reject WHY takes it out of the way; /withdraw is said on the request.")
    if not parts.forge.may_judge(person):
        why = "That needs write permission on the repository."
        raise Refused(f"{person} may not /{command.verb}.", why=why, next_step="Ask somebody who has it.")
    _check_unedited(comment, command)
    match command.verb:
        case "approve" | "reject" | "revise" as verdict:
            seen, why = _named(command.why) if verdict == "approve" else ("", command.why)
            review = people.judge(parts, verdict, number, person, why, _seen(parts, comment, seen) if verdict == "approve" else "")
            return f"{person} says {verdict}, of {review.head[:12]}. A push after that needs a new word."
        case "hold":
            people.hold(parts, number, person, command.why)
            return "It is on hold. /retry lets it go on."
        case _:
            people.retry(parts, number, person)
            return "It is taken up again, with a new budget."


def _check_unedited(comment: Comment, command: Command) -> None:
    if comment.edited:
        why = "Whoever may write to the repository can edit what others wrote on GitHub."
        next_step = f"Write /{command.verb} in a comment of its own."
        raise Refused(f"That comment was edited after {comment.author} wrote it.", why=why, next_step=next_step)


def _named(why: str) -> tuple[str, str]:
    """The commit that an approval begins with, where it does, and the reason."""
    first, _, rest = why.partition(" ")
    return (first, rest.strip()) if _COMMIT.fullmatch(first) else ("", why)


def _seen(parts: Parts, comment: Comment, named: str) -> str:
    """The commit that an approval is of. Whoever wrote /approve saw the head of then, and we read it later: so it is of a head that we had
    looked at before they wrote, or of the one that they name."""
    proposal = parts.forge.proposal(comment.number)
    if named:
        return proposal.head if proposal.head.startswith(named.lower()) else named.lower()
    looked = next((entry.at for entry in parts.ledger.entries(proposal=proposal.number) if entry.event.commit == proposal.head), "")
    if not looked or (comment.at and _moment(comment.at) + CLOCKS < _moment(looked)):
        raise Refused(
            f"{proposal.head[:12]} was not looked at yet when that was written.", why="It may have been pushed after it.",
            next_step=f"Look at what it is now, and write /approve {proposal.head[:12]}.",
        )  # fmt: skip
    return proposal.head


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at)


def _trail(parts: Parts, number: int) -> str:
    """The story of a proposal as a list."""
    told = story(number, parts.forge, parts.ledger)
    lines = [f"- {entry.at[:16].replace('T', ' ')} {plain(event_sentence(entry.event), 1_000)}" for entry in told.entries]
    if told.tampered is not None:
        lines.append(f"**Line {told.tampered} of the ledger was tampered with.**")
    return "\n".join(lines[-LINES:]) or "Nothing happened yet."
