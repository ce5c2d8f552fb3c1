"""A proxy before `emulate`: it mends where that differs from GitHub, and breaks what a test wants to see broken.

DIFFERENCES names each thing that is mended here, with GitHub's own documentation of how it is; `Faults` is what breaks.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from tests.hub_lacks import Lacks, Reply
from tests.hub_lacks import as_json as _json

DIFFERENCES = {
    "head": "a pull request follows its branch (docs: About pull requests); emulate keeps the commit that it was opened at",
    "merge": "merging joins both sides at the file level, and a moved head is a 409 (docs: Merge a pull request); emulate takes the head's tree",
    "issue": "a pull request is an issue too (docs: REST API endpoints for issues): it can be read, labelled and said something on as one",
    "app": "a check run names the App that made it (docs: Get a check run); emulate names none, so whoever's token made it stands there",
    "annotations": "an update of a check run adds annotations (docs: Update a check run); emulate keeps the last ones",
    "statuses": "commits have statuses (docs: Create a commit status)",
    "closes": "merging closes the issue that the body says it closes (docs: Linking a pull request to an issue)",
    "graphql": "drafts and the merge queue are GraphQL's (docs: markPullRequestReadyForReview, convertPullRequestToDraft, enqueuePullRequest)",
    "append": "a commit on a branch in one call, where that is at an expected head, is GraphQL's (docs: createCommitOnBranch)",
    "sub_issues": "an issue may have parts (docs: REST API endpoints for sub-issues)",
    "activity": "who pushed to a branch is kept (docs: List repository activities)",
    "rules": "the rules of a branch can be read (docs: Get rules for a branch)",
    "renamed": "the old name of a repository leads to the new one: 301, and 307 for what writes (docs: Best practices for using the REST API)",
    "expired": "a token that is no longer good is a 401 (docs: Authenticating as a GitHub App installation); `revoked` are those",
    "permissions": "an App's token for which no permission is named has all of the installation's; emulate gives it none",
    "review": "the body of a submitted review can be updated (docs: Update a review for a pull request); emulate allows it of pending ones",
}
APPS = {1: "skillops-app", 2: "rival-app"}  # by the number of their installation


@dataclass
class Faults:
    """What breaks: each takes (verb, path) and says with which reply, "after" (done, and the answer lost), "cut" (nothing done), or None.

    "slow" is done and answered after `delay` seconds, and "late" after whoever asked gave up.
    """

    delay: float = 0.2
    late: float = 3.0
    plan: list[Callable[[str, str], Reply | str | None]] = field(default_factory=list)

    def of(self, verb: str, path: str) -> Reply | str | None:
        return next((found for each in self.plan if (found := each(verb, path)) is not None), None)


class Proxy:
    """Serves on loopback before the server at `port`, below the path `prefix`; `faults` may be changed at any time.

    `seen` is every request, as (verb, path), and `tokens` what signed them.
    """

    def __init__(self, port: int, prefix: str = "") -> None:
        self.port, self.prefix, self.faults, self.seen = port, prefix, Faults(), list[tuple[str, str]]()
        self.tokens, self.revoked = set[str](), set[str]()
        self.lacks = Lacks(self.ask)
        self.forked: dict[tuple[str, int], dict[str, Any]] = {}  # pull requests whose head lies elsewhere, with where
        self._labels: dict[tuple[str, int], list[str]] = {}
        self._heads: dict[tuple[str, int], str] = {}
        self._bodies: dict[tuple[str, int], str] = {}
        self._merged: dict[tuple[str, int], dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{prefix}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def rename(self, old: str, new: str) -> None:
        """Calls a repository otherwise, `owner/name` both: what is kept here goes with it, and the old name leads to the new one."""
        status, _ = self.ask("PATCH", f"/repos/{old}", {"Authorization": "token token_of_skillops_bot"}, {"name": new.partition("/")[2]})
        assert status == 200
        for kept in (self.forked, self._labels, self._heads, self._bodies, self._merged, *self.lacks.kept()):
            for key in [key for key in kept if key[0] == f"/repos/{old}"]:
                kept[f"/repos/{new}", key[1]] = kept.pop(key)
        self.lacks.renamed[old] = new

    # ---- forwarding -----------------------------------------------------------------------------------------------

    def forward(self, verb: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(verb, path, body, headers)
            answer = connection.getresponse()
            told = {name: re.sub(rf"http://[\w.]+:{self.port}/", f"{self.url}/", value) for name, value in answer.getheaders()}
            return answer.status, told, answer.read()
        finally:
            connection.close()

    def ask(self, verb: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any]:
        """One exchange of the proxy's own, as whoever asked it."""
        data = None if body is None else json.dumps(body).encode()
        kept = {"Authorization": headers.get("Authorization", ""), "Content-Type": "application/json"}
        status, _, text = self.forward(verb, path, data, kept)
        return status, json.loads(text) if text else None

    def answer(self, verb: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        if self.prefix and path == "/api/graphql":
            path = "/graphql"
        elif not path.startswith(self.prefix):
            return _json(404, {"message": "Not Found"})
        path = path.removeprefix(self.prefix)
        plain = path.partition("?")[0]
        token = headers.get("Authorization", "").split(" ")[-1]
        self.tokens.add(token)
        if token in self.revoked:
            return _json(401, {"message": "Bad credentials"})
        if own := self.lacks.led_on(verb, path, self.url) or self.lacks.reply(verb, plain, body, headers, path):
            return own
        if found := re.fullmatch(r"(/repos/[^/]+/[^/]+)/(check-runs(?:/\d+)?|commits/[^/]+/check-runs)", plain):
            status, told, text = self.forward(verb, path, body, headers)
            return _json(status, self.lacks.run_told(found[1], verb, json.loads(text), body, headers), told) if status < 300 else (status, told, text)
        if found := re.fullmatch(r"/app/installations/(\d+)/access_tokens", plain):
            if body and json.loads(body).get("permissions") == {}:
                body = b"{}".ljust(len(body))
            status, told, text = self.forward(verb, path, body, headers)
            if status < 300:
                self.lacks.note_token(json.loads(text)["token"], APPS[int(found[1])])
            return status, told, text
        if verb in ("POST", "PATCH") and (found := re.fullmatch(r"(/repos/[^/]+/[^/]+)/git/refs(/heads/.+)?", plain)):
            told = self.forward(verb, path, body, headers)
            self.lacks.note_push(found[1], found[2], json.loads(body or b"{}"), headers, told[0])
            return told
        found = re.fullmatch(r"(/repos/[^/]+/[^/]+)/(pulls|issues)(?:/(\d+))?(/.*)?", plain)
        if found is None:
            return self.forward(verb, path, body, headers)
        repo, kind, number, rest = found[1], found[2], int(found[3] or 0), found[4] or ""
        if kind == "pulls" and verb == "PUT" and rest == "/merge":
            return self._merge(repo, number, json.loads(body or b"{}"), headers)
        if kind == "pulls" and verb == "PUT" and (review := re.fullmatch(r"/reviews/(\d+)", rest)):
            self._bodies[repo, int(review[1])] = json.loads(body or b"{}")["body"]
            return self.forward("GET", f"{repo}/pulls/{number}/reviews/{review[1]}", None, headers)
        if kind == "issues" and number and (pull := self._pull(repo, number, headers)):
            if rest == "" and verb == "GET":
                return _json(200, {**pull, "pull_request": {"url": pull["url"]}})
            if rest.startswith("/labels"):
                return self._label(repo, number, verb, rest, body)
        status, told, text = self.forward(verb, path, body, headers)
        if kind == "pulls" and status < 300 and text:
            return _json(status, self._mended(repo, json.loads(text), headers), told)
        return status, told, text

    # ---- what is mended -------------------------------------------------------------------------------------------

    def _pull(self, repo: str, number: int, headers: dict[str, str]) -> dict[str, Any] | None:
        status, pull = self.ask("GET", f"{repo}/pulls/{number}", headers)
        return self._mended(repo, pull, headers) if status == 200 else None

    def _mended(self, repo: str, document: Any, headers: dict[str, str]) -> Any:
        if isinstance(document, list):
            return [self._mended(repo, each, headers) for each in document]
        if "head" in document and "merge_commit_sha" in document:
            number = document["number"]
            self.lacks.note_node(repo, document)
            document["labels"] = [{"name": name} for name in self._labels.get((repo, number), ())]
            document.update(self._merged.get((repo, number), {}))
            document["head"].update(self.forked.get((repo, number), {}))
            status, branch = self.ask("GET", f"{repo}/git/ref/heads/{document['head']['ref']}", headers)
            if document["state"] == "open" and status == 200:
                self._heads[repo, number] = branch["object"]["sha"]
            if document["state"] == "open" and (repo, number) in self._heads:  # also once its branch is gone
                document["head"]["sha"] = self._heads[repo, number]
        elif "commit_id" in document and (repo, document.get("id")) in self._bodies:
            document["body"] = self._bodies[repo, document["id"]]
        return document

    def _label(self, repo: str, number: int, verb: str, rest: str, body: bytes | None) -> Reply:
        with self._lock:
            names = self._labels.setdefault((repo, number), [])
            if verb == "POST":
                names += [name for name in json.loads(body or b"{}")["labels"] if name not in names]
            elif verb == "DELETE":
                name = unquote(rest.removeprefix("/labels/"))
                names[:] = [each for each in names if each != name]
            return _json(200, [{"name": name} for name in names])

    def _merge(self, repo: str, number: int, asked: dict[str, Any], headers: dict[str, str]) -> Reply:
        """The file-level merge that GitHub makes, with git's own objects; emulate then only closes the pull request."""
        with self._lock:
            pull = self._pull(repo, number, headers)
            if pull is None or pull["merged"] or pull["state"] == "closed":
                return _json(405, {"message": "Pull Request is not mergeable"})
            if asked.get("sha") not in (None, pull["head"]["sha"]):
                return _json(409, {"message": "Head branch was modified. Review and try the merge again."})
            base = pull["base"]["ref"]
            main = self.ask("GET", f"{repo}/git/ref/heads/{base}", headers)[1]["object"]["sha"]
            compared = self.ask("GET", f"{repo}/compare/{main}...{pull['head']['sha']}", headers)[1]
            tree = self._joined(repo, main, pull["head"]["sha"], compared["merge_base_commit"]["sha"], headers)
            if tree is None:
                return _json(405, {"message": "Pull Request is not mergeable"})
            message = f"{asked.get('commit_title')}\n\n{asked.get('commit_message') or ''}".strip()
            made = self.ask("POST", f"{repo}/git/commits", headers, {"message": message, "tree": tree, "parents": [main]})[1]["sha"]
            status, told = self.ask("PUT", f"{repo}/pulls/{number}/merge", headers, {"merge_method": "squash"})
            if status >= 300:
                return _json(status, told)
            self.ask("PATCH", f"{repo}/git/refs/heads/{base}", headers, {"sha": made, "force": True})
            self._merged[repo, number] = {"merge_commit_sha": made, "merged": True, "head": pull["head"]}
            for issue in re.findall(r"(?i)\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):? #(\d+)", pull["body"] or ""):
                self.ask("PATCH", f"{repo}/issues/{issue}", headers, {"state": "closed", "state_reason": "completed"})
            return _json(200, {"sha": made, "merged": True, "message": "Pull Request successfully merged"})

    def _joined(self, repo: str, ours: str, theirs: str, base: str, headers: dict[str, str]) -> str | None:
        """The tree of a three-way merge, file by file; None where both sides changed one."""
        left, right, middle = (self._files(repo, commit, headers) for commit in (ours, theirs, base))
        changed = {path for path in right.keys() | middle.keys() if right.get(path) != middle.get(path)}
        if any(left.get(path) not in (middle.get(path), right.get(path)) for path in changed):
            return None
        joined = {path: entry for path, entry in left.items() if path not in changed} | {path: right[path] for path in changed if path in right}
        entries = [{"path": path, "mode": mode, "type": "blob", "sha": sha} for path, (mode, sha) in joined.items()]
        return str(self.ask("POST", f"{repo}/git/trees", headers, {"tree": entries})[1]["sha"])

    def _files(self, repo: str, commit: str, headers: dict[str, str]) -> dict[str, tuple[str, str]]:
        tree = self.ask("GET", f"{repo}/git/commits/{commit}", headers)[1]["tree"]["sha"]
        entries = self.ask("GET", f"{repo}/git/trees/{tree}?recursive=1", headers)[1]["tree"]
        return {entry["path"]: (entry["mode"], entry["sha"]) for entry in entries if entry["type"] == "blob"}

    # ---- the server -----------------------------------------------------------------------------------------------

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer, not one for each line of it

            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
                proxy.seen.append((self.command, self.path))
                fault = proxy.faults.of(self.command, self.path)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection", "accept-encoding")}
                reply = fault if isinstance(fault, tuple) else None if fault == "cut" else proxy.answer(self.command, self.path, body, headers)
                if reply is None or fault == "after":
                    self.close_connection = True
                    return
                if fault in ("slow", "late"):
                    time.sleep(proxy.faults.late if fault == "late" else proxy.faults.delay)
                status, told, text = reply
                self.send_response(status)
                for name, value in told.items():
                    if name.lower() not in ("connection", "keep-alive", "transfer-encoding", "content-length", "date"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
