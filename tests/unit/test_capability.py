"""What a skill's code can do, held against what its manifest declares and what the version before it could."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.checks.security import SecurityCheck
from agent.domain.capability import Capability, compared, first_of, told
from agent.domain.check import CheckReport, CheckResult, Outcome
from agent.domain.decision import Policy
from agent.domain.risk import risk_of
from agent.languages.bash import BashLanguage
from agent.languages.container import ContainerLanguage
from agent.languages.go import GoLanguage
from agent.languages.node import NodeLanguage
from agent.languages.python import PythonLanguage
from agent.messages import permissions_sentence, progress_comment
from tests.builders import HEAD, a_manifest
from tests.subjects import SKILL_YAML, ToldBench, a_subject, skill_files

FETCHING = b'import urllib.request\n\n\ndef execute(inputs: dict, context: dict) -> dict:\n    return {"words": len(urllib.request.urlopen("https://a.example").read())}\n'
DECLARED = SKILL_YAML + "permissions: {network: ['a.example:443']}\n"


def checked(tmp_path: Path, files: dict[str, bytes], base: dict[str, bytes] | None = None, runtime: Any = None) -> CheckResult:
    return SecurityCheck({"python": runtime or PythonLanguage()}).run(a_subject(tmp_path, files, base_files=base or {}), ToldBench())


def can(result: CheckResult) -> set[tuple[str, str, bool, bool]]:
    return {(one.kind, one.what, one.declared, one.gained) for one in result.capabilities}


def test_code_that_only_computes_can_do_nothing(tmp_path: Path) -> None:
    result = checked(tmp_path, skill_files())
    assert (result.outcome, result.capabilities) == (Outcome.PASSED, ())
    assert result.summary.endswith("which reaches nothing beyond its inputs.")


def test_what_is_declared_is_told_and_passes(tmp_path: Path) -> None:
    result = checked(tmp_path, skill_files(**{"skill.yaml": DECLARED, "skill.py": FETCHING.decode()}))
    assert result.outcome is Outcome.PASSED and can(result) == {("network", "urllib.request", True, False)}
    assert "network (urllib.request), as declared" in result.summary
    assert [(one.path, one.line) for one in result.capabilities] == [("skills/word-count/skill.py", 1)]


def test_what_is_not_declared_fails_with_its_file_and_line(tmp_path: Path) -> None:
    result = checked(tmp_path, skill_files(**{"skill.py": FETCHING.decode()}))
    assert result.outcome is Outcome.FAILED and can(result) == {("network", "urllib.request", False, False)}
    assert ("skillops-network", "skills/word-count/skill.py", 1) in {(finding.rule, finding.path, finding.line) for finding in result.findings}


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("process", "import subprocess"), ("native code", "import ctypes"), ("dynamic code", "eval('1')"), ("files", "open('/etc/passwd')"),
        ("environment", "import os; os.environ['HOME']"),
    ],
)  # fmt: skip
def test_no_manifest_has_a_word_for_the_rest(tmp_path: Path, kind: str, line: str) -> None:
    result = checked(tmp_path, skill_files(**{"skill.yaml": DECLARED, "skill.py": f"{line}\n"}))
    assert result.outcome is Outcome.FAILED and {(one.kind, one.declared) for one in result.capabilities} == {(kind, False)}


def test_a_version_that_can_do_more_says_so_first(tmp_path: Path) -> None:
    result = checked(tmp_path, skill_files(**{"skill.yaml": DECLARED, "skill.py": FETCHING.decode()}), base=skill_files())
    assert can(result) == {("network", "urllib.request", True, True)}
    assert result.summary.startswith("It can do more than word-count 1.0.0: network (urllib.request).")
    assert progress_comment(CheckReport(head=HEAD, results=(result,)), (), None).startswith(
        "**It can do more than the version before it:** network (urllib.request)\n\n- network: `urllib.request` at `skills/word-count/skill.py:1`"
    )


def test_a_version_that_can_do_what_the_one_before_could_gains_nothing(tmp_path: Path) -> None:
    files = skill_files(**{"skill.yaml": DECLARED, "skill.py": FETCHING.decode()})
    result = checked(tmp_path, files, base=files)
    assert can(result) == {("network", "urllib.request", True, False)}
    assert progress_comment(CheckReport(head=HEAD, results=(result,)), (), None).startswith("| what ")


def test_a_skill_that_keeps_data_says_so(tmp_path: Path) -> None:
    code = "import os\nfrom pathlib import Path\n\nPLACE = Path(os.environ['SKILL_STORAGE'])\n"
    files = skill_files(**{"skill.yaml": SKILL_YAML + "permissions: {storage: persistent}\n", "skill.py": code})
    assert can(checked(tmp_path, files, base=skill_files())) == {("files", "$SKILL_STORAGE", True, True)}


def test_what_tests_do_is_no_capability_of_the_skill(tmp_path: Path) -> None:
    assert checked(tmp_path, skill_files(**{"tests/test_more.py": "import os\n\nprint(os.environ)\n"})).capabilities == ()


def test_a_widening_goes_to_a_person_by_policy() -> None:
    gained = (Capability(kind="network", what="urllib.request", declared=True, gained=True),)
    same = a_manifest()
    assert risk_of(same, same, Policy())[0] == "low"
    risk, reasons = risk_of(same, same, Policy(), gained)
    assert (risk, reasons) == ("high", ("can do more than before: network (urllib.request)",)) and Policy().asks_person(risk)


def test_what_a_manifest_asks_for_beyond_the_one_before_comes_first() -> None:
    before, now = a_manifest().permissions, a_manifest(permissions={"network": ["a.example:443"]}).permissions
    assert permissions_sentence(now, before).startswith("**It asks for more than the version before it: network a.example:443.**")
    assert permissions_sentence(now, now) == permissions_sentence(now)


def test_each_thing_is_told_once_where_it_is_first_done() -> None:
    found = [Capability(kind="files", what="os.remove", path="b.py", line=3), Capability(kind="files", what="os.remove", path="a.py", line=9)]
    assert first_of(found) == (found[1],)
    assert told(compared(first_of(found), ())) == "files (os.remove)"


def test_a_container_can_do_whatever_its_image_can(tmp_path: Path) -> None:
    assert ContainerLanguage().capabilities(tmp_path)[0].what == "its own image"


@pytest.mark.parametrize(
    ("language", "name", "source", "what"),
    [
        pytest.param(NodeLanguage(), "skill.js", "const http = require('node:http');\n", "http", marks=pytest.mark.node_tools),
        pytest.param(GoLanguage(), "skill.go", 'package skill\n\nimport "net/http"\n\nvar Get = http.Get\n', "net/http", marks=pytest.mark.go_tools),
        pytest.param(BashLanguage(), "skill.sh", "curl https://a.example\n", "curl", marks=pytest.mark.bash_tools),
    ],
)
def test_every_language_tells_it_alike(tmp_path: Path, language: Any, name: str, source: str, what: str) -> None:
    for folder, manifest, declared in (("plain", SKILL_YAML, False), ("declaring", DECLARED, True)):
        root = tmp_path / folder
        root.mkdir()
        (root / "skill.yaml").write_text(manifest)
        (root / name).write_text(source)
        (one,) = language.capabilities(root)
        assert (one.kind, one.what, one.declared, one.path) == ("network", what, declared, f"skills/{folder}/{name}")
