"""What the checks said of the bundled skills: verdicts.yaml names, for each, the tree that passed all of them.

`make shelf` writes it, before it enters a skill in registry.yaml. A tree that passed is not checked again: the checks of forty mutants
take minutes, and a test holds each bundled skill to the tree that is named here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from agent.domain import Frozen, plain
from agent.domain.check import CheckReport, Outcome
from agent.errors import CouldNotTell, Refused, UsageError
from agent.forges.git_door import isolated_git, run_git
from agent.strict_yaml import dump, load_as

PATH = "agent/starter/verdicts.yaml"
HEAD = "# The tree of each bundled skill that passed all checks, and what those of its tests said. `make shelf` writes this.\n"

Check = Callable[[Path], CheckReport]


class Verdict(Frozen):
    """`tree` is the git tree id of the skill's folder; `mutants` the most that its tests were to notice; `tests` what the check said."""

    tree: str
    mutants: int
    tests: str


class Verdicts(Frozen):
    skills: dict[str, Verdict] = {}


def read(root: Path) -> dict[str, Verdict]:
    """The verdicts of the source tree `root`; none where nothing was checked yet."""
    path = root / PATH
    return load_as(Verdicts, path.read_bytes(), PATH).skills if path.exists() else {}


def examine(root: Path, check: Check, mutants: int) -> None:
    """Checks each skill at HEAD whose tree has not passed with as many mutants, and keeps what was found in verdicts.yaml.

    Refused with what is wrong where one does not pass, CouldNotTell where that could not be told, UsageError where skills/ is not as
    committed. Those that passed before stay kept.
    """
    trees, passed = committed(root), read(root)
    kept = {name: verdict for name, verdict in passed.items() if (verdict.tree, verdict.mutants >= mutants) == (trees.get(name), True)}
    _write(root, kept)
    for name in sorted(trees.keys() - kept.keys()):
        kept[name] = Verdict(tree=trees[name], mutants=mutants, tests=_passed(name, check(root / "skills" / name)))
        _write(root, kept)


def committed(root: Path) -> dict[str, str]:
    """The tree of each skill at HEAD of the source tree `root`, by name. UsageError where skills/ has changes that are not committed."""
    git = isolated_git(root)
    status, changes, complaint = run_git(git, "status", "--porcelain", "--", "skills")
    if status or changes:
        raise UsageError("skills/ is not as it was committed.", why=complaint.strip() if status else "", next_step="Commit it, then run this again.")
    _, listed, _ = run_git(git, "ls-tree", "HEAD", "skills/")
    rows = [line.split(None, 3) for line in listed.decode().splitlines()]
    return {path.removeprefix("skills/"): tree for _, kind, tree, path in rows if kind == "tree"}


def _passed(name: str, report: CheckReport) -> str:
    """What is kept of a report that passed."""
    if report.outcome is Outcome.PASSED:
        return next(result.summary for result in report.results if result.name == "tests")
    why = " ".join(f"{result.name}: {result.summary}" for result in report.results if result.outcome is not Outcome.PASSED)
    kind = Refused if report.outcome is Outcome.FAILED else CouldNotTell
    told = "does not pass its checks" if report.outcome is Outcome.FAILED else "could not be checked"
    raise kind(f"The bundled skill {name} {told}.", why=why, next_step=f"`skillops check skills/{name}` says all that was found.")


def _write(root: Path, verdicts: Mapping[str, Verdict]) -> None:
    content = {"skills": {name: plain(verdicts[name]) for name in sorted(verdicts)}}
    (root / PATH).parent.mkdir(parents=True, exist_ok=True)
    (root / PATH).write_text(HEAD + dump(content))
