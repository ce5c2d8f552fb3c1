"""Who wants another's word of approval for what they never saw, and how many words of approval there are in a comment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from agent import people, slash
from agent.domain.request import Comment
from agent.domain.review import Review
from agent.errors import Refused
from agent.forges.github_requests import GitHubRequests
from tests.acceptance.harness import Home, answers
from tests.redteam.threats import threat


def waiting(folder: Path) -> Home:
    """A proposal that was looked at and waits for bob."""
    home = Home.founded(folder / "skills", answers()).bare()
    home.write_policy(autonomy="manual", approvers=["bob"])
    home.request()
    home.run()
    return home


def by_people(home: Home, number: int) -> list[Review]:
    return [review for review in home.forge.reviews(number, home.proposal(number).head) if review.kind == "person"]


@threat(85)
def test_a_push_between_an_approval_and_its_reading_is_not_what_was_approved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = waiting(tmp_path)
    proposal = home.proposal()
    number, readme = proposal.number, f"skills/{proposal.skill}/SKILL.md"
    forged: dict[str, dict[str, object]] = {
        "was edited after bob wrote it": {"edited": True},  # by whoever may write to the repository
        "was not looked at yet when that was written": {"at": "2020-01-01T00:00:00Z"},
    }
    for why, traits in forged.items():
        comment = Comment.model_validate({"id": 99, "number": number, "author": "bob", "text": "/approve", **traits})
        with monkeypatch.context() as patched:
            patched.setattr(home.parts.forge, "comments", lambda _, said=comment: [said])
            assert why in slash.heed_all(home.parts, number)[0] and by_people(home, number) == []

    home.forge.say(number, "/approve", author="bob")
    more = {readme: home.forge.files(proposal.head, f"skills/{proposal.skill}")["SKILL.md"] + b"\nMore.\n"}
    home.forge.commit(proposal.branch, more, parent=proposal.head, message="More", author="mallory")
    home.run()
    head = home.proposal(number).head
    assert head != proposal.head and by_people(home, number) == [] and home.proposal(number).state == "open"

    home.forge.say(number, f"/approve {proposal.head[:12]}", author="bob")  # of what it is no more
    home.forge.say(number, f"/approve {head[:12]} now it is fine", author="bob")
    told = slash.heed_all(home.parts, number)
    assert "has changed since it was shown" in told[0]
    assert [(review.head, review.summary) for review in by_people(home, number)] == [(head, "now it is fine")]


def test_an_app_is_nobodys_person_whatever_it_may() -> None:
    """Not even asked of GitHub: there is no repository behind this."""
    assert not GitHubRequests().may_judge("acme-helper[bot]")


BY = {"through a door": "bob", "by git, in another name": "Robert <rob@example.org>"}


@threat(88)
@pytest.mark.parametrize("by", BY)
def test_whoever_pushes_to_a_proposal_does_not_approve_it(by: str, tmp_path: Path) -> None:
    """By no door: a command, a comment, or a review that the forge itself holds. Another person still does."""
    home = waiting(tmp_path)
    home.write_policy(autonomy="manual", approvers=["bob", "eve"])
    number, branch, known = home.proposal().number, home.proposal().branch, by == "through a door"
    readme = f"skills/{home.proposal().skill}/SKILL.md"
    more = {readme: home.forge.files(branch, f"skills/{home.proposal().skill}")["SKILL.md"] + b"\nMore.\n"}
    home.forge.commit(branch, more, parent=home.proposal().head, message="More", author="bob")
    if not known:
        renamed(tmp_path / "skills.git", branch, BY[by])
    home.run()
    head = home.proposal(number).head

    with pytest.raises(Refused, match=f"Commit {head[:12]} is by {BY[by]}") as refused:
        people.judge(home.parts, "approve", number, "bob", "fine")
    assert ("Another person must approve it." in str(refused.value)) is known
    home.forge.say(number, f"/approve {head[:12]}", author="bob")
    assert "nobody approves what they wrote" in slash.heed_all(home.parts, number)[0]
    home.forge.post_review(number, Review(reviewer="bob", head=head, verdict="approve", summary="Fine.", kind="person"))
    waits = home.run()
    assert home.proposal(number).state == "open", waits
    assert f"bob cannot approve it, for nobody approves what they wrote. Commit {head[:12]} is by" in str(home.forge.comments(number))

    if known:
        people.judge(home.parts, "approve", number, "eve", "fine")
        home.run()
        assert home.proposal(number).state == "merged"
        return
    with pytest.raises(Refused, match="may be anybody's"):
        people.judge(home.parts, "approve", number, "eve", "fine")


def renamed(origin: Path, branch: str, who: str) -> None:
    """The head of a branch made anew by git itself, as by `who` on another machine, and pushed over the old one."""
    name, _, mail = who.removesuffix(">").partition(" <")
    says = {f"GIT_{role}_{part}": told for role in ("AUTHOR", "COMMITTER") for part, told in (("NAME", name), ("EMAIL", mail))}

    def git(*arguments: str) -> str:
        command, surroundings = ["git", f"--git-dir={origin}", *arguments], {**os.environ, **says}
        return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True).stdout

    made = git("commit-tree", f"{branch}^{{tree}}", "-p", f"{branch}^", "-m", "More").strip()
    git("update-ref", f"refs/heads/{branch}", made)
