"""What the sandbox shows of the machine."""

import os
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any

FIELDS: dict[str, Callable[[], Any]] = {
    "system": lambda: os.uname().sysname,
    "release": lambda: os.uname().release,
    "machine": lambda: os.uname().machine,
    "hostname": lambda: os.uname().nodename,
    "python": platform.python_version,
    "cpus": lambda: os.cpu_count(),
    "cpus_usable": lambda: len(os.sched_getaffinity(0)),
    "load": lambda: [round(load, 2) for load in os.getloadavg()],
    "memory_total_bytes": lambda: os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    "memory_free_bytes": lambda: os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    "memory_limit_bytes": lambda: limit(resource.RLIMIT_AS),
    "disk_total_bytes": lambda: shutil.disk_usage(tempfile.gettempdir()).total,
    "disk_free_bytes": lambda: shutil.disk_usage(tempfile.gettempdir()).free,
    "uptime_seconds": lambda: int(time.clock_gettime(time.CLOCK_BOOTTIME)),
}


def execute(inputs: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    names = inputs.get("fields", list(FIELDS))
    if unknown := [name for name in names if name not in FIELDS]:
        raise ValueError(f"there is no field {unknown[0]!r}; there are {', '.join(FIELDS)}")
    return {name: known(FIELDS[name]) for name in names}


def known(measure: Callable[[], Any]) -> Any:
    """What is measured, or None on a machine that does not tell."""
    try:
        return measure()
    except (OSError, ValueError, AttributeError):
        return None


def limit(kind: int) -> int | None:
    soft, _ = resource.getrlimit(kind)
    return None if soft == resource.RLIM_INFINITY else soft
