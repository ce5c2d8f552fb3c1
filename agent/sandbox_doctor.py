"""The doctor of the sandboxes: what a program can do in each of them that is here, tried by a program of ours and told by its effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain import Frozen
from agent.errors import SkillOpsError

if TYPE_CHECKING:
    from agent.sandboxes.battery import Attempt

DOCKER_DEFAULT, BARE = "docker's default", "bare process"


class Column(Frozen):
    """One way to run a program. `ours`: whether untrusted code may run so; `absent` says why it could not be tried."""

    name: str
    ours: bool = True
    absent: str = ""
    possible: dict[str, bool | None] = {}
    said: dict[str, str] = {}

    @property
    def leaks(self) -> tuple[str, ...]:
        return tuple(name for name, possible in self.possible.items() if possible)

    @property
    def untold(self) -> tuple[str, ...]:
        return tuple(name for name, possible in self.possible.items() if possible is None)


class Battery(Frozen):
    """`what`: each thing that was tried, in words, by its name. `ok`: nothing is possible in a sandbox of ours."""

    what: dict[str, str]
    columns: tuple[Column, ...]

    @property
    def ok(self) -> bool:
        return not any(column.leaks or column.untold for column in self.columns if column.ours)


def examine_sandboxes(repository: Path, *, bare: bool = False) -> Battery:
    """Every tier that can run here and Docker's default beside them; with `bare`, an ordinary process too."""
    from agent import wiring, wiring_runtimes
    from agent.sandboxes.battery import PROBES, references
    from agent.settings import Settings

    try:
        settings = wiring.settings_of(repository)[0]
    except SkillOpsError:
        settings = Settings()
    columns = [_tried(name, tried) for name, tried in wiring_runtimes.tiers_of(settings).items()]
    if bare:
        columns.append(_tried(BARE, references.bare, ours=False))
    columns.append(_tried(DOCKER_DEFAULT, lambda: references.docker_default(wiring_runtimes.engine_of()), ours=False))
    return Battery(what={name: what for name, (what, _) in PROBES.items()}, columns=tuple(columns))


def _tried(name: str, attempts: Callable[[], Sequence[Attempt]], *, ours: bool = True) -> Column:
    try:
        found = attempts()
    except SkillOpsError as error:
        return Column(name=name, ours=ours, absent=error.fault)
    return Column(name=name, ours=ours, possible={each.name: each.possible for each in found}, said={each.name: each.said for each in found})


def lines(battery: Battery) -> list[str]:
    """The table, in plain text: what is possible is written out, what is kept is a dot."""
    shown = [column for column in battery.columns if not column.absent]
    width = max(map(len, battery.what.values()))
    told = ["  ".join([" " * width, *(column.name for column in shown)])]
    for name, what in battery.what.items():
        cells = (_cell(column.possible.get(name)).center(len(column.name)) for column in shown)
        told.append("  ".join([what.ljust(width), *cells]).rstrip())
    counts = (f"{len(column.leaks)} of {len(battery.what)}".center(len(column.name)) for column in shown)
    told.append("  ".join(["possible".ljust(width), *counts]).rstrip())
    told += [f"{column.name}: not tried. {column.absent}" for column in battery.columns if column.absent]
    told += [f"{column.name}: could not be told: {column.said[column.untold[0]]}" for column in shown if column.untold]
    return told


def _cell(possible: bool | None) -> str:
    return {True: "POSSIBLE", False: "·", None: "?"}[possible]


def document(battery: Battery) -> Mapping[str, object]:
    """For --json."""
    columns = [
        {"name": column.name, "ours": column.ours, "absent": column.absent, "possible": list(column.leaks), "untold": list(column.untold)}
        for column in battery.columns
    ]
    return {"ok": battery.ok, "tried": battery.what, "columns": columns}
