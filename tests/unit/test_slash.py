"""Slash commands: what counts as one, who is heeded, and each only once."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import slash
from agent.domain.proposal import HOLD
from tests.acceptance.harness import Home, answers


@pytest.mark.parametrize(
    ("text", "verb", "why"),
    [
        ("/approve", "approve", ""),
        ("  /reject we buy this \n", "reject", "we buy this"),
        ("/revise accept days\nand weeks", "revise", "accept days\nand weeks"),
        ("/explain", "explain", ""),
    ],
)
def test_a_comment_that_begins_with_a_command_is_one(text: str, verb: str, why: str) -> None:
    assert slash.read(text) == (verb, why)


@pytest.mark.parametrize(
    "text", ["approve", "please /approve", "> /approve", "/approved", "/APPROVE", "`/approve`", "/merge", "", "/ approve", "x\n/approve"]
)
def test_anything_else_is_talk(text: str) -> None:
    assert slash.read(text) is None


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.founded(tmp_path / "skills", answers()).bare()
    home.write_policy(autonomy="manual", approvers=["bob", "carol"])
    home.request()
    home.run()
    return home


def test_an_approval_is_heeded_once_and_answered(home: Home) -> None:
    number = home.proposal().number
    home.forge.say(number, "/approve as agreed", author="bob")

    home.run()

    assert home.proposal(number).state == "merged"
    assert home.said_on(number).count("bob says approve") == 1
    assert slash.heed_all(home.parts, number) == []


def test_a_refusal_is_answered_with_its_reason_and_changes_nothing(home: Home) -> None:
    number = home.proposal().number
    for person, said in (("mallory", "/approve"), ("bob", "/reject")):
        home.forge.say(number, said, author=person)

    home.run()
    home.run()

    said = home.said_on(number)
    assert said.count("/approve was refused: mallory may not approve") == 1 and said.count("/reject was refused: A reason is needed") == 1
    assert home.proposal(number).state == "open"


def test_hold_and_retry_follow_the_order_in_which_they_were_written(home: Home) -> None:
    number = home.proposal().number
    home.forge.say(number, "/hold until Monday", author="bob")
    slash.heed_all(home.parts, number)
    held = home.proposal(number).labels
    home.forge.say(number, "/retry", author="bob")
    slash.heed_all(home.parts, number)

    assert HOLD in held and HOLD not in home.proposal(number).labels
    assert [event.what for event in (*home.ledger("held"), *home.ledger("retried"))] == ["held", "retried"]


def test_the_trail_is_told_as_a_comment(home: Home) -> None:
    number = home.proposal().number
    home.forge.say(number, "/explain", author="anybody")

    (told,) = slash.heed_all(home.parts, number)

    assert "opened proposal" in told and "the witness wrote" in told


def test_our_own_words_are_no_commands(home: Home) -> None:
    number = home.proposal().number
    home.forge.say(number, "/approve", author="skillops")

    assert slash.heed_all(home.parts, number) == []
