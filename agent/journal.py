"""A journal: what was done to a forge, as data, so that a job without a right can do it on a mirror and a job with the right can do it anew.

A job that holds a model's key, or that runs a proposal's code, has no token that writes. It works on a mirror and leaves a journal; another
job, with the token and nothing else, reads that as untrusted data: `allowed` says what an entry of its kind of job may do, and anything else
voids the whole.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from agent.domain import Frozen
from agent.domain.audit import Audit
from agent.domain.check import CheckResult
from agent.domain.event import Entered, Event
from agent.domain.proposal import AGENT, AUTHOR, DEPLOYER, WITNESS, ProposalDraft
from agent.domain.review import Review
from agent.errors import HeadMoved, Refused
from agent.ports import Forge, Ledger

Job = Literal["draft", "check", "review", "nightly"]
MOST = 16 * 2**20  # bytes of a journal
_LOOK = "Look at the job that wrote it."
_UPDATE = re.compile(r"skillops/update-(?P<skill>[a-z][a-z0-9-]*)-[0-9.]+-[0-9a-f]{8}")
_BRANCH = re.compile(r"skillops/[0-9]+-[a-z][a-z0-9-]{0,80}(-from-[0-9.]+)?")


class Said(Frozen):
    kind: Literal["said"] = "said"
    number: int
    text: str
    author: str
    marker: str | None = None


class Labelled(Frozen):
    kind: Literal["labelled"] = "labelled"
    number: int
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class Closed(Frozen):
    kind: Literal["closed"] = "closed"
    number: int
    closed_as: str


class Committed(Frozen):
    """`files` in base64, None for what is deleted. `onto` is the commit that the branch was at, None where it was made."""

    kind: Literal["committed"] = "committed"
    branch: str
    files: dict[str, str | None]
    onto: str | None
    message: str
    author: str


class Proposed(Frozen):
    kind: Literal["proposed"] = "proposed"
    draft: ProposalDraft


class Checked(Frozen):
    kind: Literal["checked"] = "checked"
    number: int
    result: CheckResult


class Reviewed(Frozen):
    kind: Literal["reviewed"] = "reviewed"
    number: int
    review: Review


class Recorded(Frozen):
    kind: Literal["recorded"] = "recorded"
    event: Event


Line = Annotated[Said | Labelled | Closed | Committed | Proposed | Checked | Reviewed | Recorded, Field(discriminator="kind")]


class Journal(Frozen):
    """`head` is the proposal's commit that a check or review looked at; `audit` is what a nightly job found."""

    job: Job
    request: int | None = None
    proposal: int | None = None
    head: str | None = None
    audit: Audit | None = None
    lines: tuple[Line, ...] = Field(default=(), max_length=500)


class Noting:
    """A forge that does everything on `mirror` and notes what was written, in order."""

    def __init__(self, mirror: Forge) -> None:
        self._mirror, self.lines = mirror, list[Any]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mirror, name)

    def commit(self, branch: str, files: Mapping[str, bytes | None], *, parent: str | None, message: str, author: str, orphan: bool = False) -> str:
        made = self._mirror.commit(branch, files, parent=parent, message=message, author=author, orphan=orphan)
        if made != parent:
            told = {path: None if data is None else base64.b64encode(data).decode() for path, data in files.items()}
            self.lines.append(Committed(branch=branch, files=told, onto=parent, message=message, author=author))
        return made

    def say(self, number: int, text: str, *, author: str, marker: str | None = None) -> None:
        self._mirror.say(number, text, author=author, marker=marker)
        self.lines.append(Said(number=number, text=text, author=author, marker=marker))

    def label(self, number: int, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        added, removed = tuple(add), tuple(remove)
        self._mirror.label(number, add=added, remove=removed)
        self.lines.append(Labelled(number=number, add=added, remove=removed))

    def close_request(self, number: int, closed_as: str) -> None:
        self._mirror.close_request(number, closed_as)
        self.lines.append(Closed(number=number, closed_as=closed_as))

    def open_proposal(self, draft: ProposalDraft) -> Any:
        opened = self._mirror.open_proposal(draft)
        self.lines.append(Proposed(draft=draft))
        return opened

    def post_check(self, number: int, result: CheckResult) -> None:
        self._mirror.post_check(number, result)
        self.lines.append(Checked(number=number, result=result))

    def post_review(self, number: int, review: Review) -> None:
        self._mirror.post_review(number, review)
        self.lines.append(Reviewed(number=number, review=review))


class NotingLedger:
    """A ledger that notes what is recorded, in the same journal as its forge."""

    def __init__(self, mirror: Ledger, noting: Noting) -> None:
        self._mirror, self._noting = mirror, noting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mirror, name)

    def record(self, event: Event) -> Entered:
        self._noting.lines.append(Recorded(event=event))
        return self._mirror.record(event)


def read_journal(data: bytes) -> Journal:
    """A journal that another job left. Refused where it is none."""
    if len(data) > MOST:
        raise Refused(
            "The journal is too large.", why=f"It has {len(data):,} bytes; {MOST:,} is the most.", next_step="Look at the job that wrote it."
        )
    try:
        return Journal.model_validate_json(data)
    except ValidationError as error:
        raise Refused("The journal is not what the job should leave.", why=str(error)[:500], next_step=_LOOK) from None


def apply(journal: Journal, forge: Forge, ledger: Ledger) -> None:
    """Does what a journal says, where all of it may be done. Refused names the first line that may not. May be done again."""
    for fault in faults(journal):
        raise Refused("The journal is void.", why=fault, next_step="Look at the job that wrote it; nothing of it was done.")
    ours = dict[str, str]()  # the heads that our own commits left
    for line in journal.lines:
        match line:
            case Said():
                forge.say(line.number, line.text, author=line.author, marker=line.marker)
            case Labelled():
                forge.label(line.number, add=line.add, remove=line.remove)
            case Closed():
                forge.close_request(line.number, line.closed_as)
            case Committed():
                ours[line.branch] = _commit(line, forge, ours.get(line.branch))
            case Proposed():
                forge.open_proposal(line.draft)
            case Checked():
                forge.post_check(line.number, line.result)
            case Reviewed():
                forge.post_review(line.number, line.review)
            case Recorded():
                ledger.record(line.event)


def _commit(line: Committed, forge: Forge, ours: str | None) -> str:
    """A commit of the mirror, made on the forge: onto the very commit that it was made on there, or onto ours that stands for it."""
    onto = ours or line.onto
    if ours is None and onto is not None and forge.head(line.branch) != onto:
        raise HeadMoved(f"The branch {line.branch} has moved since the job began.", next_step="The next run begins from where it is now.")
    files = {path: None if text is None else base64.b64decode(text, validate=True) for path, text in line.files.items()}
    return forge.commit(line.branch, files, parent=onto, message=line.message, author=line.author)


def faults(journal: Journal) -> Iterator[str]:
    """What in a journal goes beyond what its kind of job may do."""
    skills = {line.draft.skill for line in journal.lines if isinstance(line, Proposed)}
    skills |= {path.split("/")[1] for line in journal.lines if isinstance(line, Committed) for path in line.files if path.startswith("skills/")}
    if len(skills) > 1 and journal.job != "nightly":
        yield f"It touches several skills: {', '.join(sorted(skills))}."
    for line in journal.lines:
        if fault := _fault(line, journal):
            yield fault


def _nightly_fault(line: Any) -> str:
    """A nightly job raises the dependencies of skills, each on a branch of its own, and does nothing else."""
    if isinstance(line, Committed):
        found = _UPDATE.fullmatch(line.branch)
        outside = [path for path in line.files if found is None or not path.startswith(f"skills/{found['skill']}/")]
        return f"It commits to {line.branch[:80]} as {line.author[:40]}." if outside or line.author != DEPLOYER or line.onto is not None else ""
    if isinstance(line, Proposed):
        found, draft = _UPDATE.fullmatch(line.draft.branch), line.draft
        right = found and (draft.skill, draft.kind, draft.author, draft.request) == (found["skill"], "update", DEPLOYER, None)
        return "" if right else f"It proposes {draft.branch[:80]} as {draft.author[:40]}."
    return f"A nightly job has {line.kind} something."


def _fault(line: Any, journal: Journal) -> str:
    if journal.job == "nightly":
        return _nightly_fault(line)
    kinds = {"draft": (Said, Labelled, Closed, Committed, Proposed, Recorded), "check": (Checked, Recorded), "review": (Reviewed, Recorded)}
    if not isinstance(line, kinds[journal.job]):
        return f"A {journal.job} job has {line.kind} something."
    match line:
        case Said() if line.author != AGENT or line.number not in (journal.request, journal.proposal):
            return f"It speaks as {line.author[:40]} on #{line.number}."
        case Labelled() | Closed() if line.number not in (journal.request, journal.proposal):
            return f"It changes #{line.number}, which it does not work on."
        case Closed() if line.closed_as not in ("covered", "refused"):
            return f"It closes the request as {line.closed_as[:40]}."
        case Committed():
            return _commit_fault(line)
        case Proposed() if line.draft.request != journal.request or line.draft.author != AUTHOR or not _BRANCH.fullmatch(line.draft.branch):
            return f"It proposes {line.draft.branch[:80]} as {line.draft.author[:40]} for #{line.draft.request}."
        case Checked() if (line.number, line.result.head) != (journal.proposal, journal.head):
            return f"It judges #{line.number} at {line.result.head[:12]}, which it did not look at."
        case Reviewed() if (line.number, line.review.head, line.review.kind) != (journal.proposal, journal.head, "model"):
            return f"It judges #{line.number} as the {line.review.kind} {line.review.reviewer[:40]}."
        case Reviewed() if any(remark.blocking and remark.reproduced is None for remark in line.review.remarks):
            return f"What {line.review.reviewer[:40]} remarked was not tried."
        case Recorded() if line.event.stage == "people":
            return "It records what a person said."
    return ""


def _commit_fault(line: Committed) -> str:
    if not _BRANCH.fullmatch(line.branch):
        return f"It commits to {line.branch[:80]}."
    if line.author not in (AUTHOR, WITNESS):
        return f"It commits as {line.author[:40]}."
    outside = next((path for path in line.files if not re.fullmatch(r"skills/[a-z][a-z0-9-]*/.+", path)), None)
    return f"It changes {outside[:120]}, outside skills/." if outside else ""
