"""SkillOps: GitOps for an AI agent's own abilities. Importing this package loads nothing heavy."""

__version__ = "0.1.0"
