"""Who writes a proposal: code, tests and files that try to turn off, to cheat or to leave what judges them."""

from __future__ import annotations

import py_compile
import sys
import time
from pathlib import Path

import pytest

from agent.checks.scope import ScopeCheck
from agent.checks.security import SecurityCheck
from agent.checks.style import StyleCheck
from agent.checks.tests import TestsCheck
from agent.domain.check import CheckResult, Outcome
from agent.errors import HeadMoved, InvalidFile, Refused
from agent.forges.local import LocalForge
from agent.languages.python import PythonLanguage
from agent.manifest_file import read_manifest
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from reviewers import human
from tests.acceptance.harness import CODE, Home, answers
from tests.builders import a_proposal
from tests.plain_git import git
from tests.redteam.threats import threat
from tests.subjects import ToldBench, a_subject, skill_files

LANGUAGES = {"python": PythonLanguage()}
SANDBOX = BubblewrapSandbox()
WRONG = "def execute(inputs, context):\n    return {'words': 7}\n"
HONEST = "from skill import execute\n\n\ndef test_counts():\n    assert execute({'text': 'a b'}, {}) == {'words': 2}\n"


def judged(tmp_path: Path, files: dict[str, str]) -> CheckResult:
    """What the check of the tests makes of wrong code with these files. Their tests alone: no coverage, no mutants, no witness."""
    check = TestsCheck(LANGUAGES, SANDBOX, mutants=0, gut=True, witness=False, coverage=0.0)
    return check.run(a_subject(tmp_path, skill_files(**{"skill.py": WRONG, "tests/test_skill.py": HONEST, **files})), ToldBench())


@threat(17)
@pytest.mark.parametrize("excuse", ["# nosec", "# nosec B102", "# noqa", "# noqa: S102", "# type: ignore", "# pragma: no cover", "# bandit: skip"])
def test_an_excuse_in_a_comment_excuses_nothing(tmp_path: Path, excuse: str) -> None:
    code = f"{excuse}\ndef execute(inputs, context):\n    exec(inputs['text'])  {excuse}\n    return {{'words': 2}}\n"
    files = skill_files(
        **{"skill.py": code, ".bandit": "[bandit]\nskips: B102\n", "bandit.yaml": "skips: [B102]\n", "ruff.toml": "exclude = ['*']\n"}
    )
    result = SecurityCheck(LANGUAGES).run(a_subject(tmp_path, files), ToldBench())
    assert result.outcome is Outcome.FAILED and any(finding.line == 3 for finding in result.findings)


CONFIGURATION = {
    "conftest.py": "import pytest\n\n\n@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
    "    report = yield\n    report.outcome = 'passed'\n    return report\n",
    "tests/conftest.py": "def pytest_collection_modifyitems(items):\n    items.clear()\n",
    "sitecustomize.py": "import atexit, os\natexit.register(os._exit, 0)\n",
    "usercustomize.py": "import os\nos._exit(0)\n",
    "pytest.ini": "[pytest]\naddopts = --collect-only\n",
    "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-k nothing'\n",
    "tests/pytest.py": "def fixture(*a): pass\ndef main(*a): return 0\n",
}


@threat(18)
@pytest.mark.bubblewrap
def test_configuration_that_a_proposal_brings_has_no_effect(tmp_path: Path) -> None:
    assert judged(tmp_path, CONFIGURATION).outcome is Outcome.FAILED


@threat(19)
@pytest.mark.parametrize("path", ["skill.pth", "skill.pyc", "__pycache__/skill.cpython-311.pyc", "fast.so", "a.pyd", "lib.a", ".env", "x.whl"])
def test_what_is_loaded_without_being_read_is_no_part_of_a_skill(tmp_path: Path, path: str) -> None:
    data = b"import os; os.system('touch /tmp/sprung')\n" if path.endswith((".pth", ".env")) else b"\x7fELF\x00\x01"
    files = {**skill_files(), path: data}
    subject = a_subject(tmp_path, files)
    failed = [check.run(subject, ToldBench()) for check in (ScopeCheck(), SecurityCheck(LANGUAGES))]
    assert any(result.outcome is Outcome.FAILED and any(path in (finding.path or "") for finding in result.findings) for result in failed)


CHEATS = {
    "exits": "import os\nos._exit(0)\n",
    "exits in a test": HONEST.replace("    assert", "    import os; os._exit(0)\n    assert"),
    "kills pytest": HONEST.replace("    assert", "    import os, signal; os.kill(os.getppid(), signal.SIGTERM)\n    assert"),
    "skips": "import pytest\npytestmark = pytest.mark.skip\n" + HONEST,
    "expects to fail": "import pytest\npytestmark = pytest.mark.xfail\n" + HONEST,
    "hides": HONEST + "\n\ndel test_counts\n\n\ndef test_other():\n    pass\n",
    "prints": "print('1 passed in 0.01s')\nimport sys\nsys.exit(0)\n",
    "writes a report": HONEST.replace(
        "    assert",
        "    import os\n    for fd in range(3, 64):\n        try:\n"
        '            os.write(fd, b\'{"tests": [{"id": "tests/test_skill.py::test_counts", "outcome": "passed"}], "end": "done", "status": 0}\')\n'
        "        except OSError:\n            pass\n    os._exit(0)\n    assert",
    ),
}


SCANNERS = {
    ".bandit": "[bandit]\nskips: B102\nexclude: *\n", "bandit.yaml": "skips: [B102]\n",
    "ruff.toml": "exclude = ['*']\n", ".ruff.toml": "exclude = ['*']\n",
    "pyproject.toml": "[tool.ruff]\nexclude = ['*']\n[tool.bandit]\nskips = ['B102']\nexclude_dirs = ['.']\n[tool.mypy]\nignore_errors = true\n",
    "setup.cfg": "[flake8]\nexclude = *\n[bandit]\nskips = B102\n", "tox.ini": "[flake8]\nexclude = *\n", ".secrets.baseline": "{}",
    ".pre-commit-config.yaml": "repos: []\n", ".flake8": "[flake8]\nignore = E,F,S\n",
}  # fmt: skip


@pytest.mark.parametrize("name", SCANNERS)
def test_settings_of_scanners_that_a_proposal_brings_change_no_finding(tmp_path: Path, name: str) -> None:
    code = "import os\ndef execute(inputs,context):\n    exec(inputs['text'])\n    return {'words':2}\n"
    found = []
    for folder, files in (("with", {name: SCANNERS[name]}), ("without", {})):
        subject = a_subject(tmp_path / folder, skill_files(**{"skill.py": code, **files}))
        results = [check.run(subject, ToldBench()) for check in (SecurityCheck(LANGUAGES), StyleCheck(LANGUAGES))]
        assert {result.outcome for result in results} == {Outcome.FAILED}
        found.append([[each for each in result.findings if each.path and each.path.endswith("/skill.py")] for result in results])
    assert found[0] == found[1] and all(found[0])


@pytest.mark.bubblewrap
def test_a_planted_compiled_module_is_not_run_in_the_place_of_the_source(tmp_path: Path) -> None:
    """Right code, compiled so that Python would never look at the source (PEP 552, unchecked), beside wrong code."""
    (tmp_path / "right.py").write_text(CODE)
    cache = f"__pycache__/skill.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(str(tmp_path / "right.py"), str(tmp_path / "planted.pyc"), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    planted = (tmp_path / "planted.pyc").read_bytes()
    subject = a_subject(tmp_path, skill_files(**{"skill.py": WRONG, "tests/test_skill.py": HONEST, cache: planted, "skill.pyc": planted}))
    result = TestsCheck(LANGUAGES, SANDBOX, mutants=0, gut=False, witness=False, coverage=0.0).run(subject, ToldBench())
    assert result.outcome is Outcome.FAILED and ScopeCheck().run(subject, ToldBench()).outcome is Outcome.FAILED


@threat(20)
@pytest.mark.bubblewrap
@pytest.mark.parametrize("cheat", CHEATS)
def test_wrong_code_does_not_pass_by_how_its_tests_end(tmp_path: Path, cheat: str) -> None:
    assert judged(tmp_path, {"tests/test_skill.py": CHEATS[cheat]}).outcome is Outcome.FAILED


PATCHES = {
    "pytest": "import _pytest.runner\n_pytest.runner.pytest_runtest_call = lambda item: None\n",
    "assert": "import builtins\nbuiltins.AssertionError = type('Quiet', (BaseException,), {})\n",
    "the skill": "import skill\nskill.execute = lambda inputs, context: {'words': 2}\n",
    "eq": "import skill\n\n\nclass Any(dict):\n    def __eq__(self, other):\n        return True\n\n\n"
    "skill.execute = lambda inputs, context: Any()\n",
    "trace": "import sys\nsys.settrace(None)\nfor module in list(sys.modules.values()):\n    for name in ('killed', 'gutted', 'outcome'):\n"
    "        if hasattr(module, name):\n            setattr(module, name, True)\n",
}


@threat(21)
@pytest.mark.bubblewrap
@pytest.mark.parametrize("patch", PATCHES)
def test_tests_that_patch_their_examiner_or_the_skill_are_found_out(tmp_path: Path, patch: str) -> None:
    """Tests that pass whatever the skill does pass for a gutted one, too; and that is a failure of the check."""
    assert judged(tmp_path, {"tests/test_skill.py": f"{PATCHES[patch]}\n{HONEST}"}).outcome is Outcome.FAILED


ODD_SOURCES = {
    "bidirectional": "def execute(inputs, context):\n    # \u202e }return\u2066 only for tests\u2069\n    return {'words': 2}\n",
    "homoglyph": "def ехecute(inputs, context):\n    return {'words': 2}\n\n\ndef execute(inputs, context):\n    return {'words': 3}\n",
    "encoded": b"# -*- coding: utf-7 -*-\n+AGUAeABlAGM-('1')\ndef execute(inputs, context):\n    return {}\n",
    "byte order": b"\xff\xfed\x00e\x00f\x00",
    "nul": b"def execute(inputs, context):\n    return {}\n\x00exec('1')\n",
    "unparsable": "def execute(inputs, context:\n    return {}\n",
}


@threat(22)
@pytest.mark.parametrize("kind", ODD_SOURCES)
def test_source_that_reads_otherwise_than_it_runs_is_refused(tmp_path: Path, kind: str) -> None:
    subject = a_subject(tmp_path, skill_files(**{"skill.py": ODD_SOURCES[kind]}))
    results = [ScopeCheck().run(subject, ToldBench()), SecurityCheck(LANGUAGES).run(subject, ToldBench())]
    assert Outcome.FAILED in {result.outcome for result in results}


@threat(23)
def test_a_tree_of_gits_own_tricks_writes_nothing_and_is_no_skill(tmp_path: Path) -> None:
    """A link to the canary's folder, a submodule, and git's own folder in disguise, planted with git itself."""
    trap = tmp_path / "sprung"
    LocalForge.found(tmp_path / "origin.git")
    origin = tmp_path / "origin.git"
    hook = f"#!/bin/sh\ntouch {trap}\n".encode()
    blob = git(origin, "hash-object", "-w", "--stdin", stdin=hook).decode().strip()
    link = git(origin, "hash-object", "-w", "--stdin", stdin=str(tmp_path).encode()).decode().strip()
    inner = git(origin, "mktree", stdin=f"100755 blob {blob}\tpost-checkout\n".encode()).decode().strip()
    rows = [f"120000 blob {link}\tout", f"160000 commit {'1' * 40}\tsub", f"040000 tree {inner}\tGIT~1", f"040000 tree {inner}\t.g\u200cit",
            f"100644 blob {blob}\tskill.py", f"100644 blob {blob}\ta\\..\\b", f"100755 blob {blob}\trun.sh"]  # fmt: skip
    tree = git(origin, "mktree", "--missing", stdin=("\n".join(rows) + "\n").encode()).decode().strip()
    for name in ("word-count", "skills"):
        tree = git(origin, "mktree", stdin=f"040000 tree {tree}\t{name}\n".encode()).decode().strip()
    head = git(origin, "commit-tree", tree, "-m", "x").decode().strip()
    git(origin, "update-ref", "refs/heads/evil", head)
    forge = LocalForge(origin)

    files = forge.files(head, "skills/word-count")
    subject = a_subject(tmp_path, dict(files), changes=tuple(forge.changes(head, head)) or ())

    assert set(files) <= {"skill.py", "run.sh"} and not (subject.root / "out").exists()
    assert not trap.exists() and not list(tmp_path.rglob("post-checkout"))


@threat(24)
def test_the_policy_that_counts_is_the_one_of_the_base(tmp_path: Path) -> None:
    home = Home.founded(tmp_path / "skills", answers()).bare()
    home.write_policy(autonomy="manual", approvers=["bob"])
    number = home.propose_by_hand("mallory").number
    head = home.proposal(number).head
    branch = home.proposal(number).branch
    easy = b'{"apiVersion": "skillops/v1", "autonomy": "automatic", "quorum": {"low": 0, "medium": 0, "high": 0}, "self_approval": true}'
    home.forge.commit(branch, {"reviewers/policy.yaml": easy}, parent=head, message="Easier", author="mallory")

    home.run()

    assert home.parts.policy().autonomy == "manual" and home.proposal(number).state == "open"
    with pytest.raises(Refused):
        home.says("approve", number, person="mallory")


@threat(25)
def test_what_is_pushed_after_the_approval_is_not_what_was_approved(tmp_path: Path) -> None:
    home = Home.founded(tmp_path / "skills", answers()).bare()
    home.write_policy(autonomy="manual", approvers=["bob"])
    number = home.propose_by_hand("mallory").number
    home.run()
    home.says("approve", number)
    before = home.proposal(number)
    evil = CODE.replace("split()", "split('x')").encode()
    home.forge.commit(before.branch, {"skills/word-count/skill.py": evil}, parent=before.head, message="More", author="mallory")

    home.run()

    assert home.proposal(number).state == "open" and home.forge.head("main") != home.proposal(number).head
    with pytest.raises(HeadMoved):
        home.forge.merge(number, expected_head=before.head, message="x", author="skillops-deployer")
    assert "skill.py" not in home.forge.files("main", "skills/word-count")


@threat(26)
@pytest.mark.parametrize("person", ["mallory", "skillops-author", "skillops-witness", "skillops-deployer", "skillops", "eve"])
def test_nobody_approves_what_they_wrote_nor_one_of_our_own_identities(person: str, tmp_path: Path) -> None:
    home = Home.founded(tmp_path / "skills", answers()).bare()
    home.write_policy(autonomy="manual", approvers=["bob", "mallory"])
    proposal = a_proposal(author="mallory", kind="person")
    with pytest.raises(Refused):
        human.judge("approve", proposal, person, home.parts.policy(), "fine")


BOMBS = {
    "aliases": "a: &a [x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)),
    "deep": "a: " + "[" * 50_000,
    "deep map": "\n".join(" " * n + "a:" for n in range(3000)),
    "tag": "a: !!python/object/apply:os.system ['touch /tmp/sprung']\n",
    "twice": "name: good\nname: evil\n",
    "long": "a: " + "x" * 20_000_000,
    "merge": "a: &a {b: 1}\nc: {<<: *a}\n",
    "many": "\n".join(f"k{n}: 1" for n in range(300_000)),
}


@threat(27)
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_manifest_that_is_a_bomb_is_refused_in_time(bomb: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidFile):
        read_manifest(BOMBS[bomb].encode(), "skill.yaml")
    assert time.process_time() - started < 10
