"""The author's Node tests in the sandbox: what counts as passing, and what cannot make it look so. And eslint's style."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.domain.check import Outcome, TestReport
from agent.errors import CouldNotTell
from agent.languages.node import NodeLanguage, eslint
from agent.languages.node.testing import expected_tests
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from tests.builders import a_manifest
from tests.engines import missing

pytestmark = pytest.mark.node_tools

SANDBOX = BubblewrapSandbox()
MANIFEST = a_manifest(runtime="node", entrypoint="skill.js")
SKILL = """\
'use strict';

const { words } = require('./lib/words.js');

exports.execute = async ({ text }) => {
  if (text.length > 10) {
    throw Object.assign(new Error('the text is too long'), { code: 'too-long' });
  }
  return { words: words(text) };
};
"""
WORDS = """\
'use strict';

const words = (text) => text.split(/\\s+/).filter((word) => word.length > 0).length;

module.exports = { words };
"""
HEAD = """\
const assert = require('node:assert/strict');
const { describe, it, test } = require('node:test');
const { execute } = require('../skill.js');
"""
TESTS = (
    HEAD
    + """\
test('counts', async () => {
  assert.deepEqual(await execute({ text: ' a two' }), { words: 2 });
  assert.deepEqual(await execute({ text: '' }), { words: 0 });
  assert.deepEqual(await execute({ text: '0123456789' }), { words: 1 });
});
describe('limits', () => {
  it('refuses', async () => {
    await assert.rejects(execute({ text: '01234567890' }), { code: 'too-long' });
  });
});
"""
)


@pytest.fixture
def run(tmp_path):
    """Runs the tests of a skill that is given as files."""

    def running(files: dict[str, str], **asked: object) -> TestReport:
        root = tmp_path / "word-count"
        for name, text in {"skill.js": SKILL, "lib/words.js": WORDS, **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return NodeLanguage(tmp_path / "cache").run_tests(root, MANIFEST, SANDBOX, **asked)  # type: ignore[arg-type]

    return running


@pytest.mark.bubblewrap
class TestRunning:
    def test_good_tests_pass_cover_all_and_notice_gutting_and_mutants(self, run):
        report = run({"tests/skill.test.js": TESTS}, mutants=60, seed=1, gut=True)
        assert (report.problem, report.outcome, report.coverage, report.missed) == (None, Outcome.PASSED, 1.0, ())
        assert [(test.id, test.outcome) for test in report.tests] == [
            ("tests/skill.test.js::counts", "passed"),
            ("tests/skill.test.js::limits > refuses", "passed"),
        ]
        assert report.gutted_passes is False
        assert [mutant.change for mutant in report.mutants if not mutant.killed] == []
        assert len(report.mutants) >= 8
        assert {mutant.path for mutant in report.mutants} == {"skills/word-count/skill.js", "skills/word-count/lib/words.js"}

    def test_weak_tests_let_mutants_and_the_gutted_skill_live(self, run):
        report = run({"tests/skill.test.js": HEAD + "test('answers', async () => { await execute({ text: 'a' }); });\n"}, mutants=60, gut=True)
        assert report.gutted_passes is True
        assert sum(not mutant.killed for mutant in report.mutants) >= 4

    def test_the_seed_chooses_the_mutants(self, run):
        def chosen(seed: int) -> list[tuple[int, str]]:
            return [(mutant.line, mutant.change) for mutant in run({"tests/skill.test.js": TESTS}, mutants=3, seed=seed).mutants]

        assert chosen(1) == chosen(1) != chosen(3)

    def test_lines_that_no_test_runs_are_told_and_files_that_none_loads(self, run):
        one = HEAD + "test('one', async () => { assert.deepEqual(await execute({ text: 'a' }), { words: 1 }); });\n"
        report = run({"tests/skill.test.js": one, "other.js": "const a = 1;\nmodule.exports = a;\n"})
        assert set(report.missed) == {("skills/word-count/skill.js", 7), ("skills/word-count/other.js", 1), ("skills/word-count/other.js", 2)}
        assert report.coverage is not None and 0.5 < report.coverage < 0.9

    def test_a_module_of_the_new_kind_is_run_and_covered_too(self, run):
        lib = "export function twice(a) {\n  return 2 * a;\n}\n"
        tests = "import test from 'node:test';\nimport assert from 'node:assert';\nimport { twice } from '../twice.mjs';\n"
        report = run(
            {"tests/skill.test.js": TESTS, "twice.mjs": lib, "tests/twice.test.mjs": tests + "test('twice', () => assert.equal(twice(2), 4));\n"},
            gut=True,
        )
        assert (report.problem, report.coverage, report.gutted_passes) == (None, 1.0, False)

    @pytest.mark.parametrize(
        ("body", "message", "path", "line"),
        [
            ("assert.equal(1, 2);", "Expected values to be strictly equal:", "tests/bad.test.js", 5),
            ("await execute({ text: '01234567890' });", "the text is too long", "skill.js", 7),
            ("nothing.at.all;", "ReferenceError: nothing is not defined", "tests/bad.test.js", 5),
            ("throw 'a text';", "a text", "tests/bad.test.js", 4),
        ],
    )
    def test_a_failing_test_says_what_and_where(self, run, body, message, path, line):
        bad = HEAD + f"test('bad', async () => {{\n  {body}\n}});\n"
        report = run({"tests/skill.test.js": TESTS, "tests/bad.test.js": bad}, mutants=5, gut=True)
        (failed,) = [test for test in report.tests if test.outcome != "passed"]
        assert (failed.id, failed.outcome) == ("tests/bad.test.js::bad", "failed")
        assert (failed.path, failed.line) == (f"skills/word-count/{path}", line)
        assert failed.message.startswith(message)
        assert report.mutants == () and report.gutted_passes is None

    def test_a_file_that_cannot_be_loaded_is_an_error(self, run):
        report = run({"tests/skill.test.js": TESTS, "tests/bad.test.js": "require('nothing-like-it');\n"})
        (failed,) = [test for test in report.tests if test.outcome != "passed"]
        assert (failed.id, failed.outcome, failed.path) == ("tests/bad.test.js", "error", "skills/word-count/tests/bad.test.js")

    @pytest.mark.parametrize("way_out", ["process.exit(0);", "process.on('exit', () => { process.exitCode = 0; }); process.exit();"])
    def test_tests_that_did_not_run_are_missed(self, run, way_out):
        report = run({"tests/skill.test.js": HEAD + f"test('first', () => {{ {way_out} }});\ntest('second', () => assert.fail());\n"})
        assert report.outcome is Outcome.FAILED or {test.outcome for test in report.tests} != {"passed"}
        assert report.problem is None or "second" in report.problem

    def test_a_skipped_test_has_not_passed(self, run):
        report = run({"tests/skill.test.js": TESTS + "test.skip('later', () => {});\n"})
        assert {test.id: test.outcome for test in report.tests}["tests/skill.test.js::later"] == "skipped"

    def test_a_test_that_never_ends_is_a_problem_of_the_run(self, run, monkeypatch):
        monkeypatch.setattr("agent.languages.bed.CLEAN_SECONDS", 2.0)
        report = run({"tests/skill.test.js": HEAD + "test('long', () => { for (;;); });\n"})
        assert report.outcome is Outcome.FAILED
        assert report.problem is not None and "longer than" in report.problem

    def test_an_infinite_loop_of_a_mutant_ends(self, run):
        source = (
            "exports.execute = async ({ text }) => {\n  let words = 0;\n  while (words < 3) {\n    words += 1;\n  }\n  return { words, text };\n};\n"
        )
        tests = HEAD + "test('three', async () => assert.deepEqual(await execute({ text: '' }), { words: 3, text: '' }));\n"
        report = run({"skill.js": source, "tests/skill.test.js": tests}, mutants=60)
        assert report.problem is None
        assert [mutant.killed for mutant in report.mutants if "`+=`" in mutant.change] == [True]

    def test_no_tests_are_a_problem(self, run):
        assert "no test" in (run({"tests/notes.txt": ""}).problem or "")


def test_tests_are_read_from_the_source(tmp_path):
    (tmp_path / "tests").mkdir()
    source = HEAD + "test('one', () => {});\nit(`two`, () => {});\ntest(name, () => {});\nhelper('three');\n"
    (tmp_path / "tests" / "a.test.js").write_text(source + "describe('four', () => { it('five', () => {}); });\n")
    (tmp_path / "tests" / "test_b.mjs").write_text("import test from 'node:test';\nawait test('six');\n")
    (tmp_path / "tests" / "helper.js").write_text("test('seven');\n")
    (tmp_path / "tests" / "c.test.js").write_text("test('eight'\n")
    assert expected_tests(tmp_path) == (
        "tests/a.test.js::one",
        "tests/a.test.js::two",
        "tests/a.test.js::four > five",
        "tests/c.test.js",
        "tests/test_b.mjs::six",
    )


# ---- style ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def style(tmp_path):
    def found(source: str, **files: str) -> list[tuple[str, int | None, str]]:
        root = tmp_path / "word-count"
        root.mkdir(exist_ok=True)
        for name, text in {"skill.js": source, **files}.items():
            (root / name).write_text(text)
        return [(finding.rule, finding.line, finding.level) for finding in NodeLanguage().style(root)]

    return found


def test_what_node_cannot_read_is_a_finding_with_its_line(style):
    assert ("invalid-syntax", 2, "error") in style("const a = 1;\nconst = ;\n")


def test_where_eslint_cannot_be_had_a_note_says_so(style, monkeypatch):
    def unreachable(cache: Path) -> Path:
        raise CouldNotTell("The package registry is out of reach.", next_step="Look at the network.")

    monkeypatch.setattr(eslint, "installed", unreachable)
    assert style("var a = 1;\n") == [("eslint", None, "note")]


def test_style_is_eslints_and_its_comments_do_not_count(style):
    try:
        eslint.installed(NodeLanguage()._cache)
    except CouldNotTell as error:
        missing(f"eslint cannot be fetched here: {error}")
    assert style("'use strict';\nvar a = 1;\nexports.a = a == 2;\n") == [("no-var", 2, "error"), ("eqeqeq", 3, "error")]
    assert ("no-var", 2, "error") in style("/* eslint-disable */\nvar a = 1;\nexports.a = a;\n")
    own = {"eslint.config.js": "module.exports = [{ ignores: ['**'] }];\n"}
    assert ("no-undef", 1, "error") in style("nothing();\n", **own)
