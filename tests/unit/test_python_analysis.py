"""Style and security of a skill's folder: what is found, where, and what cannot switch it off."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.languages.python import PythonLanguage
from tests.builders import a_manifest

PYTHON = PythonLanguage()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "word-count"
    for name, data in PYTHON.template(a_manifest()).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_the_template_is_clean(root):
    assert PYTHON.style(root) == ()
    assert PYTHON.security(root) == ()


def test_a_style_fault_has_its_rule_and_place(root):
    (root / "skill.py").write_text("import os\n\n\ndef execute(inputs, context):\n    return {}\n")
    (found,) = PYTHON.style(root)
    assert (found.rule, found.path, found.line) == ("F401", "skills/word-count/skill.py", 1)


def test_code_that_is_not_formatted_is_found_and_tidied(root):
    (root / "skill.py").write_text("import json, re\ndef execute(inputs,context):\n  return {'a':json.dumps(re.findall('a','b'))}\n")
    (root / "skill.py").chmod(0o444)
    assert {finding.rule for finding in PYTHON.style(root)} >= {"E401", "format"}
    PYTHON.tidy(root)
    assert PYTHON.style(root) == ()


def test_nothing_in_the_folder_switches_the_style_off(root):
    (root / "build").mkdir()
    (root / "build" / "hidden.py").write_text("import os\n")
    (root / "skill.py").write_text("# ruff: noqa\nimport re  # noqa\n")
    (root / "ruff.toml").write_text("exclude = ['*']\n")
    (root / "pyproject.toml").write_text("[tool.ruff]\nextend-exclude = ['*']\n")
    (root / ".gitignore").write_text("*\n")
    found = {(finding.path, finding.rule) for finding in PYTHON.style(root)}
    assert found >= {("skills/word-count/skill.py", "F401"), ("skills/word-count/build/hidden.py", "F401")}


def test_a_file_that_is_no_python_is_only_that(root):
    (root / "skill.py").write_text("def execute(:\n")
    assert {(finding.rule, finding.path) for finding in PYTHON.style(root)} == {("invalid-syntax", "skills/word-count/skill.py")}


def test_bandit_and_our_rules_both_speak_and_nosec_is_not_heard(root):
    (root / "skill.py").write_text("import pickle\nimport subprocess  # nosec\n\nDATA = pickle.loads(b'a')  # nosec\n")
    blocking = {(finding.rule, finding.line) for finding in PYTHON.security(root) if finding.level == "error"}
    assert blocking == {("skillops-process", 2), ("skillops-dynamic-code", 4), ("B301", 4)}


@pytest.mark.parametrize(
    "source",
    [
        "import random\n\n\ndef execute(inputs, context):\n    assert inputs\n    return {'n': random.random()}\n",
        "import xml.etree.ElementTree as tree\n\n\ndef execute(inputs, context):\n    return {'tag': tree.fromstring(inputs['xml']).tag}\n",
        "def execute(inputs, context):\n    try:\n        return {'n': int(inputs['n'])}\n    except ValueError:\n        pass\n    return {}\n",
        "import hashlib\n\n\ndef execute(inputs, context):\n    return {'md5': hashlib.md5(b'', usedforsecurity=False).hexdigest()}\n",
        "import tempfile\n\n\ndef execute(inputs, context):\n    with tempfile.TemporaryDirectory() as folder:\n        return {'f': folder}\n",
    ],
)
def test_ordinary_code_is_not_blocked(root, source):
    (root / "skill.py").write_text(source)
    assert [finding for finding in PYTHON.security(root) if finding.level == "error"] == []


@pytest.mark.parametrize("source", [b"def (:\n", b"\0", b"# coding: rot13\nvzcbeg bf\n", b"\xff\xfe", b"x = " + b"(" * 5000 + b")" * 5000])
def test_what_cannot_be_read_does_not_pass(root, source):
    (root / "skill.py").write_bytes(source)
    assert [finding.rule for finding in PYTHON.security(root) if finding.level == "error"] == ["skillops-unreadable"]


def test_compiled_and_start_up_code_is_found(root):
    for name in ("fast.so", "skill.pyc", "tests/hook.pth", "sitecustomize.py"):
        (root / name).write_bytes(b"")
    found = [finding.path for finding in PYTHON.security(root) if finding.rule == "skillops-hidden-code"]
    assert found == [f"skills/word-count/{name}" for name in ("fast.so", "sitecustomize.py", "skill.pyc", "tests/hook.pth")]


def test_the_manifest_says_whether_the_network_may_be_used(root):
    (root / "skill.py").write_text("import socket\n\nprint(socket.gethostname())\n")
    assert [finding.rule for finding in PYTHON.security(root)] == ["skillops-network", "skillops-network"]
    (root / "skill.yaml").write_text("permissions: {network: ['api.example.com:443']}\n")
    assert PYTHON.security(root) == ()
