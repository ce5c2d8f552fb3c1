"""One running server of a skill: waited for until it is healthy, counted, drained and stopped.

Both the supervisor and a trial look at skills through here, whatever launcher started them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.caller import NoAnswer, call, health
from agent.domain.release import Endpoint
from agent.domain.skill import Manifest
from agent.errors import MissingSecret, Refused
from agent.ports import Deployment, Running, Secrets, Usage

TAIL = 2000  # characters of a log that a reason quotes


class Instance:
    """One server; `digest` names what it was started from."""

    def __init__(self, manifest: Manifest, server: Running, digest: str = "") -> None:
        self.manifest, self.server, self.digest = manifest, server, digest

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def endpoint(self) -> Endpoint:
        return self.server.endpoint

    def running(self) -> bool:
        return self.server.running()

    def health(self) -> tuple[str, str]:
        """As `caller.health`; `ended` where the server is gone."""
        if not self.running():
            return "ended", self.server.ending()
        if not self.server.listens():
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

    def usage(self) -> Usage:
        return self.server.usage()

    def drain(self) -> None:
        """Waits until no call is under way, at most for as long as one call may take."""
        deadline = time.monotonic() + self.manifest.resources.timeout_seconds
        time.sleep(0.1)  # a call that was connected before the switch may not be counted yet
        while time.monotonic() < deadline and self.running():
            counted = self.calls()
            if counted and not counted[1]:
                return
            time.sleep(0.1)

    def stop(self) -> None:
        self.server.stop()

    def kept(self) -> dict[str, Any]:
        """As JSON values, what the next supervisor knows it again by."""
        return {**self.server.kept(), "digest": self.digest}


def handed(deployment: Deployment, secrets: Secrets | None) -> dict[str, str]:
    """The secrets that a skill asks for, by name: its own, and those of the person for whom it runs. What runs for nobody, to see whether
    it becomes healthy, has made-up ones in their place. Raises MissingSecret, also where there is no vault."""
    asked, skill = deployment.manifest.permissions, deployment.skill
    if asked.secrets and secrets is None:
        raise MissingSecret(f"{skill} waits for the secret {asked.secrets[0]}.", why="There is no vault here.", next_step="`skillops doctor`")
    found = secrets.values(skill, asked.shared) if secrets else {}
    if secrets and asked.personal:
        found |= secrets.values(skill, asked.personal, deployment.person) if deployment.person else made_up(deployment.manifest, asked.personal)
    return found


def made_up(manifest: Manifest, names: Sequence[str] | None = None) -> dict[str, str]:
    """What a trial has in place of its secrets: nobody has judged that code yet."""
    return {name: f"trial-{name}" for name in (manifest.permissions.secrets if names is None else names)}


def not_healthy(skill: str, why: str, log: str) -> Refused:
    """`log` is the end of what it printed."""
    end = log[-TAIL:].strip()
    return Refused(
        f"{skill} does not become healthy: {why}.",
        why=f"Its log ends: {end}" if end else "Its log is empty.",
        next_step="Mend what the log says and propose it again.",
    )


def tail(log: Path, lines: int) -> str:
    """The last lines of a log, of its last 256 KiB; never a part of a line, which could be the end of a secret that nobody would know by it."""
    try:
        with log.open("rb") as file:
            begun = max(file.seek(0, os.SEEK_END) - 2**18, 0)
            file.seek(begun)
            if begun:
                file.readline()
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return last(text, lines)


def last(text: str, lines: int) -> str:
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
