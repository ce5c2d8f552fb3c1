"""The author: asks a model for a whole skill, tries it, and asks again with what failed, while there is budget.

The author never sees a witness case and never sees a transcript: what it is told of a failed attempt is its own files
and a few sentences on what is wrong with them. Every attempt is tried from a clean checkout.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent import prompts
from agent.domain.decision import BudgetLimits, Problem
from agent.domain.dispute import Objection
from agent.domain.event import Event
from agent.domain.gap import Contract
from agent.domain.proposal import AUTHOR
from agent.domain.skill import WITNESS_PATH, Manifest
from agent.draft import LOCKS, OURS, Draft, Repair, draft_problems, repair_check
from agent.errors import CouldNotTell, Refused, UnusableAnswer, UsageError
from agent.manifest_file import read_manifest, write_manifest
from agent.ports import Language, LanguageModel, Ledger
from agent.snapshot import snapshot

PROBLEMS, PROBLEM_LENGTH = 20, 800  # what is carried from attempt to attempt
DISPUTED = "disputed"  # the outcome of an attempt that gave no files, and a dispute instead

TryOut = Callable[[Mapping[str, bytes], Manifest], tuple[Problem, ...]]


@dataclass(frozen=True)
class Assignment:
    """What is to be written: `version` of the contract's skill, from the `files` (and `manifest`) at the commit `head`.

    `files` are relative to the skill's folder, without the witness cases. `problems` are what a revision is to mend, `required` the skills to call.
    `disputable` are the numbers of the witness cases among the problems that may be disputed.
    """

    request: int
    contract: Contract
    version: str
    head: str
    files: Mapping[str, bytes]
    manifest: Manifest | None = None
    problems: tuple[Problem, ...] = ()
    required: tuple[Manifest, ...] = ()
    disputable: tuple[int, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """What the last attempt left. `files` is None where it gave none that could be written; `over` names a spent budget. `disputes` are to be
    settled before anything else is written."""

    files: Mapping[str, bytes] | None = None
    manifest: Manifest | None = None
    problems: tuple[Problem, ...] = ()
    notes: str = ""
    over: str = ""
    disputes: tuple[Objection, ...] = ()

    @property
    def passed(self) -> bool:
        return self.files is not None and not self.problems


class Author:
    """`try_out` says what is wrong with a skill's files, in deterministic words. `record` enters an event in the ledger.

    `keep` is a folder for the files of attempts, so that work which was killed goes on from its last draft; what lies
    there is a cache and never run.
    """

    def __init__(
        self, model: LanguageModel, languages: Mapping[str, Language], try_out: TryOut, record: Callable[[Event], Any], keep: Path | None = None
    ) -> None:
        self._model, self._languages, self._try_out, self._record, self._keep = model, languages, try_out, record, keep

    def write(self, task: Assignment, ledger: Ledger, budget: BudgetLimits) -> Attempt:
        """Attempts until one passes, disputes a case or the budget is spent; goes on where the ledger says that a killed run was.

        Raises ModelUnavailable where the model cannot be reached, CouldNotTell where an attempt could not be tried.
        """
        if task.contract.runtime not in self._languages:
            known = ", ".join(sorted(self._languages))
            raise UsageError(f"No skill can be written in {task.contract.runtime} here.", next_step=f"Ask for one of: {known}.")
        last = self._last(task, ledger)
        while not last.passed and not last.disputes:
            if over := ledger.spent(task.request).over(budget):
                return replace(last, over=over)
            last = self._attempt(task, last, 1 + len(_attempts(task, ledger)))
        return last

    def _attempt(self, task: Assignment, last: Attempt, number: int) -> Attempt:
        started = time.monotonic()
        try:
            asked = _asked(self._model, task, last)
        except UnusableAnswer as error:
            tokens, cost = error.tokens, error.cost
            attempt = Attempt(problems=(Problem(source="answer", message=error.why),))
        else:
            tokens, cost = asked.tokens, asked.cost
            try:
                attempt = self._of(task, asked.answer)
            except CouldNotTell as error:
                # Not the author's fault and no attempt, but the answer was paid for.
                self._record(Event(stage="proposing", what="stumbled", actor=AUTHOR, request=task.request, skill=task.contract.name,
                                   outcome="could_not_tell", note=error.fault, tokens=tokens, cost=cost))  # fmt: skip
                raise
        attempt = replace(attempt, problems=tuple(_steady(problem, task.contract.name) for problem in attempt.problems[:PROBLEMS]))
        self._keep_files(task, number, attempt)
        self._record(Event(
            stage="proposing", what="attempt", actor=AUTHOR, request=task.request, skill=task.contract.name, commit=task.head,
            outcome="passed" if attempt.passed else DISPUTED if attempt.disputes and not attempt.problems else "failed",
            seconds=round(time.monotonic() - started, 3), tokens=tokens, cost=cost,
            data={
                "attempt": number, "problems": [problem.model_dump(exclude_none=True) for problem in attempt.problems], "notes": attempt.notes,
                **({"disputes": [each.model_dump() for each in attempt.disputes]} if attempt.disputes else {}),
            },
        ))  # fmt: skip
        return attempt

    def _of(self, task: Assignment, draft: Draft) -> Attempt:
        """The attempt that a draft is: its files, tried, with what it disputes; or the dispute alone."""
        disputes = draft.disputes if isinstance(draft, Repair) else ()
        if not draft.code and disputes:
            return Attempt(notes=draft.notes.strip(), disputes=disputes)
        return replace(self._tried(task, draft), disputes=disputes)

    def _tried(self, task: Assignment, draft: Draft) -> Attempt:
        """The draft as files, and what is wrong with it. Nothing is written where a path or a permission is wrong."""
        language = self._languages[task.contract.runtime]
        entrypoint = task.manifest.entrypoint if task.manifest else language.entrypoint
        if problems := tuple(draft_problems(draft, entrypoint, task.contract.permissions)):
            return Attempt(problems=problems)
        try:
            manifest = manifest_of(task, draft, entrypoint)
            files = self._tidied(task, draft, language) | {"SKILL.md": skill_md(manifest, draft.instructions)} | language.lock(manifest)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            return Attempt(problems=(Problem(source="manifest", message=f"{place}: {first['msg']}"),))
        except Refused as error:
            return Attempt(problems=(Problem(source="dependencies", message=str(error)),))
        files["skill.yaml"] = write_manifest(manifest)
        same = task.problems and files == {path: data for path, data in task.files.items() if path != WITNESS_PATH}
        problems = (
            (Problem(source="draft", message="nothing was changed, so what is to be mended still is"),) if same else self._try_out(files, manifest)
        )
        return Attempt(files=files, manifest=manifest, problems=problems, notes=draft.notes.strip())

    def _tidied(self, task: Assignment, draft: Draft, language: Language) -> dict[str, bytes]:
        """The draft's files in the language's format, and those of the skill that no model was shown (they are not text)."""
        ours = OURS | _shown(task.files).keys()
        kept = {path: data for path, data in task.files.items() if path not in ours and not path.endswith(LOCKS)}
        drafted = {file.path: file.content.encode() for file in (*draft.code, *draft.tests)}
        with snapshot(task.contract.name, drafted) as root:
            language.tidy(root)
            return kept | {path: (root / path).read_bytes() for path in drafted}

    def _last(self, task: Assignment, ledger: Ledger) -> Attempt:
        """The last attempt from this head, of a run that was killed; an empty one where there is none."""
        done = [event for event in _attempts(task, ledger) if event.commit == task.head]
        told = done[-1].data.get("disputes", ()) if done else ()
        disputes = tuple(each for each in map(Objection.model_validate, told) if each.case in task.disputable)
        written = [event for event in done if event.outcome != DISPUTED]
        if (disputes and done[-1].outcome == DISPUTED) or not written:
            return Attempt(disputes=disputes)
        files, data = self._kept_files(task, written[-1].data["attempt"]), written[-1].data
        problems = tuple(Problem.model_validate(problem) for problem in data["problems"])
        if files is None or "skill.yaml" not in files:
            return Attempt(problems=problems, disputes=disputes)
        return Attempt(files, read_manifest(files["skill.yaml"], "skill.yaml"), problems, data["notes"], disputes=disputes)

    def _keep_files(self, task: Assignment, number: int, attempt: Attempt) -> None:
        if self._keep is not None and attempt.files is not None:
            self._keep.mkdir(parents=True, exist_ok=True)
            place = self._keep / f"{task.request}-{number}.json"
            half = place.with_suffix(".half")
            half.write_text(json.dumps({path: data.decode("latin-1") for path, data in attempt.files.items()}), encoding="utf-8")
            half.replace(place)

    def _kept_files(self, task: Assignment, number: int) -> dict[str, bytes] | None:
        place = self._keep / f"{task.request}-{number}.json" if self._keep else None
        if place is None or not place.is_file():
            return None
        return {path: text.encode("latin-1") for path, text in json.loads(place.read_text(encoding="utf-8")).items()}


def manifest_of(task: Assignment, draft: Draft, entrypoint: str) -> Manifest:
    """The manifest: the contract's words, the draft's extras, and what the version before had set up."""
    contract, before = task.contract, task.manifest
    kept = before.model_dump(include={"environment", "health"}) if before else {}
    return Manifest.model_validate({
        "apiVersion": "skillops/v1", "name": contract.name, "version": task.version, "description": contract.description,
        "runtime": contract.runtime, "entrypoint": entrypoint, "inputs": contract.inputs, "outputs": contract.outputs, "examples": contract.examples,
        "permissions": draft.permissions, "dependencies": draft.dependencies, "resources": draft.resources, "annotations": draft.annotations,
        "aliases": tuple(dict.fromkeys(draft.aliases)), "requires": contract.requires or (before or contract).requires, **kept,
    })  # fmt: skip


def skill_md(manifest: Manifest, instructions: str) -> bytes:
    """SKILL.md with the front matter that the Agent Skills specification asks for (agentskills.io/specification)."""
    front = f"---\nname: {manifest.name}\ndescription: {json.dumps(manifest.description, ensure_ascii=False)}\n---\n"
    body = re.sub(r"\A---\n.*?\n---\n", "", instructions.strip() + "\n", flags=re.DOTALL)
    return f"{front}\n{body.strip()}\n".encode()


def _attempts(task: Assignment, ledger: Ledger) -> list[Event]:
    return [entry.event for entry in ledger.entries(request=task.request) if entry.event.what == "attempt"]


def _asked(model: LanguageModel, task: Assignment, last: Attempt) -> prompts.Asked[Draft] | prompts.Asked[Repair]:
    """A draft, or, where there is a case that may be disputed, a repair."""
    variables = _variables(task, last)
    if not task.disputable:
        return prompts.ask(model, "author", Draft, variables)
    template, variables = prompts.with_sections("author", ["disputing"]), {**variables, "disputable": list(task.disputable)}
    return prompts.ask(model, "author", Repair, variables, template=template, check=repair_check(task.disputable))


def _variables(task: Assignment, last: Attempt) -> dict[str, Any]:
    """What the model is told; it identifies the question to a recorded session, so there is no commit and no time in it."""
    contract = task.contract.model_dump(mode="json")
    if task.required:
        contract["required_skills"] = [each.model_dump(mode="json", include={*Contract.model_fields, "annotations"}) for each in task.required]
    return {
        "contract": contract, "runtime": task.contract.runtime,
        "files": _shown(task.files), "mend": _lines(task.problems), "attempt": _shown(last.files or {}), "problems": _lines(last.problems),
    }  # fmt: skip


def _shown(files: Mapping[str, bytes]) -> dict[str, str]:
    """The files that are text, without lock files and never with the witness cases."""
    found = {}
    for path, data in sorted(files.items()):
        if path.casefold() != WITNESS_PATH and not path.endswith(LOCKS):
            try:
                found[path] = data.decode()
            except UnicodeDecodeError:
                continue
    return found


def _lines(problems: tuple[Problem, ...]) -> list[dict[str, Any]]:
    return [problem.model_dump(exclude_none=True) for problem in problems]


# What differs from run to run and from machine to machine, and what takes its place.
_UNSTEADY = (
    (re.compile(r"\x1b\[[0-9;]*[A-Za-z]"), ""),
    (re.compile(r"\b0x[0-9a-fA-F]{4,}\b"), "0x…"),
    (re.compile(r"(?<![\w/])/(?:tmp|var|home|root|private|Users|opt|usr)/(?:[^\s/'\"]+/)*"), ""),
    (re.compile(r"\bin \d+(?:\.\d+)? ?(?:s|ms|seconds)\b"), "in … s"),
)


def _steady(problem: Problem, skill: str) -> Problem:
    """The problem in words that are the same on every machine, with its path as the author knows it."""
    message = problem.message
    for pattern, instead in _UNSTEADY:
        message = pattern.sub(instead, message)
    path = problem.path.removeprefix(f"skills/{skill}/") if problem.path else None
    return problem.model_copy(update={"message": message[:PROBLEM_LENGTH], "path": path})
