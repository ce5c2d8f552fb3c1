"""The one door to PyGithub, and the forge on GitHub put together from what lies beside this file.

PyGithub knows how to sign in (a token, or an App whose installation tokens renew) and how to send; its own throttles and retries are off.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from agent.errors import ConfigurationError
from agent.forges.github_api import Answer, BrokenOff, GitHubApi, Send
from agent.forges.github_objects import GitHubObjects
from agent.forges.github_proposals import GitHubProposals
from agent.forges.github_requests import GitHubRequests

API = "https://api.github.com"
TIMEOUT = 30  # seconds of one answer
ACTIONS = "github-actions[bot]"


class GitHubForge(GitHubObjects, GitHubRequests, GitHubProposals):
    """The Forge port over a repository on GitHub. `login` is who we are there: only what it wrote is believed to be ours."""

    def __init__(self, api: GitHubApi, login: str, main: str = "main") -> None:
        GitHubObjects.__init__(self, api, main)
        self.login, self.raising = login, threading.Lock()


def forge_of_repository(repository: str, key: Key, base_url: str = API, main: str = "main") -> GitHubForge:
    """The forge of `owner/name`. ConfigurationError where the key is none, or the repository cannot be reached with it."""
    api = GitHubApi(repository, key.sender(base_url))
    found = api.get("")
    if found is None:
        raise ConfigurationError(
            f"There is no repository {repository} on GitHub, or the key may not see it.",
            next_step="Look at SKILLOPS_GITHUB_REPOSITORY (owner/name), and where the App is installed.",
        )
    if found["full_name"].lower() != repository.lower():  # it was renamed, and GitHub leads on from the old name
        api.repository = found["full_name"]
    if not found.get("has_issues", True):
        raise ConfigurationError(f"{repository} has no issues.", next_step="Turn Issues on in the repository's settings.")
    return GitHubForge(api, key.login(base_url), main)


class Key:
    """Who we are on GitHub: a `token`, or an App (`app_id`, `private_key` in PEM, `installation` where it has several)."""

    def __init__(self, *, token: str = "", app_id: str = "", private_key: str = "", installation: int | None = None) -> None:
        if not token and not (app_id and private_key):
            raise ConfigurationError(
                "There is no key for GitHub.", next_step="Set SKILLOPS_GITHUB_TOKEN, or SKILLOPS_GITHUB_APP_ID and SKILLOPS_GITHUB_APP_KEY."
            )
        self._token, self._app_id, self._private_key, self._installation = token, app_id, private_key, installation

    def sender(self, base_url: str) -> Send:
        """What sends as a token, or as an App's installation (whose tokens renew by themselves)."""
        from github import Auth, GithubException, GithubIntegration

        if self._token:
            return _sender(base_url, Auth.Token(self._token))
        app = self._app()
        try:
            integration = GithubIntegration(auth=app, base_url=base_url, seconds_between_requests=None, seconds_between_writes=None, retry=None)
            number = self._installation or next(iter(integration.get_installations())).id
        except (GithubException, StopIteration) as error:
            raise ConfigurationError(
                "The GitHub App cannot be used.", why=str(error)[:300], next_step="Look at its id, its key, and where it is installed."
            ) from None
        return _sender(base_url, app.get_installation_auth(number, requester=integration.requester))

    def login(self, base_url: str) -> str:
        """Our login. A workflow's own token may not ask: it is github-actions[bot]."""
        if self._app_id:
            return f"{GitHubApi('', _sender(base_url, self._app())).get('/app')['slug']}[bot]"
        try:
            return str(GitHubApi("", self.sender(base_url)).get("/user")["login"])
        except ConfigurationError:
            return ACTIONS

    def _app(self) -> Any:
        from github import Auth

        try:
            return Auth.AppAuth(int(self._app_id), self._private_key)
        except ValueError:
            raise ConfigurationError(f"{self._app_id!r} is no App's id.", next_step="It is the number on the App's settings page.") from None


def _sender(base_url: str, auth: Any) -> Send:
    """One exchange through PyGithub."""
    import requests
    from github import Github, GithubException

    client = Github(
        auth=auth, base_url=base_url, timeout=TIMEOUT, retry=None, seconds_between_requests=None, seconds_between_writes=None, user_agent="SkillOps"
    )

    def send(verb: str, path: str, headers: dict[str, str], body: Any) -> Answer:
        try:
            status, told, text = client.requester.requestJson(verb, path.removeprefix(base_url), headers=dict(headers), input=body)
        except GithubException as error:  # renewing an App's token failed
            return Answer(error.status or 401, {}, error.data)
        except (requests.RequestException, RuntimeError, OSError) as error:
            raise BrokenOff(f"the connection failed: {error}") from error
        return Answer(status, {name.lower(): str(value) for name, value in told.items()}, _json(text))

    return send


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None
