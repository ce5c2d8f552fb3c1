"""The command: one sub-command per verb, and the one place that turns errors into exit codes.

The verbs live on the shelf `agent/commands`, loaded when they are asked for; `skillops --help` loads none of the parts.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

import typer

from agent.commands import people, registry, repository, talk, work
from agent.errors import CouldNotTell, SkillOpsError

app = typer.Typer(
    name="skillops", no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False,
    help="GitOps for an AI agent's own abilities: skills written, checked, reviewed, merged and deployed by pull request.",
    epilog="Exit codes: 0 done, 1 a check or review said no, 2 wrong usage, 3 waits for a person, 4 could not tell, 5 configuration.",
)  # fmt: skip
for shelf in (repository, talk, work, people, registry):
    shelf.add_to(app)


def main() -> None:
    """Runs a verb. With --json an error is one JSON document too; without, it is told on stderr."""
    try:
        app(standalone_mode=False)
    except SkillOpsError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("\nStopped. Nothing is lost: `skillops run` carries on from here.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except Exception as error:
        if code := _usage(error):
            sys.exit(code)
        log = _written(traceback.format_exc())
        _tell(CouldNotTell(f"Something unexpected happened: {type(error).__name__}: {error}",
                           next_step=f"The details are in {log}; they make a good issue. Nothing is lost: run the command again."))  # fmt: skip
        sys.exit(CouldNotTell.exit_code)


def _usage(error: Exception) -> int:
    """Click's own errors show themselves; 2, or 0 where this is none of them."""
    show = getattr(error, "show", None)
    if show is None:
        return 0
    if "--json" in sys.argv:
        print(json.dumps({"error": {"code": "usage", "what": str(getattr(error, "message", error)), "why": "", "next_step": "skillops --help"}}))
    else:
        show()
    return 2


def _tell(error: SkillOpsError) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"error": {"code": error.code, "what": error.what, "why": error.why, "next_step": error.next_step}}))
        return
    from agent.screen import errors

    errors(error)


def _written(text: str) -> Path:
    import tempfile

    path = Path(tempfile.gettempdir()) / "skillops-error.log"
    try:
        path.write_text(text)
    except OSError:
        print(text, file=sys.stderr)
    return path


if __name__ == "__main__":
    main()
