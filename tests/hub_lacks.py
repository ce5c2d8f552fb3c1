"""What `emulate` lacks and GitHub has, kept by the proxy that stands before it; each is named in `hub_proxy.DIFFERENCES`."""

from __future__ import annotations

import base64
import json
import re
import threading
from typing import Any, Protocol
from urllib.parse import parse_qs

Reply = tuple[int, dict[str, str], bytes]


class Asks(Protocol):
    def __call__(self, verb: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any]: ...


def as_json(status: int, document: Any, headers: dict[str, str] | None = None) -> Reply:
    kept = {name: value for name, value in (headers or {}).items() if name.lower() in ("link", "etag", "x-ratelimit-remaining")}
    return status, {"Content-Type": "application/json", **kept}, json.dumps(document).encode()


class Lacks:
    """`queued` are the repositories whose main has a merge queue, with what was put into it; `renamed` leads from old names to new ones."""

    def __init__(self, ask: Asks) -> None:
        self._ask = ask
        self.statuses: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.annotations: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self.queued: dict[str, list[tuple[int, str]]] = {}
        self.renamed: dict[str, str] = {}
        self.sub_issues: dict[tuple[str, int], list[int]] = {}  # of an issue, the ids of its parts
        self.without_sub_issues: set[str] = set()  # repositories of a server that is too old to have them
        self.pushes: dict[tuple[str, str], list[dict[str, Any]]] = {}  # to a branch of a repository, the last first
        self._apps: dict[str, str] = {}  # a token to whose it is
        self._made_by: dict[tuple[str, int], str] = {}
        self._nodes: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()

    def kept(self) -> tuple[dict[tuple[str, Any], Any], ...]:
        """What is kept of each repository, by its path and something else."""
        self._nodes.clear()  # they are noted whenever a pull request is read
        return self.statuses, self.annotations, self.sub_issues, self.pushes, self._made_by  # type: ignore[return-value]

    # ---- who asks -------------------------------------------------------------------------------------------------

    def note_token(self, token: str, slug: str) -> None:
        self._apps[token] = slug

    def note_push(self, repo: str, heads: str | None, told: dict[str, Any], headers: dict[str, str], status: int) -> None:
        """That somebody made a branch or moved it."""
        if status < 300:
            ref, kind = (f"refs{heads}", "force_push" if told.get("force") else "push") if heads else (told["ref"], "branch_creation")
            slug, token = self.slug_of(headers), headers.get("Authorization", "").split(" ")[-1]
            made = {"ref": ref, "after": told["sha"], "activity_type": kind, "actor": {"login": f"{slug}[bot]" if token in self._apps else slug}}
            self.pushes.setdefault((repo, ref), []).insert(0, made)

    def slug_of(self, headers: dict[str, str]) -> str:
        token = headers.get("Authorization", "").split(" ")[-1]
        return self._apps.get(token) or token.removeprefix("token_of_").replace("_", "-")

    # ---- statuses, rules, names -----------------------------------------------------------------------------------

    def reply(self, verb: str, plain: str, body: bytes | None, headers: dict[str, str], path: str) -> Reply | None:
        if plain == "/graphql" and verb == "POST":
            return self._graphql(json.loads(body or b"{}"), headers)
        if found := re.fullmatch(r"(/repos/[^/]+/[^/]+)/(?:statuses/([0-9a-f]{40})|commits/([0-9a-f]{40})/statuses)", plain):
            known = self.statuses.setdefault((found[1], found[2] or found[3]), [])
            if verb == "POST":
                known.insert(0, {**json.loads(body or b"{}"), "creator": {"login": self.slug_of(headers)}})
                return as_json(201, known[0])
            return as_json(200, known)
        if (found := re.fullmatch(r"(/repos/[^/]+/[^/]+)/issues/(\d+)/sub_issues", plain)) and found[1] not in self.without_sub_issues:
            parts = self.sub_issues.setdefault((found[1], int(found[2])), [])
            if verb == "POST":
                child = int(json.loads(body or b"{}")["sub_issue_id"])
                if any(child in known for known in self.sub_issues.values()):
                    return as_json(422, {"message": "Issue may not contain duplicate sub-issues"})
                parts.append(child)
                return as_json(201, {"id": child})
            return as_json(200, [{"id": child} for child in parts])
        if found := re.fullmatch(r"(/repos/[^/]+/[^/]+)/activity", plain):
            ref = parse_qs(path.partition("?")[2])["ref"][0]
            return as_json(200, self.pushes.get((found[1], ref), []))
        if found := re.fullmatch(r"(/repos/[^/]+/[^/]+)/rules/branches/main", plain):
            return as_json(200, [{"type": "merge_queue"}] if found[1] in self.queued else [])
        return None

    def led_on(self, verb: str, path: str, url: str) -> Reply | None:
        """GitHub's answer to the old name of a repository."""
        found = re.match(r"/repos/([^/]+/[^/?]+)(.*)", path)
        if found is None or found[1] not in self.renamed:
            return None
        place = f"{url}/repos/{self.renamed[found[1]]}{found[2]}"
        status, headers, text = as_json(301 if verb == "GET" else 307, {"message": "Moved Permanently", "url": place})
        return status, {**headers, "Location": place}, text

    # ---- check runs -----------------------------------------------------------------------------------------------

    def run_told(self, repo: str, verb: str, document: Any, body: bytes | None, headers: dict[str, str]) -> Any:
        """A check run names the App that made it, and an update adds annotations."""
        for run in document.get("check_runs", (document,)):
            if "id" not in run:
                continue
            key = repo, run["id"]
            if verb in ("POST", "PATCH"):
                with self._lock:
                    self._made_by.setdefault(key, self.slug_of(headers))
                    self.annotations.setdefault(key, []).extend((json.loads(body or b"{}").get("output") or {}).get("annotations") or [])
            run["app"] = {"slug": self._made_by.get(key, "somebody")}
            run["output"]["annotations_count"] = len(self.annotations.get(key, ()))
        return document

    # ---- GraphQL --------------------------------------------------------------------------------------------------

    def note_node(self, repo: str, pull: dict[str, Any]) -> None:
        self._nodes[pull["node_id"]] = repo, pull["number"]

    def _graphql(self, asked: dict[str, Any], headers: dict[str, str]) -> Reply:
        query, given = asked["query"], asked["variables"]
        if "createCommitOnBranch" in query:
            return self._append(given, headers)
        if given["pull"] not in self._nodes:
            return as_json(200, {"data": None, "errors": [{"message": "Could not resolve to a node"}]})
        repo, number = self._nodes[given["pull"]]
        queue = self.queued.get(repo, [])
        places = [place for place, (each, _) in enumerate(queue, 1) if each == number]
        if "markPullRequestReadyForReview" in query or "convertPullRequestToDraft" in query:
            self._ask("PATCH", f"{repo}/pulls/{number}", headers, {"draft": "convertPullRequestToDraft" in query})
            return as_json(200, {"data": {}})
        if "enqueuePullRequest" in query:
            if places:
                return as_json(200, {"data": None, "errors": [{"message": "The pull request is already in the merge queue"}]})
            queue.append((number, given["head"]))
            return as_json(200, {"data": {"enqueuePullRequest": {"mergeQueueEntry": {"position": len(queue)}}}})
        entry = {"position": places[0]} if places else None
        return as_json(200, {"data": {"node": {"mergeQueueEntry": entry}}})

    def _append(self, given: dict[str, Any], headers: dict[str, str]) -> Reply:
        """A commit on a branch, where that is at the head that was expected."""
        repo = f"/repos/{given['repository']}"
        with self._lock:
            status, ref = self._ask("GET", f"{repo}/git/ref/heads/{given['branch']}", headers)
            if status != 200 or ref["object"]["sha"] != given["head"]:
                stale = {"type": "STALE_DATA", "message": f'Expected branch to point to "{given["head"]}" but it did not. Pull and try again.'}
                return as_json(200, {"data": {"createCommitOnBranch": None}, "errors": [stale]})
            base = self._ask("GET", f"{repo}/git/commits/{given['head']}", headers)[1]["tree"]["sha"]
            added = [
                {"path": each["path"], "mode": "100644", "type": "blob", "content": base64.b64decode(each["contents"]).decode()}
                for each in given["changes"]["additions"]
            ]  # fmt: skip
            gone = [{"path": each["path"], "mode": "100644", "type": "blob", "sha": None} for each in given["changes"]["deletions"]]
            tree = self._ask("POST", f"{repo}/git/trees", headers, {"base_tree": base, "tree": added + gone})[1]["sha"]
            message = "\n\n".join(filter(None, (given["headline"], given["body"])))
            made = self._ask("POST", f"{repo}/git/commits", headers, {"message": message, "tree": tree, "parents": [given["head"]]})[1]["sha"]
            status, told = self._ask("PATCH", f"{repo}/git/refs/heads/{given['branch']}", headers, {"sha": made, "force": False})
        if status >= 300:
            return as_json(200, {"data": {"createCommitOnBranch": None}, "errors": [{"type": "UNPROCESSABLE", "message": str(told)}]})
        return as_json(200, {"data": {"createCommitOnBranch": {"commit": {"oid": made, "tree": {"oid": tree}}}}})
