"""The command as a user meets it, called in this process: what it prints, and how it exits; and git beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any
from unittest.mock import patch

from agent.cli import main
from tests.subjects import skill_files


@dataclass(frozen=True)
class Done:
    """What a call came to."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout; an error where there is anything else."""
        return json.loads(self.out)

    @property
    def said(self) -> str:
        """Everything that a person sees, in one line."""
        return " ".join(f"{self.out} {self.err}".split())


def skillops(*arguments: str | Path | int, stdin: str | bytes = "", user: str = "ada", **variables: str) -> Done:
    """Runs `skillops ARGUMENTS` as `user`; `variables` are of the environment."""
    out, err = StringIO(), StringIO()
    data = TextIOWrapper(BytesIO(stdin if isinstance(stdin, bytes) else stdin.encode()), encoding="utf-8")
    environment = {"SKILLOPS_USER": user, "COLUMNS": "200", **variables}
    with patch.dict(os.environ, environment), patch.object(sys, "stdin", data), redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
    return Done(code, out.getvalue(), err.getvalue())


def told(done: Done, code: int, *sentences: str) -> None:
    """Exits with `code`, and says each of `sentences`; never a traceback."""
    assert done.code == code, done.said
    assert [sentence for sentence in sentences if sentence not in done.said] == [], done.said
    assert "Traceback" not in done.said and "unexpected" not in done.said


def git(folder: Path, *arguments: str) -> str:
    """What git prints, run by somebody in `folder`."""
    identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.com")
    return subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True).stdout


def written(folder: Path, **changed: str | bytes | None) -> Path:
    """The skill of `tests/subjects.py`, changed, in a folder as somebody wrote it."""
    for path, data in skill_files(**changed).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder
