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
# What Bash does by itself (bash(1), "SHELL BUILTIN COMMANDS") without a program, those above apart.
BUILTINS = _words(
    """: . [ [[ break builtin caller case cd command compgen compopt continue coproc declare dirs disown echo exec exit export false for getopts help
    history jobs let local logout mapfile popd printf pushd pwd read readarray readonly return select set shift shopt source suspend test time times
    trap true type typeset umask unalias unset wait"""
)
# The programs that every image of a Bash skill holds: GNU coreutils, findutils, grep, sed, awk, diffutils, tar, gzip, util-linux' few, jq.
PROGRAMS = _words(
    """[ arch b2sum base32 base64 basename basenc cat chcon chgrp chmod cksum comm cp csplit cut date dd df dir dircolors dirname du echo expand
    expr factor false fmt fold groups head hostid id install join link ln logname ls md5sum mkdir mkfifo mktemp mv nice nl nproc numfmt od paste
    pathchk pinky pr printf ptx pwd readlink realpath rm rmdir seq sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf sleep sort split stat
    stdbuf stty sum sync tac tail tee test timeout touch tr true truncate tsort tty uname unexpand uniq unlink uptime users vdir wc who whoami yes
    find xargs grep egrep fgrep sed awk gawk mawk diff diff3 cmp sdiff tar gzip gunzip zcat bzip2 bunzip2 bzcat xz unxz xzcat jq column rev hexdump
    getopt tabs clear tput look cal iconv xxd flock uuidgen mcookie"""
)
# Programs that change what lies at the paths that they are given; those whose first argument is a program of theirs and no path; and those
# whose arguments are no paths at all.
WRITING = _words("rm mv cp touch mkdir rmdir tee chmod chgrp ln dd install truncate mkfifo shred unlink link split csplit")
PROGRAMMED = _words("sed awk gawk mawk grep egrep fgrep jq tr")
SAYING = _words("echo printf expr case (( let date tr")
# Commands that run the command which they are given, and the options of theirs that take a value.
WRAPPERS = {
    **dict.fromkeys(_words("command builtin time ionice coproc busybox parallel watch chrt taskset flock script"), ""),
    **{"xargs": "nLPIdsaE", "timeout": "ks", "nice": "n", "stdbuf": "ioe", "exec": "a"},
}
# Variables by which a shell, its loader or a tool is told to run something else, to find it elsewhere, or to read a script otherwise; and the
# tables in which Bash keeps what a command's name means. Whatever begins with LD_ is meant, too.
STEERING = _words(
    """PATH ENV BASH_ENV PROMPT_COMMAND PS0 PS1 PS2 PS4 SHELLOPTS BASHOPTS BASH_CMDS BASH_ALIASES BASH_LOADABLES_PATH BASH_COMPAT POSIXLY_CORRECT
    EXECIGNORE SHELL TAR_OPTIONS TAPE GCONV_PATH LOCPATH NLSPATH GLIBC_TUNABLES AWKPATH AWKLIBPATH EDITOR VISUAL PAGER LESSOPEN GREP_OPTIONS XZ_OPT
    XZ_DEFAULTS GZIP INPUTRC CURL_HOME FCEDIT MAILPATH"""
)
# What Bash itself sets (bash(1), "Shell Variables"), and what every sandbox has.
SHELL_VARIABLES = _words(
    """BASH BASHPID BASH_COMMAND BASH_LINENO BASH_REMATCH BASH_SOURCE BASH_SUBSHELL BASH_VERSINFO BASH_VERSION COLUMNS EPOCHREALTIME EPOCHSECONDS
    EUID FUNCNAME HOME IFS LANG LC_ALL LINENO MAPFILE OLDPWD OPTARG OPTIND OSTYPE PATH PIPESTATUS PPID PWD RANDOM REPLY SECONDS SHLVL SRANDOM
    TMPDIR TZ UID"""
)
