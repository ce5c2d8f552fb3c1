"""GitHub's API on loopback for tests: the npm package `emulate`, stateful and with webhooks, one server a test run."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.forges.github import GitHubForge, Key, forge_of_repository
from agent.github_doctor import PERMISSIONS
from tests.engines import missing
from tests.hub_proxy import APPS, Proxy
from tests.installing import npm_package
from tests.ports import free_port

VERSION = "0.11.2"  # the package's newest of this kind: its `latest` is another program
BOT, ADA, MALLORY = "skillops-bot", "ada", "mallory"  # Ada may push; Mallory is just anybody
APP_IDS = {1: 1001, 2: 1002}  # by the number of the installation
_USERS = (BOT, ADA, MALLORY)


def emulate_is_here() -> bool:
    return shutil.which("npm") is not None


def program() -> Path:
    """The emulator's start script, installed into the cache where it is not there yet."""
    return npm_package("emulate", VERSION, "dist/index.js")


class Hub:
    """A running server. `url` is the API's base; `proxy` is what stands before it, in the process that started it."""

    def __init__(self, url: str, proxy: Proxy | None = None, app_key: str = "") -> None:
        self.url, self.proxy, self.app_key = url, proxy, app_key

    def repository(self, key: str) -> str:
        """`owner/name` of a repository of its own for `key`, made where there is none."""
        name = f"skills-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        if self.ask("GET", f"/repos/{BOT}/{name}")[0] == 404:
            self.ask("POST", "/user/repos", {"name": name})
            self.ask("PUT", f"/repos/{BOT}/{name}/collaborators/{ADA}", {"permission": "push"})
        return f"{BOT}/{name}"

    def forge(self, key: str) -> GitHubForge:
        return forge_of_repository(self.repository(key), Key(token=token_of(BOT)), self.url)

    def app(self, number: int = 1) -> Key:
        """The key of an App that is installed on everything of BOT's: 1 is ours, 2 is somebody else's."""
        if number == 1:  # whose installation is looked for
            return Key(app_id=str(APP_IDS[number]), private_key=self.app_key)
        return Key(app_id=str(APP_IDS[number]), private_key=self.app_key, installation=number)

    def ask(self, verb: str, path: str, body: Any = None, user: str = BOT) -> tuple[int, Any]:
        """One plain request as somebody, past our own client."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {token_of(user)}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")


def clone(forge: GitHubForge, folder: Path, **refs: str) -> Path:
    """A clone as actions/checkout makes it, with main checked out and each of `refs` (its name to a commit) fetched.

    The server has no git over HTTP; its objects are git's own, so they are written down one by one, under the same ids.
    """
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", folder], check=True)
    known: set[str] = set()
    main = forge.head("main")
    assert main is not None
    for name, commit in {"refs/heads/main": main, **refs}.items():
        _fetch(forge, folder, commit, known)
        subprocess.run(["git", "-C", folder, "update-ref", name, commit], check=True)
    subprocess.run(["git", "-C", folder, "checkout", "--quiet", "--force", "main"], check=True)
    subprocess.run(["git", "-C", folder, "config", "uploadpack.allowAnySHA1InWant", "true"], check=True)
    return folder


def _fetch(forge: GitHubForge, folder: Path, commit: str, known: set[str]) -> None:
    if commit in known:
        return
    known.add(commit)
    told = forge.api.get(f"git/commits/{commit}", fixed=True)
    for parent in told["parents"]:
        _fetch(forge, folder, parent["sha"], known)
    _fetch_tree(forge, folder, told["tree"]["sha"], known)
    lines = [f"tree {told['tree']['sha']}", *(f"parent {parent['sha']}" for parent in told["parents"])]
    for role in ("author", "committer"):
        seconds = int(datetime.fromisoformat(told[role]["date"]).timestamp())
        lines.append(f"{role} {told[role]['name']} <{told[role]['email']}> {seconds} +0000")
    text = "\n".join((*lines, "", told["message"]))
    made = {_write(folder, "commit", (text + end).encode()) for end in ("", "\n")}
    assert commit in made, "the server's commits are not git's"


def _fetch_tree(forge: GitHubForge, folder: Path, tree: str, known: set[str]) -> None:
    if tree in known:
        return
    known.add(tree)
    lines = []
    for entry in forge.api.get(f"git/trees/{tree}", fixed=True)["tree"]:
        if entry["type"] == "tree":
            _fetch_tree(forge, folder, entry["sha"], known)
        else:
            assert _write(folder, "blob", forge._blob(entry["sha"])) == entry["sha"]
        lines.append(f"{entry['mode']} {entry['type']} {entry['sha']}\t{entry['path']}\0")
    command = ["git", "-C", str(folder), "mktree", "-z"]
    made = subprocess.run(command, input="".join(lines).encode(), capture_output=True, check=True).stdout.decode().strip()
    assert made == tree, "the server's trees are not git's"


def _write(folder: Path, kind: str, data: bytes) -> str:
    command = ["git", "-C", str(folder), "hash-object", "-t", kind, "-w", "--stdin"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout.decode().strip()


def token_of(user: str) -> str:
    return f"token_of_{user.replace('-', '_')}"


@contextmanager
def running() -> Iterator[Hub]:
    """A server that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="skillops-hub-") as folder:
        seed = Path(folder) / "seed.json"
        tokens = {token_of(user): {"login": user, "scopes": ["repo", "user", "workflow"]} for user in _USERS}
        app_key = _private_key()
        apps = [
            {"app_id": APP_IDS[number], "slug": slug, "name": slug, "private_key": app_key, "permissions": PERMISSIONS,
             "installations": [{"installation_id": number, "account": BOT, "repository_selection": "all"}]}
            for number, slug in APPS.items()
        ]  # fmt: skip
        seed.write_text(json.dumps({"tokens": tokens, "github": {"users": [{"login": user} for user in _USERS], "apps": apps}}))
        port = free_port()
        command = ["node", str(program()), "start", "--service", "github", "--port", str(port), "--seed", str(seed)]
        with open(Path(folder) / "log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as process:
            try:
                _wait(port, process)
                proxy = Proxy(port)
                yield Hub(proxy.url, proxy, app_key)
                proxy.close()
            finally:
                process.kill()


def _private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kind = serialization.PrivateFormat.TraditionalOpenSSL  # PKCS#1, as GitHub hands it out
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            missing("the GitHub emulator ended at once")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    missing("the GitHub emulator does not listen")
