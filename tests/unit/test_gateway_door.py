"""Who is let in: keys and their scopes, hosts, origins, rates; and what every answer carries."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from agent.domain.invocation import Reply
from agent.errors import SkillOpsError
from agent.gateway.authority import TRUST, Authority
from agent.gateway.limits import FAILURES, REST, Lane, Rates
from agent.gateway.problems import Busy, CircuitOpen, TooMany, Unauthorized
from agent.keys import Keys
from tests.gateways import a_house

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("each_way")]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic abc", "Bearer " + "x" * 10_000, "Bearer \u00e9", "bearer skillops_"])
async def test_without_a_right_key_nothing_is_done(tmp_path: Path, header: str) -> None:
    async with a_house(tmp_path) as house:
        answer = await house.execute(headers={"authorization": header.encode("latin-1")})
    assert code(answer) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert house.skill.calls == []


@pytest.mark.parametrize(
    ("method", "path", "scopes", "status"),
    [
        ("POST", "/skills/word-count/execute", ["request"], 403),
        ("POST", "/skills/word-count/execute", ["approve"], 403),
        ("POST", "/skills/word-count/execute", ["invoke"], 200),
        ("GET", "/skills", ["request"], 403),
        ("GET", "/skills", ["invoke", "request"], 200),
        ("GET", "/tools", ["request"], 403),
        ("GET", "/requests", ["invoke"], 403),
        ("GET", "/requests", ["request"], 200),
        ("GET", "/proposals", ["invoke"], 403),
        ("GET", "/skills/word-count/logs", ["invoke", "request", "approve"], 403),
        ("GET", "/skills/word-count/logs", ["admin"], 200),
        ("POST", "/builds", ["invoke", "request", "approve"], 403),
        ("GET", "/nowhere", ["invoke"], 404),
    ],
)
async def test_a_key_may_do_what_its_scopes_say(tmp_path: Path, method: str, path: str, scopes: list[str], status: int) -> None:
    async with a_house(tmp_path) as house:
        body = {"inputs": {"text": "a"}} if method == "POST" else None
        answer = await house.client.request(method, path, json=body, headers=house.key(*scopes))
    assert answer.status_code == status, answer.text
    if status == 403:
        assert code(answer) == (403, "forbidden")
        assert "skillops key create" in answer.json()["next_step"]


async def test_a_key_that_was_revoked_is_refused_and_its_use_is_noted(tmp_path: Path) -> None:
    clock, keys = Clock(), Keys(tmp_path / "keys.sqlite")
    key, secret = keys.create("eve", ["invoke"])
    authority = Authority(keys, clock)

    assert authority.key(f"Bearer {secret}").name == "eve"
    keys.revoke(key.id)
    clock.now += TRUST

    with pytest.raises(Unauthorized):
        authority.key(f"Bearer {secret}")
    assert keys.all()[0].used


async def test_a_key_that_calls_too_often_is_told_to_wait(tmp_path: Path) -> None:
    async with a_house(tmp_path, rate=0.01) as house:
        answers = [await house.client.get("/skills") for _ in range(2)]
        other = await house.client.get("/skills", headers=house.key("invoke"))
    assert answers[0].status_code == 200
    assert code(answers[-1]) == (429, "too-many-calls")
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert other.status_code == 200


def test_a_key_has_so_many_calls_a_day() -> None:
    day = [1]
    rates = Rates(0, daily=2, today=lambda: day[0])
    assert [rates.allows("a") for _ in range(3)] == [True, True, False] and rates.allows("b")
    with pytest.raises(TooMany) as told:
        rates.take("a")
    assert 1 <= int(told.value.headers["retry-after"]) <= 86_400
    day[0] = 2
    rates.take("a")


@pytest.mark.parametrize("path", ["/skills/word-count/execute", "/requests", "/mcp"])
async def test_a_body_that_is_nested_too_deep_is_refused_before_it_is_parsed(tmp_path: Path, path: str) -> None:
    async with a_house(tmp_path) as house:
        bodies = [b"[" * 50_000, b'{"inputs":' * 101 + b"1" + b"}" * 101, b'{"a":"' + b"[" * 5000 + b'"}', b'{"a":"\\""' + b"[" * 200]
        answers = [await house.client.post(path, content=body, headers={"content-type": "application/json"}) for body in bodies]
    assert ["nested" in answer.text for answer in answers] == [True, True, False, True]
    assert answers[0].status_code == 400


def test_a_bucket_fills_with_time() -> None:
    clock = Clock()
    rates = Rates(2, clock)
    for _ in range(4):
        rates.take("a")
    with pytest.raises(TooMany):
        rates.take("a")
    clock.now += 0.5
    rates.take("a")
    with pytest.raises(TooMany):
        rates.take("a")


CRASHED, FINE, OWN = Reply(False, error_code="crashed"), Reply(True, {}), Reply(False, error_code="unreachable")
NOBODY = OWN._replace(gone=True)


async def called(lane: Lane, reply: Reply, caller: str = "ada") -> None:
    async with lane.turn(caller, 1):
        lane.heard(caller, reply)


@pytest.mark.parametrize("broken", [CRASHED, NOBODY])
async def test_after_its_rest_one_call_tries_a_skill_and_its_answer_decides(broken: Reply) -> None:
    clock = Clock()
    lane = Lane("word-count", 4, clock)
    for _ in range(FAILURES):
        await called(lane, broken)
    with pytest.raises(CircuitOpen):
        await called(lane, FINE)
    clock.now += REST
    await called(lane, broken)
    with pytest.raises(CircuitOpen):
        await called(lane, FINE)
    clock.now += REST
    await called(lane, FINE)
    assert not lane.is_open
    await called(lane, broken)


async def test_what_one_callers_inputs_break_is_closed_to_them_alone_and_what_is_gone_to_everybody() -> None:
    lane = Lane("word-count", 4)
    for _ in range(FAILURES):
        await called(lane, CRASHED, "mallory")
    with pytest.raises(CircuitOpen):
        await called(lane, FINE, "mallory")
    await called(lane, FINE, "ada")
    assert not lane.is_open
    for _ in range(FAILURES):
        await called(lane, NOBODY, "ada")
    with pytest.raises(CircuitOpen):
        await called(lane, FINE, "eve")
    assert lane.is_open


async def test_what_a_skill_says_of_its_inputs_is_no_failure_of_the_skill() -> None:
    lane = Lane("word-count", 4)
    for _ in range(FAILURES):
        await called(lane, OWN)
        await called(lane, Reply(False, error_code="no-words"))
    assert not lane.is_open


async def test_one_caller_leaves_room_for_the_others_and_gives_back_what_they_waited_for_in_vain() -> None:
    lane, end = Lane("word-count", 4), asyncio.Event()

    async def hold() -> None:
        async with lane.turn("mallory", 0.2):
            await end.wait()

    async with asyncio.TaskGroup() as group:
        holds = [group.create_task(hold()) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            async with lane.turn("mallory", 0.01):
                pass
        async with lane.turn("ada", 0.01):
            with pytest.raises(Busy):
                async with lane.turn("eve", 0.01):
                    pass
        end.set()
    assert all(task.done() for task in holds)
    async with lane.turn("mallory", 0.01), lane.turn("mallory", 0.01), lane.turn("mallory", 0.01), lane.turn("ada", 0.01):
        pass


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "", "gateway.evil.example", "user@gateway", "gateway@evil.example", "[::1"])
async def test_another_host_is_refused_whatever_the_key(tmp_path: Path, host: str) -> None:
    async with a_house(tmp_path) as house:
        answer = await house.client.get("/healthz", headers={"host": host})
    assert code(answer) == (421, "wrong-host")


@pytest.mark.parametrize("host", ["gateway", "GATEWAY", "gateway:8765"])
async def test_its_own_host_is_let_in_on_any_port(tmp_path: Path, host: str) -> None:
    async with a_house(tmp_path) as house:
        assert (await house.client.get("/healthz", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://gateway:9999", "gateway", "file://gateway", "http://gateway.evil.example", ""]
)
async def test_a_page_of_another_site_is_refused(tmp_path: Path, origin: str) -> None:
    async with a_house(tmp_path) as house:
        answer = await house.execute(headers={"origin": origin})
    assert code(answer) == (403, "forbidden")
    assert house.skill.calls == []


@pytest.mark.parametrize("origin", ["http://gateway", "https://chat.example"])
async def test_its_own_pages_and_those_of_the_setting_are_let_in(tmp_path: Path, origin: str) -> None:
    async with a_house(tmp_path, origins=frozenset(["https://chat.example"])) as house:
        assert (await house.execute(headers={"origin": origin})).status_code == 200


async def test_probes_need_no_key_and_figures_only_on_loopback(tmp_path: Path) -> None:
    async with a_house(tmp_path / "a") as house:
        del house.client.headers["authorization"]
        on_loopback = [(await house.client.get(path)).status_code for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")]
    async with a_house(tmp_path / "b", on_loopback=False) as house:
        del house.client.headers["authorization"]
        elsewhere = [(await house.client.get(path)).status_code for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")]
    assert on_loopback == [200] * 5
    assert elsewhere == [200, 200, 401, 401, 401]


async def test_every_answer_has_the_headers_that_keep_browsers_safe(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        answers = [await house.execute(), await house.client.get("/skills"), await house.client.get("/nowhere"), await house.client.get("/docs")]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-request-id"]


async def test_a_fault_of_the_gateway_itself_is_a_problem_without_details(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the secret detail")

    async with a_house(tmp_path) as house:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("agent.gateway.gateway.prepare", fail)
            patch.setattr(house.place.parts.catalog, "entries", fail)
            answers = [await house.execute(), await house.client.get("/skills")]
    for answer in answers:
        assert code(answer) == (503, "could-not-tell")
        assert "secret" not in answer.text
        assert answer.headers["x-request-id"] in answer.json()["next_step"]
    assert "the secret detail" in caplog.text


def test_each_code_of_the_command_has_a_status() -> None:
    from agent import errors
    from agent.gateway.problems import status_of

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SkillOpsError)]
    plain = [kind for kind in kinds if kind not in (errors.InvalidFile, errors.InvocationFailed, SkillOpsError)]
    assert {status_of(kind("x")) for kind in plain} == {400, 404, 409, 422, 500, 503}
