"""What a request shows of its work: one comment, edited as it moves."""

from __future__ import annotations

from pathlib import Path

from agent import messages, people
from agent.domain.progress import NextStep, Stage, State
from agent.errors import InQueue
from agent.milestones import milestones
from agent.situation import Work, look
from tests.acceptance.harness import Home, PassingCheck, a_draft, an_assessment, answers
from tests.acceptance.test_pipeline import EXTENDED_CODE, EXTENDED_TESTS
from tests.builders import a_result


class Wanting(PassingCheck):
    """Returns the first draft."""

    def run(self, subject, bench):  # type: ignore[no-untyped-def]
        right = subject.files["skill.py"] == EXTENDED_CODE.encode()
        return super().run(subject, bench) if right else a_result(self.name, "failed", head=subject.head)


def test_one_comment_is_edited_from_the_assessment_to_the_deployment(tmp_path: Path) -> None:
    said = answers(author=[a_draft(), a_draft(EXTENDED_CODE, EXTENDED_TESTS)])
    home = Home.founded(tmp_path / "skills", said).bare()
    first, *others = home.parts.checks
    home.change(checks=(Wanting(first.name), *others))
    home.write_policy(autonomy="manual")
    number, shown = home.request(), list[str]()
    say = home.forge.say

    def noted(about: int, text: str, *, author: str, marker: str | None = None) -> None:
        say(about, text, author=author, marker=marker)
        if (about, marker) == (number, messages.PROGRESS) and text not in shown[-1:]:
            shown.append(text)

    home.forge.say = noted  # type: ignore[method-assign]
    home.run()
    people.judge(home.parts, "approve", home.proposal().number, "bob", "Good.")
    home.run()
    home.run()

    now = [next((line for line in text.splitlines() if "**" in line), text.splitlines()[-1]) for text in shown]
    pull = home.proposal().number
    assert now == [
        "- [ ] **drafting, attempt 1**", "- [ ] **checks**", f"- [ ] **drafting, attempt 2: #{pull}**", "- [ ] **checks**", "- [ ] **reviews**",
        "- [ ] **decided and merged**", "- [ ] **released and deployed**", "It is deployed.",
    ]  # fmt: skip
    assert "Waits for the person:" in shown[5] and "Waits" not in shown[6] and "[ ]" not in shown[-1]
    assert [comment.text for comment in home.forge.comments(number) if comment.marker == messages.PROGRESS] == [shown[-1]]


def test_a_merge_that_waits_in_a_queue_is_shown(tmp_path: Path) -> None:
    home = Home.founded(tmp_path / "skills").bare()
    number, merge = home.request(), home.forge.merge

    def queued(*_: object, **__: object) -> str:
        raise InQueue("It is in the merge queue.", next_step="Wait.")

    home.forge.merge = queued  # type: ignore[method-assign]
    home.run()
    shown = next(comment.text for comment in home.forge.comments(number) if comment.marker == messages.PROGRESS)
    assert "**decided and merged**" in shown
    home.forge.merge = merge  # type: ignore[method-assign]
    home.run()
    assert "It is deployed." in home.said_on(number)


def test_a_request_that_nothing_is_built_for_shows_no_milestones(tmp_path: Path) -> None:
    home = Home.founded(tmp_path / "skills", answers(assess=[an_assessment(verdict="refused", contract=None)])).bare()
    number = home.request()
    home.run()
    seen = look(home.parts, Work(request=number))

    assert milestones(seen, NextStep(state=State.CLOSED, stage=Stage.NOTHING), 0) is None
    assert [comment.marker for comment in home.forge.comments(number) if comment.marker == messages.PROGRESS] == []
