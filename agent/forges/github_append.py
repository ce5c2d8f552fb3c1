"""A commit on a branch in one call, which is itself a compare-and-swap: GraphQL's createCommitOnBranch with its `expectedHeadOid`."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from agent.forges.github_api import GitHubApi

_APPEND = (
    "mutation($repository: String!, $branch: String!, $head: GitObjectID!, $headline: String!, $body: String, $changes: FileChanges!) "
    "{ createCommitOnBranch(input: {branch: {repositoryNameWithOwner: $repository, branchName: $branch}, expectedHeadOid: $head, "
    "message: {headline: $headline, body: $body}, fileChanges: $changes}) { commit { oid tree { oid } } } }"
)


def appended(api: GitHubApi, branch: str, files: Mapping[str, bytes | None], parent: str, message: str) -> str | None:
    """The commit, which GitHub makes where the branch is at `parent`; its author is who we are. None where it did not, for whatever
    reason: what can be done then, and what is told, is the affair of the longer way through git's objects.
    """
    additions = [{"path": path, "contents": base64.b64encode(data).decode()} for path, data in files.items() if data is not None]
    deletions = [{"path": path} for path, data in files.items() if data is None]
    headline, _, body = message.partition("\n")
    told = {"repository": api.repository, "branch": branch, "head": parent, "headline": headline, "body": body.strip(),
            "changes": {"additions": additions, "deletions": deletions}}  # fmt: skip
    answer = api.send("POST", "/graphql", {"query": _APPEND, "variables": told}, allow=(403, 404, 409, 422)).body or {}
    made = ((answer.get("data") or {}).get("createCommitOnBranch") or {}).get("commit") if not answer.get("errors") else None
    if made is None:
        return None
    api.learn(f"git/commits/{made['oid']}", {"sha": made["oid"], "tree": {"sha": made["tree"]["oid"]}, "parents": [{"sha": parent}]})
    api.noted(f"git/ref/heads/{branch}", {"object": {"sha": made["oid"]}})
    return str(made["oid"])
