"""The Python skill that `skillops new` starts from: it answers the manifest's examples, and says so of everything else."""

from __future__ import annotations

import json
import textwrap
from pprint import pformat

from agent.domain.schema import Json
from agent.domain.skill import Manifest
from agent.languages.python.analysis import formatted
from agent.strict_yaml import dump

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

_DOCUMENT = """\
---
{front}---

# {name}

{description}

## Example

Inputs:

```json
{inputs}
```

Outputs:

```json
{outputs}
```
"""


def files(manifest: Manifest) -> dict[str, bytes]:
    """`SKILL.md`, `skill.py` (at the manifest's entrypoint) and its tests."""
    examples = pformat([(example.inputs, example.outputs) for example in manifest.examples], width=100, sort_dicts=False)
    title = textwrap.shorten(manifest.description, 100).replace("\\", "\\\\").replace('"', "'")
    module = manifest.entrypoint.removesuffix(".py").replace("/", ".")
    tests = _TESTS.format(examples=examples).replace("from skill import", f"from {module} import", 1)
    return {
        "SKILL.md": _document(manifest).encode(),
        manifest.entrypoint: formatted(_SKILL.format(title=title, examples=examples).lstrip()),
        f"tests/test_{module.rpartition('.')[2]}.py": formatted(tests.lstrip()),
    }


def _document(manifest: Manifest) -> str:
    front = dump({"name": manifest.name, "description": manifest.description})
    example = manifest.examples[0]
    return _DOCUMENT.format(
        front=front, name=manifest.name, description=manifest.description.strip(), inputs=_shown(example.inputs), outputs=_shown(example.outputs)
    )


def _shown(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
