"""Conversations, kept so that one that waits for a skill goes on when it is deployed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import NotFound
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
    for use in (memory.get, memory.turns, memory.claim, memory.resolve):
        with pytest.raises(NotFound, match="no conversation 'x'"):
            use("x")
    with pytest.raises(NotFound):
        memory.say("x", "person", "hello")
    with pytest.raises(NotFound):
        memory.wait("x", 1, {})


def test_what_waits_is_found_by_its_request_in_another_process(memory: Memory, clock: Clock) -> None:
    first, second = memory.start("ada"), memory.start("bob")
    memory.wait(first, 7, {"task": "count"})
    memory.wait(first, 8, {"task": "count"})
    memory.wait(second, 8, {"task": "sort"})

    other = another(memory, clock)

    assert [(wait.conversation, wait.request, wait.pending) for wait in other.waiting(8)] == [
        (first, 8, {"task": "count"}),
        (second, 8, {"task": "sort"}),
    ]
    assert [wait.request for wait in other.waiting()] == [7, 8, 8]
    assert other.waiting(9) == []


def test_waiting_for_the_same_request_again_keeps_the_newest_task(memory: Memory) -> None:
    id = memory.start("ada")
    memory.wait(id, 7, {"round": 1})
    memory.wait(id, 7, {"round": 2})

    assert [wait.pending for wait in memory.waiting()] == [{"round": 2}]


def test_only_one_may_go_on_with_what_waits(memory: Memory, clock: Clock) -> None:
    id = memory.start("ada")
    memory.wait(id, 7, {})
    other = another(memory, clock)

    assert memory.claim(id)
    assert not other.claim(id)
    assert memory.claim(id), "one's own claim is renewed"
    assert not other.resolve(id)
    assert memory.resolve(id)
    assert memory.waiting() == []


def test_what_is_resolved_is_neither_resolved_nor_claimed_again(memory: Memory, clock: Clock) -> None:
    id = memory.start("ada")
    memory.wait(id, 7, {})

    assert memory.resolve(id)
    assert not another(memory, clock).resolve(id)
    assert not another(memory, clock).claim(id)


def test_the_claim_of_a_killed_owner_runs_out(memory: Memory, clock: Clock) -> None:
    id = memory.start("ada")
    memory.wait(id, 7, {})
    memory.claim(id, "killed", lease=60)

    clock.now += 59
    assert not memory.claim(id, "next")
    clock.now += 1
    assert memory.claim(id, "next")
    assert not memory.resolve(id, "killed"), "the late one does not answer a second time"
    assert memory.resolve(id, "next")


def test_a_claim_that_is_given_back_is_free_at_once(memory: Memory, clock: Clock) -> None:
    id = memory.start("ada")
    memory.wait(id, 7, {})
    memory.claim(id)

    another(memory, clock).release(id)
    assert not another(memory, clock).claim(id), "nobody gives back the claim of another"
    memory.release(id)

    assert another(memory, clock).claim(id)


def test_a_claimed_conversation_that_waits_anew_drops_what_it_waited_for(memory: Memory, clock: Clock) -> None:
    id = memory.start("ada")
    memory.wait(id, 7, {"round": 1})
    memory.claim(id)

    memory.wait(id, 8, {"round": 2})
    memory.wait(id, 9, {"round": 2})

    assert [(wait.request, wait.pending) for wait in memory.waiting()] == [(8, {"round": 2}), (9, {"round": 2})]
    assert another(memory, clock).claim(id)


CLAIMANT = """
import sys
from pathlib import Path
from agent.memory import Memory
print(Memory(Path(sys.argv[1])).claim(sys.argv[2]))
"""


def test_of_processes_that_claim_at_once_one_wins(memory: Memory) -> None:
    id = memory.start("ada")
    memory.wait(id, 7, {})
    command = [sys.executable, "-c", CLAIMANT, str(memory._file.path), id]

    claimants = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]

    assert sorted(claimant.communicate(timeout=120)[0].strip() for claimant in claimants) == ["False", "False", "True"]
