"""What only the local forge has: crashes between git and SQLite, people who use git on the origin, a disk that fails."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from agent.domain.proposal import ProposalDraft
from agent.domain.request import RequestDraft
from agent.errors import CouldNotTell, HeadMoved, UsageError
from agent.forges.local import LocalForge
from tests.builders import a_result
from tests.plain_git import git

BRANCH = "skill/word-count-1"
DRAFT = ProposalDraft(branch=BRANCH, skill="word-count", kind="new", title="Add word-count", body="", author="ada")
REQUEST = RequestDraft(key="k", title="t", text="t", requester="ada", source="cli")


@pytest.fixture
def forge(tmp_path: Path) -> LocalForge:
    forge = LocalForge.found(tmp_path / "origin.git")
    forge.commit("main", {"README.md": b"Skills.\n"}, parent=None, message="Start", author="ada")
    forge.commit(BRANCH, {"skills/word-count/skill.py": b"x = 1\n"}, parent=None, message="Add", author="ada")
    forge.open_proposal(DRAFT)
    return forge


def head_of(forge: LocalForge, branch: str) -> str:
    head = forge.head(branch)
    assert head is not None
    return head


# ---- crashes ------------------------------------------------------------------------------------------------------


def test_a_merge_that_died_before_it_was_recorded_is_found(forge: LocalForge) -> None:
    head, base = head_of(forge, BRANCH), head_of(forge, "main")
    commit = forge._merge(BRANCH, head, "Merge\n\nSkillOps-Proposal: 1", "ada")  # the ref, and nothing in SQLite
    later = forge.commit("main", {"later": b"x"}, parent=commit, message="m", author="ada")

    healed = LocalForge(forge.origin)

    assert healed.merge(1, expected_head=head, message="Merge", author="ada") == commit
    found = healed.proposal(1)
    assert (found.state, found.merged_commit, found.head, found.base) == ("merged", commit, head, base)
    assert healed.head("main") == later


@pytest.mark.parametrize("state", ["open", "merged", "all"])
def test_every_way_of_looking_heals(forge: LocalForge, state: str) -> None:
    forge._merge(BRANCH, head_of(forge, BRANCH), "m", "ada")

    states = [proposal.state for proposal in LocalForge(forge.origin).proposals(state)]  # type: ignore[arg-type]

    assert states == ([] if state == "open" else ["merged"])


def test_a_process_killed_while_it_merges_leaves_a_merge_or_none(forge: LocalForge) -> None:
    script = textwrap.dedent(f"""
        import os, signal, sys
        from pathlib import Path
        from agent.forges.local import LocalForge
        forge = LocalForge(Path({str(forge.origin)!r}))
        forge._end = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        forge.merge(1, expected_head=forge.proposal(1).head, message="Merge", author="ada")
    """)
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -signal.SIGKILL

    head = head_of(forge, BRANCH)
    commit = forge.merge(1, expected_head=head, message="Merge", author="ada")

    assert commit == forge.head("main")
    assert git(forge.origin, "log", "--merges", "--format=%H", "main").decode().split() == [commit]
    assert "SkillOps-Proposal: 1" in git(forge.origin, "log", "-1", "--format=%(trailers)", commit).decode()


def test_a_commit_whose_ref_was_not_moved_can_be_made_again(forge: LocalForge, monkeypatch: pytest.MonkeyPatch) -> None:
    main = head_of(forge, "main")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(forge, "_move", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        forge.commit("main", {"a": b"1"}, parent=main, message="m", author="ada")
    assert forge.head("main") == main

    assert forge.commit("main", {"a": b"1"}, parent=main, message="m", author="ada") == forge.head("main")


# ---- people who use git on the origin -----------------------------------------------------------------------------


def test_a_merge_by_hand_is_a_merge(forge: LocalForge, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(forge.origin), "clone")
    git(tmp_path / "clone", "merge", "--quiet", "--no-ff", "-m", "By hand", f"origin/{BRANCH}")
    git(tmp_path / "clone", "push", "--quiet", "origin", "HEAD:main")

    found = forge.proposal(1)

    assert (found.state, found.merged_commit) == ("merged", forge.head("main"))


def test_main_moved_forward_by_hand_to_the_head_is_a_merge(forge: LocalForge) -> None:
    head, base = head_of(forge, BRANCH), head_of(forge, "main")
    git(forge.origin, "update-ref", "refs/heads/main", head)

    found = forge.proposal(1)

    assert (found.state, found.merged_commit, found.base) == ("merged", head, base)


def test_a_branch_set_back_to_main_is_not_merged(forge: LocalForge) -> None:
    git(forge.origin, "update-ref", f"refs/heads/{BRANCH}", head_of(forge, "main"))

    assert forge.proposal(1).state == "open"
    with pytest.raises(UsageError):
        forge.open_proposal(DRAFT)


def test_a_branch_deleted_by_hand_leaves_an_open_proposal_that_cannot_merge(forge: LocalForge) -> None:
    head = head_of(forge, BRANCH)
    git(forge.origin, "update-ref", "-d", f"refs/heads/{BRANCH}")

    assert (forge.proposal(1).state, forge.proposal(1).head) == ("open", head)
    with pytest.raises(HeadMoved):
        forge.merge(1, expected_head=head, message="m", author="ada")
    git(forge.origin, "prune", "--expire=now")
    assert LocalForge(forge.origin).proposal(1).state == "open"
    forge.close_proposal(1)
    assert forge.proposal(1).state == "closed"


def test_a_branch_pushed_between_the_look_and_the_merge_is_not_merged(forge: LocalForge, monkeypatch: pytest.MonkeyPatch) -> None:
    judged, main = head_of(forge, BRANCH), head_of(forge, "main")
    move = forge._move

    def pushed_first(*arguments: object, **options: object) -> bool:
        monkeypatch.undo()
        LocalForge(forge.origin).commit(BRANCH, {"evil": b"x"}, parent=judged, message="m", author="mallory")
        return move(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(forge, "_move", pushed_first)

    with pytest.raises(HeadMoved):
        forge.merge(1, expected_head=judged, message="m", author="ada")
    assert forge.head("main") == main


# ---- the file -----------------------------------------------------------------------------------------------------


def test_a_full_disk_is_could_not_tell_and_keeps_nothing_by_half(forge: LocalForge) -> None:
    forge.open_request(REQUEST)
    with forge._file.reading() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    forge._file._connection().execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(CouldNotTell) as told:
        for number in range(100):
            forge.say(2, str(number) * 20_000, author="ada")
    assert "full" in told.value.why and told.value.next_step

    again = LocalForge(forge.origin)
    kept = len(again.comments(2))
    again.say(2, "and on", author="ada")
    assert len(again.comments(2)) == kept + 1


def test_a_file_that_is_no_database_is_could_not_tell(forge: LocalForge) -> None:
    path = forge.origin / "skillops" / "forge.sqlite"
    for part in path.parent.iterdir():
        part.unlink()
    path.write_bytes(b"not a database" * 100)

    with pytest.raises(CouldNotTell) as told:
        LocalForge(forge.origin).requests()
    assert str(path) in told.value.what


def test_the_file_lies_in_the_origin_and_git_does_not_mind(forge: LocalForge) -> None:
    forge.post_check(1, a_result(head=head_of(forge, BRANCH)))

    assert sqlite3.connect(forge.origin / "skillops" / "forge.sqlite").execute("PRAGMA journal_mode").fetchone() == ("wal",)
    git(forge.origin, "fsck", "--strict", "--no-dangling")
    assert forge.proposal(1).url == "local://origin.git/proposals/1"


def test_a_forge_left_open_does_not_keep_a_process_from_ending(forge: LocalForge) -> None:
    script = f"from pathlib import Path; from agent.forges.local import LocalForge; print(LocalForge(Path({str(forge.origin)!r})).proposal(1).state)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True, env={**os.environ})

    assert (ended.stdout, ended.stderr) == ("open\n", "")
