"""A Proposal: a branch with its pull request, and what it changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from agent.domain import Frozen
from agent.domain.skill import SkillName

Kind = Literal["new", "extend", "person", "rollback", "retire", "revert", "update"]

# Identities that write (AGENT speaks on requests). Nobody approves what they wrote, and the author is not the examiner.
AGENT, AUTHOR, WITNESS, ARBITER, DEPLOYER = "skillops", "skillops-author", "skillops-witness", "skillops-arbiter", "skillops-deployer"
OURS = frozenset((AGENT, AUTHOR, WITNESS, ARBITER, DEPLOYER))

HOLD, DEPLOY_FAILED, OUT_OF_BUDGET = "hold", "deploy-failed", "out-of-budget"
OVERTAKEN = "overtaken"  # closed because its skill changed on main; its request is assessed anew
STALE = "stale"  # it has waited for a person for longer than the policy allows
DONE = "done"  # merged, nobody requested it, and nothing is left to do for it


class ProposalDraft(Frozen):
    """A proposal that is to be opened for a branch that exists. One branch has at most one open proposal. `pasted`: as of a request."""

    branch: str
    skill: SkillName
    kind: Kind
    title: str
    body: str
    author: str
    request: int | None = None
    draft: bool = False
    pasted: tuple[str, ...] = Field(default=(), exclude=True)


class Proposal(Frozen):
    """`head` is the branch's commit now and `base` the commit of the main branch that it would merge into.

    `merged_commit` is set once merged.
    """

    number: int
    branch: str
    skill: SkillName
    kind: Kind
    title: str
    body: str
    author: str
    head: str
    base: str
    request: int | None = None
    draft: bool = False
    state: Literal["open", "merged", "closed"] = "open"
    merged_commit: str | None = None
    labels: tuple[str, ...] = ()
    url: str = ""
    pasted: tuple[str, ...] = Field(default=(), exclude=True)

    @property
    def by_agent(self) -> bool:
        return self.author == AUTHOR


class Written(Frozen):
    """Who one commit of a proposal is by, and without a `commit`: who pushed to its branch.

    `people` are the names that the forge knows them by, ours left out; `stranger` is a name that it knows nobody by.
    """

    commit: str = ""
    people: tuple[str, ...] = ()
    stranger: str = ""

    def __str__(self) -> str:
        names = (*self.people, *([self.stranger] if self.stranger else []))
        if not self.commit:
            return f"It was pushed by {' and '.join(names)}."
        return f"Commit {self.commit[:12]} is by {' and '.join(names)}."


def wrote(written: Iterable[Written], person: str) -> str:
    """Why `person` cannot approve what was written like this: it is theirs in part, or may be; empty where it is others'.

    What is by nobody that the forge knows may be anybody's, so nobody approves it.
    """
    own = [each for each in written if each.stranger or person.casefold() in map(str.casefold, each.people)]
    more = [f"{len(own) - 5} more are like that."] if len(own) > 5 else []
    stranger = next((each.stranger for each in own if each.stranger), "")
    unknown = [f"The forge knows nobody as {stranger}, so it may be anybody's."] if stranger else []
    return " ".join((*map(str, own[:5]), *more, *unknown))


class Change(Frozen):
    """One path that a proposal changes. `mode` is git's (100644, 100755, 120000, 160000, 000000 for deleted)."""

    path: str
    status: Literal["added", "modified", "deleted"]
    mode: str
    size: int = 0
    binary: bool = False
