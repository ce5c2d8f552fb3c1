"""A slot of the vault: which secret it is, and of whom. Pure.

A secret is one for all callers of the skills that may have it or, where a manifest says `personal`, each caller's own: then it is of one
skill and one person, and no other skill and no other person's call ever gets it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from agent.errors import MissingSecret, UsageError

NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
SKILL = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LARGEST = 64 * 2**10  # bytes of a value
SHORTEST = 4  # bytes: what is shorter can be guessed, and could not be struck out of a log without harm to it
LONGEST_PERSON = 200  # characters


class Slot(NamedTuple):
    """`skill` and `person` are empty where it is not one person's."""

    name: str
    skill: str = ""
    person: str = ""

    @classmethod
    def of(cls, name: str, skills: Iterable[str] | None, person: str) -> Slot:
        """UsageError where a secret of a person is not for exactly one skill."""
        if not person:
            return cls(name)
        named = tuple(skills or ())
        if len(named) != 1:
            raise UsageError(
                f"Of which skill is the {name[:64]} of {person[:LONGEST_PERSON]}?", why="A secret of one person is for one skill.",
                next_step="Name it: --skill NAME, once.",
            )  # fmt: skip
        return cls(name, named[0], person)

    @classmethod
    def read(cls, kept: str) -> Slot:
        """What `str` wrote: neither of the first two has a blank in it."""
        return cls(*kept.split(" ", 2))

    def __str__(self) -> str:
        return f"{self.name} {self.skill} {self.person}" if self.person else self.name

    @property
    def told(self) -> str:
        """For people."""
        return f"{self.name} of {self.person} for {self.skill}" if self.person else self.name

    @property
    def command(self) -> str:
        """As the words of `skillops secret` name it."""
        return f"{self.name} --skill {self.skill} --for {shlex.quote(self.person)}" if self.person else self.name


def fit(name: str, value: str | None, skills: Iterable[str], person: str = "") -> None:
    """UsageError for a name, a value (None: not known yet), a skill or a person that none can be; it never quotes the value."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} is no name of a secret.", next_step="Capital letters, digits and _, like WEATHER_KEY; at most 64.")
    if wrong := [skill for skill in skills if len(skill) > 63 or not SKILL.fullmatch(skill)]:
        raise UsageError(f"{wrong[0][:80]!r} is no name of a skill.", next_step="Small letters, digits and -, like word-count.")
    if person and (len(person) > LONGEST_PERSON or not person.isprintable() or person != person.strip()):
        raise UsageError(f"{person[:80]!r} is no name of a person.", next_step="As the agent knows them: the name of their API key, or their login.")
    if value is None:
        return
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise UsageError("The value is not text (UTF-8).", next_step="Encode it, with base64 for example.") from None
    if not SHORTEST <= size <= LARGEST or not value.strip():
        told = "is empty" if not value.strip() else f"has {size} bytes"
        raise UsageError(f"The value {told}.", next_step=f"It must be text of {SHORTEST} to {LARGEST} bytes.")


def missing_of(skill: str, missing: Sequence[tuple[str, Sequence[str]]], person: str) -> MissingSecret:
    """`missing`: names, each with the other skills that the vault has it for."""
    names = ", ".join(name for name, _ in missing)
    if person:
        how = Slot(missing[0][0], skill, person).command
        return MissingSecret(
            f"{skill} works with each caller's own {names}, and has none of {person}.", why="What somebody else gave it is never used in its place.",
            next_step=f"`skillops secret form {how}` makes a link for them; `skillops secret set {how}` sets it.",
            skill=skill, names=[name for name, _ in missing], person=person,
        )  # fmt: skip
    not_for_it = [name for name, others in missing if others]
    absent = [name for name, others in missing if not others]
    why = [f"The vault has no {', '.join(absent)}."] if absent else []
    why += [f"{', '.join(not_for_it)} is there, but for other skills."] if not_for_it else []
    first, others = missing[0]
    first += "".join(f" --skill {each}" for each in (*others, skill) if others)  # to give it to one more
    return MissingSecret(
        f"{skill} waits for the secret{'s' if len(missing) > 1 else ''} {names}.",
        why=" ".join(why),
        next_step=f"`skillops secret set {first}` sets it; `skillops secret form {first}` makes a link for whoever knows it.",
        skill=skill, names=[name for name, _ in missing],
    )  # fmt: skip
