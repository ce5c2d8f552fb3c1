"""SKILL.md: a folder of ours is also a valid Agent Skill (the specification: agentskills.io/specification)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.domain.check import Finding, Subject
from agent.errors import InvalidFile
from agent.strict_yaml import load

KEYS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
LIMITS = {"name": 64, "description": 1024, "compatibility": 500}  # characters
_FORM = "SKILL.md starts with front matter: `---`, then `name:` and `description:`, then `---`"


def skill_md_findings(subject: Subject) -> list[Finding]:
    """What in SKILL.md breaks the specification, and a name that is not the folder's."""
    place = f"skills/{subject.skill}/SKILL.md"
    if "SKILL.md" not in subject.files:
        return [Finding(message="SKILL.md is missing", rule="skill-md", path=place)]
    lines = subject.files["SKILL.md"].decode(errors="replace").splitlines()
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
    if not lines or lines[0].rstrip() != "---" or end is None:
        return [Finding(message=_FORM, rule="skill-md", path=place, line=1)]
    try:
        front = load("\n".join(lines[1:end]), place, first_line=2)
    except InvalidFile as error:
        return [Finding(message=error.expected, rule="skill-md", path=place, line=error.line)]
    if not isinstance(front, dict):
        return [Finding(message=_FORM, rule="skill-md", path=place, line=1)]
    problems = [*_problems(front, subject.skill)]
    if not any(line.strip() for line in lines[end + 1 :]):
        problems.append(("", "holds no instructions after its front matter"))
    return [Finding(message=message, rule="skill-md", path=place, line=_line(lines[:end], key)) for key, message in problems]


def _problems(front: dict[str, Any], skill: str) -> Iterator[tuple[str, str]]:
    for key in sorted(front.keys() - set(KEYS)):
        yield key, f"the key {key!r} is not one of the specification's: {', '.join(KEYS)}"
    for key in ("name", "description"):
        if not isinstance(front.get(key), str) or not front[key].strip():
            yield key, f"{key} is missing or is no text"
    for key in ("license", "compatibility", "allowed-tools"):
        if key in front and not isinstance(front[key], str):
            yield key, f"{key} is no text"
    for key, limit in LIMITS.items():
        if isinstance(front.get(key), str) and len(front[key]) > limit:
            yield key, f"{key} has {len(front[key])} characters; at most {limit} are allowed"
    if isinstance(front.get("name"), str) and front["name"] not in ("", skill):
        yield "name", f"the name is {front['name']!r} and the folder {skill!r}; they must be the same"
    metadata = front.get("metadata", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        yield "metadata", "metadata maps text to text"


def _line(lines: list[str], key: str) -> int:
    return next((number for number, line in enumerate(lines, 1) if key and line.startswith(f"{key}:")), 1)
