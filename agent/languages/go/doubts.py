"""What in a file may be right and often is not: for a person to look at, never a reason to refuse by itself. See `python/doubts`.

It goes by what the analyser tells of names and literals, so that it knows less than its siblings for Python, Node and Bash do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.languages.go.analyser import Facts
from agent.languages.sensitive import password, unguessed

Found = Iterator[tuple[int, str, str]]
BROKEN = frozenset(("crypto/md5", "crypto/sha1", "crypto/des", "crypto/rc4", "golang.org/x/crypto/md4", "golang.org/x/crypto/ripemd160"))
QUICK = frozenset(("crypto/sha256", "crypto/sha512", "crypto/sha3", "hash/crc32", "hash/crc64", "hash/fnv", "hash/adler32", "hash/maphash"))
GUESSED = frozenset(("math/rand", "math/rand/v2"))
_QUERY = re.compile(r"\s*(?:select\s.+\sfrom|insert\s+into|update\s+\S+\s+set|delete\s+from)\s.*%", re.IGNORECASE | re.DOTALL)


def doubts(facts: Facts) -> list[tuple[int, str, str]]:
    """Line, rule and message of each, once a line."""
    functions = [*facts["functions"], *(told["name"] for told in facts["names"])]
    secret, hidden = next(filter(unguessed, facts["functions"]), ""), next(filter(password, functions), "")
    return sorted(set(_found(facts, secret, hidden)))


def _found(facts: Facts, secret: str, hidden: str) -> Found:
    for told in facts["names"]:
        path, name, line = told["path"], f"{told['path']}.{told['name']}", told["line"]
        if path in BROKEN:
            yield line, "weak-cipher", f"{path} is broken: for anything that somebody would forge, take another (CWE-327)"
        elif path in GUESSED and secret:
            yield line, "guessable", f"`{secret}` stands beside {name}, which can be guessed: crypto/rand (CWE-338)"
        elif path in QUICK and hidden:
            yield line, "quick-hash", f"`{hidden}` stands beside {name}, which is quick to try out: golang.org/x/crypto/bcrypt (CWE-916)"
        elif path == "fmt" and told["name"] in ("Sprintf", "Appendf") and _QUERY.match(told["argument"] or ""):
            yield line, "built-query", "a query that is put together of texts: hand the values over as parameters (CWE-89)"
