"""Python: `PythonLanguage`, and what it runs inside the sandbox (server, zygote, testbed, session, mutate, gut)."""

from __future__ import annotations

from agent.languages.python.language import PythonLanguage

__all__ = ["PythonLanguage"]
