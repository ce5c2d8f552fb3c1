"""Node: `NodeLanguage`, and what it runs inside the sandbox (server, worker, session, mutate)."""

from __future__ import annotations

from agent.languages.node.language import NodeLanguage

__all__ = ["NodeLanguage"]
