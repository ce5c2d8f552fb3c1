from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.acceptance.harness import Home
from tests.warm import warm_command


class Founding(Protocol):
    def __call__(self, said: Mapping[str, Any] | None = None, **options: Any) -> Home: ...


@pytest.fixture
def founded(tmp_path: Path) -> Iterator[Founding]:
    """Founds the test's skills repository, with a model that says `said`; its running skills end with the test."""
    homes: list[Home] = []

    def found(said: Mapping[str, Any] | None = None, **options: Any) -> Home:
        homes.append(Home.founded(tmp_path / "skills", said, **options))
        return homes[-1]

    yield found
    for home in homes:
        home.close()


@pytest.fixture(scope="session")
def command() -> Iterator[Path]:
    """A folder with a `skillops` for scripts, whose calls need not load its libraries."""
    with warm_command() as folder:
        yield folder
