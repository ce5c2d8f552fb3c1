"""Secrets from the command to a real skill in its sandbox: handed as files, rotated without a build, and found nowhere else."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.manifest_file import write_manifest
from tests.acceptance.harness import Home
from tests.builders import a_manifest
from tests.command import skillops, told

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]

FIRST, SECOND = "first-correct-horse-battery", "second-correct-horse-battery"
CODE = """
import hashlib
import os
from pathlib import Path


def execute(inputs, context):
    folder = Path(os.environ["SKILL_SECRETS"])
    value = (folder / "API_KEY").read_text()
    if inputs["text"] == "fail":
        print("the key is", value, flush=True)
        raise RuntimeError("could not log in with " + value)
    if inputs["text"] == "look":
        for kind in ("environ", "cmdline"):
            for path in Path("/proc").glob(f"[0-9]*/{kind}"):
                try:
                    if value.encode() in path.read_bytes():
                        return {"words": -1}
                except PermissionError:  # the sandbox's own reaper
                    pass
        return {"words": len(list(folder.iterdir())) if (folder / "API_KEY").stat().st_mode & 0o777 == 0o400 else -2}
    return {"words": int(hashlib.sha256(value.encode()).hexdigest()[:6], 16)}
"""


def known_as(value: str) -> int:
    """What the skill answers when it holds this value."""
    return int(hashlib.sha256(value.encode()).hexdigest()[:6], 16)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home.founded(tmp_path / "skills")
    manifest = a_manifest(permissions={"secrets": ["API_KEY"]})
    home.commit({"skills/word-count/skill.yaml": write_manifest(manifest), "skills/word-count/skill.py": CODE.encode()})
    home.run()
    yield home
    home.parts.runtime.shutdown()  # type: ignore[attr-defined]


def call(home: Home, text: str = "use") -> Any:
    return skillops("invoke", "word-count", "--input", json.dumps({"text": text}), "--json", "-C", home.path)


def answers(home: Home, value: str) -> bool:
    done = call(home)
    return done.code == 0 and done.document["outputs"] == {"words": known_as(value)}


def eventually(true: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def artifacts(home: Home) -> dict[str, float]:
    return {str(path): path.stat().st_mtime for path in (home.path / ".skillops/artifacts").rglob("*")}


def set_secret(home: Home, value: str, *more: str) -> None:
    told(skillops("secret", "set", "API_KEY", *more, "-C", home.path, stdin=value), 0)


def test_a_skill_waits_for_its_secret_has_it_rotated_and_loses_it(home: Home) -> None:
    for verb in (("invoke", "word-count", "--input", '{"text": "use"}'), ("deploy",)):
        told(skillops(*verb, "-C", home.path), 3, "waits for the secret API_KEY", "skillops secret set API_KEY")
    set_secret(home, FIRST)
    assert answers(home, FIRST)
    assert call(home, "look").document["outputs"] == {"words": 1}
    built = artifacts(home)

    set_secret(home, SECOND)
    eventually(lambda: answers(home, SECOND))
    assert artifacts(home) == built
    assert call(home).document["receipt"]["digest"] == home.registry().skills[0].digest

    told(skillops("secret", "rm", "API_KEY", "-C", home.path), 0)
    eventually(lambda: call(home).code == 3)
    assert [service.state for service in home.parts.runtime.services()] == ["unhealthy"]
    set_secret(home, FIRST, "--skill", "another")  # which is as good as none
    time.sleep(0.5)
    assert call(home).code == 3
    set_secret(home, FIRST, "--for-all")
    eventually(lambda: answers(home, FIRST))


def test_a_secret_is_rotated_also_while_no_supervisor_looks(home: Home) -> None:
    set_secret(home, FIRST)
    assert answers(home, FIRST)
    supervisor = int((home.path / ".skillops/supervisor/lock").read_text())
    os.kill(supervisor, 9)
    set_secret(home, SECOND)
    eventually(lambda: answers(home, SECOND))


def test_what_a_skill_says_of_its_secret_leaves_without_it(home: Home) -> None:
    set_secret(home, FIRST)
    failed = call(home, "fail")
    assert failed.code == 1 and FIRST not in failed.out + failed.err and "[secret]" in failed.out
    log = home.parts.runtime.logs("word-count")
    assert "the key is [secret]" in log and FIRST not in log


def test_the_value_lies_nowhere_but_sealed_in_the_vault(home: Home) -> None:
    set_secret(home, FIRST)
    assert answers(home, FIRST) and call(home, "look").code == 0
    written = [FIRST, base64.b64encode(FIRST.encode()).decode()[:24], json.dumps(FIRST)[1:-1][:20]]
    folders = [str(home.path), f"{home.path}.git"]
    for value in written:
        assert subprocess.run(["grep", "-rlaF", value, *folders], capture_output=True, text=True, check=False).stdout == ""
    assert (Path(f"{home.path}.git") / "skillops/vault.sqlite").exists()
    mine = [path for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists() and FIRST.encode() in _bytes(path)]
    environments = [path for path in Path("/proc").glob("[0-9]*/environ") if FIRST.encode() in _bytes(path)]
    assert (mine, environments) == ([], [])
    assert home.ledger("deployed") and FIRST not in repr([line.event for line in home.parts.ledger.entries()])


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
