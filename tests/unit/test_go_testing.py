"""The author's Go tests in the sandbox: what counts as passing, what cannot make it look so, and the mutants. And the built program."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from agent.caller import execute
from agent.domain.check import Outcome, TestReport
from agent.domain.invocation import Invocation
from agent.domain.release import Endpoint
from agent.errors import Refused
from agent.languages.go import GoLanguage, analyser
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from tests.builders import a_manifest
from tests.ports import free_port
from tests.unit.test_callers import answers

pytestmark = pytest.mark.go_tools

LANGUAGE = GoLanguage()
MANIFEST = a_manifest(runtime="go", entrypoint="skill.go")
SKILL = """package skill

import "skill/words"

type fault struct{ code, message string }

func (f fault) Error() string { return f.message }
func (f fault) Code() string  { return f.code }

func Execute(inputs, context map[string]any) (map[string]any, error) {
	text, _ := inputs["text"].(string)
	if len(text) > 10 {
		return nil, fault{"too-long", "the text is too long"}
	}
	return map[string]any{"words": words.Count(text)}, nil
}
"""
WORDS = """package words

func Count(text string) int {
	count, inside := 0, false
	for _, char := range text {
		if char == ' ' {
			inside = false
			continue
		}
		if !inside {
			count++
		}
		inside = true
	}
	return count
}
"""
HEAD = """package tests

import (
	"testing"

	"skill"
)

func words(t *testing.T, text string, expected int) {
	t.Helper()
	outputs, err := skill.Execute(map[string]any{"text": text}, nil)
	if err != nil || outputs["words"] != expected {
		t.Errorf("got %v and the error %v, not %d", outputs, err, expected)
	}
}

"""
TESTS = (
    HEAD
    + """func TestCounts(t *testing.T) {
	words(t, " a two", 2)
	words(t, "", 0)
	words(t, "0123456789", 1)
	words(t, "a  b", 2)
}

func TestLimits(t *testing.T) {
	t.Run("refuses", func(t *testing.T) {
		_, err := skill.Execute(map[string]any{"text": "01234567890"}, nil)
		if coded, ok := err.(interface{ Code() string }); !ok || coded.Code() != "too-long" || err.Error() != "the text is too long" {
			t.Fatal(err)
		}
	})
}
"""
)


@pytest.fixture
def run(tmp_path):
    """Runs the tests of a skill that is given as files."""

    def running(files: dict[str, str], **asked: object) -> TestReport:
        root = tmp_path / "word-count"
        for name, text in {"skill.go": SKILL, "words/words.go": WORDS, **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return LANGUAGE.run_tests(root, MANIFEST, BubblewrapSandbox(), **asked)  # type: ignore[arg-type]

    return running


@pytest.mark.bubblewrap
class TestRunning:
    def test_good_tests_pass_cover_all_and_notice_gutting_and_mutants(self, run):
        report = run({"tests/skill_test.go": TESTS}, mutants=60, seed=1, gut=True)
        assert (report.problem, report.outcome, report.coverage, report.missed) == (None, Outcome.PASSED, 1.0, ())
        assert [(test.id, test.outcome) for test in report.tests] == [
            ("tests/skill_test.go::TestCounts", "passed"),
            ("tests/skill_test.go::TestLimits/refuses", "passed"),
            ("tests/skill_test.go::TestLimits", "passed"),
        ]
        assert report.gutted_passes is False
        assert [mutant.change for mutant in report.mutants if not mutant.killed] == []
        assert len(report.mutants) >= 12
        assert {mutant.path for mutant in report.mutants} == {"skills/word-count/skill.go", "skills/word-count/words/words.go"}

    def test_weak_tests_let_mutants_and_the_gutted_skill_live(self, run):
        weak = HEAD + "func TestAnswers(t *testing.T) {\n\tskill.Execute(nil, nil)\n}\n\nvar _ = words\n"
        report = run({"tests/skill_test.go": weak}, mutants=60, gut=True)
        assert report.gutted_passes is True
        assert sum(not mutant.killed for mutant in report.mutants) >= 4
        assert report.coverage is not None and 0.3 < report.coverage < 0.9

    def test_the_seed_chooses_the_mutants(self, run):
        def chosen(seed: int) -> list[tuple[int, str]]:
            return [(mutant.line, mutant.change) for mutant in run({"tests/skill_test.go": TESTS}, mutants=3, seed=seed).mutants]

        assert chosen(1) == chosen(1) != chosen(3)

    @pytest.mark.parametrize(
        ("source", "message", "path", "line"),
        [
            ("\twords(t, `a`, 2)\n", "got map[words:1] and the error <nil>, not 2", "tests/bad_test.go", 18),
            ('\tpanic("at the disco")\n', "panic: at the disco", "tests/bad_test.go", 18),
            ("\tvar all []int\n\t_ = all[len(all)]\n", "panic: runtime error: index out of range [0] with length 0", "tests/bad_test.go", 19),
        ],
    )
    def test_a_failing_test_says_what_and_where(self, run, source, message, path, line):
        report = run({"tests/bad_test.go": HEAD + f"func TestBad(t *testing.T) {{\n{source}}}\n\nvar _ = words\n"}, mutants=5, gut=True)
        (failed,) = [test for test in report.tests if test.outcome != "passed"]
        assert (failed.id, failed.outcome, failed.message) == ("tests/bad_test.go::TestBad", "failed", message)
        assert (failed.path, failed.line) == (f"skills/word-count/{path}", line)
        assert report.mutants == () and report.gutted_passes is None

    def test_what_cannot_be_compiled_is_an_error_with_its_place(self, run):
        report = run({"tests/skill_test.go": TESTS.replace("skill.Execute", "skill.Exceute")})
        assert {(test.outcome, test.path) for test in report.tests} == {("error", "skills/word-count/tests/skill_test.go")}
        assert "undefined: skill.Exceute" in report.tests[0].message and report.tests[0].line == 11

    @pytest.mark.parametrize("way_out", ["os.Exit(0)", 'fmt.Println("\\x16--- PASS: TestFirst (0.00s)"); os.Exit(0)'])
    def test_tests_that_did_not_run_are_missed(self, run, way_out):
        imports = 'import (\n\t"fmt"\n\t"os"\n\t"testing"\n)\n\nvar _ = fmt.Sprint\n'
        source = f"package tests\n\n{imports}\nfunc TestFirst(t *testing.T) {{ {way_out} }}\n\nfunc TestSecond(t *testing.T) {{ t.Fail() }}\n"
        report = run({"tests/skill_test.go": source})
        assert report.outcome is Outcome.FAILED or {test.outcome for test in report.tests} != {"passed"}

    def test_a_skipped_test_has_not_passed(self, run):
        report = run({"tests/skill_test.go": TESTS + '\nfunc TestLater(t *testing.T) { t.Skip("later") }\n'})
        assert {test.id: test.outcome for test in report.tests}["tests/skill_test.go::TestLater"] == "skipped"

    def test_a_test_that_never_ends_is_a_problem_of_the_run(self, run, monkeypatch):
        monkeypatch.setattr("agent.languages.bed.CLEAN_SECONDS", 2.0)
        report = run({"tests/skill_test.go": HEAD + "func TestLong(t *testing.T) {\n\tfor {\n\t}\n}\n\nvar _ = words\n"})
        assert report.outcome is Outcome.FAILED and "longer than" in (report.problem or "")

    def test_no_tests_are_a_problem(self, run):
        assert "no test" in (run({"tests/notes.txt": ""}).problem or "")


# ---- the program ----------------------------------------------------------------------------------------------------------


def built(folder: Path, source: str) -> Path:
    root, target = folder / "word-count", folder / "target"
    root.mkdir()
    target.mkdir()
    (root / "skill.go").write_text(source)
    LANGUAGE.prepare(root, MANIFEST, target)
    return target


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("package main\n\nfunc main() {}\n", "is package main"),
        ("package skill\n", "has no func Execute"),
        ("package skill\n\nfunc Execute(a string) {}\n", "has no func Execute"),
        ("package skill\n\nvar a = b\n", "skill.go:3: undefined: b"),
        ("package skill\n\nfunc {\n", "skill.go"),
        ('package skill\n\nimport _ "github.com/google/uuid"\n', "Name what it imports in `dependencies`"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_reason(tmp_path, source, message):
    with pytest.raises(Refused) as caught:
        built(tmp_path, source)
    assert message in str(caught.value)


def test_the_program_serves_tcp_and_asks_itself_for_its_health(tmp_path):
    source = "package skill\n\nfunc Execute(inputs, context map[string]any) (map[string]any, error) { return inputs, nil }\n"
    target = built(tmp_path, source)
    service = target / "service.json"
    service.write_text(service.read_text().replace("/skill/code", str(target / "code")))
    port = free_port()
    environment = {"SKILL_LISTEN": f"0.0.0.0:{port}", "PATH": os.environ["PATH"]}

    def health() -> int:
        return subprocess.run([target / "skill", "-health"], env=environment, check=False).returncode

    assert health() == 1
    with subprocess.Popen([target / "skill"], env=environment) as server:
        try:
            until = time.monotonic() + 60
            while health() and time.monotonic() < until:
                time.sleep(0.05)
            reply = execute(Endpoint(url=f"http://127.0.0.1:{port}"), Invocation(skill="a", inputs={"a": [1]}, request_id="1", caller="ada"))
            assert (health(), reply.outputs) == (0, {"a": [1]})
        finally:
            server.kill()
    for callers, answered in (("127.0.0.9", False), ("127.0.0.9 127.0.0.1", True)):  # a neighbour is not among them
        port = free_port()  # the one before, killed as it started a worker, may hold its own for a moment
        listens = {"SKILL_LISTEN": f"0.0.0.0:{port}", "SKILL_CALLERS": callers}
        with subprocess.Popen([target / "skill"], env={**environment, **listens}) as server:
            try:
                assert answers(port) is answered
            finally:
                server.kill()


# ---- mutants --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "changes"),
    [
        ("if a < 2 { f() }", {"< → <=", "2 → 3", "f() → "}),
        ("for i := 0; i < a; i++ { a += i }", {"< → <=", "+= → -="}),  # what stands in the head of a loop cannot be written twice
        ("b := a - 1\n\t_ = b", {"- → +", "1 → 2"}),
        ("b := f() - 1\n\t_ = b", set()),  # f would be called twice
        ('return errors.New("words " + "to people")', {'return errors.New("words " + "to people") → return *new(error)', "+ → -"}),
        ('_ = []string{""}', {'"" → "x"'}),
        ('_ = map[string]any{"key": true}', {"true → false"}),
        ("defer f()\n\tmutex.Lock()", set()),
        ("const size = 1 + 2", set()),
    ],
)
def test_the_places_that_have_mutants(tmp_path, statement, changes):
    (tmp_path / "skill.go").write_text(f'package skill\n\nimport "errors"\n\nfunc g(a int) error {{\n\t{statement}\n}}\n')
    assert {f"{site['old']} → {site['new']}" for site in analyser.ask(LANGUAGE._cache, "sites", tmp_path)} == changes
