"""The author's tests in the sandbox: what counts as passing, and what cannot make it look so."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.domain.check import Outcome, TestReport
from agent.errors import UsageError
from agent.languages.python import PythonLanguage
from agent.languages.python.testing import expected_tests
from agent.ports import SandboxResult, SandboxSpec
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from tests.builders import a_manifest

SANDBOX = BubblewrapSandbox()
SKILL = """
def words(text: str) -> list[str]:
    return text.split()


def execute(inputs, context):
    text = inputs["text"]
    if len(text) > 100:
        raise ValueError("too long")
    return {"words": len(words(text))}
"""
TESTS = """
import pytest
from skill import execute, words


@pytest.mark.parametrize(("text", "count"), [("", 0), ("a", 1), (" a b ", 2), ("x" * 100, 1)])
def test_counts(text, count):
    assert execute({"text": text}, {}) == {"words": count}


def test_splits():
    assert words("a b") == ["a", "b"]


def test_refuses():
    with pytest.raises(ValueError):
        execute({"text": "x" * 101}, {})
"""


@pytest.fixture
def run(tmp_path):
    """Runs the tests of a skill that is given as files."""

    def running(files: dict[str, str], **asked: object) -> TestReport:
        root = tmp_path / "word-count"
        for name, text in {"skill.py": SKILL, **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return PythonLanguage().run_tests(root, a_manifest(), SANDBOX, **asked)  # type: ignore[arg-type]

    return running


def outcomes(report: TestReport) -> dict[str, str]:
    return {test.id.partition("::")[2]: test.outcome for test in report.tests}


@pytest.mark.bubblewrap
class TestRunning:
    def test_good_tests_pass_cover_all_and_notice_gutting_and_mutants(self, run):
        report = run({"tests/test_skill.py": TESTS}, mutants=40, seed=1, gut=True)
        assert (report.problem, report.outcome, report.coverage, report.missed) == (None, Outcome.PASSED, 1.0, ())
        assert set(outcomes(report).values()) == {"passed"} and len(report.tests) == 6
        assert report.gutted_passes is False
        assert [mutant.change for mutant in report.mutants if not mutant.killed] == []
        assert len(report.mutants) >= 5
        assert {mutant.path for mutant in report.mutants} == {"skills/word-count/skill.py"}

    def test_the_seed_chooses_the_mutants(self, run):
        def chosen(seed: int) -> list[tuple[int, str]]:
            return [(mutant.line, mutant.change) for mutant in run({"tests/test_skill.py": TESTS}, mutants=3, seed=seed).mutants]

        assert chosen(1) == chosen(1) and len(chosen(1)) == 3
        assert any(chosen(seed) != chosen(1) for seed in (2, 3, 4))

    def test_tests_that_assert_nothing_are_found_out(self, run):
        tests = "from skill import execute\n\n\ndef test_runs():\n    execute({'text': 'a'}, {})\n"
        report = run({"tests/test_skill.py": tests}, mutants=10, seed=1, gut=True)
        assert report.gutted_passes is True
        assert report.coverage is not None and report.coverage < 1
        assert ("skills/word-count/skill.py", 9) in report.missed
        assert any(not mutant.killed for mutant in report.mutants)

    def test_lines_of_a_file_that_nothing_imports_are_missed(self, run):
        report = run({"tests/test_skill.py": TESTS, "other.py": "X = 1\nY = 2  # pragma: no cover\n"})
        assert report.missed == (("skills/word-count/other.py", 1), ("skills/word-count/other.py", 2))

    def test_a_mutant_that_never_ends_is_noticed(self, run):
        skill = "def execute(inputs, context):\n    n = 0\n    while n < 3:\n        n += 1\n    return {'words': n}\n"
        tests = "from skill import execute\n\n\ndef test_counts():\n    assert execute({}, {}) == {'words': 3}\n"
        report = run({"skill.py": skill, "tests/test_skill.py": tests}, mutants=40)
        assert {mutant.change: mutant.killed for mutant in report.mutants}["`n += 1` → `pass`"] is True

    def test_a_failure_says_why_and_where_and_reads_the_same_every_time(self, run):
        tests = (
            "from skill import execute\n\n\n"
            "def test_wrong(tmp_path):\n    assert execute({'text': 'a'}, {}) == {'words': object(), 'b': {'x', 'y', 'z'}}\n\n\n"
            "def test_raises():\n    execute({}, {})\n\n\n"
            "def test_path(tmp_path):\n    raise OSError(tmp_path)\n"
        )
        first, second = (run({"tests/test_skill.py": tests}) for _ in range(2))
        untimed = [[test.model_copy(update={"seconds": None}) for test in each.tests] for each in (first, second)]
        assert untimed[0] == untimed[1]
        assert first.model_copy(update={"tests": ()}) == second.model_copy(update={"tests": ()})
        wrong, raises, path = first.tests
        assert (wrong.path, wrong.line) == ("skills/word-count/tests/test_skill.py", 5) and "words" in wrong.message
        assert (raises.path, raises.line, raises.message) == ("skills/word-count/skill.py", 7, "KeyError: 'text'")
        assert "/tmp" not in path.message
        assert first.problem is None and first.coverage is None and first.mutants == ()

    def test_errors_outside_of_tests_are_told(self, run):
        tests = {"tests/test_a.py": "import nothing_like_it\n", "tests/test_b.py": "def test_(:\n", "tests/test_c.py": "def test_c():\n    pass\n"}
        report = run(tests)
        assert {test.id: (test.outcome, test.line) for test in report.tests} == {
            "tests/test_a.py": ("error", 1),
            "tests/test_b.py": ("error", 1),
            "tests/test_c.py::test_c": ("passed", None),
        }
        assert report.problem is None

    def test_the_authors_configuration_has_no_effect(self, run):
        breaks = "raise SystemExit('configured')\n"
        report = run(
            {
                "tests/test_skill.py": TESTS,
                "conftest.py": breaks,
                "tests/conftest.py": breaks,
                "sitecustomize.py": breaks,
                "hook.pth": f"import sys; {breaks}",
                "pytest.ini": "[pytest]\naddopts = --collect-only\n",
                "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-k nothing'\n[tool.coverage.run]\nomit = ['*']\n",
                "tox.ini": "[pytest]\naddopts = --collect-only\n",
                "setup.cfg": "[tool:pytest]\naddopts = --collect-only\n",
                ".coveragerc": "[report]\nexclude_lines = .\n",
            }
        )
        assert set(outcomes(report).values()) == {"passed"} and len(report.tests) == 6
        assert {path for path, _ in report.missed} == {"skills/word-count/conftest.py", "skills/word-count/sitecustomize.py"}

    @pytest.mark.parametrize(
        ("ending", "told"),
        [
            ("import os\n    os._exit(0)", "ended early, with status 0, in tests/test_skill.py::test_early"),
            ("import os\n    os.write(3, b'{}')", None),
            ("import os, signal\n    os.kill(os.getppid(), signal.SIGKILL)", "without a report"),
            ("import pytest\n    pytest.exit('enough')", "ended early"),
            ("import sys\n    print('1 passed')\n    sys.exit(0)", None),
        ],
    )
    def test_a_test_cannot_end_the_run_as_passed(self, run, ending, told):
        report = run({"tests/test_skill.py": f"def test_early():\n    {ending}\n\n\ndef test_late():\n    assert False\n"}, gut=True)
        failed = "failed" in outcomes(report).values()
        assert failed if told is None else told in (report.problem or "")
        assert report.outcome is (Outcome.PASSED if told is None else Outcome.FAILED)

    def test_a_test_cannot_tell_from_its_process_what_is_expected_of_it(self, run):
        """The suite asserts nothing of the skill: it fails where the frames, the objects or the modules of its process speak of a change."""
        tests = (
            "import gc\nimport os\nimport sys\n\n"
            "SIGNS = ('__main__Bed', '__main__Run', 'gutted.<locals>', 'mutant.<locals>', 'again.<locals>')\n\n\n"
            "def told():\n"
            "    frame = sys._getframe()\n"
            "    while frame:\n"
            "        yield from (repr(value) for name, value in frame.f_locals.items() if name != 'told')\n"
            "        frame = frame.f_back\n"
            "    yield from (repr(vars(found)) for found in sys.meta_path if hasattr(found, '__dict__') and type(found) is not type)\n"
            "    yield from (type(found).__module__ + type(found).__qualname__ for found in gc.get_objects())\n"
            "    yield from (found.__qualname__ for found in gc.get_objects() if type(found) is type(told) and found.__closure__)\n"
            "    yield from os.environ.values()\n\n\n"
            "def test_nothing_speaks():\n"
            "    import skill\n"
            "    try:\n        skill.execute({'text': ''}, {})\n    except Exception:\n        pass\n"
            "    assert [text[:80] for text in told() if any(sign in text for sign in SIGNS)] == []\n"
        )
        report = run({"tests/test_skill.py": tests}, mutants=40, seed=1, gut=True)
        assert (report.problem, outcomes(report)) == (None, {"test_nothing_speaks": "passed"})
        assert report.gutted_passes is True
        assert not any(mutant.killed for mutant in report.mutants)

    def test_a_report_that_is_forged_for_all_runs_makes_the_gutted_skill_pass(self, run):
        forged = (
            "import json\nimport os\n\nNAMES = ['test_one', 'test_two']\n"
            "for pipe in range(3, 64):\n"
            "    try:\n"
            "        for name in NAMES:\n"
            "            told = {'id': f'tests/test_skill.py::{name}', 'outcome': 'passed', 'message': ''}\n"
            "            os.write(pipe, json.dumps({'test': told}).encode() + b'\\n')\n"
            '        os.write(pipe, b\'{"coverage": {"skill.py": [9, []]}}\\n{"failed": false}\\n{"done": true}\\n\')\n'
            "    except OSError:\n"
            "        pass\n"
            "os._exit(0)\n\n\ndef test_one():\n    assert False\n\n\ndef test_two():\n    assert False\n"
        )
        report = run({"tests/test_skill.py": forged}, mutants=10, seed=1, gut=True)
        assert outcomes(report) == {"test_one": "passed", "test_two": "passed"}  # as it was forged
        assert report.gutted_passes is True and not any(mutant.killed for mutant in report.mutants)  # which the check refuses

    def test_a_suite_that_fails_whenever_it_is_not_run_as_a_whole_is_found_out(self, run):
        tests = (
            "import skill\n\n\ndef test_whole(request):\n    assert len(request.session.items) == 3\n"
            "    assert skill.execute({'text': 'a b'}, {})['words']\n\n\n"
            "def test_words():\n    skill.words('')\n\n\ndef test_more():\n    pass\n"
        )
        report = run({"tests/test_skill.py": tests}, mutants=10, seed=1, gut=True)
        assert report.problem is not None and "the same result every time" in report.problem

    def test_what_the_skill_tries_is_seen_where_its_tests_hide_it(self, run):
        skill = (
            "import os\nimport socket\n\n\ndef execute(inputs, context):\n    try:\n        socket.create_connection(('192.0.2.1', 80), 1)\n"
            "    except OSError:\n        pass\n    try:\n        os.system('true')\n        open('/etc/passwd', 'a')\n"
            "    except OSError:\n        pass\n"
            "    return {'words': 1}\n"
        )
        tests = "from skill import execute\n\n\ndef test_it():\n    assert execute({}, {}) == {'words': 1}\n"
        report = run({"skill.py": skill, "tests/test_skill.py": tests})
        seen = {(one.kind, one.what, one.line, one.declared) for one in report.tried}
        assert {("network", "socket.__new__", 7, False), ("process", "os.system", 11, False), ("files", "open", 12, False)} <= seen
        assert report.outcome is Outcome.PASSED and {one.source for one in report.tried} == {"sandbox"}

    def test_a_test_that_pytest_does_not_report_is_missed(self, run):
        report = run({"tests/test_skill.py": f"{TESTS}\n\ndef test_hidden():\n    assert False\n\n\ndel test_hidden\n"})
        assert report.problem == "these tests did not run: tests/test_skill.py::test_hidden"

    def test_tests_that_fail_when_run_again_kill_no_mutants(self, run):
        once = "import pathlib\n\n\ndef test_once():\n    seen = pathlib.Path('/tmp/seen')\n    assert not seen.exists()\n    seen.touch()\n"
        report = run({"tests/test_skill.py": f"{TESTS}\n\n{once}"}, mutants=4, gut=True)
        assert report.problem is not None and "the same result every time" in report.problem
        assert report.outcome is Outcome.FAILED

    def test_a_skill_whose_modules_are_called_like_ours_is_tested_as_its_own(self, run):
        names = {f"{name}.py": f"NAME = 'mine: {name}'\n" for name in ("gut", "mutate", "session", "testbed")}
        tests = "import gut\nimport mutate\nimport session\nimport testbed\n\n\ndef test_names():\n" + "".join(
            f"    assert {name}.NAME == 'mine: {name}'\n" for name in ("gut", "mutate", "session", "testbed")
        )
        report = run({"tests/test_skill.py": tests, **names})
        assert outcomes(report) == {"test_names": "passed"}

    def test_what_the_tests_may_use_is_limited(self, run):
        tests = (
            "import socket\n\n\n"
            "def test_memory():\n    bytearray(2_000_000_000)\n\n\n"
            "def test_network():\n    socket.create_connection(('192.0.2.1', 80), 1)\n"
        )
        assert outcomes(run({"tests/test_skill.py": tests})) == {"test_memory": "failed", "test_network": "failed"}


def test_no_tests_are_a_failure_and_run_nothing(run):
    report = run({"tests/helper.py": "def test_a(): pass\n"})
    assert report.outcome is Outcome.FAILED and report.problem is not None and "no test" in report.problem


def test_the_witness_is_never_where_the_tests_run(run):
    with pytest.raises(UsageError):
        run({"tests/test_skill.py": TESTS, "tests/witness.yaml": "cases: []\n"})


class Told:
    """A sandbox that says what it is told."""

    def __init__(self, result: SandboxResult) -> None:
        self._result = result

    def run(self, spec: SandboxSpec) -> SandboxResult:
        return self._result


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (SandboxResult(ending="could_not_tell"), Outcome.COULD_NOT_TELL),
        (SandboxResult(ending="timeout"), Outcome.FAILED),
        (SandboxResult(ending="out_of_memory"), Outcome.FAILED),
        (SandboxResult(ending="ok", result=b""), Outcome.FAILED),
        (SandboxResult(ending="ok", result=b"[1, 2"), Outcome.FAILED),
        (SandboxResult(ending="ok", result=b'{"tests": [{"id": 3}]}'), Outcome.FAILED),
        (SandboxResult(ending="ok", result=b'{"tests": [], "end": "done", "status": 0, "last": null}'), Outcome.FAILED),
        (SandboxResult(ending="ok", result=b"[" * 100_000), Outcome.FAILED),
    ],
)
def test_a_report_of_another_form_is_never_a_pass(tmp_path: Path, result, outcome):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_a():\n    pass\n")
    report = PythonLanguage().run_tests(tmp_path, a_manifest(), Told(result))  # type: ignore[arg-type]
    assert report.outcome is outcome and report.problem


def test_the_expected_tests_are_read_from_the_source(tmp_path):
    (tmp_path / "tests" / "deep").mkdir(parents=True)
    (tmp_path / "tests" / "test_a.py").write_text(
        "import pytest\nfrom unittest import TestCase\n\ndef test_one(): pass\nasync def test_two(): pass\ndef helper(): pass\n"
        "@pytest.fixture\ndef test_data(): pass\nclass TestIt:\n    def test_three(self): pass\n"
        "class TestMade:\n    def __init__(self, a): pass\n    def test_never(self): pass\nclass Old(TestCase):\n    def test_four(self): pass\n"
    )
    (tmp_path / "tests" / "deep" / "b_test.py").write_text("def test_five(): pass\n")
    (tmp_path / "tests" / "test_broken.py").write_text("def (\n")
    assert expected_tests(tmp_path) == (
        "tests/deep/b_test.py::test_five",
        "tests/test_a.py::test_one",
        "tests/test_a.py::test_two",
        "tests/test_a.py::TestIt::test_three",
        "tests/test_a.py::Old::test_four",
        "tests/test_broken.py",
    )
