"""What a person is to look at in Bash: each weakness in some of its shapes, and the honest script beside it that nobody is bothered with."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from agent.languages.bash.analysis import security
from agent.languages.bash.doubts import doubts

FOUND = [
    ("protected-characteristic", '[[ $gender == "male" ]] && echo 1'),
    ("protected-characteristic", 'case "$religion" in\n  a) echo 1 ;;\n  *) echo 2 ;;\nesac'),
    ("protected-characteristic", "echo ${weights[$nationality]}"),
    ("protected-characteristic", "total=$((income + race_score))"),
    ("loose-pattern", "validate() {\n  [[ $1 =~ [0-9]{5} ]]\n}"),
    ("loose-pattern", "is_ip() {\n  local ip=$1\n  [[ $ip =~ ^[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+$ ]]\n}"),
    ("doubled-key", 'pairs=("a,1" "b,2" "a,3")\nfor p in "${pairs[@]}"; do IFS=, read -r k v <<< "$p"; [[ $k == "$1" ]] && echo "$v"; done'),
    ("doubled-key", "declare -A t=([a]=1 [b]=2 [a]=3)"),
    ("credential", 'password=tr0ub4dor\n[ "$1" = "$password" ]'),
    ("credential", '[[ "$pin" == "4711" ]]'),
    ("slow-comparison", 'verify() {\n  for ((i = 0; i < 9; i++)); do [[ "${1:$i:1}" != "x" ]]; [[ ${a:$i:1} != "${b:$i:1}" ]] && return 1; done\n}'),
    ("guessable", "token=$RANDOM"),
    ("guessable", "make_key() {\n  local k=$(date +%s)\n  echo $k\n}"),
    ("quick-hash", 'echo -n "$password" | sha256sum'),
    ("told-password", 'echo -n "$passwd" | base64'),
    ("told-password", 'echo "it is $password"'),
    ("no-default", 'case $1 in\n  a) echo 1 ;;\n  b) echo 2 ;;\n  *) echo "" ;;\nesac'),
    (
        "unasked",
        """
        isAdmin() { return 0; }
        ban() { echo ban; }
        free() { echo free; }
        move() { echo move; }
        handle() {
          case "$1" in
            ban) if isAdmin; then ban; fi ;;
            free) free ;;
            move)
              if isAdmin; then
                move
              fi ;;
            *) return 1 ;;
          esac
        }
        handle "$1"
        """,
    ),
    ("unasked", "has_permission() { return 0; }\necho hello"),
    ("endless-loop", "while true; do\n  echo x\ndone"),
    ("endless-loop", "for ((;;)); do echo x; done"),
    ("endless-recursion", "bomb() {\n  bomb | bomb &\n}\nbomb"),
]
LEFT_ALONE = [
    "[[ -n $gender ]] && echo given",
    '[ "$gender" = "" ] || echo given',
    "((age >= 18)) && echo adult",
    "validate() {\n  [[ $1 =~ ^[0-9]{5}$ ]]\n}",
    '[[ $line =~ [0-9]+ ]] && echo "${BASH_REMATCH[0]}"',
    'pairs=("a,1" "b,2")\nIFS=, read -r k v <<< "${pairs[0]}"',
    'words=(a b a)\necho "${words[@]}"',
    "key=$RANDOM",
    'echo -n "$text" | sha256sum',
    "case $1 in\n  a) echo 1 ;;\n  *) exit 1 ;;\nesac",
    "case $1 in\n  a) echo 1 ;;\n  b) echo 2 ;;\nesac",
    "gcd() {\n  (( $2 == 0 )) && echo $1 || gcd $2 $(( $1 % $2 ))\n}",
    "while true; do\n  read -r line || break\ndone",
    'while read -r line; do echo "$line"; done',
    "for ((i = 0; i < 3; i++)); do echo x; done",
    "fact() {\n  if (( $1 < 2 )); then echo 1; else fact $(( $1 - 1 )); fi\n}",
    "case $1 in",
]


@pytest.mark.parametrize(("rule", "source"), FOUND)
def test_a_weakness_is_shown_to_a_person(rule: str, source: str) -> None:
    assert rule in {found for _, found, _ in doubts(textwrap.dedent(source))}


@pytest.mark.parametrize("source", LEFT_ALONE)
def test_an_honest_script_bothers_nobody(source: str) -> None:
    assert doubts(source) == []


def test_a_doubt_blocks_nothing_and_is_not_looked_for_in_tests(tmp_path: Path) -> None:
    root = tmp_path / "word-count"
    (root / "tests").mkdir(parents=True)
    for name in ("skill.sh", "tests/skill.sh"):
        (root / name).write_text("while true; do\n  sleep 1\ndone\n")
    assert [(one.rule, one.level, one.path, one.line) for one in security(root)] == [
        ("skillops-endless-loop", "person", "skills/word-count/skill.sh", 1)
    ]
