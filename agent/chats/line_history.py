"""The lines that a person typed, for the arrow keys of the next chat. What looks like a secret is not among them."""

from __future__ import annotations

from pathlib import Path

from agent.checks.secrets import holds_secret

LINES = 500


class LineHistory:
    """Readline's history in the file at `path`, which only its owner can read. Where there is no readline, it does nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            import readline
        except ImportError:
            self._readline = None
            return
        self._readline = readline
        readline.clear_history()
        readline.set_auto_history(False)
        readline.set_history_length(LINES)
        if path.is_file():
            readline.read_history_file(path)

    def add(self, line: str) -> bool:
        """Keeps a line. False where it seems to hold a secret, and is not kept."""
        if holds_secret(line):
            return False
        if self._readline and line:
            self._readline.add_history(line)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            self._readline.write_history_file(self._path)
        return True
