"""The reviewer `correctness`: its question is `correctness.txt`."""

from __future__ import annotations

from pathlib import Path

from agent.ports import LanguageModel
from reviewers.asking import ModelReviewer


def make(model: LanguageModel) -> ModelReviewer:
    return ModelReviewer("correctness", Path(__file__).with_suffix(".txt").read_text(encoding="utf-8"), model)
