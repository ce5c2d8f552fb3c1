"""What a Bash skill may not call or set: the tables of `rules.py`."""

from __future__ import annotations

DYNAMIC, PROCESS, NETWORK, ENVIRONMENT, ENCODED, PRIVILEGE = (
    ("dynamic-code", "runs code that a reader cannot see"),
    ("process", "starts another interpreter or ends processes, which a skill may not"),
    ("network", "uses the network, and permissions.network is empty: declare each host:port there"),
    ("environment", "reads the machine's environment; a skill has SKILL_* and what its manifest's `environment` names"),
    ("encoded-payload", "decodes a literal, which hides its content from a reader: write it in plain"),
    ("privilege", "changes what a process may do or see"),
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BANNED: dict[str, tuple[str, str]] = {
    name: rule
    for rule, names in (
        (DYNAMIC, "eval enable alias hash bind complete fc"),
        (PROCESS, "python python2 python3 perl ruby node nodejs php lua tclsh expect gdb gcc cc make"),
        (PROCESS, "kill pkill killall setsid nohup disown at batch crontab"),
        (NETWORK, "curl wget nc ncat netcat socat ssh scp sftp rsync telnet ftp tftp dig nslookup host ping traceroute openssl getent git"),
        (PRIVILEGE, "sudo su doas mount umount chroot unshare nsenter setpriv capsh ulimit prlimit chown mknod bwrap docker"),
        (ENVIRONMENT, "printenv env"),
    )
    for name in names.split()
}
SHELLS = _words("bash sh dash zsh ksh rbash")
# Commands that run the command which they are given, and the options of theirs that take a value.
WRAPPERS = {
    **dict.fromkeys(_words("command builtin time ionice coproc busybox parallel watch chrt taskset flock script"), ""),
    **{"xargs": "nLPIdsaE", "timeout": "ks", "nice": "n", "stdbuf": "ioe", "exec": "a"},
}
# Variables by which a shell or its loader is told to run something else, or to find it elsewhere.
STEERING = _words("PATH ENV BASH_ENV PROMPT_COMMAND PS4 SHELLOPTS BASHOPTS LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT")
# What Bash itself sets (bash(1), "Shell Variables"), and what every sandbox has.
SHELL_VARIABLES = _words(
    """BASH BASHPID BASH_COMMAND BASH_LINENO BASH_REMATCH BASH_SOURCE BASH_SUBSHELL BASH_VERSINFO BASH_VERSION COLUMNS EPOCHREALTIME EPOCHSECONDS
    EUID FUNCNAME HOME IFS LANG LC_ALL LINENO MAPFILE OLDPWD OPTARG OPTIND OSTYPE PATH PIPESTATUS PPID PWD RANDOM REPLY SECONDS SHLVL SRANDOM
    TMPDIR TZ UID"""
)
