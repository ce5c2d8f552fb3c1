"""`make bench`: measures, prints a table, and writes it as JSON. `make bench BENCH="sandbox help"` measures those alone.

What counts are the ratios of one run, taken in turns; the seconds tell where time goes on this machine, under the load named.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path

from tests.benchmarks.row import Row, table

NAMES = ("pipeline", "sandbox", "warm", "gvisor", "help", "registry", "release", "gateway", "mcp", "pages", "docker")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"What to measure: {', '.join(NAMES)}. None: all.")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE", help="Where to write the document (bench.json).")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - set(NAMES):
        parser.error(f"there is no benchmark {sorted(unknown)[0]!r}; there are {', '.join(NAMES)}")

    before, rows = os.getloadavg(), list[Row]()
    for name in asked.names or NAMES:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"tests.benchmarks.bench_{name}").measure()
    load = {"before": [round(value, 2) for value in before], "after": [round(value, 2) for value in os.getloadavg()]}
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release(), "load": load}
    asked.json.write_text(json.dumps({"machine": machine, "rows": [row.document() for row in rows]}, indent=1, ensure_ascii=False) + "\n")
    print(table(rows))
    print(f"\n{machine['cores']} cores, Python {machine['python']}, load (1, 5, 15 minutes) {load['before']} before and {load['after']} after")
    print(f"written to {asked.json}")


if __name__ == "__main__":
    main()
