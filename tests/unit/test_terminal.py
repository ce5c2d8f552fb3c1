"""A chat in the terminal shows what was answered while the person was away, and to what."""

from __future__ import annotations

import base64
import io
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.chats.line_history import LineHistory
from agent.chats.terminal import Talk
from agent.conversation import Result
from agent.drawings import drawings, kept_picture, pictures, tables
from agent.errors import Stopped
from agent.facts import Facts
from agent.halting import by_ctrl_c, pause
from agent.memory import Memory
from agent.pipeline import Outcome


class Place:
    """A workplace whose agent answers `ok` to everything; `meanwhile` happens while it does."""

    def __init__(self, memory: Memory) -> None:
        self.conversations, self.parts = SimpleNamespace(memory=memory, spent=lambda ident: (0, 0.0)), SimpleNamespace(user="ada")
        self.meanwhile: Any = lambda: None

    def ask(self, text: str, conversation: str | None, agent: str | None = None) -> tuple[Result, Outcome]:
        memory = self.conversations.memory
        ident = conversation or memory.start("ada")
        turn = say(memory, ident, text)
        self.meanwhile()
        answer(memory, turn, "ok")
        return Result(conversation=ident, kind="answered", text="ok", turn=turn), Outcome()


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "conversations.sqlite")


def say(memory: Memory, ident: str, text: str) -> int:
    with memory.begun(ident, text, {}) as turn:
        return turn


def answer(memory: Memory, turn: int, text: str) -> None:
    memory.answer(turn, text, {"kind": "answered", "turn": turn})


def talk(memory: Memory, monkeypatch: pytest.MonkeyPatch, said: str = "", place: Place | None = None, **options: Any) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(said))
    Talk(place or Place(memory), None, new=False, **options).go_on()  # type: ignore[arg-type]


def test_a_chat_begins_with_all_that_was_said_since_the_persons_last_word(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ident = memory.start("ada")
    turns = [say(memory, ident, f"task {number}") for number in range(3)]
    for turn in turns:
        memory.answer(turn, "I wait.", {"kind": "waits", "turn": turn}, pending={})
    for turn in turns:
        answer(memory, turn, f"answer {turn}")

    talk(memory, monkeypatch)

    shown = capsys.readouterr().err
    assert "you: task" not in shown and "task 1\n" not in shown
    assert "person: task 2" in shown
    assert "agent (to “task 0”): answer 1" in shown
    assert "agent: answer 3" in shown, "what answers the person's last word needs no quotation"


def test_an_answer_that_comes_while_they_talk_is_shown_once_and_the_others_are_not_repeated(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ident = memory.start("ada")
    earlier = say(memory, ident, "count")
    place = Place(memory)
    place.meanwhile = lambda: answer(memory, earlier, "Two.") if memory.undone(ident)[0].turn == earlier else None

    talk(memory, monkeypatch, "hello\nhello again\n", place)

    told = capsys.readouterr()
    assert told.err.splitlines() == ["person: count", "agent (to “count”): Two."]
    assert told.out.splitlines() == ["ok", "ok"]


def test_ctrl_c_stops_what_is_done_and_the_chat_goes_on(memory: Memory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    place, came_to = Place(memory), list[str]()

    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped, match="ada said stop"):
            pause(60)
        came_to.append("stopped")

    place.meanwhile = lambda: None if came_to else interrupted()
    before = signal.getsignal(signal.SIGINT)

    talk(memory, monkeypatch, "hello\nhello again\n", place)

    assert came_to == ["stopped"] and "Ctrl-C once more ends the chat" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    twice = by_ctrl_c("ada", lambda: None)
    with pytest.raises(KeyboardInterrupt), twice:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def test_ctrl_c_at_a_question_says_how_to_leave_it_and_ends_the_chat_the_second_time(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with memory.begun(memory.start("ada"), "count", {"question": {"text": "Which one?"}}):
        pass
    keys = iter([KeyboardInterrupt(), "cancel", KeyboardInterrupt(), KeyboardInterrupt()])

    def typed(prompt: str) -> str:
        key = next(keys)
        if isinstance(key, KeyboardInterrupt):
            raise key
        return str(key)

    monkeypatch.setattr("builtins.input", typed)

    with pytest.raises(KeyboardInterrupt):
        talk(memory, monkeypatch)

    told = capsys.readouterr()
    assert told.out == "ok\n" and told.err.count("`cancel` leaves it") == 2 and next(keys, None) is None


def test_what_others_wrote_cannot_steer_the_terminal(memory: Memory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer(memory, say(memory, memory.start("ada"), "[red]x[/]"), "\x1b[2Jgone")

    talk(memory, monkeypatch)

    shown = capsys.readouterr().err
    assert "\x1b[2J" not in shown and "[red]x[/]" in shown


def test_quiet_shows_nothing(memory: Memory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer(memory, say(memory, memory.start("ada"), "count"), "Two.")

    talk(memory, monkeypatch, "hello\n", quiet=True)

    assert capsys.readouterr() == ("", "")


# ---- what is drawn, and what is kept of what was typed ----------------------------------------------------------------

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def test_lists_of_records_are_tables_and_nothing_else_is() -> None:
    rows = [{"a": 1, "b": None}, {"a": 2, "c": "x"}]

    assert list(tables({"s": {"rows": rows, "one": [{"a": 1}], "deep": [{"a": [1]}, {"a": 2}], "words": ["a", "b"]}})) == [rows]
    assert list(tables([{str(number): 1 for number in range(11)}] * 2)) == []


@pytest.mark.parametrize(
    "outputs", [{"plot": f"data:image/png;base64,{PIXEL}"}, {"file": {"mediaType": "image/png", "data": PIXEL}}], ids=["data URL", "media type"]
)
def test_a_picture_becomes_a_file_that_can_be_opened(tmp_path: Path, outputs: Any) -> None:
    ((ending, data),) = pictures(outputs)

    path = kept_picture(tmp_path / "pictures", ending, data)

    assert path.suffix == ".png" and path.read_bytes().startswith(b"\x89PNG")
    assert list(pictures({"x": "data:image/png;base64,!!", "y": "data:text/html;base64,AAAA", "z": {"mime": "image/png"}})) == []


def test_what_is_drawn_of_an_answer_is_kept_within_bounds(memory: Memory) -> None:
    rows = [{"a": number, "b": None if number else "two  words", "c": True} for number in range(40)]
    big = "data:image/png;base64," + base64.b64encode(b"x" * (3 * 2**20)).decode()
    turn = say(memory, memory.start("ada"), "draw")

    memory.keep_drawings(turn, drawings({"rows": [rows] * 5, "chart": f"data:image/png;base64,{PIXEL}", "big": big}))

    *kept, picture = memory.drawings(turn)
    assert [len(each.rows) for each in kept] == [31, 31, 31] and kept[0].rows[:2] == (("a", "b", "c"), ("0", "two words", "true"))
    assert (picture.ending, picture.data[:4]) == ("png", b"\x89PNG") and memory.drawings(turn, data=False)[-1].data == b""


def test_what_looks_like_a_secret_is_not_in_the_history(tmp_path: Path) -> None:
    history = LineHistory(tmp_path / "state" / "chat_history")

    kept = [history.add(line) for line in ("count the words", "my token is ghp_" + "a1B2" * 9, "password = 'hunter2-really'")]

    assert kept == [True, False, False]
    assert (tmp_path / "state" / "chat_history").read_text().split("\n") == ["count the words", ""]
    assert (tmp_path / "state" / "chat_history").stat().st_mode & 0o077 == 0


def test_facts_and_plans_are_shown_in_the_chat_and_other_slashes_are_said_to_the_agent(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(memory)
    place.conversations.facts = Facts(tmp_path / "facts.sqlite")
    place.conversations.runs = lambda turn: []
    place.conversations.facts.keep("ada", "I deploy on Tuesdays")

    talk(memory, monkeypatch, "/facts\n/forget 1\n/forget x\n/plan\n/other\n", place)

    told = capsys.readouterr()
    assert told.out.splitlines()[0].startswith("1  I deploy on Tuesdays") and told.out.splitlines()[1:] == ["Forgotten: I deploy on Tuesdays", "ok"]
    assert "Which fact?" in told.err and "No plan ran" in told.err
    assert place.conversations.facts.of("ada") == []
