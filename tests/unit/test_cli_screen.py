"""What the screen shows of other people's words, and how often."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agent import screen
from agent.domain.event import Event
from agent.domain.invocation import InvocationResult, Receipt
from agent.errors import Refused
from agent.screen import Watcher, command, errors, say
from tests.builders import a_manifest, an_entry


def an_event(what: str = "checked", **traits: Any) -> Event:
    return Event.model_validate({"stage": "checking", "what": what, "actor": "ada", "outcome": "passed", "data": {"check": "style"}, **traits})


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """Everything that is printed."""
    file = StringIO()
    for name in ("out", "err"):
        monkeypatch.setattr(screen, name, Console(file=file, width=80, highlight=False))
    return file


HOSTILE = "\x1b[2J\x1b]0;title\x07 \x9b31m a\rb [red]not markup[/] \\[x"


def test_words_of_others_move_no_cursor_and_are_no_markup(shown: StringIO) -> None:
    say(HOSTILE)
    errors(Refused(HOSTILE, why=HOSTILE, next_step=HOSTILE))
    Watcher(screen.out)(an_event(note=HOSTILE))
    assert {char for char in shown.getvalue() if (ord(char) < 32 or 127 <= ord(char) < 160) and char != "\n"} == set()
    assert shown.getvalue().count("[red]not markup[/]") == 5


def test_what_skills_give_and_people_are_called_moves_no_cursor_either(shown: StringIO) -> None:
    """JSON escapes C0 and leaves C1 (U+009B begins a sequence as ESC [ does) and what turns writing round; a name may look like markup."""
    odd = HOSTILE + "\x9d52;c;cGFzdGU=\x07 \u202egnp.exe\u2066"
    screen.result_of(InvocationResult(outputs={odd: [odd]}, receipt=Receipt(skill="a", version="1.0.0", digest="sha256:0")))
    screen.skill_of(an_entry(proposal=7, approvals=("[/] eve", "[red]ada")), a_manifest(inputs={"type": "object", "description": odd}), ())
    told = shown.getvalue()
    assert not {char for char in told if ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u202e\u2066"} - {"\n"}
    assert "[/] eve, [red]ada" in told and "gnp.exe" in told


def test_what_the_ledger_keeps_once_is_shown_once(shown: StringIO) -> None:
    watch = Watcher(screen.out)
    for event in (an_event(key="a"), an_event(key="a"), an_event(key="b"), an_event(), an_event()):
        watch(event)
    assert len(shown.getvalue().splitlines()) == 4


def test_a_stage_that_ends_shows_its_time_and_a_line_is_never_long(shown: StringIO) -> None:
    watch = Watcher(screen.out)
    watch(an_event("started"))
    watch(an_event("finished", seconds=1.234))
    watch(an_event(note="word\n" * 500, seconds=0.001))
    first, second = shown.getvalue().splitlines()
    assert first == "checking     1.23 s"
    assert second.startswith("  ✓ style: passed. word word") and len(second) < 150 and not second.endswith(" s")


def test_the_next_command_can_be_pasted_where_the_shell_does_not_find_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = tmp_path / "my tools" / "skillops"
    made.parent.mkdir()
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(made)])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command() == f"'{made}'"
    monkeypatch.setenv("PATH", str(made.parent))
    assert command() == "skillops"
