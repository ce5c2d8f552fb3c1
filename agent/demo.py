"""The demo: one true story, told on a throw-away repository with the local forge and a recorded (or live) model.

Nothing in it is staged: the same pipeline, sandbox, checks and runtime as in daily work; only the model's words come
from a recorded session.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from agent import wiring
from agent.domain import plain
from agent.domain.event import Event
from agent.errors import ConfigurationError, UsageError
from agent.parts import Stopwatch
from agent.pipeline import Outcome
from agent.screen import DemoScreen, command
from agent.situation import Work, look
from agent.starter import found
from agent.workplace import Workplace

RECORDING = Path(__file__).parent / "recordings" / "demo.json"
TASKS = (
    ("A question that no skill can answer", "A backup job ran for 1h 30m 15s. How many seconds is that?"),
    ("The same kind of question again", "And a deploy that took 45m 10s, in seconds?"),
    ("A question near it", "The video API reports the length PT2H5M, an ISO 8601 duration. How many seconds is that?"),
)


def tell_story(screen: DemoScreen, folder: Path | None, *, live: bool, record: Path | None, rekey: Path | None) -> dict[str, Any]:
    """Runs the three tasks and returns the document that `skillops demo --json` prints. Seconds are wall time."""
    total = Stopwatch()
    stages: dict[str, float] = defaultdict(float)

    def tell(event: Event) -> None:
        if event.what == "finished":
            stages[event.stage] += event.seconds
        screen(event)

    home = Path(folder) if folder else Path(tempfile.mkdtemp(prefix="skillops-demo-")) / "skills"
    checkout = found(home)
    rekeying = wiring.rekeying(rekey) if rekey else None
    place = wiring.open_workplace(checkout.root, tell, rekeying, user="you", **_model(live, record))
    try:
        turns = [_turn(place, screen, heading, task) for heading, task in TASKS]
        document = {
            **_document(place), "turns": turns, "answer": turns[0]["answer"], "receipt": turns[0]["receipts"][0],
            "stages": {stage: round(seconds, 3) for stage, seconds in stages.items()}, "total_seconds": total.seconds, "repository": str(home),
        }  # fmt: skip
    finally:
        place.parts.runtime.shutdown()
    if rekeying:
        rekeying.save()
    screen.timeline(document["stages"], document["total_seconds"])
    screen.closing((f"cd {home}", f"{command()} explain 1", f"{command()} list", "git log --oneline", "cat registry.yaml"))
    return document


def _turn(place: Workplace, screen: DemoScreen, heading: str, task: str) -> dict[str, Any]:
    """Asks one task in the person's conversation and shows the answer."""
    screen.heading(heading)
    screen.says("you", task)
    watch = Stopwatch()
    result, outcome = place.ask(task, _conversation(place))
    if result.kind != "answered":
        raise ConfigurationError(f"The demo stopped: {result.text}", why=_why(outcome), next_step=f"cd {place.checkout.root} && skillops doctor")
    screen.says("agent", result.text)
    screen.receipts(result.receipts)
    return {"task": task, "answer": result.text, "receipts": plain(result.receipts), "seconds": watch.seconds}


def _conversation(place: Workplace) -> str | None:
    latest = place.conversations.memory.latest(place.parts.user)
    return latest.id if latest else None


def _model(live: bool, record: Path | None) -> dict[str, Any]:
    """The settings that choose the model: the recorded session unless a live one was asked for."""
    if record and not live:
        raise UsageError("--record goes with --live.", next_step="SKILLOPS_MODEL=… skillops demo --live --record FILE")
    if live:
        return {"record": record}
    return {"recording": RECORDING, "model": ""}


def _why(outcome: Outcome) -> str:
    stuck = [str(error) for _, error in outcome.troubled] + [step.why for _, step in outcome.waiting]
    return stuck[0] if stuck else ""


def _document(place: Workplace) -> dict[str, Any]:
    """What became of request #1, read back from the forge, the ledger and the registry."""
    parts = place.parts
    seen = look(parts, Work(request=1))
    proposal, gap = seen.proposal, seen.gap
    if proposal is None or gap is None:
        raise ConfigurationError("The demo's request came to no proposal.", next_step="skillops explain 1")
    entries = parts.ledger.entries(proposal=proposal.number)
    decided = [entry.event for entry in entries if entry.event.what == "decided"]
    released = next(entry.event for entry in entries if entry.event.what == "released")
    results = {result.name: result for result in parts.forge.checks(proposal.number, proposal.head).results}
    report = [results[check.name] for check in parts.checks]
    return {
        "request": plain(seen.request),
        "gap": plain(gap),
        "proposal": {"number": proposal.number, "branch": proposal.branch, "url": proposal.url},
        "checks": [{"name": r.name, "outcome": r.outcome, "seconds": r.seconds, "findings": plain(r.findings)} for r in report],
        "reviews": plain(parts.forge.reviews(proposal.number, proposal.head)),
        "decision": {"action": decided[-1].outcome, "why": decided[-1].note, "head": decided[-1].commit, **decided[-1].data},
        "decisions": [{"action": event.outcome, "why": event.note, "head": event.commit} for event in decided],
        "release": {"version": released.data["version"], "digest": released.data["digest"], "commit": released.commit},
        "registry_revision": parts.catalog.revision(),
        "skills": [{"name": entry.name, "version": entry.version} for entry in parts.catalog.entries()],
    }
