"""Our manners towards GitHub's REST API: conditional requests, patience with limits, and no write done twice.

Pure of any client library: `github.py` is the door that sends. The rules are those of GitHub's documentation, "Best practices for
using the REST API" (Retry-After, secondary limits, conditional requests) and "Rate limits for the REST API".
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from agent.errors import ConfigurationError, CouldNotTell, NotFound, Refused, SkillOpsError
from agent.forges.github_look import Looks
from agent.forges.github_words import ruled, said_in

Found = TypeVar("Found")
PAGE = 100  # the most that one page of GitHub's lists holds
TRIES = 5  # of one request that broke off or met a fault of the server's
PATIENCE = 90.0  # seconds that one request waits for a limit to pass
KEPT = 1000  # answers with an ETag
MOVED = (301, 302, 307, 308)  # what GitHub answers to the old name of a repository
log = logging.getLogger("agent.forges.github")


class NotAllowed(ConfigurationError):
    """The key may not do that; `next_step` names the permission that is missing, where GitHub does."""


class BrokenOff(Exception):
    """No whole answer came: nobody knows whether the request was carried out."""


@dataclass(frozen=True)
class Answer:
    """`body` is JSON as Python has it; None where there was none."""

    status: int
    headers: dict[str, str]
    body: Any


Send = Callable[[str, str, dict[str, str], Any], Answer]
"""verb, address, headers, body. Raises BrokenOff."""


class GitHubApi:
    """The API of one repository, `owner/name`. Safe for several threads. `calls` counts what was sent, by verb."""

    def __init__(
        self, repository: str, send: Send, *, patience: float = PATIENCE, sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.repository, self.calls = repository, Counter[str]()
        self._send, self._patience, self._sleep, self._clock = send, patience, sleep, clock
        self._known: OrderedDict[str, Answer] = OrderedDict()
        self._lock = threading.Lock()
        self.looks = Looks()

    # ---- reading --------------------------------------------------------------------------------------------------

    def get(self, path: str, *, fixed: bool = False, anew: bool = False) -> Any:
        """The JSON at a path below the repository (or below the API's root, where it begins with `/`), or None where there is nothing.

        `fixed`: it can never change (git's objects), so what is known is not asked for again. `anew`: what this look has seen does not do.
        """
        answer = self._get(path, fixed, anew)
        return None if answer is None else answer.body

    def pages(self, path: str, inside: str | None = None, *, anew: bool = False) -> Iterator[Any]:
        """Every item of a list, page by page; `inside` names the list where it lies in an object."""
        following: str | None = f"{path}{'&' if '?' in path else '?'}per_page={PAGE}"
        while following:
            answer = self._get(following, False, anew)
            if answer is None:
                return
            yield from answer.body[inside] if inside else answer.body
            following = _next(answer.headers.get("link", ""))

    def _get(self, path: str, fixed: bool, anew: bool) -> Answer | None:
        with self._lock:
            known = self._known.get(path)
        if known and fixed:
            return known
        if not anew and (seen := self.looks.seen(path)):
            return seen[0]  # type: ignore[no-any-return]
        begun = self.looks.begin()
        answer = self._asked(path, fixed, known)
        self.looks.note(path, answer, begun)
        return answer

    def _asked(self, path: str, fixed: bool, known: Answer | None) -> Answer | None:
        headers = {"If-None-Match": known.headers["etag"]} if known and "etag" in known.headers else {}
        answer = self._patiently("GET", path, headers, None)
        if answer.status == 304 and known:
            return known
        # 409: a repository without a commit has no git data, and GitHub says so in this way.
        if answer.status in (404, 409, 422):
            return None
        if answer.status != 200:
            raise self.fault(answer, "GET", path)
        if fixed or "etag" in answer.headers:
            self._keep(path, answer)
        return answer

    def learn(self, path: str, body: Any) -> None:
        """Notes what lies at a path and can never change, because we have just written it: it need not be asked for."""
        self._keep(path, Answer(200, {}, body))

    def noted(self, path: str, body: Any) -> None:
        """Notes for this look what lies at a path, because we have just put it there."""
        self.looks.note(path, Answer(200, {}, body), self.looks.begin())

    def _keep(self, path: str, answer: Answer) -> None:
        with self._lock:
            self._known[path] = answer
            self._known.move_to_end(path)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)

    # ---- writing --------------------------------------------------------------------------------------------------

    def send(self, verb: str, path: str, body: Any, *, allow: tuple[int, ...] = ()) -> Answer:
        """A write that may safely be repeated: it says how things should be. Statuses in `allow` come back, other faults are raised."""
        answer = self._patiently(verb, path, {}, body)
        if answer.status >= 300 and answer.status not in allow:
            raise self.fault(answer, verb, path)
        return answer

    def once(self, path: str, body: Any, made: Callable[[], Found | None], take: Callable[[Any], Found], *, allow: tuple[int, ...] = ()) -> Found:
        """A POST that must not happen twice: where its answer was lost, `made` looks whether it was carried out after all.

        For a status in `allow` it looks too (GitHub says 422 of what exists already).
        """
        for attempt in range(TRIES):
            answer = None
            try:
                answer = self._waited("POST", path, {}, body)
            except BrokenOff as fault:
                lost: str = str(fault)
            else:
                if answer.status < 300:
                    return take(answer.body)
                if answer.status < 500 and answer.status not in allow:
                    raise self.fault(answer, "POST", path)
                lost = f"it answered {answer.status}"
            if (found := made()) is not None:
                return found
            if answer is not None and answer.status in allow:
                raise self.fault(answer, "POST", path)
            self._sleep(min(0.2 * 2**attempt, 5.0))
        raise _silent("POST", path, lost)

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """What the REST API does not have. Only for what may safely be repeated. Refused with GitHub's reasons."""
        answer = self.send("POST", "/graphql", {"query": query, "variables": variables})
        body = answer.body or {}
        if body.get("errors"):
            raise Refused("GitHub refused that.", why=said_in(answer.body), next_step="`skillops run` looks again.")
        found: dict[str, Any] = body.get("data") or {}
        return found

    # ---- patience -------------------------------------------------------------------------------------------------

    def _patiently(self, verb: str, path: str, headers: dict[str, str], body: Any) -> Answer:
        """Repeats what broke off or met a fault of the server's."""
        lost = ""
        for attempt in range(TRIES):
            try:
                answer = self._waited(verb, path, headers, body)
            except BrokenOff as fault:
                lost = str(fault)
            else:
                if answer.status < 500:
                    return answer
                lost = f"it answered {answer.status}"
            self._sleep(min(0.2 * 2**attempt, 5.0))
        raise _silent(verb, path, lost)

    def _waited(self, verb: str, path: str, headers: dict[str, str], body: Any) -> Answer:
        """One exchange; a request that a limit refused was not carried out, so it is sent again when the limit has passed."""
        until = self._clock() + self._patience
        while True:
            self.calls[verb] += 1
            try:
                answer = self._send(verb, self._address(path), headers, body)
            finally:
                if verb != "GET":  # also where no answer came: it may have been done
                    self.looks.wrote(path, body)
            if answer.status in MOVED and self._followed():
                continue
            wait = self._told_to_wait(answer)
            if wait is None:
                return answer
            if self._clock() + wait > until:
                raise CouldNotTell(
                    "GitHub's limit of requests is reached.",
                    why=said_in(answer.body),
                    next_step=f"Try again in {wait:.0f} s; `skillops run` carries on.",
                )
            log.warning("GitHub asks to wait %.0f s", wait)
            self._sleep(wait)

    def _followed(self) -> bool:
        """Whether the repository was found under a new name: it was renamed while we work, and GitHub leads on from the old one."""
        moved = self._looked_up(f"/repos/{self.repository}")
        found = self._looked_up(moved.headers["location"]) if moved.status in MOVED and "location" in moved.headers else moved
        name = (found.body or {}).get("full_name") if found.status == 200 else None
        if name is None or name == self.repository:
            return False
        log.warning("%s is called %s now", self.repository, name)
        with self._lock:
            self.repository = name
            self._known.clear()
        return True

    def _looked_up(self, address: str) -> Answer:
        for attempt in range(TRIES):
            answer = self._send("GET", address, {}, None)
            if answer.status < 500 and self._told_to_wait(answer) is None:
                break
            self._sleep(min(self._told_to_wait(answer) or 0.2 * 2**attempt, 5.0))
        return answer

    def _told_to_wait(self, answer: Answer) -> float | None:
        if answer.status not in (403, 429):
            return None
        if (after := answer.headers.get("retry-after", "")).isdigit():
            return max(float(after), 1.0)
        if answer.headers.get("x-ratelimit-remaining") == "0":
            return max(float(answer.headers.get("x-ratelimit-reset", "0")) - self._clock(), 1.0)
        return 60.0 if "secondary rate limit" in said_in(answer.body).lower() or answer.status == 429 else None

    def _address(self, path: str) -> str:
        return path if path.startswith(("/", "http")) else f"/repos/{self.repository}/{path}".rstrip("/")

    # ---- faults ---------------------------------------------------------------------------------------------------

    def fault(self, answer: Answer, verb: str, path: str) -> SkillOpsError:
        """What GitHub said no to, in words that a person can act on."""
        said, doing = said_in(answer.body), f"{verb} {urlsplit(path).path}"
        match answer.status:
            case 401:
                return ConfigurationError(
                    "GitHub does not accept the key.", why=said, next_step="Set SKILLOPS_GITHUB_TOKEN, or the App's id and private key, anew."
                )
            case 403 if "archived" in said.lower():
                return ConfigurationError(f"{self.repository} is archived.", why=said, next_step="Unarchive it in its settings, or name another.")
            case 403:
                needed = answer.headers.get("x-accepted-github-permissions", "")
                step = f"Give the App or the token: {needed.replace('=', ': ')}." if needed else "`skillops doctor --github` names what is missing."
                return NotAllowed(f"GitHub does not allow {doing}.", why=said, next_step=step)
            case 301 | 302 | 307 | 308:
                return NotFound(f"{self.repository} has moved.", why=said, next_step="Set SKILLOPS_GITHUB_REPOSITORY to its new name.")
            case 404:
                return NotFound(
                    f"GitHub has nothing at {doing}.", why=said, next_step=f"Look whether {self.repository} exists and the key may see it."
                )
            case 410:
                return ConfigurationError(f"{self.repository} has no issues.", why=said, next_step="Turn Issues on in the repository's settings.")
            case 422 | 409 | 405:
                return Refused(f"GitHub refused {doing}.", why=said, next_step="`skillops run` looks again.")
        return CouldNotTell(f"GitHub answered {answer.status} to {doing}.", why=said, next_step="Try again in a moment.")

    def passing(self, answer: Answer) -> bool:
        """Whether a refusal is a conflict of the moment, to be tried again, and no rule's."""
        return answer.status == 409 and not ruled(answer.body)

    def protected(self, branch: str, answer: Answer) -> SkillOpsError:
        """That a branch of the repository could not be moved, and nobody else moved it."""
        said = said_in(answer.body)
        if answer.status == 403 and not ruled(answer.body):
            return self.fault(answer, "PATCH", f"git/refs/heads/{branch}")
        return ConfigurationError(
            f"{self.repository} does not let us write to the branch {branch}.", why=said,
            next_step="Let the App (or the token's user) bypass the branch's ruleset or protection: Settings, Rules, Bypass list.",
        )  # fmt: skip


def _silent(verb: str, path: str, lost: str) -> CouldNotTell:
    return CouldNotTell(
        f"GitHub did not answer {verb} {urlsplit(path).path} in {TRIES} tries.", why=f"The last time {lost}.",
        next_step="Look at the network and at GitHub's status page, then try again: `skillops run` carries on.",
    )  # fmt: skip


def _next(link: str) -> str | None:
    """The address of the next page, of a Link header (RFC 8288)."""
    for part in link.split(","):
        address, _, rest = part.partition(";")
        if 'rel="next"' in rest:
            return address.strip().strip("<>")
    return None
