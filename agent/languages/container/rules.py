"""What a Dockerfile of a skill must be like: it ends as no root, starts without a shell, and names what it is built on exactly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from agent.dockerfile import NAME, Instruction, bases, instructions
from agent.domain.check import Finding
from agent.domain.skill import Manifest

NONE = "A container's dependencies are the business of its Dockerfile."
LINE = 150
OURS = "skillops/base-"
_PINNED = re.compile(r"\S+@sha256:[0-9a-f]{64}")
_PIPED = re.compile(r"\b(curl|wget)\b[^|;&]*\|\s*(sudo\s+)?(ba|da|z)?sh\b")
_ROOT = re.compile(r"(root|0)(:.*)?")
_SECRET = re.compile(r"(PASSWORD|PASSWD|TOKEN|SECRET|API_?KEY|CREDENTIAL)", re.IGNORECASE)


def style(root: Path) -> tuple[Finding, ...]:
    return tuple(_style(*_read(root)))


def security(root: Path) -> tuple[Finding, ...]:
    return tuple(_security(_read(root)[1]))


def dependencies(root: Path, manifest: Manifest) -> tuple[Finding, ...]:
    """What it is built on, by digest; our own base images are known by theirs."""
    named = [Finding(message=f"{pin!r}: {NONE}", rule="dependency", path=f"skills/{manifest.name}/skill.yaml") for pin in manifest.dependencies]
    for base in bases(_read(root)[1]):
        if "$" in base.rest:
            named.append(_finding("base", "names its image by a variable; name the image itself", base))
        elif not base.rest.startswith(OURS) and not _PINNED.fullmatch(base.rest):
            named.append(_finding("unpinned", f"{base.rest} is not pinned; name it as image@sha256:…", base))
    return tuple(named)


def _style(text: str, found: tuple[Instruction, ...]) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > LINE:
            yield Finding(message=f"the line has {len(line)} characters; {LINE} are allowed", rule="line-length", path=NAME, line=number)
        if line != line.rstrip():
            yield Finding(message="white space at the end of the line", rule="white-space", path=NAME, line=number)
    for each in found:
        if each.word in ("CMD", "ENTRYPOINT") and not _is_list(each.rest):
            yield _finding("shell-form", f'{each.word} starts a shell; write it as a list, like {each.word} ["program", "argument"]', each)
        if each.word == "MAINTAINER":
            yield _finding("deprecated", "MAINTAINER is deprecated; use a LABEL", each)


def _security(found: tuple[Instruction, ...]) -> Iterator[Finding]:
    froms = [number for number, each in enumerate(found) if each.word == "FROM"]
    if not froms:
        yield Finding(message="there is no FROM in the Dockerfile", rule="base", path=NAME)
        return
    users = [each for each in found[froms[-1] :] if each.word == "USER"]
    if not users:
        yield _finding("root", "the image runs as root; end it with USER 65532:65532", found[froms[-1]])
    elif _ROOT.fullmatch(users[-1].rest):
        yield _finding("root", "the image runs as root", users[-1])
    for each in found:
        if each.word == "ADD" and re.search(r"\b(https?|git|ftp)://|\bgit@", each.rest):
            yield _finding("remote-add", "ADD fetches from the network what nobody has checked; COPY a file of the skill", each)
        if each.word == "RUN" and _PIPED.search(each.rest):
            yield _finding("piped-shell", "runs what it fetches without a look at it", each)
        if each.word == "ENV" and _SECRET.search(each.rest.partition("=")[0]):
            yield _finding("secret", "keeps what looks like a secret in the image; name it in permissions.secrets", each)


def _read(root: Path) -> tuple[str, tuple[Instruction, ...]]:
    """The check manifest says where there is none."""
    path = root / NAME
    text = path.read_text(errors="replace") if path.is_file() else ""
    return text, instructions(text)


def _is_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except ValueError:
        return False


def _finding(rule: str, message: str, at: Instruction) -> Finding:
    return Finding(message=message, rule=rule, path=NAME, line=at.line)
