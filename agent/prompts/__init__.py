"""What we say to models: text files with strict variables, and the one way to ask for a typed answer.

A prompt is `<purpose>.txt` in this folder: a system part, a line `--- user ---`, a user part, each a Jinja2 template.
Whatever people, models or skills wrote enters it as `{{ text | data("label") }}`: between fences that it cannot close.
What a model says enters through a type: it is validated, asked for once more with what was wrong, and else nobody can
tell. Nothing is repaired by guessing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_jsonable_python

from agent import halting
from agent.errors import ModelUnavailable, Stopped, UnusableAnswer
from agent.ports import Completion, LanguageModel, Message, Question

USER_PART = "--- user ---"
FOLDER = Path(__file__).parent
LONGEST = 100_000  # characters of a wrong answer that the model is shown once more
# Why a model said no more, and what a person can do about it.
STOPPED = {
    "length": ("it was cut off where the model may say no more", "Ask for less at once, or set a model that may say more with SKILLOPS_MODEL."),
    "content_filter": ("the provider's filter stopped it", "Say it in other words, or set another model with SKILLOPS_MODEL."),
    "refusal": ("the model refused", "Say it in other words, or set another model with SKILLOPS_MODEL."),
}
_BLOCK = re.compile(r"^```(?:json)?[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Asked(Generic[T]):
    """A typed answer and what it took: `cost` in US dollars, `seconds` of wall time, both summed over the asking again."""

    answer: T
    tokens: int
    cost: float
    seconds: float
    model: str


def fenced(value: Any, label: str) -> str:
    """`value` (other than text: as JSON) between fences that carry its digest, so that it can neither close nor forge them."""
    text = value if isinstance(value, str) else json.dumps(to_jsonable_python(value), ensure_ascii=False, separators=(",", ":"))
    mark = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
    return f"<<<data {re.sub(r'[^A-Za-z0-9_./ -]', '_', label)[:120]} {mark}\n{text}\n>>>{mark}"


def render(purpose: str, variables: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages of `<purpose>.txt`. A variable too few or too many is a programming error: ValueError."""
    return render_text(_template(purpose), variables)


def with_sections(purpose: str, names: Sequence[str]) -> str:
    """The template `<purpose>.txt`, where each name adds the parts of `with-<name>.txt` to its system and, where it has one, its user part."""
    system, _, user = _template(purpose).partition(f"\n{USER_PART}\n")
    for name in names:
        more_system, _, more_user = _template(f"with-{name}").partition(f"\n{USER_PART}\n")
        system, user = f"{system}\n\n{more_system.strip()}", f"{more_user}\n{user}" if more_user else user
    return f"{system}\n{USER_PART}\n{user}"


def _template(purpose: str) -> str:
    return (FOLDER / f"{purpose}.txt").read_text(encoding="utf-8")


def render_text(text: str, variables: Mapping[str, Any]) -> tuple[Message, ...]:
    """Like `render`, of a template given as text. It is split before it is filled: data cannot add a part."""
    wanted, parts = _compiled(text)
    if wanted != set(variables):
        raise ValueError(f"the prompt's variables are {sorted(wanted)}, given were {sorted(variables)}")
    return tuple(Message(role=role, content=part.render(variables).strip()) for role, part in zip(("system", "user"), parts, strict=True))


@lru_cache(maxsize=64)  # to compile one takes milliseconds, to fill it hundredths of one
def _compiled(text: str) -> tuple[frozenset[str], tuple[Any, Any]]:
    """The names that a template wants, and its two parts."""
    from jinja2 import meta

    system, line, user = text.partition(f"\n{USER_PART}\n")
    if not line:
        raise ValueError(f"a prompt needs a line {USER_PART!r}")
    environment = _environment()
    wanted = frozenset(meta.find_undeclared_variables(environment.parse(text)))
    return wanted, (environment.from_string(system), environment.from_string(user))


def ask(
    model: LanguageModel,
    purpose: str,
    answer_type: type[T],
    variables: Mapping[str, Any],
    *,
    template: str | None = None,
    check: Callable[[T], str | None] | None = None,
) -> Asked[T]:
    """Asks for an `answer_type`; `check` says what is wrong with one that has the right form.

    Raises UnusableAnswer where the second answer does not fit either, ModelUnavailable where there is none, and Stopped where a person says
    stop; `tokens` and `cost` count both.
    """
    given = to_jsonable_python(dict(variables))
    schema = _schema(answer_type)
    messages = render(purpose, given) if template is None else render_text(template, given)
    form = f"Answer with one JSON object that fits this JSON Schema, and nothing else:\n{schema}"
    messages = (*messages[:-1], Message(role="user", content=f"{messages[-1].content}\n\n{form}"))
    question = Question(purpose=purpose, variables=given, messages=messages, answer_schema=json.loads(schema))

    said: list[Completion] = []
    for last in (False, True):
        try:
            halting.check()
            said.append(model.complete(question))
        except (ModelUnavailable, Stopped) as error:
            error.tokens, error.cost = _sums(said, error.tokens, error.cost)
            raise
        answer = read(said[-1].text, answer_type, check)
        if isinstance(answer, str) and said[-1].stopped:
            answer = f"{answer}; {STOPPED[said[-1].stopped][0]}"
        if not isinstance(answer, str):
            tokens, cost = _sums(said)
            return Asked(answer, tokens, cost, sum(each.seconds for each in said), said[-1].model)
        if not last:
            shorter = ": say it shorter" if said[-1].stopped == "length" else ""
            question = _again(question, said[-1].text, answer + shorter)
    failed = UnusableAnswer(
        f"The model {said[-1].model} gave no usable answer to the question {purpose!r}.",
        why=f"Asked twice, its answer was still wrong: {answer}.",
        next_step=STOPPED[said[-1].stopped][1] if said[-1].stopped else "Try again, or set a more able model with SKILLOPS_MODEL.",
    )
    failed.tokens, failed.cost = _sums(said)
    raise failed


def read(text: str, answer_type: type[T], check: Callable[[T], str | None] | None = None) -> T | str:
    """The answer in `text` (all of it, or its one fenced block), or what is wrong with it in a few words."""
    whole = text.strip()
    if not whole:
        return "the answer is empty"
    if not whole.startswith("{"):
        blocks = _BLOCK.findall(whole)
        if len(blocks) != 1:
            return f"the answer is not one JSON object, it begins {whole[:120]!r}"
        whole = blocks[0]
    try:
        answer = answer_type.model_validate(from_json(whole, allow_inf_nan=False))
    except ValidationError as error:
        return "; ".join(_place(each) for each in error.errors(include_url=False)[:5])
    except (ValueError, TypeError) as error:  # TypeError: half a character, which is no text to the parser
        return f"the answer is not JSON: {error}"
    return (check(answer) if check else None) or answer


@lru_cache(maxsize=64)
def _schema(answer_type: type[BaseModel]) -> str:
    """The JSON Schema of an answer, as compact JSON."""
    return json.dumps(_bare(answer_type.model_json_schema()), separators=(",", ":"))


def _bare(schema: Any) -> Any:
    """Without the titles, which say each name once more. A property that is called title is no text, and stays."""
    if isinstance(schema, dict):
        return {key: _bare(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    return [_bare(each) for each in schema] if isinstance(schema, list) else schema


def _place(error: Any) -> str:
    where = ".".join(str(step) for step in error["loc"])
    return f"{where or 'the answer'}: {error['msg']}"[:400]


def _again(question: Question, text: str, problem: str) -> Question:
    """The same question with what was wrong. An empty answer is left out: providers refuse an empty message."""
    before = (Message(role="assistant", content=text[:LONGEST]),) if text.strip() else ()
    wrong = Message(
        role="user", content=f"That answer cannot be used.\n{fenced(problem, 'problem')}\nAnswer the question again, whole and corrected, as JSON."
    )
    return question.model_copy(
        update={"variables": {**question.variables, "problem": problem}, "messages": (*question.messages, *before, wrong)},
    )


def _sums(said: list[Completion], tokens: int = 0, cost: float = 0.0) -> tuple[int, float]:
    return tokens + sum(each.tokens for each in said), cost + sum(each.cost for each in said)


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters["data"] = fenced
    return environment
