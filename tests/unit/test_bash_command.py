"""A held Bash that forks for each call: a call runs as `bash skill.sh` would, and reaches no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.caller import execute
from agent.domain.invocation import Invocation
from agent.languages.bash import BashLanguage
from agent.languages.bash.command import _error
from agent.languages.bash.language import ADAPTER
from tests.contracts.test_server import asked, running

# Calls each script of a list twice, in a process of its own for each, as those are that answer calls.
CALLER = f"""
import json, os, sys
sys.path[:0] = {[str(ADAPTER.parent), str(ADAPTER.parents[1] / "python")]!r}
import command, zygote

command._outputs = lambda printed: printed.decode()
for folder in sys.argv[1:]:
    if os.fork():
        os.wait()
        continue
    zygote.adopt_orphans()
    execute = command.load({{"bash": "bash", "entrypoint": "skill.sh", "code": folder}})
    execute.begin()
    told = []
    for number in range(2):
        try:
            told.append(execute({{"number": number}}, {{"caller": "ada"}}))
        except Exception as error:
            told.append(f"{{type(error).code}}: {{error}}")
        told.append(execute.alone())
    print(json.dumps(told), flush=True)
    os._exit(0)
"""
# Each script prints, or says as its last line, the same as where Bash is started for it.
SCRIPTS = {
    "inputs and context": 'cat; echo "$SKILL_CONTEXT"',
    "inputs that are not read": "echo out",
    "inputs that are read to their end": 'read -r -d "" all || echo "$all $(wc -c)"',
    "who it is": 'echo "$0 ${BASH_SOURCE[0]} ${#BASH_SOURCE[@]} $# $SHLVL $PWD"; [[ ${BASH_SOURCE[0]} == "$0" ]] && echo main',
    "its own files": "source lib.sh; greet; source ./lib.sh; greet; bash other.sh",
    "what it declares is global": "declare -A found=([a]=1); readonly b=2; show() { echo ${found[a]} $b; }; show",
    "it is read line by line": "shopt -s extglob\n[[ aab == +(a)b ]] && echo matched",
    "errexit": "set -e\nfalse\necho not reached",
    "errexit in a function": "set -e\nf() { false; echo not reached; }\nf\necho nor this",
    "ERR and its line": "set -E\ntrap 'echo line $LINENO >&2' ERR\n\nfalse\nexit 3",
    "EXIT": "trap 'echo bye' EXIT\necho hi",
    "unset": 'set -u\necho "$nothing"',
    "a message": ": ${nothing:?is needed}",
    "no command": "nothing-like-it\n",
    "pipes": "set -o pipefail\nfalse | cat\n",
    "a signal": 'kill -KILL "$BASHPID"; sleep 5',
    "exec": "exec echo replaced",
    "streams": "exec >&2; echo said; exit 9",
    "signals": "trap 'echo caught' INT; kill -INT $BASHPID; echo on",
    "what it has": 'ls /proc/self/fd | wc -l; echo "$((SECONDS / 60))"; jobs; ulimit -c',
    "variables": "compgen -v | grep -vE '^(BASH|PIPESTATUS|FUNCNAME|_$|COMP|DIRSTACK|[A-Z]*$)'; echo none",
}


def started(folder: Path) -> str:
    """What `bash skill.sh` comes to, of inputs that end with a newline."""
    environment = {**os.environ, "SKILL_CONTEXT": '{"caller": "ada"}'}
    done = subprocess.run(["bash", "skill.sh"], cwd=folder, env=environment, input=b'{"number": 1}\n', capture_output=True, timeout=60, check=False)
    if not done.returncode:
        return done.stdout.decode()
    error = _error(done.returncode, done.stderr.splitlines()[-1:])
    return f"{type(error).code}: {error}"  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[Any]]]:
    """By script: its folder, and what two calls of one held Bash came to, each with whether the next call finds nothing of it."""
    root, folders = tmp_path_factory.mktemp("scripts"), {}
    for number, (name, script) in enumerate(SCRIPTS.items()):
        folders[name] = root / str(number)
        folders[name].mkdir()
        for file, text in {"skill.sh": script, "lib.sh": "greet() { echo hello; }", "other.sh": "echo other"}.items():
            (folders[name] / file).write_text(f"{text}\n")
    done = subprocess.run([sys.executable, "-c", CALLER, *map(str, folders.values())], capture_output=True, check=True, timeout=120)
    found = done.stdout.splitlines()
    return {name: (folder, json.loads(line)) for (name, folder), line in zip(folders.items(), found, strict=True)}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_call_of_a_held_bash_is_as_one_that_is_started(told, name):
    folder, (_, _, second, alone) = told[name]
    assert (second, alone) == (started(folder), True)


# ---- in the server --------------------------------------------------------------------------------------------------------


REMEMBERS = """
set -euo pipefail
seen=${seen:-no}${calls:+yes} calls=1 here=$PWD mask=$(umask) options=$-
[[ ${1:-} == "" ]] && set -- left
cd /tmp; umask 077; set -f; export seen; exec 3</dev/null; trap 'true' TERM
jq -cn --arg seen "$seen $here $mask $options" --argjson holder "$PPID" '{seen: $seen, holder: $holder}'
"""


@pytest.mark.bubblewrap
@pytest.mark.parametrize("keeps", [True, False])
def test_the_callers_bash_is_held_for_it_alone_and_no_call_reaches_the_next(tmp_path, keeps):
    with running(tmp_path, BashLanguage(), REMEMBERS, annotations={"readOnly": keeps, "idempotent": keeps}) as endpoint:
        calls = [asked(endpoint, "", caller=caller).outputs for caller in ("ada", "ada", "eve", "ada")]
    assert {call["seen"] for call in calls} == {"no /skill/code 0022 ehuBc"}
    holders = [call["holder"] for call in calls]
    assert holders[0] == holders[1] == holders[3] != holders[2]


@pytest.mark.bubblewrap
def test_a_skill_that_names_its_process_has_a_bash_for_each_call(tmp_path):
    with running(tmp_path, BashLanguage(), 'echo "{\\"own\\": $$}"') as endpoint:
        assert len({asked(endpoint, "").outputs["own"] for _ in range(4)}) == 4


@pytest.mark.bubblewrap
def test_no_call_is_made_twice(tmp_path):
    """A process that stays is no promise of the skill's that it may be called again: what fails has failed."""
    source = 'echo x >>/tmp/calls\n[[ $(wc -l </tmp/calls) == 2 ]] && { echo no >&2; exit 1; }\necho "{\\"calls\\": $(wc -l </tmp/calls)}"'
    with running(tmp_path, BashLanguage(), source, annotations={"readOnly": False, "idempotent": False}) as endpoint:
        assert [asked(endpoint, "").success for _ in range(3)] == [True, False, True]
        assert asked(endpoint, "").outputs == {"calls": 4}


@pytest.mark.bubblewrap
def test_what_a_call_leaves_running_says_nothing_to_the_next(tmp_path):
    source = '(sleep 0.3; echo late; sleep 60) &\nread -r -d "" given || :\nprintf %s "$given"'
    with running(tmp_path, BashLanguage(), source) as endpoint:
        answers = [execute(endpoint, Invocation("word-count", {"n": number}, f"r{number}", "ada")).outputs for number in range(4)]
    assert answers == [{"n": number} for number in range(4)]


@pytest.mark.bubblewrap
def test_inputs_and_outputs_of_any_length_pass(tmp_path):
    with running(tmp_path, BashLanguage(), "cat") as endpoint:
        for length in (0, 1, 4095, 65_536, 1_000_000):
            text = "ö\n" * length
            assert execute(endpoint, Invocation("word-count", {"text": text}, "r", "ada")).outputs == {"text": text}
