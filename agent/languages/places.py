"""Where a skill's files may lie, in any language: its own folder (to read), /tmp, and what $SKILL_… names; nothing else is there."""

from __future__ import annotations

import re

FILES = ("files", "reaches files that are not the skill's: it has its own folder to read, the temporary folder, $SKILL_STORAGE and $SKILL_SECRETS")
KEEPS = ("files", "writes where nothing can be kept: permissions.storage is none, and the temporary folder is the one place for what a call needs")
_ROOTS = "bin|boot|dev|etc|home|lib|lib32|lib64|libx32|media|mnt|opt|proc|root|run|sbin|srv|sys|usr|var"  # Filesystem Hierarchy Standard 3.0
_STANDARD = re.compile(rf"/(?:{_ROOTS})(?:/[^\s]*)?")
_FREE = re.compile(r"/tmp(?:/.*)?|/dev/(?:null|stdin|stdout|stderr|zero|urandom|random|fd/\d*)", re.DOTALL)
_ELSEWHERE = re.compile(r"[A-Za-z]:[\\/]|\\\\|~[\w-]*(?:/|$)|file:")  # a drive, a machine, a home


def outside(text: str) -> bool:
    """Whether a path, or its beginning, leads out of what a skill has."""
    if ".." in re.split(r"[\\/]", text) or _ELSEWHERE.match(text):
        return True
    return text.startswith("/") and not _FREE.fullmatch(text)


def standard(text: str) -> bool:
    """Whether a whole text is a path below one of the folders that every Linux machine has."""
    return bool(_STANDARD.fullmatch(text)) and not _FREE.fullmatch(text)


def temporary(text: str) -> bool:
    return text == "/tmp" or text.startswith(("/tmp/", "/dev/"))
