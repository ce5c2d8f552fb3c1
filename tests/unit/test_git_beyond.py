"""Where branches left main is what git says, without asking git for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.forges.git_door import GitDoor
from agent.forges.local import LocalForge
from tests.contracts.test_forge import a_proposal_draft
from tests.plain_git import git


@pytest.fixture
def forge(tmp_path: Path) -> LocalForge:
    forge = LocalForge.found(tmp_path / "origin.git")
    forge.commit("main", {"README.md": b"Skills.\n"}, parent=None, message="Start", author="ada")
    return forge


def a_branch(forge: LocalForge, name: str, commits: int = 1) -> None:
    for number in range(commits):
        forge.commit(f"skill/{name}", {f"skills/{name}/{number}.py": b"x"}, parent=forge.head(f"skill/{name}"), message="m", author="ada")
    forge.open_proposal(a_proposal_draft(branch=f"skill/{name}", skill=name))


def test_what_many_branches_change_is_known_after_one_process_however_many_they_are(forge: LocalForge, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        a_branch(forge, f"old-{number}", commits=2)
    forge.commit("main", {"README.md": b"More skills.\n"}, parent=forge.head("main"), message="On", author="ada")
    for number in range(8):
        a_branch(forge, f"new-{number}")
    asked: list[str] = []
    run = GitDoor.run
    monkeypatch.setattr(GitDoor, "run", lambda door, *words, **more: asked.append(words[0]) or run(door, *words, **more))
    anew = LocalForge(forge.origin)

    changed = {proposal.skill: [change.path for change in anew.changes("main", proposal.head)] for proposal in anew.proposals("open")}
    onward = {proposal.skill: [change.path for change in anew.changes(proposal.head, "main")] for proposal in anew.proposals("open")}

    assert asked == ["rev-list"]
    assert changed["old-3"] == ["skills/old-3/0.py", "skills/old-3/1.py"] and changed["new-5"] == ["skills/new-5/0.py"]
    assert onward["old-3"] == ["README.md"] and onward["new-5"] == []


def test_a_branch_that_main_was_merged_into_and_one_without_an_ancestor_are_as_git_says(forge: LocalForge) -> None:
    a_branch(forge, "joined")
    forge.commit("main", {"other.md": b"x"}, parent=forge.head("main"), message="On", author="ada")
    tree = git(forge.origin, "merge-tree", "--write-tree", "skill/joined", "main").decode().split()[0]
    merge = git(forge.origin, "commit-tree", tree, "-p", "skill/joined", "-p", "main", "-m", "up to date").decode().strip()
    git(forge.origin, "update-ref", "refs/heads/skill/joined", merge)
    alone = git(forge.origin, "commit-tree", tree, "-m", "alone").decode().strip()
    git(forge.origin, "update-ref", "refs/heads/skill/alone", alone)
    forge.open_proposal(a_proposal_draft(branch="skill/alone", skill="alone"))
    assert {proposal.state for proposal in forge.proposals("open")} == {"open"}  # looks for them all

    assert [change.path for change in forge.changes("main", "skill/joined")] == ["skills/joined/0.py"]
    assert [change.path for change in forge.changes("main", "skill/alone")] == ["skills/joined/0.py"]
    assert [change.path for change in forge.changes("skill/joined", "main")] == []
