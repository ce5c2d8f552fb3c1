"""What each call of ours needs, as GitHub names it: the table behind what the App has to be given. Pure.

Source: GitHub's "Permissions required for GitHub Apps".
"""

from __future__ import annotations

import re

Right = tuple[str, str]  # the permission, and read or write
_RIGHTS: tuple[tuple[str, tuple[Right, ...]], ...] = (
    (r"GET (commits/[^/]+/check-runs|check-runs/)", (("checks", "read"),)),
    (r"(POST|PATCH) check-runs", (("checks", "write"),)),
    (r"POST statuses/", (("statuses", "write"),)),
    (r"GET (git/|commits\?|compare/|activity\?|/repos/)", (("contents", "read"),)),
    (r"(POST|PATCH) git/", (("contents", "write"),)),
    (r"PUT pulls/\d+/merge$", (("contents", "write"), ("pull_requests", "write"))),
    (r"GET pulls", (("pull_requests", "read"),)),
    (r"(POST|PATCH|PUT) pulls", (("pull_requests", "write"),)),
    (r"GET (issues|labels)", (("issues", "read"),)),
    (r"(POST|PATCH|DELETE) (issues|labels)", (("issues", "write"),)),
    (r"POST /graphql$", (("contents", "write"), ("pull_requests", "write"))),  # appending to a branch; drafts and the merge queue
    (r"GET ($|collaborators/|rules/branches/)", (("metadata", "read"),)),
    (r"GET (/user|/app|installation)$", ()),
)
TOKENS_ALONE = frozenset(("statuses",))  # for which an App has check runs
_LEVELS = {"read": 1, "write": 2, "admin": 3}


def needed(verb: str, path: str) -> tuple[Right, ...]:
    """What a call needs, by its path below the repository. LookupError for one that nobody thought of."""
    for pattern, rights in _RIGHTS:
        if re.match(pattern, f"{verb} {path}"):
            return rights
    raise LookupError(f"{verb} {path}")


def of_the_app() -> dict[str, str]:
    """What the App needs in all, each permission at its highest level."""
    found: dict[str, str] = {}
    for name, level in (right for _, rights in _RIGHTS for right in rights if right[0] not in TOKENS_ALONE):
        found[name] = max(found.get(name, level), level, key=_LEVELS.__getitem__)
    return dict(sorted(found.items()))


def covers(has: str, level: str) -> bool:
    """Whether `has`, empty where there is none, is at least `level`."""
    return _LEVELS.get(has, 0) >= _LEVELS[level]
