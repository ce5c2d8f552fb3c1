"""Which paths a skill may hold: those that mean the same on every file system, in every shell, to every reader."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 200  # characters of a path below skills/<name>/
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[\d¹²³]|lpt[\d¹²³])(\..*)?", re.IGNORECASE)
# Spellings that some file system reads as `.git` (CVE-2014-9390): NTFS short names, HFS+ ignorable characters.
_GIT = re.compile(r"\.git|git~\d+", re.IGNORECASE)
_FORBIDDEN = frozenset('\\:*?"<>|')


def odd_path(path: str) -> str | None:
    """Why `path` (relative, with slashes) is none that a skill may hold, or None."""
    if not path or path.startswith("/"):
        return "is not relative"
    if len(path) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if any((unicodedata.category(char)[0] in "CZ" and char != " ") or char == "\ufffd" for char in path):
        return "holds control or invisible characters"
    if found := sorted(_FORBIDDEN.intersection(path)):
        return f"holds {found[0]!r}"
    if unicodedata.normalize("NFC", path) != path:
        return "is not in Unicode normal form C"
    return next((why for part in path.split("/") if (why := _odd_part(part))), None)


def _odd_part(part: str) -> str | None:
    if part in ("", ".", ".."):
        return f"has the part {part!r}"
    if len(part.encode()) > 255:
        return "has a part that is longer than 255 bytes"
    if _GIT.fullmatch(part.rstrip(" .")):
        return "names git's own folder"
    if part != part.strip() or part.endswith("."):
        return "has a part that begins or ends with a space, or ends with a dot"
    if _RESERVED.fullmatch(part):
        return "has a name that Windows keeps for a device"
    return None


def shown(path: str) -> str:
    """`path` for a message: what cannot be printed is escaped, so that it cannot steer a terminal."""
    return path if path.isprintable() else ascii(path)[1:-1]
