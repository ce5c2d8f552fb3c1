"""The local repository where git content is hostile, the surroundings are, or something breaks."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from agent.errors import ConfigurationError, CouldNotTell, Refused, UsageError
from agent.forges.git_door import GitDoor
from agent.forges.git_names import branch_problem, inside, odd_name
from agent.forges.git_objects import GitObjects
from agent.forges.local import LocalForge
from tests.plain_git import git

SKILL = "skills/word-count"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    LocalForge.found(tmp_path / "origin.git").commit("main", {"README.md": b"Skills.\n"}, parent=None, message="Start", author="ada")
    return tmp_path / "origin.git"


@pytest.fixture
def repository(origin: Path) -> GitObjects:
    return GitObjects(origin)


def push_tree(origin: Path, branch: str, entries: list[tuple[str, str, bytes]]) -> str:
    """A branch whose root holds `entries` (mode, name, content) exactly, as a hostile client could push it."""
    door = GitDoor(origin)
    tree = b""
    for mode, name, content in sorted(entries, key=lambda entry: entry[1]):
        object_id = "1" * 40 if mode == "160000" else door.store("tree" if mode == "40000" else "blob", content)
        tree += f"{mode} {name}".encode(errors="surrogateescape") + b"\0" + bytes.fromhex(object_id)
    commit = git(origin, "commit-tree", door.store("tree", tree), "-p", "main", "-m", "hostile").decode().strip()
    git(origin, "update-ref", f"refs/heads/{branch}", commit)
    return commit


# ---- hostile content ----------------------------------------------------------------------------------------------


def test_links_and_submodules_are_left_out_of_files_and_named_by_changes(origin: Path, repository: GitObjects) -> None:
    push_tree(
        origin, "x", [("100644", "README.md", b"Skills.\n"), ("120000", "link", b"/etc/passwd"), ("160000", "module", b""), ("100755", "run", b"#!")]
    )

    assert repository.files("x", "") == {"README.md": b"Skills.\n", "run": b"#!"}
    assert {(change.path, change.mode, change.size) for change in repository.changes("main", "x")} == {
        ("link", "120000", 11),
        ("module", "160000", 0),
        ("run", "100755", 2),
    }


ODD = (
    "..",
    ".git",
    ".GiT",
    "git~1",
    ".git ",
    ".git.",
    ".git::$DATA",
    ".g\u200cit",
    "a\nb",
    "a\tb",
    "a\\b",
    "\u202egnp.exe",
    "bad\udcff",
    "e\x1b[31m",
)


def test_odd_names_are_left_out_of_files_and_named_by_changes(origin: Path, repository: GitObjects) -> None:
    push_tree(origin, "x", [("100644", name, b"x") for name in ODD] + [("100644", "plain ünï 🙂.py", b"x"), ("100644", ".gitignore", b"x")])

    assert set(repository.files("x", "")) == {"plain ünï 🙂.py", ".gitignore"}
    named = {change.path for change in repository.changes("main", "x") if change.status == "added"}
    assert len(named) == len(ODD) + 2
    assert "bad\\xff" in named and ".git" in named
    assert all(path.encode() for path in named)


def test_what_lies_in_an_odd_folder_is_left_out(origin: Path, repository: GitObjects) -> None:
    blob = bytes.fromhex(git(origin, "hash-object", "-w", "--stdin", stdin=b"x").decode().strip())
    push_tree(origin, "x", [("40000", ".git", b"100644 config\0" + blob), ("40000", "fine", b"100644 a\0" + blob)])

    assert repository.files("x", "") == {"fine/a": b"x"}
    assert {change.path for change in repository.changes("main", "x")} == {".git/config", "fine/a", "README.md"}


def test_a_change_of_type_is_a_modification_with_the_new_mode(origin: Path, repository: GitObjects) -> None:
    push_tree(origin, "x", [("120000", "README.md", b"/etc/passwd")])

    (change,) = repository.changes("main", "x")

    assert (change.status, change.mode) == ("modified", "120000")


def test_writing_keeps_an_executable_so_and_makes_a_file_of_a_link(origin: Path, repository: GitObjects) -> None:
    pushed = push_tree(origin, "x", [("100755", "run", b"#!"), ("120000", "link", b"/etc/passwd")])

    head = repository.commit("x", {"run": b"#!/bin/sh", "link": b"now a file"}, parent=pushed, message="m", author="ada")

    modes = [line.split()[0] for line in git(origin, "ls-tree", head).decode().splitlines()]
    assert modes == ["100644", "100755"]
    assert repository.files(head, "") == {"run": b"#!/bin/sh", "link": b"now a file"}


def test_a_branch_that_shares_no_commit_is_compared_with_main_itself_and_never_merged(origin: Path, repository: GitObjects) -> None:
    tree = git(origin, "mktree", stdin=b"").decode().strip()
    git(origin, "update-ref", "refs/heads/x", git(origin, "commit-tree", tree, "-m", "alone").decode().strip())

    assert [(change.path, change.status) for change in repository.changes("main", "x")] == [("README.md", "deleted")]
    assert "-Skills." in repository.diff("main", "x")
    with pytest.raises(Refused):
        repository._merge("x", repository.head("x") or "", "m", "ada")


def test_a_diff_of_text_that_is_not_utf8_is_shown_with_replacements(repository: GitObjects) -> None:
    head = repository.commit("x", {"latin.txt": b"caf\xe9\n"}, parent=None, message="m", author="ada")

    assert "+caf\ufffd" in repository.diff("main", head)


def test_changes_of_what_does_not_exist_is_wrong_usage(repository: GitObjects) -> None:
    with pytest.raises(UsageError):
        repository.changes("main", "--output=/tmp/x")
    with pytest.raises(UsageError):
        repository.diff("none", "main")


def test_a_folder_that_looks_like_a_pattern_or_an_option_is_only_a_folder(repository: GitObjects) -> None:
    head = repository.commit("x", {"*/a": b"1", "b/a": b"2", "--stat/a": b"3", "[b]/a": b"4"}, parent=None, message="m", author="ada")

    assert "b/a" not in repository.diff("main", head, "*")
    assert "+3" in repository.diff("main", head, "--stat") and "+4" in repository.diff("main", head, "[b]")


@pytest.mark.parametrize("name", [*ODD, "", ".", ".git...", "GIT~1", "a/b"])
def test_an_odd_name_is_told(name: str) -> None:
    assert odd_name(name)


@pytest.mark.parametrize("name", ["skill.py", ".gitignore", ".gitattributes", "gitfile", "a b", "ünï", "日本", "a:b", "..a"])
def test_a_plain_name_is_not(name: str) -> None:
    assert not odd_name(name)


def test_what_we_take_for_a_branch_git_takes_too(tmp_path: Path) -> None:
    for name in ("skill/a-1", "a.b", "ünï", "@", "x@y", "a//b", "a/.b", "a.lock/b", "x.", "a^", "a\\b", "a?b", "[", "a{b"):
        allowed = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False).returncode == 0
        assert (branch_problem(name) == "") == (allowed and name != "@"), name
    assert branch_problem("a\u200bb") and branch_problem("a" * 201)
    assert inside("") and inside("a/b") and not inside("a/../b") and not inside("a/./b") and not inside("a\x00b")


# ---- hostile surroundings -----------------------------------------------------------------------------------------


def test_configuration_hooks_and_attributes_have_no_effect(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "a hook ran"
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    for hooks in (home / "hooks", origin / "hooks"):
        hooks.mkdir(exist_ok=True)
        for name in ("reference-transaction", "post-update", "pre-auto-gc"):
            (hooks / name).write_text(f"#!/bin/sh\ntouch '{marker}'\n")
            (hooks / name).chmod(0o755)
    (home / "attributes").write_text("* -diff merge=evil\n")
    (home / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {home}/hooks\n\tattributesFile = {home}/attributes\n[commit]\n\tgpgSign = true\n"
        f'[merge "evil"]\n\tdriver = touch "{marker}"\n[diff]\n\texternal = touch "{marker}"\n'
    )
    monkeypatch.setenv("HOME", str(home))
    forge = LocalForge(origin)

    head = forge.commit("x", {".gitattributes": b"* -diff merge=evil\n", "README.md": b"Abilities.\n"}, parent=None, message="m", author="ada")
    forge.commit("main", {".gitattributes": b"* -diff merge=evil\n", "other": b"x"}, parent=forge.head("main"), message="m", author="ada")
    diff = forge.diff("main", head)
    forge._merge("x", head, "m", "ada")

    assert not marker.exists()
    assert "+Abilities." in diff
    assert forge.read("main", "README.md") == b"Abilities.\n"


def test_variables_of_a_git_hook_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    subprocess.run(["git", "init", "--quiet", str(elsewhere)], check=True)
    (elsewhere / ".gitattributes").write_text("* -diff\n")
    before = sorted(elsewhere.rglob("*"))
    for name, value in {
        "GIT_DIR": elsewhere / ".git", "GIT_COMMON_DIR": elsewhere / ".git", "GIT_WORK_TREE": elsewhere, "GIT_INDEX_FILE": elsewhere / ".git/index",
        "GIT_OBJECT_DIRECTORY": elsewhere / ".git/objects", "GIT_NAMESPACE": "other", "GIT_EXTERNAL_DIFF": "false", "GIT_DEFAULT_HASH": "sha256",
        "GIT_CONFIG_PARAMETERS": "'core.bare=false'", "GIT_AUTHOR_NAME": "mallory", "GIT_GLOB_PATHSPECS": "",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))

    forge = LocalForge.found(tmp_path / "origin.git")
    first = forge.commit("main", {"a": b"1\n"}, parent=None, message="m", author="ada")
    head = forge.commit("x", {"a": b"2\n"}, parent=None, message="m", author="ada")

    assert "+2" in forge.diff("main", head)
    assert forge._merge("x", head, "m", "ada") == forge.head("main") != first
    assert [line.author for line in forge.history("a")] == ["ada", "ada"]
    assert sorted(elsewhere.rglob("*")) == before


def test_what_we_write_is_sound_to_git(origin: Path, repository: GitObjects) -> None:
    names = ("a", "a-b", "a.b", "a0", "ab", "a/x", "a-b/x", "Z", "ünï", "0")
    head = repository.commit("x", {f"{name}.d/{name.replace('/', '_')}": b"1" for name in names}, parent=None, message="m", author="ada lovelace")
    head = repository.commit("x", {"a-b.d": b"", "a.c": b"", "a": b"file beside a.d"}, parent=head, message="m\n\nbody", author="ada")

    git(origin, "fsck", "--strict", "--no-dangling")
    git(origin, "read-tree", f"--index-output={origin}/checked", head)
    assert (
        git(origin, "log", "-1", "--format=%an <%ae>|%cn", f"{head}~1").decode().strip()
        == "ada lovelace <ada-lovelace@skillops.invalid>|ada lovelace"
    )


def test_reading_carries_on_after_git_packs_and_prunes(origin: Path, repository: GitObjects) -> None:
    head = repository.commit("main", {f"{SKILL}/a": b"1"}, parent=repository.head("main"), message="m", author="ada")
    assert repository.files(head, SKILL) == {"a": b"1"}

    git(origin, "pack-refs", "--all", "--prune")
    git(origin, "repack", "-a", "-d", "--quiet")
    git(origin, "prune-packed")

    assert repository.head("main") == head
    assert repository.files("main", SKILL) == {"a": b"1"}
    assert repository.commit("main", {"b": b"2"}, parent=head, message="m", author="ada") == repository.head("main")


# ---- what breaks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["missing", "file", "empty folder", "clone"])
def test_what_is_no_bare_repository_is_told_with_the_way_to_one(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "origin.git"
    if kind == "file":
        place.write_text("x")
    elif kind == "empty folder":
        place.mkdir()
    elif kind == "clone":
        subprocess.run(["git", "init", "--quiet", str(place)], check=True)

    with pytest.raises(ConfigurationError) as told:
        GitObjects(place)

    assert str(place) in told.value.what and "skillops init DIR" in told.value.next_step


def test_founding_finds_what_is_there_and_overwrites_nothing(origin: Path, tmp_path: Path) -> None:
    head = GitObjects(origin).head("main")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")

    assert LocalForge.found(origin).head("main") == head
    assert LocalForge.found(tmp_path / "deep" / "er.git").head("main") is None
    with pytest.raises(ConfigurationError):
        LocalForge.found(tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]


def test_a_cat_file_that_was_killed_is_started_again(repository: GitObjects) -> None:
    assert repository.read("main", "README.md") == b"Skills.\n"
    for process in (repository._door._git.cat_file_all, repository._door._git.cat_file_header):
        os.kill(process.pid, signal.SIGKILL)
        process.proc.wait()

    assert repository.read("main", "README.md") == b"Skills.\n"
    assert repository.head("main")


def test_many_questions_without_an_answer_do_not_block_the_reader(repository: GitObjects) -> None:
    blob = repository.object_id("main", "README.md") or ""
    for number in range(1500):
        assert repository.head(f"none-{number}") is None
        assert repository.head(blob) is None
        assert repository.read("main", f"README.md/{number}") is None


def test_a_full_disk_is_could_not_tell_and_leaves_the_branch(repository: GitObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    import gitdb

    head = repository.head("main")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gitdb.LooseObjectDB, "store", full)

    with pytest.raises(CouldNotTell) as told:
        repository.commit("main", {"a": b"1"}, parent=head, message="m", author="ada")

    assert "space" in told.value.next_step
    assert repository.head("main") == head


def test_a_lock_that_was_left_behind_is_named(origin: Path, repository: GitObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    repository._door._git.update_environment(GIT_CONFIG_VALUE_4="0")
    head = repository.head("main")
    lock = origin / "refs/heads/main.lock"
    lock.touch()

    with pytest.raises(CouldNotTell) as told:
        repository.commit("main", {"a": b"1"}, parent=head, message="m", author="ada")
    assert str(lock) in told.value.why and "remove the lock" in told.value.next_step

    lock.unlink()
    assert repository.commit("main", {"a": b"1"}, parent=head, message="m", author="ada") == repository.head("main")


@pytest.mark.parametrize("damage", ["emptied", "lost"])
def test_a_lost_object_is_could_not_tell_and_never_passes_for_a_file_that_is_not_there(origin: Path, repository: GitObjects, damage: str) -> None:
    head = repository.commit("main", {f"{SKILL}/a": b"1", "b/c": b"2"}, parent=repository.head("main"), message="m", author="ada")
    blob, tree = repository.object_id(head, f"{SKILL}/a") or "", repository.object_id(head, "b") or ""
    for lost in (blob, tree):
        place = origin / "objects" / lost[:2] / lost[2:]
        place.chmod(0o644)
        place.unlink() if damage == "lost" else place.write_bytes(b"")
    again = GitObjects(origin)

    for question in (
        lambda: again.read("main", f"{SKILL}/a"),
        lambda: again.files("main", SKILL),
        lambda: again.files("main", "b"),
        lambda: again.children("main", "b"),
        lambda: again.object_id("main", "b/c"),
        lambda: again.commit("main", {"b/d": b"3"}, parent=head, message="m", author="ada"),
    ):
        with pytest.raises(CouldNotTell) as told:
            question()
        assert "fsck" in told.value.next_step
    assert again.read("main", "README.md") == b"Skills.\n"
    assert again.read("main", f"{SKILL}/none") is None


def test_a_branch_that_points_to_a_lost_commit_does_not_pass_for_none(origin: Path, repository: GitObjects) -> None:
    head = repository.commit("x", {"a": b"1"}, parent=None, message="m", author="ada")
    (origin / "objects" / head[:2] / head[2:]).unlink()

    with pytest.raises(CouldNotTell):
        GitObjects(origin).head("x")


def test_a_git_that_cannot_merge_bare_is_told(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which("git")
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text(f'#!/bin/sh\n[ "$1" = merge-tree ] && {{ echo "usage: git merge-tree <base> <a> <b>" >&2; exit 129; }}\nexec {real} "$@"\n')
    old.chmod(0o755)
    repository = GitObjects(origin)
    head = repository.commit("x", {"a": b"1"}, parent=None, message="m", author="ada")
    monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")

    with pytest.raises(ConfigurationError) as told:
        repository._merge("x", head, "m", "ada")
    assert "2.38" in told.value.next_step


def test_a_machine_without_git_is_told(origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = GitObjects(origin)
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(ConfigurationError) as told:
        repository.changes("main", "main")
    assert "apt-get install git" in told.value.next_step
