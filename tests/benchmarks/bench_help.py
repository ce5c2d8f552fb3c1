"""How long the command takes to say what it can do, and to have its parts at hand, in turns with bare starts of Python that import its frameworks."""

from __future__ import annotations

import subprocess
import sys

from tests.benchmarks.row import Row, alternated

TARGET = 0.5  # seconds
MODEL = "from pydantic import BaseModel\nclass One(BaseModel):\n    it: int"
MOST = 3.5  # times what a single model of pydantic takes to load


def measure(rounds: int = 7) -> list[Row]:
    """Medians of `rounds` turns, after one to warm the disk's cache."""

    def run(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)

    works = {"help": lambda: run("-m", "agent.cli", "--help"), "bare": lambda: run("-c", "import typer"),
             "parts": lambda: run("-c", "import agent.wiring"), "model": lambda: run("-c", MODEL)}  # fmt: skip
    alternated(works, 1)
    taken = alternated(works, rounds)
    return [
        Row("skillops --help", taken["help"], "s", TARGET, "ours", taken["bare"], "python -c 'import typer'"),
        Row("what every verb loads", taken["parts"], "s", MOST, "ratio", taken["model"], "one model of pydantic"),
    ]
