"""From "the model has answered" to "the skill answers", in turns with the same work done by hand, one command after the other.

Ours is `skillops run` in a process of its own on a new repository: the author's answer comes at once (it is the one that passed in
the recorded demo), and what follows is timed up to the first outputs. By hand is what a careful person would type for the same
skill; it uses the artifact that ours has built and talks to the server without starting a `curl` for each call.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.benchmarks.by_hand import ByHand
from tests.benchmarks.row import Row

TARGET = 0.6
ROOT = Path(__file__).parents[2]


def measure(rounds: int = 3, mutants: int = 40) -> list[Row]:
    """Medians in seconds of `rounds` turns with at most so many mutants. The parts are seconds of a stage or check; checks run side by side."""
    ours: list[dict[str, dict[str, float]]] = []
    hand: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="skillops-") as folder:
        for turn in range(rounds):
            home = Path(folder) / f"ours-{turn}"
            ours.append(_ours(home, mutants))
            hand.append(ByHand(home, Path(folder) / f"by-hand-{turn}", mutants).work())
    stages, checks = (_medians([each[group] for each in ours]) for group in ("stages", "checks"))
    total, by_hand = (statistics.median(sum(each.values()) for each in found) for found in ([each["stages"] for each in ours], hand))
    parts = {"the stages of ours": stages, "its checks, side by side": checks, "by hand": _medians(hand)}
    return [Row("answer to answer", total, "s", TARGET, reference=by_hand, against="the same by hand", parts=parts)]


def _ours(home: Path, mutants: int) -> dict[str, dict[str, float]]:
    """The seconds of each stage (all of them make the total) and of each check."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_pipeline", str(home), str(mutants)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SKILLOPS_")}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    said: dict[str, dict[str, float]] = json.loads(done.stdout)
    return said


def _medians(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(each[name] for each in found) for name in found[0]}


# ---- ours, in its own process ----------------------------------------------------------------------------------------


def recorded() -> dict[str, Any]:
    """The demo's first skill: what was answered to `assess`, `witness` and, in the end, to `author`."""
    from agent.demo import RECORDING

    exchanges = json.loads(RECORDING.read_text())["exchanges"]
    first = {purpose: next(json.loads(each["text"]) for each in exchanges if each["purpose"] == purpose) for purpose in ("assess", "witness")}
    drafts = [each for each in exchanges if each["purpose"] == "author"]
    contract = drafts[0]["variables"]["contract"]
    last = [json.loads(each["text"]) for each in drafts if each["variables"]["contract"] == contract][-1]
    return {**first, "author": last}


def run(home: Path, mutants: int) -> dict[str, dict[str, float]]:
    """One request to the end, on a new repository at `home`."""
    from agent.domain.event import Event
    from agent.domain.request import RequestDraft
    from agent.situation import Work
    from agent.stages.deploying import OnDemand
    from agent.stages.invoking import invoke
    from agent.starter import found
    from agent.wiring import open_workplace
    from tests.fakes import FakeModel

    answers, answered, told = recorded(), list[float](), list[tuple[float, Event]]()

    def author(question: object) -> Any:
        answered.append(time.perf_counter())
        return answers["author"]

    approval = {"verdict": "approve", "summary": "It does what was asked for."}
    said = {"assess": lambda _: answers["assess"], "witness": lambda _: answers["witness"], "author": author}
    said |= {f"review-{name}": lambda _: approval for name in ("correctness", "security", "fit")}
    place = open_workplace(found(home).root, lambda event: told.append((time.perf_counter(), event)), FakeModel(said), user="ada", mutants=mutants)
    parts, contract = place.parts, answers["assess"]["contract"]
    try:
        draft = RequestDraft(key="benchmark", title="A skill", text=contract["description"], requester="ada", source="cli")
        place.work(Work(request=parts.forge.open_request(draft).number))
        worked = time.perf_counter()
        entry, manifest = parts.entry(contract["name"]), parts.catalog.manifest(contract["name"])
        assert manifest is not None and len(answered) == 1, "the author's answer did not pass at first go"
        example = manifest.examples[0]
        result = invoke(manifest, entry, example.inputs, OnDemand(parts.runtime, place.pipeline.deploy), caller="ada", request_id="benchmark")
        ended = time.perf_counter()
        assert result.outputs == example.outputs
    finally:
        parts.runtime.shutdown()  # type: ignore[attr-defined]
    return {"stages": _stages(told, answered[0], worked, ended), "checks": _checks(told)}


def _stages(told: list[tuple[float, Any]], answered: float, worked: float, ended: float) -> dict[str, float]:
    """Seconds a stage, from the author's answer on; `looking` is what lies between them."""
    found: dict[str, float] = defaultdict(float)
    for at, event in told:
        if event.what == "finished" and at > answered:
            found[event.stage] += at - answered if event.stage == "proposing" else event.seconds
    found["looking"] = worked - answered - sum(found.values())
    return {**found, "invoking": ended - worked}


def _checks(told: list[tuple[float, Any]]) -> dict[str, float]:
    return {event.data["check"]: event.seconds for _, event in told if event.what == "checked"}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]))))
