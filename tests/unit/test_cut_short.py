"""A run is cut short after each thing that it writes, one after the other; what the next run comes to is always the same."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Refused
from agent.ports import Deployment
from agent.stages.proposing import propose_rollback
from tests.acceptance.harness import CODE, Home, RememberingRuntime, a_contract, a_draft, an_assessment, answers

pytestmark = pytest.mark.slow

WRITES = {
    "forge": ("commit", "close_request", "label", "say", "open_proposal", "close_proposal", "post_check", "post_review", "merge", "_end"),
    "ledger": ("record",),
    "runtime": ("deploy", "remove"),
}
PAID = {"assessed", "witnessed", "reviewed"}  # entered before their result is kept: a paid answer is counted, also where it is asked for again


class CutShort(BaseException):
    """Nothing may catch it, as nothing catches a kill."""


class Refusing(RememberingRuntime):
    """What is at 1.1.0 never becomes healthy."""

    def deploy(self, deployment: Deployment) -> Any:
        if deployment.version == "1.1.0":
            raise Refused("It did not become healthy.")
        return super().deploy(deployment)


def script() -> dict[str, Any]:
    """Asked for a skill that is there, it extends it; asked to mend, it writes something else."""
    reworded = a_draft(CODE.replace("How many", "The number of"))
    extension = an_assessment(verdict="extend", skill="word-count", contract=a_contract(description="Count the words of a text, and well."))
    case = {"name": "four words", "clause": 1, "inputs": {"text": "w x y z"}, "expect": {"outputs": {"words": 4}}}
    more = {"cases": [case, {**case, "name": "no word", "clause": 2, "inputs": {"text": " "}, "expect": {"outputs": {"words": 0}}}]}
    usual = answers()
    return {
        **usual,
        "assess": lambda question: extension if question.variables["skills"] else an_assessment(),
        "witness": lambda question: more if question.variables["earlier"] else usual["witness"](question),
        "author": lambda question: reworded if question.variables["files"] else a_draft(),
    }


def a_request(home: Home) -> None:
    home.request()


def a_rejection(home: Home) -> None:
    home.write_policy(autonomy="manual")
    home.request()
    home.run()
    home.says("reject", home.proposal().number, "we buy this")


def two_proposals(home: Home) -> None:
    home.write_policy(autonomy="manual")
    home.request()
    home.request("Count words again", "The same, but nobody saw it.")
    home.run()
    for proposal in home.forge.proposals("open"):
        home.says("approve", proposal.number)


def a_version_that_does_not_start(home: Home) -> None:
    home.request()
    home.run()
    home.request("Count words well", "As before, and well.")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(CutShort):
        patch.setattr(home.forge, "_end", cut)  # main holds it, and the forge does not know it yet
        home.run()


def a_rollback(home: Home) -> None:
    home.request()
    home.run()
    files = home.forge.files("main", "skills/word-count")
    home.request("Count words well", "As before, and well.")
    home.runtime.__class__ = RememberingRuntime  # here 1.1.0 starts
    home.run()
    propose_rollback("word-count", "1.0.0", files, "ada", home.forge)


def bare(home: Home, runtime: RememberingRuntime) -> Home:
    """With two checks alone: the rest would be more of the same."""
    home.bare(runtime)
    home.change(checks=home.parts.checks[:2])
    return home


def copy_of(home: Home, folder: Path) -> Home:
    """The repository with all that belongs to it, at another place."""
    shutil.copytree(home.path.parent, folder)
    config = folder / home.path.name / ".git" / "config"
    config.write_text(config.read_text().replace(str(home.path.parent), str(folder)))
    runtime = type(home.runtime)()
    runtime.running.update(home.runtime.running)
    return bare(Home(folder / home.path.name, script()), runtime)


def cut(*_: object) -> None:
    raise CutShort


def cut_after(home: Home, number: int) -> bool:
    """Runs until the `number`th write is done. False where there are not so many."""
    left = Counter(writes=number)

    def counting(write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            result = write(*arguments, **named)
            left["writes"] -= 1
            if left["writes"] == 0:
                raise CutShort
            return result

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for part, names in WRITES.items():
            for name in names:
                owner = getattr(home.parts, part)
                patch.setattr(owner, name, counting(getattr(owner, name)))
        try:
            home.run()
        except CutShort:
            return True
    return False


def what_is_seen(home: Home) -> dict[str, Any]:
    forge = home.forge
    numbers = range(1, 1 + max(thread.number for thread in (*forge.requests("all"), *forge.proposals("all"))))
    words = Counter((event.what, event.proposal) for event in (line.event for line in home.parts.ledger.entries()) if event.what not in PAID)
    return {
        "requests": [(request.number, request.closed_as) for request in forge.requests("all")],
        "proposals": [(each.number, each.request, each.kind, each.state, each.labels) for each in forge.proposals("all")],
        "said": Counter((number, said.author, (said.marker or "").split("-")[0]) for number in numbers for said in forge.comments(number)),
        "texts": {(number, said.text) for number in numbers for said in forge.comments(number) if said.marker == "outcome"},
        "registry": [(entry.version, entry.status, entry.proposal, entry.approvals) for entry in home.registry().skills],
        "revision": home.registry().revision,
        "serves": [(service.skill, service.version) for service in home.runtime.services()],
        "trail": words,
        "main": home.git("log", "--first-parent", "--format=%s", "main"),
    }


@pytest.mark.parametrize(
    ("scenario", "every"),
    [(a_request, 1), (a_rejection, 1), (two_proposals, 2), (a_version_that_does_not_start, 1), (a_rollback, 1)],
    ids=lambda scenario: getattr(scenario, "__name__", ""),
)
def test_a_run_that_is_cut_short_anywhere_comes_to_the_same_as_one_that_is_not(tmp_path: Path, scenario: Callable[[Home], None], every: int) -> None:
    begun = bare(Home.founded(tmp_path / "begun" / "skills", script()), Refusing())
    scenario(begun)
    whole = copy_of(begun, tmp_path / "whole")
    whole.run()
    expected = what_is_seen(whole)

    different = {}
    number = 1
    while cut_after(home := copy_of(begun, tmp_path / str(number)), number):
        bare(home.reopened(script()), home.runtime).run()
        if (seen := what_is_seen(home)) != expected:
            different[number] = {key: (seen[key], expected[key]) for key in expected if seen[key] != expected[key]}
        number += every

    assert different == {}
    assert number > 5
