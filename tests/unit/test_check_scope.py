from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.checks.scope import ScopeCheck
from agent.domain.check import Outcome
from agent.domain.proposal import Change
from agent.manifest_file import witness_digest
from tests.subjects import WITNESS, ToldBench, a_subject, skill_files

WITNESS_PATH = "tests/witness.yaml"


def run(tmp_path: Path, files: dict[str, bytes] | None = None, *changes: Change, **traits: Any) -> Any:
    return ScopeCheck().run(a_subject(tmp_path, files, changes=changes, **traits), ToldBench())


def a_change(path: str, mode: str = "100644", **traits: Any) -> Change:
    return Change(path=path, status=traits.pop("status", "added"), mode=mode, **traits)


def test_plain_files_in_the_skills_own_folder_pass(tmp_path: Path) -> None:
    result = run(tmp_path, None, a_change("skills/word-count/skill.py"))
    assert result.outcome is Outcome.PASSED and not result.findings


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (a_change("skills/other/skill.py"), "another skill (other)"),
        (a_change(".github/workflows/x.yml"), "outside skills/word-count/"),
        (a_change("registry.yaml", status="modified"), "outside"),
        (a_change("skills/word-count", mode="120000"), "outside"),
        (a_change("README.md", mode="000000", status="deleted"), "outside"),
        (a_change("skills/word-count/x", mode="120000"), "link"),
        (a_change("skills/word-count/x", mode="160000"), "submodule"),
        (a_change("skills/word-count/x", mode="100755"), "executable"),
        (a_change("skills/word-count/x", mode="100664"), "100664"),
        (a_change("skills/word-count/x", size=256 * 2**10 + 1), "at most 262,144"),
        (a_change("skills/word-count/x", binary=True, size=9), ""),
        (a_change("skills/word-count/../../x"), "'..'"),
    ],
)
def test_what_a_proposal_may_not_change_is_named_with_its_path(tmp_path: Path, change: Change, said: str) -> None:
    files = skill_files(x="some text")
    result = run(tmp_path, files, change)
    assert result.outcome is Outcome.FAILED
    assert any(said in finding.message and finding.path == change.path for finding in result.findings)


@pytest.mark.parametrize(
    "path",
    [
        "../x.py", "a/../b.py", "a//b.py", "./x.py", "a/.git/config", "a/GIT~1/config", "a/.Git./x", "a\\b.py", "x\n.py", "x\u202e.py", "x\u200b.py",
        "cafe\u0301.py", "x. ", "x.", " x", "con.py", "a:b", "a" * 201, "é" * 130, "x\udcff.py",
    ],
)  # fmt: skip
def test_odd_paths_fail_and_are_not_written_to_disk(tmp_path: Path, path: str) -> None:
    subject = a_subject(tmp_path, {**skill_files(), path: b"text\n"})
    result = ScopeCheck().run(subject, ToldBench())
    assert any(finding.rule == "path" for finding in result.findings)
    assert all((finding.path or "").isprintable() for finding in result.findings)
    assert sorted(p.relative_to(subject.root).as_posix() for p in subject.root.rglob("*") if p.is_file()) == sorted(skill_files())
    assert [p.name for p in tmp_path.iterdir()] == ["word-count"]


def test_names_that_differ_in_capitals_alone_collide(tmp_path: Path) -> None:
    result = run(tmp_path, {**skill_files(), "Skill.py": b"x = 1\n"})
    assert [(f.path, f.message) for f in result.findings] == [("skills/word-count/skill.py", "differs from Skill.py in capitals alone")]


def test_a_name_that_is_both_file_and_folder_fails(tmp_path: Path) -> None:
    result = run(tmp_path, {**skill_files(), "a": b"x\n", "a/b": b"y\n"})
    assert "is both a file and a folder" in [finding.message for finding in result.findings]


@pytest.mark.parametrize(
    ("content", "rule", "line"),
    [
        (b"\x00\x01", "binary", None),
        (b"\xff\xfe", "binary", None),
        ("x = 1\ny = '\u202e'\n".encode(), "bidi", 2),
        (b"x = 1\n\x1b[2J\n", "control", 2),
    ],
)
def test_binary_files_and_invisible_controls_fail_at_their_line(tmp_path: Path, content: bytes, rule: str, line: int | None) -> None:
    result = run(tmp_path, {**skill_files(), "data.txt": content})
    assert [(f.rule, f.path, f.line) for f in result.findings] == [(rule, "skills/word-count/data.txt", line)]


@pytest.mark.parametrize(
    ("path", "code", "line"),
    [
        ("skill.py", "def ехecute(x):\n    return x\n", 1),  # Cyrillic е and х
        ("skill.py", "x = 1\nсору = x\n", 2),  # Cyrillic alone, drawn like copy
        ("skill.py", "ｅｖａｌ('1')\n", 1),  # Python reads that as eval
        ("skill.py", "x = 1\n\u200bx = 2\n", 2),
        ("skill.js", "const a = 1;\nconst аdmin = a;\n", 2),
        ("skill.js", "if (a) {\u2060 b(); }\n", 1),
        ("skill.go", "package skill\n\nvar Αlpha = 1\n", 3),
        ("skill.sh", "rм x\n", 1),
    ],
)
def test_names_that_read_as_others_fail_at_their_line(tmp_path: Path, path: str, code: str, line: int) -> None:
    result = run(tmp_path, {**skill_files(), path: code.encode()})
    assert {(f.rule, f.path, f.line) for f in result.findings} == {("letters", f"skills/word-count/{path}", line)}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("skill.py", "größe = 1  # Größe, размер, 大きさ\nразмер = 'сору and copy'\n大きさ = größe\n"),
        ("skill.js", "const größe = 1; // размер\nconst re = /[a-zа-я]+/u;\nconst t = `сору ${größe}`;\n"),
        ("skill.go", "package skill\n\n// размер\nvar größe = \"сору\" + 'я'\n"),
        ("skill.sh", "echo 'сору' \"размер $1\" # размер\n"),
        ("SKILL.md", "аdmin, in prose\n"),
    ],
)
def test_other_languages_are_welcome_in_comments_texts_and_names_of_one_script(tmp_path: Path, path: str, code: str) -> None:
    assert [f for f in run(tmp_path, {**skill_files(), path: code.encode()}).findings if f.rule == "letters"] == []


@pytest.mark.parametrize("char", "\u061c\u200e\u200f\u202a\u202e\u2066\u2069")
def test_no_bidirectional_control_stands_anywhere(tmp_path: Path, char: str) -> None:
    assert "bidi" in {f.rule for f in run(tmp_path, {**skill_files(), "SKILL.md": f"# {char}".encode()}).findings}


def test_hidden_files_fail(tmp_path: Path) -> None:
    assert run(tmp_path, {**skill_files(), "tests/.ruff.toml": b""}).findings[0].rule == "hidden"


def test_too_many_files_and_too_much_together_fail(tmp_path: Path) -> None:
    many = run(tmp_path / "many", {**skill_files(), **{f"f{n}.txt": b"x" for n in range(200)}})
    large = run(tmp_path / "large", {**skill_files(), **{f"f{n}.txt": b"x" * 250_000 for n in range(9)}})
    assert many.summary == "the skill has 204 files; at most 200 are allowed"
    assert "at most 2,097,152 are allowed" in large.summary


def test_the_cases_that_the_witness_wrote_pass(tmp_path: Path) -> None:
    files = skill_files(**{WITNESS_PATH: WITNESS})
    change = a_change(f"skills/word-count/{WITNESS_PATH}")
    assert run(tmp_path, files, change, witness_digest=witness_digest(WITNESS.encode())).outcome is Outcome.PASSED


@pytest.mark.parametrize("now", [WITNESS.replace("words: 3", "words: 4"), None])
def test_cases_that_differ_from_what_was_recorded_fail_and_are_not_repeated(tmp_path: Path, now: str | None) -> None:
    files = skill_files(**{WITNESS_PATH: now})
    result = run(tmp_path, files, witness_digest=witness_digest(WITNESS.encode()))
    assert [finding.rule for finding in result.findings] == ["witness"]
    assert "a b c" not in result.model_dump_json()


def test_without_a_record_the_cases_stay_as_they_are_on_the_base(tmp_path: Path) -> None:
    files = skill_files(**{WITNESS_PATH: WITNESS})
    assert run(tmp_path / "same", files, base_files=files).outcome is Outcome.PASSED
    assert run(tmp_path / "gone", skill_files(), base_files=files).findings[0].rule == "witness"
    assert run(tmp_path / "new", files, base_files=skill_files()).findings[0].rule == "witness"


def test_cases_that_cannot_be_read_fail_without_their_content(tmp_path: Path) -> None:
    broken = "- {name: 7, secret-clause: x\n"
    result = run(tmp_path, skill_files(**{WITNESS_PATH: broken}), witness_digest=witness_digest(broken.encode()))
    assert [finding.message for finding in result.findings] == ["is no list of cases"]
