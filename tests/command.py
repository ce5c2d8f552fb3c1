"""The command as a user meets it, called in this process: what it prints, and how it exits."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any
from unittest.mock import patch

from agent.cli import main


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
