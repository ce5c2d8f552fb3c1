"""The tools of this machine, as the sandbox sees them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from agent.errors import CouldNotTell
from agent.ports import Mount

HERE = Path(__file__).parent
CODE, DEPENDENCIES, SITE, TESTBED = "/skill/code", "/skill/deps", "/site", "/testbed"
# What pytest and coverage need, and nothing else of our virtual environment.
TEST_PACKAGES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "coverage", "py")


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
