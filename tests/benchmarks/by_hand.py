"""What a careful person would type to take a skill from its author's answer to a call, one command after the other.

The same work as ours, step by step: the author's trial, the proposal, its checks, the merge, the release and the deployment.
In its favour: what ours has built is used as it is, the mutants lie ready, and calling the server starts no `curl`.
"""

from __future__ import annotations

import ast
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from agent.caller import call, probe
from agent.checks import contract
from agent.domain.invocation import MAX_BODY, Invocation, Reply
from agent.domain.release import Endpoint
from agent.domain.schema import Json, least_value, violations
from agent.domain.skill import WITNESS_PATH, tree_digest
from agent.interpreter import base_mounts, interpreter
from agent.languages.python import PythonLanguage
from agent.languages.python.analysis import CONFIGURATION
from agent.languages.python.gut import gutted
from agent.languages.python.mutate import mutated, sites
from agent.languages.python.toolchain import CODE, SITE, package_mounts
from agent.manifest_file import read_manifest, read_witness
from agent.registry_file import parse, splice
from agent.starter import found
from agent.workbench import read_folder
from tests.benchmarks.bench_sandbox import bare_command

BIN = Path(sys.executable).parent
RUFF = ("--no-cache", "--config", str(CONFIGURATION), "--config", 'lint.isort.known-first-party=["skill"]')
INSIDE = {"PYTHONPATH": f"{SITE}:{CODE}", "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "HOME": "/tmp", "TZ": "UTC"}
PYTHON = (interpreter(), "-s", "-S", "-m")
PYTEST = ("pytest", "-q", "-p", "no:cacheprovider", "tests")


class ByHand:
    """`ours` is the working clone where our own run of the same skill ended; `folder` becomes a new repository."""

    def __init__(self, ours: Path, folder: Path, mutants: int) -> None:
        (self._entry,) = parse((ours / "registry.yaml").read_text()).skills
        self._files = read_folder(ours / "skills" / self._entry.name)
        self._manifest = read_manifest(self._files["skill.yaml"], "skill.yaml")
        self._artifact = ours / ".skillops" / "artifacts" / self._entry.digest.removeprefix("sha256:")
        self._clone, self._skill = found(folder).root, folder / "skills" / self._entry.name
        self._place = folder.with_name(f"{folder.name}-place") / self._entry.name  # where the tests run, without the witness cases
        self._gutted = ast.unparse(gutted(self._source, {"execute": least_value(self._manifest.outputs)}))
        seed, number = int(tree_digest(self._files).removeprefix("sha256:")[:8], 16), len(sites(ast.parse(self._source)))
        chosen = sorted(random.Random(seed).sample(range(number), min(mutants, number)))  # the very ones that ours tries
        self._mutants = [ast.unparse(mutated(self._source, each)) for each in chosen]
        self._seconds: dict[str, float] = defaultdict(float)

    @property
    def _source(self) -> bytes:
        return self._files[self._manifest.entrypoint]

    def work(self) -> dict[str, float]:
        """Does it all, and gives the seconds of each kind of step."""
        with self._step("git"):
            self._git("checkout", "--quiet", "-b", "proposal")
            self._write()
        with self._step("ruff"):
            self._run(BIN / "ruff", "check", "--quiet", "--fix", *RUFF, ".")
            self._run(BIN / "ruff", "format", "--quiet", *RUFF, ".")
        self._examine()  # the author's own trial, before anybody else is asked
        with self._step("git"):
            self._git("add", "--all")
            self._git("commit", "--quiet", "--message", f"Add {self._entry.name}")
            self._git("push", "--quiet", "origin", "proposal")
        self._examine(witness=True)
        with self._step("gutted"):
            assert self._pytest(self._gutted) != 0, "the tests pass against a gutted skill"
        with self._step(f"{len(self._mutants)} mutants"):
            killed = sum(self._pytest(mutant) != 0 for mutant in self._mutants)
        assert killed >= 0.6 * len(self._mutants), "the tests notice too few mutants"
        with self._step("git"):
            self._git("checkout", "--quiet", "main")
            self._git("merge", "--quiet", "--no-ff", "--message", f"Merge {self._entry.name}", "proposal")
            self._git("push", "--quiet", "origin", "main")
            registry = self._clone / "registry.yaml"
            registry.write_text(splice(registry.read_text(), self._entry, name=self._entry.name))
            self._git("commit", "--quiet", "--message", f"Release {self._entry.name}", "registry.yaml")
            self._git("push", "--quiet", "origin", "main")
        with self._serving() as endpoint, self._step("calls"):
            self._examples(endpoint)
        return dict(self._seconds)

    def _examine(self, witness: bool = False) -> None:
        """The checks, each in its turn."""
        with self._step("ruff"):
            self._run(BIN / "ruff", "check", "--quiet", *RUFF, ".")
            self._run(BIN / "ruff", "format", "--quiet", "--check", *RUFF, ".")
        with self._step("bandit"):
            self._run(BIN / "bandit", "--quiet", "--skip", "B101", "--recursive", ".")
        with self._step("detect-secrets"):
            self._run(BIN / "detect-secrets", "scan", ".")
        with self._step("tests"):
            covered = " ".join((*PYTHON, "coverage", "run", "--data-file=/tmp/covered", f"--source={CODE}", "-m", *PYTEST))
            report = " ".join((*PYTHON, "coverage", "report", "--data-file=/tmp/covered", "--omit=tests/*", "--fail-under=90"))
            assert self._inside(("/bin/sh", "-c", f"{covered} && {report}")) == 0, "the tests fail"
        with self._serving() as endpoint, self._step("calls"):
            self._contract(endpoint)
            if witness:
                self._witness(endpoint)

    # ---- tests in bubblewrap -------------------------------------------------------------------------------------

    def _pytest(self, source: str) -> int:
        """The status of the tests, up to the first failure, against another `source`."""
        entrypoint = self._place / self._manifest.entrypoint
        entrypoint.write_text(source)
        try:
            return self._inside((*PYTHON, *PYTEST, "-x"))
        finally:
            entrypoint.write_bytes(self._source)

    def _inside(self, program: Sequence[str]) -> int:
        mounts = [part for mount in (*base_mounts(), *package_mounts()) for part in ("--ro-bind", str(mount.source), mount.target)]
        variables = [part for name, value in INSIDE.items() for part in ("--setenv", name, value)]
        command = bare_command(program, [*mounts, "--ro-bind", str(self._place), CODE, *variables], CODE)
        return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode

    # ---- the server and its calls -----------------------------------------------------------------------------------

    @contextmanager
    def _serving(self) -> Iterator[Endpoint]:
        with tempfile.TemporaryDirectory(prefix="skillops-") as sockets:
            with self._step("server start"):
                spec = PythonLanguage().server(self._artifact, self._manifest, Path(sockets))
                mounts = [part for mount in spec.mounts for part in ("--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target)]
                server = subprocess.Popen(bare_command(spec.argv, mounts, spec.cwd), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                endpoint = Endpoint(socket=f"{sockets}/skill.sock")
                while not probe(endpoint, 5.0)[0]:
                    assert server.poll() is None, "the server does not start"
                    time.sleep(0.01)
            try:
                yield endpoint
            finally:
                server.kill()
                server.wait()

    def _contract(self, endpoint: Endpoint) -> None:
        self._examples(endpoint)
        with ThreadPoolExecutor(contract.CALLS) as pool:
            list(pool.map(lambda _: self._call(endpoint, self._manifest.examples[0].inputs), range(contract.CALLS)))
        oversized = b'{"inputs": {"x": "' + b"x" * MAX_BODY + b'"}}'
        wrong = (json.dumps({"inputs": inputs}).encode() for _, inputs in contract._wrongly_typed(self._manifest))
        for body in (*contract._MALFORMED.values(), oversized, *wrong):
            call(endpoint, "POST", "/execute", body, contract.SECONDS)
        for path in ("/metrics", "/health"):
            call(endpoint, "GET", path, None, contract.SECONDS)

    def _examples(self, endpoint: Endpoint) -> None:
        for example in self._manifest.examples:
            assert self._call(endpoint, example.inputs).outputs == example.outputs

    def _witness(self, endpoint: Endpoint) -> None:
        for case in read_witness(self._files[WITNESS_PATH], WITNESS_PATH)[1]:
            if not violations(self._manifest.inputs, case.inputs, limit=1):
                reply = self._call(endpoint, case.inputs)
                assert case.expect.unmet(reply.success, reply.outputs, reply.error_code) is None

    def _call(self, endpoint: Endpoint, inputs: dict[str, Json]) -> Reply:
        invocation = Invocation(skill=self._entry.name, inputs=inputs, request_id="by-hand", caller="ada")
        return Reply.parse(call(endpoint, "POST", "/execute", invocation.body(), contract.SECONDS)[1])

    # ---- commands -------------------------------------------------------------------------------------------------

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self._seconds[name] += time.perf_counter() - begun

    def _write(self) -> None:
        for path, data in self._files.items():
            (self._skill / path).parent.mkdir(parents=True, exist_ok=True)
            (self._skill / path).write_bytes(data)
        shutil.copytree(self._skill, self._place, ignore=shutil.ignore_patterns(Path(WITNESS_PATH).name))

    def _git(self, *arguments: str) -> None:
        who = ("-c", "user.name=ada", "-c", "user.email=ada@skillops.invalid", "-c", "core.hooksPath=/dev/null")
        subprocess.run(["git", *who, *arguments], cwd=self._clone, capture_output=True, check=True)

    def _run(self, *command: str | Path) -> None:
        subprocess.run(command, cwd=self._place, capture_output=True, check=True)
