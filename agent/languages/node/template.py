"""The Node skill that `skillops new` starts from: it answers the manifest's examples, and says so of everything else."""

from __future__ import annotations

import json
import textwrap

from agent.domain.skill import Manifest
from agent.languages.document import document

_SKILL = """
// {title}
//
// A start made by `skillops new`: it knows the examples in examples.json and nothing else. Put the real work in `execute`.
'use strict';

const {{ isDeepStrictEqual }} = require('node:util');
const EXAMPLES = require('./examples.json');

// An error's `code` is what a caller sees of it, beside its message.
class NotWrittenYet extends Error {{
  code = 'not-written-yet';
}}

// The outputs for `inputs`; `context` holds request_id, deadline, traceparent and caller.
async function execute(inputs, _context) {{
  const known = EXAMPLES.find((example) => isDeepStrictEqual(example.inputs, inputs));
  if (!known) {{
    throw new NotWrittenYet('only the examples of skill.yaml are answered so far');
  }}
  return known.outputs;
}}

module.exports = {{ execute }};
"""

_TESTS = """
'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');

const {{ execute }} = require('../{module}');

{tests}
test('says so where it has no answer', async () => {{
  await assert.rejects(execute({{ 'this is': 'no example' }}, {{}}), {{ code: 'not-written-yet' }});
}});
"""

_TEST = """\
test('answers example {number}', async () => {{
  const inputs = {inputs};
  assert.deepEqual(await execute(inputs, {{}}), {outputs});
}});
"""


def files(manifest: Manifest) -> dict[str, bytes]:
    """`SKILL.md`, `skill.js` (at the manifest's entrypoint), the examples beside it, and its tests."""
    folder, _, module = manifest.entrypoint.rpartition("/")
    examples = [{"inputs": example.inputs, "outputs": example.outputs} for example in manifest.examples]
    tests = "\n".join(
        _TEST.format(number=number, inputs=_literal(example.inputs), outputs=_literal(example.outputs))
        for number, example in enumerate(manifest.examples, 1)
    )
    return {
        "SKILL.md": document(manifest).encode(),
        manifest.entrypoint: _SKILL.format(title=textwrap.shorten(manifest.description, 100)).lstrip().encode(),
        f"{folder}/examples.json".lstrip("/"): (json.dumps(examples, indent=2, ensure_ascii=False) + "\n").encode(),
        f"tests/{module.rpartition('.')[0]}.test.js": _TESTS.format(module=manifest.entrypoint, tests=tests).lstrip().encode(),
    }


def _literal(value: object) -> str:
    """JSON is JavaScript (ECMA-262, since 2019)."""
    return json.dumps(value, ensure_ascii=False)
