"""Runs the workflow files of `.github/workflows` from the files themselves, as far as no outside is needed.

Each `run:` goes through bash with the environment that the file gives and nothing else; expressions are evaluated from an event. Actions
that need the outside have stand-ins (`_Job._use`): checkout clones what the hub holds, artifacts are folders, the App's token is the hub's. The
repository's own actions are run step by step, but for the installation of SkillOps, which is this checkout's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from agent.forges.github import GitHubForge
from tests import hub
from tests.workflow_expressions import evaluate, filled

NONE: Mapping[str, Any] = {}
READS = hub.MALLORY  # whose token stands for a workflow's own: it reads the repository, and may write nothing


class StepFailed(Exception):
    """A step's command ended with another status than 0."""


@dataclass
class Ran:
    """What a run of a workflow came to: of each job its result, and its outputs. `number` is the run's own, which its artifacts are under."""

    number: int
    results: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)


class Runner:
    """GitHub Actions for one repository on the hub. `root` has the workflow files; `secrets` are by environment; `bin` comes first in PATH, and
    `command` before what is installed.

    `actions` are further stand-ins: what each is given, and what it puts out.
    """

    def __init__(
        self, server: hub.Hub, forge: GitHubForge, root: Path, folder: Path, variables: Mapping[str, str],
        secrets: Mapping[str, Mapping[str, str]], bin: Path | None = None, actions: Mapping[str, Callable[[dict[str, str]], dict[str, str]]] = NONE,
        command: Path | None = None,
    ) -> None:  # fmt: skip
        self.actions, self.command = actions, command
        self.server, self.forge, self.root, self.folder, self.bin = server, forge, root, folder, bin
        self.variables, self.secrets = dict(variables), {name: dict(each) for name, each in secrets.items()}
        self.summaries: list[str] = []
        self._known: set[str] = set()
        self._runs = 0
        self.origin = folder / "origin"
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", self.origin], check=True)

    def workflow(self, name: str) -> dict[Any, Any]:
        return dict(yaml.safe_load((self.root / ".github/workflows" / name).read_text()))

    def run(
        self,
        name: str,
        event_name: str,
        event: Mapping[str, Any],
        inputs: Mapping[str, str] | None = None,
        inside: Ran | None = None,
        hidden: bool = False,
    ) -> Ran:
        """One run of a workflow, and of those that it calls, for an event. A job whose step fails fails, and those that need it are skipped.

        `hidden`: the caller lets none of the secrets through.
        """
        self._runs += 1
        ran, file = Ran(inside.number if inside else self._runs), self.workflow(name)
        waiting = dict(file["jobs"])
        while waiting:
            ready = [key for key, job in waiting.items() if not set(_needed(job)) & waiting.keys()]
            for key in ready:
                job = waiting.pop(key)
                context = self._context(event_name, event, inputs or {}, ran, _needed(job))
                met = all(ran.results[need] == "success" for need in _needed(job))
                condition = str(job.get("if", "success()"))
                if not (met or "cancelled()" in condition) or not evaluate(condition, context):
                    ran.results[key] = "skipped"
                elif "uses" in job:
                    called = Path(job["uses"]).name
                    inner = self.run(called, event_name, event, filled(job.get("with", {}), context), ran, job.get("secrets") != "inherit")
                    ran.results |= {f"{key}.{each}": result for each, result in inner.results.items()}
                    ran.results[key] = "failure" if "failure" in inner.results.values() else "success"
                else:
                    self._do(key, file, job, context, ran, f"{self._runs}-{Path(name).stem}-{key}", hidden)
        return ran

    def _do(
        self, key: str, file: dict[Any, Any], job: dict[str, Any], context: dict[str, Any], ran: Ran, name: str, hidden: bool
    ) -> None:  # fmt: skip
        """One job, or one after the other those of its matrix (of one name)."""
        if "strategy" not in job:
            _Job(self, file, job, context, ran, name, hidden).go(key)
            return
        ((variable, values),) = job["strategy"]["matrix"].items()
        results = []
        for number, value in enumerate(evaluate(values, context)):
            _Job(self, file, job, {**context, "matrix": {variable: value}, "steps": {}}, ran, f"{name}-{number}", hidden).go(key)
            results.append(ran.results[key])
        ran.results[key] = "failure" if "failure" in results else "success"

    def _context(self, event_name: str, event: Mapping[str, Any], inputs: Mapping[str, str], ran: Ran, needs: list[str]) -> dict[str, Any]:
        github = {"event": event, "event_name": event_name, "actor": "ada", "repository": self.forge.api.repository, "api_url": self.server.url,
                  "token": hub.token_of(READS), "run_id": str(ran.number)}  # fmt: skip
        needed = {name: {"outputs": ran.outputs.get(name, {}), "result": ran.results[name]} for name in needs}
        return {"github": github, "inputs": inputs, "vars": self.variables, "needs": needed, "secrets": {}, "steps": {}}

    def told(self) -> str:
        """The last that was said in the summaries and by what failed."""
        return "\n".join(self.summaries)[-3000:]

    def fetch(self) -> None:
        """Brings `origin` up to what the hub holds: every branch, and the head of every pull request."""
        repository = self.forge.api.repository
        branches = self.server.ask("GET", f"/repos/{repository}/branches?per_page=100")[1]
        refs = {f"refs/heads/{each['name']}": each["commit"]["sha"] for each in branches}
        pulls = self.server.ask("GET", f"/repos/{repository}/pulls?state=all&per_page=100")[1]
        refs |= {f"refs/pull/{each['number']}/head": each["head"]["sha"] for each in pulls}
        for name, commit in refs.items():
            hub._fetch(self.forge, self.origin, commit, self._known)
            subprocess.run(["git", "-C", self.origin, "update-ref", name, commit], check=True)


class _Job:
    """One job on a runner of its own."""

    def __init__(self, runner: Runner, file: dict[Any, Any], job: dict[str, Any], context: dict[str, Any], ran: Ran, name: str, hidden: bool) -> None:
        self.runner, self.job, self.ran = runner, job, ran
        self.place = runner.folder / f"job-{name}"
        self.work, self.temp = self.place / "work", self.place / "temp"
        for folder in (self.work, self.temp, self.place / "home"):
            folder.mkdir(parents=True)
        self.path = [str(runner.bin)] if runner.bin else []
        self.written = self.token = False
        self.context = {
            **context,
            "secrets": {} if hidden else runner.secrets.get(job.get("environment", ""), {}),
            "runner": {"temp": str(self.temp)},
        }
        self.env = {**filled(file.get("env", {}), self.context), **filled(job.get("env", {}), self.context)}

    def go(self, key: str) -> None:
        assert self.runner.server.proxy is not None
        seen = self.runner.server.proxy.seen
        before, failed = len(seen), False
        for step in self.job["steps"]:
            condition = str(step.get("if", "success()"))
            looks = re.search(r"\b(success|failure|always|cancelled)\(\)", condition)  # what asks for no state is asked after success alone
            if (failed and not looks) or not evaluate(condition, {**self.context, "failed": failed}):
                continue
            try:
                self._step(step, self.context)
            except StepFailed as failure:
                if not step.get("continue-on-error"):
                    failed = True
                    self.runner.summaries.append(f"{key}: {failure}")
        if not self.token and self.job.get("environment") != "skillops-deploy":  # the host has a key of its own
            assert [each for each in seen[before:] if each[0] != "GET"] == [], f"{key} has no right to write"
        self.ran.results[key] = "failure" if failed else "success"
        self.ran.outputs[key] = filled(self.job.get("outputs", {}), self.context)
        self.runner.summaries.append((self.place / "summary").read_text() if (self.place / "summary").exists() else "")

    def _step(self, step: dict[str, Any], context: dict[str, Any]) -> None:
        if "run" in step:
            outputs = self._run(step, context)
        else:
            outputs = self._use(step["uses"].partition("@")[0], filled(step.get("with", {}), context), context)
        if "id" in step:
            self.context["steps"][step["id"]] = {"outputs": outputs}

    def _run(self, step: dict[str, Any], context: dict[str, Any]) -> dict[str, str]:
        output, path = self.place / "output", self.place / "path"
        output.write_text("")
        path.write_text("")
        event = self.place / "event.json"
        event.write_text(_json(self.context["github"]["event"]))
        own = {**self.env, **filled(step.get("env", {}), context)}
        env = {
            "PATH": os.pathsep.join([*self.path, "/usr/local/bin", "/usr/bin", "/bin"]), "HOME": str(self.place / "home"), "LANG": "C.UTF-8",
            "GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output), "GITHUB_PATH": str(path), "GITHUB_EVENT_PATH": str(event),
            "GITHUB_STEP_SUMMARY": str(self.place / "summary"), "GITHUB_WORKSPACE": str(self.work), "RUNNER_TEMP": str(self.temp), **own,
        }  # fmt: skip
        assert "${{" not in step["run"], "what is in an event must not become a part of a script"
        assert self.runner.server.proxy is not None
        seen = len(self.runner.server.proxy.seen)
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(command, cwd=self.work, env=env, capture_output=True, text=True, check=False, timeout=300)
        if not {"SKILLOPS_GITHUB_TOKEN", "GH_TOKEN", "HOST"} & own.keys():
            assert len(self.runner.server.proxy.seen) == seen, "a step without a token asked GitHub"
        if done.returncode:
            raise StepFailed(f"{step.get('name')}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        self.path[:0] = path.read_text().split()
        return dict(line.split("=", 1) for line in output.read_text().splitlines() if re.match(r"\w+=", line))

    # ---- stand-ins --------------------------------------------------------------------------------------------------

    def _use(self, action: str, given: dict[str, str], context: dict[str, Any]) -> dict[str, str]:
        match action:
            case "actions/checkout":
                assert given["persist-credentials"] == "False" and given["fetch-depth"] == "0"
                self._checkout(given.get("ref", "main"))
            case "actions/upload-artifact":
                self._upload(Path(given["path"]), given["name"], given["if-no-files-found"] == "error")
            case "actions/download-artifact":
                run = given.get("run-id", str(self.ran.number))
                if "pattern" in given:
                    self._download_all(run, given["pattern"], Path(given["path"]))
                else:
                    self._download(run, given["name"], Path(given["path"]))
            case "actions/create-github-app-token":
                assert given["private-key"] == self.runner.secrets["skillops-app"]["SKILLOPS_APP_KEY"]
                self.token = True
                return {"token": hub.token_of(hub.BOT)}
            case "./.github/actions/install":
                self.path[:0] = [*([str(self.runner.command)] if self.runner.command else []), str(Path(sys.executable).parent)]
            case _ if action in self.runner.actions:
                return self.runner.actions[action](given)
            case _ if action.startswith("./"):
                for step in yaml.safe_load((self.work / action / "action.yml").read_text())["runs"]["steps"]:
                    self._step(step, {**context, "inputs": given})
            case _:
                raise AssertionError(f"{action} has no stand-in")
        return {}

    def _checkout(self, ref: str) -> None:
        self.runner.fetch()
        git = ["git", "-c", "advice.detachedHead=false"]
        subprocess.run([*git, "clone", "--quiet", "--branch", ref, self.runner.origin.as_uri(), self.work], check=True)

    def _upload(self, path: Path, name: str, needed: bool) -> None:
        if path.is_file():
            place = self.runner.folder / "artifacts" / str(self.ran.number) / name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
        elif needed:
            raise StepFailed(f"no files were found at {path}")

    def _download(self, run: str, name: str, path: Path) -> None:
        place = self.runner.folder / "artifacts" / run / name
        if not place.is_dir():
            raise StepFailed(f"there is no artifact {name} of run {run}")
        shutil.copytree(place, path, dirs_exist_ok=True)

    def _download_all(self, run: str, pattern: str, path: Path) -> None:
        path.mkdir(parents=True)
        for place in (self.runner.folder / "artifacts" / run).glob(pattern):
            shutil.copytree(place, path, dirs_exist_ok=True)


def _needed(job: Mapping[str, Any]) -> list[str]:
    needs = job.get("needs", [])
    return [needs] if isinstance(needs, str) else list(needs)


def _json(value: Any) -> str:
    import json

    return json.dumps(value)
