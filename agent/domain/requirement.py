"""A Requirement: another skill that one needs, with the range of versions that will do, like `csv-to-json >=1.0,<2`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, Protocol, cast

from agent.domain import Frozen
from agent.domain.skill import NAME_PATTERN, Manifest, Permissions, SkillName, Status, Version
from agent.errors import Refused

_VERSION = r"\d+(?:\.\d+){0,2}"
_BOUND = rf"(>=|<=|==|>|<|~=) *({_VERSION})"
_REQUIREMENT = re.compile(rf"(?P<name>{NAME_PATTERN[1:-1]})(?P<bounds>( *{_BOUND}( *, *{_BOUND})*)?)")
Sign = Literal[">=", "<=", "==", ">", "<", "~="]
DEEPEST = 8  # skills that call one another in a row, the first among them
RETIRED: Status = "retired"


class Shelf(Protocol):
    """What skills there are."""

    def manifest(self, name: str) -> Manifest | None: ...


class Bound(Frozen):
    """One condition. `==` and `~=` hold as far as the version is written out (PEP 440): ~=1.2 is 1.2 or more below 2, ~=1.2.3 below 1.3."""

    sign: Sign
    parts: tuple[int, ...]

    def admits(self, version: Version) -> bool:
        there = (version.major, version.minor, version.patch)
        wanted = (*self.parts, 0, 0)[:3]
        if self.sign == "==":
            return there[: len(self.parts)] == self.parts
        if self.sign == "~=":
            return there >= wanted and there[: max(1, len(self.parts) - 1)] == self.parts[: max(1, len(self.parts) - 1)]
        if self.sign in (">=", "<="):
            return there >= wanted if self.sign == ">=" else there <= wanted
        return there > wanted if self.sign == ">" else there < wanted


class Requirement(Frozen):
    """`text` is how it was written."""

    name: SkillName
    bounds: tuple[Bound, ...] = ()
    text: str

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """ValueError where the text is of another form."""
        match = _REQUIREMENT.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is not of the form `csv-to-json >=1.0,<2`")
        bounds = tuple(
            Bound(sign=cast(Sign, sign), parts=tuple(int(part) for part in version.split(".")))
            for sign, version in re.findall(_BOUND, match["bounds"])
        )
        return cls(name=match["name"], bounds=bounds, text=text)

    def admits(self, version: Version) -> bool:
        return all(bound.admits(version) for bound in self.bounds)


def within_major(name: str, version: Version) -> str:
    """The requirement of this version or a later one that keeps what callers rely on (semver.org, 8)."""
    return f"{name} >={version},<{version.major + 1}"


class Requiring(Protocol):
    """A manifest or a contract."""

    @property
    def requires(self) -> tuple[str, ...]: ...


def requirements(manifest: Requiring) -> Mapping[str, Requirement]:
    """What a manifest requires, by name; what is not of the form is left out, which the check manifest tells of."""
    found = {}
    for text in manifest.requires:
        try:
            requirement = Requirement.parse(text)
        except ValueError:
            continue
        found[requirement.name] = requirement
    return found


def unmet(manifest: Manifest, shelf: Shelf) -> dict[str, str]:
    """Each skill that is required and is not there as it is needed, with why, in words."""
    why = {}
    for name, requirement in requirements(manifest).items():
        there = shelf.manifest(name)
        if there is None or there.status == RETIRED:
            why[name] = f"{name} is {'retired' if there else 'not in the registry'}"
        elif not requirement.admits(there.semver):
            why[name] = f"{name} is {there.version} in the registry, and {requirement.text!r} is required"
    return why


def circle(manifest: Manifest, shelf: Shelf) -> tuple[str, ...]:
    """The way from a skill back to itself over what it requires, by names; empty where there is none."""
    ways: list[tuple[str, ...]] = [(manifest.name,)]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        at = manifest if len(way) == 1 else shelf.manifest(way[-1])
        for name in requirements(at) if at else ():
            if name == manifest.name:
                return (*way, name)
            if name not in seen:
                seen.add(name)
                ways.append((*way, name))
    return ()


def depth(manifest: Manifest, shelf: Shelf) -> int:
    """How many skills call one another in a row at most, this one among them; no more than one above DEEPEST is counted."""
    level, rows = {manifest.name: manifest}, 0
    while level and rows <= DEEPEST:
        rows += 1
        level = {name: found for each in level.values() for name in requirements(each) if (found := shelf.manifest(name))}
    return rows


def reach(manifest: Manifest, shelf: Shelf) -> tuple[Manifest, ...]:
    """Every skill that calling this one may call, over whatever others: those that it requires itself come first."""
    found: dict[str, Manifest] = {}
    waiting = [*requirements(manifest)]
    while waiting:
        name = waiting.pop(0)
        if name != manifest.name and name not in found and (there := shelf.manifest(name)):
            found[name] = there
            waiting += requirements(there)
    return tuple(found.values())


def may_do(manifest: Manifest) -> str:
    """A skill with what calling it can come to, in words: `mail-fetch (network imap.example.com:993, secret IMAP_PASSWORD)`."""
    marks = manifest.annotations
    own = [*manifest.permissions.wider_than(Permissions()), *(["destructive"] if marks.destructive else [] if marks.readOnly else ["changes things"])]
    return f"{manifest.name} ({', '.join(own) or 'reaches nothing'})"


def left_behind(name: str, version: Version | None, dependants: Iterable[Manifest]) -> tuple[str, ...]:
    """Those of the skills that require `name` which do not take it as `version`, by name; with none, as where it is retired, all of them."""
    found = [each.name for each in dependants if (wanted := requirements(each).get(name)) and (version is None or not wanted.admits(version))]
    return tuple(sorted(found))


def keep_dependants(name: str, version: str | None, dependants: Iterable[Manifest]) -> None:
    """Refused where a skill that requires `name` would be left behind by its becoming `version` again, or by its end where that is None."""
    left = left_behind(name, None if version is None else Version.parse(version), dependants)
    if left:
        names, what = ", ".join(left), "be retired" if version is None else f"go back to {version}"
        raise Refused(
            f"{name} cannot {what}: {names} {'requires' if len(left) == 1 else 'require'} it.",
            why="A call of theirs would fail from then on.", next_step=f"First retire {names}, or propose a version of each that does without.",
        )  # fmt: skip
