"""What a test does when something of the machine is missing: it is left out, and says so; where engines are required, it fails."""

from __future__ import annotations

import os
from functools import cache
from typing import NoReturn

import pytest

from agent.builders.bases import STABLE, labels_of
from agent.docker_engine import DockerEngine

VARIABLE = "SKILLOPS_TEST_ENGINES"


def required() -> bool:
    """Whether a missing engine is a failure, as in CI."""
    return os.environ.get(VARIABLE) == "required"


def missing(why: str) -> NoReturn:
    """Leaves the test out with its reason, or fails it where engines are required."""
    if required():
        pytest.fail(f"{why}; {VARIABLE}=required makes this a failure")
    pytest.skip(f"{why}; {VARIABLE}=required makes this a failure")


@cache
def _base_images() -> frozenset[str]:
    engine = DockerEngine()
    return frozenset(runtime for runtime, reference in STABLE.items() if labels_of(engine, reference))


def need_base_images(*runtimes: str) -> None:
    """For tests marked `docker`: leaves the test out where the images that it builds on were not made."""
    if absent := sorted({runtime for runtime in runtimes if runtime in STABLE} - _base_images()):
        missing(f"the base image for {absent[0]} is not here (make base-images)")
