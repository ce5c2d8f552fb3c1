"""A proposal's git objects: trees as no client of git's would write them, a repository that explodes, and git's own hooks and settings."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from agent.checks.scope import ScopeCheck
from agent.domain.check import FILES, Outcome, Subject
from agent.errors import CouldNotTell, Refused
from agent.forges import git_objects, git_trees, github_objects
from agent.forges.checkout import Checkout
from agent.forges.git_door import GitDoor
from agent.forges.local import LocalForge
from agent.workbench import make_subject
from tests.raw_git import ApiOf, Entries, pushed, stored
from tests.redteam.threats import threat
from tests.subjects import ToldBench, skill_files

TRAP = b"#!/bin/sh\ntouch sprung\n"
FILE: dict[str, bytes] = {
    # git's own folder, as libgit2 (tests/libgit2/checkout/nasty.c) and git (t1450, t9350) know that file systems take its name
    "its folder": b".git", "in capitals": b".GIT", "NTFS' short name": b"git~1", "short name in capitals": b"GIT~1", "another short name": b"git~23",
    "a space after it": b".git ", "a dot after it": b".git.", "dots and spaces": b".git. . ", "a stream of it": b".git::$INDEX_ALLOCATION",
    "a stream": b".git:hooks", "HFS ignores U+200C": b".g\xe2\x80\x8cit", "U+200D": b".gi\xe2\x80\x8dt", "U+200E": b"\xe2\x80\x8e.git",
    "U+200F": b".git\xe2\x80\x8f", "U+202A": b".git\xe2\x80\xaa", "U+202E": b".\xe2\x80\xaegit", "U+206A": b".git\xe2\x81\xaa",
    "U+206F": b".g\xe2\x81\xafit", "U+FEFF": b".git\xef\xbb\xbf", "modules of git": b".gitmodules", "attributes of git": b".gitattributes",
    # ways up and around
    "the folder above": b"..", "this folder": b".", "no name": b"", "a slash": b"a/b", "a way up": b"../../x", "from the root": b"/etc/x",
    "a backslash": b"a\\b", "a way up in Windows": b"..\\x", "a drive": b"c:x", "a share": b"\\\\host\\x",
    # what a file system or a reader takes for something else
    "a device": b"CON", "a device with an ending": b"aux.py", "a numbered device": b"com1", "superscript of a device": b"COM\xc2\xb9",
    "a stream of a file": b"a.py::$DATA", "a dot at the end": b"a.py.", "a space at the end": b"a.py ", "a space at the start": b" a.py",
    "a new line": b"a\nb", "a tab": b"a\tb", "an escape": b"a\x1b[31m", "a bell": b"\x07", "delete": b"a\x7f", "a C1 control": b"a\xc2\x85b",
    "a line separator": b"a\xe2\x80\xa8b", "right to left": b"yp\xe2\x80\xae.exe", "no UTF-8": b"a\xff", "half a character": b"a\xed\xa0\x80",
    "overlong": b"a\xc0\xaf", "decomposed": b"u\xcc\x88.py", "wild": b"*.py", "longer than a name": b"a" * 256, "longer than a path": b"a" * 201,
}  # fmt: skip
ODD: dict[str, Entries] = {name: [("100644", raw, TRAP)] for name, raw in FILE.items()}
IN_A_FOLDER = ("its folder", "in capitals", "a dot after it", "the folder above", "a device")
ODD |= {f"a folder: {name}": [("40000", FILE[name], [("100755", b"post-checkout", TRAP)])] for name in IN_A_FOLDER}
SETTINGS = b'[submodule "a"]\n\tpath = a\n\turl = --upload-pack=x\n'
ODD |= {
    "a link": [("120000", b"a", b"/etc/passwd")],
    "a link called as git's modules": [("120000", b".gitmodules", b"x")],
    "a submodule": [("160000", b"a", "1" * 40)],
    "a submodule with its settings": [("100644", b".gitmodules", SETTINGS), ("160000", b"a", "1" * 40)],
    "a program": [("100755", b"a.py", TRAP)],
    "writable by its group": [("100664", b"a.py", TRAP)],
    "set-user-ID": [("104755", b"a.py", TRAP)],
    "a socket": [("140000", b"a", TRAP)],
    "a device node": [("060000", b"a", TRAP)],
    "no mode": [("0", b"a.py", TRAP)],
    "another notation of a mode": [("0100644", b"a.py", TRAP)],
    "a mode beyond any": [("777777", b"a.py", TRAP)],
    "twice": [("100644", b"a.py", b"x = 1\n"), ("100644", b"a.py", TRAP)],
    "twice, apart": [("100644", b"a.py", b"x = 1\n"), ("100644", b"b.py", b""), ("100644", b"a.py", TRAP)],
    "in capitals and not": [("100644", b"A.py", b""), ("100644", b"a.py", TRAP)],
    "a sharp s and two": [("100644", "maße.py".encode(), b""), ("100644", b"masse.py", TRAP)],
    "a file and a folder": [("100644", b"a", b""), ("40000", b"a", [("100644", b"b.py", TRAP)])],
    "a link and a folder": [("120000", b"a", b"/tmp"), ("40000", b"a", [("100644", b"b.py", TRAP)])],
    "a folder that is a file": [("100644", b"a", [("100644", b"b.py", TRAP)])],
    "an empty folder of no file": [("40000", b"a", [("40000", b"b", [])]), ("120000", b"c", b"a/b")],
}


ODD["as deep as a path may not be"] = [("40000", b"d", [("100644", b"a.py", TRAP)])]  # so often in each other as DEPTHS says
ODD["deeper than a stack"] = ODD["as deep as a path may not be"]
DEPTHS = {"as deep as a path may not be": 120, "deeper than a stack": 1500}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trees") / "origin.git"
    LocalForge.found(place).commit("main", {"README.md": b"Skills.\n"}, parent=None, message="Start", author="ada")
    return place


@pytest.fixture(scope="module")
def readers(origin: Path) -> dict[str, Any]:
    return {"local": LocalForge(origin), "github": github_objects.GitHubObjects(ApiOf(origin))}  # type: ignore[arg-type]


def a_skill(more: Entries) -> Entries:
    """The root of a repository with an honest skill and more among its files, main's README beside it."""
    honest: Entries = [("100644", path.encode(), data) for path, data in skill_files().items() if "/" not in path]
    tests: Entries = [("100644", b"test_skill.py", skill_files()["tests/test_skill.py"])]
    folder = [*honest, ("40000", b"tests", tests), *more]
    return [("100644", b"README.md", b"Skills.\n"), ("40000", b"skills", [("40000", b"word-count", folder)])]


def deep(door: GitDoor, depth: int, inner: Entries) -> Entries:
    """Folders called d in each other."""
    for _ in range(depth):
        inner = [("40000", b"d", stored(door, inner))]
    return inner


def read(forge: Any, head: str, root: Path) -> Subject:
    """As `stages/checking.py` reads a proposal's head."""
    changes = forge.changes("main", head)
    files = forge.files(head, "skills/word-count") if len(changes) <= FILES else {}
    return make_subject("word-count", head, files, root=root, base=forge.head("main"), changes=changes)


def judged(forge: Any, head: str, root: Path) -> Outcome:
    try:
        return ScopeCheck().run(read(forge, head, root), ToldBench()).outcome
    except (CouldNotTell, Refused) as told:
        return Outcome.COULD_NOT_TELL if isinstance(told, CouldNotTell) else Outcome.FAILED


@threat(50)
@pytest.mark.parametrize("kind", ["nothing", *ODD])
def test_no_tree_that_means_something_else_to_somebody_is_a_skill(origin: Path, readers: dict[str, Any], tmp_path: Path, kind: str) -> None:
    """Refused by both readers; what is written to disk is the honest skill at most, as plain files below its own folder."""
    door = GitDoor(origin)
    head = pushed(door, a_skill(deep(door, DEPTHS.get(kind, 0), ODD.get(kind, []))), str(readers["local"].head("main")))

    outcomes = {name: judged(reader, head, tmp_path / name / "word-count") for name, reader in readers.items()}

    if kind == "nothing":
        assert outcomes == {"local": Outcome.PASSED, "github": Outcome.PASSED}
    else:
        assert Outcome.PASSED not in outcomes.values()
    written = [path for path in tmp_path.rglob("*") if path.is_symlink() or not path.is_dir()]
    assert not [path for path in written if path.is_symlink() or path.stat().st_mode & 0o111]
    assert {path.relative_to(tmp_path).parts[1] for path in written} <= {"word-count"}


@threat(51)
@pytest.mark.parametrize("inside", ["the skill", "elsewhere"])
def test_a_tree_that_explodes_is_refused_before_it_does(
    origin: Path, readers: dict[str, Any], tmp_path: Path, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten folders in each other, each there ten times: 10^10 files in eleven objects."""
    assert git_trees.MOST <= 10_000
    for module in (git_trees, git_objects, github_objects):
        monkeypatch.setattr(module, "MOST", 1000)  # the same in a tenth of the time
    door = GitDoor(origin)
    bomb: Entries = [("100644", b"f%d" % n, TRAP) for n in range(10)]
    for _ in range(9):
        inner = stored(door, bomb)
        bomb = [("40000", b"d%d" % n, inner) for n in range(10)]
    root = a_skill(bomb) if inside == "the skill" else [*a_skill([]), ("40000", b"x", bomb)]
    head = pushed(door, root, str(readers["local"].head("main")))
    begun = time.monotonic()

    for name, reader in readers.items():
        assert judged(reader, head, tmp_path / name / "word-count") is Outcome.FAILED
        assert len(reader.changes("main", head)) < 2000
        if inside == "the skill":
            with pytest.raises(Refused):
                reader.files(head, "skills/word-count")
    assert len(readers["local"].diff("main", head)) < 100
    assert time.monotonic() - begun < 60


HOSTILE = """[core]
\tfsmonitor = {trap}
\thooksPath = {home}/hooks
\tsshCommand = {trap}
\tpager = {trap}
\teditor = {trap}
\tgitProxy = {trap}
\talternateRefsCommand = {trap}
\tattributesFile = {home}/attributes
[diff]
\texternal = {trap}
[diff "evil"]
\ttextconv = {trap}
\tcommand = {trap}
[filter "evil"]
\tclean = {trap}
\tsmudge = {trap}
\tprocess = {trap}
\trequired = true
[merge "evil"]
\tdriver = {trap}
[credential]
\thelper = !{trap}
[uploadpack]
\tpackObjectsHook = {trap}
[gpg]
\tprogram = {trap}
[commit]
\tgpgSign = true
[protocol "ext"]
\tallow = always
[url "ext::{trap} "]
\tinsteadOf = file://
[init]
\ttemplateDir = {home}/template
[alias]
\tdiff-tree = !{trap}
\tcat-file = !{trap}
"""


@threat(52)
def test_no_settings_hooks_filters_or_attributes_of_git_run_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the machine's user, of the variables around us, and of the proposal. That the traps work, git itself shows first."""
    home, sprung = tmp_path / "home", tmp_path / "sprung"
    trap = tmp_path / "trap"
    trap.write_text(f'#!/bin/sh\necho "$0 $*" >>{sprung}\ncat 2>/dev/null\n')
    LocalForge.found(tmp_path / "origin.git")
    for folder in (home / "hooks", home / "template" / "hooks", tmp_path / "origin.git" / "hooks"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("reference-transaction", "post-checkout", "post-merge", "pre-auto-gc", "post-index-change", "fsmonitor-watchman"):
            (folder / name).symlink_to(trap)
    trap.chmod(0o755)
    (home / "attributes").write_text("* filter=evil diff=evil merge=evil\n")
    (home / ".gitconfig").write_text(HOSTILE.format(trap=trap, home=home))
    attributes = b"* filter=evil diff=evil merge=evil\n"
    forge = LocalForge(tmp_path / "origin.git")
    first = forge.commit("main", {"registry.yaml": b"a: 1\n", ".gitattributes": attributes}, parent=None, message="Start", author="ada")
    monkeypatch.setenv("HOME", str(home))
    shown = subprocess.run(["git", "clone", "--quiet", str(tmp_path / "origin.git"), str(tmp_path / "plain")], capture_output=True, check=False)
    assert sprung.exists(), shown.stderr
    sprung.unlink()
    for name in ("GIT_SSH_COMMAND", "GIT_SSH", "GIT_PROXY_COMMAND", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_EDITOR", "GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(trap))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'core.fsmonitor={trap}'")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(home / ".gitconfig"))

    checkout = Checkout.make(tmp_path / "origin.git", tmp_path / "clone")
    (tmp_path / "clone" / ".git" / "info" / "attributes").parent.mkdir(exist_ok=True)
    (tmp_path / "clone" / ".git" / "info" / "attributes").write_bytes(attributes)
    head = forge.commit("x", {"skills/word-count/skill.py": b"x = 1\n", "skills/.gitattributes": attributes}, parent=None, message="m", author="eve")
    forge.commit("main", {"registry.yaml": b"a: 2\n"}, parent=first, message="m", author="ada")
    assert "+x = 1" in forge.diff("main", head) and len(forge.changes("main", head)) == 2
    forge._merge("x", head, "m", "ada")
    assert checkout.state() == "clean" and "moved forward" in checkout.update()
    assert (tmp_path / "clone" / "skills" / "word-count" / "skill.py").read_text() == "x = 1\n"
    assert checkout.of_base("registry.yaml") == b"a: 2\n"

    assert not sprung.exists(), sprung.read_text()
