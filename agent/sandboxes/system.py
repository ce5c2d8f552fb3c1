"""What a program sees of this machine in a sandbox of bubblewrap's: its programs, read-only, and a few files of ours; and as whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

USER = 1000
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
ETC = Path(__file__).parent / "etc"


def system_root(system: Path, etc: str, below: str = "") -> Iterator[str]:
    """bubblewrap's options for the root of a system, read-only, at `below`. `etc`: where ETC is seen, `system`: the machine's root."""
    yield from ("--ro-bind", "/usr", f"{below}/usr")
    for folder in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = system / folder
        if path.is_symlink():  # usrmerge
            yield from ("--symlink", str(path.readlink()), f"{below}/{folder}")
        elif path.is_dir():
            yield from ("--ro-bind", str(path), f"{below}/{folder}")
    for file in ("ld.so.cache", "alternatives", "localtime", "ssl/certs", "ssl/openssl.cnf"):
        if (system / "etc" / file).exists():
            yield from ("--ro-bind", f"{system}etc/{file}", f"{below}/etc/{file}")
    for file in ("hosts", "passwd", "group", "nsswitch"):
        yield from ("--ro-bind", f"{etc}/{file}.txt", f"{below}/etc/{file}{'.conf' if file == 'nsswitch' else ''}")
