"""The Bash skill that `skillops new` starts from: it answers the manifest's examples, and says so of everything else."""

from __future__ import annotations

import json
import shlex
import textwrap

from agent.domain.skill import Manifest
from agent.languages.document import document

_SKILL = r"""
#!/usr/bin/env bash
# {title}
#
# A start made by `skillops new`: it knows the examples in examples.json and nothing else. Put the real work in `execute`.
#
# A call is one run of this script. The inputs are one JSON object on stdin, the outputs one JSON object on stdout. Any status but 0
# is an error: {{"code": "…", "message": "…"}} as the last line on stderr, as `fail` writes it. $SKILL_CONTEXT is the context as JSON.
set -euo pipefail

fail() {{ # CODE MESSAGE
  jq --null-input --compact-output --arg code "$1" --arg message "$2" '{{code: $code, message: $message}}' >&2
  exit 1
}}

execute() {{
  local outputs
  outputs=$(jq --compact-output --slurpfile known "$(dirname "$0")/examples.json" \
    '. as $inputs | first($known[0][] | select(.inputs == $inputs)).outputs')
  if [[ -z $outputs ]]; then
    fail not-written-yet 'only the examples of skill.yaml are answered so far'
  fi
  printf '%s\n' "$outputs"
}}

execute
"""

_TESTS = r"""
# shellcheck shell=bash
# SkillOps runs each function test_… by itself, in the skill's folder and under `set -Eeuo pipefail`, and gives it two functions:
# expect_outputs INPUTS OUTPUTS, and expect_error INPUTS CODE [MESSAGE]. Each runs skill.sh once.

{tests}
test_says_so_where_it_has_no_answer() {{
  expect_error '{{"this is": "no example"}}' not-written-yet 'only the examples of skill.yaml are answered so far'
}}
"""

_TEST = """\
test_answers_example_{number}() {{
  expect_outputs {inputs} {outputs}
}}
"""

_CONTRACT = """\
## The script

A call is one run of `{entrypoint}`: inputs as JSON on stdin, outputs as JSON on stdout. Where it ends with another status than 0, the
last line on stderr is the error: `{{"code": "…", "message": "…"}}`.
"""


def files(manifest: Manifest) -> dict[str, bytes]:
    """`SKILL.md`, `skill.sh` (at the manifest's entrypoint), the examples beside it, and its tests."""
    folder, _, script = manifest.entrypoint.rpartition("/")
    title = textwrap.shorten(manifest.description, 100)
    examples = [{"inputs": example.inputs, "outputs": example.outputs} for example in manifest.examples]
    tests = "\n".join(
        _TEST.format(number=number, inputs=_literal(example.inputs), outputs=_literal(example.outputs))
        for number, example in enumerate(manifest.examples, 1)
    )
    return {
        "SKILL.md": (document(manifest) + "\n" + _CONTRACT.format(entrypoint=manifest.entrypoint)).encode(),
        manifest.entrypoint: _SKILL.format(title=title).lstrip().encode(),
        f"{folder}/examples.json".lstrip("/"): (json.dumps(examples, indent=2, ensure_ascii=False) + "\n").encode(),
        f"tests/test_{script.removesuffix('.sh')}.sh": _TESTS.format(tests=tests).lstrip().encode(),
    }


def _literal(value: object) -> str:
    return shlex.quote(json.dumps(value, ensure_ascii=False))
