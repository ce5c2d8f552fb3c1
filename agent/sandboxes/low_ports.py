"""Opens the ports below 1024 of one sandbox to everybody in it. A program of its own: `python low_ports.py PID`.

The network of a sandbox belongs to a user namespace that the program inside has left (--disable-userns), so no capability given
to it would do. Whoever made that namespace, root or not, may enter it from outside (user_namespaces(7)) and set there, once for
that network alone, where the ports begin that need a privilege (ip_unprivileged_port_start in ip(7)). Inside, nobody needs one then.

Only a process with one thread may enter a user namespace, so this is run and not called.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import sys

NS_GET_USERNS = 0xB701  # ioctl_ns(2)
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SECONDS = 20.0


def open_low_ports(pid: int) -> None:
    """For the network of process `pid`. Raises OSError with what went wrong."""
    import subprocess  # which takes longer to load than all that the program itself does

    command = [sys.executable, "-I", "-S", __file__, str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"its ports below 1024 could not be opened: {error}") from None
    if done.returncode:
        raise OSError(f"its ports below 1024 could not be opened: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")


def main(pid: str) -> None:
    net = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    owner = fcntl.ioctl(net, NS_GET_USERNS)
    libc = ctypes.CDLL(None, use_errno=True)
    for descriptor, kind in ((owner, CLONE_NEWUSER), (net, CLONE_NEWNET)):
        if libc.setns(descriptor, kind):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as parameter:
        parameter.write("0")


if __name__ == "__main__":
    main(sys.argv[1])
