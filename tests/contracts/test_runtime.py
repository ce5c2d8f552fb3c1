"""What every Runtime promises, and what the supervisor of the process runtime promises on top."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.caller import execute
from agent.domain.invocation import Reply
from agent.domain.release import Artifact
from agent.domain.skill import Manifest, digest_of
from agent.errors import MissingSecret, NotFound, Refused
from agent.languages.python import PythonLanguage
from agent.ports import Deployment
from agent.runtimes.process import ProcessRuntime
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.stages.invoking import prepare
from agent.supervisor_client import NotRunning, ask
from tests.builders import a_manifest

pytestmark = pytest.mark.bubblewrap

COUNTS = "def execute(inputs, context):\n    return {'words': %d}\n"
SUPERVISE = """
import sys
from pathlib import Path
from agent.languages.python import PythonLanguage
from agent.runtimes.process import ProcessLauncher
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.supervisor import serve
state = Path(sys.argv[1])
serve(state, ProcessLauncher(state, BubblewrapSandbox(), {"python": PythonLanguage()}), float(sys.argv[2]))
"""


class Bench:
    """A runtime on a state folder of its own, and skills to put on it."""

    def __init__(self, folder: Path, idle: float = 900.0) -> None:
        self.folder, self.state, self.idle = folder, folder / "state", idle
        self.runtime = self.another()

    def another(self) -> ProcessRuntime:
        command = (sys.executable, "-c", SUPERVISE, str(self.state), str(self.idle))
        return ProcessRuntime(self.state, BubblewrapSandbox(), {"python": PythonLanguage()}, command)

    def built(self, code: str, manifest: Manifest) -> Artifact:
        digest = digest_of([code, manifest.model_dump(mode="json")])
        source, target = self.folder / f"source-{digest[-8:]}", self.folder / f"built-{digest[-8:]}"
        if not target.exists():
            source.mkdir()
            target.mkdir()
            (source / "skill.py").write_text(code)
            PythonLanguage().prepare(source, manifest, target)
        return Artifact(digest=digest, kind="directory", location=str(target))

    def deployment(self, code: str = COUNTS % 1, **traits: Any) -> Deployment:
        manifest = a_manifest(**{"health": {"interval": "1s", "timeout": "5s", "retries": 1}, **traits})
        artifact = self.built(code, manifest)
        return Deployment(
            skill=manifest.name,
            version=manifest.version,
            digest=artifact.digest,
            runtime=manifest.runtime,
            location=artifact.location,
            resources=manifest.resources,
            health=manifest.health,
            manifest=manifest,
        )

    def call(self, skill: str = "word-count", runtime: ProcessRuntime | None = None) -> Reply:
        invocation = prepare(a_manifest(name=skill), {"text": "a"}, "ada", "r1", deadline=10.0)
        endpoint = (runtime or self.runtime).endpoint(skill)
        return execute(endpoint, invocation, again=lambda: (runtime or self.runtime).endpoint(skill))

    def words(self, skill: str = "word-count") -> int:
        reply = self.call(skill)
        assert reply.success, reply
        return int(reply.outputs["words"])

    def processes(self) -> list[int]:
        """The processes that the supervisor has noted, as bubblewrap's outer ones."""
        kept = json.loads((self.state / "supervisor/services.json").read_text())
        return [line["pid"] for line in kept["instances"].values()]

    def supervisor(self) -> int:
        return int(ask(self.state, "ping"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.runtime.shutdown()


@pytest.fixture
def sleepy(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, idle=1.0)
    yield bench
    bench.runtime.shutdown()


def eventually(true: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def inner(pid: int) -> int:
    """The first process of the sandbox whose outer process is `pid`: with it ends everything in there."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# ---- the port ----------------------------------------------------------------------------------------------------------


def test_a_deployed_skill_answers_at_its_endpoint(bench: Bench) -> None:
    service = bench.runtime.deploy(bench.deployment())
    assert (service.skill, service.version, service.state, service.restarts) == ("word-count", "1.0.0", "healthy", 0)
    assert bench.words() == 1


def test_deploying_what_already_serves_does_nothing(bench: Bench) -> None:
    first = bench.runtime.deploy(bench.deployment())
    processes = bench.processes()
    assert bench.runtime.deploy(bench.deployment()) == first
    assert bench.processes() == processes


def test_a_new_version_takes_over_and_no_call_fails(bench: Bench) -> None:
    bench.runtime.deploy(bench.deployment())
    replies: list[Reply] = []
    done = threading.Event()

    def keep_calling() -> None:
        while not done.is_set():
            replies.append(bench.call(runtime=bench.another()))

    client = threading.Thread(target=keep_calling)
    client.start()
    for number in range(2, 5):
        bench.runtime.deploy(bench.deployment(COUNTS % number, version=f"1.{number}.0"))
    assert bench.words() == 4
    done.set()
    client.join()
    assert [reply for reply in replies if not reply.success] == []
    assert {1, 4} <= {reply.outputs["words"] for reply in replies} | {bench.words()}


def test_a_call_that_is_under_way_outlives_the_switch(bench: Bench) -> None:
    slow = "import time\ndef execute(inputs, context):\n    time.sleep(1.5)\n    return {'words': 1}\n"
    bench.runtime.deploy(bench.deployment(slow))
    replies: list[Reply] = []
    client = threading.Thread(target=lambda: replies.append(bench.call()))
    client.start()
    time.sleep(0.3)
    bench.runtime.deploy(bench.deployment(COUNTS % 2, version="2.0.0"))
    client.join()
    assert replies[0].success and replies[0].outputs == {"words": 1}
    assert bench.words() == 2
    eventually(lambda: len(bench.processes()) == 1)


BROKEN = {
    "crashes on import": "raise RuntimeError('no luck today')\n",
    "has no execute": "x = 1\n",
    "kills what serves it": "import os, signal\nos.kill(-1, signal.SIGKILL)\n",
}


@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN)
def test_a_broken_version_is_refused_and_the_old_one_stays(bench: Bench, code: str) -> None:
    bench.runtime.deploy(bench.deployment())
    with pytest.raises(Refused) as refused:
        bench.runtime.deploy(bench.deployment(code, version="1.1.0"))
    assert "does not become healthy" in refused.value.what
    assert bench.words() == 1
    assert [service.version for service in bench.runtime.services()] == ["1.0.0"]
    assert len(bench.processes()) == 1


def test_the_refusal_quotes_the_log(bench: Bench) -> None:
    with pytest.raises(Refused) as refused:
        bench.runtime.deploy(bench.deployment(BROKEN["crashes on import"]))
    assert "no luck today" in refused.value.why
    assert bench.runtime.services() == []


def test_a_version_that_never_gets_ready_is_refused_when_its_time_is_up(bench: Bench) -> None:
    hangs = bench.deployment("import time\ntime.sleep(3600)\n", health={"interval": "1s", "timeout": "1s", "retries": 1})
    with pytest.raises(Refused, match="within 1 s"):
        bench.runtime.deploy(hangs)


def test_a_removed_skill_is_gone_and_removing_it_again_does_no_harm(bench: Bench) -> None:
    bench.runtime.deploy(bench.deployment())
    bench.runtime.remove("word-count")
    bench.runtime.remove("word-count")
    assert bench.runtime.services() == []
    with pytest.raises(NotFound):
        bench.runtime.endpoint("word-count")
    eventually(lambda: bench.processes() == [])


def test_an_unknown_skill_is_not_found_and_the_nearest_is_named(bench: Bench) -> None:
    bench.runtime.deploy(bench.deployment())
    with pytest.raises(NotFound) as unknown:
        bench.runtime.endpoint("word-counts")
    assert "word-count?" in unknown.value.next_step
    with pytest.raises(NotFound):
        bench.runtime.logs("nothing-like-it")


def test_services_are_told_in_order(bench: Bench) -> None:
    for name in ("b-skill", "a-skill"):
        bench.runtime.deploy(bench.deployment(name=name))
    assert [(service.skill, service.state) for service in bench.runtime.services()] == [("a-skill", "healthy"), ("b-skill", "healthy")]


def test_what_a_skill_prints_is_in_its_logs(bench: Bench) -> None:
    bench.runtime.deploy(bench.deployment("print('one')\nprint('two', flush=True)\n" + COUNTS % 1))
    assert bench.runtime.logs("word-count").splitlines() == ["one", "two"]
    assert bench.runtime.logs("word-count", 1) == "two"
    assert bench.runtime.logs("word-count", 0) == ""


def test_a_skill_gets_its_environment_and_keeps_its_storage_over_versions(bench: Bench) -> None:
    code = """
import os
from pathlib import Path
def execute(inputs, context):
    notes = Path(os.environ["SKILL_STORAGE"], "notes")
    notes.write_text((notes.read_text() if notes.exists() else "") + os.environ["MORE"])
    return {"words": len(notes.read_text())}
"""
    traits = {"environment": {"MORE": "xy"}, "permissions": {"storage": "persistent"}}
    bench.runtime.deploy(bench.deployment(code, **traits))
    assert [bench.words(), bench.words()] == [2, 4]
    bench.runtime.deploy(bench.deployment(code, version="1.0.1", **traits))
    assert bench.words() == 6
    assert (bench.state / "storage/word-count/notes").read_text() == "xyxyxy"


def test_a_skill_whose_secret_is_missing_waits_for_a_person_and_what_served_goes_on(bench: Bench) -> None:
    bench.runtime.deploy(bench.deployment(COUNTS % 1))
    with pytest.raises(MissingSecret, match="word-count waits for the secret TOKEN"):
        bench.runtime.deploy(bench.deployment(COUNTS % 2, version="1.0.1", permissions={"secrets": ["TOKEN"]}))
    assert bench.words() == 1


READS = """
import os
from pathlib import Path


def execute(inputs, context):
    secret = Path(os.environ["SKILL_SECRETS"], "TOKEN")
    return {"words": len(secret.read_text())} if secret.stat().st_mode & 0o777 == 0o400 else {}
"""


def test_a_trial_has_made_up_secrets_in_place_of_real_ones(bench: Bench) -> None:
    manifest = a_manifest(permissions={"secrets": ["TOKEN"]})
    with bench.runtime.trial(bench.built(READS, manifest), manifest) as endpoint:
        reply = execute(endpoint, prepare(manifest, {"text": "a"}, "ada", "r1"))
    assert reply.outputs == {"words": len("trial-TOKEN")}


def test_a_trial_is_healthy_apart_and_gone_afterwards(bench: Bench) -> None:
    manifest = a_manifest()
    with bench.runtime.trial(bench.built(COUNTS % 3, manifest), manifest) as endpoint:
        reply = execute(endpoint, prepare(manifest, {"text": "a"}, "ada", "r1"))
    assert reply.outputs == {"words": 3}
    assert not Path(str(endpoint.socket)).parent.exists()
    assert bench.runtime.services() == []
    assert not (bench.state / "supervisor").exists()


def test_a_trial_of_a_broken_skill_is_refused_with_the_end_of_its_log(bench: Bench) -> None:
    manifest = a_manifest()
    with pytest.raises(Refused) as refused, bench.runtime.trial(bench.built(BROKEN["crashes on import"], manifest), manifest):
        pass
    assert "no luck today" in refused.value.why


# ---- the supervisor ------------------------------------------------------------------------------------------------------


def test_a_skill_that_crashes_is_started_again(bench: Bench) -> None:
    bench.runtime.deploy(bench.deployment())
    (pid,) = bench.processes()
    os.kill(inner(pid), signal.SIGKILL)
    eventually(lambda: bench.processes() not in ([pid], []))
    eventually(lambda: [service.state for service in bench.runtime.services()] == ["healthy"])
    assert bench.runtime.services()[0].restarts == 1
    assert bench.words() == 1


def test_calls_work_again_right_after_a_crash(bench: Bench) -> None:
    bench.runtime.deploy(bench.deployment())
    os.kill(inner(bench.processes()[0]), signal.SIGKILL)
    eventually(lambda: bench.call().success)  # one that is under way while the skill dies is cut off


def test_a_skill_that_hangs_is_started_again(bench: Bench) -> None:
    bench.runtime.deploy(bench.deployment(health={"interval": "1s", "timeout": "1s", "retries": 1}))
    (pid,) = bench.processes()
    os.kill(inner(inner(pid)), signal.SIGSTOP)
    eventually(lambda: bench.processes() not in ([pid], []))
    eventually(lambda: [service.state for service in bench.runtime.services()] == ["healthy"])


def test_an_idle_skill_rests_and_the_next_endpoint_wakes_it(sleepy: Bench) -> None:
    sleepy.runtime.deploy(sleepy.deployment())
    eventually(lambda: [service.state for service in sleepy.runtime.services()] == ["resting"])
    eventually(lambda: sleepy.processes() == [])
    assert sleepy.words() == 1
    (service,) = sleepy.runtime.services()
    assert (service.state, service.restarts) == ("healthy", 0)


def test_a_skill_that_is_called_straight_at_its_socket_is_not_idle(sleepy: Bench) -> None:
    sleepy.runtime.deploy(sleepy.deployment())
    endpoint = sleepy.runtime.endpoint("word-count")
    (pid,) = sleepy.processes()
    invocation = prepare(a_manifest(), {"text": "a"}, "ada", "r1")
    for _ in range(30):
        assert execute(endpoint, invocation).success
        time.sleep(0.1)
    assert sleepy.processes() == [pid]


def test_a_killed_supervisor_is_replaced_and_the_skill_adopted(bench: Bench) -> None:
    bench.runtime.deploy(bench.deployment())
    (pid,), killed = bench.processes(), bench.supervisor()
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: not alive(killed))
    assert alive(pid)
    assert bench.words() == 1
    assert bench.supervisor() != killed
    assert bench.processes() == [pid]
    os.kill(inner(pid), signal.SIGKILL)  # an adopted one is looked after like any other
    eventually(lambda: bench.processes() not in ([pid], []))
    assert bench.words() == 1


def test_what_died_with_the_supervisor_is_started_by_the_next(bench: Bench) -> None:
    bench.runtime.deploy(bench.deployment())
    (pid,), killed = bench.processes(), bench.supervisor()
    for victim in (killed, inner(pid)):
        os.kill(victim, signal.SIGKILL)
    eventually(lambda: not alive(killed) and not alive(pid))
    assert bench.words() == 1


def test_a_process_that_nobody_wants_any_more_is_ended_by_the_next_supervisor(bench: Bench) -> None:
    bench.runtime.deploy(bench.deployment())
    (pid,), killed = bench.processes(), bench.supervisor()
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: not alive(killed))
    path = bench.state / "supervisor/services.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "services": []}))
    assert bench.runtime.services() == []
    eventually(lambda: not alive(pid))


def test_an_orderly_end_ends_the_skills_and_the_next_supervisor_starts_them(bench: Bench) -> None:
    bench.runtime.deploy(bench.deployment())
    (pid,) = bench.processes()
    bench.runtime.shutdown()
    eventually(lambda: not alive(pid))
    assert bench.words() == 1
    assert bench.processes() != [pid]


def test_commands_that_come_at_once_start_one_supervisor(bench: Bench) -> None:
    runtimes = [bench.another() for _ in range(3)]
    threads = [threading.Thread(target=runtime.deploy, args=(bench.deployment(name=f"skill-{i}"),)) for i, runtime in enumerate(runtimes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bench.runtime.services()) == 3
    assert (bench.state / "supervisor/supervisor.log").read_text().count(" serves ") == 1


def test_the_supervisor_ends_with_its_state_folder(bench: Bench) -> None:
    bench.runtime.deploy(bench.deployment())
    (pid,), supervisor = bench.processes(), bench.supervisor()
    bench.state.rename(bench.folder / "moved")
    eventually(lambda: not alive(pid) and not alive(supervisor))
    assert not bench.state.exists()


def test_a_state_folder_too_long_for_sockets_does_not_matter(tmp_path: Path) -> None:
    bench = Bench(tmp_path / ("long" * 30))
    bench.folder.mkdir()
    try:
        bench.runtime.deploy(bench.deployment())
        assert bench.words() == 1
        assert len(str(bench.runtime.endpoint("word-count").socket)) < 108
    finally:
        bench.runtime.shutdown()


def test_without_anything_deployed_no_supervisor_is_started(bench: Bench) -> None:
    assert bench.runtime.services() == []
    bench.runtime.remove("word-count")
    with pytest.raises(NotRunning):
        ask(bench.state, "ping")
