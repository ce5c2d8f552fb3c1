"""The supervisor from inside: back-off, switching, resting, what it writes down, and how one talks to it."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import socket
import socketserver
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent import supervisor as door
from agent import supervisor_client as client
from agent.caller import probe
from agent.errors import ConfigurationError, CouldNotTell, NotFound, Refused
from agent.instance import Instance, tail
from agent.ports import Availability, Deployment, SandboxProcess, SandboxResult, SandboxSpec
from agent.runtimes.process import ProcessLauncher, ProcessRuntime, ProcessServer
from agent.served import Served, backoff, read, write
from agent.supervision import Supervisor
from tests.builders import a_manifest

# ---- a sandbox of threads, for skills that we wrote ourselves --------------------------------------------------------


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    health = b'{"status": "healthy"}'
    metrics = b"skill_calls_total 0\nskill_calls_in_flight 0\n"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.health if self.path == "/health" else self.server.metrics)

    def log_message(self, *_: Any) -> None: ...


class Thread:
    """A `SandboxProcess` that is a thread of ours."""

    def __init__(self, folder: str, pid: int) -> None:
        self.pid, self.server = pid, Server(f"{folder}/skill.sock", Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def running(self) -> bool:
        return self.thread.is_alive()

    def stop(self, grace_seconds: float = 2.0) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Threads:
    """As much of a sandbox as the supervisor needs; a skill whose entrypoint is `broken.py` ends at once."""

    name = "threads"

    def __init__(self) -> None:
        self.started: list[Thread] = []

    def available(self) -> Availability:
        return Availability(ok=True)

    def run(self, spec: SandboxSpec) -> SandboxResult:
        raise AssertionError("the supervisor starts services; it runs nothing to its end")

    def start(self, spec: SandboxSpec, *, log: Path, outlive: bool = False) -> SandboxProcess:
        with log.open("a") as file:
            print("starting", *spec.argv[1:], file=file)
        thread = Thread(spec.argv[0], 1000 + len(self.started))
        self.started.append(thread)
        if spec.argv[1] == "broken.py":
            thread.stop()
        return thread

    def started_at(self, pid: int) -> float:
        return float(pid)

    def attach(self, pid: int, started: float) -> SandboxProcess | None:
        return next((thread for thread in self.started if thread.pid == pid and started == pid and thread.running()), None)


class AnyLanguage:
    name = "python"

    def server(self, artifact: Path, manifest: Any, socket_folder: Path) -> SandboxSpec:
        return SandboxSpec(argv=(str(socket_folder), manifest.entrypoint))


def a_deployment(digest: str = "sha256:1", **traits: Any) -> Deployment:
    manifest = a_manifest(**traits)
    return Deployment(
        skill=manifest.name, version=manifest.version, digest=digest, runtime="python", location="/", health=manifest.health, manifest=manifest
    )


def a_launcher(state: Path, sandbox: Threads) -> ProcessLauncher:
    return ProcessLauncher(state, sandbox, {"python": AnyLanguage()})  # type: ignore[dict-item]


class Bench:
    def __init__(self, state: Path, sandbox: Threads, idle: float) -> None:
        (state / "supervisor").mkdir(parents=True, exist_ok=True)
        self.state, self.sandbox = state, sandbox
        client.make_sockets(state)
        self.supervisor = Supervisor(state, a_launcher(state, sandbox), idle)

    def close(self) -> None:
        self.supervisor.stop()
        shutil.rmtree(client.sockets(self.state), ignore_errors=True)

    def served(self) -> Served:
        return next(iter(self.supervisor._served.values()))

    def look(self, until: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not until():
            assert time.monotonic() < deadline, "it did not come about"
            self.supervisor.look()
            time.sleep(0.005)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, Threads(), idle=900.0)
    yield bench
    bench.close()


def full_disk(state: Path) -> Path:
    """Makes writing services.json fail, as a full disk does."""
    obstacle = state / "supervisor/services.new"
    obstacle.mkdir()
    return obstacle


# ---- back-off --------------------------------------------------------------------------------------------------------


def test_the_first_crash_is_mended_at_once_and_later_ones_after_ever_longer() -> None:
    assert [backoff(n) for n in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff(10_000) == 60


def test_a_crash_after_a_long_steady_run_counts_as_the_first(bench: Bench) -> None:
    bench.supervisor.deploy(a_deployment())
    served = bench.served()
    served.crashes, served.up_since = 5, time.monotonic() - 61
    served.crashed("it ended")
    assert served.crashes == 1
    assert served.not_before <= time.monotonic()


def test_a_skill_that_keeps_falling_is_left_alone_for_a_while_and_says_so(bench: Bench) -> None:
    bench.supervisor.deploy(a_deployment())
    bench.sandbox.started[0].stop()
    bench.look(lambda: len(bench.sandbox.started) == 2 and bench.served().state == "healthy")
    bench.sandbox.started[1].stop()
    bench.look(lambda: bench.served().state == "unhealthy")
    bench.supervisor.look()
    assert len(bench.sandbox.started) == 2
    with pytest.raises(CouldNotTell, match="2 times in a row"):
        bench.supervisor.endpoint("word-count")
    bench.served().not_before = 0.0
    assert probe(bench.supervisor.endpoint("word-count"), 5.0)[0]
    assert bench.supervisor.services()[0].restarts == 2


def test_asking_for_a_crashed_skill_starts_it_at_once(bench: Bench) -> None:
    bench.supervisor.deploy(a_deployment())
    bench.sandbox.started[0].stop()
    assert probe(bench.supervisor.endpoint("word-count"), 5.0)[0]
    assert bench.supervisor.services()[0].restarts == 1


def test_a_skill_that_stops_being_healthy_is_started_again_after_its_retries(bench: Bench) -> None:
    bench.supervisor.deploy(a_deployment(health={"retries": 2}))
    bench.sandbox.started[0].server.health = b'{"status": "unhealthy", "reason": "tired"}'
    bench.served().next_probe = 0.0
    bench.look(lambda: bench.served().misses == 1)
    assert len(bench.sandbox.started) == 1
    bench.served().next_probe = 0.0
    bench.look(lambda: len(bench.sandbox.started) == 2)
    bench.look(lambda: bench.served().state == "healthy")


# ---- switching and disk -------------------------------------------------------------------------------------------------


def test_the_path_that_callers_know_stays_over_versions(bench: Bench) -> None:
    bench.supervisor.deploy(a_deployment("sha256:1"))
    before = bench.supervisor.endpoint("word-count")
    bench.supervisor.deploy(a_deployment("sha256:2"))
    assert bench.supervisor.endpoint("word-count") == before


def test_a_disk_that_fills_up_before_the_switch_leaves_the_old_version(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.supervisor.deploy(a_deployment("sha256:1"))

    def healthy_but_now_the_disk_is_full(instance: Instance) -> str:
        full_disk(bench.state)
        return ""

    monkeypatch.setattr(Instance, "wait", healthy_but_now_the_disk_is_full)
    with pytest.raises(OSError):
        bench.supervisor.deploy(a_deployment("sha256:2"))
    assert [service.digest for service in bench.supervisor.services()] == ["sha256:1"]
    assert probe(bench.supervisor.endpoint("word-count"), 5.0)[0]
    assert [thread.running() for thread in bench.sandbox.started] == [True, False]


@pytest.mark.parametrize("verb", ["deploy", "remove"])
def test_on_a_full_disk_what_serves_goes_on_serving(bench: Bench, verb: str) -> None:
    bench.supervisor.deploy(a_deployment("sha256:1"))
    obstacle = full_disk(bench.state)
    with pytest.raises(OSError):
        bench.supervisor.deploy(a_deployment("sha256:2")) if verb == "deploy" else bench.supervisor.remove("word-count")
    assert [service.digest for service in bench.supervisor.services()] == ["sha256:1"]
    assert probe(bench.supervisor.endpoint("word-count"), 5.0)[0]
    assert [thread.running() for thread in bench.sandbox.started] == [True, False][: len(bench.sandbox.started)]
    obstacle.rmdir()
    bench.supervisor.remove("word-count")
    assert bench.supervisor.services() == []


def test_a_broken_first_version_leaves_nothing_behind(bench: Bench) -> None:
    with pytest.raises(Refused, match="ended"):
        bench.supervisor.deploy(a_deployment(entrypoint="broken.py"))
    assert (bench.supervisor.services(), bench.supervisor.busy()) == ([], False)
    assert bench.supervisor.logs("word-count", 5) == "starting broken.py"


def test_a_language_that_nobody_knows_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused, match="language is go"):
        bench.supervisor.deploy(a_deployment(runtime="go"))


def test_a_link_in_place_of_a_socket_is_not_followed(tmp_path: Path) -> None:
    with Server(str(tmp_path / "victim"), Handler):
        folder = tmp_path / "i"
        folder.mkdir()
        process = Thread(str(tmp_path), 1)
        (folder / "skill.sock").symlink_to(tmp_path / "victim")
        instance = Instance(a_manifest(), ProcessServer(process, folder, tmp_path / "log"))
        assert instance.health() == ("", "it does not listen yet")
        process.stop()


# ---- resting -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metrics", "rests"),
    [
        (b"skill_calls_total 0\nskill_calls_in_flight 0\n", True),
        (b'skill_calls_total{skill="a"} 3\nskill_calls_in_flight{skill="a"} 0\n', False),
        (b"skill_calls_total 0\nskill_calls_in_flight 1\n", False),
        (b"nothing that we know\n", True),
    ],
    ids=["idle", "called since", "busy", "silent"],
)
def test_a_skill_rests_where_its_own_counter_says_that_nobody_called(tmp_path: Path, metrics: bytes, rests: bool) -> None:
    bench = Bench(tmp_path, Threads(), idle=0.05)
    bench.supervisor.deploy(a_deployment(resources={"timeout": "1s"}))
    server = bench.sandbox.started[0].server
    server.metrics = metrics
    served = bench.served()
    used = served.used
    bench.look(lambda: served.state == "resting" or served.used > used)
    assert (served.state == "resting") is rests
    bench.close()


# ---- what it writes down --------------------------------------------------------------------------------------------------


def test_a_resting_skill_still_rests_with_the_next_supervisor(tmp_path: Path) -> None:
    first = Bench(tmp_path, Threads(), idle=0.01)
    first.supervisor.deploy(a_deployment())
    first.look(lambda: first.served().state == "resting" and not first.supervisor._fleet.living)
    second = Bench(tmp_path, first.sandbox, idle=900.0)
    second.supervisor.adopt()
    assert [service.state for service in second.supervisor.services()] == ["resting"]
    second.supervisor.look()
    assert len(second.sandbox.started) == 1
    assert probe(second.supervisor.endpoint("word-count"), 5.0)[0]
    second.close()


@pytest.mark.parametrize("change", [{"digest": "sha256:other"}, {"started_at": 5.0}, {"pid": 4}], ids=lambda change: next(iter(change)))
def test_a_process_is_adopted_only_by_its_pid_start_time_and_digest(bench: Bench, change: dict[str, Any]) -> None:
    bench.supervisor.deploy(a_deployment())
    path = bench.state / "supervisor/services.json"
    kept = json.loads(path.read_text())
    for line in kept["instances"].values():
        line.update(change)
    path.write_text(json.dumps(kept))
    second = Bench(bench.state, bench.sandbox, idle=900.0)
    second.supervisor.adopt()
    assert not second.served().running()
    second.look(lambda: second.served().running())
    assert len(bench.sandbox.started) == 2
    second.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"services": [], "instances": {"a": {}}}'])
def test_a_file_that_cannot_be_understood_is_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "services.json").write_text(text)
    assert read(tmp_path / "services.json") == ([], {})


def test_one_service_that_cannot_be_understood_does_not_hide_the_others(tmp_path: Path) -> None:
    path = tmp_path / "services.json"
    write(path, [Served(a_deployment(name="a-skill")), Served(a_deployment(name="b-skill"))], [])
    kept = json.loads(path.read_text())
    kept["services"][0]["deployment"]["manifest"]["version"] = "newer than we know"
    path.write_text(json.dumps(kept))
    assert [served.deployment.skill for served, _ in read(path)[0]] == ["b-skill"]


def test_the_tail_of_an_endless_line_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 2**20 + b"\nlast \xff")
    assert tail(log, 1) == "last \ufffd"
    assert len(tail(log, 2)) < 2**19


# ---- the wire -------------------------------------------------------------------------------------------------------------


@contextmanager
def at_the_control_socket(state: Path, talk: Callable[[socket.socket], None]) -> Iterator[None]:
    """Somebody who is no proper supervisor."""
    (state / "supervisor").mkdir(parents=True, exist_ok=True)
    path = client.make_sockets(state) / "control.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        connections = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connections.append(connection)
                talk(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for connection in connections:
            connection.close()
    shutil.rmtree(path.parent, ignore_errors=True)


@contextmanager
def a_door(bench: Bench) -> Iterator[Path]:
    with door._Server(str(client.sockets(bench.state) / "control.sock"), bench.supervisor) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield bench.state
        server.shutdown()


def a_runtime(state: Path, *command: str) -> ProcessRuntime:
    return ProcessRuntime(state, Threads(), {}, command)


def test_errors_come_over_the_wire_as_what_they_are(bench: Bench) -> None:
    with a_door(bench) as state:
        bench.supervisor.deploy(a_deployment())
        with pytest.raises(NotFound, match="nothing") as unknown:
            client.ask(state, "endpoint", skill="nothing")
        assert unknown.value.next_step


def test_a_supervisor_that_does_not_know_a_request_is_of_another_version_and_is_replaced(bench: Bench) -> None:
    later = {**a_deployment().model_dump(mode="json"), "a_field_of_next_year": 1}
    with a_door(bench) as state:
        for request in ({"verb": "dance"}, {"verb": "deploy", "deployment": "word-count"}, {"verb": "deploy", "deployment": later}):
            with pytest.raises(client.OtherRuntime, match="does not know"):
                client.ask(state, **request)


def test_a_supervisor_of_another_runtime_says_so(bench: Bench) -> None:
    with a_door(bench) as state:
        assert client.ask(state, "ping", runtime="process") == os.getpid()
        with pytest.raises(client.OtherRuntime, match="runtime process"):
            client.ask(state, "ping", runtime="docker")


def test_a_full_disk_comes_over_the_wire_as_could_not_tell(bench: Bench) -> None:
    with a_door(bench) as state:
        full_disk(state)
        with pytest.raises(CouldNotTell) as full:
            a_runtime(state, "true").deploy(a_deployment())
    assert "deploy" in full.value.what
    assert full.value.why and full.value.next_step


@pytest.mark.parametrize("line", [b"hello\n", b"[]\n", b"{}\n", b"\xff\n"])
def test_a_line_that_is_no_request_is_answered_with_an_error(bench: Bench, line: bytes) -> None:
    with a_door(bench) as state, socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(client.sockets(state) / "control.sock"))
        stream = connection.makefile("rwb")
        assert json.loads(stream.readline())["pid"] == os.getpid()
        stream.write(line)
        stream.flush()
        assert json.loads(stream.readline())["error"]["code"] == "usage"


def test_a_supervisor_that_ends_while_it_is_asked_is_a_clear_error(tmp_path: Path) -> None:
    def greet_and_hang_up(connection: socket.socket) -> None:
        connection.sendall(b'{"pid": 1}\n')
        if b"ping" in (request := connection.recv(4096)):
            connection.sendall(b'{"value": 1}\n')
        assert request
        connection.shutdown(socket.SHUT_RDWR)

    with at_the_control_socket(tmp_path, greet_and_hang_up), pytest.raises(CouldNotTell, match="ended while it was asked to endpoint") as ended:
        a_runtime(tmp_path, "true").endpoint("word-count")
    assert "Try again" in ended.value.next_step


def test_a_supervisor_that_hangs_is_named_so_that_it_can_be_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "GREETING", 0.05)
    with at_the_control_socket(tmp_path, lambda connection: None):
        (tmp_path / "supervisor/lock").write_text("4711\n")
        with pytest.raises(CouldNotTell, match="does not answer") as hangs:
            a_runtime(tmp_path, "true").endpoint("word-count")
    assert "kill 4711" in hangs.value.next_step


def test_a_supervisor_that_cannot_start_is_a_clear_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(CouldNotTell, match="does not start") as failed:
        a_runtime(tmp_path, sys.executable, "-c", "raise SystemExit('out of luck')").endpoint("word-count")
    assert "out of luck" in failed.value.why
    with pytest.raises(CouldNotTell, match="Could not start the supervisor"):
        a_runtime(tmp_path, str(tmp_path / "no-such-program")).endpoint("word-count")


# ---- the daemon -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def signals() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_with_nothing_to_do_the_supervisor_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LINGER", 0.05)
    door.serve(tmp_path, a_launcher(tmp_path, Threads()), 900.0)
    with pytest.raises(client.NotRunning):
        client.ask(tmp_path, "ping")


@pytest.mark.usefixtures("signals")
def test_a_stale_socket_and_the_lock_of_a_dead_process_are_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "supervisor").mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(client.make_sockets(tmp_path) / "control.sock"))
    (tmp_path / "supervisor/lock").write_text("4711\n")
    monkeypatch.setattr(door, "ROUND", 0.5)
    answered: list[int] = []

    def ask_and_end() -> None:
        while not answered:
            try:
                answered.append(client.ask(tmp_path, "ping"))
            except client.NotRunning:
                time.sleep(0.01)
        client.ask(tmp_path, "shutdown")

    asking = threading.Thread(target=ask_and_end)
    asking.start()
    door.serve(tmp_path, a_launcher(tmp_path, Threads()), 900.0)
    asking.join()
    assert answered == [os.getpid()]
    assert client.holder(tmp_path) == str(os.getpid())


@pytest.mark.usefixtures("signals")
def test_sigterm_is_an_orderly_end(tmp_path: Path) -> None:
    def end_once_it_serves() -> None:
        while not (tmp_path / "supervisor/run/control.sock").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_once_it_serves).start()
    door.serve(tmp_path, a_launcher(tmp_path, Threads()), 900.0)
    assert not (tmp_path / "supervisor/run/control.sock").exists()


# ---- where the sockets lie --------------------------------------------------------------------------------------------------


def test_a_long_path_gets_a_short_folder_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setattr(tempfile, "gettempdir", lambda: short)
        state = tmp_path / ("x" * 100)
        (state / "supervisor").mkdir(parents=True)
        chosen = client.make_sockets(state)
        assert chosen.is_relative_to(short)
        assert (client.sockets(state), client.make_sockets(state)) == (chosen, chosen)
        assert chosen.parent.stat().st_mode & 0o777 == 0o700
        assert client.make_sockets(tmp_path / ("x" * 100)) != client.sockets(tmp_path / ("y" * 100))


@pytest.mark.parametrize("fault", ["open to all", "a link"])
def test_a_short_folder_that_others_could_enter_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setattr(tempfile, "gettempdir", lambda: short)
        trap = Path(short, f"skillops-{os.getuid()}")
        if fault == "a link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            trap.symlink_to(tmp_path / "elsewhere")
        else:
            trap.mkdir()
            trap.chmod(0o777)
        state = tmp_path / ("x" * 100)
        (state / "supervisor").mkdir(parents=True)
        with pytest.raises(ConfigurationError, match="only you can enter"):
            client.make_sockets(state)
