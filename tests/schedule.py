"""Which tests begin first. One that takes a minute and begins last keeps one processor busy while the others have nothing left to do."""

from __future__ import annotations

import pytest

# Those that took twelve seconds or more of a whole run, with their set-up, the longest first; those of a file with a costly set-up stay together.
LONGEST = (
    "tests/acceptance/test_workflow_story.py::test_a_request_goes_through_the_files_from_the_issue_to_the_answer_in_it",
    "tests/acceptance/test_workflows_under_act.py",
    "tests/acceptance/test_rekey.py",
    "tests/acceptance/test_engine_over_ssh.py",
    "tests/unit/test_shelf.py::test_each_bundled_skill_passes_its_checks[file-ops]",
    "tests/acceptance/test_killed.py",
    "tests/acceptance/test_gateway.py::test_a_thousand_calls_at_once_are_each_answered_or_told_when_to_come_again",
    "tests/acceptance/test_compose.py",
    "tests/unit/test_shelf.py::test_each_bundled_skill_passes_its_checks[scrape]",
    "tests/acceptance/test_workflow_story.py",
    "tests/acceptance/test_github_two.py",
    "tests/contracts/test_docker_stand_ins.py",
    "tests/acceptance/test_actions.py",
    "tests/unit/test_cut_short.py",
    "tests/unit/test_shelf.py::test_each_bundled_skill_passes_its_checks",
    "tests/contracts/test_docker_restart.py",
    "tests/acceptance/test_gateway_document.py",
    "tests/acceptance/test_pages_in_browser.py",
    "tests/contracts/test_image.py",
    "tests/acceptance/test_github_story_faults.py",
    "tests/acceptance/test_story.py",
    "tests/contracts/test_runtime.py",
)


def longest_first(items: list[pytest.Item]) -> None:
    """Sorts `items` in place; all others keep their order behind them."""
    items.sort(key=lambda item: next((place for place, start in enumerate(LONGEST) if item.nodeid.startswith(start)), len(LONGEST)))
