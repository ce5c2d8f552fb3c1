"""The Python skill that `skillops new` starts from: it answers the manifest's examples, and says so of everything else."""

from __future__ import annotations

import textwrap
from pprint import pformat

from agent.domain.skill import Manifest
from agent.languages.document import document
from agent.languages.python.analysis import formatted

_SKILL = '''
"""{title}

A start made by `skillops new`: it knows the examples of skill.yaml and nothing else. Put the real work in `execute`.
"""

from typing import Any

EXAMPLES: list[tuple[dict[str, Any], dict[str, Any]]] = {examples}


class NotWrittenYetError(Exception):
    """Raised for inputs that are none of the examples."""

    code = "not-written-yet"


def execute(inputs: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    """The outputs for `inputs`. An exception's class may name the error code that a caller sees, in `code`."""
    for given, outputs in EXAMPLES:
        if inputs == given:
            return outputs
    raise NotWrittenYetError("only the examples of skill.yaml are answered so far")
'''

_TESTS = """
import pytest

from skill import NotWrittenYetError, execute

EXAMPLES = {examples}


@pytest.mark.parametrize(("inputs", "outputs"), EXAMPLES)
def test_answers_the_examples(inputs, outputs):
    assert execute(inputs, {{}}) == outputs


def test_says_so_where_it_has_no_answer():
    with pytest.raises(NotWrittenYetError) as caught:
        execute({{"this is": "no example"}}, {{}})
    assert caught.value.code == "not-written-yet"
"""


def files(manifest: Manifest) -> dict[str, bytes]:
    """`SKILL.md`, `skill.py` (at the manifest's entrypoint) and its tests."""
    examples = pformat([(example.inputs, example.outputs) for example in manifest.examples], width=100, sort_dicts=False)
    title = textwrap.shorten(manifest.description, 100).replace("\\", "\\\\").replace('"', "'")
    module = manifest.entrypoint.removesuffix(".py").replace("/", ".")
    tests = _TESTS.format(examples=examples).replace("from skill import", f"from {module} import", 1)
    return {
        "SKILL.md": document(manifest).encode(),
        manifest.entrypoint: formatted(_SKILL.format(title=title, examples=examples).lstrip()),
        f"tests/test_{module.rpartition('.')[2]}.py": formatted(tests.lstrip()),
    }
