"""A build's stream, and the machine's settings: what they come to, without an engine."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, NotFound
from docker.utils.json_stream import json_stream

from agent.builders import own_dockerfile
from agent.builders.context import of_files, of_folder, pack
from agent.builders.engine_build import build_image, import_tar
from agent.builders.own_dockerfile import OwnDockerfile
from agent.docker_engine import faults, remove
from agent.errors import CouldNotTell, Refused
from agent.ports import Availability


class Saying:
    """An engine that answers a build with that stream."""

    def __init__(self, *parts: dict[str, Any], answers: bool = True) -> None:
        self._parts, self._answers = parts, answers

    def client(self) -> SimpleNamespace:
        return SimpleNamespace(api=SimpleNamespace(build=self._build))

    def available(self) -> Availability:
        return Availability(ok=self._answers)

    def _build(self, **_: Any) -> Iterator[dict[str, Any]]:
        yield from self._parts


class Losing(Saying):
    """An engine under which the steps that it knew are removed, so many times."""

    def __init__(self, times: int, said: str) -> None:
        super().__init__({"aux": {"ID": "sha256:1"}})
        self._times, self._said, self.asked = times, said, list[tuple[bytes, bool]]()

    def _build(self, *, fileobj: Any, nocache: bool, **_: Any) -> Iterator[dict[str, Any]]:
        self.asked.append((fileobj.read(), nocache))
        yield from [{"error": self._said}] if len(self.asked) <= self._times else self._parts


def built(*parts: dict[str, Any], **traits: Any) -> Any:
    engine: Any = Saying(*parts, **traits)
    return build_image(engine, io.BytesIO(), tag="skillops/x:1", seconds=5, network="none", arguments={"A": "s3cret"})


def test_the_image_and_what_it_was_made_from_are_told():
    done = built(
        {"stream": "Step 1/1 : FROM x\n"}, {"stream": " ---> 0123456789ab\n"}, {"aux": {"ID": "sha256:1"}}, {"stream": "Successfully built 1\n"}
    )
    assert done == ("sha256:1", ("0123456789ab",))


@pytest.mark.parametrize(
    ("part", "kind", "what"),
    [
        ({"error": "write /x: no space left on device"}, CouldNotTell, "no space is left"),
        ({"error": "The command 'pip' returned a non-zero code: 1"}, Refused, "a step failed"),
        ({"stream": "Step 1/2\n"}, CouldNotTell, "stopped while it built"),
    ],
)
def test_how_a_build_can_end(part, kind, what):
    with pytest.raises(kind, match=what) as caught:
        built({"stream": "it says s3cret\n"}, part)
    assert "s3cret" not in str(caught.value)


def test_a_step_that_an_engine_killed_as_it_stopped_is_no_fault_of_the_author():
    killed = {"error": "The command 'x' returned a non-zero code: 137"}
    with pytest.raises(Refused):
        built(killed)
    with pytest.raises(CouldNotTell, match="stopped"):
        built(killed, answers=False)


@pytest.mark.parametrize("said", [
    "failed to export image: failed to set parent sha256:ce55: unknown parent image ID sha256:ce55",
    "failed to get digest sha256:c0f0: open /var/lib/docker/image/overlay2/imagedb/content/sha256/c0f0: no such file or directory",
    "No such image: sha256:c0f0",
    "layer does not exist",
])  # fmt: skip
def test_a_build_whose_known_steps_are_removed_under_it_is_begun_anew_once(said: str):
    def build(engine: Any) -> Any:
        return build_image(engine, io.BytesIO(b"context"), tag="skillops/x:1", seconds=5, network="none")

    engine = Losing(1, said)
    assert build(engine).image == "sha256:1"
    assert engine.asked == [(b"context", False), (b"context", True)]
    with pytest.raises(CouldNotTell, match="was removed"):
        build(Losing(2, said))


def test_an_import_that_failed_is_told():
    for said, fix in (('{"error":"no space left on device"}', "Make room"), ('{"error":"odd"}', "log")):
        api = SimpleNamespace(import_image_from_stream=lambda *_, said=said, **__: said)
        with pytest.raises(CouldNotTell) as caught:
            import_tar(api, iter([b""]), "a:b", [])
        assert fix in caught.value.next_step


def test_the_same_context_gives_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder / "b").mkdir(parents=True)
        for name in ("b/c.txt", "a.txt") if folder == "one" else ("a.txt", "b/c.txt"):
            (tmp_path / folder / name).write_text(name)
        (tmp_path / folder / "link").symlink_to("a.txt")
        (tmp_path / folder / "build.json").write_text(folder)
    assert pack(of_folder(tmp_path / "one"), 100).read() == pack(of_folder(tmp_path / "two"), 100).read()
    with pytest.raises(Refused, match="larger"):
        pack(of_files({"a": bytes(60), "b": bytes(60)}), 100)


def own(text: str) -> OwnDockerfile:
    return OwnDockerfile({"Dockerfile": text.encode()}, "word-count")


def test_only_what_an_arg_names_goes_in_and_no_path_of_this_machine(monkeypatch):
    environment = {
        "PIP_INDEX_URL": "https://a.example.com",
        "GOPROXY": "https://b.example.com",
        "https_proxy": "http://c.example.com",
        "HTTP_PROXY": "/x",
    }
    monkeypatch.setattr(own_dockerfile, "_said", lambda *command: "https://d.example.com" if command[0] == "npm" else "")
    found = own("FROM x\nARG PIP_INDEX_URL\nARG NPM_CONFIG_REGISTRY\nARG GOSUMDB\n").arguments(environment)
    assert found == {"PIP_INDEX_URL": "https://a.example.com", "NPM_CONFIG_REGISTRY": "https://d.example.com", "HTTPS_PROXY": "http://c.example.com"}


def test_the_machines_own_tools_say_what_no_variable_says(tmp_path, monkeypatch):
    (tmp_path / "npm").write_text("#!/bin/sh\necho https://registry.example.com\n")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert own("FROM x\nARG NPM_CONFIG_REGISTRY\nARG GOPROXY\n").arguments({}) == {"NPM_CONFIG_REGISTRY": "https://registry.example.com"}


def test_what_lies_across_two_pieces_is_found():
    found: list[bytes] = []
    pieces = [b"xxada:cor", b"rect-ho", b"rse xx"]
    assert list(own_dockerfile._searched(pieces, [b"ada:correct-horse"], found)) == pieces
    assert set(found) == {b"ada:correct-horse"}


# ---- what an engine answers -----------------------------------------------------------------------------------------------


class Removing:
    """An engine that answers so to whoever removes a container, one after the other; `did` is what it was asked."""

    def __init__(self, *statuses: int) -> None:
        self._statuses, self.did = list(statuses), list[str]()

    def remove_container(self, container: str, *, force: bool, v: bool) -> None:
        self.did.append("remove")
        if (status := self._statuses.pop(0)) >= 400:
            kind = NotFound if status == 404 else APIError
            raise kind("no", response=SimpleNamespace(status_code=status, url="", reason=""))

    def wait(self, container: str, condition: str) -> None:
        self.did.append(f"wait until {condition}")


@pytest.mark.parametrize(("statuses", "did"), [
    ((204,), ["remove"]), ((404,), ["remove"]), ((409,), ["remove", "wait until removed"]), ((500, 204), ["remove", "remove"]),
    ((500, 404), ["remove", "remove"]),
])  # fmt: skip
def test_a_container_is_removed_whoever_else_is_at_it_and_however_busy_the_engine_is(statuses: tuple[int, ...], did: list[str]) -> None:
    api = Removing(*statuses)
    remove(api, "container")
    assert api.did == did


def test_a_container_that_cannot_be_removed_is_told() -> None:
    with pytest.raises(CouldNotTell, match="did not remove"), faults("remove a container"):
        remove(Removing(500, 500), "container")


def test_an_answer_that_ends_in_the_middle_of_a_word_is_an_engine_that_stopped() -> None:
    with pytest.raises(CouldNotTell, match="stopped"), faults("build an image"):
        list(json_stream([b'{"stream": "Step 1"}\r\n{"str']))
