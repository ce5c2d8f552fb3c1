"""The verbs, a module for each family. Each module's `add_to(app)` hangs its verbs on the command.

A verb opens the repository, calls one thing, and shows or prints what came back. Heavy imports stay inside the verbs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agent.pipeline import Outcome
    from agent.workplace import Workplace

Repo = Annotated[Path, typer.Option("--repository", "-C", help="The working clone of the skills repository.", show_default="this folder")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
HERE = Path()


def opened(path: Path, as_json: bool, **options: Any) -> Workplace:
    """The repository at `path`, showing its work on stderr unless a JSON document was asked for."""
    from agent import wiring
    from agent.screen import Watcher

    return wiring.open_workplace(path, wiring.silent if as_json else Watcher(), **options)


def emit(document: Any, as_json: bool, told: str | Callable[[], None]) -> None:
    """Prints `document` as JSON (in ASCII, which every terminal and locale takes), or says `told`, or calls it to show more."""
    if as_json:
        from agent.domain import plain

        print(json.dumps(plain(document), indent=1))
    elif callable(told):
        told()
    else:
        from agent.screen import say

        say(told)


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """What a run came to, for --json."""
    return {
        "moved": [{"work": str(work), "state": step.state, "stage": step.stage} for work, step in outcome.moved],
        "waiting": [{"work": str(work), "for": step.waiting_for, "why": step.why} for work, step in outcome.waiting],
        "troubled": [{"work": str(work), **error.told()} for work, error in outcome.troubled],
    }
