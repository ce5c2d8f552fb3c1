"""A trial's stand-ins by way of a relay, both on loopback: many at once, a relay that comes late or goes, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.domain.release import Endpoint
from agent.domain.stand_in import StandIns
from agent.egress.proxy import Verdict
from agent.relay.inward import Caller
from agent.relay.lending import Lent, key_of
from agent.relay.outward import Outward
from agent.relay.table import Table
from agent.runtimes import docker_stand_ins
from agent.runtimes.docker_stand_ins import LentStage
from tests.ports import free_port
from tests.unit.test_relay import TOKEN, until

CLIENTS = 12


def a_script(port: int) -> StandIns:
    steps = [{"send": "* hello"}, {"expect": "{tag} QUIT", "send": "{tag} bye", "close": True}]
    return StandIns.model_validate({"hosts": [{"host": f"mail.example.com:{port}", "tls": False, "dialogue": steps}]})


async def talked(port: int, tag: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{tag} QUIT\r\n".encode())
    said = await reader.read()
    writer.close()
    return said


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(docker_stand_ins, "short_folder", lambda: tmp_path)
    return tmp_path


def test_more_clients_than_connections_that_wait_are_each_answered_and_nothing_is_left(folder: Path) -> None:
    async def story() -> None:
        out, inward, lent, table, verdicts = free_port(), free_port(), Lent(), Table(), list[Verdict]()
        place = f"mail.example.com:{out}"
        stage = await asyncio.to_thread(LentStage, a_script(out))
        assert len(list(folder.iterdir())) == 1
        stage.lend(Endpoint(url=f"http://127.0.0.1:{inward}", host=f"relay.{TOKEN}"), "127.0.0.1")  # before there is a relay
        table.learn({"routes": {}, "ways": {"127.0.0.1": ["mailer", [place], True, stage.places]}, "pinned": {}})
        outward = Outward(table, "127.0.0.1", verdicts.append, lent)
        await outward.follow()
        server = await asyncio.get_running_loop().create_server(lambda: Caller(table, TOKEN, lambda: None, lent), "127.0.0.1", inward)
        said = await asyncio.wait_for(asyncio.gather(*(talked(out, f"a{number}") for number in range(CLIENTS))), 20)
        assert said == [f"* hello\r\na{number} bye\r\n".encode() for number in range(CLIENTS)]
        await until(lambda: lent.idle(key_of("127.0.0.1", place)) == docker_stand_ins.READY)
        gc.collect()  # asyncio holds its tasks weakly
        assert await asyncio.wait_for(talked(out, "b1"), 60) == b"* hello\r\nb1 bye\r\n"
        await asyncio.to_thread(stage.close)
        await asyncio.to_thread(stage.close)
        await until(lambda: not lent.idle(key_of("127.0.0.1", place)))
        table.learn({"routes": {}, "ways": {}, "pinned": {}})
        await outward.follow()
        server.close()
        assert {(verdict.host, verdict.verdict) for verdict in verdicts} == {("mail.example.com", "allowed")}

    asyncio.run(story())
    assert list(folder.iterdir()) == []


def test_a_stage_whose_sockets_cannot_be_had_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = folder / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(docker_stand_ins, "short_folder", lambda: long)
    with ThreadPoolExecutor(1) as threads, pytest.raises(OSError, match="path too long"):
        threads.submit(LentStage, a_script(143)).result()
    assert list(long.iterdir()) == []
