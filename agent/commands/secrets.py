"""The verbs of the vault: secret set, secret list, secret rm, secret form."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit
from agent.errors import UsageError

Name = Annotated[str, typer.Argument(help="The secret, as skills name it in `permissions`, like WEATHER_KEY.")]
Skills = Annotated[list[str] | None, typer.Option("--skill", help="Only this skill may have it. May be given again. Left out: as it was, or all.")]
Person = Annotated[
    str,
    typer.Option(
        "--for", help="Whose own it is: the name of their API key, or their login. A skill that says `personal` gets it in their calls alone."
    ),
]
ForAll = Annotated[bool, typer.Option("--for-all", help="Every skill that asks for it may have it.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Secrets that skills are handed: set, list, rm, form.")
    for name, verb in (("set", set_), ("list", list_), ("rm", remove), ("form", form)):
        group.command(name)(verb)
    app.add_typer(group, name="secret", rich_help_panel="Serve")


def set_(name: Name, skill: Skills = None, for_all: ForAll = False, person: Person = "", repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Set a secret, or set it anew: skills that run with it start again. The value comes from stdin, or is asked for and not shown.

    Examples: skillops secret set WEATHER_KEY --skill weather · skillops secret set GITHUB_TOKEN --skill issues --for ada < token.txt
    """
    from agent import wiring
    from agent.slot import Slot, fit

    vault, user = wiring.open_vault(repository)
    skills = _skills(skill, for_all)
    fit(name, None, skill or (), person)  # before anybody types a value
    Slot.of(name, skills, person)
    secret = vault.set(name, _value(name), user, skills, person)
    whom = f"for {_whom(secret.skills, person)}"
    emit(secret, as_json, f"The secret {name} is {secret.changes[-1].what}, {whom}.")


def list_(person: Person = "", repository: Repo = HERE, as_json: AsJson = False) -> None:
    """List the secrets: their names, whom they are for, when they were last set and by whom. Never their values.

    Examples: skillops secret list · skillops secret list --for ada
    """
    from agent import wiring

    vault = wiring.open_vault(repository)[0]
    found = vault.personal(person) if person else [*vault.all(), *vault.personal()]
    lines = [
        f"{secret.name}  {_whom(secret.skills, secret.person)}  {secret.changes[-1].what} {secret.changes[-1].at} by {secret.changes[-1].by}"
        for secret in found
    ]
    emit(found, as_json, "\n".join(lines) or "There are none. `skillops secret set NAME` sets one.")


def remove(
    name: Name,
    skill: Annotated[str, typer.Option("--skill", help="With --for: of which skill.")] = "",
    person: Person = "",
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Remove a secret. Skills that run with it stop until it is set again.

    Examples: skillops secret rm WEATHER_KEY · skillops secret rm GITHUB_TOKEN --skill issues --for ada
    """
    from agent import wiring

    vault, user = wiring.open_vault(repository)
    emit(vault.remove(name, user, skill, person), as_json, f"The secret {name}{f' of {person}' if person else ''} is removed.")


def form(
    name: Name,
    skill: Skills = None,
    for_all: ForAll = False,
    person: Person = "",
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long the link is good for.")] = 15,
    gateway: Annotated[str, typer.Option(help="Where the gateway is reached; the setting gateway_url where it is left out.")] = "",
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Make a link to a form that takes the value once, for whoever knows it. The gateway shows it (`skillops serve`).

    Example: skillops secret form WEATHER_KEY --skill weather
    """
    from agent import wiring

    link = wiring.secret_link(repository, name, _skills(skill, for_all), minutes * 60, gateway, person)
    until = datetime.fromisoformat(link.expires_at).astimezone(UTC)
    emit(link, as_json, f"{link.url}\nIt takes one value for {name}, until {until:%H:%M:%S} UTC, while `skillops serve` runs.")


def _whom(skills: Sequence[str], person: str) -> str:
    told = ", ".join(skills) or "every skill that asks for it"
    return f"{told}, in calls of {person} alone" if person else told


def _skills(given: list[str] | None, for_all: bool) -> list[str] | None:
    if given and for_all:
        raise UsageError("--skill and --for-all exclude each other.", next_step="Give one of them.")
    return [] if for_all else given or None


def _value(name: str) -> str:
    """From a hidden prompt at a terminal, else all of stdin, without the line break that ends it."""
    if sys.stdin.isatty():
        prompted: str = typer.prompt(f"The value of {name} (it is not shown)", hide_input=True, err=True)
        return prompted
    from agent.slot import LARGEST

    data = sys.stdin.buffer.read(LARGEST + 3)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UsageError("Standard input is not text (UTF-8).", next_step="Encode it, with base64 for example.") from None
    return text.removesuffix("\n").removesuffix("\r")
