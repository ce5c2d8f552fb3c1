"""The readers of outside data, each as a function of bytes that raises nothing: a refusal in words is an answer, anything else is a find."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent import prompts, slash
from agent.domain.gap import Gap
from agent.domain.invocation import Reply
from agent.domain.plan import Plan
from agent.domain.registry import Registry
from agent.draft import Draft
from agent.egress.rules import Rule, canonical
from agent.errors import SkillOpsError
from agent.forges.diffs import unified
from agent.forges.github_marks import unmarked
from agent.gateway import webhooks
from agent.journal import read_journal
from agent.languages.python import locking
from agent.manifest_file import read_manifest, read_policy, read_stand_ins, read_witness, write_manifest
from agent.markdown import plain
from agent.registry_file import parse, render
from reviewers.asking import Judgement
from tests.builders import a_manifest, an_entry
from tests.subjects import SKILL_YAML, WITNESS

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Target:
    """`seeds` are whole, valid texts, which the fuzzers take apart."""

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]

    def __call__(self, data: bytes) -> None:
        with contextlib.suppress(SkillOpsError):
            self.read(data)


def _manifest(data: bytes) -> None:
    """What was read is written so that it is read as the same."""
    manifest = read_manifest(data, "skill.yaml")
    assert read_manifest(write_manifest(manifest), "skill.yaml") == manifest


def _registry(data: bytes) -> None:
    registry = parse(data)
    assert parse(render(registry)) == registry


def _rule(data: bytes) -> None:
    text = data.decode(errors="replace")
    canonical(text)
    with contextlib.suppress(ValueError):
        assert Rule.parse(str(Rule.parse(text))) == Rule.parse(text)


def _lock(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / locking.LOCK).write_bytes(data)
        locking.findings(Path(folder), a_manifest(dependencies=["requests==2.32.3"]))


def _diff(data: bytes) -> None:
    old, _, new = data.partition(b"\xff")
    shown = unified("skills/a/skill.py", ("100644", old), ("100644", new))
    assert shown.startswith("diff --git") and all(line == "" or line[0] in "d+-@ \\nBo" for line in shown.split("\n"))


def _comment(data: bytes) -> None:
    text = data.decode(errors="replace")
    slash.read(text)
    plain(text)
    unmarked(text, "request")


def _answers(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    for form in (Draft, Gap, Plan, Judgement):
        prompts.read(text, form)


_LOCK = "requests==2.32.3 \\\n    --hash=sha256:" + "0" * 64 + "\n"
_DRAFT = {
    "code": [{"path": "skill.py", "content": "x"}],
    "tests": [{"path": "tests/test_a.py", "content": "x"}],
    "instructions": "Call it with a text.",
}
_PLAN = {"steps": [{"id": "a", "skill": "word-count", "inputs": {"text": {"$step": "b", "path": "/x"}}}]}
_DELIVERY = {"action": "rerequested", "check_run": {"id": 7}, "sender": {"login": "ada"}, "issue": {"number": 1}}
_MARKED = 'A text\n\n<!-- skillops:request {"key":"a"} -->'

TARGETS: dict[str, Target] = {
    "skill.yaml": Target(_manifest, (SKILL_YAML.encode(),)),
    "registry.yaml": Target(_registry, (render(Registry(revision=3, skills=(an_entry(),))).encode(),)),
    "policy.yaml": Target(lambda data: read_policy(data, "policy.yaml"), ((ROOT / "reviewers/policy.yaml").read_bytes(),)),
    "witness.yaml": Target(lambda data: read_witness(data, "witness.yaml"), (WITNESS.encode(),)),
    "stand-ins.yaml": Target(lambda data: read_stand_ins(data, "stand-ins.yaml"), ((ROOT / "skills/weather/tests/stand-ins.yaml").read_bytes(),)),
    "answers of models": Target(_answers, (json.dumps(_DRAFT).encode(), json.dumps(_PLAN).encode(), b'{"verdict": "approve"}')),
    "replies of skills": Target(Reply.parse, (b'{"success": true, "outputs": {"a": 1}}', b'{"success": false, "error": {"code": "a"}}')),
    "webhooks": Target(lambda data: webhooks.rerun_of("check_run", webhooks.read(data)), (json.dumps(_DELIVERY).encode(),)),
    "comments": Target(_comment, (b"/revise accept days\nand weeks", _MARKED.encode(), b"**a** @b #1 <i>x</i> ```y```")),
    "journals": Target(read_journal, (b'{"job": "check", "proposal": 7, "head": "' + b"a" * 40 + b'", "lines": []}',)),
    "hosts": Target(_rule, (b"api.example.com:443", b"*.example.com:443", b"[::1]:80")),
    "lock files": Target(_lock, (_LOCK.encode(),)),
    "diffs": Target(_diff, (b"a\nb\n\xffa\nc\n", b"\x00\xffx")),
}
