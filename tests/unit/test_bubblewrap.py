"""What is bubblewrap's own: where it cannot work, its control groups, and services that outlive their starter."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.errors import SandboxUnavailable
from agent.ports import Limits, Mount, SandboxSpec
from agent.sandboxes import bubblewrap, cgroup, diagnosis, landlock, lowering
from agent.sandboxes.battery import proof
from agent.sandboxes.bubblewrap import BubblewrapSandbox, started_at
from agent.sandboxes.process import descendants, name_of
from agent.sandboxes.service import trim
from tests.engines import missing
from tests.sandboxes import a_private_folder, eventually

SLEEP = SandboxSpec(argv=("/bin/sleep", "300"))


# ---- where it cannot work -----------------------------------------------------------------------------------------


def a_bwrap(folder: Path, script: str) -> None:
    (folder / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bwrap").chmod(0o755)


def test_without_bubblewrap_nothing_runs_and_the_fix_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox = BubblewrapSandbox()
    assert not sandbox.available().ok
    assert "apt-get install bubblewrap" in sandbox.available().fix
    with pytest.raises(SandboxUnavailable, match="apt-get install bubblewrap"):
        sandbox.run(SLEEP)
    with pytest.raises(SandboxUnavailable):
        sandbox.start(SLEEP, log=tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_where_bubblewrap_is_forbidden_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    a_bwrap(tmp_path, "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    available = BubblewrapSandbox().available()
    assert not available.ok
    assert available.why
    assert available.fix


def test_a_bwrap_that_does_nothing_is_not_taken_for_a_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    a_bwrap(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not BubblewrapSandbox().available().ok


@pytest.mark.bubblewrap
def test_tries_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = BubblewrapSandbox()
    first = sandbox.available()
    monkeypatch.setenv("PATH", "")
    assert sandbox.available() is first


def unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where root pretends to be a user, the battery is not deceived, and would end the test."""
    monkeypatch.setattr(proof, "trouble", lambda *_: None)


@pytest.mark.bubblewrap
@pytest.mark.parametrize("user, trouble, ok", [(0, "its kernel is too old", False), (0, "", True), (1000, "", True)])
def test_without_control_groups_root_may_not_but_a_user_may(monkeypatch: pytest.MonkeyPatch, user: int, trouble: str, ok: bool) -> None:
    """Root that becomes nobody first is a user in this."""
    if os.geteuid() != 0 and user == 0 and ok:
        missing("only root can become nobody")
    monkeypatch.setattr(cgroup, "find", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(lowering, "trouble", lambda: trouble)
    if user:
        unproven(monkeypatch)
    available = BubblewrapSandbox().available()
    assert available.ok is ok
    assert "control group" in available.why
    assert available.fix


@pytest.mark.bubblewrap
def test_without_control_groups_a_process_is_limited_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "find", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    unproven(monkeypatch)
    limits = Limits(memory=100 * 2**20, processes=7, disk=2**20)
    printed = BubblewrapSandbox().run(SandboxSpec(argv=("/bin/cat", "/proc/self/limits"), limits=limits)).stdout.decode()
    values = {line[:26].strip(): line[26:].split()[1] for line in printed.splitlines()[1:]}
    assert values["Max address space"] == str(100 * 2**20)
    assert values["Max processes"] == "8"
    assert values["Max file size"] == str(2**20)
    assert values["Max core file size"] == "0"


@pytest.mark.parametrize(
    "parameter, value, user, fix",
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", 1000, "/etc/apparmor.d/bwrap"),
        ("kernel/unprivileged_userns_clone", "0", 1000, "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", 0, "sysctl -w user.max_user_namespaces"),
    ],
)
def test_names_the_setting_that_forbids_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, parameter: str, value: str, user: int, fix: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    (tmp_path / "proc/sys" / parameter).parent.mkdir(parents=True)
    (tmp_path / "proc/sys" / parameter).write_text(f"{value}\n")
    assert fix in diagnosis.explain("bwrap: No permissions to create new namespace", system=tmp_path).fix


def test_an_old_bubblewrap_a_container_and_the_unknown_are_told_apart(tmp_path: Path) -> None:
    assert "older than 0.8" in diagnosis.explain("bwrap: Unknown option --disable-userns", system=tmp_path).why
    assert "bwrap: out of luck" in diagnosis.explain("bwrap: out of luck", system=tmp_path).why
    (tmp_path / ".dockerenv").touch()
    assert "--security-opt" in diagnosis.explain("bwrap: out of luck", system=tmp_path).fix


# ---- started by root ----------------------------------------------------------------------------------------------


@pytest.fixture
def root() -> BubblewrapSandbox:
    if os.geteuid() != 0 or lowering.trouble():
        missing(f"only root becomes nobody, and here {lowering.trouble() or 'nobody is root'}")
    return BubblewrapSandbox()


@pytest.mark.bubblewrap
def test_what_root_starts_is_nobody_outside_and_sees_what_only_root_may(root: BubblewrapSandbox, tmp_path: Path) -> None:
    private = a_private_folder(tmp_path)
    script = "cat /data/file; echo made > /data/made; chmod 4755 /data/made; cp /bin/true /data/program; sleep 300"
    mounts = (Mount(source=private, target="/data", writable=True), Mount(source=private / "file", target="/run/one"))
    service = root.start(SandboxSpec(argv=("/bin/sh", "-c", script), mounts=mounts), log=tmp_path / "log")
    try:
        assert eventually(lambda: (private / "program").exists() and (private / "program").stat().st_size > 0)
        ids = {Path(f"/proc/{pid}/status").read_text().partition("Uid:")[2].split("\n")[0].strip() for pid in descendants(service.pid)}
        assert ids == {"\t".join([str(lowering.NOBODY)] * 4)}
        assert (tmp_path / "log").read_text().startswith("private")
        assert {(path.stat().st_uid, path.stat().st_mode & 0o7000) for path in private.iterdir()} == {(0, 0)}
    finally:
        service.stop(0)


@pytest.mark.bubblewrap
def test_the_starter_itself_stays_who_and_where_it_was(root: BubblewrapSandbox, tmp_path: Path) -> None:
    def held() -> tuple[Path, str, list[Path]]:
        status = Path("/proc/self/status").read_text()
        return Path("/proc/self/ns/mnt").readlink(), status.partition("Uid")[2].split("\n")[0], [*lowering.STAGE.iterdir()]

    before = held()
    root.run(SandboxSpec(argv=("/bin/true",), mounts=(Mount(source=tmp_path, target="/data"),)))
    assert held() == before


@pytest.mark.bubblewrap
def test_root_that_cannot_become_nobody_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(lowering, "trouble", lambda: "its kernel is too old")
    monkeypatch.setattr(cgroup, "find", lambda: None)
    assert not BubblewrapSandbox().available().ok
    monkeypatch.undo()
    if os.geteuid() == 0 and cgroup.find():
        monkeypatch.setattr(lowering, "trouble", lambda: "its kernel is too old")
        available = BubblewrapSandbox().available()
        assert available.ok and "as root outside" in available.why and "its kernel is too old" in available.why


# ---- Landlock -----------------------------------------------------------------------------------------------------


def test_a_thread_that_is_confined_reaches_nothing_outside_and_the_others_do() -> None:
    if landlock.version() < 6:
        missing(f"this kernel's Landlock is version {landlock.version()}, and scopes came with 6")
    name, said = f"\0skillops-test-{os.getpid()}", list[str]()

    def attempt(what: str, do: Callable[[], object]) -> None:
        try:
            do()
            said.append(what)
        except PermissionError:
            pass

    def everything() -> None:
        with socket.socket(socket.AF_UNIX) as line, socket.socket() as tcp:
            attempt("connect", lambda: line.connect(name))
            attempt("signal", lambda: os.kill(bystander.pid, signal.SIGCONT))
            attempt("tcp", lambda: tcp.bind(("127.0.0.1", 0)))

    def confined() -> None:
        landlock.confine(tcp=False)
        everything()
        attempt("own child", lambda: subprocess.Popen(["/bin/sleep", "9"]).kill())

    with socket.socket(socket.AF_UNIX) as listening, subprocess.Popen(["/bin/sleep", "300"]) as bystander:
        listening.bind(name)
        listening.listen()
        thread = threading.Thread(target=confined)
        thread.start()
        thread.join()
        assert said == ["own child"]
        said.clear()
        everything()
        assert said == ["connect", "signal", "tcp"]
        bystander.kill()


# ---- control groups -----------------------------------------------------------------------------------------------


def a_machine(folder: Path, own: str, mounts: list[tuple[str, str, str, str]]) -> Path:
    """A /proc/self with `own` as cgroup, and mounts (root, point below `folder`, file system, options)."""
    (folder / "cgroup").write_text(own)
    lines = [f"30 20 0:1 {root} {folder}/{point} rw shared:9 - {kind} none {options}" for root, point, kind, options in mounts]
    (folder / "mountinfo").write_text("\n".join(["25 20 0:5 / /proc rw - proc proc rw", *lines]) + "\n")
    return folder


def a_group(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


def test_finds_the_two_hierarchies_of_version_1(tmp_path: Path) -> None:
    memory, pids = a_group(tmp_path / "memory/job/7", tasks=""), a_group(tmp_path / "pids", tasks="")
    mounts = [("/", "memory", "cgroup", "rw,memory"), ("/box", "pids", "cgroup", "rw,pids"), ("/", "unified", "cgroup2", "rw")]
    found = cgroup.find(a_machine(tmp_path, "4:memory:/job/7\n3:cpu,pids:/box\n0::/\n", mounts))
    assert found == cgroup.Cgroups(str(memory), str(pids), unified=False)


def test_version_2_takes_the_nearest_group_that_hands_down_both_controllers(tmp_path: Path) -> None:
    slice_ = a_group(tmp_path / "cg/user", cgroup__subtree_control="cpu memory pids\n", cgroup__procs="")
    a_group(tmp_path / "cg/user/app", cgroup__subtree_control="cpu\n", cgroup__procs="")
    found = cgroup.find(a_machine(tmp_path, "0::/user/app\n", [("/", "cg", "cgroup2", "rw")]))
    assert found == cgroup.Cgroups(str(slice_), str(slice_), unified=True)


@pytest.mark.parametrize("own, root", [("0::/app\n", "/"), ("0::/elsewhere\n", "/app"), ("", "/")])
def test_finds_none_where_none_can_be_made(tmp_path: Path, own: str, root: str) -> None:
    a_group(tmp_path / "cg/app", cgroup__subtree_control="", cgroup__procs="")
    assert cgroup.find(a_machine(tmp_path, own, [(root, "cg", "cgroup2", "rw")])) is None


def a_kernel(monkeypatch: pytest.MonkeyPatch, *files: str) -> None:
    """Lets a new folder come with the files that the kernel would put there."""
    mkdir = os.mkdir

    def make(path: str) -> None:
        mkdir(path)
        for name in files:
            Path(path, name).write_text("")

    monkeypatch.setattr(os, "mkdir", make)


def test_version_2_limits_memory_without_swap_and_admits_by_pid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    a_kernel(monkeypatch, "memory.max", "memory.swap.max", "pids.max", "cgroup.procs")
    groups = cgroup.Cgroups(str(tmp_path), str(tmp_path), unified=True)
    with groups.birthplace(4096, 5) as born:
        assert born is None
    group = groups.settle(born, os.getpid(), 4096, 5)
    group.admit(4711)
    folder = tmp_path / f"skillops-{name_of(os.getpid())}"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "memory.max": "4096",
        "memory.swap.max": "0",
        "pids.max": "6",
        "cgroup.procs": "4711",
    }


@pytest.mark.parametrize(
    "file, content, memory, pids",
    [
        ("memory.events", "low 0\noom 3\noom_kill 1\noom_group_kill 0\n", True, False),
        ("memory.events", "low 0\noom 3\noom_kill 0\noom_group_kill 2\n", False, False),
        ("memory.oom_control", "oom_kill_disable 1\nunder_oom 1\noom_kill 2\n", True, False),
        ("pids.events", "max 1\n", False, True),
        ("pids.events", "max 0\n", False, False),
    ],
)
def test_the_counters_say_which_limit_was_hit(tmp_path: Path, file: str, content: str, memory: bool, pids: bool) -> None:
    (tmp_path / file).write_text(content)
    group = cgroup.Cgroup(str(tmp_path), str(tmp_path), unified=True)
    assert (group.out_of_memory(), group.out_of_processes()) == (memory, pids)


def test_what_a_crash_left_is_removed_and_what_is_in_use_stays(tmp_path: Path) -> None:
    mine, my_thread = f"skillops-{name_of(os.getpid())}", f"skillops-{name_of(os.getpid())}-12"
    for name in (mine, my_thread, f"skillops-{os.getpid()}-1", "skillops-999999999-12", "of-others"):
        (tmp_path / name).mkdir()
    cgroup.Cgroups(str(tmp_path), str(tmp_path), unified=True).reap()
    assert {path.name for path in tmp_path.iterdir()} == {mine, my_thread, "of-others"}


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> cgroup.Cgroups:
    """Where groups can be made, with a prefix of this test's own: others run sandboxes on this machine, too."""
    monkeypatch.setattr(cgroup, "PREFIX", f"test-{os.getpid()}-{time.monotonic_ns()}-")
    found = cgroup.find()
    if found is None:
        missing("no control group can be written here")
    return found


def made(groups: cgroup.Cgroups) -> set[str]:
    return {path.name for folder in (groups.memory, groups.pids) for path in Path(folder).glob(f"{cgroup.PREFIX}*")}


def children() -> set[str]:
    """The processes that this one has started and not buried yet; other tests may have left some."""
    return {pid for listed in Path("/proc/self/task").glob("*/children") for pid in listed.read_text().split()}


@pytest.mark.bubblewrap
def test_a_run_leaves_no_group_no_descriptor_and_no_child_behind(groups: cgroup.Cgroups) -> None:
    def held() -> tuple[set[str], set[str], set[str], str]:
        return made(groups), {path.name for path in Path("/proc/self/fd").iterdir()}, children(), Path("/proc/thread-self/cgroup").read_text()

    sandbox = BubblewrapSandbox()
    assert sandbox.available().ok  # what is found out about the machine is kept
    before = held()
    for argv in (("/bin/true",), ("/bin/nope",), ("/bin/sleep", "9")):
        sandbox.run(SandboxSpec(argv=argv, limits=Limits(seconds=0.2), result_fd=True))
    assert held() == before


@pytest.mark.bubblewrap
@pytest.mark.parametrize("owner, step", [(cgroup.Cgroups, "settle"), (cgroup.Cgroup, "admit")])
def test_a_run_whose_limits_cannot_be_set_does_not_take_place(
    monkeypatch: pytest.MonkeyPatch, groups: cgroup.Cgroups, tmp_path: Path, owner: type, step: str
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "refused")

    sandbox = BubblewrapSandbox()
    assert sandbox.available().ok
    monkeypatch.setattr(owner, step, refused)
    spec = SandboxSpec(argv=("/bin/touch", "/data/it-ran"), mounts=(Mount(source=tmp_path, target="/data", writable=True),))
    before = children()
    with pytest.raises(SandboxUnavailable, match="could not be set up"):
        sandbox.run(spec)
    assert list(tmp_path.iterdir()) == []
    assert made(groups) == set()
    assert children() == before


@pytest.mark.bubblewrap
def test_leftovers_of_a_killed_starter_are_reaped_at_the_next_use(groups: cgroup.Cgroups) -> None:
    script = (
        "from agent.ports import SandboxSpec; from agent.sandboxes import cgroup, bubblewrap; import sys; cgroup.PREFIX = sys.argv[1];"
        "bubblewrap.BubblewrapSandbox().run(SandboxSpec(argv=('/bin/sh', '-c', 'echo; sleep 300')))"
    )
    starter = subprocess.Popen([sys.executable, "-c", script, cgroup.PREFIX])
    time.sleep(0.3)
    assert eventually(lambda: made(groups))
    starter.kill()
    starter.wait()
    assert made(groups)
    assert eventually(lambda: BubblewrapSandbox().available().ok and not made(groups))


# ---- services that outlive ----------------------------------------------------------------------------------------

STARTER = """
import sys
from pathlib import Path
from agent.ports import SandboxSpec
from agent.sandboxes.bubblewrap import BubblewrapSandbox, started_at
spec = SandboxSpec(argv=("/bin/sh", "-c", "trap 'echo ended; exit' TERM; echo up; while :; do sleep 0.02; done"))
pid = BubblewrapSandbox().start(spec, log=Path(sys.argv[1]), outlive=True).pid
print(pid, started_at(pid), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[tuple[int, float]]:
    """The pid and start of a service whose starter was killed."""
    command = [sys.executable, "-c", STARTER, str(tmp_path / "log")]
    starter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert starter.stdout
    pid, started = starter.stdout.readline().split()
    os.kill(starter.pid, signal.SIGKILL)
    starter.communicate()
    yield int(pid), float(started)
    if service := BubblewrapSandbox().attach(int(pid), float(started)):
        service.stop(0)


@pytest.mark.bubblewrap
def test_a_service_that_outlives_its_starter_is_attached_to_and_stopped(orphan: tuple[int, float], tmp_path: Path) -> None:
    pid, started = orphan
    service = BubblewrapSandbox().attach(pid, started)
    assert service is not None
    assert (service.pid, service.running()) == (pid, True)
    assert eventually(lambda: (tmp_path / "log").read_text() == "up\n")
    service.stop(10)
    assert (service.running(), started_at(pid)) == (False, None)
    assert (tmp_path / "log").read_text() == "up\nended\n"
    found = cgroup.find()
    assert found is None or not list(Path(found.memory).glob(f"skillops-{pid}-*"))


@pytest.mark.bubblewrap
def test_another_process_with_the_same_number_is_not_attached_to(orphan: tuple[int, float]) -> None:
    pid, started = orphan
    assert BubblewrapSandbox().attach(pid, started + 1) is None
    assert BubblewrapSandbox().attach(os.getpid(), started) is None
    assert started_at(pid) == started


def test_a_process_has_one_start_and_none_after_its_end() -> None:
    process = subprocess.Popen(["/bin/sleep", "300"])
    first = started_at(process.pid)
    assert first is not None
    assert started_at(process.pid) == first
    process.kill()
    assert eventually(lambda: started_at(process.pid) is None)  # a zombie, as nobody has waited for it
    process.wait()
    assert started_at(process.pid) is None


def test_a_log_within_its_limit_is_left_alone_and_one_beyond_is_cut_to_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"a" * 60 + b"b" * 40)
    trim(str(log), 100)
    assert log.stat().st_size == 100
    trim(str(log), 80)
    assert log.read_bytes() == b"b" * 40


@pytest.mark.bubblewrap
def test_runs_in_many_threads_of_one_sandbox_explore_the_machine_once(monkeypatch: pytest.MonkeyPatch) -> None:
    explored = []
    explore = bubblewrap._explore
    monkeypatch.setattr(bubblewrap, "_explore", lambda run: explored.append(1) or explore(run))
    sandbox = BubblewrapSandbox()
    threads = [threading.Thread(target=sandbox.available) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert explored == [1]


_DEAF = """
import signal
from agent.ports import SandboxSpec
from agent.sandboxes.bubblewrap import BubblewrapSandbox

for number in (signal.SIGQUIT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGTSTP, signal.SIGALRM, signal.SIGRTMIN):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
look = "while read -r key value; do case $key in Sig[BI]*) echo $key $value ;; esac; done </proc/self/status"
result = BubblewrapSandbox().run(SandboxSpec(argv=("/bin/sh", "-c", look + "; kill -QUIT $$; echo deaf")))
print(result.exit_code, result.stdout.decode(), result.stderr.decode())
"""


@pytest.mark.bubblewrap
def test_what_its_starter_ignores_and_blocks_the_program_does_not() -> None:
    """As where a shell started us with `&`, or nohup did: each signal is at its default inside, and none is blocked."""
    done = subprocess.run([sys.executable, "-c", _DEAF], capture_output=True, text=True, check=True, timeout=120)
    code, *words = done.stdout.split()
    assert words[:3] == ["SigBlk:", "0" * 16, "SigIgn:"] and int(words[3], 16) & ~0x180000000 == 0  # 32 and 33 are glibc's, which ignores them
    assert code == "131" and len(words) == 4, words  # SIGQUIT ended it
