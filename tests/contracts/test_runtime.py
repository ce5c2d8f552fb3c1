"""What every Runtime promises, and what the supervisor that both stand on promises on top."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.caller import execute, probe
from agent.domain.invocation import Reply
from agent.errors import MissingSecret, NotFound, Refused
from agent.stages.invoking import prepare
from agent.supervisor_client import NotRunning, ask
from tests.builders import a_manifest
from tests.runtimes import BENCHES, COUNTS, DockerBench, ProcessBench, at_once, clear_engine, eventually, process_lives

# Where one runtime differs, by the test that would say otherwise, and why.
DIFFERENCES = {
    ("docker", "test_a_trial_needs_no_supervisor"): "its trials are the supervisor's, so that they end with whoever asked for them",
    ("docker", "test_a_state_folder_too_long_for_sockets_does_not_matter"): "its skills answer at a port",
}
KINDS = [pytest.param(kind, marks=getattr(pytest.mark, {"process": "bubblewrap"}.get(kind, kind))) for kind in BENCHES]


@pytest.fixture(scope="module", autouse=True)
def leave_nothing() -> Iterator[None]:
    yield
    if DockerBench.used:
        clear_engine(volumes=True, images=True)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    if (request.param, request.function.__name__) in DIFFERENCES:
        pytest.skip(DIFFERENCES[request.param, request.function.__name__])
    return str(request.param)


@pytest.fixture
def bench(kind: str, tmp_path: Path) -> Iterator[ProcessBench]:
    bench = BENCHES[kind](tmp_path)
    yield bench
    bench.close()


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ProcessBench]]:
    made: dict[str, ProcessBench] = {}

    def of(kind: str) -> ProcessBench:
        if kind not in made:
            made[kind] = BENCHES[kind](tmp_path_factory.mktemp(kind))
        return made[kind]

    yield of
    for bench in made.values():
        bench.close()


@pytest.fixture
def port(kind: str, benches: Callable[[str], ProcessBench]) -> Iterator[ProcessBench]:
    """A runtime on which nothing runs; its supervisor is that of the test before, as what the port promises needs no new one."""
    bench = benches(kind)
    yield bench
    for service in bench.runtime.services():
        bench.runtime.remove(service.skill)
    eventually(lambda: not (bench.state / "supervisor/services.json").exists() or bench.running() == [])


@pytest.fixture
def sleepy(kind: str, tmp_path: Path) -> Iterator[ProcessBench]:
    bench = BENCHES[kind](tmp_path, idle=1.0)
    yield bench
    bench.close()


# ---- the port ----------------------------------------------------------------------------------------------------------


def test_a_deployed_skill_answers_at_its_endpoint(port: ProcessBench) -> None:
    service = port.runtime.deploy(port.deployment())
    assert (service.skill, service.version, service.state, service.restarts) == ("word-count", "1.0.0", "healthy", 0)
    assert port.words() == 1


def test_deploying_what_already_serves_does_nothing(port: ProcessBench) -> None:
    first = port.runtime.deploy(port.deployment())
    processes = port.running()
    assert port.runtime.deploy(port.deployment()) == first
    assert port.running() == processes


def test_a_new_version_takes_over_and_no_call_fails(port: ProcessBench) -> None:
    port.runtime.deploy(port.deployment())
    replies: list[Reply] = []
    done = threading.Event()

    def keep_calling() -> None:
        while not done.is_set():
            replies.append(port.call(runtime=port.another()))

    client = threading.Thread(target=keep_calling)
    client.start()
    for number in range(2, 5):
        port.runtime.deploy(port.deployment(COUNTS % number, version=f"1.{number}.0"))
    assert port.words() == 4
    done.set()
    client.join()
    assert [reply for reply in replies if not reply.success] == []
    assert {1, 4} <= {reply.outputs["words"] for reply in replies} | {port.words()}


def test_a_call_that_is_under_way_outlives_the_switch(port: ProcessBench) -> None:
    slow = "import time\ndef execute(inputs, context):\n    time.sleep(1.5)\n    return {'words': 1}\n"
    port.runtime.deploy(port.deployment(slow))
    replies: list[Reply] = []
    client = threading.Thread(target=lambda: replies.append(port.call()))
    client.start()
    eventually(port.under_way)
    port.runtime.deploy(port.deployment(COUNTS % 2, version="2.0.0"))
    client.join()
    assert replies[0].success and replies[0].outputs == {"words": 1}
    assert port.words() == 2
    eventually(lambda: len(port.running()) == 1)


BROKEN = {
    "crashes on import": "raise RuntimeError('no luck today')\n",
    "has no execute": "x = 1\n",
    "kills what serves it": "import os, signal\nos.kill(-1, signal.SIGKILL)\n",
}


@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN)
def test_a_broken_version_is_refused_and_the_old_one_stays(port: ProcessBench, code: str) -> None:
    port.runtime.deploy(port.deployment())
    with pytest.raises(Refused) as refused:
        port.runtime.deploy(port.deployment(code, version="1.1.0"))
    assert "does not become healthy" in refused.value.what
    assert port.words() == 1
    assert [service.version for service in port.runtime.services()] == ["1.0.0"]
    assert len(port.running()) == 1


def test_the_refusal_quotes_the_log(port: ProcessBench) -> None:
    with pytest.raises(Refused) as refused:
        port.runtime.deploy(port.deployment(BROKEN["crashes on import"]))
    assert "no luck today" in refused.value.why
    assert port.runtime.services() == []


def test_a_version_that_never_gets_ready_is_refused_when_its_time_is_up(port: ProcessBench) -> None:
    hangs = port.deployment("import time\ntime.sleep(3600)\n", health={"interval": "1s", "timeout": "1s", "retries": 1})
    with pytest.raises(Refused, match="within 1 s"):
        port.runtime.deploy(hangs)


def test_a_removed_skill_is_gone_and_removing_it_again_does_no_harm(port: ProcessBench) -> None:
    port.runtime.deploy(port.deployment())
    port.runtime.remove("word-count")
    port.runtime.remove("word-count")
    assert port.runtime.services() == []
    with pytest.raises(NotFound):
        port.runtime.endpoint("word-count")
    eventually(lambda: port.running() == [])


def test_an_unknown_skill_is_not_found_and_the_nearest_is_named(port: ProcessBench) -> None:
    port.runtime.deploy(port.deployment())
    with pytest.raises(NotFound) as unknown:
        port.runtime.endpoint("word-counts")
    assert "word-count?" in unknown.value.next_step
    with pytest.raises(NotFound):
        port.runtime.logs("nothing-like-it")


def test_services_are_told_in_order(port: ProcessBench) -> None:
    for name in ("b-skill", "a-skill"):
        port.runtime.deploy(port.deployment(name=name))
    assert [(service.skill, service.state) for service in port.runtime.services()] == [("a-skill", "healthy"), ("b-skill", "healthy")]


def test_what_a_skill_prints_is_in_its_logs(bench: ProcessBench) -> None:
    bench.runtime.deploy(bench.deployment("print('one')\nprint('two', flush=True)\n" + COUNTS % 1))
    assert bench.runtime.logs("word-count").splitlines() == ["one", "two"]
    assert bench.runtime.logs("word-count", 1) == "two"
    assert bench.runtime.logs("word-count", 0) == ""


def test_a_skill_gets_its_environment_and_keeps_its_storage_over_versions(port: ProcessBench) -> None:
    code = """
import os
from pathlib import Path
def execute(inputs, context):
    notes = Path(os.environ["SKILL_STORAGE"], "notes")
    notes.write_text((notes.read_text() if notes.exists() else "") + os.environ["MORE"])
    return {"words": len(notes.read_text())}
"""
    traits = {"environment": {"MORE": "xy"}, "permissions": {"storage": "persistent"}}
    port.runtime.deploy(port.deployment(code, **traits))
    assert [port.words(), port.words()] == [2, 4]
    port.runtime.deploy(port.deployment(code, version="1.0.1", **traits))
    assert port.words() == 6
    port.runtime.remove("word-count")
    port.runtime.deploy(port.deployment(code, version="1.0.2", **traits))
    assert port.words() == 8


def test_a_skill_whose_secret_is_missing_waits_for_a_person_and_what_served_goes_on(port: ProcessBench) -> None:
    port.runtime.deploy(port.deployment(COUNTS % 1))
    with pytest.raises(MissingSecret, match="word-count waits for the secret MISSING"):
        port.runtime.deploy(port.deployment(COUNTS % 2, version="1.0.1", permissions={"secrets": ["MISSING"]}))
    assert port.words() == 1


READS = """
import os
from pathlib import Path
KEY = Path(os.environ["SKILL_SECRETS"], "TOKEN")
READ = KEY.read_text()
def execute(inputs, context):
    assert KEY.read_text() == READ and KEY.stat().st_mode & 0o777 == 0o400
    mounts = [line.split() for line in open("/proc/mounts")]
    assert "tmpfs" in [kind for _, place, kind, *_ in mounts if place.startswith(os.environ["SKILL_SECRETS"])], mounts
    return {"words": len(READ)}
"""


def test_a_trial_has_made_up_secrets_in_place_of_real_ones(port: ProcessBench) -> None:
    manifest = a_manifest(permissions={"secrets": ["TOKEN"]})
    with port.runtime.trial(port.built(READS, manifest), manifest) as endpoint:
        reply = execute(endpoint, prepare(manifest, {"text": "a"}, "ada", "r1"))
    assert reply.outputs == {"words": len("trial-TOKEN")}, reply


def test_a_skill_finds_its_secrets_as_files_that_lie_on_no_disk(port: ProcessBench) -> None:
    port.runtime.deploy(port.deployment(READS, permissions={"secrets": ["TOKEN"]}))
    assert port.words() == len("the TOKEN of word-count")


def test_a_trial_is_healthy_apart_and_gone_afterwards(port: ProcessBench) -> None:
    manifest = a_manifest()
    with port.runtime.trial(port.built(COUNTS % 3, manifest), manifest) as endpoint:
        reply = execute(endpoint, prepare(manifest, {"text": "a"}, "ada", "r1"))
    assert reply.outputs == {"words": 3}
    assert port.runtime.services() == []
    eventually(lambda: not probe(endpoint, 5.0)[0])


def test_a_trial_needs_no_supervisor(bench: ProcessBench) -> None:
    manifest = a_manifest()
    with bench.runtime.trial(bench.built(COUNTS % 3, manifest), manifest) as endpoint:
        assert endpoint.socket
    assert not Path(endpoint.socket).parent.exists()
    assert not (bench.state / "supervisor").exists()


def test_a_trial_keeps_nothing(port: ProcessBench) -> None:
    code = """
import os
from pathlib import Path
def execute(inputs, context):
    notes = Path(os.environ["SKILL_STORAGE"], "notes")
    notes.write_text((notes.read_text() if notes.exists() else "") + "x")
    return {"words": len(notes.read_text())}
"""
    manifest = a_manifest(permissions={"storage": "persistent"})
    artifact, invocation = port.built(code, manifest), prepare(manifest, {"text": "a"}, "ada", "r1")
    for _ in range(2):
        with port.runtime.trial(artifact, manifest) as endpoint:
            assert execute(endpoint, invocation).outputs == {"words": 1}


def test_a_trial_of_a_broken_skill_is_refused_with_the_end_of_its_log(port: ProcessBench) -> None:
    manifest = a_manifest()
    with pytest.raises(Refused) as refused, port.runtime.trial(port.built(BROKEN["crashes on import"], manifest), manifest):
        pass
    assert "no luck today" in refused.value.why


# ---- the supervisor ------------------------------------------------------------------------------------------------------


def test_a_skill_that_crashes_is_started_again(bench: ProcessBench) -> None:
    bench.runtime.deploy(bench.deployment())
    (pid,) = bench.running()
    bench.kill(pid)
    eventually(lambda: bench.running() not in ([pid], []))
    eventually(lambda: [service.state for service in bench.runtime.services()] == ["healthy"])
    assert bench.runtime.services()[0].restarts == 1
    assert bench.words() == 1


def test_calls_work_again_right_after_a_crash(bench: ProcessBench) -> None:
    bench.runtime.deploy(bench.deployment())
    bench.kill(bench.running()[0])
    eventually(lambda: bench.call().success)  # one that is under way while the skill dies is cut off


def test_a_skill_that_hangs_is_started_again(bench: ProcessBench) -> None:
    bench.runtime.deploy(bench.deployment(health={"interval": "1s", "timeout": "3s", "retries": 1}))
    (pid,) = bench.running()
    bench.freeze(pid)
    eventually(lambda: bench.running() not in ([pid], []))
    eventually(lambda: [service.state for service in bench.runtime.services()] == ["healthy"])


def test_an_idle_skill_rests_and_the_next_endpoint_wakes_it(sleepy: ProcessBench) -> None:
    sleepy.runtime.deploy(sleepy.deployment())
    eventually(lambda: [service.state for service in sleepy.runtime.services()] == ["resting"])
    eventually(lambda: sleepy.running() == [])
    assert sleepy.words() == 1
    (service,) = sleepy.runtime.services()
    assert (service.state, service.restarts) == ("healthy", 0)


def test_a_skill_that_is_called_straight_at_its_socket_is_not_idle(kind: str, tmp_path: Path) -> None:
    bench = BENCHES[kind](tmp_path, idle=3.0)  # far more than what passes between two calls
    try:
        bench.runtime.deploy(bench.deployment())
        endpoint = bench.runtime.endpoint("word-count")
        (pid,), until = bench.running(), time.monotonic() + 4.5
        invocation = prepare(a_manifest(), {"text": "a"}, "ada", "r1")
        while time.monotonic() < until:
            assert execute(endpoint, invocation).success
            time.sleep(0.1)
        assert bench.running() == [pid]
    finally:
        bench.close()


SLOW = """
import random, time
ME = random.randrange(10**9)
def execute(inputs, context):
    time.sleep(0.7)
    return {"words": ME}
"""


def test_under_load_a_skill_gets_another_instance_and_loses_it_when_the_load_is_over(sleepy: ProcessBench) -> None:
    sleepy.runtime.deploy(sleepy.deployment(SLOW))
    (first,), seen, done = sleepy.running(), set(), threading.Event()

    def keep_calling() -> None:
        while not done.is_set():
            reply = sleepy.call()
            assert reply.success, reply
            seen.add(reply.outputs["words"])

    clients = [threading.Thread(target=keep_calling) for _ in range(8)]
    for client in clients:
        client.start()
    eventually(lambda: len(seen) == 2 and len(sleepy.runtime.stats("word-count")) == 2, seconds=60)
    assert first in sleepy.running()
    done.set()
    for client in clients:
        client.join()
    eventually(lambda: len(sleepy.runtime.stats("word-count")) < 2, seconds=60)


def test_where_one_of_two_instances_falls_the_other_goes_on(sleepy: ProcessBench) -> None:
    sleepy.runtime.deploy(sleepy.deployment(SLOW))
    done = threading.Event()

    def keep_calling() -> None:
        while not done.is_set():
            sleepy.call()

    clients = [threading.Thread(target=keep_calling) for _ in range(8)]
    for client in clients:
        client.start()
    eventually(lambda: len(sleepy.runtime.stats("word-count")) == 2, seconds=60)
    first, _ = sleepy.running()
    sleepy.kill(first)
    eventually(lambda: first not in sleepy.running(), seconds=60)
    done.set()
    for client in clients:
        client.join()
    assert sleepy.call().success
    assert sleepy.runtime.services()[0].state == "healthy"


def test_a_skill_that_keeps_something_has_one_instance(sleepy: ProcessBench) -> None:
    sleepy.runtime.deploy(sleepy.deployment(SLOW, permissions={"storage": "persistent"}))
    until, running = time.monotonic() + 4, set()
    while time.monotonic() < until:
        replies = at_once(8, sleepy.call)
        assert all(reply.success for reply in replies)
        running.add(len(sleepy.runtime.stats("word-count")))
    assert 1 in running and running <= {0, 1}  # none where a busy machine let it rest between two rounds


def test_stats_tell_what_a_skill_uses(bench: ProcessBench) -> None:
    bench.runtime.deploy(bench.deployment())
    assert bench.words() == 1
    (load,) = bench.runtime.stats()
    assert (load.skill, load.version, load.calls, load.in_flight, load.restarts) == ("word-count", "1.0.0", 1, 0, 0)
    assert load.memory is not None and 2**20 < load.memory < 2**29
    assert load.cpu is not None and 0 < load.cpu < 60
    with pytest.raises(NotFound):
        bench.runtime.stats("word-counts")


def test_a_killed_supervisor_is_replaced_and_the_skill_adopted(bench: ProcessBench) -> None:
    bench.runtime.deploy(bench.deployment())
    (pid,), killed = bench.running(), bench.supervisor()
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: not process_lives(killed))
    assert bench.alive(pid)
    assert bench.words() == 1
    assert bench.supervisor() != killed
    assert bench.running() == [pid]
    bench.kill(pid)  # an adopted one is looked after like any other
    eventually(lambda: bench.running() not in ([pid], []))
    assert bench.words() == 1


def test_what_died_with_the_supervisor_is_started_by_the_next(bench: ProcessBench) -> None:
    bench.runtime.deploy(bench.deployment())
    (pid,), killed = bench.running(), bench.supervisor()
    os.kill(killed, signal.SIGKILL)
    bench.kill(pid)
    eventually(lambda: not process_lives(killed) and not bench.alive(pid))
    assert bench.words() == 1


def test_a_process_that_nobody_wants_any_more_is_ended_by_the_next_supervisor(bench: ProcessBench) -> None:
    bench.runtime.deploy(bench.deployment())
    (pid,), killed = bench.running(), bench.supervisor()
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: not process_lives(killed))
    path = bench.state / "supervisor/services.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "services": []}))
    assert bench.runtime.services() == []
    eventually(lambda: not bench.alive(pid))


def test_an_orderly_end_ends_the_skills_and_the_next_supervisor_starts_them(bench: ProcessBench) -> None:
    bench.runtime.deploy(bench.deployment())
    (pid,) = bench.running()
    bench.runtime.shutdown()
    eventually(lambda: not bench.alive(pid))
    assert bench.words() == 1
    assert bench.running() != [pid]


def test_commands_that_come_at_once_start_one_supervisor(bench: ProcessBench) -> None:
    runtimes = [bench.another() for _ in range(3)]
    threads = [threading.Thread(target=runtime.deploy, args=(bench.deployment(name=f"skill-{i}"),)) for i, runtime in enumerate(runtimes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bench.runtime.services()) == 3
    assert (bench.state / "supervisor/supervisor.log").read_text().count(" serves ") == 1


def test_the_supervisor_ends_with_its_state_folder(bench: ProcessBench) -> None:
    bench.runtime.deploy(bench.deployment())
    (pid,), supervisor = bench.running(), bench.supervisor()
    bench.state.rename(bench.folder / "moved")
    eventually(lambda: not bench.alive(pid) and not process_lives(supervisor))
    assert not bench.state.exists()


def test_a_state_folder_too_long_for_sockets_does_not_matter(kind: str, tmp_path: Path) -> None:
    bench = BENCHES[kind](tmp_path / ("long" * 30))
    bench.folder.mkdir()
    try:
        bench.runtime.deploy(bench.deployment())
        assert bench.words() == 1
        assert len(str(bench.runtime.endpoint("word-count").socket)) < 108
    finally:
        bench.close()


def test_without_anything_deployed_no_supervisor_is_started(bench: ProcessBench) -> None:
    assert bench.runtime.services() == []
    bench.runtime.remove("word-count")
    with pytest.raises(NotRunning):
        ask(bench.state, "ping")
