"""The author's Bash tests in the sandbox: what counts as passing, and what cannot make it look so."""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest

from agent.domain.check import Outcome, TestReport
from agent.errors import CouldNotTell, Refused
from agent.languages.bash import BashLanguage, toolchain
from agent.languages.bash.testing import HERE, expected_tests
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from tests.builders import a_manifest

pytestmark = pytest.mark.bash_tools

SANDBOX = BubblewrapSandbox()
MANIFEST = a_manifest(runtime="bash", entrypoint="skill.sh")
SKILL = """\
set -euo pipefail
source "$(dirname "$0")/lib/words.sh"

fail() {
  jq --null-input --compact-output --arg code "$1" --arg message "$2" '{code: $code, message: $message}' >&2
  exit 1
}

text=$(jq --raw-output .text)
if [[ ${#text} -gt 10 ]]; then
  fail too-long 'the text is too long'
fi
words "$text"
"""
WORDS = """\
words() {
  jq --compact-output --raw-input --slurp '{
    words: (split("[ \\n]+"; null) | map(select(length > 0)) | length)
  }' <<<"$1"
}
"""
TESTS = """\
test_counts() {
  expect_outputs '{"text": "one two"}' '{"words": 2}'
  expect_outputs '{"text": ""}' '{"words": 0}'
  expect_outputs '{"text": "0123456789"}' '{"words": 1}'
}

test_refuses() {
  expect_error '{"text": "01234567890"}' too-long 'the text is too long'
}
"""


@pytest.fixture
def run(tmp_path):
    """Runs the tests of a skill that is given as files."""

    def running(files: dict[str, str], **asked: object) -> TestReport:
        root = tmp_path / "word-count"
        for name, text in {"skill.sh": SKILL, "lib/words.sh": WORDS, **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return BashLanguage().run_tests(root, MANIFEST, SANDBOX, **asked)  # type: ignore[arg-type]

    return running


@pytest.mark.bubblewrap
class TestRunning:
    def test_good_tests_pass_cover_all_and_notice_gutting_and_mutants(self, run):
        report = run({"tests/test_skill.sh": TESTS}, mutants=60, seed=1, gut=True)
        assert (report.problem, report.outcome, report.coverage, report.missed) == (None, Outcome.PASSED, 1.0, ())
        assert [(test.id, test.outcome) for test in report.tests] == [
            ("tests/test_skill.sh::test_counts", "passed"),
            ("tests/test_skill.sh::test_refuses", "passed"),
        ]
        assert report.gutted_passes is False
        assert len(report.mutants) >= 10
        assert sum(mutant.killed for mutant in report.mutants) >= 0.8 * len(report.mutants)
        assert {mutant.path for mutant in report.mutants} == {"skills/word-count/skill.sh", "skills/word-count/lib/words.sh"}

    def test_the_seed_chooses_the_mutants(self, run):
        def chosen(seed: int) -> list[tuple[int, str]]:
            return [(mutant.line, mutant.change) for mutant in run({"tests/test_skill.sh": TESTS}, mutants=3, seed=seed).mutants]

        assert chosen(1) == chosen(1) != chosen(2)

    def test_lines_that_no_test_runs_are_told(self, run):
        report = run({"tests/test_skill.sh": 'test_one() {\n  expect_outputs \'{"text": "a"}\' \'{"words": 1}\'\n}\n'})
        assert report.coverage is not None and report.coverage < 1
        assert ("skills/word-count/skill.sh", 11) in report.missed and ("skills/word-count/skill.sh", 13) not in report.missed

    def test_a_script_that_no_test_reads_counts_as_not_run(self, run):
        report = run({"tests/test_skill.sh": TESTS, "other.sh": "echo one\necho two\n"})
        assert {line for path, line in report.missed if path == "skills/word-count/other.sh"} == {1, 2}

    @pytest.mark.parametrize(
        ("body", "message", "line"),
        [
            ('expect_outputs \'{"text": "a"}\' \'{"words": 2}\'', 'expected {"words": 2}, got {"words":1}', 2),
            ("expect_outputs '{\"text\": \"01234567890\"}' '{}'", "expected outputs, got status 1", 2),
            ('expect_error \'{"text": "a"}\' too-long', "expected the error too-long, got outputs", 2),
            ('expect_error \'{"text": "01234567890"}\' other', "expected the error other, got too-long", 2),
            ('expect_error \'{"text": "01234567890"}\' too-long hm', "expected the message hm", 2),
            ("true\n  [[ 1 == 2 ]]\n  true", "`[[ 1 == 2 ]]` ended with status 1", 3),
            ('echo "$nothing"', "nothing: unbound variable", 2),
            ("exit 3", "ended with status 3", None),
            ("echo oops >&2\n  false", "`false` ended with status 1\noops", 3),
        ],
    )
    def test_a_failing_test_says_what_and_where(self, run, body, message, line):
        report = run({"tests/test_skill.sh": TESTS, "tests/test_bad.sh": f"test_bad() {{\n  {body}\n}}\n"}, mutants=5, gut=True)
        (failed,) = [test for test in report.tests if test.outcome != "passed"]
        assert (failed.id, failed.path, failed.line) == ("tests/test_bad.sh::test_bad", "skills/word-count/tests/test_bad.sh", line)
        assert failed.message.startswith(message)
        assert report.mutants == () and report.gutted_passes is None

    def test_tests_that_test_nothing_pass_on_a_gutted_skill(self, run):
        report = run({"tests/test_skill.sh": 'test_nothing() {\n  bash skill.sh <<<\'{"text": "a"}\' >/dev/null\n}\n'}, gut=True)
        assert report.gutted_passes is True

    def test_a_test_that_never_ends_is_a_problem_of_the_run(self, run, monkeypatch):
        monkeypatch.setattr("agent.languages.bed.CLEAN_SECONDS", 1.0)
        report = run({"tests/test_skill.sh": "test_long() {\n  sleep 600\n}\n"})
        assert report.outcome is Outcome.FAILED
        assert report.problem is not None and "tests/test_skill.sh::test_long" in report.problem

    def test_a_test_that_cannot_repeat_is_a_problem(self, run):
        flaky = 'test_once() {\n  expect_outputs \'{"text": "a"}\' \'{"words": 1}\'\n  if [[ -z ${BASH_XTRACEFD-} ]]; then false; fi\n}\n'
        report = run({"tests/test_skill.sh": flaky}, mutants=2)
        assert report.problem is not None and "run again" in report.problem

    def test_a_file_that_bash_cannot_read_fails_its_tests(self, run):
        report = run({"tests/test_skill.sh": "test_one() {\n  if\n}\n"})
        (failed,) = report.tests
        assert failed.outcome == "failed" and "syntax error" in failed.message

    def test_no_tests_are_a_problem(self, run):
        assert "no test" in (run({"tests/notes.txt": ""}).problem or "")


def test_tests_are_read_from_the_source(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.sh").write_text("test_one() {\n :\n}\nfunction test_two {\n :\n}\nhelper() {\n :\n}\n# test_three() {\n")
    (tmp_path / "tests" / "other.sh").write_text("test_four() {\n :\n}\n")
    assert expected_tests(tmp_path) == ("tests/test_a.sh::test_one", "tests/test_a.sh::test_two")


# ---- style, dependencies, tools ---------------------------------------------------------------------------------------------


def style(tmp_path, source: str) -> list[tuple[str, int | None]]:
    root = tmp_path / "word-count"
    root.mkdir(exist_ok=True)
    (root / "skill.sh").write_text(source)
    return [(finding.rule, finding.line) for finding in BashLanguage().style(root)]


def test_style_is_shellchecks_and_its_comments_do_not_count(tmp_path):
    assert style(tmp_path, "set -eu\nx=$1\necho $x\n") == [("SC2086", 3)]
    assert style(tmp_path, "set -eu\nx=$1\n# shellcheck disable=SC2086\necho $x\n") == [("SC2086", 4)]
    assert style(tmp_path, 'set -eu\nx=$1\n# shellcheck source=/dev/null\nsource "$x/lib.sh"\n') == []


def test_what_cannot_be_parsed_is_a_finding(tmp_path):
    assert style(tmp_path, "if true; then\n")
    assert [finding.rule for finding in BashLanguage().security(tmp_path / "word-count")] == []
    assert style(tmp_path, "echo 'a\n")
    assert [finding.rule for finding in BashLanguage().security(tmp_path / "word-count")] == ["skillops-unreadable"]


def test_tidying_mends_line_ends_alone(tmp_path):
    style(tmp_path, "echo a\r\necho  b\n\n\n")
    BashLanguage().tidy(tmp_path / "word-count")
    assert (tmp_path / "word-count" / "skill.sh").read_bytes() == b"echo a\necho  b\n"


def test_dependencies_are_refused(tmp_path):
    manifest = a_manifest(runtime="bash", entrypoint="skill.sh", dependencies=["jq==1.7"])
    assert [finding.rule for finding in BashLanguage().dependencies(tmp_path, manifest)] == ["dependency"]
    with pytest.raises(Refused):
        BashLanguage().lock(manifest)


def test_a_tool_that_is_missing_is_told_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setattr(toolchain.shutil, "which", lambda name, path: None)
    with pytest.raises(CouldNotTell) as caught:
        style(tmp_path, "echo a\n")
    assert "apt-get install shellcheck" in caught.value.next_step


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ('{"code": "odd", "message": "two\\nlines"}', True),
        ('{"code": "odd", "message": "one"}', False),
        ('{"code": "even", "message": "two\\nlines"}', False),
        ('{"code": "odd\\nodd", "message": "two\\nlines"}', False),
        ('{"code": "odd", "message": "two\\nlines"}{"code": "odd"}', False),
        ("odd", False),
        ("", False),
    ],
)
def test_an_error_is_one_object_with_that_code_and_that_message(tmp_path, said, passes):
    (tmp_path / "skill.sh").write_text(f"printf '%s\\n' {shlex.quote(said)} >&2\nexit 1\n")
    (tmp_path / "test_skill.sh").write_text("test_it() {\n  expect_error '{}' odd $'two\\nlines'\n}\n")
    command = f"exec 199>/dev/null; bash {shlex.quote(str(HERE / 'drive.sh'))} test_skill.sh test_it"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env={**os.environ, "SKILL_ENTRYPOINT": "skill.sh"}, timeout=60, check=False)
    assert (done.returncode == 0) is passes
