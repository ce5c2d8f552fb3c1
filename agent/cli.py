"""The command: one sub-command per verb, and the one place that turns errors into exit codes.

The verbs live on the shelf `agent/commands`, loaded when they are asked for; `skillops --help` loads none of the parts.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from io import TextIOWrapper
from typing import Any, NoReturn

import typer

from agent.commands import actions, agents, audit, gates, keys, mcp, people, registry, repository, running, secrets, serve, talk, work
from agent.errors import CouldNotTell, SkillOpsError, UsageError

STOPPED = 130  # what a shell says of a command that Ctrl-C ended

app = typer.Typer(
    name="skillops",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="GitOps for an AI agent's own abilities: skills written, checked, reviewed, merged and deployed by pull request.",
    epilog="Exit codes: 0 done, 1 a check or review said no, 2 wrong usage, 3 waits for a person, 4 could not tell, 5 configuration.",
)
for shelf in (repository, talk, agents, work, gates, people, registry, audit, running, serve, mcp, keys, secrets, actions):
    shelf.add_to(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a verb and exits with its code. With --json an error is one JSON document too; without, it is told on stderr."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # the memory of this and what it starts has secrets
    as_json = "--json" in given
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a sign shows its number
    try:
        code = _command(given[0] if given else "")(given, prog_name="skillops", standalone_mode=False)
    except SkillOpsError as error:
        sys.exit(_told(error, as_json))
    except (KeyboardInterrupt, typer.Abort):
        code = STOPPED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        sys.exit(_told(_machine_said_no(error), as_json))
    except Exception as error:  # noqa: BLE001 (the outermost door of the command)
        sys.exit(_misused(error, as_json) if hasattr(error, "show") else _told(_unexpected(error), as_json))
    if code == STOPPED:
        stopped = SkillOpsError("Stopped.", next_step="Nothing is lost: `skillops run` carries on from here.")
        _told(stopped, as_json)
    sys.exit(code if isinstance(code, int) else 0)


@lru_cache
def _command(verb: str) -> Any:
    """The command with this verb (or family of verbs) alone, as Typer takes longer over all than many a verb does; with all, if it is none."""
    one = copy.copy(app)
    one.registered_commands = [each for each in app.registered_commands if each.callback and _name(each.name, each.callback) == verb]
    one.registered_groups = [each for each in app.registered_groups if each.name == verb]
    return typer.main.get_group(one) if one.registered_commands or one.registered_groups else typer.main.get_command(app)


def _name(given: str | None, verb: Callable[..., Any]) -> str:
    return given or typer.main.get_command_name(verb.__name__)


def _told(error: SkillOpsError, as_json: bool) -> int:
    """Tells an error and returns its exit code."""
    if as_json:
        receipt = {"receipt": error.receipt.model_dump(mode="json")} if error.receipt else {}
        print(json.dumps({"error": error.told(), **receipt}))
    else:
        from agent.screen import errors

        errors(error)
    return error.exit_code


def _misused(error: Any, as_json: bool) -> int:
    """Typer's own errors (an unknown option, a missing argument) show themselves."""
    if as_json:
        return _told(UsageError(error.format_message(), next_step="`skillops --help`, or `skillops VERB --help`."), as_json)
    error.show()
    return UsageError.exit_code


def _machine_said_no(error: OSError) -> CouldNotTell:
    where = f" ({error.filename})" if error.filename else ""
    return CouldNotTell(
        f"This machine said no: {error.strerror or type(error).__name__}{where}.",
        next_step="See that the disk is not full and that the folder is yours to write in (`skillops doctor`), then run the command again.",
    )


def _unexpected(error: Exception) -> CouldNotTell:
    """A fault of SkillOps itself; its details go to a file that can be pasted into an issue."""
    import tempfile
    import traceback

    details = traceback.format_exc()
    try:
        with tempfile.NamedTemporaryFile("w", prefix="skillops-error-", suffix=".log", delete=False) as log:
            log.write(details)
        place = f"The details are in {log.name}; they make a good issue."
    except OSError:
        print(details, file=sys.stderr)
        place = "The details are above; they make a good issue."
    return CouldNotTell(
        f"Something unexpected happened: {type(error).__name__}: {error}", next_step=f"{place} Nothing is lost: run the command again."
    )


if __name__ == "__main__":
    main()
