"""What a supervisor knows of one deployed skill, and how that is written down (`services.json`)."""

from __future__ import annotations

import difflib
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from agent.domain.release import Load, Service
from agent.errors import CouldNotTell, MissingSecret, NotFound, SkillOpsError
from agent.instance import Instance, seconds
from agent.ports import Deployment
from agent.scaling import Scale

STEADY = 60.0  # seconds of running after which a crash counts as the first one again
LONGEST_BACKOFF = 60.0
log = logging.getLogger("agent.supervisor")
State = Literal["starting", "healthy", "unhealthy", "resting"]


def backoff(crashes: int) -> float:
    """Seconds to wait before starting again after `crashes` earlier crashes in a row: 0, 1, 2, 4 … 60."""
    return min(2.0 ** min(crashes - 1, 10), LONGEST_BACKOFF) if crashes else 0.0


@dataclass
class Served:
    """One deployed skill. Times are monotonic seconds but for `since`, which people read."""

    deployment: Deployment
    instance: Instance | None = None
    extras: list[Instance] = field(default_factory=list)  # more of them, while there is load
    state: State = "starting"
    detail: str = ""
    since: float = field(default_factory=time.time)
    restarts: int = 0
    crashes: int = 0
    misses: int = 0
    not_before: float = 0.0
    next_probe: float = 0.0
    up_since: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.monotonic)
    calls: float = 0.0
    in_hand: bool = False
    scale: Scale = field(default_factory=Scale)
    secrets: str = ""  # the revision of those that it was started with, or could not be started without
    missing: MissingSecret | None = None

    def become(self, state: State, detail: str = "") -> None:
        if state != self.state:
            self.since = time.time()
        self.state, self.detail = state, detail

    def crashed(self, why: str, missing: MissingSecret | None = None) -> None:
        """Notes a crash, or a start that failed (for want of a secret, where `missing`), and when to start again."""
        now = time.monotonic()
        if self.instance is not None and now - self.up_since > STEADY:
            self.crashes = 0
        self.not_before = now + backoff(self.crashes)
        self.crashes += 1
        self.instance, self.missing = None, missing
        self.become("unhealthy", why)

    def started(self, instance: Instance) -> None:
        self.restarts += self.crashes > 0
        self.instance, self.extras, self.misses, self.calls, self.scale = instance, [], 0, 0.0, Scale()
        self.up_since = self.used = time.monotonic()
        self.next_probe = self.up_since + seconds(self.deployment.health.interval)
        self.become("healthy")

    @property
    def place(self) -> str:
        return self.deployment.place

    def running(self) -> bool:
        return self.instance is not None and self.instance.running()

    def ending(self) -> str:
        """Why it no longer runs."""
        return self.instance.server.ending() if self.instance else "it ended"

    @property
    def instances(self) -> list[Instance]:
        """All that serve it; the first is the one that is always there."""
        return [self.instance, *self.extras] if self.instance else []

    def was_called(self) -> bool:
        """Whether its own counters have moved since this was last asked, or a call is under way."""
        counted = [counts for instance in self.instances if (counts := instance.calls())]
        total, under_way = sum(calls for calls, _ in counted), sum(now for _, now in counted)
        if not counted or (total == self.calls and not under_way):
            return False
        self.calls, self.used = total, time.monotonic()
        return True

    def promote(self) -> Instance | None:
        """Another takes the place of the first, which fell; where there is none, None."""
        self.extras = [extra for extra in self.extras if extra.running()]
        if self.extras:
            self.instance, self.misses = self.extras.pop(0), 0
            self.restarts += 1
            return self.instance
        return None

    def waits(self) -> bool:
        """Whether it should run, does not, and may be started now."""
        return self.instance is None and self.state != "resting" and time.monotonic() >= self.not_before

    def down(self) -> SkillOpsError:
        """Why it cannot be called now: MissingSecret, else CouldNotTell."""
        if self.missing:
            return self.missing
        wait = max(self.not_before - time.monotonic(), 0)
        skill = self.deployment.skill
        return CouldNotTell(
            f"{skill} does not run: {self.detail}",
            why=f"It fell {self.crashes} times in a row and is started again in {wait:.0f} s.",
            next_step=f"`skillops logs {skill}` shows what it printed; `skillops rollback {skill}` brings the version before back.",
        )

    def loads(self) -> list[Load]:
        """What its servers use now."""
        found = []
        for instance in self.instances:
            counted, usage = instance.calls(), instance.usage()
            calls, in_flight = (int(counted[0]), int(counted[1])) if counted else (None, None)
            found.append(Load(
                skill=self.deployment.skill, version=self.deployment.version, instance=instance.name, memory=usage.memory, cpu=usage.cpu,
                calls=calls, in_flight=in_flight, restarts=self.restarts,
            ))  # fmt: skip
        return found

    def gain(self, instance: Instance) -> None:
        """One that was found running."""
        if self.instance is None:
            self.instance = instance
        else:
            self.extras.append(instance)

    def service(self) -> Service:
        told = self.deployment
        return Service(
            skill=told.skill,
            version=told.version,
            digest=told.digest,
            state=self.state,
            restarts=self.restarts,
            since=self.since,
            detail=self.detail,
        )


def write(path: Path, served: Iterable[Served], living: Iterable[Instance]) -> None:
    """Replaces `services.json` in one step. Raises OSError."""
    kept = {
        "services": [
            {
                "deployment": one.deployment.model_dump(mode="json"),
                "state": one.state,
                "restarts": one.restarts,
                "since": one.since,
                "secrets": one.secrets,
                "instances": [instance.name for instance in one.instances],
            }
            for one in served
        ],
        "instances": {one.name: one.kept() for one in living},
    }
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(kept, indent=1))
    fresh.replace(path)


def read(path: Path) -> tuple[list[tuple[Served, list[str]]], dict[str, dict[str, Any]]]:
    """What `write` wrote: each service with the names of its instances; and by name what each instance is known again by.

    What cannot be understood is left out (a damaged disk, another version of SkillOps): deploying brings it back.
    """
    try:
        kept: dict[str, Any] = json.loads(path.read_text())
        instances = {str(name): {**one, "digest": str(one["digest"])} for name, one in kept["instances"].items()}
    except FileNotFoundError:
        return [], {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s cannot be understood: %s", path, error)
        return [], {}
    services: list[tuple[Served, list[str]]] = []
    for line in kept.get("services", ()):
        try:
            deployment = Deployment.model_validate(line["deployment"])
            kept_of_it = {name: line[name] for name in ("state", "since", "restarts")}
            services.append((Served(deployment, **kept_of_it, secrets=line.get("secrets", "")), list(line["instances"])))
        except (ValueError, KeyError, TypeError) as error:
            log.warning("a service in %s cannot be understood: %s", path, error)
    return services, instances


def unknown(skill: str, known: Iterable[str]) -> NotFound:
    near = difflib.get_close_matches(skill, known, n=3, cutoff=0.5)
    return NotFound(
        f"No skill {skill!r} is deployed.",
        next_step=f"Did you mean {' or '.join(near)}?" if near else "`skillops list` shows what there is; `skillops deploy` starts what should run.",
    )
