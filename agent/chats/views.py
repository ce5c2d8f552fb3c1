"""What a person may look at beside the answers: plans as they ran, and the facts that the agent keeps of them."""

from __future__ import annotations

import json

from agent.errors import NotFound, UsageError
from agent.facts import Fact, Facts
from agent.pending import taken
from agent.plan_kept import KeptRun, KeptStep
from agent.screen import say
from agent.workplace import Workplace

SIGNS = {"done": "✓", "failed": "✗", "skipped": "–", "held": "?", "not begun": "·"}
OUTPUTS = 200  # characters


def last_runs(place: Workplace, conversation: str | None, turn: int | None = None) -> list[KeptRun]:
    """The runs of a turn; without one, of the last turn of the conversation (or of this person's last one) that ran a plan."""
    if turn is not None:
        runs = place.conversations.runs(turn)
        if not runs:
            raise NotFound(f"No plan ran in turn {turn}.", next_step="`skillops plan` shows the last one.")
        return runs
    memory = place.conversations.memory
    latest = None if conversation else memory.latest(place.parts.user)
    ident = conversation or (latest.id if latest else None)
    for said in reversed(memory.turns(ident) if ident else []):
        if runs := place.conversations.runs(said.id):
            return runs
    raise NotFound("No plan ran in this conversation yet.", next_step='`skillops ask "…"` runs one.')


def run_lines(run: KeptRun) -> list[str]:
    """A plan and how it ran, a line for each step."""
    lines = [f"{run.task[:200]} (turn {run.turn}, agent {run.agent})"]
    lines += [f"  {SIGNS[kept.state]} {_step_line(kept)}" for kept in run.steps]
    return [*lines, f"{run.seconds:.1f} s, {run.calls} calls, {taken(run.tokens, run.cost)}"]


def show_runs(place: Workplace, conversation: str | None, turn: int | None = None) -> None:
    for run in last_runs(place, conversation, turn):
        say("\n".join(run_lines(run)))


def facts_of(place: Workplace) -> Facts:
    facts = place.conversations.facts
    assert facts is not None, "the wiring gives them"
    return facts


def fact_lines(facts: list[Fact]) -> str:
    return "\n".join(f"{fact.number}  {fact.text}  ({fact.at[:10]})" for fact in facts) or "I keep no facts of you."


def show_facts(place: Workplace) -> None:
    say(fact_lines(facts_of(place).of(place.parts.user)))


def forget_fact(place: Workplace, number: str) -> None:
    if not number.strip().isdecimal():
        raise UsageError("Which fact?", next_step="/facts shows the numbers; /forget 3 forgets number 3.")
    say(f"Forgotten: {facts_of(place).forget(place.parts.user, int(number)).text}")


def _step_line(kept: KeptStep) -> str:
    step = kept.step
    words = [f"{step.id}: {step.skill or (step.need and step.need.title)}"]
    words += [f"after {', '.join(step.after)}"] if step.after else []
    words += ["for each item"] if step.each is not None else []
    words += [f"if {json.dumps(step.when.value)} {step.when.test} {json.dumps(step.when.to)}"] if step.when else []
    words += [f"{sum(receipt.seconds for receipt in kept.receipts):.2f} s"] if kept.receipts else []
    told = kept.error or ("" if kept.outputs is None else json.dumps(kept.outputs, ensure_ascii=False))
    return f"{', '.join(words)}{': ' if told else ''}{told if kept.error else told[:OUTPUTS]}"
