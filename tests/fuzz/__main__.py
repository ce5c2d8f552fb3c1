"""`make fuzz SECONDS=60`: atheris on one reader after another, each for so long, from its valid texts. It stops at the first find.

atheris instruments what it watches, so each reader has a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path


def main(seconds: int, names: list[str]) -> int:
    from tests.fuzz.targets import TARGETS

    for name in names or TARGETS:
        with tempfile.TemporaryDirectory() as corpus:
            for number, seed in enumerate(TARGETS[name].seeds):
                (Path(corpus) / str(number)).write_bytes(seed)
            print(f"== {name}", flush=True)
            command = [sys.executable, "-m", "tests.fuzz", "--one", name, corpus, f"-max_total_time={seconds}", "-timeout=10"]
            command += [f"-artifact_prefix={tempfile.gettempdir()}/skillops-fuzz-", "-print_final_stats=1"]
            if code := subprocess.run(command, check=False).returncode:
                return code
    return 0


def one(name: str, options: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["agent", "reviewers"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        one(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
