"""One running server of a skill: started in the sandbox, waited for until it is healthy, drained and stopped.

Both the supervisor and a trial start skills through here.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from agent.caller import NoAnswer, call, health
from agent.domain.release import Endpoint
from agent.domain.skill import Manifest
from agent.errors import Refused
from agent.ports import Language, Mount, Sandbox, SandboxProcess

SOCKET = "skill.sock"
STORAGE = "/storage"
TAIL = 2000  # characters of a log that a reason quotes


class Instance:
    """One server. `folder` is shown to the sandbox, which can change what lies in it; `socket`, beside it, is ours."""

    def __init__(self, manifest: Manifest, process: SandboxProcess, folder: Path) -> None:
        self.manifest, self.process, self.folder = manifest, process, folder
        self.started_at: float | None = None  # with its pid and digest, what a supervisor knows it again by
        self.digest = ""
        self.socket = folder.with_name(folder.name + ".sock")

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(socket=str(self.socket))

    def health(self) -> tuple[str, str]:
        """As `caller.health`; `ended` where the process is gone."""
        if not self.process.running():
            return "ended", "it ended"
        if not self.socket.exists() and not self._link_socket():
            return "", "it does not listen yet"
        return health(self.endpoint, seconds(self.manifest.health.timeout))

    def wait(self) -> str:
        """Waits until it is healthy, for as long as its manifest allows; the reason where it does not become so."""
        allowed = seconds(self.manifest.health.timeout) * self.manifest.health.retries
        deadline, pause = time.monotonic() + allowed, 0.005
        while True:
            status, why = self.health()
            if status == "healthy":
                return ""
            if status in ("ended", "unhealthy"):
                return why
            if time.monotonic() + pause > deadline:
                return f"it was not healthy within {allowed:g} s: {why}"
            time.sleep(pause)
            pause = min(pause * 1.2, 0.1)

    def calls(self) -> tuple[float, float] | None:
        """How many calls it has had, and how many are under way; None where its /metrics do not tell."""
        try:
            status, body = call(self.endpoint, "GET", "/metrics", None, timeout=1.0, max_bytes=2**20)
        except NoAnswer:
            return None
        text = body.decode(errors="replace")
        total, current = _sample(text, "skill_calls_total"), _sample(text, "skill_calls_in_flight")
        return (total, current) if status == 200 and total is not None and current is not None else None

    def drain(self) -> None:
        """Waits until no call is under way, at most for as long as one call may take."""
        deadline = time.monotonic() + self.manifest.resources.timeout_seconds
        time.sleep(0.1)  # a call that was connected before the switch may not be counted yet
        while time.monotonic() < deadline and self.process.running():
            counted = self.calls()
            if counted and not counted[1]:
                return
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.stop()
        self.socket.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _link_socket(self) -> bool:
        # A hard link outside the sandbox's folder: code inside cannot later point it at another socket of this machine.
        try:
            os.link(self.folder / SOCKET, self.socket, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if stat.S_ISSOCK(self.socket.lstat().st_mode):
            return True
        self.socket.unlink()
        return False


def launch(
    artifact: Path, manifest: Manifest, language: Language, sandbox: Sandbox, *, folder: Path, log: Path, storage: Path, outlive: bool
) -> Instance:
    """Starts the server of a built skill; it need not be healthy yet. `storage` is what it keeps where it asks for that."""
    folder.mkdir(mode=0o700)
    spec = language.server(artifact, manifest, folder)
    env, mounts = {**manifest.environment, **spec.env}, spec.mounts
    if manifest.permissions.storage == "persistent":
        storage.mkdir(mode=0o700, parents=True, exist_ok=True)
        env["SKILL_STORAGE"] = STORAGE
        mounts = (*mounts, Mount(source=storage, target=STORAGE, writable=True))
    process = sandbox.start(spec.model_copy(update={"env": env, "mounts": mounts}), log=log, outlive=outlive)
    return Instance(manifest, process, folder)


def unserved(manifest: Manifest) -> str:
    """What the skill asks for that the process runtime cannot give it yet, in words; nothing where it can."""
    asked = [f"network {host}" for host in manifest.permissions.network] + [f"secret {name}" for name in manifest.permissions.secrets]
    return ", ".join(asked)


def language_of(manifest: Manifest, languages: Mapping[str, Language]) -> Language:
    """Raises Refused where this runtime cannot serve the skill."""
    if asked := unserved(manifest):
        raise Refused(
            f"{manifest.name} cannot be served here: it asks for {asked}.",
            why="The process runtime gives a skill neither network nor secrets yet.",
            next_step="Take that out of `permissions` in its skill.yaml, or serve it with another runtime.",
        )
    if language := languages.get(manifest.runtime):
        return language
    raise Refused(
        f"{manifest.name} cannot be served here: its language is {manifest.runtime}.",
        why=f"This runtime knows {', '.join(sorted(languages)) or 'no language'}.",
        next_step="Serve it with another runtime.",
    )


def not_healthy(skill: str, why: str, log: Path) -> Refused:
    end = tail(log, 20)[-TAIL:].strip()
    return Refused(
        f"{skill} does not become healthy: {why}.",
        why=f"Its log ends: {end}" if end else "Its log is empty.",
        next_step="Mend what the log says and propose it again.",
    )


def tail(log: Path, lines: int) -> str:
    """The last lines of a log, of its last 256 KiB."""
    try:
        with log.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 2**18, 0))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:]) if lines > 0 else ""


def seconds(duration: str) -> float:
    """`30s` as a number."""
    return float(duration.removesuffix("s"))


def _sample(metrics: str, name: str) -> float | None:
    """The sum of a metric's samples over its labels (Prometheus text format 0.0.4), or None where it has none."""
    found = re.findall(rf"^{name}(?:\{{.*\}})?\s+([0-9.eE+]+)", metrics, re.MULTILINE)
    try:
        return sum(map(float, found)) if found else None
    except ValueError:
        return None
