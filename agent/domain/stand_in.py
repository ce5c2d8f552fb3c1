"""A stand-in: a scripted server for a host that a skill declares, as data (`tests/stand-ins.yaml`). In a trial it answers in the host's place."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from agent.domain import Frozen
from agent.domain.schema import Json, violations
from agent.domain.skill import Manifest, SkillName, same_json
from agent.egress.rules import Rule, allows

STAND_INS_PATH = "tests/stand-ins.yaml"
TLS_PORTS = frozenset((443, 465, 636, 853, 993, 995, 8443))
LONGEST_LINE = 4096  # characters of a dialogue's line
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)(\.\.\.)?\}")


def _exact_host(text: str) -> str:
    try:
        rule = Rule.parse(text)
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from None
    if not rule.exact:
        raise ValueError(f"{text!r} is a wildcard; a stand-in is for one host, like api.example.com:443")
    return text


class HttpReply(Frozen):
    """What a route answers: a text or a JSON document, or nothing."""

    status: int = Field(default=200, ge=200, le=599)
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], Annotated[str, Field(pattern=r"^[^\r\n\x00]*$")]] = {}
    body: str | None = None
    json_body: Json = Field(default=None, alias="json")

    @model_validator(mode="after")
    def _one_body(self) -> HttpReply:
        if {"body", "json_body"} <= self.model_fields_set:
            raise ValueError("a reply has a body or json, not both")
        return self


class Route(Frozen):
    """One answer of an HTTP server, to the requests that it fits: the method, the path, and whatever else is given.

    `query`: exactly these values. `headers`: these among the request's. `body`: exactly this text; `json`: this document.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: str = Field(pattern=r"^/[^?#\s]*$", max_length=2000)
    query: dict[str, str] | None = None
    headers: dict[str, str] = {}
    body: str | None = None
    json_body: Json = Field(default=None, alias="json")
    reply: HttpReply

    @property
    def wants_json(self) -> bool:
        return "json_body" in self.model_fields_set


class Step(Frozen):
    """One turn of a dialogue in lines: to a line like `expect` the server says `send`, then ends the connection where `close`.

    `expect` is words parted by single spaces, in which capitals do not matter; `{tag}` stands for any word or a part of one,
    `{rest...}` at the end for whatever follows. `send` may use these names. A step without `expect` is the greeting. Where several steps
    expect the same, the first answers the first such line of a connection, and so on; the last answers all that follow.
    """

    expect: str | None = Field(default=None, max_length=LONGEST_LINE)
    send: str = Field(default="", max_length=2**18)
    close: bool = False

    @model_validator(mode="after")
    def _matchable(self) -> Step:
        for word in (words := (self.expect or "").split(" ")):
            places = list(_PLACE.finditer(word))
            if len(places) > 1:
                raise ValueError(f"{word!r} has two places; a word has one at most")
            if places and places[0][2] and (word is not words[-1] or places[0][0] != word):
                raise ValueError(f"{places[0][0]} stands alone, at the end")
        return self

    def match(self, line: str) -> dict[str, str] | None:
        """What the names stand for, where the line is like `expect`. In linear time: both come from whoever wrote the skill."""
        if self.expect is None:
            return None
        expected, said = self.expect.split(" "), line.split(" ")
        found: dict[str, str] = {}
        for number, word in enumerate(expected):
            place = _PLACE.search(word)
            if place and place[2]:
                return {**found, place[1]: " ".join(said[number:])}
            if number >= len(said) or not _same_word(word, place, said[number], found):
                return None
        return found if len(expected) == len(said) else None

    def answer(self, names: Mapping[str, str]) -> str:
        """`send` with the names filled in; braces with anything else in them stay."""
        return _PLACE.sub(lambda place: names.get(place[1], place[0]), self.send)


def _same_word(word: str, place: re.Match[str] | None, said: str, found: dict[str, str]) -> bool:
    if place is None:
        return word.casefold() == said.casefold()
    before, after = word[: place.start()], word[place.end() :]
    inside = said[len(before) : len(said) - len(after)]
    if not inside or said[: len(before)].casefold() != before.casefold() or (before + inside + after).casefold() != said.casefold():
        return False
    found[place[1]] = inside
    return True


class StandIn(Frozen):
    """One host's script: HTTP routes, of which the first that fits answers, or a dialogue. `tls` is as usual for the port where it is not said."""

    host: Annotated[str, AfterValidator(_exact_host)]
    tls: bool | None = None
    routes: tuple[Route, ...] = Field(default=(), max_length=200)
    dialogue: tuple[Step, ...] = Field(default=(), max_length=200)

    @model_validator(mode="after")
    def _one_script(self) -> StandIn:
        if bool(self.routes) == bool(self.dialogue):
            raise ValueError("a stand-in has either routes (HTTP) or a dialogue (lines over TCP)")
        if any(step.expect is None for step in self.dialogue[1:]):
            raise ValueError("only the first step of a dialogue may do without `expect`")
        return self

    @property
    def place(self) -> tuple[str, int]:
        host, _, port = self.host.rpartition(":")
        return host, int(port)

    @property
    def encrypted(self) -> bool:
        return self.place[1] in TLS_PORTS if self.tls is None else self.tls


class SkillError(Frozen):
    """As a skill answers it over /execute."""

    code: str = Field(min_length=1, max_length=80)
    message: str = Field(default="", max_length=2000)


class Answer(Frozen):
    """What a required skill answers to exactly these inputs: outputs or an error. Without `inputs`: to any."""

    inputs: dict[str, Json] | None = None
    outputs: dict[str, Json] | None = None
    error: SkillError | None = None

    @model_validator(mode="after")
    def _one_answer(self) -> Answer:
        if (self.outputs is None) == (self.error is None):
            raise ValueError("an answer has either outputs or an error")
        return self


class SkillStandIn(Frozen):
    """One required skill's script: the first answer to the inputs counts. Where none is, a trial of the skill itself answers."""

    name: SkillName
    answers: tuple[Answer, ...] = Field(min_length=1, max_length=200)


class StandIns(Frozen):
    """`tests/stand-ins.yaml`."""

    apiVersion: Literal["skillops/v1"] = "skillops/v1"
    kind: Literal["StandIns"] = "StandIns"
    hosts: tuple[StandIn, ...] = Field(default=(), max_length=50)
    skills: tuple[SkillStandIn, ...] = Field(default=(), max_length=50)

    @model_validator(mode="after")
    def _each_once(self) -> StandIns:
        places = [one.host for one in self.hosts]
        if twice := next((place for place in places if places.count(place) > 1), None):
            raise ValueError(f"{twice} has two stand-ins")
        names = [one.name for one in self.skills]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice} has two stand-ins")
        return self

    def answer_of(self, skill: str, inputs: Json) -> Answer | None:
        """What the script has a required skill answer to `inputs`, where it says."""
        answers = (answer for one in self.skills if one.name == skill for answer in one.answers)
        return next((answer for answer in answers if answer.inputs is None or same_json(answer.inputs, inputs)), None)

    def misfits(self, network: tuple[str, ...]) -> Iterator[tuple[int, str]]:
        """The stand-ins, by number, for hosts that the manifest does not declare, and why each is wrong."""
        rules = [Rule.parse(entry) for entry in network]
        for number, one in enumerate(self.hosts):
            if not allows(rules, *one.place):
                yield number, f"{one.host} is not declared in permissions.network"

    def unlike(self, required: Collection[str], manifest: Callable[[str], Manifest | None]) -> Iterator[tuple[int, str]]:
        """The stand-ins, by number, for skills that are not required, or that answer what the skill itself never would; and why."""
        for number, one in enumerate(self.skills):
            if one.name not in required:
                yield number, f"{one.name} is not required"
            elif there := manifest(one.name):
                for answer in one.answers:
                    wrong = violations(there.inputs, answer.inputs, limit=1) if answer.inputs is not None else []
                    wrong = wrong or (violations(there.outputs, answer.outputs, limit=1) if answer.outputs is not None else [])
                    if wrong:
                        yield number, f"{one.name} {there.version} is not called like that, or does not answer so: {wrong[0]}"

    def missing(self, network: tuple[str, ...]) -> tuple[str, ...]:
        """What the manifest declares and no stand-in answers for."""
        return tuple(entry for entry in network if not any(Rule.parse(entry).matches(*one.place) for one in self.hosts))


NO_STAND_INS = StandIns()
