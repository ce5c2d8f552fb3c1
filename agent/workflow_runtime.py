"""A Runtime of workflows beside one of skills with code: what is deployed is a plan, which whoever calls it carries out.

Its steps call the skills that it requires, as they serve now; in a trial, as they serve in a trial, where they reach no host. What code
calls of the skills that it requires is carried out here in the same way (`agent/lines.py`, and in a trial `agent/trial_calls.py`).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.domain.event import Event
from agent.domain.plan import references, resolve
from agent.domain.registry import Entry
from agent.domain.release import Artifact, Endpoint, Load, Service
from agent.domain.requirement import circle, requirements, unmet
from agent.domain.schema import Json, violations
from agent.domain.skill import Manifest
from agent.domain.stand_in import NO_STAND_INS, StandIns
from agent.domain.workflow import FILE, RUNTIME, Workflow
from agent.errors import CouldNotTell, InvalidFile, NotFound, Refused, SkillOpsError
from agent.languages.workflow.rules import read_workflow
from agent.lines import Known, Lines
from agent.plan_run import PlanRun, Rules
from agent.ports import Availability, Deployment, Endpoints, Runtime
from agent.stages.invoking import Strike, unstruck
from agent.switchboard import Switchboard
from agent.trial_calls import TrialLine
from agent.workflow_server import Failed, WorkflowServer

LOG = 256 * 2**10  # bytes of a workflow's log; the older half goes when there are more


@dataclass(frozen=True)
class Required:
    """The skills that one workflow requires: others are not there for it, and these only in versions that it takes."""

    manifest_: Manifest
    known: Known

    def entry(self, name: str) -> Entry | None:
        return self.known.entry(name)

    def manifest(self, name: str) -> Manifest | None:
        if name not in requirements(self.manifest_):
            raise Refused(f"{self.manifest_.name} does not require {name}, so it may not call it.")
        if why := unmet(self.manifest_, self.known).get(name):
            raise Refused(f"{why}.", next_step=f"Propose a version of {self.manifest_.name} that takes it.")
        return self.known.manifest(name)


class WorkflowRuntime:
    """`Runtime`. `inner` runs the skills that have code. `artifact_of` builds what a registry entry names; `deploy_now` deploys a
    required skill that nobody deployed here yet. What is deployed is kept in `folder`, a file each."""

    def __init__(
        self, inner: Runtime, known: Known, artifact_of: Callable[[Entry], tuple[Artifact, Manifest]], folder: Path, workers: int,
        strike: Strike = unstruck,
    ) -> None:  # fmt: skip
        self.name, self._inner, self._known, self._artifact_of = inner.name, inner, known, artifact_of
        self._folder, self._workers, self._strike = folder, workers, strike
        self.lines = Lines(Switchboard(folder.parent), known, _OnDemand(self), strike)
        self.deploy_now: Callable[[str], object] = lambda name: None
        self._servers: dict[str, tuple[str, WorkflowServer]] = {}
        self._lock = threading.Lock()

    def available(self) -> Availability:
        return self._inner.available()

    def deploy(self, deployment: Deployment) -> Service:
        if deployment.manifest.runtime != RUNTIME:
            self._held(deployment.skill).unlink(missing_ok=True)
            return self._inner.deploy(deployment)
        self._fit(deployment.manifest, Path(deployment.location))
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._held(deployment.skill).with_suffix(f".{uuid.uuid4().hex}")
        fresh.write_text(deployment.model_dump_json())
        fresh.replace(self._held(deployment.skill))
        self._inner.remove(deployment.skill)  # an earlier version may have had code
        return _service(deployment, self._held(deployment.skill).stat().st_mtime)

    def remove(self, skill: str) -> None:
        self._held(skill).unlink(missing_ok=True)
        self._inner.remove(skill)

    def services(self) -> Sequence[Service]:
        own = [_service(each, self._held(each.skill).stat().st_mtime) for each in self._deployed()]
        return [*self._inner.services(), *own]

    def endpoint(self, skill: str, person: str = "") -> Endpoint:
        """A workflow's is everybody's: it holds no secret, and its steps are called as whoever called it."""
        deployment = self._deployment(skill)
        if deployment is None:
            return self._inner.endpoint(skill, person)
        with self._lock:
            digest, server = self._servers.get(skill, ("", None))
            if server is None or digest != deployment.digest:
                workflow = self._fit(deployment.manifest, Path(deployment.location))
                if server:
                    server.close()
                carry = partial(self._carried_out, workflow, deployment.manifest, _OnDemand(self))
                server = WorkflowServer(carry)
                self._servers[skill] = deployment.digest, server
            return server.endpoint

    def logs(self, skill: str, lines: int = 200) -> str:
        if self._deployment(skill) is None:
            return self._inner.logs(skill, lines)
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self._log(skill).read_text(errors="replace").splitlines()[-lines:])
        return ""

    def stats(self, skill: str | None = None) -> Sequence[Load]:
        """Of a workflow that this process has called: it uses what its steps' skills use."""
        own = [
            Load(skill=each.skill, version=each.version, instance="plan", calls=self._calls(each.skill))
            for each in self._deployed() if skill in (None, each.skill)
        ]  # fmt: skip
        return own if skill and own else [*self._inner.stats(skill), *own]

    def _calls(self, skill: str) -> int | None:
        return self._servers[skill][1].calls if skill in self._servers else None

    def shutdown(self) -> None:
        """Ends what this process serves, and the supervisor of the rest."""
        self.close()
        end = getattr(self._inner, "shutdown", None)
        if end:
            end()

    def close(self) -> None:
        self.lines.board.close()
        with self._lock:
            while self._servers:
                self._servers.popitem()[1][1].close()

    @contextlib.contextmanager
    def trial(self, artifact: Artifact, manifest: Manifest, stand_ins: StandIns = NO_STAND_INS, *, depth: int = 1) -> Iterator[Endpoint]:
        if manifest.runtime != RUNTIME:
            with ExitStack() as stack:
                endpoint = stack.enter_context(self._inner.trial(artifact, manifest, stand_ins))
                if manifest.requires:
                    line = TrialLine(manifest, stand_ins, self._known, self._artifact_of, partial(self.trial, depth=depth + 1), stack, depth)
                    endpoint = endpoint.model_copy(update={"ticket": stack.enter_context(self.lines.board.line(line))})
                yield endpoint
            return
        workflow = self._fit(manifest, Path(artifact.location))
        with ExitStack() as stack:
            places = _Places({})
            for name in workflow.skills:
                entry = self._known.entry(name)
                if entry is None:
                    raise Refused(f"{name} is not in the registry.", next_step="Release it first.")
                built, required = self._artifact_of(entry)
                places.endpoints[name] = stack.enter_context(self.trial(built, required, stand_ins, depth=depth + 1))
            server = WorkflowServer(partial(self._carried_out, workflow, manifest, places))
            stack.callback(server.close)
            yield server.endpoint

    # ---- carrying it out -------------------------------------------------------------------------------------------

    def _carried_out(self, workflow: Workflow, manifest: Manifest, endpoints: Endpoints, inputs: Any, context: Mapping[str, Any]) -> Json:
        """One call. What goes wrong with a step is the workflow's own failure, which names the step. Raises Failed."""
        if broken := violations(manifest.inputs, inputs, limit=3):
            raise Failed("invalid-inputs", "; ".join(broken))
        ident, deadline = str(context.get("request_id") or uuid.uuid4().hex)[:200], context.get("deadline")
        seconds = min(float(deadline) if isinstance(deadline, int | float) else 1e6, manifest.resources.timeout_seconds)
        started, trace = time.monotonic(), list[Event]()
        on_trial = isinstance(endpoints, _Places)  # where each skill's endpoint has a line of its own
        run = PlanRun(
            workflow.steps, Required(manifest, self._known), endpoints, trace.append, self._workers, str(context.get("caller") or "skillops"), ident,
            strike=self._strike, given=inputs, rules=Rules(until=started + seconds), lines=None if on_trial else self.lines,
            line=None if on_trial else self.lines.of(str(context.get("call") or "")),
        )  # fmt: skip
        try:
            run.run()
            if run.error:
                raise Failed("step-failed", f"step {next(iter(run.failed))}: {run.error.fault}")
            wanted = {name: value for name, value in workflow.outputs.items() if not _skipped(value, run.skipped)}
            return resolve(wanted, run.outputs, given=inputs)
        except LookupError as error:
            raise Failed("step-failed", f"the outputs cannot be put together: {error.args[0]}") from None
        except SkillOpsError as error:
            raise Failed(error.code, f"step {run.stuck}: {error}" if run.stuck else str(error)) from None
        finally:
            self._note(manifest.name, ident, trace, time.monotonic() - started)

    def _fit(self, manifest: Manifest, location: Path) -> Workflow:
        """The plan at `location`. Refused where it cannot be carried out with what the registry holds."""
        try:
            workflow = read_workflow((location / FILE).read_bytes(), FILE)
        except FileNotFoundError:
            raise CouldNotTell(f"The plan of {manifest.name} is not where it was built.", next_step=f"skillops deploy {manifest.name}") from None
        except InvalidFile as error:
            raise Refused(error.what, next_step=error.next_step) from None
        if way := circle(manifest, self._known):
            raise Refused(f"{manifest.name} would call itself without end: {' → '.join(way)}.", next_step="Take one of them out of `requires`.")
        if missing := unmet(manifest, self._known):
            raise Refused(
                f"{manifest.name} cannot run: {'; '.join(missing.values())}.", next_step="Release what it requires, or propose a version without."
            )
        return workflow

    # ---- what is kept ----------------------------------------------------------------------------------------------

    def _note(self, skill: str, ident: str, trace: Sequence[Event], seconds: float) -> None:
        """A line for the call, with how each of its steps ended: no inputs, no outputs."""
        steps = ", ".join(f"{event.data.get('step')} {event.skill} {event.outcome} {event.seconds:.2f} s" for event in trace)
        path = self._log(skill)
        with contextlib.suppress(OSError):  # a call does not fail for its log
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size > LOG:
                path.write_bytes(path.read_bytes()[-LOG // 2 :])
            with path.open("a") as log:
                log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {json.dumps(ident)[1:-1]} {seconds:.2f} s: {steps}\n")

    def _deployment(self, skill: str) -> Deployment | None:
        try:
            return Deployment.model_validate_json(self._held(skill).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _deployed(self) -> list[Deployment]:
        return [found for path in sorted(self._folder.glob("*.json")) if (found := self._deployment(path.stem))]

    def _held(self, skill: str) -> Path:
        return self._folder / f"{skill}.json"

    def _log(self, skill: str) -> Path:
        return self._folder / f"{skill}.log"


@dataclass(frozen=True)
class _OnDemand:
    """The skills as they serve, deployed where they were not yet."""

    runtime: WorkflowRuntime

    def endpoint(self, skill: str, person: str = "") -> Endpoint:
        try:
            return self.runtime.endpoint(skill, person)
        except NotFound:
            self.runtime.deploy_now(skill)
            return self.runtime.endpoint(skill, person)


@dataclass(frozen=True)
class _Places:
    endpoints: dict[str, Endpoint]

    def endpoint(self, skill: str, person: str = "") -> Endpoint:
        return self.endpoints[skill]


def _skipped(value: Json, skipped: set[str]) -> bool:
    named = [ref["$step"] for ref in references(value) if "$step" in ref]
    return bool(named) and all(name in skipped for name in named)


def _service(deployment: Deployment, since: float) -> Service:
    return Service(skill=deployment.skill, version=deployment.version, digest=deployment.digest, state="healthy", since=since)
