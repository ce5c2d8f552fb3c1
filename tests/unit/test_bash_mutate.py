"""Mutants of Bash: the changes that tests ought to notice, and the places that have none."""

from __future__ import annotations

import subprocess

import pytest

from agent.languages.bash.mutate import mutated, sites


def changes(source: str) -> set[str]:
    return {mutated(source, number) for number in range(len(sites(source)))}


@pytest.mark.parametrize(
    ("source", "one"),
    [
        ("[[ $a == b ]]", "[[ $a != b ]]"),
        ("[[ $a -lt 3 ]]", "[[ $a -le 3 ]]"),
        ("[[ $a -lt 3 ]]", "[[ $a -lt 4 ]]"),
        ("[[ -z $a || $b = c ]]", "[[ -z $a && $b = c ]]"),
        ("[ -n x ]", "[ -z x ]"),
        ("((a >= 3))", "((a > 3))"),
        ("x=$((a + 2))", "x=$((a - 2))"),
        ("a && b", "a || b"),
        ("x=5", "x=6"),
        ("x='abc'", "x=''"),
        ("x=\"$(jq '.a + 1')\"", "x=\"$(jq '.a - 1')\""),
        ("jq '.a[] | select(.b == 1)'", "jq '.a[] | select(.b != 1)'"),
        ("jq '.a and .b'", "jq '.a or .b'"),
        ("tidy up", ":"),
        ("if ready; then go; fi", "if ! ready; then go; fi"),
        ("return 0", "return 1"),
        ("for ((i = 0; i < 3; i++)); do a; done", "for ((i = 0; i <= 3; i++)); do a; done"),
    ],
)
def test_a_small_change_is_a_mutant(source, one):
    assert one in changes(source)


@pytest.mark.parametrize(
    "source", ["set -euo pipefail", "echo 'a b' >&2", "fail code 'a message'", "exit 3", "# x == y", "local a b", "jq -n '\"1 + 2\"' >&2"]
)
def test_what_tests_cannot_fairly_notice_has_none(source):
    assert changes(source) == set()


def test_every_mutant_is_another_script_that_bash_can_read():
    source = (
        "f() {\n  local x=3\n  if [[ $1 == a && $x -gt 2 ]]; then\n    echo 'one two' | tr a b\n  fi\n  jq '.a | length > 2' <<<\"$1\"\n}\nf \"$@\"\n"
    )
    found = changes(source)
    assert len(found) >= 10 and source not in found
    assert [text for text in found if subprocess.run(["bash", "-n"], input=text.encode(), check=False, capture_output=True).returncode] == []


def test_a_mutant_tells_its_place_and_change():
    (site,) = [site for site in sites("a\nx=$(\n  [[ $b == c ]]\n)\n") if site.old == "=="]
    assert (site.line, site.change) == (3, "`==` → `!=`")
