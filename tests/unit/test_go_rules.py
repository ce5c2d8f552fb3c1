"""Our own security rules for Go: what they stop, and the ordinary code that they leave alone. And gofmt, go vet and staticcheck."""

from __future__ import annotations

import base64

import pytest

from agent.errors import CouldNotTell
from agent.languages.go import GoLanguage, staticcheck
from agent.languages.go.analysis import security, style
from tests.engines import missing

pytestmark = pytest.mark.go_tools

BLOB = base64.b64encode(bytes(range(60))).decode()
OPAQUE = "".join(chr(48 + 11 * n % 75) for n in range(300)).replace("\\", "a").replace("`", "b")
CACHE = GoLanguage()._cache


def body(text: str, *imports: str) -> str:
    """A file with `text` in a function."""
    named = "".join(f"import {name}\n" for name in imports)
    return f"package skill\n\n{named}\nfunc f() {{\n{text}\n}}\n"


STOPPED = [
    ("files", body('os.ReadFile("/etc/passwd")', '"os"')),
    ("files", body('place := "/root/.ssh/id_rsa"; os.Open(place)', '"os"')),
    ("files", body('os.WriteFile("kept.txt", nil, 0o600)', '"os"')),
    ("files", body("os.RemoveAll(os.Args[0])", '"os"')),
    ("process", body('exec.Command("ls")', '"os/exec"')),
    ("process", body('run := x.Command; run("ls")', 'x "os/exec"')),
    ("process", body("os.StartProcess(a, b, c)", '"os"')),
    ("process", body("p := os.FindProcess; p(1)", '"os"')),
    ("process", body("signal.Ignore()", '"os/signal"')),
    ("native-code", body("_ = unsafe.Pointer(nil)", '"unsafe"')),
    ("native-code", body("C.puts(nil)", '"C"')),
    ("native-code", body("syscall.Exec(a, b, c)", '"syscall"')),
    ("native-code", body("debug.SetMaxStack(1)", '"runtime/debug"')),
    ("native-code", body("unix.Exec(a, b, c)", '"golang.org/x/sys/unix"')),
    ("native-code", body("reflect.NewAt(a, b)", '"reflect"')),
    ("dynamic-code", body("plugin.Open(a)", '"plugin"')),
    ("dynamic-code", 'package skill\n\nimport _ "skill/skillops_shim/gate"\n'),
    ("network", body("net.Dial(a, b)", '"net"')),
    ("network", body("http.Get(a)", '"net/http"')),
    ("network", body("tls.Dial(a, b, c)", '"crypto/tls"')),
    ("network", 'package skill\n\nimport _ "net/http/pprof"\n'),
    ("environment", body('_ = os.Getenv("HOME")', '"os"')),
    ("environment", body("read := os.Getenv; read(a)", '"os"')),
    ("environment", body("_ = os.Environ()", '"os"')),
    ("environment", body('_, _ = os.ReadFile("/proc/self/environ")', '"os"')),
    ("dot-import", body('Getenv("HOME")', '. "os"')),
    ("hidden-code", "//go:build linux\n\npackage skill\n"),
    ("hidden-code", "// +build ignore\n\npackage skill\n"),
    ("hidden-code", 'package skill\n\nimport _ "strings"\n\n//go:linkname f runtime.exit\nfunc f()\n'),
    ("hidden-code", "package skill\n\n//go:generate rm -rf /\nvar a = 1\n"),
    ("hidden-code", "package skill\n\n//line other.go:1\nvar a = 1\n"),
    ("hidden-code", "package skill\n\n//go:embedded\nvar a = 1\n"),
    ("encoded-payload", body(f'base64.StdEncoding.DecodeString("{BLOB}")', '"encoding/base64"')),
    ("encoded-payload", body(f'text := "{BLOB}"\nbase64.StdEncoding.DecodeString(text)', '"encoding/base64"')),
    ("encoded-payload", body(f"_ = string([]byte{{{', '.join(map(str, range(50)))}}})")),
    ("encoded-payload", body(f"_ = `{OPAQUE}`")),
]
ORDINARY = [
    body('place, _ := os.MkdirTemp("", "x")\n_ = os.WriteFile(place, nil, 0o600)', '"os"'),
    body('_, _ = os.Open("words.txt")', '"os"'),
    body('_ = os.Getenv("SKILL_STORAGE")\n_, _ = os.ReadFile(os.Args[0])', '"os"'),
    body("_ = url.Parse\n_ = netip.Addr{}", '"net/url"', '"net/netip"'),
    body("_ = syscall.Flock(1, syscall.LOCK_EX)", '"syscall"'),
    body('base64.StdEncoding.DecodeString("aGVsbG8=")\nstrings.Repeat("x", 3)', '"encoding/base64"', '"strings"'),
    'package skill\n\nimport _ "embed"\n\n//go:embed table.csv\nvar table string\n',
    body("go func() {}()\n_ = reflect.DeepEqual(a, b)", '"reflect"'),
]


@pytest.fixture
def found(tmp_path):
    def finding(files: dict[str, str | bytes]) -> list[tuple[str, str | None, int | None, str]]:
        root = tmp_path / "word-count"
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return [(each.rule.removeprefix("skillops-"), each.path, each.line, each.level) for each in security(root, CACHE)]

    return finding


@pytest.mark.parametrize(("rule", "source"), STOPPED)
def test_what_reaches_out_or_hides_is_stopped(found, rule, source):
    assert (rule, "error") in {(name, level) for name, _, _, level in found({"skill.go": source})}


@pytest.mark.parametrize("source", ORDINARY)
def test_ordinary_code_is_left_alone(found, source):
    assert found({"skill.go": source}) == []


def test_the_manifest_permits_the_network_and_variables(found):
    manifest = "permissions: {network: ['a.example:443']}\nenvironment: {UNIT: metre}\n"
    assert found({"skill.yaml": manifest, "skill.go": body('http.Get(os.Getenv("UNIT"))', '"net/http"', '"os"')}) == []


def test_what_is_ordinary_in_tests_is_a_note_there(found):
    assert {level for *_, level in found({"tests/a_test.go": body('os.Getenv("HOME")', '"os"')})} == {"note"}
    assert {level for *_, level in found({"tests/a_test.go": body('exec.Command("a")', '"os/exec"')})} == {"error"}


def test_what_cannot_be_read_or_is_hidden_is_found_with_its_place(found):
    files: dict[str, str | bytes] = {
        "skill.go": "package skill\n\nfunc {\n", "fast.s": "", "fast.c": "", "tool": b"\x7fELF...", "vendor/a/a.go": "package a\n", "go.work": "",
        "skill_windows.go": "package skill\n", "skill_test.go": "package skill\n", "_more.go": "package skill\n", "testdata/a.go": "package a\n",
        "tests/more.go": "package tests\n", "skill_linux_test.go": "package skill\n", "my_linux_words.go": "package skill\n",
    }  # fmt: skip
    assert [(rule, path and path.removeprefix("skills/word-count/"), line) for rule, path, line, _ in found(files)] == [
        ("hidden-code", "_more.go", None), ("hidden-code", "fast.c", None), ("hidden-code", "fast.s", None), ("hidden-code", "go.work", None),
        ("unreadable", "skill.go", 3), ("hidden-code", "skill_linux_test.go", None), ("hidden-code", "skill_test.go", None),
        ("hidden-code", "skill_windows.go", None), ("hidden-code", "testdata/a.go", None), ("hidden-code", "tests/more.go", None),
        ("hidden-code", "tool", None), ("hidden-code", "vendor/a/a.go", None),
    ]  # fmt: skip


# ---- style ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def styled(tmp_path):
    def finding(source: str, **more: str) -> list[tuple[str, int | None]]:
        root = tmp_path / "word-count"
        root.mkdir(exist_ok=True)
        for name, text in {"skill.go": source, **more}.items():
            (root / name).write_text(text)
        try:
            staticcheck.program(CACHE)
        except CouldNotTell as error:
            missing(f"staticcheck cannot be fetched here: {error}")
        return [(each.rule, each.line) for each in style(root, CACHE)]

    return finding


def test_format_vet_and_staticcheck_each_find_what_is_theirs(styled):
    assert styled("package skill\n\nvar   A = 1\n") == [("gofmt", None)]
    assert styled('package skill\n\nimport "fmt"\n\nfunc F() { fmt.Printf("%d", "a") }\n') == [("vet", 5)]
    assert styled("package skill\n\nfunc F() { undefined() }\n") == [("vet", 3)]
    assert styled("package skill\n\nfunc unused() {}\n") == [("U1000", 3)]


def test_comments_and_files_of_the_skill_do_not_switch_a_check_off(styled):
    source = "package skill\n\n//lint:ignore U1000 because\nfunc unused() {}\n"
    assert styled(source, **{"staticcheck.conf": 'checks = ["-all"]\n'}) == [("U1000", 4)]


def test_where_staticcheck_cannot_be_had_nobody_can_tell(tmp_path, monkeypatch):
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:9")
    with pytest.raises(CouldNotTell, match="staticcheck cannot be fetched"):
        staticcheck.program(tmp_path / "cache")
