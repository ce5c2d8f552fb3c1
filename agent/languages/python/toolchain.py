"""The interpreter and the tools of this machine, as the sandbox sees them."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from agent.errors import CouldNotTell
from agent.ports import Mount

HERE = Path(__file__).parent
CODE, DEPENDENCIES, SITE, TESTBED = "/skill/code", "/skill/deps", "/site", "/testbed"
# What pytest and coverage need, and nothing else of our virtual environment.
TEST_PACKAGES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "coverage", "py")


def interpreter() -> str:
    """The path of the Python that our own virtual environment was made from; it is the same inside."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def base_mounts() -> tuple[Mount, ...]:
    """That Python's installation, where the system's root does not hold it already."""
    prefix = os.path.realpath(sys.base_prefix)
    return () if prefix == "/usr" or prefix.startswith("/usr/") else (Mount(source=Path(prefix), target=prefix),)


def package_mounts() -> tuple[Mount, ...]:
    """pytest and coverage, package by package. Raises CouldNotTell where one is missing."""
    mounts = []
    for name in TEST_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise CouldNotTell(f"The package {name} is missing here.", next_step="Install SkillOps again, with its dependencies.")
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        mounts.append(Mount(source=source, target=f"{SITE}/{source.name}"))
    return tuple(mounts)


def own_mounts(*names: str) -> tuple[Mount, ...]:
    return tuple(Mount(source=HERE / f"{name}.py", target=f"{TESTBED}/{name}.py") for name in names)
