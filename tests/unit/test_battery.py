"""The battery: that it sees what gets out, that nothing runs where something does, and that its proof cannot be forged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent import sandbox_doctor
from agent.cli import app
from agent.errors import SandboxUnavailable, UsageError
from agent.ports import Availability, SandboxResult, SandboxSpec
from agent.sandbox_doctor import Battery, Column
from agent.sandboxes import battery
from agent.sandboxes.battery import PROBES, Attempt, proof
from agent.sandboxes.battery.world import World
from agent.sandboxes.bubblewrap import BubblewrapSandbox

# What a process of ours can do in spite of a mount namespace, whoever we are and wherever the test runs.
ALWAYS = {
    *("file_outside", "file_through_proc", "environment_of_others", "environment_of_the_starter", "inherited_descriptors", "processes_of_others"),
    *("signal_others", "daemon", "left_behind", "segment_left_behind", "privileged_file", "loopback_outside", "address_outside", "datagram_outside"),
    *("abstract_socket_outside", "named_socket_outside", "trace_a_process", "io_uring", "file_in_memory", "processes", "memory", "disk", "inodes"),
}


def an_open_sandbox(spec: SandboxSpec) -> SandboxResult:
    """As bubblewrap runs a program that it is to keep nothing from: the same command in and the same answer out."""
    binds = [part for mount in spec.mounts for part in ("--bind", str(mount.source), mount.target)]
    read, write = os.pipe()
    command = ["bwrap", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--tmpfs", "/mnt", *binds, *spec.argv]
    canary = next(mount.source for mount in spec.mounts if mount.writable).with_name("canary").read_text()
    third = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execvp(sys.argv[2], sys.argv[2:])"
    with open(read, "rb") as result:
        os.set_inheritable(write, True)
        done = subprocess.run(
            [sys.executable, "-c", third, str(write), *command], input=spec.stdin, capture_output=True, close_fds=False, check=False,
            env={"SKILLOPS_CANARY": canary, **os.environ},
        )  # fmt: skip
        os.close(write)
        said = result.read()
    return SandboxResult(ending="ok" if done.returncode == 0 else "nonzero", stderr=done.stderr, result=said)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(proof, "place", lambda: tmp_path / "cache")
    return tmp_path / "cache" / proof.FILE


def answers(monkeypatch: pytest.MonkeyPatch, *possible: bool | None) -> list[int]:
    """A battery of our own, which counts how often it is tried."""
    tries: list[int] = []

    def tried(run: object, alone: object) -> tuple[Attempt, ...]:
        tries.append(1)
        return tuple(Attempt(f"probe-{number}", f"do thing {number}", each, "said") for number, each in enumerate(possible))

    monkeypatch.setattr(proof, "tried", tried)
    return tries


def nowhere(spec: SandboxSpec) -> SandboxResult:
    raise AssertionError("nothing is run")


@pytest.mark.bubblewrap
def test_every_effect_is_seen_where_nothing_is_kept_from_a_program(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    markers: list[str] = []

    def judged(world: World, *told: Any) -> tuple[Attempt, ...]:
        markers.append(world.marker)
        return judge(world, *told)

    judge = battery.judged
    monkeypatch.setattr(battery, "judged", judged)
    attempts = {attempt.name: attempt for attempt in battery.tried(an_open_sandbox)}
    assert {name for name in ALWAYS if not attempts[name].possible} == set()
    assert not any("canary-" in attempt.said for attempt in attempts.values())  # which may be shown to people
    assert list(attempts) == list(PROBES)
    (marker,) = markers  # another worker's battery has one of its own
    for place in ("/dev/shm", "/tmp", "/etc", str(Path.home())):
        assert [path.name for path in Path(place).iterdir() if marker in path.name] == []


@pytest.mark.bubblewrap
def test_nothing_runs_in_a_sandbox_that_leaks(kept: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers(monkeypatch, False, True, True)
    sandbox = BubblewrapSandbox()
    assert not sandbox.available().ok
    assert "do thing 1, do thing 2" in sandbox.available().why
    assert "doctor --sandbox" in sandbox.available().fix
    with pytest.raises(SandboxUnavailable, match="do thing 1"):
        sandbox.run(SandboxSpec(argv=("/bin/true",)))
    with pytest.raises(SandboxUnavailable):
        sandbox.start(SandboxSpec(argv=("/bin/true",)), log=tmp_path / "log")
    assert not kept.exists()


def test_what_could_not_be_told_is_no_proof(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, False, None)
    found = proof.trouble("tier", (), nowhere)
    assert found is not None and not found.ok and "could not be tried" in found.why
    assert not kept.exists()


def test_a_run_that_dies_can_tell_nothing() -> None:
    attempts = battery.tried(lambda spec: SandboxResult(ending="out_of_memory", stderr=b"gone"))
    assert {attempt.possible for attempt in attempts} == {None}
    assert {attempt.possible for attempt in battery.tried(lambda spec: SandboxResult(ending="ok", result=b'{"file_outside": 1}'))} == {None}


def test_a_probe_for_which_a_whole_run_is_ended_has_one_of_its_own() -> None:
    asked: list[list[str]] = []

    def run(spec: SandboxSpec) -> SandboxResult:
        asked.append(json.loads(spec.stdin)["probes"])
        if asked[-1] == ["memory"]:
            return SandboxResult(ending="out_of_memory")
        return SandboxResult(ending="ok", result=json.dumps({name: (name == "processes", "said") for name in asked[-1]}).encode())

    found = {attempt.name: attempt for attempt in battery.tried(run, ("memory", "processes"))}
    assert [len(names) for names in asked] == [len(battery.PROBES) - 2, 1, 1]
    assert (found["memory"].possible, found["processes"].possible, found["clock"].possible) == (False, True, False)


def test_is_tried_once_for_each_kernel_and_version_and_kept_for_us_alone(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = answers(monkeypatch, False)
    for marks in (("bwrap 0.8",), ("bwrap 0.8",), ("bwrap 0.11",), ("bwrap 0.8",)):
        assert proof.trouble("tier", marks, nowhere) is None
    assert len(tries) == 2
    assert proof.trouble("another tier", ("bwrap 0.8",), nowhere) is None
    monkeypatch.setattr(proof, "_version", lambda: "another")
    assert proof.trouble("tier", ("bwrap 0.8",), nowhere) is None
    assert len(tries) == 4
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("fault", ["file", "folder", "link", "nonsense", "another list"])
def test_a_proof_that_somebody_else_may_have_written_is_none(kept: Path, monkeypatch: pytest.MonkeyPatch, fault: str, tmp_path: Path) -> None:
    tries = answers(monkeypatch, False)
    assert proof.trouble("tier", (), nowhere) is None
    if fault == "file":
        kept.chmod(0o666)
    elif fault == "folder":
        kept.parent.chmod(0o777)
    elif fault == "link":
        kept.rename(tmp_path / "forged")
        (tmp_path / "forged").chmod(0o777)
        kept.symlink_to(tmp_path / "forged")
    else:
        kept.write_text("{" if fault == "nonsense" else json.dumps({"tier": True}))
    assert proof.trouble("tier", (), nowhere) is None
    assert len(tries) == 2


def test_where_nothing_can_be_kept_it_is_tried_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(proof, "place", lambda: tmp_path / "file" / "cache")
    tries = answers(monkeypatch, False)
    assert [proof.trouble("tier", (), nowhere), proof.trouble("tier", (), nowhere)] == [None, None]
    assert len(tries) == 2


def test_what_a_sandbox_says_itself_that_it_cannot_keep_is_excused(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, False, True)
    assert proof.trouble("tier", (), nowhere, excused=("probe-1",)) is None


# ---- skillops doctor --sandbox ------------------------------------------------------------------------------------------

WHAT = {"a": "read a file", "b": "set the clock"}
TIGHT, LOOSE = Column(name="bubblewrap", possible={"a": False, "b": False}), Column(name="docker", possible={"a": True, "b": False})
REFERENCE = Column(name="bare process", ours=False, possible={"a": True, "b": True})
ABSENT, UNTOLD = Column(name="docker", absent="It does not answer."), Column(name="docker", possible={"a": None, "b": None}, said={"a": "it died"})


@pytest.mark.parametrize(
    "columns, code",
    [((TIGHT, REFERENCE), 0), ((TIGHT, ABSENT), 0), ((TIGHT, LOOSE), 1), ((TIGHT, UNTOLD), 1), ((ABSENT, REFERENCE), 4)],
)
def test_the_doctor_shows_the_table_and_fails_where_a_sandbox_of_ours_leaks(
    monkeypatch: pytest.MonkeyPatch, columns: tuple[Column, ...], code: int
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(sandbox_doctor, "examine_sandboxes", lambda _, bare: asked.append(bare) or Battery(what=WHAT, columns=columns))
    shown = CliRunner().invoke(app, ["doctor", "--sandbox"])
    assert shown.exit_code == code
    for column in columns:
        assert column.name in shown.stdout
        assert column.absent in shown.stdout
    told = CliRunner().invoke(app, ["doctor", "--sandbox", "--bare", "--json"])
    document = json.loads(told.stdout)
    assert (told.exit_code, document["ok"], asked) == (code, code != 1, [False, True])
    assert [column["possible"] for column in document["columns"]] == [
        [name for name, possible in column.possible.items() if possible] for column in columns
    ]


def test_the_bare_column_is_asked_for_together_with_the_sandboxes() -> None:
    assert isinstance(CliRunner().invoke(app, ["doctor", "--bare"]).exception, UsageError)


def test_a_tier_that_is_not_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    found = sandbox_doctor.examine_sandboxes(Path("/"))
    assert {column.name: bool(column.absent) for column in found.columns} == {
        "bubblewrap": True,
        "docker": True,
        "gvisor": True,
        "docker's default": True,
    }
    assert isinstance(BubblewrapSandbox().available(), Availability)
