"""What a Go skill may not import, name or ask of its tools: the tables of `rules.py`."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DYNAMIC, PROCESS, NATIVE, NETWORK, ENVIRONMENT, ENCODED, HIDDEN = (
    ("dynamic-code", "runs or loads code that a reader cannot see"),
    ("process", "starts or ends processes, which a skill may not"),
    ("native-code", "reaches native code and memory"),
    ("network", "uses the network, and permissions.network is empty: declare each host:port there"),
    ("environment", "reads the machine's environment; a skill has SKILL_* and what its manifest's `environment` names"),
    ("encoded-payload", "decodes a literal, which hides its content from a reader: write it in plain"),
    ("hidden-code", "has a tool take in code, or leave it out, that a reader does not expect"),
)
# Packages; everything below a path is meant, too.
PACKAGES: dict[str, tuple[str, str]] = {
    path: rule
    for rule, paths in (
        (DYNAMIC, "plugin testing golang.org/x/tools/go/packages github.com/traefik/yaegi github.com/d5/tengo"),
        (PROCESS, "os/exec os/signal go/build go/importer github.com/creack/pty"),
        (NATIVE, "C unsafe syscall runtime/cgo runtime/debug runtime/pprof runtime/trace runtime/coverage runtime/race debug"),
        (NATIVE, "golang.org/x/sys github.com/ebitengine/purego"),
        (NETWORK, "net net/http net/rpc net/smtp net/textproto crypto/tls log/syslog expvar golang.org/x/net golang.org/x/crypto/ssh"),
        (NETWORK, "github.com/gorilla/websocket google.golang.org/grpc github.com/go-resty/resty github.com/valyala/fasthttp"),
        (ENVIRONMENT, "os/user"),
    )
    for path in paths.split()
}
# What Go brings beside those, and a skill may import; the rest no rule of ours has looked at. A path below one of these is meant where it has
# no entry of its own.
HARMLESS = _words("""
    archive bufio bytes cmp compress container context crypto database/sql embed encoding errors flag fmt go/ast go/constant go/doc go/format
    go/parser go/printer go/scanner go/token go/types go/version hash html image index io iter log maps math mime net/mail net/netip
    net/textproto net/url os path reflect regexp runtime slices sort strconv strings structs sync syscall text time unicode unique weak
""")
# Below a path of those above, and harmless.
ALLOWED = frozenset(
    ("net/url", "net/netip", "net/mail", "net/textproto", "golang.org/x/net/html", "golang.org/x/net/html/atom", "golang.org/x/net/idna")
)
# Of these only the names that are given: file locks, which a storage that several calls share cannot do without.
PARTLY: dict[str, frozenset[str]] = {"syscall": frozenset(("Flock", "LOCK_EX", "LOCK_SH", "LOCK_UN", "LOCK_NB", "EWOULDBLOCK", "ENOSPC", "EDQUOT"))}
# Names of packages that may be imported.
NAMES: dict[tuple[str, str], tuple[str, str]] = {
    **{("os", name): PROCESS for name in ("StartProcess", "FindProcess", "Process", "Kill", "Interrupt", "ProcAttr")},
    **{("os", name): ENVIRONMENT for name in ("Environ", "ExpandEnv", "UserHomeDir", "UserCacheDir", "UserConfigDir", "Hostname")},
    **{("reflect", name): NATIVE for name in ("NewAt", "SliceHeader", "StringHeader")},
    **{("os", name): NATIVE for name in ("NewFile",)},
    **{("net/textproto", name): NETWORK for name in ("Dial", "NewConn", "Conn")},
    **{("crypto/x509", name): ENVIRONMENT for name in ("SystemCertPool",)},
    **{("mime", name): ENVIRONMENT for name in ("TypeByExtension", "ExtensionsByType")},
    **{("runtime", name): ENVIRONMENT for name in ("GOROOT",)},
    ("runtime", "Breakpoint"): NATIVE,
}
# Methods, of whatever they are: they give a pointer that any type may be made of, without `unsafe`, or reach what has no name here.
MEMBERS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("UnsafePointer", "UnsafeAddr", "InterfaceData", "SetPointer", "SyscallConn", "RawControl"), NATIVE),
    **dict.fromkeys(("MethodByName",), DYNAMIC),
}
READERS = ("Getenv", "LookupEnv")  # of os: with a constant name that the skill was given they are fine
DECODERS = {
    ("encoding/base64", "DecodeString"), ("encoding/base32", "DecodeString"), ("encoding/hex", "DecodeString"), ("encoding/ascii85", "Decode"),
    ("", "string"),
}  # fmt: skip
# What //go:… may say: a file of the skill's becomes part of the program, and hints that change no meaning.
DIRECTIVES = ("//go:embed ", "//go:noinline", "//go:inline")
SUFFIXES = (".s", ".S", ".sx", ".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".m", ".f", ".F", ".swig", ".swigcxx", ".syso", ".so", ".a", ".o")
# A file whose name ends so is left out of the build for other machines (go/build: GOOS and GOARCH).
MACHINES = _words("""
    amd64p32 arm64be armbe mips64p32 mips64p32le ppc riscv s390 sparc aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd
    openbsd plan9 solaris wasip1 windows zos 386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x sparc64 wasm
""")


# Names of os and io/ioutil that take a path, those of them that change what lies there, and those that give a place for a while.
READING = _words("Open ReadFile ReadDir Stat Lstat DirFS OpenRoot Readlink Chdir")
WRITING = _words("Create WriteFile Mkdir MkdirAll Remove RemoveAll Rename Chmod Chown Lchown Link Symlink Truncate Chtimes CopyFS OpenFile")
SCRATCH = _words("TempDir MkdirTemp CreateTemp")
# Names of other packages that take a path and read what lies there.
OPENING = frozenset(
    (package, name)
    for package, names in (
        ("path/filepath", "Walk WalkDir Glob EvalSymlinks"), ("text/template", "ParseFiles ParseGlob"), ("html/template", "ParseFiles ParseGlob"),
        ("archive/zip", "OpenReader"), ("go/parser", "ParseFile ParseDir"),
    )
    for name in names.split()
)  # fmt: skip
