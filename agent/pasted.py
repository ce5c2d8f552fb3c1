"""Pasted: a key, a token or a password among the words of a person, who pasted it where a model, a ledger or a request would hold it; or in what
a skill was given or gave, where that is kept or shown to a model.

Only what has a known form counts (the formats of detect-secrets, those that it does not know yet, private keys): an entropy alone, a hash or a
commit is no secret, and who asks about one is to be answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from agent.detectors import detectors
from agent.domain.schema import Json
from agent.errors import UsageError
from agent.ports import Secrets
from agent.redactor import STRUCK, struck

_KNOWN = (
    "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector",
    "MailchimpDetector", "OpenAIDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector", "SquareOAuthDetector", "StripeDetector",
    "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
_OWN = {
    "private key": re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:.{0,20000}?-----END [A-Z0-9 ]{0,40}-----|.*)", re.DOTALL),
    "JSON Web Token": re.compile(r"(?<![\w.-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,}"),
    "API key": re.compile(
        r"(?<![\w-])(?:sk-(?:proj|svcacct|admin|ant|or)-[\w-]{20,}|github_pat_\w{50,}|skillops_[\w-]{43}|AIza[\w-]{35}|npm_[A-Za-z0-9]{36}|hf_[A-Za-z0-9]{34}"
        r"|xapp-\d-[A-Z0-9]+-\d+-[a-z0-9]{32,}|xoxe[.-][\w.-]{40,}|dop_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|GOCSPX-[\w-]{28}"
        r"|ya29\.[\w-]{30,}|AGE-SECRET-KEY-1[A-Z0-9]{58}|rk_live_[A-Za-z0-9]{24,}|sk_live_[A-Za-z0-9]{24,}|glpat-[\w-]{20,})"
    ),
}  # fmt: skip
# What every form has at least: most text has none of it, and is not looked at any further.
_LIKELY = re.compile(r"[\w+/=.:-]{20}|://\S{1,400}@|-----BEGIN")
# What most forms begin with, for a look at each call: what it misses is not told in the receipt, and struck out where it would be kept all the same.
# Only long words are looked into: a call of the gateway has a fraction of a millisecond for all that it does.
_BEGINNINGS = (
    b"ghp_", b"gho_", b"ghs_", b"ghu_", b"ghr_", b"github_pat_", b"AKIA", b"ASIA", b"sk-", b"sk_live_", b"rk_live_", b"xox", b"xapp-", b"hooks.slack",
    b"AIza", b"ya29.", b"-----BEGIN", b"eyJ", b"glpat-", b"npm_", b"hf_", b"SG.", b"pypi-", b"AccountKey=", b"skillops_", b"dop_v1_", b"shpat_",
    b"GOCSPX-", b"AGE-SECRET", b"sq0csp-",
)  # fmt: skip
_SEEN = 4096  # bytes of a call's inputs that are looked at for its receipt
_LONG = 20  # bytes of a word that could hold a key
_PLACEHOLDER = re.compile(r"(?i)example|dummy|fake|placeholder|changeme|your|secret|passw|xxxx|\*\*|\.\.\.|<|\{|\$")
_INNER = 16  # characters that a group of a pattern has at least where it is the secret
_FEW = 6  # different characters: what has fewer is no key (ghp_aaaa…)
_PIECE, _OVERLAP = 2000, 400  # characters of a line that are looked at together: some patterns take quadratic time


class Pasted(NamedTuple):
    """The text with what was found struck out, and the kinds of it, each once."""

    text: str
    kinds: tuple[str, ...]

    @property
    def told(self) -> str:
        """What a person is told of it. It quotes nothing."""
        return (
            f"That holds what looks like a secret ({', '.join(self.kinds)}), so I took none of it: it went to no model, no request and no ledger. "
            "Where others can read what you wrote, delete it. It may be known by now: revoke it where it was issued, and make another. "
            "A skill is given its secret by a one-time form (`/own-secrets` in the browser, or `skillops secret form NAME`). Say it again without."
        )


def get_ready() -> None:
    """Loads what the first look at a text would have to wait for, a third of a second."""
    _patterns()


def posted_comment(person: str, kinds: Sequence[str]) -> str:
    """What one is told who posted a secret on an issue or a pull request, where all can read it. It quotes nothing."""
    return (
        f"@{person} What you posted here holds what looks like a secret ({', '.join(dict.fromkeys(kinds))}). I struck it out of what I read: "
        "it went to no model, no ledger and no commit of mine. But whoever sees this page can read it, also in its history. Revoke it where it was "
        "issued, make another, and delete what you posted.\n\nA skill is given its secret by a one-time form that leads into the vault, never "
        "here: your own at `/own-secrets` in the browser, one for all at the link that `skillops secret form NAME` makes for whoever runs this."
    )


def without_secrets(text: str) -> Pasted:
    """What is left of a text without what was pasted into it by mistake."""
    found: dict[str, str] = {}
    for kind, value in _found(text):
        if len(set(value)) >= _FEW and (value.startswith("-----BEGIN") or not _PLACEHOLDER.search(value)):
            found.setdefault(value, kind)
    for value in sorted(found, key=len, reverse=True):
        text = text.replace(value, STRUCK)
    return Pasted(text, tuple(dict.fromkeys(found[value] for value in sorted(found))))


def unpasted(text: str) -> str:
    return without_secrets(text).text


def json_struck(value: Json, strike: Callable[[str], str]) -> Json:
    """What `strike` leaves of every text in a value as JSON has it."""
    match value:
        case str():
            return strike(value)
        case list():
            return [json_struck(each, strike) for each in value]
        case dict():
            return {strike(name): json_struck(each, strike) for name, each in value.items()}
    return value


def kinds_given(inputs: bytes) -> tuple[str, ...]:
    """Kinds of what looks like a secret among the inputs of a call, as JSON, as far as a short look shows them."""
    long = b" ".join(word for word in inputs[:_SEEN].split() if len(word) >= _LONG)
    if long and ((b"://" in long and b"@" in long) or any(map(long.__contains__, _BEGINNINGS))):
        return without_secrets(inputs[:_SEEN].decode(errors="replace")).kinds
    return ()


def struck_out(secrets: Secrets, skill: str, text: str) -> str:
    """What a skill said, as it may be kept and shown: without any secret that it may have of the vault, and any that has a known form."""
    return without_secrets(struck(secrets, skill, text)).text


def refuse_secrets(text: str) -> str:
    """The text as it is. UsageError, which quotes nothing of it, where a secret was pasted into it."""
    if kinds := without_secrets(text).kinds:
        raise UsageError(
            f"The text holds what looks like a secret ({', '.join(kinds)}), and nothing of it was kept.",
            why="What is said here is read by models and by people, and kept.",
            next_step="Say it without; treat the secret as known, and revoke it. `skillops secret form NAME` makes a form for the next one.",
        )
    return text


def _found(text: str) -> Iterator[tuple[str, str]]:
    if not _LIKELY.search(text):
        return
    for kind, pattern in _OWN.items():
        yield from ((kind, match.group()) for match in pattern.finditer(text))
    for line in text.splitlines():
        for start in range(0, max(len(line), 1), _PIECE - _OVERLAP):
            piece = line[start : start + _PIECE]
            if not _LIKELY.search(piece):
                continue
            yield from ((kind, _value(match)) for kind, pattern in _patterns() for match in pattern.finditer(piece))


def _value(match: re.Match[str]) -> str:
    """Some patterns name what is secret in them by a group, others only a part of it, as GitHub's does."""
    inner = match[match.lastindex] if match.lastindex else ""
    return inner if len(inner) >= _INNER or match[0].startswith("://") else match[0]


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Those of the library's plugins: what they themselves give of a match is not always all of it."""
    kinds = [kind for kind in detectors() if kind.__name__ in _KNOWN]
    return tuple((str(kind.secret_type), pattern) for kind in kinds for pattern in kind.denylist)
