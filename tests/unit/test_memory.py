"""Conversations, kept so that what was asked is answered once, whoever does it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent.errors import CouldNotTell, NotFound
from agent.memory import Memory


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(tmp_path: Path, clock: Clock) -> Memory:
    return Memory(tmp_path / "conversations.sqlite", clock)


def another(memory: Memory, clock: Clock) -> Memory:
    """The same conversations, as another process has them."""
    return Memory(memory._file.path, clock)


def test_what_was_said_is_told_in_order_in_another_process(memory: Memory, clock: Clock) -> None:
    id = memory.start("ada")

    memory.say(id, "person", "How many words?\n\x00 ☃")
    memory.say(id, "agent", "Two.", {"receipt": {"skill": "word-count"}})

    turns = another(memory, clock).turns(id)
    assert [(turn.role, turn.text, turn.data) for turn in turns] == [
        ("person", "How many words?\n\x00 ☃", None),
        ("agent", "Two.", {"receipt": {"skill": "word-count"}}),
    ]
    assert turns[0].at == "2023-11-14T22:13:20.000+00:00"


def test_text_that_no_file_can_hold_is_kept_as_far_as_it_goes(memory: Memory) -> None:
    id = memory.start("ada\udcff")

    assert memory.say(id, "person", "half \ud800 a pair").text == "half ? a pair"
    assert memory.latest("ada\udcff") is not None


def test_the_latest_conversation_is_the_one_started_last_by_that_person(memory: Memory) -> None:
    memory.start("ada")
    last = memory.start("ada")
    memory.start("bob")

    latest = memory.latest("ada")

    assert latest == memory.get(last)
    assert memory.latest("eve") is None


def test_a_conversation_that_is_not_there_is_not_found(memory: Memory) -> None:
    for use in (memory.get, memory.turns):
        with pytest.raises(NotFound, match="no conversation 'x'"):
            use("x")
    with pytest.raises(NotFound):
        memory.say("x", "person", "hello")
    with pytest.raises(NotFound), memory.begun("x", "count", {}):
        pass
    assert memory.undone() == []


def begin(memory: Memory, text: str = "count", pending: object = None, conversation: str | None = None) -> tuple[str, int]:
    """A task that was begun and is in nobody's hands."""
    id = conversation or memory.start("ada")
    with memory.begun(id, text, pending or {"step": 0}) as turn:
        return id, turn


def test_a_task_is_said_and_kept_in_one(memory: Memory, clock: Clock) -> None:
    id, turn = begin(memory, "How many words?", {"step": 0})
    other_id, other_turn = begin(memory, "How long?", {"step": 7})

    other = another(memory, clock)

    assert [(said.id, said.role, said.text) for said in other.turns(id)] == [(turn, "person", "How many words?")]
    assert [(task.turn, task.conversation, task.pending) for task in other.undone()] == [(turn, id, {"step": 0}), (other_turn, other_id, {"step": 7})]
    assert [task.turn for task in other.undone(other_id)] == [other_turn]


def test_a_task_is_its_beginners_alone_until_they_are_done_with_it(memory: Memory, clock: Clock) -> None:
    with memory.begun(memory.start("ada"), "count", {"step": 0}) as turn, another(memory, clock).taken(turn) as theirs:
        assert theirs is None

    with another(memory, clock).taken(turn) as theirs:
        assert theirs == {"step": 0}


def test_whoever_goes_on_finds_what_was_kept_last(memory: Memory) -> None:
    _, turn = begin(memory)
    with memory.taken(turn):
        memory.keep(turn, {"step": 1})

    with memory.taken(turn) as pending:
        assert pending == {"step": 1}


def test_an_answer_is_said_and_its_task_ended_in_one(memory: Memory) -> None:
    id, turn = begin(memory)

    with memory.taken(turn):
        said = memory.answer(turn, "Two.", {"kind": "answered"})

    assert (said.role, said.text, said.data) == ("agent", "Two.", {"kind": "answered"})
    assert memory.turns(id)[-1] == said
    assert memory.undone() == []
    with memory.taken(turn) as pending:
        assert pending is None
    assert list(memory._locks.iterdir()) == []


def test_an_answer_may_let_its_task_wait(memory: Memory) -> None:
    id, turn = begin(memory)

    with memory.taken(turn):
        memory.answer(turn, "I wait.", pending={"requests": [1]})

    assert memory.turns(id)[-1].text == "I wait."
    with memory.taken(turn) as pending:
        assert pending == {"requests": [1]}


def test_several_tasks_of_a_conversation_wait_side_by_side(memory: Memory) -> None:
    id, first = begin(memory, "one")
    _, second = begin(memory, "two", conversation=id)

    with memory.taken(first), memory.taken(second) as pending:
        assert pending == {"step": 0}
        memory.answer(second, "Two.")

    assert [task.turn for task in memory.undone()] == [first]


def test_a_task_that_is_dropped_is_answered_by_nobody(memory: Memory) -> None:
    id, turn = begin(memory)

    with memory.taken(turn):
        memory.drop(turn)

    assert memory.undone() == []
    assert [said.role for said in memory.turns(id)] == ["person"]
    assert list(memory._locks.iterdir()) == []


def test_a_task_in_somebodys_hands_can_be_waited_for(memory: Memory, clock: Clock) -> None:
    id, turn = begin(memory)
    taken, go_on = threading.Event(), threading.Event()

    def owner() -> None:
        with another(memory, clock).taken(turn):
            taken.set()
            go_on.wait(10)
            memory.answer(turn, "Two.")

    working = threading.Thread(target=owner)
    working.start()
    taken.wait(10)
    threading.Timer(0.1, go_on.set).start()

    with memory.taken(turn, wait=True) as pending:
        assert pending is None
        assert memory.turns(id)[-1].text == "Two."
    working.join()


OWNER = """
import sys
from pathlib import Path
from agent.memory import Memory
with Memory(Path(sys.argv[1])).taken(int(sys.argv[2])) as pending:
    print(pending, flush=True)
    sys.stdin.read()
"""


def take(memory: Memory, turn: int) -> subprocess.Popen[str]:
    """Another process that takes a task and keeps it until it is let go."""
    command = [sys.executable, "-c", OWNER, str(memory._file.path), str(turn)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_killed_process_gives_its_task_back_at_once(memory: Memory) -> None:
    _, turn = begin(memory)
    owner = take(memory, turn)
    assert told(owner) == "{'step': 0}"
    with memory.taken(turn) as pending:
        assert pending is None, "a living owner keeps it"

    owner.send_signal(signal.SIGKILL)
    owner.communicate()

    with memory.taken(turn) as pending:
        assert pending == {"step": 0}


def test_of_processes_that_take_a_task_at_once_one_gets_it(memory: Memory) -> None:
    _, turn = begin(memory)

    takers = [take(memory, turn) for _ in range(3)]

    assert sorted(map(told, takers)) == ["None", "None", "{'step': 0}"]
    for taker in takers:
        taker.communicate(timeout=60)


def test_where_no_lock_can_be_made_nobody_can_tell(memory: Memory) -> None:
    memory.start("ada")
    memory._locks.write_text("in the way")

    with pytest.raises(CouldNotTell, match="cannot be locked"):
        begin(memory)

    assert memory.undone() == []
