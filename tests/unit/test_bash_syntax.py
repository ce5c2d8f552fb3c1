"""Bash as tokens and commands: what a script runs, and where."""

from __future__ import annotations

import time

import pytest

from agent.languages.bash.lexer import Unreadable, tokens
from agent.languages.bash.syntax import commands


def shown(source: str) -> list[str]:
    return [" ".join(word.text for word in command.words) for command in commands(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a && b || c; d & e | f", ["a", "b", "c", "d", "e", "f"]),
        ("if a; then b; elif c; then d; else e; fi", ["a", "b", "c", "d", "e"]),
        ("while read -r x; do echo $x; done <file", ["read -r x", "echo $x"]),
        ("foo() { bar; }; function baz { qux; }", ["bar", "qux"]),
        ("x=1 y=2 run --now", ["x=1 y=2 run --now"]),
        ("list=(a 'b c' \"$(d)\")", ["list=(a 'b c' \"$(d)\")", "d"]),
        ('echo "$(one "$(two)")" `three`', ['echo "$(one "$(two)")" `three`', 'one "$(two)"', "two", "three"]),
        ("case $x in a | b) one ;; (c) two ;; *) three ;; esac", ["case $x in", "one", "two", "three"]),
        ("[[ $x =~ ^(a|b)$ && -n $y ]] && z", ["[[ $x =~ ^(a|b)$ && -n $y ]]", "z"]),
        ("(( x > 1 )) && echo $(( x + 1 ))", ["(( x > 1 ))", "echo $(( x + 1 ))", "(( x + 1 ))"]),
        ("for ((i = 0; i < 3; i++)); do a; done", ["for ((i = 0; i < 3; i++))", "a"]),
        ("cat <<EOF\n$(run) 'not\nEOF\nafter", ["cat", "run", "after"]),
        ("cat <<'EOF' | b\n$(not run)\nEOF\nafter", ["cat", "b", "after"]),
        ("a <<-X <<Y\n\tone\n\tX\ntwo\nY\nb", ["a", "b"]),
        ("a 2>&1 >/dev/null <in b", ["a b"]),
        ("{ a; } 2>/dev/null; (b)", ["a", "b"]),
        ("a <(b) >(c)", ["a <(b) >(c)", "b", "c"]),
        ("# it's a comment\na # and `another\n", ["a"]),
        ("echo ${x:-\"}\"} ${#y[@]} ${z//\\'/} $'it\\'s' it\\'s", ["echo ${x:-\"}\"} ${#y[@]} ${z//\\'/} $'it\\'s' it\\'s"]),
        ("a \\\n  b", ["a b"]),
        ("echo if then fi", ["echo if then fi"]),
        ("! a; time b", ["a", "b"]),
        ("x=$(case y in y) z ;; esac)", ["x=$(case y in y) z ;; esac)", "case y in", "z"]),
    ],
)
def test_the_commands_of_a_script_are_found(source, expected):
    assert shown(source) == expected


def test_a_command_knows_its_lines():
    found = commands("a\nb \\\n  c\nd <<X\n1\n2\nX\ne 'two\nlines'\n")
    assert [(command.line, command.last_line) for command in found] == [(1, 1), (2, 3), (4, 4), (8, 9)]


@pytest.mark.parametrize("source", ["echo 'a", 'echo "a', "echo $(a", "((1 + 2", "cat <<EOF\na\n", "echo ${a", "x=(a"])
def test_what_ends_in_the_middle_cannot_be_read(source):
    with pytest.raises(Unreadable):
        commands(source)


def test_the_tokens_hold_the_whole_source():
    source = 'if [[ $a == b ]]; then # why\n  run "$(x)" <<E\nbody\nE\nfi\n'
    rest, at = "", 0
    for token in tokens(source):
        rest += source[at : token.start]
        assert source[token.start : token.end] == token.text
        at = token.end
    assert rest.strip(" ") == "" and at == len(source)


def test_a_word_of_a_megabyte_is_read_in_the_time_that_its_length_takes():
    start = time.process_time()
    (command,) = commands("echo " + "a" * 10**6)
    assert len(command.words[1].text) == 10**6
    assert time.process_time() - start < 10  # a look at all that was read, for each letter, takes minutes


def test_an_element_by_the_name_that_another_array_holds_is_an_assignment():
    (command,) = commands("seats[${names[n]}]=$n")
    assert command.arguments == []
