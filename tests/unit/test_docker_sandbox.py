"""The Docker sandbox beyond its contract: an engine that does not see our files, what a killed starter leaves, and output that is cut."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.docker_engine import DockerEngine, remove
from agent.errors import CouldNotTell, SandboxUnavailable
from agent.ports import Limits, Mount, SandboxResult, SandboxSpec
from agent.sandboxes import container, docker, docker_copies, exchange
from agent.sandboxes.container import BOOT, LABEL
from agent.sandboxes.docker import DockerSandbox
from agent.sandboxes.docker_root import small_root
from agent.sandboxes.undertaker import bury
from tests.engines import need_base_images

pytestmark = pytest.mark.docker
MINE = {"skillops.test": "vault"}


def shell(script: str, *mounts: Mount, **traits: Any) -> SandboxSpec:
    return SandboxSpec.model_validate({"argv": ("/bin/sh", "-c", script), "mounts": mounts, "limits": Limits(seconds=20), **traits})


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> DockerSandbox:
    """As with DOCKER_HOST on another machine: nothing of this one is seen there."""
    need_base_images("python")
    monkeypatch.setattr(docker, "see_our_files", lambda *_: False)
    return DockerSandbox(image="skillops/base-python:stable")


def said(result: SandboxResult) -> str:
    assert result.ending == "ok", result
    return result.stdout.decode().strip()


# ---- an engine elsewhere ------------------------------------------------------------------------------------------


def test_folders_and_files_are_copied_in_and_cannot_be_changed(elsewhere: DockerSandbox, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir(mode=0o700)
    (tmp_path / "code" / "skill.py").write_text("print('from the skill')")
    (tmp_path / "code" / "skill.py").chmod(0o600)
    (tmp_path / "bed.py").write_text("print('from the bed')")
    mounts = (Mount(source=tmp_path / "code", target="/skill/code"), Mount(source=tmp_path / "bed.py", target="/testbed/bed.py"))
    assert said(elsewhere.run(shell("python3 /skill/code/skill.py; python3 /testbed/bed.py", *mounts))) == "from the skill\nfrom the bed"
    assert (tmp_path / "code" / "skill.py").read_text() == "print('from the skill')"
    denied = elsewhere.run(shell("(: > /skill/code/skill.py) || (: > /skill/code/new) || (: > /testbed/bed.py) || (: > /x) || exit 9", *mounts))
    assert denied.exit_code == 9


def test_our_python_is_theirs_on_an_engine_elsewhere(elsewhere: DockerSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Mount(source=Path("/root/.python"), target="/root/.python")  # where nobody but root gets to
    monkeypatch.setattr(docker_copies, "base_mounts", lambda: (ours,))
    monkeypatch.setattr(docker_copies, "interpreter", lambda: "/root/.python/bin/python3")
    spec = SandboxSpec(argv=("/root/.python/bin/python3", "-c", "print('theirs')"), mounts=(ours,), limits=Limits(seconds=20))
    assert said(elsewhere.run(spec)) == "theirs"


def test_what_is_written_comes_back_and_leads_nowhere_else(elsewhere: DockerSandbox, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "old").write_text("old")
    (tmp_path / "outside").write_text("untouched")
    mount = Mount(source=tmp_path / "data", target="/data", writable=True)
    assert said(elsewhere.run(shell("cat /data/old; rm /data/old; mkdir /data/sub; echo new > /data/sub/new", mount))) == "old"
    assert {str(path.relative_to(tmp_path / "data")) for path in (tmp_path / "data").rglob("*")} == {"sub", "sub/new"}
    with pytest.raises(CouldNotTell, match="brought back"):
        elsewhere.run(shell("ln -s ../../outside /data/link; ln -s / /data/root", mount))
    assert (tmp_path / "outside").read_text() == "untouched"
    assert (tmp_path / "data" / "sub" / "new").read_text() == "new\n"


def test_more_than_is_brought_back_is_told(elsewhere: DockerSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_copies, "MOST", 2**20)
    (tmp_path / "data").mkdir()
    with pytest.raises(CouldNotTell, match="More was written"):
        elsewhere.run(shell("head -c 3000000 /dev/zero > /data/big", Mount(source=tmp_path / "data", target="/data", writable=True)))
    assert list((tmp_path / "data").iterdir()) == []


def test_the_ends_that_an_engine_elsewhere_can_tell(elsewhere: DockerSandbox) -> None:
    assert elsewhere.run(shell("echo out; echo result >&3", result_fd=True)).result == b"result\n"
    hungry = SandboxSpec(argv=("/usr/bin/python3", "-c", "bytearray(300 * 2**20)"), limits=Limits(memory=100 * 2**20, seconds=20))
    assert elsewhere.run(hungry).ending == "out_of_memory"
    assert elsewhere.run(shell("sleep 60", limits=Limits(seconds=0.5))).ending == "timeout"
    assert (
        elsewhere.run(shell("sleep 9 & sleep 9 & sleep 9 & sleep 9 & wait", limits=Limits(processes=3, seconds=20))).ending == "nonzero"
    )  # not pids


def test_secrets_are_not_handed_to_an_engine_elsewhere(elsewhere: DockerSandbox) -> None:
    with pytest.raises(SandboxUnavailable, match="engine elsewhere"):
        elsewhere.run(shell("true", files={"/run/secrets/A": b"value"}))


def test_an_engine_elsewhere_needs_an_image_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "see_our_files", lambda *_: False)
    available = DockerSandbox().available()
    assert not available.ok and "sandbox_image" in available.fix
    with pytest.raises(SandboxUnavailable):
        DockerSandbox().run(shell("true"))


SSH = """#!{python}
# What `ssh HOST docker system dial-stdio` does, without another host: our stdin and stdout are the engine's socket.
import os, socket, threading
engine = socket.socket(socket.AF_UNIX)
engine.connect({socket!r})
def inward():
    while data := os.read(0, 65536):
        engine.sendall(data)
    engine.shutdown(socket.SHUT_WR)
threading.Thread(target=inward, daemon=True).start()
while data := engine.recv(65536):
    os.write(1, data)
"""


def test_an_engine_is_reached_through_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    (tmp_path / "ssh").write_text(SSH.format(python=sys.executable, socket=local))
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", "ssh://somebody@elsewhere")
    sandbox = DockerSandbox()
    result = sandbox.run(shell("head -c 5; echo word >&3; exit 4", stdin=b"x" * 100_000, result_fd=True))
    assert (result.ending, result.exit_code, result.stdout, result.result) == ("nonzero", 4, b"xxxxx", b"word\n")
    assert sandbox.run(shell("echo early; sleep 60", limits=Limits(seconds=1))).ending == "timeout"


@pytest.mark.parametrize("input_closed", [True, False])
def test_a_connection_through_ssh_ends_its_ssh_whether_or_not_its_input_is_closed(input_closed: bool) -> None:
    connection = SimpleNamespace(proc=subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE))
    if input_closed:
        exchange.close_input(connection)
    exchange.hang_up(connection)
    assert connection.proc.returncode == -signal.SIGKILL


def test_without_an_engine_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    sandbox = DockerSandbox()
    assert not sandbox.available().ok and "apt-get install docker.io" in sandbox.available().fix
    with pytest.raises(SandboxUnavailable):
        sandbox.run(shell("true"))


# ---- what is left behind ------------------------------------------------------------------------------------------


@pytest.fixture
def idle() -> Iterator[Any]:
    """Makes containers that nobody looks after."""
    engine = DockerEngine()
    api, made = engine.client().api, list[str]()

    def make(starter: str) -> str:
        image = small_root(engine)
        made.append(api.create_container(image, ["/bin/sleep", "60"], labels={**MINE, LABEL: starter})["Id"])
        return made[-1]

    yield make
    for each in made:
        remove(api, each)


def there(container: str) -> bool:
    return any(each["Id"] == container for each in DockerEngine().client().api.containers(all=True))


def test_what_a_killed_starter_left_is_removed_by_the_next_and_nothing_else(idle: Any) -> None:
    dead, living, another, outliving = (
        idle(f"{BOOT}:4194305-1"),
        idle(f"{BOOT}:{docker.name_of(os.getpid())}"),
        idle("otherboot:1-1"),
        idle(f"{BOOT}:"),
    )
    assert DockerSandbox().available().ok
    assert [there(container) for container in (dead, living, another, outliving)] == [False, True, True, True]


def test_the_undertaker_removes_what_was_not_given_back(idle: Any, tmp_path: Path) -> None:
    left, kept, folder = idle(f"{BOOT}:"), idle(f"{BOOT}:"), tmp_path / "staged"
    folder.mkdir()
    bury([f"+{left}\n", f"+{kept}\n", f"-{kept}\n", f"+{folder}\n", "+gone-already\n"])
    assert (there(left), there(kept), folder.exists()) == (False, True, False)


def test_a_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    sandbox = DockerSandbox()
    assert sandbox.available().ok
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(container, "MEMORY", memory)  # not the machine's, where others' files come and go
    sandbox.run(shell("sleep 60", Mount(source=tmp_path / "private", target="/data"), limits=Limits(seconds=0.3), files={"/run/secrets/A": b"value"}))
    mine = DockerEngine().client().api.containers(all=True, filters={"label": f"{LABEL}={BOOT}:{docker.name_of(os.getpid())}"})
    assert (mine, list(memory.iterdir())) == ([], [])


def test_loading_the_undertaker_loads_nothing_heavy() -> None:
    script = "import sys, agent.sandboxes.undertaker; print(sorted({'docker', 'pydantic', 'requests'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"
