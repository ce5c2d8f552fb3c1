"""Secrets: keys, tokens and passwords in any text file, found by detect-secrets. What was found is never repeated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from agent.checks import concluded
from agent.detectors import detectors
from agent.domain.check import CheckResult, Finding, Subject
from agent.domain.skill import WITNESS_PATH
from agent.ports import Check, Workbench

# Entropy in bits a character: random base64 of 40 characters has about 4.8, hexadecimal at most 4.
_TUNED: dict[str, dict[str, float]] = {"Base64HighEntropyString": {"limit": 4.7}, "HexHighEntropyString": {"limit": 3.4}}
_LEFT_OUT = frozenset(("IPPublicDetector",))  # an address is no secret
KEYWORD = "Secret Keyword"
_ENTROPY = frozenset(("Base64 High Entropy String", "Hex High Entropy String"))
_SHORTEST = 20  # characters of a random-looking string that could be a key
_HASHES = re.compile(r"md5|sha-?\d|blake|hash|digest|checksum", re.IGNORECASE)
_HASH_LENGTHS = frozenset((32, 40, 56, 64, 96, 128))  # hexadecimal characters, from MD5 to SHA-512
_PLACEHOLDER = re.compile(r"(?i)(.)\1*|.*(example|dummy|fake|placeholder|changeme|your[-_ ]|xxxx|\.\.\.|<[^>]*>|\{[^}]*\}|\$\w+).*")
_PIECE, _OVERLAP = 800, 200  # characters
_LONG_WORD = re.compile(r"(\w{60})\w+")
_LARGEST = 256 * 2**10  # bytes; scope refuses a larger file
_LOCK_FILES = (".lock", ".sum", "package-lock.json")


class SecretsCheck(Check):
    name = "secrets"

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        files = ((path, data) for path, data in sorted(subject.files.items()) if path != WITNESS_PATH and len(data) <= _LARGEST)
        findings = [finding for path, data in files for finding in _found(path, data.decode(errors="replace"))]
        return concluded(self.name, subject, findings, "No secrets in the files.")


def holds_secret(text: str) -> bool:
    """Whether a key, a token or a password seems to be in the text."""
    return any(True for _ in _found("", text))


def _found(path: str, text: str) -> Iterator[Finding]:
    """Plugins are asked directly: the library's own scan obeys comments and file names of the proposal (allowlists,
    `.lock`, `swagger`), and its settings are global."""
    hashes = bool(_HASHES.search(text))
    for number, line in enumerate(text.splitlines(), 1):
        found = {secret for piece in _pieces(line) for plugin in _plugins() for secret in _asked(plugin, path, piece)}
        for kind in sorted({secret.type for secret in found if not _harmless(secret.type, secret.secret_value or "", path, hashes)}):
            message = f"looks like a secret ({kind}); keep it in the vault (`skillops secret set`) and read it from $SKILL_SECRETS"
            yield Finding(message=message, rule="secret", path=path, line=number)


def _asked(plugin: Any, path: str, piece: str) -> Iterable[Any]:
    """What a plugin finds. The patterns for keywords take cubic time on a word that repeats them, so theirs are cut short."""
    keyword = plugin.secret_type == KEYWORD
    found: Iterable[Any] = plugin.analyze_line(filename=path, line=_LONG_WORD.sub(r"\1", piece) if keyword else piece)
    return found


def _pieces(line: str) -> Iterator[str]:
    """A long line in overlapping pieces: some of the patterns take time that is quadratic in the length."""
    for start in range(0, max(len(line), 1), _PIECE - _OVERLAP):
        yield line[start : start + _PIECE]


def _harmless(kind: str, value: str, path: str, hashes: bool) -> bool:
    """`hashes`: whether the file speaks of hashes; what has the form of one is then taken for one."""
    if kind == KEYWORD:
        return bool(_PLACEHOLDER.fullmatch(value)) or _refers(value)
    if kind not in _ENTROPY:
        return False
    is_hash = hashes and len(value) in _HASH_LENGTHS and all(char in "0123456789abcdefABCDEF" for char in value)
    return is_hash or path.endswith(_LOCK_FILES) or len(value) < _SHORTEST or _ordinary(value)


def _refers(value: str) -> bool:
    """Whether the value assigned is a word, a path or a variable's name and not a secret itself."""
    return bool(re.fullmatch(r"[A-Z][A-Z0-9_]*|[a-z]{1,12}|/[\w./-]+", value)) or " " in value.strip()


def _ordinary(value: str) -> bool:
    """Words and alphabets (`ABC…xyz0123456789+/`) are no keys, however many characters they use."""
    neighbours = sum(ord(right) - ord(left) == 1 for left, right in pairwise(value))
    return neighbours > len(value) / 2 or bool(re.fullmatch(r"[a-z_/-]+|[A-Z_]+|\d+", value))


@cache
def _plugins() -> tuple[Any, ...]:
    return tuple(kind(**_TUNED.get(kind.__name__, {})) for kind in detectors() if kind.__name__ not in _LEFT_OUT)
