"""The one door to PyGithub, and the forge on GitHub put together from what lies beside this file.

PyGithub knows how to sign in (a token, or an App whose installation tokens renew) and how to send; its own throttles and retries are off.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent.errors import ConfigurationError, CouldNotTell
from agent.forges.git_remote import GitRemote
from agent.forges.github_api import Answer, BrokenOff, GitHubApi, NotAllowed
from agent.forges.github_objects import GitHubObjects
from agent.forges.github_proposals import GitHubProposals, Method
from agent.forges.github_pushes import GitHubPushes, Token, git_base
from agent.forges.github_requests import GitHubRequests
from agent.forges.github_verdicts import GitHubVerdicts
from agent.forges.github_writers import GitHubWriters

API = "https://api.github.com"
TIMEOUT = 30  # seconds of one answer
ACTIONS = "github-actions[bot]"


class GitHubForge(GitHubObjects, GitHubRequests, GitHubVerdicts, GitHubProposals, GitHubWriters):
    """The Forge port over a repository on GitHub. `login` is who we are there: only what it wrote is believed to be ours."""

    def __init__(self, api: GitHubApi, login: str, main: str = "main", method: Method = "squash", base_url: str = API) -> None:
        GitHubObjects.__init__(self, api, main)
        self.login, self.method, self.base_url, self.raising = login, method, base_url, threading.Lock()

    def _head(self, ref: str, *, anew: bool = False) -> str | None:
        """As git has it. A repository without a main is a new one, or one that was renamed a moment ago: the repository itself is asked for."""
        found = super()._head(ref, anew=anew)
        if found is not None or ref != self.main:
            return found
        if self.api.get("", anew=True) is None:
            raise self.api.fault(Answer(404, {}, None), "GET", f"/repos/{self.api.repository}")
        return super()._head(ref, anew=True)

    def leave_alone(self, head: str, names: Sequence[str], number: int | None = None) -> Sequence[int]:
        """Says of open pull requests at `head` that are no proposals that our checks have nothing to say, so that a rule which requires them does
        not hold them up; of one that changes something below skills/ and yet is no proposal, that it could not be told. Their numbers.

        With a `number`, of that pull request, whose `head` the merge queue made.
        """
        pulls = self.api.pages(f"pulls?state=open&base={self.main}")
        found = [pull for pull in pulls if (pull["number"] == number if number else pull["head"]["sha"] == head) and self._of(pull) is None]
        if found:
            inside = any(change.path.startswith("skills/") for change in self.changes(self.main, head))
            title = "It changes skills, and is no proposal" if inside else "It touches no skill"
            summary = "A proposal changes one folder below skills/, and nothing else." if inside else "It is left to the repository's own CI."
            for name in names:
                told = {
                    "name": name, "head_sha": head, "status": "completed", "conclusion": "action_required" if inside else "neutral",
                    "output": {"title": title, "summary": summary},
                }  # fmt: skip
                if self._run(head, name) is None:
                    self.api.once("check-runs", told, lambda name=name: self._run(head, name), lambda run: run)  # type: ignore[misc]
        return [int(pull["number"]) for pull in found]

    def keep_issue(self, title: str, label: str, text: str) -> int:
        """One issue of ours with this label holds `text`: it is edited where it is there, else opened. Its number."""

        def known() -> int | None:
            issues = self.api.pages(f"issues?state=open&labels={label}&creator={self.login}")
            return next((int(each["number"]) for each in issues if each["title"] == title and self._ours(each)), None)

        if (number := known()) is None:
            return self.api.once("issues", {"title": title, "body": text, "labels": [label]}, known, lambda issue: int(issue["number"]))
        self.api.send("PATCH", f"issues/{number}", {"body": text})
        return number

    def installation_permissions(self, app_id: str, private_key: str) -> dict[str, str] | None:
        """What the App may in the repository; None where there is no App's key."""
        if not (app_id and private_key):
            return None
        app = Key(app_id=app_id, private_key=private_key)
        told = GitHubApi(self.api.repository, _Line(self.base_url, app._app).send).get("installation")
        if told is None:
            raise ConfigurationError(f"The App is not installed in {self.api.repository}.", next_step="Install it: Settings, GitHub Apps.")
        return dict(told["permissions"])


class PushingForge(GitHubPushes, GitHubForge):
    """The same, whose commits are pushed by git out of the bare `cache`; `git` is where git reaches the repositories."""

    def __init__(self, api: GitHubApi, login: str, main: str, method: Method, base_url: str, *, cache: Path, git: str, token: Token) -> None:
        GitHubForge.__init__(self, api, login, main, method, base_url)
        self.cache, self.token = GitRemote(cache, lambda: f"{git}/{api.repository}.git"), token


def forge_of_repository(
    repository: str, key: Key, base_url: str = API, main: str = "main", *, login: str = "", method: Method = "squash",
    cache: Path | None = None, git: str = "",
) -> GitHubForge:  # fmt: skip
    """The forge of `owner/name`. ConfigurationError where the key is none, or the repository cannot be reached with it.

    `login` is who we are, where GitHub need not be asked; `method` is how proposals are merged. With a `cache`, commits are made there and
    pushed to `git`, or to where the server of `base_url` takes them.
    """
    line = key.line(base_url, repository)
    api = GitHubApi(repository, line.send)
    found = api.get("")
    if found is None:
        raise ConfigurationError(
            f"There is no repository {repository} on GitHub, or the key may not see it.",
            next_step="Look at SKILLOPS_GITHUB_REPOSITORY (owner/name), and where the App is installed.",
        )
    if not found.get("has_issues", True):
        raise ConfigurationError(f"{repository} has no issues.", next_step="Turn Issues on in the repository's settings.")
    who = login or key.login(base_url)
    if cache is None:
        return GitHubForge(api, who, main, method, base_url)
    return PushingForge(api, who, main, method, base_url, cache=cache, git=(git or git_base(base_url)).rstrip("/"), token=line.token)


class Key:
    """Who we are on GitHub: a `token`, or an App (`app_id`, `private_key` in PEM, `installation` where it has several)."""

    def __init__(self, *, token: str = "", app_id: str = "", private_key: str = "", installation: int | None = None) -> None:
        if not token and not (app_id and private_key):
            raise ConfigurationError(
                "There is no key for GitHub.", next_step="Set SKILLOPS_GITHUB_TOKEN, or SKILLOPS_GITHUB_APP_ID and SKILLOPS_GITHUB_APP_KEY."
            )
        self._token, self._app_id, self._private_key, self._installation = token, app_id, private_key, installation

    def line(self, base_url: str, repository: str) -> _Line:
        """What sends as a token, or as the App's installation on the repository, whose tokens are renewed."""
        from github import Auth

        if self._token:
            return _Line(base_url, lambda: Auth.Token(self._token))
        app, number = self._app(), self._installation or self._installed(base_url, repository)
        return _Line(base_url, lambda: app.get_installation_auth(number, requester=_integration(app, base_url).requester), renews=True)

    def login(self, base_url: str) -> str:
        """Our login. A workflow's own token may not ask: it is github-actions[bot]."""
        from github import Auth

        if not self._token:
            return f"{GitHubApi('', _Line(base_url, self._app).send).get('/app')['slug']}[bot]"
        try:
            return str(GitHubApi("", _Line(base_url, lambda: Auth.Token(self._token)).send).get("/user")["login"])
        except NotAllowed:
            return ACTIONS

    def _installed(self, base_url: str, repository: str) -> int:
        """The number of the App's installation that covers the repository."""
        found = GitHubApi(repository, _Line(base_url, self._app).send).get("installation")
        if found is None:
            raise ConfigurationError(
                f"The GitHub App is not installed on {repository}.", next_step="Install it there (the App's settings, Install App), or name another."
            )
        return int(found["id"])

    def _app(self) -> Any:
        from github import Auth

        try:
            return Auth.AppAuth(int(self._app_id), self._private_key)
        except ValueError:
            raise ConfigurationError(f"{self._app_id!r} is no App's id.", next_step="It is the number on the App's settings page.") from None


def _integration(app: Any, base_url: str) -> Any:
    from github import GithubIntegration

    return GithubIntegration(auth=app, base_url=base_url, timeout=TIMEOUT, seconds_between_requests=None, seconds_between_writes=None, retry=None)


class _Line:
    """Exchanges through PyGithub. A key that `renews` and is not accepted any more is made anew once, and the request is sent again."""

    def __init__(self, base_url: str, sign_in: Callable[[], Any], *, renews: bool = False) -> None:
        self._base_url, self._sign_in, self._renews = base_url, sign_in, renews
        self._lock = threading.Lock()
        self._client = self._new()

    def send(self, verb: str, path: str, headers: dict[str, str], body: Any) -> Answer:
        client = self._client
        answer = self._exchange(client, verb, path, headers, body)
        if answer.status != 401 or not self._renews:
            return answer
        return self._exchange(self._renewed(client), verb, path, headers, body)

    def token(self, refused: bool) -> str:
        """What signs, for git; a new one where the last was `refused` and it can be renewed."""
        import requests
        from github import GithubException

        client = self._renewed(self._client) if refused and self._renews else self._client
        try:
            return str(client.requester.auth.token)
        except (GithubException, requests.RequestException, OSError) as error:
            raise CouldNotTell("GitHub gave the App no token.", why=str(error)[:200], next_step="Try again: `skillops run` carries on.") from None

    def _renewed(self, client: Any) -> Any:
        with self._lock:
            if self._client is client:  # no other thread has renewed it
                self._client = self._new()
        return self._client

    def _new(self) -> Any:
        from github import Github

        client = Github(
            auth=self._sign_in(), base_url=self._base_url, timeout=TIMEOUT, retry=None, seconds_between_requests=None,
            seconds_between_writes=None, user_agent="SkillOps",
        )  # fmt: skip
        requester: Any = client.requester
        requester._Requester__connectionClass = _careful(requester._Requester__connectionClass)
        return client

    def _exchange(self, client: Any, verb: str, path: str, headers: dict[str, str], body: Any) -> Answer:
        import requests
        from github import GithubException
        from jwt.exceptions import PyJWTError

        address = client.requester.graphql_url if path == "/graphql" else path.removeprefix(self._base_url)
        try:
            status, told, text = client.requester.requestJson(verb, address, headers=dict(headers), input=body)
        except GithubException as error:  # renewing the App's token failed; a 404 there is of the installation, and not of what is asked
            return Answer(error.status if error.status >= 500 else 401, {}, error.data)
        except (requests.RequestException, RuntimeError, OSError) as error:
            raise BrokenOff(f"the connection failed: {error}") from error
        except (PyJWTError, ValueError) as error:  # in signing for the App
            raise ConfigurationError(
                "The GitHub App's private key cannot be used.", why=str(error)[:200],
                next_step="Set SKILLOPS_GITHUB_APP_KEY to the PEM file's text, from BEGIN to END.",
            ) from None  # fmt: skip
        return Answer(status, {name.lower(): str(value) for name, value in told.items()}, _json(text))


def _careful(plain: Any) -> Any:
    """PyGithub's kind of connection, made fit for several threads, and without its own way of following a repository that was renamed.

    PyGithub notes what to ask on the connection that all threads share, and follows to the new place without the query.
    """

    class Careful(plain):  # type: ignore[misc]
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.asked = threading.local()

        def request(self, *asked: Any) -> None:
            self.asked.now = asked

        def getresponse(self) -> Any:
            mine = copy.copy(self)
            plain.request(mine, *self.asked.now)
            response = plain.getresponse(mine)
            if response.status == 301:
                response.status = 308  # which PyGithub hands on
            return response

    return Careful


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None
