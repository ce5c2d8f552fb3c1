"""The command's door: help, exit codes, one JSON document, completion, and what happens when something goes wrong."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from agent import doctor
from agent.cli import STOPPED, _command, app, main
from agent.errors import (
    BudgetSpent,
    ConfigurationError,
    CouldNotTell,
    InvalidFile,
    NotFound,
    Refused,
    SkillOpsError,
    UsageError,
    WaitsForPerson,
)
from tests.command import skillops


def verbs_of(group: Any, before: str = "") -> dict[str, Any]:
    """Each verb with its command, those of a group of verbs (`key create`) by both words."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        if not command.hidden:
            found |= verbs_of(command, f"{name} ") if hasattr(command, "commands") else {before + name: command}
    return found


COMMANDS = verbs_of(typer.main.get_command(app))
GO_ON = {"serve", "mcp"}  # they answer others until they are stopped
HEAVY = ("pydantic", "litellm", "bandit", "detect_secrets", "git", "httpx", "jsonschema_rs", "agent.wiring", "agent.domain")


def test_the_verbs_are_those_of_the_design() -> None:
    assert set(COMMANDS) >= {
        *("demo", "init", "doctor", "new", "config"),
        *("ask", "chat", "invoke"),
        *("request", "reply", "propose", "run", "check", "review", "decide", "release", "deploy"),
        *("approve", "reject", "revise", "hold", "retry", "explain"),
        *("list", "search", "show", "history", "rollback", "retire"),
    }


@pytest.mark.parametrize("verb", COMMANDS)
def test_each_verb_explains_itself_with_an_example_and_takes_json(verb: str) -> None:
    done = skillops(*verb.split(), "--help")
    assert done.code == 0
    assert f"skillops {verb}" in done.out.split("Example")[1]
    assert "--json" in done.out or verb in GO_ON
    assert [parameter.name for parameter in COMMANDS[verb].params if not parameter.help] == []


def test_help_names_every_verb_and_what_the_exit_codes_mean() -> None:
    done = skillops("--help")
    assert done.code == 0
    assert [verb for verb in COMMANDS if f" {verb.split()[0]} " not in done.out] == []
    assert "4 could not tell" in done.out


def test_the_verb_that_is_called_is_made_ready_alone_and_all_where_it_is_none() -> None:
    names = {verb.split()[0] for verb in COMMANDS}
    assert {name: [*_command(name).commands] for name in names} == {name: [name] for name in names}
    assert all(set(_command(none).commands) >= names for none in ("", "--json", "lst"))


def test_loading_the_command_loads_nothing_heavy() -> None:
    code = f"import agent.cli, sys; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("No."), 1),
        (UsageError("What?"), 2),
        (NotFound("Nowhere."), 2),
        (WaitsForPerson("Somebody."), 3),
        (CouldNotTell("Hm."), 4),
        (BudgetSpent("All gone."), 4),
        (ConfigurationError("Wrong."), 5),
        (InvalidFile("skill.yaml", "expected a name", line=3), 5),
    ],
)
def test_an_error_has_its_exit_code_and_says_what_why_and_the_next_step(monkeypatch: pytest.MonkeyPatch, error: SkillOpsError, code: int) -> None:
    error.why, error.next_step = "Because [of] it.", "Do that."

    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr(doctor, "examine", fail)
    told = skillops("doctor")
    assert (told.code, told.out) == (code, "")
    assert told.err.splitlines() == [error.what, "Because [of] it.", "Do that."]
    as_json = skillops("doctor", "--json")
    assert (as_json.code, as_json.err) == (code, "")
    assert as_json.document == {"error": error.told()}


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr(doctor, "examine", fail)


def test_a_fault_of_our_own_is_told_in_a_sentence_and_its_details_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    raising(monkeypatch, ZeroDivisionError("division by zero"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = skillops("doctor")
    assert done.code == 4
    assert "ZeroDivisionError: division by zero" in done.err and "Traceback" not in done.err
    (log,) = tmp_path.iterdir()
    assert str(log) in done.err and "Traceback" in log.read_text()


def test_what_the_machine_refuses_is_told_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "catalog.sqlite"))
    done = skillops("doctor", "--json")
    assert done.code == 4
    assert done.document["error"]["what"] == "This machine said no: No space left on device (catalog.sqlite)."


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_ctrl_c_says_that_nothing_is_lost(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    raising(monkeypatch, KeyboardInterrupt())
    done = skillops("doctor", *arguments)
    assert done.code == STOPPED
    assert "Nothing is lost" in (done.document["error"]["next_step"] if arguments else done.err)


@pytest.mark.parametrize(
    "arguments", [["approve"], ["approve", "two"], ["approve", "1", "--nonsense"], ["nonsense"], ["reject", "1"], ["search", "x", "--limit", "0"]]
)
def test_wrong_usage_is_told_and_exits_with_2(arguments: list[str]) -> None:
    told = skillops(*arguments)
    assert told.code == 2 and told.out == "" and "Error" in told.err
    as_json = skillops(*arguments, "--json")
    assert as_json.code == 2 and as_json.document["error"]["code"] == "usage" and as_json.document["error"]["what"]


def test_without_a_verb_it_shows_its_help() -> None:
    done = skillops()
    assert done.code == 2 and "request" in done.said


def test_shell_completion_finds_verbs_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))  # whatever the tests were started from

    def complete(words: str) -> list[str]:
        place = str(len(words.split(" ")) - 1)
        return skillops(_SKILLOPS_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=place).out.split()

    assert {"request", "reply", "release", "retire"} <= set(complete("skillops re"))
    assert "--once" in complete("skillops run --")
    assert "_SKILLOPS_COMPLETE" in skillops("--show-completion", "bash").out


def test_a_terminal_that_lacks_a_sign_still_shows_the_text() -> None:
    command = [sys.executable, "-m", "agent.cli", "ask", "--help"]
    shown = subprocess.run(command, capture_output=True, env={"PYTHONIOENCODING": "ascii", "PATH": ""}, check=True).stdout
    assert b"skillops ask" in shown


def test_no_core_is_dumped_of_what_may_hold_secrets() -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
        with pytest.raises(SystemExit):
            main(["--help"])
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
