"""The verbs that use skills: ask, chat, invoke."""

from __future__ import annotations

import json
import sys
import uuid
from typing import Annotated, Any

import typer

from agent.commands import HERE, AsJson, Repo, emit, opened
from agent.errors import InvocationFailed, UsageError

Talk = Annotated[str | None, typer.Option("--conversation", help="Go on with this conversation.")]


def add_to(app: typer.Typer) -> None:
    for verb in (ask, chat, invoke):
        app.command(rich_help_panel="Use")(verb)


def ask(text: Annotated[str, typer.Argument(help="The task, in your words.")], conversation: Talk = None,
        repository: Repo = HERE, as_json: AsJson = False) -> None:  # fmt: skip
    """Give the agent a task; it plans, calls skills, and extends itself where it must.

    Example: skillops ask "How many seconds is 1h 30m?"
    """
    from agent.screen import turn_of

    place = opened(repository, as_json)
    result, outcome = place.ask(text, conversation)
    emit(result, as_json, lambda: turn_of(result, outcome))
    if result.kind == "failed":
        raise typer.Exit(InvocationFailed.exit_code)
    if result.kind == "waits":
        raise typer.Exit(outcome.exit_code if outcome else 3)


def chat(conversation: Talk = None, new: Annotated[bool, typer.Option("--new", help="Start afresh instead of going on.")] = False,
         repository: Repo = HERE) -> None:  # fmt: skip
    """Talk with the agent in the terminal; the last conversation is taken up again.

    Example: skillops chat
    """
    from agent.chats.terminal import talk

    place = opened(repository, False)
    talk(place, conversation, new=new)


def invoke(name: Annotated[str, typer.Argument(help="The skill.")],
           inputs: Annotated[str, typer.Option("--input", "-i", help="The inputs as a JSON object; `-` reads standard input.")] = "{}",
           repository: Repo = HERE, as_json: AsJson = False) -> None:  # fmt: skip
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
    result = call(manifest, entry, given, runtime, caller=parts.user, request_id=uuid.uuid4().hex)
    emit(result, as_json, lambda: result_of(result))


def _object(text: str) -> dict[str, Any]:
    text = sys.stdin.read() if text == "-" else text
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--input is not JSON: {error}.", next_step="""Example: --input '{"text": "one two"}'""") from None
    if not isinstance(value, dict):
        raise UsageError("--input is JSON but no object.", next_step="""Example: --input '{"text": "one two"}'""")
    return value
