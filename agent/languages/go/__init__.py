"""Go: `GoLanguage`, the analyser (Go, run on this machine), and the server shim (Go, part of each skill's program)."""

from __future__ import annotations

from agent.languages.go.language import GoLanguage

__all__ = ["GoLanguage"]
