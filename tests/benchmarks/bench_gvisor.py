"""What gVisor costs: an empty Python program in it, in turns with one in bubblewrap, and the memory that is gVisor's own."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

from agent.interpreter import base_mounts, interpreter
from agent.ports import Sandbox, SandboxSpec
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.sandboxes.gvisor import GvisorSandbox
from agent.sandboxes.gvisor_bundle import OVERHEAD
from tests.benchmarks.row import Row, alternated

TARGET = 500.0  # milliseconds from the start of an empty Python program to its end
MIB = 2**20
SETTLED = 1.0  # seconds after which a service that sleeps has started


def measure(rounds: int = 20) -> list[Row]:
    """Medians of `rounds` turns in milliseconds, and MiB."""
    gvisor, bubblewrap = GvisorSandbox(), BubblewrapSandbox()
    if not (available := gvisor.available()).ok:
        return [Row("an empty Python program in gVisor", None, "ms", TARGET, judged="ours", against=available.why)]
    empty = SandboxSpec(argv=(interpreter(), "-I", "-S", "-c", ""), mounts=base_mounts())

    def run(sandbox: Sandbox) -> None:
        assert sandbox.run(empty).ending == "ok"

    works = {"gvisor": partial(run, gvisor), "bubblewrap": partial(run, bubblewrap)}
    alternated(works, 2)
    taken = {name: 1000 * value for name, value in alternated(works, rounds).items()}
    return [
        Row("an empty Python program in gVisor", taken["gvisor"], "ms", TARGET, judged="ours", reference=taken["bubblewrap"], against="bubblewrap"),
        Row("memory of gVisor itself", asleep(gvisor), "MiB", OVERHEAD / MIB, judged="ours", reference=asleep(bubblewrap), against="bubblewrap"),
    ]


def asleep(sandbox: Sandbox) -> float:
    """What a service uses that only sleeps, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        service = sandbox.start(SandboxSpec(argv=("/bin/sleep", "60")), log=Path(folder) / "log")
        try:
            time.sleep(SETTLED)
            return (service.usage().memory or 0) / MIB
        finally:
            service.stop(0)
