"""A person's working clone: found with advice, moved forward where that loses nothing, and left alone where it would."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import ConfigurationError
from agent.forges.checkout import Checkout
from agent.forges.local import LocalForge
from tests.plain_git import git


@pytest.fixture
def forge(tmp_path: Path) -> LocalForge:
    forge = LocalForge.found(tmp_path / "skills.git")
    forge.commit("main", {"registry.yaml": b"revision: 1\n", "skills/a/skill.py": b"1\n"}, parent=None, message="Start", author="ada")
    return forge


@pytest.fixture
def checkout(forge: LocalForge, tmp_path: Path) -> Checkout:
    return Checkout.make(forge.origin, tmp_path / "skills")


def release(forge: LocalForge, files: dict[str, bytes | None] | None = None) -> str:
    return forge.commit("main", files or {"registry.yaml": b"revision: 2\n"}, parent=forge.head("main"), message="Release", author="ada")


# ---- finding ------------------------------------------------------------------------------------------------------


def test_a_clone_is_made_and_found_from_any_folder_in_it(checkout: Checkout, forge: LocalForge) -> None:
    found = Checkout.find(checkout.root / "skills" / "a")

    assert (found.root, found.origin) == (checkout.root, forge.origin)
    assert (found.root / "registry.yaml").read_bytes() == b"revision: 1\n"
    assert git(found.root, "status", "--branch", "--porcelain").decode().startswith("## main...origin/main")


def test_making_a_clone_again_finds_it_and_overwrites_nothing(checkout: Checkout, forge: LocalForge, tmp_path: Path) -> None:
    (checkout.root / "mine.txt").write_text("work")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")

    assert Checkout.make(forge.origin, checkout.root).root == checkout.root
    assert (checkout.root / "mine.txt").read_text() == "work"
    with pytest.raises(ConfigurationError):
        Checkout.make(forge.origin, tmp_path / "full")
    with pytest.raises(ConfigurationError):
        Checkout.make(tmp_path / "none.git", tmp_path / "new")


def test_what_is_missing_is_told_apart_each_with_its_fix(checkout: Checkout, forge: LocalForge, tmp_path: Path) -> None:
    def told(path: Path) -> tuple[str, str]:
        with pytest.raises(ConfigurationError) as error:
            Checkout.find(path)
        return error.value.what + error.value.why, error.value.next_step

    (tmp_path / "plain").mkdir()
    what, fix = told(tmp_path / "plain")
    assert "not in a git clone" in what and "skillops init DIR" in fix
    what, fix = told(tmp_path / "none" / "such")
    assert "nothing at that path" in what

    git(tmp_path, "clone", "--quiet", str(forge.origin), "other")
    (tmp_path / "other" / "registry.yaml").unlink()
    what, fix = told(tmp_path / "other")
    assert "no registry.yaml" in what and "git checkout main -- registry.yaml" in fix

    git(checkout.root, "remote", "set-url", "origin", "https://git.example.invalid/skills.git")
    what, fix = told(checkout.root)
    assert "not on this machine" in what and "clone --bare" in fix
    git(checkout.root, "remote", "set-url", "origin", "git@git.example.invalid:skills.git")
    assert "not on this machine" in told(checkout.root)[0]

    git(checkout.root, "remote", "set-url", "origin", str(tmp_path / "gone.git"))
    what, fix = told(checkout.root)
    assert "gone.git" in what and "nothing at that path" in what and "set-url" in fix
    git(checkout.root, "remote", "set-url", "origin", str(tmp_path / "other"))
    assert "no bare git repository" in told(checkout.root)[0]

    git(checkout.root, "remote", "remove", "origin")
    what, fix = told(checkout.root)
    assert "no remote named origin" in what and "remote add origin" in fix


@pytest.mark.parametrize("form", ["{}", "file://{}", "../skills.git"])
def test_the_origin_may_be_a_path_or_a_file_url(checkout: Checkout, forge: LocalForge, form: str) -> None:
    git(checkout.root, "remote", "set-url", "origin", form.format(forge.origin))
    new = release(forge)

    found = Checkout.find(checkout.root)

    assert found.origin == forge.origin
    assert new[:12] in found.update()


def test_a_linked_work_tree_is_a_checkout_too(checkout: Checkout, forge: LocalForge, tmp_path: Path) -> None:
    git(checkout.root, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "linked"))

    found = Checkout.find(tmp_path / "linked")

    assert (found.origin, found.state()) == (forge.origin, "elsewhere")


# ---- state and update ---------------------------------------------------------------------------------------------


def test_a_clean_checkout_is_moved_forward(checkout: Checkout, forge: LocalForge) -> None:
    new = release(forge, {"registry.yaml": b"revision: 2\n", "skills/a/skill.py": None, "skills/b/skill.py": b"2\n"})

    assert checkout.state() == "clean"
    assert new[:12] in checkout.update()

    assert git(checkout.root, "rev-parse", "HEAD").decode().strip() == new
    assert (checkout.root / "skills/b/skill.py").read_bytes() == b"2\n" and not (checkout.root / "skills/a").exists()
    assert git(checkout.root, "status", "--porcelain") == b""
    assert "up to date" in checkout.update()


@pytest.mark.parametrize("staged", [False, True])
def test_a_dirty_checkout_is_left_alone(checkout: Checkout, forge: LocalForge, staged: bool) -> None:
    (checkout.root / "registry.yaml").write_text("mine\n")
    if staged:
        git(checkout.root, "add", "registry.yaml")
    release(forge)

    assert checkout.state() == "dirty"
    assert "left alone" in checkout.update() and "not committed" in checkout.update()
    assert (checkout.root / "registry.yaml").read_text() == "mine\n"


def test_a_detached_checkout_and_one_on_another_branch_are_left_alone(checkout: Checkout, forge: LocalForge) -> None:
    before = forge.head("main")
    release(forge)
    git(checkout.root, "checkout", "--quiet", "--detach")
    assert checkout.state() == "detached" and "no branch" in checkout.update()
    git(checkout.root, "checkout", "--quiet", "-b", "mine")
    assert checkout.state() == "elsewhere" and "not on main" in checkout.update()

    assert git(checkout.root, "rev-parse", "HEAD").decode().strip() == before


def test_files_that_git_does_not_know_are_kept(checkout: Checkout, forge: LocalForge) -> None:
    (checkout.root / "skills/c").mkdir()
    (checkout.root / "skills/c/skill.py").write_text("mine\n")
    release(forge)

    assert checkout.state() == "clean" and "moved forward" in checkout.update()

    release(forge, {"skills/c/skill.py": b"theirs\n"})
    assert "left alone: git says" in checkout.update()
    assert (checkout.root / "skills/c/skill.py").read_text() == "mine\n"


def test_commits_of_ones_own_are_kept(checkout: Checkout, forge: LocalForge) -> None:
    (checkout.root / "mine.txt").write_text("work")
    git(checkout.root, "add", "mine.txt")
    git(checkout.root, "commit", "--quiet", "-m", "Mine")
    mine = git(checkout.root, "rev-parse", "HEAD")

    assert "commits of its own" in checkout.update()
    release(forge)
    assert "each have commits" in checkout.update()
    assert git(checkout.root, "rev-parse", "HEAD") == mine


def test_a_lock_of_a_git_that_runs_there_is_told_and_respected(checkout: Checkout, forge: LocalForge) -> None:
    (checkout.root / ".git/index.lock").touch()
    release(forge)

    assert "index.lock" in checkout.update()
    assert (checkout.root / "registry.yaml").read_bytes() == b"revision: 1\n"


def test_a_clone_of_an_empty_origin_gets_its_first_commit(tmp_path: Path) -> None:
    forge = LocalForge.found(tmp_path / "skills.git")
    checkout = Checkout.make(forge.origin, tmp_path / "skills")
    assert checkout.state() == "clean"
    assert "left alone" in checkout.update()

    first = forge.commit("main", {"registry.yaml": b"revision: 0\n"}, parent=None, message="Start", author="ada")

    assert first[:12] in checkout.update()
    assert Checkout.find(checkout.root).state() == "clean"


def test_hooks_of_the_clone_do_not_run(checkout: Checkout, forge: LocalForge, tmp_path: Path) -> None:
    hooks = checkout.root / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-merge", "post-checkout", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
        (hooks / name).chmod(0o755)
    release(forge)

    assert "moved forward" in checkout.update()
    assert not (tmp_path / "ran").exists()


def test_variables_of_a_git_hook_lead_nowhere(forge: LocalForge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "--quiet", "elsewhere")
    for name, value in {"GIT_DIR": ".git", "GIT_WORK_TREE": "", "GIT_INDEX_FILE": ".git/index", "GIT_OBJECT_DIRECTORY": ".git/objects"}.items():
        monkeypatch.setenv(name, str(tmp_path / "elsewhere" / value))
    before = sorted((tmp_path / "elsewhere").rglob("*"))

    checkout = Checkout.make(forge.origin, tmp_path / "skills")
    release(forge)

    assert "moved forward" in Checkout.find(checkout.root).update()
    assert (checkout.root / "registry.yaml").read_bytes() == b"revision: 2\n"
    assert sorted((tmp_path / "elsewhere").rglob("*")) == before
