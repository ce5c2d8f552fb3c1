"""The verbs that use skills: ask, chat, invoke."""

from __future__ import annotations

import json
import sys
import uuid
from typing import Annotated, Any

import typer

from agent.commands import HERE, AsJson, Repo, emit, opened, outcome_document
from agent.errors import InvocationFailed, UsageError, WaitsForPerson

EXAMPLE = """Example: --input '{"text": "one two"}'"""
Conversation = Annotated[str | None, typer.Option("--conversation", help="Go on with this conversation.")]

Agent = Annotated[str | None, typer.Option("--agent", help="Whom to talk to: an agent of `skillops agents`.", show_default="assistant")]


def add_to(app: typer.Typer) -> None:
    for verb in (ask, chat, invoke):
        app.command(rich_help_panel="Use")(verb)


def ask(
    text: Annotated[str, typer.Argument(help="The task, in your words.")],
    conversation: Conversation = None,
    agent: Agent = None,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Give the agent a task; it plans, calls skills, and extends itself where it must.

    Exits with 3 where it asks you, or where what it needs waits for a person.

    Examples: skillops ask "How many seconds is 1h 30m?" · skillops ask --agent researcher "Who maintains SQLite?"
    """
    from agent.halting import by_ctrl_c
    from agent.screen import say, turn_of

    place = opened(repository, as_json)
    with by_ctrl_c(place.parts.user, lambda: None if as_json else say("I stop with it; Ctrl-C once more ends the command.")):
        result, outcome = place.ask(text, conversation, agent)
    tokens, cost = place.conversations.spent(result.conversation)
    document = {**result.model_dump(), "conversation_tokens": tokens, "conversation_cost": cost, **outcome_document(outcome)}
    emit(document, as_json, lambda: turn_of(result, outcome, (tokens, cost)))
    if result.kind in ("failed", "stopped"):
        raise typer.Exit(InvocationFailed.exit_code)
    if result.kind in ("asks", "waits"):
        raise typer.Exit(outcome.exit_code or WaitsForPerson.exit_code)


def chat(
    conversation: Conversation = None,
    new: Annotated[bool, typer.Option("--new", help="Start afresh instead of going on.")] = False,
    agent: Agent = None,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Talk with the agent in the terminal; the last conversation is taken up again.

    It reads a pipe as well, a task a line.

    Example: skillops chat
    """
    from agent.chats.terminal import Talk

    talk = Talk(opened(repository, as_json), conversation, new=new, quiet=as_json, agent=agent)
    talk.go_on()
    emit({"conversation": talk.conversation, "turns": talk.turns, "cost": talk.spent[1]}, as_json, lambda: None)
    if talk.failed is not None and not talk.at_terminal:
        raise typer.Exit(talk.failed.exit_code)


def invoke(
    name: Annotated[str, typer.Argument(help="The skill.")],
    inputs: Annotated[str, typer.Option("--input", "-i", help="The inputs as a JSON object; `-` reads standard input.")] = "{}",
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Call a skill and print its outputs with the receipt.

    Example: skillops invoke word-count --input '{"text": "one two"}'
    """
    from agent.screen import result_of
    from agent.stages.deploying import OnDemand
    from agent.stages.invoking import invoke as call

    given = _object(inputs)
    place = opened(repository, as_json)
    parts = place.parts
    parts.sync()
    entry = parts.entry(name)
    manifest = parts.catalog.manifest(name)
    if manifest is None:
        raise UsageError(f"The manifest of {name} cannot be read at {entry.commit[:8]}.", next_step="skillops doctor")
    runtime = OnDemand(parts.runtime, place.pipeline.deploy)
    result = call(manifest, entry, given, runtime, caller=parts.user, request_id=uuid.uuid4().hex, strike=parts.strike, lines=parts.lines)
    emit(result._asdict(), as_json, lambda: result_of(result))


def _object(text: str) -> dict[str, Any]:
    """The inputs that `text`, or standard input for `-`, holds. UsageError where it is no JSON object."""
    try:
        value = json.loads(sys.stdin.read() if text == "-" else text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--input is not JSON: {error}.", next_step=EXAMPLE) from None
    if not isinstance(value, dict):
        raise UsageError("--input is JSON but no object.", next_step=EXAMPLE)
    return value


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON's")
