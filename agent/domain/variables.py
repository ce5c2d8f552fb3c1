"""Variables of the environment that a manifest may set: those that only its own code reads.

What a loader, an interpreter, a shell or a test runner takes from its environment steers more than the skill: PYTHONHOME put a proposal's own
library in the place of the one that the test bed is written in, and that library wrote the report.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

_BEGINNINGS = (
    "PYTHON", "PYTEST", "COVERAGE_", "COV_", "PIP_", "UV_", "VIRTUAL_ENV",  # CPython's own are listed by `python --help-env`
    "NODE_OPTIONS", "NODE_PATH", "NODE_DEBUG", "NODE_REPL", "NODE_V8", "NPM_", "V8_", "CGO_", "GCC_",
    "LD_", "DYLD_", "GLIBC_", "MALLOC_", "GCONV_",  # ld.so(8)
    "BASH", "SHELLOPTS", "LC_", "LESS", "GIT_", "DOCKER_", "PERL5",
    "OPENSSL_", "SSLKEYLOG", "SKILL_", "SKILLOPS_",
)  # fmt: skip
_NAMES = frozenset(
    (
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "ENV", "IFS", "CDPATH", "FPATH", "TZ", "TZDIR", "TERM", "TERMINFO", "LANG", "LANGUAGE",
        "LOCPATH", "NLSPATH", "LOCALDOMAIN", "HOSTALIASES", "RES_OPTIONS", "RESOLV_HOST_CONF", "GETCONF_DIR", "TMPDIR", "TMP", "TEMP", "PWD",
        "OLDPWD", "OPTIND", "PS0", "PS1", "PS2", "PS3", "PS4", "PROMPT_COMMAND", "COVERAGE", "HOSTNAME", "EDITOR", "VISUAL", "PAGER", "BROWSER",
        "INPUTRC", "NODE", "MANPATH", "CC", "CXX",
        # what `go env` lists, by which the compiler and what it calls are chosen
        "GO111MODULE", "GOARCH", "GOBIN", "GOCACHE", "GOCACHEPROG", "GOAUTH", "GODEBUG", "GOENV", "GOEXE", "GOEXPERIMENT", "GOFIPS140", "GOFLAGS",
        "GOGC", "GOINSECURE", "GOMAXPROCS", "GOMEMLIMIT", "GOMODCACHE", "GONOPROXY", "GONOSUMDB", "GOOS", "GOPATH", "GOPRIVATE", "GOPROXY", "GOROOT",
        "GOSUMDB", "GOTELEMETRY", "GOTMPDIR", "GOTOOLCHAIN", "GOTOOLDIR", "GOTRACEBACK", "GOVCS", "GOWORK", "GOCOVERDIR", "GCCGO",
    )
)  # fmt: skip


def steers(name: str) -> bool:
    """Whether something else than the skill's own code reads the variable, and does otherwise by it."""
    return name in _NAMES or name.startswith(_BEGINNINGS)


def _own(name: str) -> str:
    if steers(name):
        raise ValueError(f"{name} is read by what runs or tests the skill, not by the skill alone: give the setting a name of its own")
    return name


Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=64), AfterValidator(_own)]
