"""Container: `ContainerLanguage`, a skill in any language that has a Dockerfile of its own."""

from __future__ import annotations

from agent.languages.container.language import ContainerLanguage

__all__ = ["ContainerLanguage"]
