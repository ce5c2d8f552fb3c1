"""skill.yaml, tests/witness.yaml, tests/stand-ins.yaml and reviewers/policy.yaml: bytes <-> things. What cannot be read is an InvalidFile."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from pydantic import Field

from agent.domain import Frozen
from agent.domain.decision import Policy
from agent.domain.dispute import Struck
from agent.domain.schema import Json
from agent.domain.skill import API_VERSION, Case, Manifest
from agent.domain.stand_in import StandIns
from agent.strict_yaml import dump, load_as

# Written even where they are the default: what a person looks for first, and edits.
ALWAYS = ("status", "runtime", "entrypoint", "permissions")
SMALL = 2**14  # bytes of a file that is not parsed again while it is the same


class _Witness(Frozen):
    apiVersion: Literal["skillops/v1"]
    kind: Literal["Witness"]
    gap: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    cases: tuple[Case, ...]
    struck: tuple[Struck, ...] = ()


def read_manifest(data: bytes, path: str) -> Manifest:
    """`skill.yaml`. Raises InvalidFile with the line, and what was expected there."""
    return _manifest(data, path) if len(data) <= SMALL else load_as(Manifest, data, path)


def write_manifest(manifest: Manifest) -> bytes:
    """`skill.yaml` in the order of the design; what is as by default and says nothing is left out."""
    full, said = manifest.model_dump(mode="json"), manifest.model_dump(mode="json", exclude_defaults=True)
    return dump({key: full[key] if key in ALWAYS else said[key] for key in full if key in said or key in ALWAYS}).encode()


def read_witness(data: bytes, path: str) -> tuple[str | None, tuple[Case, ...]]:
    """The digest of the Gap that the cases were written from, where it is said, and the cases. Raises InvalidFile."""
    witness = load_as(_Witness, data, path)
    return witness.gap, witness.cases


def read_struck(data: bytes, path: str) -> tuple[Struck, ...]:
    """The cases that were taken out of the others. Raises InvalidFile."""
    return load_as(_Witness, data, path).struck


def write_witness(gap_digest: str, cases: Sequence[Case], struck: Sequence[Struck] = ()) -> bytes:
    """`tests/witness.yaml`; the same cases give the same bytes. ValueError where a case holds what YAML cannot (NaN, lone surrogates)."""
    written = {"apiVersion": API_VERSION, "kind": "Witness", "gap": gap_digest, "cases": [_case(case) for case in cases]}
    gone = [{"case": _case(each.case), "quote": each.quote, "why": each.why} for each in struck]
    return dump(written | ({"struck": gone} if gone else {})).encode()


def witness_digest(data: bytes) -> str:
    """`sha256:` and the hexadecimal SHA-256 of the file as it lies."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def read_stand_ins(data: bytes, path: str) -> StandIns:
    """`tests/stand-ins.yaml`. Raises InvalidFile with the line, and what was expected there."""
    return load_as(StandIns, data, path)


def read_policy(data: bytes, path: str) -> Policy:
    """`reviewers/policy.yaml`; keys that are left out are as by default. Raises InvalidFile."""
    return _policy(data, path) if len(data) <= SMALL else load_as(Policy, data, path)


@lru_cache(maxsize=1024)
def _manifest(data: bytes, path: str) -> Manifest:
    return load_as(Manifest, data, path)


@lru_cache(maxsize=8)
def _policy(data: bytes, path: str) -> Policy:
    return load_as(Policy, data, path)


def _case(case: Case) -> dict[str, Json]:
    """The one expectation that is set; `exclude_none` would also drop a null that an output is expected to be."""
    expect = {key: value for key, value in case.expect if value is not None}
    return {"name": case.name, "clause": case.clause, "inputs": case.inputs, "expect": expect}
