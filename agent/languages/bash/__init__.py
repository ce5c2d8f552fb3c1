"""Bash: `BashLanguage`, and what it runs inside the sandbox (session, mutate, the tests' driver)."""

from __future__ import annotations

from agent.languages.bash.language import BashLanguage

__all__ = ["BashLanguage"]
