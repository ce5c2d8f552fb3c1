"""How long the command takes to say what it can do, in turns with a bare start of Python that imports its framework."""

from __future__ import annotations

import subprocess
import sys

from tests.benchmarks.row import Row, alternated

TARGET = 0.5  # seconds


def measure(rounds: int = 7) -> list[Row]:
    """Medians of `rounds` turns, after one to warm the disk's cache."""

    def run(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)

    works = {"help": lambda: run("-m", "agent.cli", "--help"), "bare": lambda: run("-c", "import typer")}
    alternated(works, 1)
    taken = alternated(works, rounds)
    return [Row("skillops --help", taken["help"], "s", TARGET, "ours", taken["bare"], "python -c 'import typer'")]
