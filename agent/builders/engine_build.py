"""One build by the engine's classic builder, within its limits: it ends, and what did not succeed leaves no container."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any, NamedTuple

from agent.docker_engine import DockerEngine, faults, remove
from agent.errors import CouldNotTell, Refused

MARK, DONE = "skillops.build", "skillops.digest"  # labels: of what a build makes on its way, and of what it made
MEMORY = 2 * 2**30  # bytes for one step
WRITTEN = 4 * 2**30  # bytes that one step may write
LOOK_SECONDS = 0.5
LEFT = 3600.0  # seconds after which what a build made on its way is nobody's any more: another repository's may be given longer than ours
SHOWN = 8  # lines of the build's log that an error tells
_STEP = re.compile(r"---> ([0-9a-f]{12})$")
_RUNNING = re.compile(r"---> Running in ([0-9a-f]{12,})")
_KILLED = "non-zero code: 137"
_FULL = re.compile(r"no space left|disk quota exceeded", re.IGNORECASE)
_LOST = re.compile(
    r"unknown parent image ID|failed to set parent|failed to get digest sha256:|No such image: sha256:|layer does not exist", re.IGNORECASE
)


class _Lost(CouldNotTell):
    """An image that the engine took a step from was removed while it built: by a prune, or with the last image of another build."""


class Built(NamedTuple):
    """The image's id, and those of the images that were made or used on the way to it."""

    image: str
    steps: tuple[str, ...]


def build_image(
    engine: DockerEngine, packed: IO[bytes], *, tag: str, seconds: float, network: str, arguments: Mapping[str, str] | None = None,
    written: int = WRITTEN,
) -> Built:  # fmt: skip
    """Builds the context `packed`, which can be read twice. `arguments` are build arguments, whose values no message repeats.

    Raises Refused where a step fails, takes longer than `seconds` together with the others or writes more than `written` bytes,
    CouldNotTell where the engine stops, its disk is full, or steps that it knew are removed under it twice over.
    """
    begin = packed.tell()
    try:
        return _build(engine, packed, tag, seconds, network, arguments, written)
    except _Lost:
        packed.seek(begin)
        return _build(engine, packed, tag, seconds, network, arguments, written, anew=True)


def _build(
    engine: DockerEngine, packed: IO[bytes], tag: str, seconds: float, network: str, arguments: Mapping[str, str] | None, written: int,
    anew: bool = False,
) -> Built:  # fmt: skip
    client = engine.client()
    watch = _Watch(client, seconds, written)
    log: list[str] = []
    error, image = "", ""
    with faults("build an image"), watch:
        stream = client.api.build(
            fileobj=packed, custom_context=True, tag=tag, rm=True, forcerm=True, decode=True, network_mode=network,
            buildargs=dict(arguments or {}), use_config_proxy=False, timeout=seconds + 60,
            nocache=anew, container_limits={"memory": MEMORY, "memswap": MEMORY},
        )  # fmt: skip
        for part in stream:
            log += str(part.get("stream", "")).splitlines()
            watch.heard(str(part.get("stream", "")))
            error = error or str(part.get("error", ""))
            image = part.get("aux", {}).get("ID", image)
    if watch.ended and not image:
        raise Refused(f"The image {tag} cannot be built: {watch.ended}.", why=_end(log, arguments), next_step="Look at what the Dockerfile runs.")
    if _FULL.search(error):
        raise CouldNotTell(
            "The image could not be built: no space is left.", why=error[:300], next_step="Make room where Docker Engine keeps its data."
        )
    if _LOST.search(error):
        raise _Lost("The image could not be built: what the engine built it on was removed.", why=error[:300], next_step="Try again.")
    if error and _KILLED in error and not engine.available().ok:  # an engine that is told to stop first kills what runs
        error = image = ""
    if error:
        why = _end([*log, error], arguments)
        raise Refused(f"The image {tag} cannot be built: a step failed.", why=why, next_step="Mend what the log says and propose it again.")
    if not image:
        raise CouldNotTell("Docker Engine stopped while it built an image.", next_step="Start it again (see its log), then try again.")
    return Built(image, tuple(match[1] for line in log if (match := _STEP.search(line.strip()))))


def clear_leftovers(engine: DockerEngine, seconds: float) -> None:
    """Removes the containers of builds that were cut short: those older than a build of `seconds`, or anybody's, may be, and those an engine died
    removing.

    What serves is labelled as done.
    """
    with faults("clear what builds left"):
        api = engine.client().api
        for found in api.containers(all=True, filters={"label": MARK}):
            over = found["State"] == "dead" or time.time() - found["Created"] > max(seconds, LEFT)
            if over and not found["Labels"].get(DONE):
                with contextlib.suppress(CouldNotTell), faults("remove a container"):
                    remove(api, found["Id"])


def import_tar(api: Any, pieces: Iterator[bytes], tag: str, changes: list[str]) -> None:
    """`docker import` of a tar, which comes in pieces: docker-py says so to the engine, and of a file requests would know better.

    Raises CouldNotTell where the engine says in its answer that it failed.
    """
    repository, _, name = tag.rpartition(":")
    with faults("import an image"):
        said = str(api.import_image_from_stream(pieces, repository=repository, tag=name, changes=changes))
    if '"error"' in said:
        full = bool(_FULL.search(said))
        fix = "Make room where Docker Engine keeps its data." if full else "See the engine's log."
        raise CouldNotTell("Docker Engine did not import an image.", why=said.strip()[-300:], next_step=fix)


class _Watch:
    """Kills the step that runs when the build's time is up or the step writes too much; the engine then ends the build."""

    def __init__(self, client: Any, seconds: float, written: int) -> None:
        self._client, self._seconds, self._written = client, seconds, written
        self._container, self._over = "", threading.Event()
        self.ended = ""
        self._thread = threading.Thread(target=self._look, name="build-watch", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def heard(self, said: str) -> None:
        if match := _RUNNING.search(said):
            self._container = match[1]

    def _look(self) -> None:
        until = time.monotonic() + self._seconds
        while not self._over.wait(LOOK_SECONDS):
            if time.monotonic() > until:
                self.ended = f"it takes longer than {self._seconds:g} seconds"
            elif self._size() > self._written:
                self.ended = f"a step writes more than {self._written // 2**20} MiB"
            if self.ended and self._container:
                with contextlib.suppress(CouldNotTell), faults("end a step"):
                    self._client.api.kill(self._container)

    def _size(self) -> int:
        """What the running step has written, in bytes."""
        if not self._container:
            return 0
        with contextlib.suppress(CouldNotTell), faults("measure a step"):
            found = self._client.api.containers(size=True, filters={"id": self._container})
            return int(found[0].get("SizeRw") or 0) if found else 0
        return 0


def _end(log: Iterable[str], arguments: Mapping[str, str] | None) -> str:
    """The last lines of a log, without what is nobody's business."""
    text = "\n".join([line.strip() for line in log if line.strip()][-SHOWN:])[-1000:]
    for value in (arguments or {}).values():
        text = text.replace(value, "…") if value else text
    return text
