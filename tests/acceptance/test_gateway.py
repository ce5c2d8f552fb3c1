"""The gateway as it is started: `skillops serve` on a free port, a real skill in its sandbox behind it, and a client in another process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from agent.manifest_file import write_manifest
from tests.acceptance.harness import CODE, Home
from tests.builders import a_manifest

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]
SLOW = CODE.replace("    return", '    import time\n\n    if inputs["text"] == "sleep":\n        time.sleep(30)\n    return')
DEADLY = CODE.replace("    return", '    import os\n\n    if inputs["text"] == "die":\n        os._exit(1)\n    return')


class Served(NamedTuple):
    home: Home
    client: httpx.Client
    process: subprocess.Popen[str]
    first: str

    def command(self, *arguments: str) -> Any:
        command = [sys.executable, "-m", "agent.cli", *arguments, "--repository", str(self.home.path), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def execute(self, name: str, text: str, **more: Any) -> httpx.Response:
        return self.client.post(f"/skills/{name}/execute", json={"inputs": {"text": text}}, **more)


def publish(home: Home, name: str, code: str, version: str = "1.0.0", **traits: Any) -> None:
    """What a person pushes by hand, released."""
    files = {"skill.yaml": write_manifest(a_manifest(name=name, version=version, **traits)), "skill.py": code.encode()}
    home.commit({f"skills/{name}/{path}": data for path, data in files.items()})
    home.run()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("gateway")
    home = Home.founded(folder / "skills")
    publish(home, "word-count", CODE)
    publish(home, "deadly", DEADLY, annotations={"idempotent": False})
    publish(home, "slow", SLOW, resources={"timeout": "3s"})
    command = [sys.executable, "-m", "agent.cli", "serve", "--port", "0", "--json", "--repository", str(home.path)]
    stderr = (folder / "stderr").open("w+")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        url = read_url(process)
        first = (folder / "stderr").read_text().rpartition(" ")[2].strip()
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {first}"}, timeout=60) as client:
            yield Served(home, client, process, first)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)
        home.close()


def read_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    document = ""
    for line in process.stdout:
        document += line
        if line.rstrip() == "}":
            return str(json.loads(document)["url"])
    raise AssertionError(f"serve ended with {process.wait(10)}")


def test_it_listens_on_loopback_with_the_one_admin_key_that_it_has_shown(served: Served) -> None:
    assert served.client.base_url.host == "127.0.0.1"
    assert served.client.get("/healthz").json() == {"status": "healthy"}
    assert served.client.get("/readyz").json()["status"] == "ready"
    assert next(key["scopes"] for key in served.command("key", "list")) == ["admin"]


def test_a_real_skill_answers_through_its_sandbox_with_a_receipt(served: Served) -> None:
    told = served.execute("word-count", "to be or not to be").json()
    assert told["outputs"] == {"words": 6}
    assert told["receipt"]["digest"] == served.home.registry().entry("word-count").digest  # type: ignore[union-attr]


def test_a_key_made_by_command_works_until_it_is_revoked(served: Served) -> None:
    made = served.command("key", "create", "--scope", "invoke", "--name", "eve")
    headers = {"authorization": f"Bearer {made['key']}"}

    assert served.execute("word-count", "a", headers=headers).status_code == 200
    assert served.client.get("/requests", headers=headers).status_code == 403
    served.command("key", "revoke", made["id"])

    until = time.monotonic() + 20
    while served.execute("word-count", "a", headers=headers).status_code != 401:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_skill_that_dies_or_sleeps_is_told_apart_and_the_next_call_is_answered(served: Served) -> None:
    died, after = served.execute("deadly", "die"), served.execute("deadly", "a b")
    slept, later = served.execute("slow", "sleep"), served.execute("slow", "a b")
    assert (died.status_code, died.json()["reason"]) == (502, "crashed")
    assert (slept.status_code, slept.json()["reason"]) == (504, "timeout")
    assert after.json()["outputs"] == later.json()["outputs"] == {"words": 2}


def test_a_thousand_calls_at_once_are_each_answered_or_told_when_to_come_again(served: Served) -> None:
    async def all_at_once() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=served.client.base_url, headers=served.client.headers, timeout=120, limits=limits) as client:
            body = [{"inputs": {"text": "a " * (number % 7)}} for number in range(1000)]
            return await asyncio.gather(*(client.post("/skills/word-count/execute", json=each) for each in body))

    answers = asyncio.run(all_at_once())

    answered = {number: answer for number, answer in enumerate(answers) if answer.status_code == 200}
    assert all(answer.json()["outputs"] == {"words": number % 7} for number, answer in answered.items())
    turned_away = [answer for answer in answers if answer.status_code != 200]
    assert {(answer.status_code, answer.json()["code"]) for answer in turned_away} <= {(429, "too-many-calls"), (503, "busy")}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in turned_away)
    assert len(answered) >= 500
    assert 'skillops_calls_in_flight{skill="word-count"} 0.0' in served.client.get("/metrics").text
    until = time.monotonic() + 30
    while served.client.post("/skills/word-count/execute", json={"inputs": {"text": "a b"}}).status_code != 200:  # the key's rate
        assert time.monotonic() < until
        time.sleep(0.2)


def test_a_skill_whose_process_is_killed_runs_again(served: Served) -> None:
    served.execute("word-count", "a")
    services = json.loads((served.home.path / ".skillops/supervisor/services.json").read_text())
    name, *_ = next(each["instances"] for each in services["services"] if each["deployment"]["skill"] == "word-count")
    os.kill(services["instances"][name]["pid"], signal.SIGKILL)

    assert served.execute("word-count", "a b c").json()["outputs"] == {"words": 3}


def test_a_merge_makes_the_new_version_serve_without_a_restart(served: Served) -> None:
    served.execute("word-count", "a")
    publish(served.home, "word-count", CODE.replace("split())", "split()) + 100"), version="1.1.0")

    told = served.execute("word-count@1.1.0", "a b").json()

    assert told["outputs"] == {"words": 102}
    assert told["receipt"]["version"] == "1.1.0"


def test_it_ends_at_a_signal_and_shows_no_key_the_second_time(served: Served) -> None:
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(30)
    command = [sys.executable, "-m", "agent.cli", "serve", "--port", "0", "--json", "--repository", str(served.home.path)]
    again = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    url = read_url(again)
    answer = httpx.post(f"{url}/skills/word-count/execute", json={"inputs": {"text": "a"}}, headers={"authorization": f"Bearer {served.first}"})
    again.send_signal(signal.SIGTERM)
    _, stderr = again.communicate(timeout=30)
    assert answer.status_code == 200
    assert "key" not in stderr
