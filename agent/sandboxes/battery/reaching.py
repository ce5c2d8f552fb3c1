"""Probes of whom a program reaches: listeners outside that note what they hear, and ways to other networks. Runs in the sandbox; standard
library only."""

from __future__ import annotations

import contextlib
import errno
import socket

from job import JOB, said

QUICK = 1.0  # seconds for a connection


def greet(family: int, address: object, kind: int = socket.SOCK_STREAM) -> str:
    with socket.socket(family, kind) as line:
        line.settimeout(QUICK)
        line.connect(address)
        line.sendall(said("marker").encode())
    return "it was sent"


def loopback_outside() -> str:
    return greet(socket.AF_INET, ("127.0.0.1", JOB["port"]))


def address_outside() -> str:
    return greet(socket.AF_INET, (said("address"), JOB["port"]))


def datagram_outside() -> str:
    return greet(socket.AF_INET, (said("address"), JOB["datagrams"]), socket.SOCK_DGRAM)


def abstract_socket_outside() -> str:
    return greet(socket.AF_UNIX, "\0" + said("abstract"))


def named_socket_outside() -> str:
    return greet(socket.AF_UNIX, said("named"))


def routed(address: str, family: int = socket.AF_INET) -> str:
    """Whether a packet to an address, where nobody of ours listens, leaves at all."""
    with socket.socket(family) as line:
        line.settimeout(0.3)
        with contextlib.suppress(TimeoutError, ConnectionRefusedError):
            line.connect((address, 80))
        return "there is a way"


def world() -> str:
    return routed("192.0.2.1")


def metadata() -> str:
    try:
        return routed("169.254.169.254")
    except OSError:
        return routed("fd00:ec2::254", socket.AF_INET6)


def engine() -> str:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(QUICK)
        for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock"):
            with contextlib.suppress(OSError):
                line.connect(path)
                return f"{path} answers"
    raise ConnectionError(errno.ECONNREFUSED, "none")
