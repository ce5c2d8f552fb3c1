"""Which names of branches and files, and which authors and messages, are plain. Pure."""

from __future__ import annotations

import re
import unicodedata

from agent.errors import UsageError

_BAD_BRANCH = re.compile(r"[\0-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(^|/)\.|\.lock(/|$)|^[-/]|[/.]$|^@$|^HEAD$|^$")
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # Cf holds what HFS+ ignores in a name, so that `.g\u200cit` is `.git` there


def is_commit_id(ref: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}", ref) is not None


def branch_problem(name: str) -> str:
    """Why git would not take `name` for a branch (man git-check-ref-format), or nothing."""
    if is_commit_id(name):
        return "It reads like a commit."
    if not name.isascii() and any(unicodedata.category(sign) in _UNSEEN for sign in name):
        return "It holds signs that nobody sees."
    return "git allows no such name." if _BAD_BRANCH.search(name) or len(name) > 200 else ""


def inside(path: str) -> bool:
    """Whether a path from the root (which is "") can be looked up: no control characters, no way up or around."""
    return path == "" or not any(
        part in ("", ".", "..") or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in part) for part in path.split("/")
    )


def odd_name(name: str) -> bool:
    """Whether one part of a path could mean something else to git, to a file system or to a reader than it seems to.

    The spellings of `.git` are those that git refuses itself (verify_path, is_ntfs_dotgit and is_hfs_dotgit). U+FFFD stands for what is no
    text, wherever a name came as JSON.
    """
    if not name or "/" in name or "\\" in name or "\ufffd" in name or any(unicodedata.category(sign) in _UNSEEN for sign in name):
        return True
    plain = name.casefold().split(":")[0].rstrip(" .")
    return plain in ("", ".git", "git~1")


def made_here(name: str, mail: str) -> bool:
    """Whether an author or a committer is written as we write them for whoever came through a door of ours, or for ourselves."""
    return mail == address(name)


def address(name: str) -> str:
    """The mail of a login in the commits that we make for it. Source: RFC 6761 on `.invalid`."""
    return f"{name.strip().replace(' ', '-')}@skillops.invalid"


def commit_problem(author: str, message: str) -> None:
    """UsageError for an author or a message of a commit that git would misread."""
    if not author.strip() or re.search(r"[\0-\x1f<>]", author):
        raise UsageError(f"{author!r} cannot be the author of a commit.", next_step="Use a login: no angle brackets or control characters.")
    if "\0" in message:
        raise UsageError("The message of a commit holds a NUL byte.", next_step="Take it out, and try again.")
    if any("\ud800" <= sign <= "\udfff" for sign in author + message):
        raise UsageError("The message of a commit is not text.", next_step="Take out the lone surrogates.")
