"""A Requirement: another skill that one needs, with the range of versions that will do, like `csv-to-json >=1.0,<2`."""

from __future__ import annotations

import re
from typing import Literal, cast

from agent.domain import Frozen
from agent.domain.skill import NAME_PATTERN, SkillName, Version

_VERSION = r"\d+(?:\.\d+){0,2}"
_BOUND = rf"(>=|<=|==|>|<|~=) *({_VERSION})"
_REQUIREMENT = re.compile(rf"(?P<name>{NAME_PATTERN[1:-1]})(?P<bounds>( *{_BOUND}( *, *{_BOUND})*)?)")
Sign = Literal[">=", "<=", "==", ">", "<", "~="]


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
    name: SkillName
    bounds: tuple[Bound, ...] = ()

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
        return cls(name=match["name"], bounds=bounds)

    def admits(self, version: Version) -> bool:
        return all(bound.admits(version) for bound in self.bounds)


def within_major(name: str, version: Version) -> str:
    """The requirement of this version or a later one that keeps what callers rely on (semver.org, 8)."""
    return f"{name} >={version},<{version.major + 1}"
