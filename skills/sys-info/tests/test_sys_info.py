import os
import platform
import resource
import shutil
import time

import pytest

from skill import FIELDS, execute

UNAME = os.uname_result(("Linux", "box", "6.1.0", "#1 SMP", "x86_64"))
PAGES = {"SC_PHYS_PAGES": 1000, "SC_AVPHYS_PAGES": 250, "SC_PAGE_SIZE": 4096}


@pytest.fixture
def machine(monkeypatch):
    """A machine of which everything is known."""
    monkeypatch.setattr("os.uname", lambda: UNAME)
    monkeypatch.setattr("platform.python_version", lambda: "3.11.9")
    monkeypatch.setitem(FIELDS, "python", platform.python_version)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, pid + 2})
    monkeypatch.setattr("os.getloadavg", lambda: (0.127, 1.0, 2.5))
    monkeypatch.setattr("os.sysconf", lambda name: PAGES[name])
    monkeypatch.setattr("resource.getrlimit", lambda kind: {resource.RLIMIT_AS: (2048, 4096)}[kind])
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(900, 300, 600))
    monkeypatch.setattr("time.clock_gettime", lambda clock: {time.CLOCK_BOOTTIME: 61.9}[clock])


def test_tells_everything_where_nothing_is_named(machine):
    assert execute({}, {}) == {
        "system": "Linux",
        "release": "6.1.0",
        "machine": "x86_64",
        "hostname": "box",
        "python": "3.11.9",
        "cpus": 8,
        "cpus_usable": 3,
        "load": [0.13, 1.0, 2.5],
        "memory_total_bytes": 4096000,
        "memory_free_bytes": 1024000,
        "memory_limit_bytes": 2048,
        "disk_total_bytes": 900,
        "disk_free_bytes": 600,
        "uptime_seconds": 61,
    }


def test_tells_only_what_is_asked_for(machine):
    assert execute({"fields": ["cpus", "system"]}, {}) == {"cpus": 8, "system": "Linux"}


def test_this_machine_answers_all_that_every_machine_can():
    told = execute({}, {})
    assert told["system"] == "Linux"
    assert told["python"] == platform.python_version()
    assert 1 <= told["cpus_usable"] <= told["cpus"]
    assert 0 <= told["memory_free_bytes"] <= told["memory_total_bytes"]
    assert 0 <= told["disk_free_bytes"] <= told["disk_total_bytes"]
    assert told["uptime_seconds"] > 0


@pytest.mark.parametrize("error", [OSError, ValueError, AttributeError])
def test_what_the_machine_does_not_tell_is_null(monkeypatch, error):
    def silent(*_):
        raise error

    monkeypatch.setattr("os.getloadavg", silent)
    assert execute({"fields": ["load"]}, {}) == {"load": None}


def test_a_limit_that_there_is_not_is_null(monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert execute({"fields": ["memory_limit_bytes"]}, {}) == {"memory_limit_bytes": None}


def test_refuses_a_field_that_there_is_not():
    with pytest.raises(
        ValueError, match=r"^there is no field 'users'; there are system, release, machine, hostname, python, cpus, "
    ):
        execute({"fields": ["cpus", "users"]}, {})
