"""The commits that branches have beyond main, and where each left it: one `git rev-list` for all of them, as long as main stays where it is."""

from __future__ import annotations

from agent.forges.git_door import GitDoor


class Beyond:
    """What was found for one main; another one begins anew."""

    def __init__(self, door: GitDoor) -> None:
        self._door = door
        self._found: tuple[str, dict[str, tuple[str, ...]]] = ("", {})

    def joined(self, heads: set[str], main: str) -> set[str]:
        """Those of `heads`, commits that there are, which are in main's history."""
        at, found = self._found
        known = found if at == main else {}
        unknown = heads - known.keys()
        if not unknown:
            return set()
        lines = self._door.output("rev-list", "--parents", *sorted(unknown), f"^{main}").decode().splitlines()
        beyond = {commit: tuple(parents) for commit, *parents in map(str.split, lines)}
        self._found = (main, known | beyond)
        return unknown - beyond.keys()

    def left_at(self, head: str, main: str) -> str:
        """The one commit at which `head` left main's history; empty where that was not looked for, or there are several, or none."""
        at, beyond = self._found
        if at != main or head not in beyond:
            return ""
        seen, ahead, places = {head}, [head], set[str]()
        while ahead:
            for parent in beyond[ahead.pop()]:
                if parent not in beyond:
                    places.add(parent)
                elif parent not in seen:
                    seen.add(parent)
                    ahead.append(parent)
        return places.pop() if len(places) == 1 else ""
