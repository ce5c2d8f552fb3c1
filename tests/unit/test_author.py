"""The author's loop: what it is told, what it may write, when it stops, and how it goes on after a kill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.author import Assignment, Attempt, Author
from agent.domain.decision import BudgetLimits, Problem
from agent.domain.event import Event
from agent.domain.skill import WITNESS_PATH, Manifest
from agent.errors import CouldNotTell, ModelUnavailable, Refused
from agent.ledger import SqliteLedger
from agent.manifest_file import read_manifest
from tests.builders import HEAD, a_contract, a_manifest
from tests.fakes import FakeModel

CODE = "def execute(inputs: dict, context: dict) -> dict:\n    return {'words': len(inputs['text'].split())}\n"
TEST = "from skill import execute\n\n\ndef test_words() -> None:\n    assert execute({'text': 'a b'}, {}) == {'words': 2}\n"
WRONG = Problem(source="tests", message="expected 2, got 3", path="skills/word-count/skill.py", line=2)


def a_draft(code: Mapping[str, str] | None = None, **traits: Any) -> dict[str, Any]:
    files = [{"path": path, "content": text} for path, text in (code or {"skill.py": CODE}).items()]
    return {"code": files, "tests": [{"path": "tests/test_skill.py", "content": TEST}], "instructions": "Call it with a text.", **traits}


class Plain:
    """A language whose formatter turns the quotes round."""

    name, entrypoint = "python", "skill.py"

    def tidy(self, root: Path) -> None:
        for path in root.rglob("*.py"):
            path.write_text(path.read_text().replace("'", '"'))

    def lock(self, manifest: Manifest) -> dict[str, bytes]:
        if "gone==1.0" in manifest.dependencies:
            raise Refused("There is no gone 1.0.")
        return {"requirements.lock": b"locked"} if manifest.dependencies else {}


class Desk:
    """An author at work: `found` is what each try finds, in turn; `tried` is what was tried."""

    def __init__(self, folder: Path, answers: list[Any], found: list[Any] | None = None, keep: bool = False, language: Any = None) -> None:
        language = language or Plain()
        self.model = FakeModel({"author": answers})
        self.ledger = SqliteLedger(folder / "ledger.sqlite")
        self.tried: list[dict[str, bytes]] = []
        self._found = found or []
        self.author = Author(self.model, {language.name: language}, self._try, self.ledger.record, folder / "drafts" if keep else None)  # type: ignore[dict-item]

    def _try(self, files: Mapping[str, bytes], manifest: Manifest) -> tuple[Problem, ...]:
        self.tried.append(dict(files))
        found = self._found.pop(0) if self._found else ()
        if isinstance(found, BaseException):
            raise found
        return tuple(found)

    def write(self, task: Assignment | None = None, **limits: Any) -> Attempt:
        return self.author.write(task or a_task(), self.ledger, BudgetLimits(**limits))

    def attempts(self) -> list[Event]:
        return [entry.event for entry in self.ledger.entries(request=1) if entry.event.what == "attempt"]


def a_task(**traits: Any) -> Assignment:
    return replace(Assignment(1, a_contract(), "1.0.0", HEAD, {}), **traits)


def test_the_manifest_is_made_from_the_contract(tmp_path: Path) -> None:
    desk = Desk(tmp_path, [a_draft(aliases=["how long"], notes="Splits on white space.")])
    attempt = desk.write()
    assert attempt.passed and attempt.files is not None and attempt.notes == "Splits on white space."
    manifest = read_manifest(attempt.files["skill.yaml"], "skill.yaml")
    contract = a_contract()
    assert (manifest.name, manifest.version, manifest.description) == (contract.name, "1.0.0", contract.description)
    assert (manifest.inputs, manifest.outputs, manifest.examples) == (contract.inputs, contract.outputs, contract.examples)
    assert manifest.aliases == ("how long",)
    assert attempt.files["SKILL.md"].startswith(b'---\nname: word-count\ndescription: "Count the words of a text."\n---\n')


def test_an_author_is_shown_what_the_contract_requires_and_how_it_is_called(tmp_path: Path) -> None:
    """Where nothing is required the question is as it was, so that what was recorded before still answers it."""
    other = a_manifest(name="csv-to-json", description="Convert CSV text into a list of records.", requires=["letters"])
    desk = Desk(tmp_path, [a_draft(), a_draft()])
    attempt = desk.write(a_task(contract=a_contract(requires=["csv-to-json >=1.0,<2"]), required=(other,)))
    assert attempt.files is not None and read_manifest(attempt.files["skill.yaml"], "skill.yaml").requires == ("csv-to-json >=1.0,<2",)
    shown = desk.model.asked[0]
    assert [each["name"] for each in shown.variables["contract"]["required_skills"]] == ["csv-to-json"]
    assert "$SKILL_GATEWAY/skills/NAME/execute" in shown.messages[0].content and "Convert CSV text" in shown.messages[1].content
    desk.write(a_task(request=2))
    shown = desk.model.asked[1]
    assert "SKILL_GATEWAY" not in shown.messages[0].content and not {"requires", "required_skills"} & set(shown.variables["contract"])


def test_the_entrypoint_is_the_languages(tmp_path: Path) -> None:
    class Other(Plain):
        name, entrypoint = "node", "skill.js"

    desk = Desk(tmp_path, [a_draft(), a_draft({"skill.js": "exports.execute = 1;\n"})], language=Other())
    attempt = desk.write(a_task(contract=a_contract(runtime="node")))
    assert [problem["message"] for problem in desk.attempts()[0].data["problems"]] == ["the file skill.js is missing"]
    assert attempt.passed and attempt.files is not None
    assert read_manifest(attempt.files["skill.yaml"], "skill.yaml").entrypoint == "skill.js"


def test_drafts_are_tidied_before_they_are_tried(tmp_path: Path) -> None:
    desk = Desk(tmp_path, [a_draft()])
    desk.write()
    assert b'{"words"' in desk.tried[0]["skill.py"]


def test_each_attempt_is_recorded_with_its_cost(tmp_path: Path) -> None:
    desk = Desk(tmp_path, [a_draft(), a_draft()], found=[[WRONG]])
    desk.write()
    first, second = desk.attempts()
    assert (first.outcome, first.tokens, first.cost, first.data["attempt"]) == ("failed", 10, 0.01, 1)
    assert first.data["problems"] == [{"source": "tests", "message": "expected 2, got 3", "path": "skill.py", "line": 2}]
    assert (second.outcome, second.data["attempt"]) == ("passed", 2)


def test_the_next_attempt_is_told_the_files_and_the_problems_of_the_last(tmp_path: Path) -> None:
    desk = Desk(tmp_path, [a_draft({"skill.py": CODE, "extra.py": "X = 1\n"}), a_draft()], found=[[WRONG]])
    attempt = desk.write()
    told = desk.model.asked[1].variables
    assert told["problems"] == [{"source": "tests", "message": "expected 2, got 3", "path": "skill.py", "line": 2}]
    assert "extra.py" in told["attempt"] and told["files"] == {}
    assert attempt.files is not None and "extra.py" not in attempt.files, "each attempt starts from a clean checkout"


@pytest.mark.parametrize(
    "path",
    ["../escape.py", "/etc/passwd", "a/../../b.py", "skill.yaml", "SKILL.md", "Skill.YAML", ".git/config", ".hidden", "a\\b.py", "", "a\0b.py",
     "requirements.lock", "tests/../skill.yaml"],
)  # fmt: skip
def test_a_path_that_is_not_the_authors_is_a_problem_and_nothing_is_written(tmp_path: Path, path: str) -> None:
    desk = Desk(tmp_path, [a_draft({"skill.py": CODE, path: "x"}), a_draft()])
    attempt = desk.write()
    assert len(desk.tried) == 1 and attempt.passed
    assert desk.attempts()[0].outcome == "failed"


@pytest.mark.parametrize("path", [WITNESS_PATH, "tests/Witness.YAML", "tests/../tests/witness.yaml"])
def test_the_witness_cases_cannot_be_written(tmp_path: Path, path: str) -> None:
    desk = Desk(tmp_path, [a_draft(tests=[{"path": path, "content": "cases: []"}])])
    attempt = desk.write(attempts=1)
    assert desk.tried == [] and attempt.over


@pytest.mark.parametrize(
    ("draft", "told"),
    [
        (a_draft(permissions={"network": ["evil.example:443"]}), "does not grant network evil.example:443"),
        (a_draft({"other.py": CODE}), "skill.py is missing"),
        (a_draft({"skill.py": CODE, "Skill.py": CODE}), "given twice"),
        (a_draft({"skill.py": CODE, "skill.py/x.py": CODE}), "a file and a folder"),
        (a_draft({"skill.py": "a\0b"}), "not text"),
        (a_draft(tests=[{"path": "test_skill.py", "content": TEST}]), "tests lie in tests/"),
        (a_draft({"skill.py": CODE, "tests/code.py": CODE}), "code does not lie in tests/"),
        (a_draft(dependencies=["gone==1.0"]), "There is no gone 1.0."),
    ],
)
def test_what_is_wrong_with_a_draft_itself_is_told(tmp_path: Path, draft: dict[str, Any], told: str) -> None:
    desk = Desk(tmp_path, [draft])
    attempt = desk.write(attempts=1)
    assert desk.tried == []
    assert told in " ".join(problem.message for problem in attempt.problems)


def test_it_ends_when_the_budget_is_spent_and_keeps_the_last_work(tmp_path: Path) -> None:
    desk = Desk(tmp_path, [a_draft(), a_draft(), a_draft()], found=[[WRONG]] * 3)
    attempt = desk.write(attempts=2)
    assert attempt.over == "attempts: 2 of 2 used"
    assert attempt.files is not None and attempt.problems[0].message == "expected 2, got 3"
    assert len(desk.model.asked) == 2


def test_money_ends_it_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path, [a_draft()] * 5, found=[[WRONG]] * 5)
    assert desk.write(cost=0.02).over.startswith("cost")
    assert len(desk.attempts()) == 2


def test_an_answer_of_no_type_is_a_failed_attempt_with_its_tokens(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ["I would rather not.", "{", a_draft()])
    assert desk.write().passed
    first = desk.attempts()[0]
    assert (first.outcome, first.tokens) == ("failed", 20)
    assert desk.model.of("author")[2].variables["problems"][0]["source"] == "answer"


def test_a_model_out_of_reach_stops_without_blame(tmp_path: Path) -> None:
    desk = Desk(tmp_path, [])
    with pytest.raises(ModelUnavailable):
        desk.write()
    assert desk.attempts() == []


def test_an_attempt_that_could_not_be_tried_is_no_attempt_but_was_paid_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path, [a_draft()], found=[CouldNotTell("No sandbox.")])
    with pytest.raises(CouldNotTell):
        desk.write()
    spent = desk.ledger.spent(1)
    assert (spent.attempts, spent.tokens) == (0, 10)


def test_after_a_kill_it_goes_on_with_the_count_and_the_problems(tmp_path: Path) -> None:
    Desk(tmp_path, [a_draft()], found=[[WRONG]]).write(attempts=1)
    again = Desk(tmp_path, [a_draft()])
    assert again.write(attempts=2).passed
    assert again.model.asked[0].variables["problems"][0]["message"] == "expected 2, got 3"
    assert [event.data["attempt"] for event in again.attempts()] == [1, 2]


def test_after_a_kill_the_question_is_the_one_that_would_have_been_asked(tmp_path: Path) -> None:
    whole = Desk(tmp_path / "whole", [a_draft(), a_draft()], found=[[WRONG]], keep=True)
    whole.write()
    Desk(tmp_path / "killed", [a_draft()], found=[[WRONG]], keep=True).write(attempts=1)
    again = Desk(tmp_path / "killed", [a_draft()], keep=True)
    again.write()
    assert again.model.asked[0].variables == whole.model.asked[1].variables


def test_work_that_passed_before_a_kill_is_not_asked_for_again(tmp_path: Path) -> None:
    before = Desk(tmp_path, [a_draft(notes="Done.")], keep=True).write()
    again = Desk(tmp_path, [], keep=True)
    after = again.write()
    assert (after.files, after.manifest, after.notes) == (before.files, before.manifest, "Done.")
    assert again.model.asked == []


def test_a_new_head_is_a_new_round(tmp_path: Path) -> None:
    Desk(tmp_path, [a_draft()], found=[[WRONG]], keep=True).write(attempts=1)
    again = Desk(tmp_path, [a_draft()], keep=True)
    again.write(a_task(head="c" * 40))
    assert again.model.asked[0].variables["problems"] == []


def test_a_revision_is_told_the_files_and_what_to_mend(tmp_path: Path) -> None:
    desk = Desk(tmp_path, [a_draft({"skill.py": "x = 2\n"}), a_draft()], found=[[WRONG]])
    mend = Problem(source="review by correctness", message="Empty text counts one word.", path="skills/word-count/skill.py", line=2)
    desk.write(a_task(files={"skill.py": CODE.encode(), "logo.png": b"\xff\xd8"}, problems=(mend,)))
    for question in desk.model.asked:
        assert question.variables["files"] == {"skill.py": CODE}
        assert question.variables["mend"][0]["message"] == "Empty text counts one word."
    assert desk.tried[-1]["logo.png"] == b"\xff\xd8"


def test_a_revision_that_changes_nothing_has_failed(tmp_path: Path) -> None:
    first = Desk(tmp_path / "a", [a_draft()]).write()
    desk = Desk(tmp_path / "b", [a_draft()])
    attempt = desk.write(a_task(files=first.files, manifest=first.manifest, problems=(WRONG,)), attempts=1)
    assert desk.tried == [] and "nothing was changed" in attempt.problems[0].message


def test_a_file_that_is_not_given_is_gone(tmp_path: Path) -> None:
    desk = Desk(tmp_path, [a_draft()])
    attempt = desk.write(a_task(files={"skill.py": b"old", "old.py": b"old", "requirements.lock": b"old"}, manifest=a_manifest()))
    assert attempt.files is not None and not {"old.py", "requirements.lock"} & attempt.files.keys()


def test_what_the_version_before_had_set_up_is_kept(tmp_path: Path) -> None:
    before = a_manifest(environment={"MODE": "fast"}, health={"interval": "5s"})
    attempt = Desk(tmp_path, [a_draft()]).write(a_task(version="1.1.0", files={"skill.py": b"x"}, manifest=before))
    assert attempt.manifest is not None
    assert (attempt.manifest.environment, attempt.manifest.health.interval, attempt.manifest.version) == ({"MODE": "fast"}, "5s", "1.1.0")


def test_no_prompt_holds_a_witness_case(tmp_path: Path) -> None:
    desk = Desk(tmp_path, [a_draft(), a_draft()], found=[[WRONG]])
    desk.write(a_task(files={WITNESS_PATH: b"cases: the-secret-case", "skill.py": b"x"}))
    assert "the-secret-case" not in repr(desk.model.asked)
    assert all(WITNESS_PATH not in files for files in desk.tried)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("<object at 0x7f3a2b10>", "<object at 0x…>"),
        ("File /tmp/skillops-abc/word-count/skill.py, line 2", "File skill.py, line 2"),
        ("1 failed in 0.12s", "1 failed in … s"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("/records/0: 5 is not a string", "/records/0: 5 is not a string"),
        ("expected '90 s', got '1m 30s'", "expected '90 s', got '1m 30s'"),
    ],
)
def test_problems_are_the_same_words_on_every_machine(tmp_path: Path, said: str, told: str) -> None:
    desk = Desk(tmp_path, [a_draft()], found=[[Problem(source="tests", message=said)]])
    assert desk.write(attempts=1).problems[0].message == told
