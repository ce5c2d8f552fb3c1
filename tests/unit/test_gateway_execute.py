"""The gateway's hot route: a skill is called, and whatever it or its caller does wrong becomes a problem with its own code."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.domain.invocation import MAX_BODY
from tests.builders import a_manifest
from tests.gateways import a_house, count, publish, reply

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("each_way")]
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def the_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem of an answer, which is one, in the form of RFC 9457, and tells no traceback."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    document: dict[str, Any] = response.json()
    assert (response.status_code, document["status"], document["code"]) == (status, status, code), response.text
    assert document["title"] and document["type"] == f"urn:skillops:{code}"
    assert document["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return document


async def test_a_skill_answers_with_its_outputs_and_the_receipt(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        answer = await house.execute()

    assert answer.status_code == 200
    told = answer.json()
    assert (told["success"], told["outputs"]) == (True, {"words": 2})
    entry = house.place.parts.entry("word-count")
    assert (told["receipt"]["skill"], told["receipt"]["version"], told["receipt"]["digest"]) == ("word-count", "1.0.0", entry.digest)
    assert told["receipt"]["request_id"] == answer.headers["x-request-id"]


async def test_the_skill_is_told_who_calls_in_which_trace_and_for_how_long(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.client.post(
            "/skills/word-count/execute",
            json={"inputs": {"text": "a"}, "context": {"deadline": 5}},
            headers={"traceparent": TRACE, "x-request-id": "my-request"},
        )

    assert house.skill.calls == [
        {"inputs": {"text": "a"}, "context": {"request_id": "my-request", "deadline": 5.0, "traceparent": TRACE, "caller": "ada"}}
    ]


@pytest.mark.parametrize("given", ["", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "ff-1", "00-\u00e9"])
async def test_a_caller_without_a_trace_begins_one(tmp_path: Path, given: str) -> None:
    async with a_house(tmp_path) as house:
        await house.execute(headers={"traceparent": given.encode("latin-1")})

    begun = house.skill.calls[0]["context"]["traceparent"]
    assert len(begun) == 55 and begun.startswith("00-") and begun != given


async def test_a_version_that_serves_can_be_named_and_another_is_not_found(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        right = await house.execute("word-count@1.0.0")
        wrong = await house.execute("word-count@2.0.0")

    assert right.status_code == 200
    told = the_problem(wrong, 404, "not-found")
    assert "1.0.0" in told["detail"] and "word-count@1.0.0" in told["next_step"]


async def test_an_unknown_skill_is_not_found_with_the_nearest_names(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        told = the_problem(await house.execute("word-cuont"), 404, "not-found")
    assert "word-count" in told["next_step"]


@pytest.mark.parametrize("name", ["..%2F..%2Fetc", "%00", "x" * 5000, "Word-Count", "a b", "%F0%9F%98%80"])
async def test_a_name_that_is_none_is_not_found(tmp_path: Path, name: str) -> None:
    async with a_house(tmp_path) as house:
        the_problem(await house.execute(name), 404, "not-found")


@pytest.mark.parametrize(
    ("inputs", "why"), [({}, "text"), ({"text": 1}, "/text"), ({"text": "a", "more": 1}, "more"), (None, ""), ([], ""), ("a", "")]
)
async def test_inputs_that_do_not_fit_are_refused_before_the_skill_hears_of_them(tmp_path: Path, inputs: Any, why: str) -> None:
    async with a_house(tmp_path) as house:
        answer = await house.client.post("/skills/word-count/execute", json={"inputs": inputs})
    told = the_problem(answer, 422, "invalid-inputs")
    assert why in told["detail"] and "text (string)" in told["next_step"]
    assert house.skill.calls == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"inputs": {"text": NaN}}', b'{"inputs": {}, "more": 1}', b'{"inputs": {}, "context": 1}', b"\xff", b"[" * 100_000,
     b'{"inputs": {}, "context": {"deadline": 0}}', b'{"inputs": {}, "context": {"deadline": true}}', b'{"inputs": {"text": ' + b"9" * 5000 + b"}}"],
)  # fmt: skip
async def test_a_body_that_is_not_of_the_form_is_wrong_usage(tmp_path: Path, body: bytes) -> None:
    async with a_house(tmp_path) as house:
        answer = await house.client.post("/skills/word-count/execute", content=body, headers={"content-type": "application/json"})
        the_problem(answer, 400, "usage")


async def test_a_lone_surrogate_is_carried_as_it_is(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        body = b'{"inputs": {"text": "\\ud800"}}'
        answer = await house.client.post("/skills/word-count/execute", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert house.skill.calls[0]["inputs"] == {"text": "\ud800"}


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "streamed"])
async def test_a_body_of_more_than_eight_mebibytes_is_too_large(tmp_path: Path, announced: bool) -> None:
    async def drip() -> Any:
        for _ in range(9):
            yield b" " * 2**20

    async with a_house(tmp_path) as house:
        content: Any = b" " * (MAX_BODY + 1) if announced else drip()
        answer = await house.client.post("/skills/word-count/execute", content=content, headers={"content-type": "application/json"})
        the_problem(answer, 413, "too-large")


async def test_another_method_or_kind_of_body_is_refused(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        the_problem(await house.client.get("/skills/word-count/execute"), 405, "method-not-allowed")
        form = await house.client.post("/skills/word-count/execute", data={"inputs": "x"})
        the_problem(form, 415, "unsupported-media-type")


def an_error(code: str) -> bytes:
    return json.dumps({"success": False, "error": {"code": code, "message": "because"}}).encode()


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (an_error("no-words"), 422, "no-words"),
        (an_error("timeout"), 504, "timeout"),
        (an_error("crashed"), 502, "crashed"),
        (an_error("out-of-memory"), 502, "out-of-memory"),
        (b"<html>", 502, "bad-reply"),
        (b"[" * 100_000, 502, "bad-reply"),
        (reply(words="two"), 502, "bad-outputs"),
        (reply(), 502, "bad-outputs"),
        (b'{"success": true, "outputs": 1}', 502, "bad-outputs"),
        (b'{"success": true, "outputs": {"words": NaN}}', 502, "bad-reply"),
        (b'{"success": true, "outputs": {"words": 1, "more": 1e999}}', 502, "bad-outputs"),
        (b" " * (MAX_BODY + 1), 502, "too-large"),
    ],
)
async def test_what_a_skill_does_wrong_has_its_own_reason(tmp_path: Path, body: bytes, status: int, reason: str) -> None:
    async def say(call: dict[str, Any]) -> bytes:
        return body

    outputs = {"type": "object", "properties": {"words": {"type": "integer"}}, "required": ["words"]}
    async with a_house(tmp_path, a_manifest(annotations={"idempotent": False}, outputs=outputs)) as house:
        house.skill.says = say
        told = the_problem(await house.execute(), status, "invocation-failed")
    assert told["reason"] == reason
    assert len(house.skill.calls) == 1


async def test_silence_ends_at_the_deadline(tmp_path: Path) -> None:
    async def wait(call: dict[str, Any]) -> bytes:
        await asyncio.sleep(5)
        return reply(words=1)

    async with a_house(tmp_path) as house:
        house.skill.says = wait
        answer = await house.client.post("/skills/word-count/execute", json={"inputs": {"text": "a"}, "context": {"deadline": 0.05}})
    assert the_problem(answer, 504, "invocation-failed")["reason"] == "timeout"


@pytest.mark.parametrize(("idempotent", "calls"), [(True, 2), (False, 1)])
async def test_a_skill_that_dies_mid_call_is_called_again_only_where_it_is_idempotent(tmp_path: Path, idempotent: bool, calls: int) -> None:
    async def die_once(call: dict[str, Any]) -> bytes:
        return b"" if len(house.skill.calls) == 1 else await count(call)

    async with a_house(tmp_path, a_manifest(annotations={"idempotent": idempotent})) as house:
        house.skill.says = die_once
        answer = await house.execute()

    assert len(house.skill.calls) == calls
    if idempotent:
        assert answer.json()["outputs"] == {"words": 2}
    else:
        assert the_problem(answer, 502, "invocation-failed")["reason"] == "bad-reply"


async def test_a_skill_that_rests_is_woken_and_called(tmp_path: Path) -> None:
    async with a_house(tmp_path, a_manifest(annotations={"idempotent": False})) as house:
        path = house.runtime.socket
        path.unlink()
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        servers = []
        loop = asyncio.get_running_loop()

        def wake() -> None:
            if len(house.runtime.woken) == 2:  # the first time is when its endpoint is asked for
                path.unlink()
                servers.append(asyncio.run_coroutine_threadsafe(asyncio.start_unix_server(house.skill.talk, path), loop).result(5))

        house.runtime.wake = wake
        answer = await house.execute()

    assert answer.json()["outputs"] == {"words": 2}
    assert len(house.skill.calls) == 1
    servers[0].close()


async def test_two_hundred_calls_at_once_are_all_answered_a_few_at_a_time(tmp_path: Path) -> None:
    async def slowly(call: dict[str, Any]) -> bytes:
        await asyncio.sleep(0.002)
        return await count(call)

    async with a_house(tmp_path, at_once=7) as house:
        house.skill.says = slowly
        answers = await asyncio.gather(*(house.execute(inputs={"text": "a " * number}) for number in range(200)))

    assert [answer.json()["outputs"]["words"] for answer in answers] == list(range(200))
    assert 1 < house.skill.most <= 7


async def test_a_skill_that_keeps_failing_is_left_alone_and_the_others_are_not(tmp_path: Path) -> None:
    async def fail(call: dict[str, Any]) -> bytes:
        return an_error("crashed") if call["inputs"]["text"] == "die" else await count(call)

    async with a_house(tmp_path, a_manifest(), a_manifest(name="other")) as house:
        house.skill.says = fail
        for _ in range(5):
            the_problem(await house.execute(inputs={"text": "die"}), 502, "invocation-failed")
        refused = await house.execute()
        told = (await house.client.get("/skills/word-count")).json()
        other = await house.execute("other")
        neighbour = await house.execute(headers=house.key("invoke", name="neighbour"))

    the_problem(refused, 503, "circuit-open")
    assert int(refused.headers["retry-after"]) > 0
    assert told["circuit"] == "closed"  # it is closed to this key alone
    assert (other.status_code, neighbour.status_code) == (200, 200)


async def test_a_merge_makes_a_skill_callable_and_a_new_version_serve(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        before = await house.execute("late")
        publish(house.place, a_manifest(name="late"), a_manifest(version="1.1.0"))
        late, newer = await house.execute("late"), await house.execute("word-count@1.1.0")

    the_problem(before, 404, "not-found")
    assert late.json()["outputs"] == {"words": 2}
    assert newer.json()["receipt"]["version"] == "1.1.0"


async def test_a_new_version_that_does_not_start_leaves_the_old_one_in_service(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.execute()
        house.runtime.sick.add("1.1.0")
        publish(house.place, a_manifest(version="1.1.0"))
        await house.gateway.shelf.look(now=True)
        whatever, named = await house.execute(), await house.execute("word-count@1.1.0")

    assert whatever.json()["receipt"]["version"] == "1.0.0"
    assert "1.0.0" in the_problem(named, 404, "not-found")["detail"]


async def test_a_skill_that_does_not_start_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        house.runtime.sick.add("1.0.0")
        assert "healthy" in the_problem(await house.execute(), 409, "refused")["title"]


async def test_a_retired_skill_is_not_called(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.execute()
        publish(house.place, a_manifest(version="1.0.1", status="retired"))
        await house.gateway.shelf.look(now=True)
        the_problem(await house.execute(), 409, "refused")


async def test_a_broken_registry_on_main_stops_no_skill_and_is_told_to_probes(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.execute()
        forge = house.place.parts.forge
        forge.commit("main", {"registry.yaml": b"skills: ["}, parent=forge.head("main"), message="Oh", author="bob")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("agent.gateway.shelf.LOOK_EVERY", 0.0)
            answer = await house.execute()
        ready = await house.client.get("/readyz")

    assert answer.status_code == 200
    assert ready.status_code == 503
    assert "registry.yaml" in ready.json()["checks"]["registry"]


async def test_calls_go_on_while_the_registry_is_looked_at(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.execute()
        shelf, done = house.gateway.shelf, threading.Event()
        read = shelf._read

        def slowly() -> tuple[str, int]:
            done.wait(10)
            return read()

        shelf._read = slowly  # type: ignore[method-assign]
        await asyncio.sleep(0.15)  # the view is due
        answers = [await house.execute() for _ in range(3)]
        done.set()
        publish(house.place, a_manifest(version="1.1.0"))
        newer = await house.execute("word-count@1.1.0")

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert newer.json()["receipt"]["version"] == "1.1.0"


async def test_calls_are_counted(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.execute()
        await house.execute(inputs={"text": 1})
        await house.execute("no-such-skill")
        page = (await house.client.get("/metrics")).text
        usage = (await house.client.get("/skills/word-count")).json()["usage"]

    assert 'skillops_calls_total{outcome="ok",skill="word-count"} 1.0' in page
    assert 'skillops_http_answers_total{status="404"} 1.0' in page
    assert "no-such-skill" not in page
    assert (usage["calls"], usage["errors"]) == (1, 0)
