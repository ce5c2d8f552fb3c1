"""Our own security rules for Bash: what they stop, and the ordinary code that they leave alone."""

from __future__ import annotations

import base64

import pytest

from agent.languages.bash.naming import functions
from agent.languages.bash.rules import broken
from agent.languages.permitted import Permitted

BLOB = base64.b64encode(bytes(range(60))).decode()
STOPPED = [
    ("dynamic-code", 'eval "$x"'),
    ("dynamic-code", "e''val x"),
    ("dynamic-code", "$cmd now"),
    ("dynamic-code", '"${run[@]}" now'),
    ("dynamic-code", "$(printf ls)"),
    ("dynamic-code", "bash -c 'ls'"),
    ("dynamic-code", "sh -ec ls"),
    ("dynamic-code", "echo ls | bash"),
    ("dynamic-code", "bash <(echo ls)"),
    ("dynamic-code", "bash <<<ls"),
    ("dynamic-code", 'source "$x"'),
    ("dynamic-code", ". /dev/stdin"),
    ("dynamic-code", "xargs -n 1 sh -c 'ls'"),
    ("dynamic-code", "timeout -k 1 5s bash -c ls"),
    ("dynamic-code", "command eval ls"),
    ("dynamic-code", "x=$(eval ls)"),
    ("dynamic-code", "PATH=/tmp:$PATH"),
    ("dynamic-code", "export LD_PRELOAD=/tmp/x.so"),
    ("dynamic-code", 'trap "$x" EXIT'),
    ("dynamic-code", "awk 'BEGIN { system(\"ls\") }'"),
    ("dynamic-code", "sed 's/a/b/e' x"),
    ("dynamic-code", "source /tmp/x.sh"),
    ("dynamic-code", "source data"),
    ("dynamic-code", "./tool"),
    ("dynamic-code", "sort --compress-program=sh x"),
    ("dynamic-code", "split --filter 'sh' x"),
    ("dynamic-code", "mapfile -C run x"),
    ("dynamic-code", "read -r PATH <<<x"),
    ("process", "python3 -c 'print(1)'"),
    ("process", "find . -exec perl -e 1 {} +"),
    ("process", "kill -9 1"),
    ("process", "a | xargs /usr/bin/node"),
    ("network", "curl http://a.example"),
    ("network", "echo | nc a.example 80"),
    ("network", "exec 3<>/dev/tcp/a.example/80"),
    ("network", "cat </dev/udp/a.example/53"),
    ("files", "cat /etc/passwd"),
    ("files", "place='/etc/shadow'; cat \"$place\""),
    ("files", "ls /app/"),
    ("files", "echo x >>~/.bashrc"),
    ("files", "cat ../../secrets"),
    ("files", "echo x >kept.txt"),
    ("files", 'rm -rf "$1"'),
    ("files", "touch data/new"),
    ("files", "sort <'/var/log/syslog'"),
    ("process", "bc <<<1+1"),
    ("process", "crontab -l"),
    ("privilege", "sudo ls"),
    ("privilege", "ulimit -v unlimited"),
    ("environment", "printenv"),
    ("environment", 'echo "$AWS_SECRET"'),
    ("environment", "cat /proc/1/environ"),
    ("encoded-payload", f"base64 -d <<<{BLOB}"),
    ("encoded-payload", f"x={BLOB}\necho $x | base64 --decode"),
    ("encoded-payload", r"x=$'\x41\x42\x43\x44\x45\x46\x47\x48'"),
]
ORDINARY = [
    "set -euo pipefail\ninputs=$(cat)\njq --compact-output '{n: .a}' <<<\"$inputs\"",
    'source "$(dirname "$0")/lib.sh"',
    "bash skill.sh <<<'{}'",
    'bash "$SKILL_ENTRYPOINT" <in.json',
    'LIMIT=3; for ((i = 0; i < LIMIT; i++)); do echo "$LIMIT"; done',
    'local -r NAME=x; echo "$NAME ${NAME} $SKILL_CONTEXT $IFS"',
    "read -r A B <<<'1 2'; echo \"$A $B\"",
    "trap 'rm -f \"$file\"' EXIT",
    "awk '{ print $1 }' | sed 's/a/b/g' | sort | uniq -c",
    "echo 'curl is a word' # eval is another",
    'base64 --decode <<<"$input"',
    "find . -name '*.txt' -exec wc -l {} +",
    "printf '%s\\n' \"$x\" | xargs -n 1 echo",
    "IFS=, read -r a b",
    "source lib/words.sh",
    "/usr/bin/sort --reverse x",
    "f() { local -r path=$1; }; f x",
    'work=$(mktemp -d); jq . >"$work/reply"; rm -r "$work"',
    "cat words.txt 2>/dev/null >&2",
    "sed -n '/etc/p' words.txt; grep -c /x/ words.txt; [[ $1 != /* ]]",
    "echo x >/tmp/x; printf '%s' /etc/y >/dev/stderr",
]


@pytest.mark.parametrize(("rule", "source"), STOPPED)
def test_what_hides_or_reaches_out_is_stopped(rule, source):
    found = broken(source, Permitted())
    assert (rule, "error") in {(name, level) for _, name, _, level in found}


@pytest.mark.parametrize("source", ORDINARY)
def test_ordinary_code_is_left_alone(source):
    assert broken(source, Permitted()) == []


def test_a_finding_has_its_line():
    assert [line for line, *_ in broken("true\n\nx=$(\n  eval a\n)\n", Permitted())] == [4]


def test_the_manifest_permits_the_network_and_variables():
    permitted = Permitted(network=True, variables=frozenset({"UNIT"}))
    assert broken('curl "https://a.example/$UNIT"\n: </dev/tcp/a/1', permitted) == []


def test_what_is_kept_is_written_where_the_manifest_says_so():
    assert broken('echo x >"$1/kept"', Permitted(storage=True)) == []
    assert {rule for _, rule, *_ in broken("echo x >/etc/passwd", Permitted(storage=True))} == {"files"}


def test_the_functions_of_the_skills_other_scripts_are_no_programs():
    assert broken("fail x", Permitted(), own=frozenset({"fail"})) == []
    assert functions("fail() {\n  :\n}\nfunction told { :; }") == {"fail", "told"}


def test_what_is_ordinary_in_tests_is_a_note_there():
    source = f'echo "$HOST" | base64 -d <<<{BLOB}\n'
    assert {level for *_, level in broken(source, Permitted(), in_tests=True)} == {"note"}
    assert {level for *_, level in broken("eval x", Permitted(), in_tests=True)} == {"error"}


def test_what_cannot_be_read_says_so():
    with pytest.raises(ValueError, match="missing"):
        broken("echo 'a", Permitted())
