"""Docker: how soon a skill that is built and does not run answers, what a call takes once it does, and how soon a changed line serves once merged.

Builder and runtime are those of the settings, with their supervisor running; the engine is the machine's. What was made in it is removed.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agent.builders.bases import STABLE, labels_of
from agent.caller import execute
from agent.docker_engine import DockerEngine
from agent.domain.invocation import Invocation
from agent.domain.release import Endpoint
from agent.errors import CouldNotTell, SkillOpsError
from agent.starter import found
from tests.acceptance.harness import CODE, Home
from tests.acceptance.test_gateway import publish
from tests.benchmarks.bench_warm import called, percentiles
from tests.benchmarks.row import Row, seconds
from tests.builders import a_manifest
from tests.images import Images

ROUNDS, CALLS = 5, 200
COLD, WARM, CHANGED = ("cold start, Docker", "s", 1.2), ("a warm call, Docker", "ms", 3.0), ("one changed line, Docker", "s", 3.0)


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Medians of `rounds` goes; rows that say why not, where there is no engine or no image to build on."""
    if why := absent():
        return [Row(name, None, unit, target, "ours", against=why) for name, unit, target in (COLD, WARM, CHANGED)]
    with tempfile.TemporaryDirectory(prefix="skillops-") as folder, a_home(Path(folder)) as home:
        publish(home, "word-count", CODE)
        cold = [seconds(lambda: _answered(_started(home), 2)) for _ in _stopped(home, rounds)]
        warm = asyncio.run(called(_started(home), CALLS))
        changed = [_changed(home, number) for number in range(1, rounds + 1)]
    rows = [
        Row(name, statistics.median(taken), unit, target, "ours") for (name, unit, target), taken in ((COLD, cold), (WARM, warm), (CHANGED, changed))
    ]
    return [replace(row, parts={"ours": percentiles(warm)}) if row.name == WARM[0] else row for row in rows]


def absent() -> str:
    """What is missing here; empty where nothing is."""
    try:
        engine = DockerEngine()
        engine.client().ping()
        return "" if labels_of(engine, STABLE["python"]) else "the base images are not here: make base-images"
    except SkillOpsError:
        return "no engine answers here: apt-get install docker.io, then start dockerd"


@contextmanager
def a_home(folder: Path) -> Iterator[Home]:
    """A repository whose skills are built and run by Docker; what it leaves in the engine is known by a label, and removed."""
    root = found(folder / "home").root
    with (root / "skillops.toml").open("a") as settings:  # the supervisor, a process of its own, reads them too
        settings.write('runtime = "docker"\nbuilder = "docker"\n')
    home = Home(root)
    images = Images(folder / "contexts", _mark())
    home.change(builder=images.builder(home.parts.languages))
    try:
        yield home
    finally:
        home.close()
        images.clear()


def left() -> list[str]:
    """What of this process's runs is in the engine."""
    images = Images(Path(), _mark())
    return [*images.artifacts(), *(container["Id"] for container in images.containers())]


def _mark() -> str:
    return f"bench-{os.getpid()}"


def _stopped(home: Home, rounds: int) -> Iterator[None]:
    for _ in range(rounds):
        home.parts.runtime.remove("word-count")
        yield


def _started(home: Home) -> Endpoint:
    home.place.pipeline.deploy("word-count")
    return home.parts.runtime.endpoint("word-count")


def _changed(home: Home, number: int) -> float:
    """Seconds from the merge of a changed line to the new version's answer."""
    version = f"1.0.{number}"
    files = home.folder_by_hand(version=version) | {"skill.py": CODE.replace(".split())", f".split()) + {number}").encode()}
    home.commit({f"skills/word-count/{path}": data for path, data in files.items()})
    started = time.perf_counter()
    home.place.pipeline.run()
    _answered(home.parts.runtime.endpoint("word-count"), 2 + number)
    return time.perf_counter() - started


def _answered(endpoint: Endpoint, words: int) -> None:
    reply = execute(endpoint, Invocation(skill=a_manifest().name, inputs={"text": "a b"}, request_id="bench", caller="bench"))
    if not reply.success or reply.outputs != {"words": words}:
        raise CouldNotTell(f"The skill did not answer {words}.", why=f"{reply.error_message or reply.outputs}.")
