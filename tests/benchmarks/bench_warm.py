"""A warm call: what lies between a caller and an answer once the skill runs and its caller's process stays, in each language.

Each skill is the least that answers, in its sandbox, called over a kept connection, one call after the other. Its second part is the same skill
where it may keep nothing (`idempotent: false`): a process of its own for each call. A Bash skill has that in any case, forked from a Bash that has
started; what it is held against is the same script as a command, by itself and with jq, which takes 25 ms to start where it is of version 1.6.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.async_caller import AsyncCaller
from agent.caller import health
from agent.domain.invocation import Invocation
from agent.domain.release import Endpoint
from agent.errors import SkillOpsError
from agent.languages.bash import BashLanguage
from agent.languages.go import GoLanguage
from agent.languages.node import NodeLanguage
from agent.languages.python import PythonLanguage
from agent.ports import Language
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.supervisor_client import short_folder
from tests.benchmarks.row import Row, seconds
from tests.builders import a_manifest

TARGET = 3.0  # milliseconds
SOURCES = {
    "python": "def execute(inputs, context):\n    return {'words': len(inputs['text'].split())}\n",
    "node": "exports.execute = (inputs) => ({ words: inputs.text.split(' ').length });\n",
    "go": 'package skill\n\nimport "strings"\n\nfunc Execute(inputs, context map[string]any) (map[string]any, error) {\n'
    '\treturn map[string]any{"words": len(strings.Fields(inputs["text"].(string)))}, nil\n}\n',
    "bash": "read -r text || :\ntext=${text#*: \\\"} words=(${text%\\\"*})\nprintf '{\"words\": %s}\\n' \"${#words[@]}\"\n",
    "bash with jq": "jq -c '{words: (.text | split(\" \") | length)}'\n",
}  # fmt: skip
SHELF: Mapping[str, Language] = {"python": PythonLanguage(), "node": NodeLanguage(), "go": GoLanguage(), "bash": BashLanguage()}


def measure(calls: int = 200, languages: tuple[str, ...] = tuple(SOURCES)) -> list[Row]:
    """Medians in milliseconds of so many calls, after some to warm, with what one in a hundred exceeds."""
    return [_row(name, calls) for name in languages]


def _row(name: str, calls: int) -> Row:
    title = f"a warm call, {name}"
    try:
        kept = _taken(name, calls, keeps=True)
        fresh = _by_hand(name, max(calls // 4, 2)) if name.startswith("bash") else _taken(name, max(calls // 4, 2), keeps=False)
    except SkillOpsError as error:
        return Row(title, None, "ms", TARGET, "ours", against=error.fault)
    against = "started by hand" if name.startswith("bash") else "a process for each call"
    told = {"ours": percentiles(kept), against: percentiles(fresh)}
    return Row(title, statistics.median(kept), "ms", TARGET, "ours", reference=statistics.median(fresh), against=against, parts=told)


def percentiles(taken: Sequence[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {"p50": statistics.median(ordered), "p99": ordered[len(ordered) * 99 // 100]}


def _by_hand(name: str, rounds: int) -> list[float]:
    """The milliseconds of a Bash skill as a command, with nothing of ours around it."""
    command = ["bash", "-c", SOURCES[name]]
    run = lambda: subprocess.run(command, input=b'{"text": "one two"}', capture_output=True, check=True)  # noqa: E731
    return [1000 * seconds(run) for _ in range(rounds)]


def _taken(name: str, calls: int, *, keeps: bool) -> list[float]:
    language = SHELF[name.partition(" ")[0]]
    with tempfile.TemporaryDirectory(prefix="skillops-", dir=short_folder()) as made:
        folder = Path(made)
        root, artifact, sockets = folder / "word-count", folder / "artifact", folder / "run"
        for each in (root, artifact, sockets):
            each.mkdir()
        (root / language.entrypoint).write_text(SOURCES[name])
        manifest = a_manifest(runtime=language.name, entrypoint=language.entrypoint, annotations={"readOnly": keeps, "idempotent": keeps})
        language.prepare(root, manifest, artifact)
        process = BubblewrapSandbox().start(language.server(artifact, manifest, sockets), log=folder / "log")
        try:
            endpoint, until = Endpoint(socket=str(sockets / "skill.sock")), time.monotonic() + 30
            while health(endpoint, 5.0)[0] != "healthy" and time.monotonic() < until:
                time.sleep(0.01)
            return asyncio.run(called(endpoint, calls))
        finally:
            process.stop(0.1)


async def called(endpoint: Endpoint, calls: int) -> list[float]:
    """The milliseconds of so many calls, one after the other on one connection, after some to warm."""
    caller, taken = AsyncCaller(endpoint), list[float]()
    for number in range(calls + 10):
        invocation = Invocation("word-count", {"text": "one two"}, f"r{number}", "ada")
        started = time.perf_counter()
        reply = await caller.execute(invocation)
        taken.append(1000 * (time.perf_counter() - started))
        assert reply.success and reply.outputs == {"words": 2}, reply
    await caller.retire()
    return taken[10:]
