"""A real skills repository with a scripted model: what the acceptance tests of the pipeline work on.

Everything is as in daily work (local forge, bubblewrap, checks, builder, supervisor); only the model's words are ours.
The skill that is asked for, `word-count`, is as small as one can be that passes every check.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from agent.author import Author
from agent.caller import execute
from agent.domain.check import CheckResult, Subject
from agent.domain.check import Outcome as CheckOutcome
from agent.domain.event import Event
from agent.domain.invocation import Invocation
from agent.domain.progress import TRANSITIONS, State
from agent.domain.proposal import DEPLOY_FAILED, HOLD, OUT_OF_BUDGET, Proposal
from agent.domain.registry import Entry
from agent.domain.release import Service
from agent.domain.request import RequestDraft
from agent.errors import NotFound
from agent.manifest_file import write_manifest
from agent.parts import Parts
from agent.pipeline import Outcome, Pipeline
from agent.ports import Availability, Deployment, Forge, Runtime, Tell, Workbench
from agent.registry_file import Registry, parse
from agent.situation import Work
from agent.stages.deploying import OnDemand, deploy
from agent.stages.proposing import propose_folder
from agent.starter import found
from agent.wiring import open_workplace
from agent.workplace import Workplace
from reviewers import human
from tests.builders import EXAMPLES, INPUTS, OUTPUTS, a_manifest
from tests.fakes import Answer, FakeModel

CLAUSES = ("words are parted by white space", "a text without words has none")
CODE = '''"""Counts the words of a text."""

from typing import Any


def execute(inputs: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    """How many words `text` has."""
    return {"words": len(inputs["text"].split())}
'''
TESTS = """from skill import execute


def test_words_are_parted_by_white_space():
    assert execute({"text": "one two\\nthree"}, {}) == {"words": 3}


def test_a_text_without_words_has_none():
    assert execute({"text": "  "}, {}) == {"words": 0}
"""
# Passes its own tests and the examples, and is wrong where words are parted by more than a blank.
WRONG_CODE = CODE.replace(".split()", '.split(" ")')
WRONG_TESTS = """from skill import execute


def test_words_are_counted():
    assert execute({"text": "one two three"}, {}) == {"words": 3}
    assert execute({"text": "one"}, {}) == {"words": 1}
"""


# ---- what the model says -------------------------------------------------------------------------------------------


def a_contract(name: str = "word-count", **traits: Any) -> dict[str, Any]:
    return {
        "name": name, "description": "Count the words of a text. Use when somebody asks how long a text is.", "runtime": "python",
        "inputs": INPUTS, "outputs": OUTPUTS, "examples": EXAMPLES, "acceptance": list(CLAUSES), **traits,
    }  # fmt: skip


def an_assessment(name: str = "word-count", **traits: Any) -> dict[str, Any]:
    return {"verdict": "new", "reason": "no skill counts words", "contract": a_contract(name), **traits}


def a_draft(code: str = CODE, tests: str = TESTS, **traits: Any) -> dict[str, Any]:
    return {
        "code": [{"path": "skill.py", "content": code}], "tests": [{"path": "tests/test_skill.py", "content": tests}],
        "instructions": "Call it with a text; it gives the number of words.", **traits,
    }  # fmt: skip


def witness_cases(clauses: int = 2) -> dict[str, Any]:
    texts = {"one": 1, "a b c": 3, "a\tb": 2, "a  b": 2, "a\nb": 2, "": 0}
    return {"cases": [
        {"name": f"witness case {number}", "clause": clauses if words == 0 else 1, "inputs": {"text": text}, "expect": {"outputs": {"words": words}}}
        for number, (text, words) in enumerate(texts.items(), 1)
    ]}  # fmt: skip


def a_judgement(verdict: str = "approve", remarks: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    return {"verdict": verdict, "summary": f"I would {verdict} it.", "remarks": list(remarks)}


def a_remark(text: str, words: int) -> dict[str, Any]:
    """A blocking remark that `text` has to give `words`."""
    reproducer = {"shows": "the count is right", "inputs": {"text": text}, "expect": {"outputs": {"words": words}}}
    return {"message": f"{text!r} is counted wrongly.", "path": "skill.py", "line": 8, "blocking": True, "reproducer": reproducer}


def answers(**given: Sequence[Answer] | Callable[..., Answer]) -> dict[str, Any]:
    """One smooth way through the pipeline, as often as it is wanted; `review_fit=[…]` and the like take the place of a purpose."""
    usual: dict[str, Any] = {
        "assess": lambda question: an_assessment(),
        "witness": lambda question: witness_cases(len(question.variables["clauses"]) - 1),
        "author": lambda question: a_draft(),
        "plan": _plan,
        "answer": lambda question: {"text": f"It has {question.variables['results'][0]['outputs']['words']} words."},
        **{f"review-{name}": lambda question: a_judgement() for name in ("correctness", "security", "fit")},
    }
    return usual | {purpose.replace("_", "-"): said for purpose, said in given.items()}


def _plan(question: Any) -> dict[str, Any]:
    """Counts the words with the skill where there is one, else raises the need."""
    if any(skill["name"] == "word-count" for skill in question.variables["skills"]):
        return {"steps": [{"id": "count", "skill": "word-count", "inputs": {"text": "to be or not to be"}}]}
    return {"steps": [{"id": "count", "need": {"title": "Count words", "text": "Count the words of a text, parted by white space."}}]}


# ---- parts that take the place of the slow ones --------------------------------------------------------------------


class PassingCheck:
    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        return CheckResult(name=self.name, outcome=CheckOutcome.PASSED, head=subject.head, summary="fine")


class RememberingRuntime(Runtime):
    """Holds what was deployed in `running`. A trial meets every reproducer."""

    name = "remembering"

    def __init__(self) -> None:
        self.running: dict[str, Service] = {}

    def available(self) -> Availability:
        return Availability(ok=True)

    def deploy(self, deployment: Deployment) -> Service:
        service = Service(skill=deployment.skill, version=deployment.version, digest=deployment.digest, state="healthy")
        self.running[deployment.skill] = service
        return service

    def remove(self, skill: str) -> None:
        self.running.pop(skill, None)

    def services(self) -> Sequence[Service]:
        return list(self.running.values())


# ---- the repository ------------------------------------------------------------------------------------------------


class Home:
    """One skills repository, as one process has it open. `events` are those that were told, in order."""

    def __init__(self, path: Path, said: Mapping[str, Any] | FakeModel | None = None, tell: Tell | None = None, **options: Any) -> None:
        self.path, self.options = path, {"user": "ada", "mutants": 6, **options}
        self.events: list[Event] = []
        self.model = said if isinstance(said, FakeModel) else FakeModel(answers() if said is None else said)
        self.place: Workplace = open_workplace(path, tell or self.events.append, self.model, **self.options)

    @classmethod
    def founded(cls, folder: Path, said: Mapping[str, Any] | FakeModel | None = None, **options: Any) -> Home:
        return cls(found(folder).root, said, **options)

    def reopened(self, said: Mapping[str, Any] | None = None, **options: Any) -> Home:
        """The same repository, as a new process would have it."""
        return Home(self.path, said, **{**self.options, **options})

    def bare(self, runtime: RememberingRuntime | None = None) -> Home:
        """The same without a sandbox: checks and trials pass, and the runtime only remembers what it was told."""
        languages, keep = self.parts.languages, self.parts.settings.state / "drafts"
        author = Author(self.model, languages, lambda files, manifest: (), self.parts.record, keep)
        self.change(checks=tuple(PassingCheck(check.name) for check in self.parts.checks), runtime=runtime or RememberingRuntime(), author=author)
        return self

    @property
    def runtime(self) -> RememberingRuntime:
        assert isinstance(self.parts.runtime, RememberingRuntime)
        return self.parts.runtime

    @property
    def parts(self) -> Parts:
        return self.place.parts

    @property
    def forge(self) -> Forge:
        return self.place.parts.forge

    def change(self, **parts: Any) -> None:
        """Takes other parts in: `change(checks=…)`."""
        self.place = replace(self.place, parts=replace(self.parts, **parts))
        pipeline = Pipeline(self.parts)
        conversations = self.place.conversations
        conversations._means = replace(conversations._means, runtime=OnDemand(self.parts.runtime, pipeline.deploy))
        self.place = replace(self.place, pipeline=pipeline)

    # ---- doing

    def request(self, title: str = "Count words", text: str = "How many words has a text? `one two` has 2.") -> int:
        draft = RequestDraft(key=f"{title} {text}", title=title, text=text, requester="ada", source="cli")
        return self.forge.open_request(draft).number

    def run(self, request: int | None = None, *, once: bool = False) -> Outcome:
        """A run, each of whose steps has to be one of the table of progress; a push brings a proposal back to its beginning at any time."""
        outcome = self.place.pipeline.run(Work(request=request) if request else None, once=once)
        for work in {work for work, _ in outcome.moved}:
            states = [step.state for other, step in outcome.moved if other == work]
            assert [(one, then) for one, then in pairwise(states) if then not in (*TRANSITIONS[one], State.PROPOSED)] == []
        return outcome

    def says(self, verdict: Any, number: int, why: str = "because", person: str = "bob") -> None:
        """What `skillops approve`, `reject` and `revise` do."""
        proposal = self.forge.proposal(number)
        self.forge.post_review(number, human.judge(verdict, proposal, person, self.parts.policy(), why))

    def retry(self, number: int) -> None:
        """What `skillops retry` does."""
        proposal = self.forge.proposal(number)
        self.parts.record(Event(stage="people", what="retried", actor="bob", request=proposal.request, proposal=number))
        self.forge.label(number, remove=[HOLD, OUT_OF_BUDGET, DEPLOY_FAILED])
        self.forge.forget_verdicts(number, proposal.head)

    def folder_by_hand(self, name: str = "word-count", version: str = "1.0.0") -> dict[str, bytes]:
        """The files of a skill that counts words, as a person would write them."""
        manifest = a_manifest(name=name, version=version)
        front = f"---\nname: {name}\ndescription: {json.dumps(manifest.description)}\n---\n\nCall it with a text.\n"
        return {"skill.yaml": write_manifest(manifest), "SKILL.md": front.encode(), "skill.py": CODE.encode(), "tests/test_skill.py": TESTS.encode()}

    def propose_by_hand(self, who: str, code: str = CODE, *, name: str = "word-count", version: str = "1.0.0") -> Proposal:
        """What `skillops propose --from DIR` does."""
        files = {**self.folder_by_hand(name, version), "skill.py": code.encode()}
        return propose_folder(files, who, self.forge, self.parts.model, self.parts.record)

    def rebase(self, branch: str) -> None:
        """What a person does with a branch that main overtook: the same files, on top of main."""
        head, main = self.forge.head(branch), self.forge.head("main")
        assert head and main
        self.git("update-ref", f"refs/heads/{branch}", main)
        files = {f"skills/word-count/{path}": data for path, data in self.forge.files(head, "skills/word-count").items()}
        self.forge.commit(branch, dict(files), parent=main, message="By hand, on top of main", author="dan")

    def write_policy(self, **keys: Any) -> None:
        self.commit({"reviewers/policy.yaml": json.dumps({"apiVersion": "skillops/v1", **keys}).encode()})

    def commit(self, files: Mapping[str, bytes | None], branch: str = "main") -> str:
        """What a person pushes by hand."""
        return self.forge.commit(branch, files, parent=self.forge.head(branch), message="By hand", author="bob")

    def call(self, text: str, skill: str = "word-count") -> dict[str, Any]:
        endpoint = self.parts.runtime.endpoint(skill)
        reply = execute(endpoint, Invocation(skill=skill, inputs={"text": text}, request_id="test", caller="ada"))
        assert reply.success, reply
        return dict(reply.outputs)

    # ---- looking

    def proposal(self, number: int | None = None) -> Proposal:
        """The one asked for, or the newest."""
        found = self.forge.proposal(number) if number else max(self.forge.proposals("all"), key=lambda each: each.number, default=None)
        if found is None:
            raise NotFound("There is no proposal.")
        return found

    def registry(self) -> Registry:
        return parse(self.registry_bytes().decode())

    def entry_at(self, commit: str) -> Entry:
        """The entry of word-count that the release after a commit made."""
        after = self.git("rev-list", "--reverse", f"{commit}..main", "--", "registry.yaml").split()[0]
        entry = parse(self.git("show", f"{after}:registry.yaml")).entry("word-count")
        assert entry is not None
        return entry

    def serve(self, entry: Entry) -> None:
        """Makes the runtime serve an entry behind the registry's back."""
        deploy(entry, self.forge, self.parts.builder, self.parts.runtime, lambda event: None)

    def registry_bytes(self) -> bytes:
        data = self.forge.read("main", "registry.yaml")
        assert data is not None
        return data

    def ledger(self, what: str) -> list[Event]:
        return [entry.event for entry in self.parts.ledger.entries() if entry.event.what == what]

    def said_on(self, number: int) -> str:
        return "\n".join(comment.text for comment in self.forge.comments(number))

    def git(self, *arguments: str) -> str:
        origin = str(self.place.checkout.origin)
        return subprocess.run(["git", "-C", origin, *arguments], capture_output=True, text=True, check=True).stdout

    def close(self) -> None:
        self.parts.runtime.shutdown()  # type: ignore[attr-defined]
