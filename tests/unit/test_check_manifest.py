from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.checks.manifest import ManifestCheck
from agent.domain.check import CheckResult, Outcome
from agent.domain.permissions import MOST_HOSTS
from tests.subjects import SKILL_MD, SKILL_YAML, ToldBench, ToldLanguage, a_subject, skill_files


def run(tmp_path: Path, files: dict[str, bytes] | None = None, **traits: Any) -> CheckResult:
    return ManifestCheck({"python": ToldLanguage()}).run(a_subject(tmp_path, files, **traits), ToldBench())


def with_yaml(old: str, new: str) -> dict[str, bytes]:
    assert old in SKILL_YAML
    return skill_files(**{"skill.yaml": SKILL_YAML.replace(old, new)})


def test_a_valid_skill_passes(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert (result.outcome, result.findings) == (Outcome.PASSED, ())


def test_a_broken_skill_yaml_fails_at_its_line(tmp_path: Path) -> None:
    result = run(tmp_path, with_yaml("version: 1.0.0", "version: [1"))
    assert result.outcome is Outcome.FAILED
    assert result.findings[0].path == "skills/word-count/skill.yaml" and result.findings[0].line is not None


def test_a_missing_skill_yaml_and_skill_md_are_both_named(tmp_path: Path) -> None:
    result = run(tmp_path, skill_files(**{"skill.yaml": None, "SKILL.md": None}))
    assert {finding.path for finding in result.findings} == {"skills/word-count/skill.yaml", "skills/word-count/SKILL.md"}


def test_an_example_that_does_not_fit_the_schema_fails(tmp_path: Path) -> None:
    result = run(tmp_path, with_yaml("{words: 2}", "{words: two}"))
    assert "example 1" in result.summary


@pytest.mark.parametrize(
    ("old", "new", "rule", "line"),
    [
        ("name: word-count", "name: words-count", "name", 2),
        ("entrypoint: skill.py", "entrypoint: main.py", "entrypoint", 5),
        ("version: 1.0.0", "version: 1.0.0\nruntime: go", "runtime", 4),
        ("version: 1.0.0", "version: 1.0.0\nstatus: retired", "status", 4),
        ("version: 1.0.0", "version: 1.0.0\nrequires: ['csv-to-json latest']", "requires", 4),
        ("version: 1.0.0", "version: 1.0.0\nrequires: [word-count]", "requires", 4),
        ("version: 1.0.0", "version: 1.0.0\nrequires: [a-b, 'a-b >=1.0']", "requires", 4),
        ("version: 1.0.0", "version: 1.0.0\npermissions: {network: ['metadata.google.internal:80']}", "network", 4),
    ],
)
def test_what_the_schema_cannot_say_is_checked_too(tmp_path: Path, old: str, new: str, rule: str, line: int) -> None:
    result = run(tmp_path, with_yaml(old, new))
    assert [(f.rule, f.path, f.line) for f in result.findings if f.level == "error"] == [(rule, "skills/word-count/skill.yaml", line)]


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("localhost:80", "not a full host name"),
        ("10.0.0.1:80", "name the host"),
        ("api.example.com:0", "no port between 1 and 65535"),
        ("-a.example.com:443", "not a full host name"),
        ("API.example.com:443", "write api.example.com:443"),
        ("*.com:443", "top-level"),
    ],
)
def test_a_host_that_cannot_be_reached_fails_with_its_line(tmp_path: Path, entry: str, why: str) -> None:
    result = run(tmp_path, with_yaml("version: 1.0.0", f"version: 1.0.0\npermissions: {{network: ['{entry}']}}"))
    assert [(f.path, f.line) for f in result.findings] == [("skills/word-count/skill.yaml", 4)]
    assert why in result.findings[0].message


def test_more_hosts_than_can_be_led_to_are_refused_and_ports_of_one_count_once(tmp_path: Path) -> None:
    def said(*entries: str) -> list[str]:
        result = run(tmp_path / str(len(entries)), with_yaml("version: 1.0.0", f"version: 1.0.0\npermissions: {{network: {list(entries)}}}"))
        return [finding.message for finding in result.findings if finding.level == "error"]

    hosts = [f"a{number}.example.com:443" for number in range(MOST_HOSTS)]
    assert said(*hosts, "a0.example.com:80", "*.example.org:443") == []
    assert said(*hosts, "b.example.com:443", "c.example.com:443") == ["it names 252 hosts, and 250 are the most; use a wildcard"]


STAND_INS = """\
apiVersion: skillops/v1
kind: StandIns
hosts:
  - host: api.example.com:443
    routes:
      - path: /words
        reply: {json: {words: 2}}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "why"),
    [
        ("api.example.com:443", "other.example.com:443", 4, "not declared"),
        ("api.example.com:443", "api.example.com:444", 4, "not declared"),
        ("api.example.com:443", "'*:443'", 4, "wildcard"),
        ("path: /words", "path: words", 6, "path"),
        ("path: /words", "pfad: /words", 6, "pfad"),
        ("reply: {json: {words: 2}}", "reply: {json: 1, body: a}", 7, "not both"),
        ("reply: {json: {words: 2}}", "reply: {status: 99}", 7, "status"),
        ("    routes:", "    dialogue: [{send: hello}]\n    routes:", 4, "either routes"),
        ("kind: StandIns", "kind: [", 4, "YAML"),
    ],
)
def test_a_broken_stand_ins_file_fails_with_its_line(tmp_path: Path, old: str, new: str, line: int, why: str) -> None:
    files = with_yaml("version: 1.0.0", "version: 1.0.0\npermissions: {network: ['api.example.com:443']}")
    assert run(tmp_path, files | {"tests/stand-ins.yaml": STAND_INS.encode()}).findings == ()
    result = run(tmp_path / "broken", files | {"tests/stand-ins.yaml": STAND_INS.replace(old, new).encode()})
    found = [finding for finding in result.findings if finding.level == "error"]
    assert [finding.path for finding in found] == ["skills/word-count/tests/stand-ins.yaml"]
    assert why in found[0].message and abs((found[0].line or 0) - line) <= 1


def test_a_declared_host_without_a_stand_in_is_noted(tmp_path: Path) -> None:
    files = with_yaml("version: 1.0.0", "version: 1.0.0\npermissions: {network: ['api.example.com:443', '*.example.org:80']}")
    result = run(tmp_path, files | {"tests/stand-ins.yaml": STAND_INS.encode()})
    assert result.outcome == "passed"
    assert ["*.example.org:80" in finding.message for finding in result.findings] == [True]


def test_well_formed_requirements_and_hosts_pass(tmp_path: Path) -> None:
    lines = "version: 1.0.0\nrequires: [csv-to-json, 'sort-lines >=1.2, <2']\npermissions: {network: ['api.example.com:443']}"
    assert [finding.level for finding in run(tmp_path, with_yaml("version: 1.0.0", lines)).findings] == ["note"]


@pytest.mark.parametrize(("version", "passes"), [("1.0.0", False), ("0.9.0", False), ("1.0.1", True), ("1.1.0", True), ("2.0.0", True)])
def test_a_change_raises_the_version(tmp_path: Path, version: str, passes: bool) -> None:
    files = with_yaml("version: 1.0.0", f"version: {version}") | {"skill.py": b"x = 1\n"}
    result = run(tmp_path, files, base_files=skill_files())
    assert [finding.rule for finding in result.findings] == ([] if passes else ["version"])


def test_a_proposal_that_changes_nothing_fails(tmp_path: Path) -> None:
    assert "changes nothing" in run(tmp_path, base_files=skill_files()).summary


NARROWED = SKILL_YAML.replace("{type: string}", "{type: string, maxLength: 3}").replace("one two", "a b")
DROPPED = SKILL_YAML.replace("words:", "count:").replace("[words]", "[count]")
CHANGED = SKILL_YAML.replace("{words: 2}", "{words: 3}")


@pytest.mark.parametrize("contract", [NARROWED, DROPPED, CHANGED], ids=["narrowed", "dropped", "changed"])
def test_breaking_callers_takes_a_major_version(tmp_path: Path, contract: str) -> None:
    minor = run(tmp_path / "minor", skill_files(**{"skill.yaml": contract.replace("1.0.0", "1.1.0")}), base_files=skill_files())
    major = run(tmp_path / "major", skill_files(**{"skill.yaml": contract.replace("1.0.0", "2.0.0")}), base_files=skill_files())
    assert {finding.rule for finding in minor.findings} == {"compatibility"}
    assert major.findings == ()


def test_a_rollback_may_take_back_what_callers_had(tmp_path: Path) -> None:
    files = skill_files(**{"skill.yaml": NARROWED.replace("1.0.0", "1.0.1")})
    assert run(tmp_path, files, base_files=skill_files(), kind="rollback").findings == ()


def test_more_outputs_are_no_break(tmp_path: Path) -> None:
    wider = SKILL_YAML.replace("1.0.0", "1.1.0").replace("{words: {type: integer}}", "{words: {type: integer}, lines: {type: integer}}")
    wider = wider.replace("{words: 2}", "{words: 2, lines: 1}")
    assert run(tmp_path, skill_files(**{"skill.yaml": wider}), base_files=skill_files()).findings == ()


@pytest.mark.parametrize(("kind", "status", "passes"), [("retire", "retired", True), ("retire", "active", False), ("extend", "deprecated", False)])
def test_the_status_fits_the_kind_of_proposal(tmp_path: Path, kind: str, status: str, passes: bool) -> None:
    files = with_yaml("version: 1.0.0", f"version: 1.0.1\nstatus: {status}")
    assert [f.rule for f in run(tmp_path, files, base_files=skill_files(), kind=kind).findings] == ([] if passes else ["status"])


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("# no front matter\n", "front matter", 1),
        ("", "front matter", 1),
        ("---\nname: word-count\n", "front matter", 1),
        ("---\n- a list\n---\nbody\n", "front matter", 1),
        ("---\nname: 'x\n---\nbody\n", "", None),
        (SKILL_MD.replace("name: word-count", "name: other"), "they must be the same", 2),
        (SKILL_MD.replace("name: word-count\n", ""), "name is missing", 1),
        (SKILL_MD.replace("---\n\n", "version: 1\n---\n\n", 1), "the key 'version' is not one", 4),
        (SKILL_MD.replace("Count the words of a text.", "x" * 1025), "at most 1024", 3),
        (SKILL_MD.replace("---\n\n", "metadata: {a: 1}\n---\n\n", 1), "maps text to text", 4),
        ("---\nname: word-count\ndescription: d\n---\n\n", "no instructions", 1),
    ],
)
def test_skill_md_keeps_to_the_specification(tmp_path: Path, text: str, said: str, line: int | None) -> None:
    result = run(tmp_path, skill_files(**{"SKILL.md": text}))
    assert [f.rule for f in result.findings] == ["skill-md"] and said in result.summary
    assert line is None or result.findings[0].line == line


def test_every_key_that_the_specification_allows_is_allowed(tmp_path: Path) -> None:
    more = "license: MIT\ncompatibility: Needs Python\nmetadata: {author: us}\nallowed-tools: Bash Read\n---\n\n"
    assert run(tmp_path, skill_files(**{"SKILL.md": SKILL_MD.replace("---\n\n", more, 1)})).findings == ()


@pytest.mark.parametrize(
    ("other", "alike"),
    [("word-counts", True), ("wordcount", True), ("word-c0unt", True), ("w0rdcount", True), ("word-cuont", True), ("vvord-count", True),
     ("word-count-2", True), ("count-words", False), ("letter-count", False), ("word-count-by-line", False)],
)  # fmt: skip
def test_a_new_skill_with_a_name_like_anothers_is_for_a_person(tmp_path: Path, other: str, alike: bool) -> None:
    result = run(tmp_path, others=["csv-to-json", other])
    found = [finding for finding in result.findings if finding.rule == "look-alike"]
    assert result.outcome is Outcome.PASSED
    assert [(finding.level, other in finding.message) for finding in found] == ([("person", True)] if alike else [])


def test_a_skill_that_is_there_already_keeps_its_name_whatever_others_are_called(tmp_path: Path) -> None:
    files = skill_files(**{"skill.yaml": SKILL_YAML.replace("1.0.0", "1.0.1")})
    result = run(tmp_path, files, base_files=skill_files(), others=["word-counts"])
    assert [finding for finding in result.findings if finding.rule == "look-alike"] == []
