"""The SKILL.md of a template, in any language (agentskills.io/specification)."""

from __future__ import annotations

import json

from agent.domain.schema import Json
from agent.domain.skill import Manifest
from agent.strict_yaml import dump

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


def document(manifest: Manifest) -> str:
    """Front matter, what the skill does, and its first example."""
    front = dump({"name": manifest.name, "description": manifest.description})
    example = manifest.examples[0]
    return _DOCUMENT.format(
        front=front, name=manifest.name, description=manifest.description.strip(), inputs=_shown(example.inputs), outputs=_shown(example.outputs)
    )


def _shown(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
