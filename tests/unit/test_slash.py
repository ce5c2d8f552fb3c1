"""Slash commands: what counts as one, who is heeded, and each only once."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import slash
from agent.domain.proposal import HOLD
from agent.domain.request import Comment
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


@pytest.fixture
def asked(tmp_path: Path) -> Home:
    """A request on which nothing was done yet."""
    home = Home.founded(tmp_path / "skills", answers()).bare()
    assert home.request() == 1
    return home


def test_who_asked_takes_it_back_in_a_comment(asked: Home) -> None:
    asked.forge.say(1, "/withdraw we buy this", author=asked.forge.request(1).requester)

    assert asked.run().moved == []

    assert asked.forge.request(1).closed_as == "withdrawn" and "took this back" in asked.said_on(1)
    assert [(event.actor, event.note) for event in asked.ledger("withdrawn")] == [(asked.forge.request(1).requester, "we buy this")]
    assert slash.heed_request(asked.parts, 1) == []


def test_an_account_of_the_forge_and_a_name_of_ours_are_not_the_same(asked: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for source, author, vouched, right, done in (
        ("issue", "octocat", True, False, True),  # who opened the issue
        ("issue", "octocat", False, True, False),  # a key of the gateway that is called so, though the account has every right
        ("gateway", "octocat", True, False, False),  # an account that is called like the key which asked
        ("gateway", "octocat", False, False, True),  # the key
        ("gateway", "maintainer", True, True, True),
        ("gateway", "maintainer", False, True, False),
        ("issue", "stranger", True, False, False),
    ):
        request = asked.forge.request(1).model_copy(update={"requester": "octocat", "source": source, "state": "open"})
        comment, before = Comment(id=7, number=1, author=author, text="/withdraw", vouched=vouched), len(asked.ledger("withdrawn"))
        with monkeypatch.context() as patched:
            for name, given in (("request", request), ("comments", [comment]), ("may_judge", right)):
                patched.setattr(type(asked.forge), name, lambda forge, asked, given=given: given)
            (told,) = slash.heed_request(asked.parts, 1)
        assert ("took this back" in told, f"{author} may not take" in told) == (done, not done), told
        assert [event.actor for event in asked.ledger("withdrawn")[before:]] == [author] * done


def test_it_is_said_on_the_request_and_while_nothing_is_proposed(home: Home) -> None:
    number = home.proposal().number
    for thread in (1, number):
        home.forge.say(thread, "/withdraw", author=home.forge.request(1).requester)

    home.run()

    said = [home.said_on(thread).replace("\u200b", "") for thread in (1, number)]
    assert f"Proposal #{number} is open for it" in said[0] and f"#{number} is a proposal" in said[1]
    assert home.forge.request(1).state == "open" and home.proposal(number).state == "open"
