"""The verb of the gateway's API keys: key create, key list, key revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit

if TYPE_CHECKING:
    from agent.keys import Keys

Scopes = Annotated[list[str], typer.Option("--scope", help="What it may do: invoke, request, approve or admin. May be given again.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="API keys of the gateway: create, list, revoke.")
    for name, verb in (("create", create), ("list", list_), ("revoke", revoke)):
        group.command(name)(verb)
    app.add_typer(group, name="key", rich_help_panel="Serve")


def create(
    scope: Scopes,
    name: Annotated[str, typer.Option(help="Whom it stands for; yourself where it is left out.")] = "",
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is shown this once; only a hash of it is kept.

    Example: skillops key create --scope invoke --scope request
    """
    keys, user = _opened(repository)
    key, secret = keys.create(name or user, scope)
    emit({"key": secret, **key.model_dump(include={"id", "name", "scopes", "created"})}, as_json, secret)


def list_(repository: Repo = HERE, as_json: AsJson = False) -> None:
    """List the keys, revoked ones too: their ids, scopes, and when each was last used.

    Example: skillops key list
    """
    found = _opened(repository)[0].all()
    lines = [
        f"{key.id}  {key.name}  {', '.join(key.scopes)}  " + (f"revoked {key.revoked}" if key.revoked else f"last used {key.used or 'never'}")
        for key in found
    ]
    emit(found, as_json, "\n".join(lines) or "There are none. `skillops key create --scope invoke` makes one.")


def revoke(
    id: Annotated[str, typer.Argument(help="The key's id, as `skillops key list` shows it.")], repository: Repo = HERE, as_json: AsJson = False
) -> None:
    """End a key for good. A gateway that runs notices within a second.

    Example: skillops key revoke 1a2b3c4d
    """
    key = _opened(repository)[0].revoke(id)
    emit(key, as_json, f"The key {key.id} of {key.name} is revoked.")


def _opened(repository: Repo) -> tuple[Keys, str]:
    """The keys of the repository, and who the command's user is."""
    from agent import wiring

    return wiring.open_keys(repository)
