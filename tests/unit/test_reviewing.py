"""Reviewers side by side, and what they say tried on the skill."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.domain.event import Event
from agent.domain.progress import Situation
from agent.domain.release import Artifact, Endpoint
from agent.domain.review import Remark, Review
from agent.domain.skill import WITNESS_PATH, Case, Manifest
from agent.errors import CouldNotTell, Refused, SkillOpsError
from agent.ports import Reviewed, Reviewer, Workbench
from agent.stages.reviewing import judge, review, run, what_is_read
from agent.workbench import make_subject
from tests.builders import HEAD, a_gap, a_manifest, a_proposal, a_request, a_review

CASE = {"name": "empty", "clause": "words are counted", "inputs": {"text": ""}, "expect": {"outputs": {"words": 0}}}
REVIEWED = Reviewed(skill="word-count", head=HEAD, files={}, base_files={}, request="", contract="")


class Fixed(Reviewer):
    """A reviewer that says what it was told to say."""

    def __init__(self, said: Review | SkillOpsError, name: str = "correctness") -> None:
        self.name, self._said = name, said

    def review(self, reviewed: Reviewed) -> Review:
        if isinstance(self._said, SkillOpsError):
            raise self._said
        return self._said


class Trial(Workbench):
    def __init__(self, error: SkillOpsError | None = None) -> None:
        self.error, self.started = error, 0

    def artifact(self) -> Artifact:
        raise AssertionError("reviewing builds nothing by itself")

    def trial(self) -> Endpoint:
        self.started += 1
        if self.error:
            raise self.error
        return Endpoint(socket="skill.sock")


def blocking(**traits: Any) -> Remark:
    return Remark.model_validate({"message": "Empty text is one word.", "path": "x", "line": 1, "blocking": True, "reproducer": CASE, **traits})


def judged(
    said: Review | SkillOpsError, unmet: str | None = "expected 0, got 1", bench: Trial | None = None, manifest: Manifest | None = None
) -> Review:
    (found,) = judge(REVIEWED, manifest or a_manifest(), [Fixed(said)], bench or Trial(), 2, lambda endpoint, case: unmet)
    return found


def test_a_remark_whose_call_fails_blocks() -> None:
    found = judged(a_review(verdict="revise", remarks=[blocking()]))
    assert found.verdict == "revise" and found.remarks[0].reproduced is True and found.blocking


def test_a_remark_whose_call_does_not_fail_is_a_comment_and_the_review_approves() -> None:
    found = judged(a_review(verdict="revise", remarks=[blocking()]), unmet=None)
    assert found.verdict == "approve" and found.remarks[0].reproduced is False and not found.blocking
    assert "comments" in found.summary


def test_a_change_asked_for_without_any_call_is_a_comment() -> None:
    found = judged(a_review(verdict="revise", remarks=[Remark(message="I would do it otherwise.")]))
    assert found.verdict == "approve" and found.remarks[0].reproduced is None


def test_an_approval_with_a_remark_that_does_fail_is_none() -> None:
    assert judged(a_review(verdict="approve", remarks=[blocking()])).verdict == "revise"


def test_a_rejection_stands_without_any_call() -> None:
    assert judged(a_review(verdict="reject")).verdict == "reject"


@pytest.mark.parametrize(
    "case",
    [
        {**CASE, "inputs": {"text": 5}},
        {**CASE, "expect": {"outputs": {"words": "none"}}},
        {**CASE, "inputs": {"text": "one two"}, "expect": {"outputs": {"words": 3}}},
        {**CASE, "inputs": {"text": "one two"}, "expect": {"error": "*"}},
        {**CASE, "expect": {"properties": {"type": "nonsense"}}},
    ],
    ids=["inputs-of-another-schema", "outputs-of-another-schema", "against-an-example", "error-against-an-example", "no-schema"],
)
def test_a_call_that_no_right_skill_could_answer_so_blocks_nothing(case: dict[str, Any]) -> None:
    found = judged(a_review(verdict="revise", remarks=[blocking(reproducer=case)]))
    assert found.remarks[0].reproduced is False and found.verdict == "approve"


@pytest.mark.parametrize("error", [CouldNotTell("No sandbox."), Refused("It does not start.")])
def test_where_the_call_cannot_be_made_the_reviewer_could_not_tell(error: SkillOpsError) -> None:
    found = judged(a_review(verdict="revise", remarks=[blocking()]), bench=Trial(error))
    assert found.verdict == "could_not_tell" and str(error) in found.summary


def test_nothing_is_started_where_nothing_blocks() -> None:
    bench = Trial()
    judged(a_review(remarks=[Remark(message="Nice.", reproducer=Case.model_validate(CASE))]), bench=bench)
    assert bench.started == 0


def test_a_reviewer_that_cannot_tell_leaves_the_others_their_say() -> None:
    found = list(judge(REVIEWED, a_manifest(), [Fixed(CouldNotTell("Out of reach."), "fit"), Fixed(a_review("security"))], Trial(), 2))
    assert [(each.reviewer, each.verdict, each.head) for each in found] == [("fit", "could_not_tell", HEAD), ("security", "approve", HEAD)]


def test_reviewers_are_asked_side_by_side() -> None:
    meeting = threading.Barrier(3, timeout=60)

    class Meets(Fixed):
        def review(self, reviewed: Reviewed) -> Review:
            meeting.wait()
            return super().review(reviewed)

    assert len(list(judge(REVIEWED, a_manifest(), [Meets(a_review())] * 3, Trial(), 3))) == 3


class Posts:
    """The two calls of a forge that reviewing makes."""

    def __init__(self, *given: Review) -> None:
        self.posted = list(given)

    def reviews(self, number: int, head: str) -> tuple[Review, ...]:
        return tuple(each for each in self.posted if each.head == head)

    def post_review(self, number: int, said: Review) -> None:
        self.posted.append(said)


def an_opened(tmp_path: Path) -> Any:
    files = {"skill.py": b"code", WITNESS_PATH: b"the-secret-case", "logo.png": b"\xff\xd8"}
    return SimpleNamespace(subject=make_subject("word-count", HEAD, files, root=tmp_path / "word-count"), bench=Trial())


def test_verdicts_are_recorded_and_posted_and_nobody_is_asked_twice(tmp_path: Path) -> None:
    forge, events = Posts(a_review("fit")), []
    panel = [Fixed(a_review("fit"), "fit"), Fixed(a_review("security", tokens=7), "security")]
    said = review(a_proposal(), Situation(), an_opened(tmp_path), forge, panel, 2, events.append)  # type: ignore[arg-type]
    assert [each.reviewer for each in said] == ["security"]
    assert [each.reviewer for each in forge.posted] == ["fit", "security"]
    assert [(event.what, event.actor, event.tokens, event.commit) for event in events] == [("reviewed", "security", 7, HEAD)]


def test_a_review_is_counted_before_it_is_posted(tmp_path: Path) -> None:
    forge = Posts()

    def record(event: Event) -> None:
        assert forge.posted == []

    review(a_proposal(), Situation(), an_opened(tmp_path), forge, [Fixed(a_review())], 1, record)  # type: ignore[arg-type]
    assert len(forge.posted) == 1


def test_reviewers_read_the_text_files_the_request_and_the_contract_but_no_witness_case(tmp_path: Path) -> None:
    read = what_is_read(a_proposal(), Situation(request=a_request(), gap=a_gap()), an_opened(tmp_path).subject)
    assert read.files == {"skill.py": "code"}
    assert "How many words" in read.request and '"acceptance"' in read.contract
    assert "the-secret-case" not in repr(read)


@contextmanager
def answering(body: bytes) -> Any:
    """A skill that answers everything with `body`."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Endpoint(url=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def test_a_reproducer_is_a_real_call() -> None:
    case = Case.model_validate(CASE)
    with answering(b'{"success": true, "outputs": {"words": 1}}') as endpoint:
        assert run(endpoint, case) == 'expected {"words": 0}, got {"words": 1}'
    with answering(b'{"success": true, "outputs": {"words": 0}}') as endpoint:
        assert run(endpoint, case) is None


def test_a_skill_that_is_gone_is_no_proof(tmp_path: Path) -> None:
    with pytest.raises(CouldNotTell):
        run(Endpoint(socket=str(tmp_path / "gone.sock")), Case.model_validate(CASE))
