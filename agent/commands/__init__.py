"""The verbs, a module for each family. Each module's `add_to(app)` hangs its verbs on the command.

A verb opens the repository, calls one thing, and shows or prints what came back. Heavy imports stay inside the verbs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.domain import plain

if TYPE_CHECKING:
    from agent.workplace import Workplace

Repo = Annotated[Path, typer.Option("--repository", "-C", help="The working clone of the skills repository.", show_default="this folder")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
HERE = Path()


def opened(path: Path, as_json: bool, **options: Any) -> Workplace:
    """The repository at `path`, showing its work on stderr unless a JSON document was asked for."""
    from agent import wiring
    from agent.screen import Watcher

    return wiring.open_workplace(path, wiring.silent if as_json else Watcher(), **options)


def emit(document: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Prints `document` as JSON, or calls `show`."""
    if as_json:
        print(json.dumps(plain(document), ensure_ascii=False, indent=1))
    else:
        show()
