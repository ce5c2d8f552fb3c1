"""A skill at run time, that passed every gate and turns: what it reaches, what it harms, and what it leaves behind."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from agent.egress.proxy import Proxy, Verdict
from agent.egress.rules import Rule
from agent.errors import SkillOpsError
from agent.redactor import Redactor
from agent.stages.invoking import interpret, prepare
from tests.builders import an_entry
from tests.redteam.conftest import CANARY, Listener
from tests.redteam.threats import threat
from tests.redteam.turncoat import Turncoat
from tests.runtimes import eventually

pytestmark = pytest.mark.bubblewrap
MARK = "redteam-31415"


@threat(31)
def test_a_skill_reads_and_changes_no_file_of_this_machine(turned: Turncoat, canary: Path) -> None:
    assert "skill.py" in turned.said("search", "def everything")  # it can search, and finds its own code
    assert turned.said("search", CANARY) == "[]"
    assert (turned.said("read", str(canary)), turned.said("write", str(canary))) == ("'FileNotFoundError'", "'FileNotFoundError'")
    assert canary.read_text() == CANARY


@threat(32)
def test_a_skill_reaches_no_socket_that_its_manifest_does_not_name(turned: Turncoat, listener: Listener, tmp_path: Path) -> None:
    assert turned.said("tcp", listener.port) == "'OSError'"  # it names no host: such a socket is of a kind that it does not have (EAFNOSUPPORT)
    for path in (turned.bench.state / "supervisor").glob("*.sock"):
        assert "sent" not in turned.said("unix", str(path))
    assert "sent" not in turned.said("unix", "/var/run/docker.sock")
    assert listener.heard == []


@threat(33)
@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "fd00:ec2::254", "0.0.0.0", "::ffff:127.0.0.1"])
def test_a_declared_name_that_leads_to_a_private_address_is_not_reached(tmp_path: Path, listener: Listener, address: str) -> None:
    """The resolver is the attacker's: public when the name is judged, private whenever it is asked again."""
    asked, told = [], list[Verdict]()

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return [address]

    async def story() -> str:
        door = await Proxy(told.append, resolver=rebinding).open("word-count", [Rule.parse(f"*:{listener.port}")], tmp_path / "door")
        reader, writer = await asyncio.open_unix_connection(tmp_path / "door")
        writer.write(f"attacker.example {listener.port}\n".encode())
        said = (await reader.readline()).decode()
        writer.close()
        await door.close()
        return said

    assert asyncio.run(story()).startswith("refused")
    assert [verdict.verdict for verdict in told] == ["refused"] and listener.heard == []


@threat(34)
@pytest.mark.parametrize("harm", ["bomb", "memory", "fill"])
def test_a_skill_that_eats_the_machine_harms_no_neighbour(turned: Turncoat, harm: str) -> None:
    turned.call(harm)
    assert turned.bench.words("neighbour") == 7
    eventually(lambda: turned.call("secrets").success)
    assert turned.said("secrets").startswith("['MINE'")


@threat(35)
def test_what_a_call_leaves_running_ends_with_it(turned: Turncoat) -> None:
    assert "left" in turned.said("leave", MARK)

    def left() -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                found += [path.parent.name] if MARK.encode() in path.read_bytes() else []
        return found

    eventually(lambda: left() == [])


@threat(36)
def test_a_skill_stops_and_traces_nothing_that_is_not_its_own(turned: Turncoat) -> None:
    supervisor = turned.bench.supervisor()
    for pid in (supervisor, os.getpid(), 1):
        turned.call("trace", pid)
        turned.call("kill", pid)
    assert turned.bench.supervisor() == supervisor and turned.bench.words("neighbour") == 7
    eventually(lambda: turned.call("secrets").success)  # it ended its own server
    assert turned.said("secrets").startswith("['MINE'")


@threat(37)
@pytest.mark.parametrize("answer", ["large", "shape", "list", "nan"])
def test_an_answer_that_breaks_its_contract_reaches_no_caller(turned: Turncoat, answer: str) -> None:
    reply = turned.call(answer)
    with pytest.raises(SkillOpsError):
        interpret(turned.manifest, an_entry(), prepare(turned.manifest, {"text": "x"}, "ada", "r1"), reply)


@threat(38)
def test_a_secret_leaves_in_no_form_that_it_is_usually_written_in() -> None:
    secret = "s3cr3t-hunter2-correct-horse"
    forms = (secret, json.dumps(secret), quote(secret), repr(secret), base64.b64encode(secret.encode()).decode())
    told = Redactor([secret])("\n".join(forms))
    assert all(form not in told for form in forms) and "hunter2" not in told


@threat(39)
def test_a_skill_has_its_own_secrets_and_nobody_elses(turned: Turncoat) -> None:
    assert turned.said("secrets") == "['MINE']"
    for text in ("THEIRS of neighbour", "the THEIRS"):
        assert turned.said("search", text) == "[]"


@threat(40)
def test_a_call_that_never_ends_is_ended_and_the_next_is_answered(turned: Turncoat) -> None:
    started = time.monotonic()
    assert not turned.call("hang").success
    assert time.monotonic() - started < 20
    assert turned.said("secrets") == "['MINE']"
