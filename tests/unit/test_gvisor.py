"""What is gVisor's own: where it cannot work, on which platform it does, who its parts are outside, and how a run of it ended."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.domain.check import Outcome
from agent.errors import SandboxUnavailable
from agent.interpreter import base_mounts, interpreter
from agent.languages.python import PythonLanguage
from agent.ports import Limits, Mount, SandboxResult, SandboxSpec
from agent.sandboxes import cgroup, gvisor_bundle, gvisor_ground, lowering
from agent.sandboxes.gvisor import GvisorSandbox, refused_a_process
from agent.sandboxes.gvisor_ground import NEEDED, explored
from agent.sandboxes.process import children, descendants, name_of, started_at
from tests.builders import a_manifest
from tests.sandboxes import a_private_folder, eventually

TRUE = SandboxSpec(argv=("/bin/true",))


# ---- where it cannot work -----------------------------------------------------------------------------------------


def a_machine(monkeypatch: pytest.MonkeyPatch, folder: Path, flags: str, *, user: int = 0, trouble: str = "", groups: bool = True) -> None:
    """One with a bubblewrap that is never started, and with a runsc that says `flags` (none at all where that is empty)."""
    scripts = {"bwrap": "exit 1"} | ({"runsc": f"cat <<'END'\n{flags}\nEND"} if flags else {})
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}" if flags else str(folder))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(lowering, "trouble", lambda: trouble)
    monkeypatch.setattr(cgroup, "find", lambda: cgroup.Cgroups("/nowhere", "/nowhere", unified=True) if groups else None)


def said_of(*names: str, platforms: str = "systrap (default), ptrace, kvm") -> str:
    return "\n".join(f"  -{name} value\n    \tspecifies it: {platforms if name == 'platform' else 'true'}" for name in names)


@pytest.mark.parametrize(
    "flags, machine, why, fix",
    [
        ("", {}, "runsc) is not installed", "apt-get install runsc"),
        (said_of(*NEEDED), {"user": 1000}, "root alone", "as root"),
        (said_of(*NEEDED), {"trouble": "its kernel is too old"}, "its kernel is too old", "TMPDIR"),
        (said_of(*NEEDED), {"groups": False}, "control group", "/sys/fs/cgroup"),
        (said_of(*(name for name in NEEDED if name != "host-fifo")), {}, "knows no --host-fifo", "newer"),
        (said_of(*NEEDED, platforms="kvm"), {}, "none of the platforms", "bubblewrap or docker"),
        (said_of(*NEEDED), {}, "ptrace: out of luck", "runsc --network=none do true"),
    ],
    ids=["missing", "a user", "not lowered", "no groups", "too old", "no platform", "broken"],
)
def test_where_it_cannot_work_nothing_runs_and_the_next_step_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, machine: dict[str, Any], why: str, fix: str
) -> None:
    a_machine(monkeypatch, tmp_path, flags, **machine)
    sandbox = GvisorSandbox()
    monkeypatch.setattr(sandbox, "_run", lambda ground, spec: SandboxResult(ending="could_not_tell", stderr=b"first\nout of luck\n"))
    available = sandbox.available()
    assert not available.ok and why in available.why and fix in available.fix
    with pytest.raises(SandboxUnavailable, match="No sandbox can run here"):
        sandbox.run(TRUE)
    with pytest.raises(SandboxUnavailable):
        sandbox.tried()


@pytest.mark.parametrize(
    "works, platforms, asked",
    [("systrap", None, ["systrap"]), ("ptrace", None, ["systrap", "ptrace"]), ("ptrace", "ptrace (default), kvm", ["ptrace"])],
)
def test_the_first_platform_on_which_a_program_runs_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, works: str, platforms: str | None, asked: list[str]
) -> None:
    a_machine(monkeypatch, tmp_path, said_of(*NEEDED, **({"platforms": platforms} if platforms else {})))
    tried: list[str] = []

    def run(ground: Any, spec: SandboxSpec) -> SandboxResult:
        tried.append(ground.platform)
        return SandboxResult(ending="nonzero", exit_code=7 if ground.platform == works else 128)

    ground = explored(run)
    assert (ground.availability.ok, ground.platform, tried) == (True, works, asked)
    options = gvisor_bundle.flags(ground.flags, ground.platform, 9, 10)
    assert f"--platform={works}" in options and "--network=none" in options
    assert not any(option.startswith("--directfs") for option in options)  # of which this version says nothing


def test_a_runsc_that_says_nothing_has_no_options() -> None:
    assert gvisor_ground.options_of("/bin/true") == {} == gvisor_ground.options_of("/bin/there-is-no-such-program")


@pytest.mark.parametrize(
    "log, refused",
    [
        (b"I1126 strace.go:611] [   1:   1] sh X clone(CLONE_VM|0x11, 0x0) = 0 (0x0) errno=11 (try again) (640us)\n", True),
        (b"I1126 strace.go:611] [   1:   1] node X clone3(0x7f, 0x58) = 0 (0x0) errno=11 (resource temporarily unavailable)\n", True),
        (b"I1126 strace.go:611] [   1:   1] sh X clone(CLONE_VM|0x11, 0x0) = 7 (0x7) (664us)\n", False),
        (b"I1126 strace.go:611] [   1:   1] sh X clone(CLONE_NEWUSER|0x11, 0x0) = 0 (0x0) errno=1 (operation not permitted)\n", False),
        (b"", False),
    ],
)
def test_whether_a_process_was_refused_is_read_from_what_its_kernel_saw(tmp_path: Path, log: bytes, refused: bool) -> None:
    (tmp_path / "log").write_bytes(b"I1126 loader.go:1] another line\n" * 40_000 + log)  # longer than one piece
    with open(tmp_path / "log", "rb") as file:
        assert refused_a_process(file.fileno()) is refused


# ---- in it --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sandbox() -> GvisorSandbox:
    return GvisorSandbox()


@pytest.mark.gvisor
def test_no_part_of_it_is_root_outside_and_what_only_root_may_see_is_seen(sandbox: GvisorSandbox, tmp_path: Path) -> None:
    private = a_private_folder(tmp_path)
    script = "cat /data/file; uname -r; : > /data/made; chmod 4755 /data/made; cp /bin/true /data/program; sleep 300"
    service = sandbox.start(
        SandboxSpec(argv=("/bin/sh", "-c", script), mounts=(Mount(source=private, target="/data", writable=True),)), log=tmp_path / "log"
    )
    try:
        assert eventually(lambda: (private / "program").exists() and (private / "program").stat().st_size > 0)
        ids = {Path(f"/proc/{pid}/status").read_text().partition("Uid:")[2].split()[0] for pid in descendants(service.pid)}
        assert ids == {str(lowering.NOBODY - 1), str(lowering.NOBODY - 2)}
        said = (tmp_path / "log").read_text()
        assert said.startswith("private") and platform.release() not in said
        assert {(path.stat().st_uid, path.stat().st_mode & 0o7000) for path in private.iterdir()} == {(0, 0)}
    finally:
        service.stop(0)
    assert not service.running()


STARTER = """
import sys
from pathlib import Path
from agent.ports import SandboxSpec
from agent.sandboxes.gvisor import GvisorSandbox
GvisorSandbox().start(SandboxSpec(argv=("/bin/sleep", "300"), files={"/run/secrets/key": b"value"}), log=Path(sys.argv[1]))
print("up", flush=True)
sys.stdin.read()
"""


def lying_about() -> list[str]:
    """What runsc and the sandbox could leave: folders where they keep something, and mounts."""
    places = [str(place) for pattern in ("run/runsc*", "run/skillops/*", "run/user/*/runsc*", "dev/shm/*runsc*") for place in Path("/").glob(pattern)]
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted([*places, *(place for place in mounts if place.startswith(str(lowering.STAGE)) or "runsc" in place)])


@pytest.mark.gvisor
def test_nothing_is_left_of_a_starter_that_was_killed(tmp_path: Path) -> None:
    before, groups = lying_about(), cgroup.find()
    assert groups is not None
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path / "log")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None and starter.stdout.readline() == "up\n"
        (outer,) = [pid for pid in children(starter.pid) if b"bwrap" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert eventually(lambda: len(descendants(outer)) >= 6)  # bubblewrap, its first process, the shell, runsc, gofer, sentry
        tree, name = descendants(outer), name_of(outer)
        starter.kill()
    assert eventually(lambda: not any(started_at(pid) for pid in tree))
    assert lying_about() == before

    def reaped() -> bool:
        groups.reap()  # as every start does
        return not any(Path(folder).exists() for folder in groups.named(name).folders)

    assert eventually(reaped)


@pytest.mark.gvisor
def test_a_run_with_a_result_tells_a_program_that_is_not_there_too(sandbox: GvisorSandbox) -> None:
    result = sandbox.run(SandboxSpec(argv=("/bin/there-is-no-such-program",), result_fd=True))
    assert (result.ending, result.exit_code, result.result) == ("could_not_tell", None, b"")
    assert b"there-is-no-such-program" in result.stderr
    forged = sandbox.run(SandboxSpec(argv=("/bin/sh", "-c", "tr '\\0' '\\n' </proc/self/cmdline >&3; exit 127"), result_fd=True))
    assert (forged.ending, forged.exit_code) == ("nonzero", 127)


@pytest.mark.gvisor
def test_the_test_bed_runs_where_no_descriptor_tells_of_a_child(sandbox: GvisorSandbox, tmp_path: Path) -> None:
    language, manifest = PythonLanguage(), a_manifest()
    root = tmp_path / "skill"
    for path, content in language.template(manifest).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    report = language.run_tests(root, manifest, sandbox, mutants=2, seed=1, gut=True)
    assert (report.problem, report.outcome, report.gutted_passes) == (None, Outcome.PASSED, False)
    assert report.mutants and all(mutant.killed for mutant in report.mutants)


@pytest.mark.gvisor
def test_a_program_that_is_refused_processes_over_and_over_ends_as_that(sandbox: GvisorSandbox) -> None:
    script = "import os\nfor _ in range(300):\n    try:\n        os.fork() or os._exit(0)\n    except OSError:\n        pass\nraise SystemExit(1)"
    limits = Limits(processes=1, memory=64 * 2**20)
    result = sandbox.run(SandboxSpec(argv=(interpreter(), "-I", "-S", "-c", script), mounts=base_mounts(), limits=limits))
    assert result.ending == "pids"
