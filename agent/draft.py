"""A draft: what the author's model gives, as a type, and what keeps one from being written at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

from pydantic import Field

from agent.domain import Frozen
from agent.domain.decision import Problem
from agent.domain.dispute import Objection
from agent.domain.paths import odd_path, shown
from agent.domain.skill import WITNESS_PATH, Annotations, Permissions, Resources

LOCKS = (".lock", "go.mod", "go.sum")  # written by the language from `dependencies`, never by a model or shown to one
OURS = frozenset(("skill.yaml", "skill.md", WITNESS_PATH))  # written from the contract, or by the witness; compared in small letters
SHORTEST = 20  # characters of the instructions

Alias = Annotated[str, Field(min_length=2, max_length=80)]


class DraftFile(Frozen):
    """`path` is relative to the skill's folder; `content` is the whole file."""

    path: str
    content: str


class Draft(Frozen):
    """A whole skill, but for what the contract lays down. Files that are not given do not exist."""

    code: tuple[DraftFile, ...] = Field(min_length=1, max_length=20)
    tests: tuple[DraftFile, ...] = Field(min_length=1, max_length=20, description="Paths in tests/.")
    instructions: str = Field(min_length=SHORTEST, max_length=8000, description="The body of SKILL.md: when and how to use the skill.")
    aliases: tuple[Alias, ...] = Field(default=(), max_length=12, description="Other words that people use for this.")
    permissions: Permissions = Field(default=Permissions(), description="At most what the contract grants.")
    dependencies: tuple[str, ...] = Field(default=(), max_length=10, description="Pinned exactly. Best none.")
    annotations: Annotations = Annotations()
    resources: Resources = Resources()
    notes: str = Field(default="", max_length=1500, description="What the reviewer of the pull request should know.")


class Repair(Draft):
    """A whole skill, or what is held against the cases that found it wrong, or both."""

    code: tuple[DraftFile, ...] = Field(default=(), max_length=20)
    tests: tuple[DraftFile, ...] = Field(default=(), max_length=20, description="Paths in tests/.")
    instructions: str = Field(default="", max_length=8000, description="The body of SKILL.md: when and how to use the skill.")
    disputes: tuple[Objection, ...] = Field(default=(), max_length=20, description="Cases that contradict the contract. Most often none.")


def repair_check(disputable: Sequence[int]) -> Callable[[Draft], str | None]:
    """What is wrong with a repair, for the model; `disputable` are the numbers of the cases that can be disputed."""

    def check(draft: Draft) -> str | None:
        disputes = draft.disputes if isinstance(draft, Repair) else ()
        numbers = [each.case for each in disputes]
        if unknown := sorted(set(numbers) - set(disputable)):
            return f"`disputes` names the case {unknown[0]}; those that can be disputed are {', '.join(map(str, disputable))}"
        if len(set(numbers)) < len(numbers):
            return "`disputes` names a case twice"
        if not draft.code and (draft.tests or not disputes):
            return "`code` is empty; give all files of the skill, or dispute a case and give none"
        if draft.code and (not draft.tests or len(draft.instructions) < SHORTEST):
            return "with `code`, give all `tests` and the `instructions` as well"
        return None

    return check


def draft_problems(draft: Draft, entrypoint: str, granted: Permissions) -> Iterator[Problem]:
    """What keeps a draft from being written at all."""
    paths = [file.path for file in (*draft.code, *draft.tests)]
    for file in draft.code:
        if file.path.startswith("tests/"):
            yield Problem(source="draft", message="code does not lie in tests/", path=file.path)
    for file in draft.tests:
        if not file.path.startswith("tests/"):
            yield Problem(source="draft", message="tests lie in tests/", path=file.path)
    for path in dict.fromkeys(paths):
        if why := _path_problem(path, paths):
            yield Problem(source="draft", message=f"the path {shown(path)[:200]!r} {why}")
    for file in (*draft.code, *draft.tests):
        if any("\ud800" <= char <= "\udfff" or char == "\0" for char in file.content):
            yield Problem(source="draft", message="the content is not text", path=shown(file.path))
    if entrypoint not in paths:
        yield Problem(source="draft", message=f"the file {entrypoint} is missing")
    for wider in draft.permissions.wider_than(granted):
        yield Problem(source="draft", message=f"the contract does not grant {wider}")


def _path_problem(path: str, paths: list[str]) -> str | None:
    if why := odd_path(path):
        return why
    if path.casefold() in OURS or path.endswith(LOCKS):
        return "is not the author's to write"
    if any(part.startswith(".") for part in path.split("/")):
        return "is hidden"
    if sum(other.casefold() == path.casefold() for other in paths) > 1:
        return "is given twice"
    return "is a file and a folder" if any(other.startswith(path + "/") for other in paths) else None
