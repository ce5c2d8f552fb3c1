"""The Dockerfile of a built skill: a pure function of the manifest, the same in form for every language.

The context is what `Language.prepare` made on the host, so nothing is fetched while the image is built. Layers lie in the order in
which they change: base, dependencies, settings, shim, code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from agent.dockerfile import label, quoted
from agent.domain.skill import Manifest

INSIDE = "/skill"  # where an artifact lies, in the sandbox and in an image
PORT = 8080
LISTEN = f"0.0.0.0:{PORT}"
USER = "65532:65532"  # `skill` in our base images, `nonroot` in distroless ones; a number, so that any base will do


def dockerfile(
    manifest: Manifest,
    base: str,
    *,
    command: Sequence[str],
    probe: Sequence[str],
    shim: Sequence[str],
    dependencies: str = "",
    compiled: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> str:
    """`command` starts the server and `probe` ends with 0 where it is healthy, both without a shell. `shim`: the files of the context
    that serve; `dependencies`: its folder of them, where the manifest names any, and `compiled` what is run once over it."""
    health = manifest.health
    variables = {**manifest.environment, "TZ": "UTC", **(environment or {}), "SKILL_LISTEN": LISTEN}
    lines = [f"FROM {base}", "LABEL skillops.build=1"]
    if manifest.dependencies and dependencies:
        lines += [f"COPY {dependencies} {INSIDE}/{dependencies}", *([f"RUN {json.dumps(list(compiled))}"] if compiled else [])]
    lines += [
        *(f"ENV {key}={quoted(value)}" for key, value in variables.items()),
        f"WORKDIR {INSIDE}/code",
        f"EXPOSE {PORT}",
        f"USER {USER}",
        f"HEALTHCHECK --interval={health.interval} --timeout={health.timeout} --retries={health.retries} CMD {json.dumps(list(probe))}",
        f"CMD {json.dumps(list(command))}",
        f"COPY {' '.join(shim)} {INSIDE}/",
        f"COPY service.json {INSIDE}/",
        f"COPY code {INSIDE}/code",
    ]
    if labels:  # at the end, where they change with every build and spoil no layer's cache
        lines.append(label(labels))
    return "\n".join(lines) + "\n"
