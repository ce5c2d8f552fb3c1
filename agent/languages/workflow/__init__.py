"""Workflows: skills whose entrypoint is a plan, as data."""

from agent.languages.workflow.language import WorkflowLanguage

__all__ = ["WorkflowLanguage"]
