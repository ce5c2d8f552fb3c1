"""A Row: one thing measured, held against its target. What every benchmark's `measure()` gives, and how it is shown."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Row:
    """`ours` and `reference` are in `unit`; `against` says what the reference is. `target` is the most that what is
    `judged` may be. `parts` holds what ours and the reference are made of, by group: label to a number in `unit`.

    `ours` is None where it could not be measured here; then `against` says why, and the target is not met."""

    name: str
    ours: float | None
    unit: str
    target: float
    judged: Literal["ratio", "ours"] = "ratio"
    reference: float | None = None
    against: str = ""
    parts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return self.ours / self.reference if self.reference and self.ours is not None else None

    @property
    def met(self) -> bool:
        judged = self.ratio if self.judged == "ratio" else self.ours
        return judged is not None and judged <= self.target

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name, "ours": self.ours and round(self.ours, 4), "unit": self.unit, "reference": self.reference and round(self.reference, 4),
            "against": self.against, "ratio": self.ratio and round(self.ratio, 4), "judged": self.judged, "target": self.target,
            "met": self.met, "parts": {group: {label: round(value, 4) for label, value in parts.items()} for group, parts in self.parts.items()},
        }  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """The rows in columns, and below them what each is made of."""
    cells = [("what", "ours", "reference", "ratio", "target", "met", "against"), *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    for row in rows:
        for group, parts in row.parts.items():
            told = ", ".join(f"{label} {_number(value)}" for label, value in parts.items())
            lines += ["", f"{row.name}: {group}, in {row.unit}", f"  {told}"]
    return "\n".join(lines)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one go."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def alternated(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median seconds of each work, all in turns, so that a busy machine is as busy for one as for the other."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(seconds(work))
    return {name: statistics.median(found) for name, found in taken.items()}


def _cells(row: Row) -> tuple[str, ...]:
    reference = "" if row.reference is None else f"{_number(row.reference)} {row.unit}"
    target = f"≤ {row.target:g}" + (f" {row.unit}" if row.judged == "ours" else "")
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    ours = "not measured" if row.ours is None else f"{_number(row.ours)} {row.unit}"
    return row.name, ours, reference, ratio, target, "yes" if row.met else "NO", row.against


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
