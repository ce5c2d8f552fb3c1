"""Plain `pytest` is safe: no model is ever called, and what needs an engine says so by a marker.

Without bubblewrap the tests marked so are left out, and the summary says how many; with SKILLOPS_TEST_ENGINES=required
(as in CI) they run and fail instead.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.docker_engine import DockerEngine
from tests.chromium import chromium_is_here
from tests.engines import required
from tests.images import Images
from tests.schedule import longest_first

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
for name in [key for key in os.environ if key.startswith("SKILLOPS_") and key != "SKILLOPS_TEST_ENGINES"]:
    del os.environ[name]


def pytest_configure(config: pytest.Config) -> None:
    """What is left where temporary files lie, also by what a test kills, goes with the run: this process gives all of it a folder of its own."""
    if hasattr(config, "workerinput"):
        return
    before, folder = tempfile.gettempdir(), tempfile.mkdtemp(prefix="t-")  # short: sockets lie in it
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", before)  # pytest keeps its own folders of the last runs
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    config.add_cleanup(partial(let_go, folder, before))


def let_go(folder: str, before: str) -> None:
    """Removes a folder, unless something is mounted in it; what comes after the tests has the one from before."""
    os.environ["TMPDIR"] = tempfile.tempdir = before
    if f" {folder}/" not in Path("/proc/self/mounts").read_text():
        shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_finish() -> None:
    """What thousands of tests consist of stays to the end: it is not looked through at each collection of garbage."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Takes away what this process's tests have built at the engine, whichever module did."""
    runtimes = sys.modules.get("tests.runtimes")
    if runtimes and runtimes.DockerBench.used:
        runtimes.clear_engine(volumes=True, images=True)


def bubblewrap_works() -> bool:
    command = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    return shutil.which("bwrap") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


def gvisor_is_here() -> bool:
    return shutil.which("runsc") is not None and os.geteuid() == 0


def bash_tools_are_here() -> bool:
    return all(shutil.which(tool) for tool in ("bash", "shellcheck", "jq", "curl"))


def node_is_here() -> bool:
    return all(shutil.which(tool) for tool in ("node", "npm"))


def go_is_here() -> bool:
    return shutil.which("go") is not None


def docker_is_here() -> bool:
    return DockerEngine().available().ok


# Each marker that needs something of the machine: whether it is here, and how to get it.
ENGINES = {
    "bubblewrap": (bubblewrap_works, "bubblewrap does not work here (apt-get install bubblewrap)"),
    "gvisor": (gvisor_is_here, "gVisor does not work here (apt-get install runsc, and run as root)"),
    "bash_tools": (bash_tools_are_here, "the tools for Bash skills are not here (apt-get install shellcheck jq curl)"),
    "node_tools": (node_is_here, "Node 20 and npm are not here (apt-get install nodejs npm)"),
    "go_tools": (go_is_here, "Go is not here (a current toolchain from go.dev)"),
    "github": (node_is_here, "Node 20 and npm are not here, which GitHub's API on loopback needs (apt-get install nodejs npm)"),
    "browser": (chromium_is_here, "Chromium and npm are not here (apt-get install chromium npm)"),
    "docker": (docker_is_here, "Docker Engine does not answer here (apt-get install docker.io, then start dockerd)"),
}


# A test that is run for a language of the shelf needs that language's tools.
LANGUAGES = {"node": "node_tools", "bash": "bash_tools", "go": "go_tools"}


def languages_of(item: pytest.Item) -> set[str]:
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return {name for value in values if (name := getattr(value, "name", value)).__class__ is str}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for name in languages_of(item) & LANGUAGES.keys():
            item.add_marker(LANGUAGES[name])
    longest_first(items)
    if required():
        return
    for marker, (is_here, why) in ENGINES.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked and not is_here():
            reason = f"{why}; SKILLOPS_TEST_ENGINES=required makes this a failure"
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def images() -> Iterator[Callable[..., Images]]:
    """Makes the places that images of this test are built in, by the folder of their contexts."""
    made: list[Images] = []

    def make(store: Path, engine: DockerEngine | None = None) -> Images:
        made.append(Images(store, f"test-{uuid.uuid4().hex[:12]}", engine))
        return made[-1]

    yield make
    for place in made:
        place.clear()


@pytest.fixture(params=["asgi", "socket"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to the gateway's door: as ASGI, and over a socket, where the fast lane takes what it can."""
    monkeypatch.setattr("tests.gateways.over_sockets", request.param == "socket")
    return str(request.param)
