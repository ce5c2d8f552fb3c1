"""Commits that are pushed by git: against git's own smart HTTP server, with the token checked, and where it must not be."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from agent.errors import ConfigurationError, CouldNotTell, HeadMoved
from agent.forges import git_remote, github_pushes
from agent.forges.github import PushingForge
from agent.forges.github_api import NotAllowed
from agent.forges.github_pushes import git_base
from agent.settings import Settings
from agent.wiring import forge_of
from tests import git_server
from tests.git_server import NAME, GitServer

TOKEN = "a-good-token"
FIRST = {"registry.yaml": b"revision: 1\n", "skills/x/skill.py": b"x = 1\n", "skills/x/old.bin": b"\0\xff", "README.md": b"Skills.\n"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with git_server.running(tmp_path / "server") as running:
        yield running


def open_forge(server: GitServer, state: Path, token: str = TOKEN) -> PushingForge:
    """The forge as the settings make it, of an Enterprise server."""
    settings = Settings(
        repository=state, forge="github", github_repository=NAME, github_api=server.url, github_token=SecretStr(token), github_login="bot",
        github_commits="git",
    )  # fmt: skip
    forge, _ = forge_of(settings, state)
    assert isinstance(forge, PushingForge)
    forge.api._sleep = lambda seconds: None
    return forge


@pytest.fixture
def forge(server: GitServer, tmp_path: Path) -> PushingForge:
    return open_forge(server, tmp_path / "clone")


def begun(forge: PushingForge) -> str:
    return forge.commit("main", FIRST, parent=None, message="First", author="ada")


def test_commits_are_pushed_and_nothing_is_written_through_the_api(server: GitServer, forge: PushingForge, tmp_path: Path) -> None:
    first = begun(forge)
    second = forge.commit("main", {"README.md": b"More skills.\n"}, parent=first, message="More", author="ada")
    elsewhere = open_forge(server, tmp_path / "another")  # which has to fetch what it builds on
    changed = {"skills/x/skill.py": b"x = 2\n", "skills/x/old.bin": None, "skills/x/new/big.bin": bytes(range(256)) * 9000}
    made = elsewhere.commit("skill/x", changed, parent=None, message="Change x\n\nFor request #1.", author="skillops-author")
    again = elsewhere.commit("skill/x", {"skills/x/skill.py": b"x = 3\n"}, parent=made, message="Mend x", author="skillops-author")

    assert (server.head("main"), server.head("skill/x")) == (second, again)
    assert server.git("log", "--format=%an: %s", "skill/x").splitlines() == [
        "skillops-author: Mend x", "skillops-author: Change x", "ada: More", "ada: First",
    ]  # fmt: skip
    assert server.git("ls-tree", "-r", "--name-only", "skill/x").splitlines() == [
        "README.md", "registry.yaml", "skills/x/new/big.bin", "skills/x/skill.py",
    ]  # fmt: skip
    assert len(server.git("cat-file", "blob", "skill/x:skills/x/skill.py")) == len("x = 3")
    assert int(server.git("cat-file", "-s", "skill/x:skills/x/new/big.bin")) == 256 * 9000
    assert {verb for verb, path in server.asked if path.startswith("/api")} == {"GET"}
    assert (tmp_path / "another/.skillops/github.git/shallow").read_text().split() == [second]


def test_the_token_is_on_no_command_line_in_no_file_and_in_no_log(
    server: GitServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TRACE_CURL", str(tmp_path / "trace"))
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(tmp_path / "trace2"))
    monkeypatch.setenv("GIT_TRACE_REDACT", "0")
    caplog.set_level(logging.DEBUG)
    begun(open_forge(server, tmp_path / "clone"))
    open_forge(server, tmp_path / "another").commit("skill/x", {"skills/x/skill.py": b"x = 2\n"}, parent=None, message="x", author="ada")
    forge = open_forge(server, tmp_path / "third")
    forge.token = lambda refused: "another-token"  # type: ignore[method-assign, assignment]
    with pytest.raises(ConfigurationError) as told:
        forge.commit("skill/y", {"skills/y/skill.py": b"y = 1\n"}, parent=None, message="y", author="ada")

    signs = [sign for token in (TOKEN, "another-token") for sign in (token, base64.b64encode(f"x-access-token:{token}".encode()).decode())]
    files = b"\0".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "server" not in path.parts[len(tmp_path.parts) :])
    assert any("git push" in line for line in server.commands) and any("git-remote-http" in line for line in server.commands)
    for sign in signs:
        assert not any(sign in line for line in server.commands)
        assert sign.encode() not in files and sign not in caplog.text and sign not in str(told.value) + str(told.value.why)


def test_a_branch_that_moved_while_we_pushed_keeps_what_the_other_wrote(server: GitServer, forge: PushingForge) -> None:
    first = begun(forge)
    head = forge.commit("skill/x", {"skills/x/skill.py": b"x = 2\n"}, parent=None, message="x", author="ada")
    theirs = server.git("commit-tree", f"{head}^{{tree}}", "-p", head, "-m", "Theirs")
    rival = server.git("commit-tree", f"{first}^{{tree}}", "-p", first, "-m", "Rival")
    forge._head = raced(forge, server, {"skill/x": theirs, "skill/new": rival})  # type: ignore[method-assign]

    for branch, parent, now in (("skill/x", head, theirs), ("skill/new", None, rival)):
        with pytest.raises(HeadMoved, match=f"{branch} is not where it was"):
            forge.commit(branch, {"skills/x/skill.py": b"x = 3\n"}, parent=parent, message="Mine", author="ada")
        assert server.head(branch) == now
    assert sum(path.endswith("/git-receive-pack") and verb == "POST" for verb, path in server.asked) == 2  # git itself saw it, and sent nothing


def raced(forge: PushingForge, server: GitServer, others: dict[str, str]) -> object:
    """Reads a head as it is, and then somebody else moves the branch."""
    read, left = forge._head, dict(others)

    def head(ref: str, *, anew: bool = False) -> str | None:
        found = read(ref, anew=anew)
        if ref in left:
            server.git("update-ref", f"refs/heads/{ref}", left.pop(ref))
        return found

    return head


def test_a_token_that_ended_is_renewed_once_and_one_that_is_wrong_or_may_not_push_is_told(server: GitServer, forge: PushingForge) -> None:
    given = list[bool]()
    forge.token = lambda refused: given.append(refused) or (TOKEN if refused else "an-old-token")  # type: ignore[method-assign, assignment, func-returns-value]
    assert begun(forge) == server.head("main") and given == [False, True]

    forge.token = lambda refused: "a-wrong-token"  # type: ignore[method-assign, assignment]
    with pytest.raises(ConfigurationError, match="GitHub does not accept the key") as wrong:
        forge.commit("skill/x", {"x": b"x"}, parent=None, message="x", author="ada")
    server.tokens.add("a-reader")
    server.readers.add("a-reader")
    forge.token = lambda refused: "a-reader"  # type: ignore[method-assign, assignment]
    with pytest.raises(NotAllowed, match="GitHub does not allow git push") as forbidden:
        forge.commit("skill/x", {"x": b"x"}, parent=None, message="x", author="ada")
    assert wrong.value.next_step and forbidden.value.next_step and not server.head("skill/x")


def test_a_branch_that_a_rule_protects_is_told_as_the_api_would(server: GitServer, forge: PushingForge) -> None:
    first = begun(forge)
    server.hook("update", '[ "$1" = refs/heads/main ] || exit 0; echo "error: GH006: Protected branch update failed" >&2; exit 1')

    with pytest.raises(ConfigurationError, match="does not let us write to the branch main") as told:
        forge.commit("main", {"README.md": b"More\n"}, parent=first, message="More", author="ada")
    assert "GH006" in told.value.why and "bypass" in told.value.next_step and server.head("main") == first


def test_a_push_whose_answer_is_lost_is_looked_for_and_one_that_was_cut_is_sent_again(server: GitServer, forge: PushingForge) -> None:
    head = begun(forge)
    for fault in ("after", "cut"):
        server.fault = fault
        head = forge.commit("main", {"README.md": fault.encode()}, parent=head, message=fault, author="ada")
        assert server.head("main") == head

    assert server.git("rev-list", "--count", "main") == "3"


def test_a_server_that_is_silent_or_gone_is_told_and_nothing_goes_on_running(
    server: GitServer, forge: PushingForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github_pushes, "TRIES", 1)
    monkeypatch.setattr(git_remote, "SECONDS", 2)
    address = forge.cache.address()
    server.fault = "stall"
    with pytest.raises(CouldNotTell, match="git push did not get through") as told:
        begun(forge)
    assert "longer than 2 s" in told.value.why
    assert git_server.awaited(lambda: not any(address in line for line in git_server._command_lines()))

    monkeypatch.setattr(git_remote, "SECONDS", 60)
    forge.cache.address = lambda: "http://127.0.0.1:9/acme/skills.git"
    with pytest.raises(CouldNotTell, match="git push did not get through") as gone:
        begun(forge)
    assert "connect" in gone.value.why.lower()


@pytest.mark.parametrize(
    ("api", "git"),
    [
        ("https://api.github.com", "https://github.com"), ("https://github.acme.com/api/v3", "https://github.acme.com"),
        ("https://github.acme.com/api/v3/", "https://github.acme.com"), ("https://api.acme.ghe.com", "https://acme.ghe.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)  # fmt: skip
def test_where_git_reaches_the_repositories_follows_from_the_api(api: str, git: str) -> None:
    assert git_base(api) == git
