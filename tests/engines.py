"""What a test does when something of the machine is missing: it is left out, and says so; where engines are required, it fails."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

VARIABLE = "SKILLOPS_TEST_ENGINES"


def required() -> bool:
    """Whether a missing engine is a failure, as in CI."""
    return os.environ.get(VARIABLE) == "required"


def missing(why: str) -> NoReturn:
    """Leaves the test out with its reason, or fails it where engines are required."""
    if required():
        pytest.fail(f"{why}; {VARIABLE}=required makes this a failure")
    pytest.skip(f"{why}; {VARIABLE}=required makes this a failure")
