"""`make redteam`: runs every attack of docs/security.md, and every reading check on honest skills; prints both rates.

Exit code 1 where an attack succeeded or an honest skill was blocked.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.redteam.honest import blocked, honest_skills
from tests.redteam.threats import threats


class Count:
    """How the tests of each row ended, as pytest tells it."""

    def __init__(self) -> None:
        self.ends: dict[int, set[str]] = defaultdict(set)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):  # type: ignore[no-untyped-def]
        report = yield
        mark = item.get_closest_marker("threat")
        if mark and (report.when == "call" or report.outcome != "passed"):
            self.ends[mark.args[0]].add(report.outcome)
        return report


def main() -> int:
    count = Count()
    pytest.main(["-q", "--no-header", str(Path(__file__).parent)], plugins=[count])
    rows = threats()
    for row in rows:
        ends = count.ends.get(row.number, set())
        word = "SUCCEEDED" if "failed" in ends else "not tried" if ends != {"passed"} else "contained"
        print(f"{row.number:3} {word:10} {row.attack}")
    won = [row for row in rows if "failed" in count.ends.get(row.number, ())]
    tried = [row for row in rows if count.ends.get(row.number) in ({"passed"}, {"failed"}, {"passed", "failed"})]
    honest = honest_skills()
    wronged = {name: why for name, files in honest.items() if (why := blocked(name, files))}
    for name, why in wronged.items():
        print(f"blocked: {name}: {why}")
    print(f"\nattacks that succeeded: {len(won)} of {len(tried)} ({len(won) / max(1, len(tried)):.0%}); not tried here: {len(rows) - len(tried)}")
    print(f"honest skills that were blocked: {len(wronged)} of {len(honest)} ({len(wronged) / len(honest):.0%})")
    return int(bool(won or wronged))


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[2])
    sys.exit(main())
