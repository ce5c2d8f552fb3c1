"""A gateway in process: a real repository and registry, a fake runtime, and a skill's server whose words are the test's."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import hashlib
import json
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from agent.domain.release import Endpoint, Service
from agent.domain.skill import Manifest
from agent.errors import NotFound, Refused
from agent.gateway.app import make_app
from agent.gateway.door import Door
from agent.gateway.gateway import Gateway
from agent.gateway.server import configured
from agent.keys import Keys
from agent.manifest_file import write_manifest
from agent.pipeline import Pipeline
from agent.ports import Availability, Deployment
from agent.starter import found
from agent.wiring import open_workplace
from agent.workplace import Workplace
from tests.builders import a_manifest
from tests.fakes import FakeModel

Said = Callable[[dict[str, Any]], Awaitable[bytes]]


class FakeRuntime:
    """Deploys by noting it; a version in `sick` does not become healthy."""

    name = "fake"

    def __init__(self, socket: Path) -> None:
        self.socket, self.deployed, self.sick = socket, dict[str, Deployment](), set[str]()
        self.woken: list[str] = []
        self.wake: Callable[[], None] = lambda: None

    def available(self) -> Availability:
        return Availability(ok=True)

    def deploy(self, deployment: Deployment) -> Service:
        if deployment.version in self.sick:
            raise Refused(f"{deployment.skill} {deployment.version} did not become healthy.")
        self.deployed[deployment.skill] = deployment
        return self._service(deployment)

    def remove(self, skill: str) -> None:
        self.deployed.pop(skill, None)

    def services(self) -> Sequence[Service]:
        return [self._service(deployment) for deployment in self.deployed.values()]

    def endpoint(self, skill: str, person: str = "") -> Endpoint:
        if skill not in self.deployed:
            raise NotFound(f"No skill {skill!r} is deployed.")
        self.woken.append(skill)
        self.wake()
        return Endpoint(socket=str(self.socket))

    def logs(self, skill: str, lines: int = 200) -> str:
        return f"the last {lines} lines of {skill}\n"

    def _service(self, deployment: Deployment) -> Service:
        return Service(skill=deployment.skill, version=deployment.version, digest=deployment.digest, state="healthy")


def reply(**outputs: Any) -> bytes:
    return json.dumps({"success": True, "outputs": outputs}).encode()


async def count(call: dict[str, Any]) -> bytes:
    return reply(words=len(call["inputs"]["text"].split()))


@dataclass
class SkillServer:
    """Speaks HTTP/1.1 over a unix socket. `says` makes a body of a call; with b"" it hangs up instead."""

    says: Said = count
    calls: list[dict[str, Any]] = field(default_factory=list)
    now: int = 0
    most: int = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length:"))
                call = json.loads(await reader.readexactly(length))
                self.calls.append(call)
                self.now += 1
                self.most = max(self.most, self.now)
                try:
                    body = await self.says(call)
                finally:
                    self.now -= 1
                if not body:
                    break
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        writer.close()


def a_place(folder: Path, answers: dict[str, Any] | None = None) -> Workplace:
    """A skills repository below `folder` with the fake runtime, a model that gives these answers, and no skill."""
    return _opened(found(folder / "skills").root, answers)


def a_place_with(folder: Path, *manifests: Manifest) -> Workplace:
    """One with these skills published: a copy of one that was made before, where there is one."""
    template = _templates() / hashlib.sha256(repr(manifests).encode()).hexdigest()
    if not template.exists():
        publish(a_place(template), *manifests)
    shutil.copytree(template, folder, dirs_exist_ok=True)
    config = folder / "skills/.git/config"
    config.write_text(config.read_text().replace(str(template), str(folder)))
    return _opened(folder / "skills")


@functools.cache
def _templates() -> Path:
    folder = tempfile.mkdtemp(prefix="skillops-test-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _opened(root: Path, answers: dict[str, Any] | None = None) -> Workplace:
    folder, place = root.parent, open_workplace(root, stand_in=FakeModel(answers), user="ada")
    parts = replace(place.parts, runtime=FakeRuntime(folder / "skill.sock"))  # type: ignore[arg-type]
    return replace(place, parts=parts, pipeline=Pipeline(parts))


def publish(place: Workplace, *manifests: Manifest) -> None:
    """Has main hold these skills, and enters them in the registry."""
    forge = place.parts.forge
    files: dict[str, bytes | None] = {}
    for manifest in manifests:
        files[f"skills/{manifest.name}/skill.yaml"] = write_manifest(manifest)
        files[f"skills/{manifest.name}/skill.py"] = b"def execute(inputs, context):\n    return {}\n"
    forge.commit(forge.main, files, parent=forge.head(forge.main), message="By hand", author="bob")
    place.pipeline.run()


@dataclass
class House:
    """The gateway, the client that calls it, and the skill behind it."""

    place: Workplace
    gateway: Gateway
    skill: SkillServer
    client: httpx.AsyncClient
    server: asyncio.Server
    app: Door

    @property
    def runtime(self) -> FakeRuntime:
        return self.place.parts.runtime  # type: ignore[return-value]

    def key(self, *scopes: str, name: str = "eve") -> dict[str, str]:
        """The headers of a caller with a new key."""
        return a_key(self.gateway, name, *scopes)

    async def execute(self, name: str = "word-count", inputs: Any = None, **more: Any) -> httpx.Response:
        given = {"text": "one two"} if inputs is None else inputs
        return await self.client.post(f"/skills/{name}/execute", json={"inputs": given}, **more)


def a_key(gateway: Gateway, name: str, *scopes: str) -> dict[str, str]:
    """The headers of a caller with a new key; over sockets one that was looked up, as the fast lane wants it."""
    headers = {"authorization": f"Bearer {gateway.keys.create(name, scopes)[1]}"}
    if over_sockets:
        gateway.authority.key(headers["authorization"])
    return headers


over_sockets = False  # the fixture `each_way` says otherwise


@contextlib.asynccontextmanager
async def _transport(app: Door, folder: Path) -> AsyncIterator[httpx.AsyncBaseTransport]:
    if not over_sockets:
        yield httpx.ASGITransport(app)  # type: ignore[arg-type]
        return
    path = str(folder / "gateway.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        async with a_server(app, listening):
            yield httpx.AsyncHTTPTransport(uds=path, limits=httpx.Limits(max_connections=None))


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the test run's."""
        yield


@contextlib.asynccontextmanager
async def a_server(app: Door, listening: socket.socket) -> AsyncIterator[None]:
    """The door served as `skillops serve` does it, in the loop that runs."""
    config = configured(app, "none")
    if not over_sockets:
        config.http = HttpToolsProtocol
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield
    finally:
        app.leave()
        server.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def a_house(folder: Path, *manifests: Manifest, place: Workplace | None = None, **traits: Any) -> AsyncIterator[House]:
    """The skills published, their server listening, and a client with an admin key."""
    place = place or a_place_with(folder, *(manifests or (a_manifest(),)))
    gateway = Gateway(place, Keys(folder / "keys.sqlite"), **{"hosts": frozenset(("gateway",)), **traits})
    skill = SkillServer()
    server = await asyncio.start_unix_server(skill.talk, place.parts.runtime.socket)  # type: ignore[attr-defined]
    app = make_app(gateway)
    headers = a_key(gateway, "ada", "admin")
    async with (
        _transport(app, folder) as transport,
        httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers, timeout=60) as client,
    ):
        try:
            yield House(place, gateway, skill, client, server, app)
        finally:
            await gateway.shelf.close()
            server.close()
