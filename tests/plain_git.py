"""git as a person uses it, for tests that look at a repository from outside."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """The output of a command run in `folder`; an exception where it fails."""
    who = {f"GIT_{role}_{what}": f"{role}@example.invalid" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, **who}
    return subprocess.run(["git", "-C", str(folder), *arguments], input=stdin, env=env, check=True, capture_output=True).stdout
