"""A Skill: its manifest (`skill.yaml`), its versions, its examples, and the cases that test it from outside."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import total_ordering
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from agent.domain import Frozen
from agent.domain.permissions import Permissions as Permissions
from agent.domain.schema import Json, Schema, schema_error, violations
from agent.domain.variables import Variable

NAME_PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
NAME_LENGTH = 63
API_VERSION = "skillops/v1"
WITNESS_PATH = "tests/witness.yaml"

Runtime = Literal["python", "node", "go", "bash", "container", "workflow"]
Status = Literal["active", "deprecated", "retired"]
SkillName = Annotated[str, Field(pattern=NAME_PATTERN, max_length=NAME_LENGTH)]


def digest_of(value: Json) -> str:
    """`sha256:` and the hexadecimal SHA-256 of `value` as canonical JSON."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def tree_digest(files: Mapping[str, bytes]) -> str:
    """Identifies the content of a skill's files, the witness cases apart: `sha256:` and the hexadecimal hash."""
    hashed = hashlib.sha256()
    for path in sorted(files.keys() - {WITNESS_PATH}):
        hashed.update(f"{path}\0{len(files[path])}\0".encode(errors="surrogateescape") + files[path])
    return "sha256:" + hashed.hexdigest()


def _object_schema(schema: Schema) -> Schema:
    if problem := schema_error(schema):
        raise ValueError(problem)
    return schema


ObjectSchema = Annotated[Schema, AfterValidator(_object_schema)]


@total_ordering
class Version(Frozen):
    """A SemVer 2.0 version without pre-release or build parts (semver.org)."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version:
        match = re.fullmatch(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})", text)
        if not match:
            raise ValueError(f"{text!r} is not a version of the form 1.2.3")
        return cls(major=int(match[1]), minor=int(match[2]), patch=int(match[3]))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def __lt__(self, other: Version) -> bool:
        return (self.major, self.minor, self.patch) < (other.major, other.minor, other.patch)

    def next_minor(self) -> Version:
        return Version(major=self.major, minor=self.minor + 1, patch=0)

    def next_patch(self) -> Version:
        return Version(major=self.major, minor=self.minor, patch=self.patch + 1)


class Example(Frozen):
    """Inputs with the exact outputs that they give. Each runs against the built skill."""

    inputs: dict[str, Json]
    outputs: dict[str, Json]


class Expectation(Frozen):
    """What a case expects; exactly one of the three is set.

    `outputs`: exactly these. `properties`: a JSON Schema that the outputs fit. `error`: the skill answers
    `success: false` with this code, or with any code where it is `*`.
    """

    outputs: dict[str, Json] | None = None
    properties: Schema | None = None
    error: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Expectation:
        if sum(part is not None for part in (self.outputs, self.properties, self.error)) != 1:
            raise ValueError("exactly one of outputs, properties and error is expected")
        return self

    def unmet(self, success: bool, outputs: Json, error_code: str | None) -> str | None:
        """Why a reply does not meet this, in one sentence that quotes the reply, or None where it does."""
        if self.error is not None:
            if success:
                return f"expected the error {self.error!r}, got outputs"
            return None if self.error in ("*", error_code) else f"expected the error {self.error!r}, got {error_code!r}"
        if not success:
            return f"expected outputs, got the error {error_code!r}"
        if self.outputs is not None:
            return None if same_json(self.outputs, outputs) else f"expected {_short(self.outputs)}, got {_short(outputs)}"
        broken = violations(self.properties or {}, outputs, limit=1)
        return broken[0] if broken else None


class Case(Frozen):
    """One test from outside, as data: a witness case or a reviewer's reproducer, run through `/execute`.

    `clause` is the clause of the request that it tests, in words; it is all that the author is told when it fails.
    """

    name: str = Field(max_length=120)
    clause: str = Field(max_length=400)
    inputs: dict[str, Json]
    expect: Expectation

    def misfit(self, inputs: Schema, outputs: Schema, examples: Iterable[Example] = ()) -> str | None:
        """Why nothing that keeps this contract (two schemas, exact examples) could meet the case, or None."""
        if self.expect.error is not None:
            known = next((example for example in examples if same_json(example.inputs, self.inputs)), None)
            return "it expects an error where the contract has an example" if known else None
        if broken := violations(inputs, self.inputs, limit=1):
            return f"its inputs do not fit the schema, so only an error can be expected: {broken[0]}"
        if self.expect.properties is not None and (problem := schema_error(self.expect.properties)):
            return f"its properties are no schema of an object: {problem}"
        if self.expect.outputs is not None and (broken := violations(outputs, self.expect.outputs, limit=1)):
            return f"its outputs do not fit the schema: {broken[0]}"
        for example in examples:
            if same_json(example.inputs, self.inputs) and (unmet := self.expect.unmet(True, example.outputs, None)):
                return f"it contradicts an example of the contract: {unmet}"
        return None


_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
MEMORY, TIMEOUT = r"^[1-9]\d{0,5}(Ki|Mi|Gi)$", r"^[1-9]\d{0,2}s$"


def memory_bytes(memory: str) -> int:
    """256Mi as a number."""
    return int(memory[:-2]) * _UNITS[memory[-2:]]


class Resources(Frozen):
    """Limits: `memory` like 256Mi, `cpu` in cores, `timeout` of one call like 30s (at most 15 minutes)."""

    memory: Annotated[str, Field(pattern=MEMORY)] = "256Mi"
    cpu: Annotated[float, Field(gt=0, le=16)] = 0.5
    timeout: Annotated[str, Field(pattern=TIMEOUT)] = "30s"

    @property
    def memory_bytes(self) -> int:
        return memory_bytes(self.memory)

    @property
    def timeout_seconds(self) -> float:
        return float(self.timeout[:-1])


class Health(Frozen):
    """How the skill is probed; durations like 30s."""

    interval: Annotated[str, Field(pattern=r"^[1-9]\d{0,3}s$")] = "30s"
    timeout: Annotated[str, Field(pattern=r"^[1-9]\d{0,2}s$")] = "10s"
    retries: Annotated[int, Field(ge=1, le=20)] = 3


class Annotations(Frozen):
    """What a caller may assume; the words of MCP's tool annotations."""

    readOnly: bool = True
    idempotent: bool = True
    destructive: bool = False


class Manifest(Frozen):
    """`skill.yaml`, as the design lays it down. Examples must fit the schemas."""

    apiVersion: Literal["skillops/v1"]
    name: SkillName
    version: str
    description: str = Field(min_length=10, max_length=1024)
    status: Status = "active"
    runtime: Runtime = "python"
    entrypoint: str = "skill.py"
    inputs: ObjectSchema
    outputs: ObjectSchema
    examples: tuple[Example, ...] = Field(min_length=1, max_length=50)
    permissions: Permissions = Permissions()
    environment: dict[Variable, str] = {}
    dependencies: tuple[str, ...] = ()
    resources: Resources = Resources()
    health: Health = Health()
    annotations: Annotations = Annotations()
    aliases: tuple[Annotated[str, Field(max_length=80)], ...] = ()
    requires: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()

    @field_validator("version")
    @classmethod
    def _is_version(cls, version: str) -> str:
        return str(Version.parse(version))

    @field_validator("permissions")
    @classmethod
    def _own_server(cls, permissions: Permissions, info: ValidationInfo) -> Permissions:
        if permissions.personal and info.data.get("runtime") == "container":
            raise ValueError("the server of a container skill answers every neighbour, so it cannot have personal secrets")
        return permissions

    @field_validator("examples")
    @classmethod
    def _fit(cls, examples: tuple[Example, ...], info: ValidationInfo) -> tuple[Example, ...]:
        for number, example in enumerate(examples, 1):
            for what in ("inputs", "outputs"):
                # A schema that is not one is missing here: pydantic tells of it by itself.
                if what in info.data and (broken := violations(info.data[what], getattr(example, what), limit=1)):
                    raise ValueError(f"example {number}: its {what} do not fit the schema: {broken[0]}")
        return examples

    @property
    def semver(self) -> Version:
        return Version.parse(self.version)

    @property
    def apart(self) -> bool:
        """Whether each caller can have a server of their own, so that what a call leaves in memory or in a file is where nobody else's call
        comes. What a skill keeps on purpose is all its callers'; a `container` brings its own server, and a workflow runs none."""
        plain = self.permissions.storage == "none" and self.runtime not in ("container", "workflow")
        return bool(self.permissions.personal) or plain

    @property
    def contract(self) -> dict[str, Any]:
        """What a caller relies on: name, schemas, examples."""
        return {"name": self.name, "inputs": self.inputs, "outputs": self.outputs, "examples": [example.model_dump() for example in self.examples]}


def same_json(left: Json, right: Json) -> bool:
    """Equality of JSON values: true is not 1, and 1.0 is 1 (RFC 8259 knows one number type)."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same_json, left, right))
    return bool(left == right)


def _short(value: Json, limit: int = 200) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"
