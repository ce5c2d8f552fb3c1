"""The verbs that need no sandbox, on a new skills repository: what each says, changes and refuses."""

from __future__ import annotations

import errno
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent import wiring
from agent.domain.proposal import HOLD
from agent.forges.git_door import isolated_git, run_git
from agent.starter import found
from tests.command import Done, skillops, written
from tests.subjects import skill_files


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    assert skillops("init", tmp_path / "skills").code == 0
    return tmp_path / "skills"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A skill that somebody wrote, outside the repository."""
    return written(tmp_path / "work" / "word-count")


@pytest.fixture
def proposed(repository: Path, folder: Path) -> Path:
    """The repository with proposal #1, by ada."""
    assert skillops("propose", "--from", folder, "-C", repository).code == 0
    return repository


def json_of(done: Done) -> Any:
    assert done.err == ""
    return done.document


# ---- start here ----------------------------------------------------------------------------------------------------


def test_a_new_repository_is_a_clean_clone_of_a_bare_origin_beside_it(repository: Path) -> None:
    git = ["git", "-C", str(repository)]
    assert subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True).stdout == b""
    assert {"registry.yaml", "README.md", "reviewers"} <= {path.name for path in repository.iterdir()}
    assert wiring.open_workplace(repository).checkout.origin == repository.with_name("skills.git")
    assert json_of(skillops("list", "--json", "-C", repository)) == {"revision": 0, "skills": [], "services": []}


def test_an_empty_folder_can_become_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert json_of(skillops("init", ".", "--json")) == {"folder": str(tmp_path / "here"), "origin": str(tmp_path / "here.git")}


def test_what_exists_is_never_made_anew(repository: Path) -> None:
    for path in (repository, repository.with_name("skills.git")):
        done = skillops("init", path)
        assert done.code == 2 and "exists already" in done.err


def test_an_init_that_failed_can_be_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("agent.starter.Checkout.make", full)
        assert skillops("init", tmp_path / "skills").code == 4
    assert skillops("init", tmp_path / "skills").code == 0


class Killed(BaseException):
    """Nothing is cleared away after it."""


@pytest.mark.parametrize("at", ["LocalForge.commit", "Checkout.make"])
def test_an_init_that_was_killed_leaves_what_is_whole_and_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(f"agent.starter.{at}", killed)
        found(tmp_path / "my skills")
    again = skillops("init", tmp_path / "my skills")
    if at == "Checkout.make":
        command = re.search("`(git clone .*)` makes its clone, which is missing", again.err)
        assert again.code == 2 and command and run_git(isolated_git(tmp_path), *shlex.split(command[1])[1:])[0] == 0
    assert json_of(skillops("list", "--repository", tmp_path / "my skills", "--json"))["skills"] == []


def test_a_clone_that_was_killed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(git: Any, *arguments: str) -> None:
        Path(arguments[-1], ".git").mkdir(parents=True)
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("agent.forges.checkout.run_git", killed)
        found(tmp_path / "skills")
    assert not (tmp_path / "skills").exists()


def test_a_disk_that_fills_leaves_no_half_of_a_new_skill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fills(root: Path, files: dict[str, bytes]) -> None:
        root.mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("agent.starter.write_files", fills)
        done = skillops("new", "word-count", "--in", tmp_path)
    assert done.code == 4 and "No space left" in done.err
    assert skillops("new", "word-count", "--in", tmp_path).code == 0


def test_a_new_skill_has_what_a_skill_needs(tmp_path: Path) -> None:
    made = json_of(skillops("new", "word-count", "--in", tmp_path, "--json"))
    assert {"SKILL.md", "skill.yaml", "skill.py", "tests/test_skill.py"} <= set(made["files"])
    assert skillops("new", "word-count", "--in", tmp_path).code == 2
    for name, language in (("Word Count", "python"), ("../x", "python"), ("x" * 64, "python"), ("x", "cobol")):
        done = skillops("new", name, "--in", tmp_path, "-l", language)
        assert done.code == 2 and done.err.count("\n") == 2


def test_a_new_skill_with_a_dockerfile_says_what_its_checks_need(tmp_path: Path) -> None:
    made = skillops("new", "word-count", "--in", tmp_path, "-l", "container")
    assert made.code == 0 and "Docker Engine" in made.out and '`runtime = "docker"`' in " ".join(made.out.split())
    assert "Docker" not in skillops("new", "other", "--in", tmp_path).out


def test_config_tells_each_value_and_where_it_came_from(repository: Path) -> None:
    (repository / "skillops.toml").write_text("workers = 3\n")
    (repository / "deeper").mkdir()
    rows = {
        row["name"]: row
        for row in json_of(skillops("config", "--json", "-C", repository / "deeper", SKILLOPS_MODEL="a/b", SKILLOPS_API_KEY="s3cret"))
    }
    assert (rows["workers"]["value"], rows["workers"]["source"]) == ("3", "skillops.toml")
    assert (rows["model"]["value"], rows["model"]["source"]) == ("a/b", "SKILLOPS_MODEL")
    assert (rows["mutants"]["value"], rows["mutants"]["source"]) == ("40", "default")
    assert "s3cret" not in str(rows)
    assert all(row["description"] for row in rows.values())
    assert "workers = 3  (skillops.toml)" in skillops("config", "-C", repository).out


def test_config_outside_a_repository_shows_the_defaults(tmp_path: Path) -> None:
    assert "workers = 4  (default)" in skillops("config", "-C", tmp_path).out


def test_the_doctor_tells_what_is_wrong_and_how_to_mend_it(repository: Path) -> None:
    found = {each["what"]: each for each in skillops("doctor", "--json", "-C", repository).document["diagnoses"]}
    everywhere = {"python", "git", "sandbox", "go", "repository", "registry and policy", "working clone", "ledger", "disk", "model"}
    assert set(found) == {*everywhere, "tools for node", "tools for bash"}
    assert found["registry and policy"]["ok"] and found["ledger"]["ok"]
    assert not found["model"]["ok"] and not found["model"]["needed"] and "SKILLOPS_MODEL" in found["model"]["fix"]


def test_the_doctor_looks_for_the_tools_of_each_language(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"git": shutil.which("git"), "jq": "/usr/bin/jq", "bash": "/bin/bash", "curl": "/usr/bin/curl"}
    monkeypatch.setattr(shutil, "which", there.get)
    found = {each["what"]: each for each in skillops("doctor", "--json", "-C", repository).document["diagnoses"]}
    assert found["tools for bash"]["found"] == "shellcheck not installed"
    assert found["tools for node"]["found"] == "node, npm not installed"
    assert not found["tools for bash"]["needed"] and "apt-get install" in found["tools for bash"]["fix"]


def test_the_doctor_looks_for_docker_where_the_settings_say_docker(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLOPS_BUILDER", "docker")
    monkeypatch.setenv("SKILLOPS_RUNTIME", "docker")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{repository}/none.sock")
    found = {each["what"]: each for each in skillops("doctor", "--json", "-C", repository).document["diagnoses"]}
    assert not found["docker engine"]["ok"] and "docker.io" in found["docker engine"]["fix"]
    assert not found["base images"]["ok"]


# ---- requests ------------------------------------------------------------------------------------------------------


def test_a_request_is_raised_listed_and_explained(repository: Path) -> None:
    raised = json_of(skillops("request", "Turn 1h 30m\ninto seconds", "--json", "-C", repository))
    assert (raised["number"], raised["title"], raised["requester"]) == (1, "Turn 1h 30m into seconds", "ada")
    assert skillops("list", "--requests", "-C", repository).out == "#1  Turn 1h 30m into seconds\n"
    told = json_of(skillops("explain", 1, "--json", "-C", repository))
    assert (told["title"], told["state"], told["tampered"]) == ("Turn 1h 30m into seconds", "open", None)


def test_the_same_words_may_be_asked_for_again(repository: Path) -> None:
    numbers = [json_of(skillops("request", "Count words", "--json", "-C", repository))["number"] for _ in range(2)]
    assert numbers == [1, 2]


def test_a_reply_is_said_on_the_request(repository: Path) -> None:
    skillops("request", "Count words", "-C", repository)
    assert json_of(skillops("reply", 1, "-", "--json", "-C", repository, stdin="Only ASCII"))["said"] == "Only ASCII"
    (said,) = wiring.open_workplace(repository).parts.forge.comments(1)
    assert (said.author, said.text) == ("ada", "Only ASCII")


# ---- what a person says of a proposal ------------------------------------------------------------------------------


def test_what_a_person_wrote_becomes_a_proposal_in_their_name(proposed: Path) -> None:
    (proposal,) = json_of(skillops("list", "--proposals", "--json", "-C", proposed))
    assert (proposal["number"], proposal["author"], proposal["branch"]) == (1, "ada", "people/word-count-1.0.0")


def test_nobody_approves_what_they_wrote(proposed: Path) -> None:
    done = skillops("approve", 1, "-C", proposed)
    assert done.code == 1 and "cannot approve it" in done.err and "self_approval: true" in done.err


def test_nobody_takes_over_a_proposal_to_approve_their_own_work(proposed: Path, folder: Path) -> None:
    written(folder, **{"skill.py": "def execute(inputs, context):\n    return {'words': 7}\n"})
    done = skillops("propose", "--from", folder, "-C", proposed, user="bob")
    assert done.code == 1 and "ada has proposed this version of word-count already: #1" in done.err


def test_an_approval_holds_for_the_head_that_was_seen(proposed: Path, folder: Path) -> None:
    assert json_of(skillops("approve", 1, "--json", "-C", proposed, user="bob"))["verdict"] == "approve"
    forge = wiring.open_workplace(proposed).parts.forge
    assert [review.reviewer for review in forge.reviews(1, forge.proposal(1).head)] == ["bob"]
    written(folder, **{"SKILL.md": skill_files()["SKILL.md"] + b"\nMore.\n"})
    assert skillops("propose", "--from", folder, "-C", proposed).code == 0
    assert forge.reviews(1, forge.proposal(1).head) == ()


def test_a_proposal_is_held_and_taken_up_again(proposed: Path) -> None:
    assert skillops("hold", 1, "--why", "later", "-C", proposed).code == 0
    refused = skillops("approve", 1, "-C", proposed, user="bob")
    assert refused.code == 1 and "on hold" in refused.err
    decided = skillops("decide", 1, "-C", proposed)
    assert decided.code == 3 and "on hold" in decided.out
    assert skillops("retry", 1, "-C", proposed).code == 0
    assert HOLD not in wiring.open_workplace(proposed).parts.forge.proposal(1).labels


def test_a_request_is_taken_back_with_its_reason_while_nothing_is_proposed(repository: Path) -> None:
    skillops("request", "Count words", "-C", repository)
    assert json_of(skillops("withdraw", 1, "--why", "done by hand", "--json", "-C", repository))["closed_as"] == "withdrawn"
    again, told = skillops("withdraw", 1, "-C", repository), skillops("explain", 1, "-C", repository)
    assert again.code == 2 and "Request #1 is taken back already" in again.err
    assert "ada took the request back: done by hand" in told.out and skillops("withdraw", 9, "-C", repository).code == 2


def test_what_has_not_been_checked_can_be_neither_decided_nor_released(proposed: Path) -> None:
    decided = skillops("decide", 1, "-C", proposed)
    assert decided.code == 4 and "checking comes first" in decided.err and "skillops run 1" in decided.err
    assert skillops("release", 1, "-C", proposed).code == 1


def test_a_rejected_proposal_is_closed_by_the_next_run_and_stays_closed(proposed: Path) -> None:
    assert skillops("reject", 1, "-C", proposed, user="bob").code == 2  # without a reason
    assert skillops("reject", 1, "--why", "  ", "-C", proposed, user="bob").code == 2
    for verb in ("reject", "hold"):
        said = skillops(verb, 1, "--why", "\udcff", "-C", proposed, user="bob")
        assert said.code == 2 and "The reason has control characters" in said.err
    assert skillops("reject", 1, "--why", "we buy this", "-C", proposed, user="bob").code == 0
    decided = skillops("decide", 1, "-C", proposed)
    assert decided.code == 1 and "we buy this" in decided.out
    assert skillops("run", "-C", proposed).code == 0
    for verb in (["approve", 1], ["hold", 1], ["retry", 1], ["revise", 1, "--why", "x"], ["review", 1]):
        done = skillops(*verb, "-C", proposed, user="bob")
        assert done.code == 2 and "Proposal #1 is closed" in done.err
    assert skillops("list", "--proposals", "-C", proposed).out == "None are open.\n"


def test_every_word_of_a_person_is_in_the_trail(proposed: Path) -> None:
    skillops("hold", 1, "--why", "until\nMonday", "-C", proposed, user="bob")
    skillops("retry", 1, "-C", proposed, user="bob")
    skillops("revise", 1, "--why", "count [bold]tabs[/bold] too", "-C", proposed, user="bob")
    told = skillops("explain", 1, "-C", proposed)
    assert told.code == 0
    assert "bob put it on hold: until Monday" in told.out
    assert "bob sent it back: count [bold]tabs[/bold] too" in told.out
    assert "the chain of hashes holds" in told.out


# ---- the registry --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [["show"], ["history"], ["rollback"], ["retire"], ["deploy"], ["invoke"]])
def test_a_skill_that_is_not_there_is_said_so_by_every_verb(repository: Path, verb: list[str]) -> None:
    done = skillops(*verb, "nothing", "-C", repository)
    assert done.code == 2
    assert "There is no skill 'nothing'." in done.err and "holds no skills yet" in done.err


def test_a_search_that_finds_nothing_says_how_to_ask_for_it(repository: Path) -> None:
    assert "skillops request" in skillops("search", "weather", "-C", repository).out
    assert json_of(skillops("search", "weather", "--json", "-C", repository)) == []


# ---- without a model -----------------------------------------------------------------------------------------------


def test_without_a_model_a_run_could_not_tell_and_says_how_to_set_one(repository: Path) -> None:
    skillops("request", "Count words", "-C", repository)
    done = skillops("run", "-C", repository)
    assert done.code == 4
    assert "#1 could not go on: No model is set." in done.out and "SKILLOPS_MODEL=" in done.out
    (trouble,) = json_of(skillops("run", "--json", "-C", repository))["troubled"]
    assert (trouble["work"], trouble["code"]) == ("#1", "model-unavailable")


def test_without_a_model_a_question_could_not_be_answered(repository: Path) -> None:
    done = skillops("ask", "How many words?", "--json", "-C", repository)
    assert done.code == 4 and done.document["error"]["code"] == "model-unavailable"


def test_a_chat_reads_a_pipe_and_tells_each_turn(repository: Path) -> None:
    done = skillops("chat", "--json", "-C", repository, stdin="How many words?\n\nAnd now?\n")
    assert done.code == 4
    assert [turn["said"] for turn in done.document["turns"]] == ["How many words?", "And now?"]
    assert {turn["error"]["code"] for turn in done.document["turns"]} == {"model-unavailable"}
    assert skillops("chat", "--json", "-C", repository, stdin="").document["turns"] == []
    assert skillops("chat", "-C", repository, stdin=b"\xff\xfe\n").code == 2
    assert skillops("chat", "--conversation", "none", "-C", repository, stdin="hi\n").code == 2


def test_nothing_to_do_is_said_and_is_no_fault(repository: Path) -> None:
    done = skillops("run", "-C", repository)
    assert (done.code, done.out) == (0, "There is no open work.\n")
    assert skillops("release", "-C", repository).code == 0
    assert skillops("deploy", "-C", repository).out == "There is nothing to deploy.\n"


# ---- running skills --------------------------------------------------------------------------------------------------


def test_where_nothing_runs_logs_and_stats_say_so_and_start_nothing(repository: Path) -> None:
    assert json_of(skillops("stats", "--json", "-C", repository)) == []
    assert "No skill runs now" in skillops("stats", "-C", repository).out
    for done in (skillops("logs", "word-count", "-C", repository), skillops("stats", "word-count", "-C", repository)):
        assert (done.code, "No skill 'word-count' is deployed" in done.err) == (2, True)
    assert skillops("logs", "word-count", "--lines", "0", "-C", repository).code == 2
    assert not (repository / ".skillops/supervisor").exists()
