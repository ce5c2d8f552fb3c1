"""Objects for tests: `a_manifest(version="1.1.0")` is a whole, valid thing with one trait of the test's own."""

from __future__ import annotations

from typing import Any

from agent.domain.check import CheckReport, CheckResult, Outcome
from agent.domain.gap import Contract, Gap
from agent.domain.proposal import AUTHOR, Proposal
from agent.domain.registry import Entry
from agent.domain.request import Request
from agent.domain.review import Review
from agent.domain.skill import Manifest

HEAD, BASE = "a" * 40, "b" * 40
INPUTS = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": False}
OUTPUTS = {"type": "object", "properties": {"words": {"type": "integer", "minimum": 0}}, "required": ["words"], "additionalProperties": False}
EXAMPLES = [{"inputs": {"text": "one two"}, "outputs": {"words": 2}}]


def a_manifest(**traits: Any) -> Manifest:
    return Manifest.model_validate(
        {
            "apiVersion": "skillops/v1",
            "name": "word-count",
            "version": "1.0.0",
            "description": "Count the words of a text. Use when somebody asks how long a text is.",
            "inputs": INPUTS,
            "outputs": OUTPUTS,
            "examples": EXAMPLES,
            **traits,
        }
    )


def a_contract(**traits: Any) -> Contract:
    return Contract.model_validate(
        {
            "name": "word-count",
            "description": "Count the words of a text.",
            "inputs": INPUTS,
            "outputs": OUTPUTS,
            "examples": EXAMPLES,
            "acceptance": ["words are parted by white space"],
            **traits,
        }
    )


def a_gap(**traits: Any) -> Gap:
    return Gap.model_validate({"request": 1, "verdict": "new", "reason": "no skill counts words", "contract": a_contract(), **traits})


def a_request(**traits: Any) -> Request:
    return Request.model_validate(
        {"number": 1, "title": "Count words", "text": "How many words has a text?", "requester": "ada", "source": "cli", **traits}
    )


def a_proposal(**traits: Any) -> Proposal:
    return Proposal.model_validate(
        {
            "number": 2,
            "branch": "skill/word-count-1",
            "skill": "word-count",
            "kind": "new",
            "title": "Add word-count",
            "body": "",
            "author": AUTHOR,
            "head": HEAD,
            "base": BASE,
            "request": 1,
            **traits,
        }
    )


def a_result(name: str = "style", outcome: str = "passed", **traits: Any) -> CheckResult:
    return CheckResult.model_validate({"name": name, "outcome": outcome, "head": HEAD, "summary": f"{name} {outcome}", **traits})


def a_report(**outcomes: str) -> CheckReport:
    """`a_report(style="failed")`: the other seven checks passed."""
    names = ("scope", "manifest", "style", "security", "secrets", "dependencies", "tests", "contract")
    return CheckReport(head=HEAD, results=tuple(a_result(name, outcomes.get(name, Outcome.PASSED)) for name in names))


def a_review(reviewer: str = "correctness", verdict: str = "approve", **traits: Any) -> Review:
    return Review.model_validate({"reviewer": reviewer, "head": HEAD, "verdict": verdict, "summary": "Looks right.", **traits})


def an_entry(**traits: Any) -> Entry:
    return Entry.model_validate(
        {
            "name": "word-count",
            "version": "1.0.0",
            "status": "active",
            "runtime": "python",
            "description": "Count the words of a text.",
            "artifact": "directory",
            "digest": "sha256:" + "0" * 64,
            "commit": HEAD,
            "tree": "c" * 40,
            "proposal": 2,
            "approvals": ["correctness", "security", "fit"],
            **traits,
        }
    )
