"""Probes of the kernel's interfaces: which system calls can be made in here. Runs in the sandbox; standard library only.

Each is harmless where it works: what would change the machine is asked in a form that the kernel refuses for another reason, after
it has looked whether the caller may. A probe returns what shows that it is possible, or raises OSError.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import socket
import struct
import termios

LIBC = ctypes.CDLL(None, use_errno=True)
_NAMED = (
    *("ptrace", "syslog", "personality", "mount", "settimeofday", "sethostname", "add_key", "keyctl", "unshare", "setns", "process_vm_readv"),
    *("init_module", "finit_module", "kexec_load", "perf_event_open", "open_by_handle_at", "memfd_create", "bpf", "userfaultfd", "reboot"),
    *("chroot", "getpid"),
)
_THEIRS = {
    "x86_64": (101, 103, 135, 165, 164, 170, 248, 250, 272, 308, 310, 175, 313, 246, 298, 304, 319, 321, 323, 169, 161, 39),
    "aarch64": (117, 116, 92, 40, 170, 161, 217, 219, 97, 268, 270, 105, 273, 104, 241, 265, 279, 280, 282, 142, 51, 172),
}
_ALIKE = {"io_uring_setup": 425, "open_tree": 428, "fsopen": 430, "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438}
NUMBERS = {**dict(zip(_NAMED, _THEIRS.get(platform.machine(), ()), strict=False)), **_ALIKE}
ALLOWED_BUT_WRONG = (errno.EINVAL, errno.EBADF, errno.EFAULT, errno.ENOEXEC)
NEW = {"mount": 0x00020000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000, "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000}


def call(name: str, *arguments: object) -> int:
    """A system call by its name; raises OSError."""
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    found = LIBC.syscall(ctypes.c_long(NUMBERS[name]), *given)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(found)


def permitted(name: str, *arguments: object) -> str:
    """Makes a call that cannot succeed: the kernel's reason tells whether it was the caller's rights."""
    try:
        call(name, *arguments)
    except OSError as error:
        if error.errno in ALLOWED_BUT_WRONG:
            return f"the kernel would do it: {error.strerror}"
        raise
    return "it was done"


def in_a_child(do: object) -> str:
    """Whether `do`, which may change or end its process, returns there."""
    pid = os.fork()
    if pid == 0:
        try:
            do()  # type: ignore[operator]
        except OSError as error:
            os._exit(error.errno or 255)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise OSError(max(status, 0), os.strerror(status) if status > 0 else f"it was ended by signal {-status}")
    return "it was done"


def user_namespace() -> str:
    return in_a_child(lambda: call("unshare", NEW["user"]))


def user_namespace_by_clone3() -> str:
    arguments = ctypes.create_string_buffer(struct.pack("<11Q", NEW["user"], 0, 0, 0, 17, *[0] * 6))

    def clone() -> None:
        if call("clone3", arguments, 88) == 0:
            os._exit(0)

    return in_a_child(clone)


def other_namespaces() -> str:
    for name, flag in NEW.items():
        if name != "user":
            try:
                return f"{name}: {in_a_child(lambda flag=flag: call('unshare', flag))}"
            except OSError:
                continue
    raise PermissionError(errno.EPERM, "none")


def enter_a_namespace() -> str:
    def enter() -> None:
        with open("/proc/self/ns/uts") as file:
            call("setns", file.fileno(), 0)

    return in_a_child(enter)


def trace_a_process() -> str:
    pid = os.fork()
    if pid == 0:
        LIBC.pause()
    try:
        call("ptrace", 0x4206, pid, 0, 0)  # PTRACE_SEIZE
        return "another process is traced"
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def read_anothers_memory() -> str:
    word, taken = ctypes.create_string_buffer(b"word"), ctypes.create_string_buffer(8)
    pid = os.fork()
    if pid == 0:
        LIBC.pause()
    try:
        pieces = [ctypes.create_string_buffer(struct.pack("<QQ", ctypes.addressof(each), 4)) for each in (taken, word)]
        call("process_vm_readv", pid, pieces[0], 1, pieces[1], 1, 0)
        return taken.value.decode()
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def keyring() -> str:
    key = call("add_key", b"user", b"skillops-probe", b"word", 4, -4)  # KEY_SPEC_USER_KEYRING
    call("keyctl", 21, key)  # KEYCTL_INVALIDATE
    return "a key was kept in the user's keyring"


def bpf() -> str:
    os.close(call("bpf", 0, ctypes.create_string_buffer(struct.pack("<4I", 2, 4, 4, 1).ljust(120, b"\0")), 120))  # BPF_MAP_CREATE
    return "a map was made"


def io_uring() -> str:
    os.close(call("io_uring_setup", 1, ctypes.create_string_buffer(120)))
    return "a ring was made"


def perf_events() -> str:
    event = struct.pack("<IIQQQQQ", 1, 112, 0, 0, 0, 0, 1 << 0 | 1 << 5 | 1 << 6).ljust(112, b"\0")  # a software clock of this process, disabled
    os.close(call("perf_event_open", ctypes.create_string_buffer(event), 0, -1, -1, 0))
    return "an event was opened"


def file_in_memory() -> str:
    os.close(call("memfd_create", b"skillops-probe", 0))
    return "a file without a place was made"


def page_faults() -> str:
    os.close(call("userfaultfd", 0x80001))  # O_CLOEXEC, UFFD_USER_MODE_ONLY
    return "page faults are handed over"


def anothers_descriptor() -> str:
    mine = call("pidfd_open", os.getpid(), 0)
    try:
        os.close(call("pidfd_getfd", mine, 0, 0))
    finally:
        os.close(mine)
    return "a descriptor was taken"


def no_randomised_addresses() -> str:
    return in_a_child(lambda: call("personality", 0x0040000))


def mounts() -> str:
    os.close(call("fsopen", b"tmpfs", 0))
    return "a file system was opened to be mounted"


def copies_of_mounts() -> str:
    os.close(call("open_tree", -100, b"/", 1))
    return "the root's mount was cloned"


def change_root() -> str:
    return in_a_child(lambda: os.chroot("/"))


def clock() -> str:
    return permitted("settimeofday", None, ctypes.create_string_buffer(struct.pack("<ii", 9999, 0)))


def hostname() -> str:
    name = os.uname().nodename.encode()
    call("sethostname", name, len(name))
    return "the name was set to what it is"


def reboot() -> str:
    return permitted("reboot", 0, 0, 0, None)


def another_kernel() -> str:
    return permitted("kexec_load", 0, 0, None, 0xFF00)


def modules() -> str:
    return permitted("finit_module", -1, b"", 0)


def files_by_handle() -> str:
    return permitted("open_by_handle_at", -1, ctypes.create_string_buffer(struct.pack("<II", 8, 1).ljust(16, b"\0")), 0)


def kernel_log() -> str:
    text = ctypes.create_string_buffer(4096)
    return f"{call('syslog', 3, text, 4096)} bytes"  # SYSLOG_ACTION_READ_ALL


def type_on_a_terminal() -> str:
    ours, theirs = os.openpty()

    def type_() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        fcntl.ioctl(theirs, termios.TIOCSTI, b"x")

    try:
        return in_a_child(type_)
    finally:
        os.close(ours)
        os.close(theirs)


def x32() -> str:
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, "no such thing on this machine")
    number = NUMBERS["getpid"] | 0x40000000
    return in_a_child(lambda: None if LIBC.syscall(ctypes.c_long(number)) > 0 else os._exit(errno.ENOSYS))


def the_32_bit_way() -> str:
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, "no such thing on this machine")
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3")  # push rbx; mov eax, 20 (getpid); int 0x80; pop rbx; ret
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    return in_a_child(lambda: None if function() > 0 else os._exit(errno.ENOSYS))


def made_socket(family: int, kind: int, protocol: int = 0) -> str:
    socket.socket(family, kind, protocol).close()
    return f"a socket of family {family} was made"


def raw_sockets() -> str:
    try:
        return made_socket(socket.AF_INET, socket.SOCK_RAW, 1)
    except OSError:
        return made_socket(17, socket.SOCK_RAW, 0x0300)  # AF_PACKET, all protocols


def hypervisor_sockets() -> str:
    return made_socket(40, socket.SOCK_STREAM)


def kernel_messages() -> str:
    """Netlink beyond the routes of one's own network."""
    for protocol in (2, 4, 6, 7, 9, 10, 12, 15, 16, 21):
        try:
            return made_socket(16, socket.SOCK_RAW, protocol)
        except OSError:
            continue
    raise OSError(errno.EAFNOSUPPORT, "none")


def rare_sockets() -> str:
    for family in (3, 4, 5, 9, 15, 21, 26, 29, 30, 31, 32, 35, 37, 38, 39, 41, 42, 43, 44, 45):
        for kind in (1, 2, 3, 5):
            try:
                return made_socket(family, kind)
            except OSError:
                continue
    raise OSError(errno.EAFNOSUPPORT, "none")
