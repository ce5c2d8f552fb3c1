"""Assessing: a request becomes a Gap. The catalog is searched first; then the model decides, and its word is checked.

What the model may not decide (the request's number, the version that an extension starts from) is filled in here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, ValidationError

from agent.domain import Frozen
from agent.domain.event import Event
from agent.domain.gap import MOST_PARTS, Contract, Gap, Part, Verdict
from agent.domain.proposal import AGENT, OURS
from agent.domain.request import Comment, Request
from agent.domain.requirement import Requirement, within_major
from agent.domain.schema import Json, violations
from agent.domain.skill import Manifest, SkillName, same_json
from agent.ports import LanguageModel
from agent.prompts import ask

LIMIT = 20_000  # characters of a request that a model is shown
EMPTY = "What should the agent be able to do? Say what goes in, what should come out, and give one example."
ENORMOUS = f"The text has more than {LIMIT:,} characters. What is needed, in a page? Say what goes in, what should come out, and give one example."
BINARY = "The text has control characters: it looks like binary data, and nobody can read what it asks for."

Record = Callable[[Event], Any]


class Written(Contract):
    """A contract in one of the languages that models write skills in."""

    runtime: Literal["python", "node", "go", "bash"] = "python"


class Assessment(Frozen):
    """What the model says of a request: a Gap without what only we know."""

    verdict: Verdict
    reason: str = Field(min_length=1, max_length=2000)
    skill: SkillName | None = None
    call: dict[str, Json] | None = None
    question: str | None = Field(default=None, min_length=1, max_length=1000)
    contract: Written | None = None
    parts: tuple[Part, ...] = Field(default=(), max_length=MOST_PARTS)


def assess(
    request: Request,
    said: Sequence[Comment],
    hits: Sequence[Manifest],
    model: LanguageModel,
    record: Record,
    *,
    taken: Callable[[str], bool] = lambda name: False,
) -> Gap:
    """The Gap of a request, given the comments on it and the skills that the catalog found for it.

    `taken` tells whether any skill has a name. Raises ModelUnavailable where the model gives no usable assessment.
    """
    talk = [line for comment in said if (line := _line(comment, request))]
    words = [request.title, request.text, *(line["text"] for line in talk if line["by"] == "requester")]
    gap = _plain(request, words)
    if gap is not None:
        record(_event(request, gap))
        return gap
    variables = {
        "title": request.title, "text": _cut(request.text), "said": talk[-20:], "skills": [_shown(each) for each in hits],
        "whole": request.parent is None,
    }  # fmt: skip
    by_name = {each.name: each for each in hits if each.status != "retired"}
    asked = ask(model, "assess", Assessment, variables, check=lambda found: _problem(found, request, by_name, taken))
    gap = _gap(asked.answer, request, by_name)
    spent = {"tokens": asked.tokens, "cost": asked.cost, "seconds": asked.seconds}
    record(_event(request, gap).model_copy(update={**spent, "data": {"contract": gap.digest, "model": asked.model}}))
    return gap


def unreadable(text: str) -> bool:
    """Whether `text` holds what no person types: control characters, or halves of characters."""
    return any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\r\t" for char in text)


def _plain(request: Request, words: Sequence[str]) -> Gap | None:
    """What needs no model: the text of `words` (title, text, the requester's answers) is binary, empty or enormous."""
    if any(map(unreadable, words)):
        return Gap(request=request.number, verdict="refused", reason=BINARY)
    if not any(char.isalnum() for word in words for char in word):
        return Gap(request=request.number, verdict="vague", reason="The request is empty.", question=EMPTY)
    if len(request.title) + len(request.text) > LIMIT and len(words) == 2:
        return Gap(request=request.number, verdict="vague", reason="The request is too long to be read.", question=ENORMOUS)
    return None


def _line(comment: Comment, request: Request) -> dict[str, str] | None:
    """A comment as the model sees it: no logins, and of our own only the questions, without their invisible part."""
    if comment.author in OURS - {AGENT}:
        return None
    if comment.author == AGENT:
        if (comment.marker or "").startswith("pasted:"):
            return None
        text = re.sub(r"<!--.*?-->", "", comment.text, flags=re.DOTALL).strip()
        return {"by": "agent", "text": _cut(text.replace(f"@{request.requester} ", ""))}
    return {"by": "requester" if comment.author == request.requester else "another person", "text": _cut(comment.text)}


def _cut(text: str) -> str:
    return text if len(text) <= LIMIT else f"{text[:LIMIT]}… (cut)"


def _shown(manifest: Manifest) -> dict[str, Any]:
    names = {"name", "description", "runtime", "inputs", "outputs", "examples", "permissions"}
    return manifest.model_dump(mode="json", include=names | ({"requires"} if manifest.requires else set()))


def _gap(found: Assessment, request: Request, hits: Mapping[str, Manifest]) -> Gap:
    """The Gap of an assessment, of which only the parts that its verdict speaks of are kept."""
    parts = {
        "covered": ("skill", "call"), "extend": ("skill", "contract"), "new": ("contract",), "several": ("parts",), "refused": (),
        "vague": ("question",),
    }  # fmt: skip
    kept = {name: getattr(found, name) for name in parts[found.verdict]}
    if kept.get("contract"):
        kept["contract"] = Contract.model_validate(kept["contract"].model_dump())
    base = hits.get(found.skill or "") if found.verdict == "extend" else None
    return Gap(request=request.number, verdict=found.verdict, reason=found.reason, base_version=base.version if base else None, **kept)


def _problem(found: Assessment, request: Request, hits: Mapping[str, Manifest], taken: Callable[[str], bool]) -> str | None:
    """What is wrong with an assessment that has the right form, in words for the model."""
    if found.verdict in ("covered", "extend") and found.skill not in hits:
        return f"skill: {found.skill!r} is not one of the existing skills given: {', '.join(hits) or 'there are none'}"
    if found.verdict == "several" and request.parent is not None:
        return "verdict: this request is a part of a larger one already, and is not divided again; choose another verdict"
    try:
        gap = _gap(found, request, hits)
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    if gap.verdict == "covered" and gap.skill:
        if gap.call is None:
            return "call: a covered request needs the inputs object to call the skill with"
        broken = violations(hits[gap.skill].inputs, gap.call)
        return f"call: the inputs do not fit {gap.skill}: {'; '.join(broken)}" if broken else None
    if gap.contract is None:
        return None
    if gap.verdict == "extend" and gap.skill and (runtime := hits[gap.skill].runtime) in ("container", "workflow"):
        return f"skill: {gap.skill} is a {runtime}, which people alone write; choose another verdict"
    if gap.verdict == "new" and (gap.contract.name in hits or taken(gap.contract.name)):
        return f"contract.name: {gap.contract.name!r} is taken; extend that skill, or choose another name"
    if gap.verdict == "extend" and gap.skill and (problem := breaks(hits[gap.skill], gap.contract)):
        return f"contract: {problem}"
    return _unrequirable(gap.contract, hits) or _contradiction(gap.contract)


def _unrequirable(contract: Contract, hits: Mapping[str, Manifest]) -> str | None:
    """What is wrong with what a contract requires: a skill has to be one of those that were given, in a version that is there."""
    for text in contract.requires:
        try:
            wanted = Requirement.parse(text)
        except ValueError as error:
            return f"contract.requires: {error}"
        there = hits.get(wanted.name)
        if there is None or wanted.name == contract.name:
            return f"contract.requires: {wanted.name!r} is not one of the existing skills given"
        if not wanted.admits(there.semver):
            return f"contract.requires: {wanted.name} is at {there.version}, so write '{within_major(wanted.name, there.semver)}'"
    return None


def breaks(old: Manifest, new: Contract) -> str | None:
    """How a contract would break those who call the skill today, or None."""
    if new.runtime != old.runtime:
        return f"the runtime stays {old.runtime}"
    for what, before, after in (("inputs", old.inputs, new.inputs), ("outputs", old.outputs, new.outputs)):
        if gone := before.get("properties", {}).keys() - after.get("properties", {}).keys():
            return f"{what}: {sorted(gone)[0]!r} may not disappear"
    if added := set(new.inputs.get("required", ())) - set(old.inputs.get("required", ())):
        return f"inputs: {sorted(added)[0]!r} may not be required, it was not before"
    if loosened := set(old.outputs.get("required", ())) - set(new.outputs.get("required", ())):
        return f"outputs: {sorted(loosened)[0]!r} stays required"
    for number, example in enumerate(old.examples, 1):
        for what, schema in (("inputs", new.inputs), ("outputs", new.outputs)):
            if broken := violations(schema, getattr(example, what), limit=1):
                return f"the {what} of the skill's example {number} no longer fit: {broken[0]}"
        if any(same_json(each.inputs, example.inputs) and not same_json(each.outputs, example.outputs) for each in new.examples):
            return f"the skill's example {number} gives other outputs than before"
    return None


def _contradiction(contract: Contract) -> str | None:
    for number, example in enumerate(contract.examples, 1):
        if any(same_json(example.inputs, other.inputs) for other in contract.examples[number:]):
            return f"contract.examples: the inputs of example {number} come twice"
    return None


def _event(request: Request, gap: Gap) -> Event:
    skill = gap.contract.name if gap.contract else gap.skill
    return Event(stage="assessing", what="assessed", actor=AGENT, request=request.number, skill=skill, outcome=gap.verdict, note=gap.reason)
