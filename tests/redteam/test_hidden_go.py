"""Who writes Go that uses what it does not seem to name, or that the compiler takes otherwise than a reader does."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.languages.go import GoLanguage
from agent.languages.go.analysis import security
from tests.redteam.threats import threat

pytestmark = pytest.mark.go_tools


def body(text: str, *imports: str) -> str:
    named = "".join(f"import {name}\n" for name in imports)
    return f"package skill\n\n{named}\nfunc f() {{\n{text}\n}}\n"


# Packages by another name, and those that do more than they say.
PACKAGES = {
    "a process by another name": body('run := x.Command; run("id")', 'x "os/exec"'),
    "a process with a dot": body('Command("id")', '. "os/exec"'),
    "a process for its init alone": 'package skill\n\nimport _ "os/exec"\n',
    "os with a dot": body('StartProcess("id", nil, nil)', '. "os"'),
    "a kind of os": body("type p = o.Process; var q *p; q.Kill()", 'o "os"'),
    "a part of a kind": 'package skill\n\nimport "os"\n\ntype p struct{ *os.Process }\n',
    "a function of os in a table": body('t := map[string]any{"x": os.StartProcess}; _ = t', '"os"'),
    "a dialer of texts": body('textproto.Dial("tcp", "h:80")', '"net/textproto"'),
    "a dialer as a value": body("d := t.Dial; _ = d", 't "net/textproto"'),
    "the tools of Go": body('build.Import("x", "", 0)', '"go/build"'),
    "an importer that starts them": body("importer.ForCompiler(nil, a, nil)", '"go/importer"'),
    "whether it is tested": body("_ = testing.Testing()", '"testing"'),
    "a file by its number": body('os.NewFile(3, "x")', '"os"'),
    "somebody's account": body("user.Current()", '"os/user"'),
    "the network by below": body("_ = httptest.NewServer", '"net/http/httptest"'),
    "figures that are served": 'package skill\n\nimport _ "expvar"\n',
    "a log that calls out": body("syslog.New(0, a)", '"log/syslog"'),
    "a package that nobody knows": 'package skill\n\nimport _ "simd"\n',
    "coverage that writes": body('coverage.WriteMetaDir("/tmp")', '"runtime/coverage"'),
    "system calls": body("syscall.RawSyscall(1, 2, 3, 4)", '"syscall"'),
    "system calls by another name": body("s.ForkExec(a, b, nil)", 's "syscall"'),
    "system calls with a dot": body("Exec(a, b, c)", '. "syscall"'),
    "C": 'package skill\n\n// #include <stdlib.h>\nimport "C"\n',
    "a plugin": body('plugin.Open("/tmp/x.so")', '"plugin"'),
}
# Memory of any kind, methods that are not named, and what the compiler is told.
NATIVE = {
    "unsafe by another name": body("_ = u.Pointer(nil)", 'u "unsafe"'),
    "unsafe without its name": body("p := (*[9]uintptr)(reflect.ValueOf(&a).UnsafePointer()); _ = p", '"reflect"'),
    "an address as a number": body("_ = reflect.ValueOf(&a).Elem().UnsafeAddr()", '"reflect"'),
    "an address by a value": body("v := reflect.ValueOf(&a); g := v.UnsafePointer; _ = g", '"reflect"'),
    "what an interface holds": body("_ = reflect.ValueOf(&a).InterfaceData()", '"reflect"'),
    "a header of a slice": body("var h reflect.SliceHeader; _ = h", '"reflect"'),
    "a method by its name": body('reflect.ValueOf(a).MethodByName("Ki" + "ll").Call(nil)', '"reflect"'),
    "a descriptor under a file": body("os.Stdin.SyscallConn()", '"os"'),
    "a link to another's function": 'package skill\n\nimport _ "strings"\n\n//go:linkname f os.runtime_args\nfunc f() []string\n',
    "a link within a body": body("//go:linkname g syscall.RawSyscall\n_ = 1"),
    "a comment that compiles": "package skill\n\n//go:cgo_import_dynamic x x\nvar a = 1\n",
    "a comment that generates": "package skill\n\n//go:generate sh -c id\nvar a = 1\n",
    "a comment that debugs": "//go:debug madvdontneed=1\npackage skill\n",
    "a comment that moves lines": "package skill\n\n/*line other.go:1:1*/ var a = 1\n",
    "a constraint": "//go:build !test\n\npackage skill\n",
    "a constraint of old": "// +build linux\n\npackage skill\n",
}
# Files, the environment and payloads, in pieces.
REACHED = {
    "a path in pieces": body('os.Open("/e" + "tc/passwd")', '"os"'),
    "a path by a constant": 'package skill\n\nimport "os"\n\nconst a = "/e"\nconst b = a + "tc/passwd"\n\nfunc f() { os.Open(b) }\n',
    "a path by a variable": body('a := "/e"; b := a + "tc/passwd"; os.Open(b)', '"os"'),
    "a path that is joined": body('os.Open(filepath.Join("/", "etc", "passwd"))', '"os"', '"path/filepath"'),
    "a path of a list": body('os.Open(strings.Join([]string{"", "etc", "passwd"}, "/"))', '"os"', '"strings"'),
    "a path by letters": body("os.Open(string([]byte{47, 101, 116, 99, 47, 112, 97, 115, 115, 119, 100}))", '"os"'),
    "a path by signs": body("os.Open(string([]rune{'/', 'e', 't', 'c', '/', 'x'}))", '"os"'),
    "a path that is printed": body('os.Open(fmt.Sprintf("/%s/%s", "etc", "passwd"))', '"os"', '"fmt"'),
    "a path that is replaced": body('os.Open(strings.ReplaceAll("/3tc/passwd", "3", "e"))', '"os"', '"strings"'),
    "a path in brackets": body('os.Open(("/etc") + ("/passwd"))', '"os"'),
    "a path that goes up": body('os.ReadFile(filepath.Join("..", "..", "etc", "passwd"))', '"os"', '"path/filepath"'),
    "a walk": body('filepath.WalkDir("/", nil)', '"path/filepath"'),
    "a pattern": body('filepath.Glob("/e*/passwd")', '"path/filepath"'),
    "a template": body('template.ParseFiles("/etc/passwd")', '"text/template"'),
    "an archive": body('zip.OpenReader("/root/x.zip")', '"archive/zip"'),
    "code that is read": body('parser.ParseFile(nil, "/etc/passwd", nil, 0)', '"go/parser"'),
    "a file system": body('os.DirFS("/")', '"os"'),
    "an opener as a value": body('o := os.Open; p := "/etc/passwd"; o(p)', '"os"'),
    "a writer as a value": body('w := os.Create; w("kept.txt")', '"os"'),
    "processes' files in pieces": body('os.Open("/pro" + "c/self/environ")', '"os"'),
    "a variable in pieces": body('os.Getenv("AWS" + "_SECRET")', '"os"'),
    "a variable by another name": body('g := os.LookupEnv; g("AWS_SECRET")', '"os"'),
    "variables in a text": body('os.Expand("$AWS", os.Getenv)', '"os"'),
    "the machine's name": body("os.Hostname()", '"os"'),
    "a payload in pieces": body(f'_ = "{"aZ3k9Qw7Lm2Xc8Vb" * 7}" + "{"bN4j5Er6Tz1Yu0Io" * 7}" + "{"Pq8Ws2Dx6Cf4Vg7B" * 3}"'),
}
# Files that the compiler takes otherwise than they seem.
FILES = {
    "a file of another machine": {"check_riscv.go": "package skill\n"},
    "assembly": {"fast.s": "TEXT ·f(SB), $0\n"},
    "an object": {"fast.syso": "x"},
    "modules of its own": {"vendor/strings/strings.go": "package strings\n"},
    "a workspace": {"go.work": "go 1.22\n"},
    "a path of another file": {
        "skill.go": body('o.Read(a + "/passwd")', 'o "skill/o"'),
        "o/o.go": body("os.ReadFile(x)", '"os"'),
        "o/p.go": 'package o\n\nvar A = "/e" + "tc"\n',
    },
}
HIDDEN = PACKAGES | NATIVE | REACHED
HONEST = {
    "texts": body('a := "x" + "/" + b; _ = strings.Join([]string{"a", a}, "/")', '"strings"'),
    "its own files": body(
        'os.Open(filepath.Join("data", "words.txt")); os.ReadFile(filepath.Join(os.Getenv("SKILL_STORAGE"), name))', '"os"', '"path/filepath"'
    ),
    "a scratch file": body('d, _ := os.MkdirTemp("", "x"); os.WriteFile(filepath.Join(d, "y"), nil, 0o600)', '"os"', '"path/filepath"'),
    "reflection": body("_ = reflect.DeepEqual(a, b); _ = reflect.TypeOf(a).Kind(); _ = reflect.ValueOf(a).Len()", '"reflect"'),
    "packages that compute": body("_ = 1", '_ "embed"', '_ "time/tzdata"', '_ "crypto/sha256"', '_ "math/rand/v2"', '_ "golang.org/x/net/html"'),
    "a package of the skill": body("_ = index.Find", '"skill/index"'),
    "headers": body("_ = textproto.MIMEHeader{}; _ = textproto.CanonicalMIMEHeaderKey(a)", '"net/textproto"'),
}


def found(root: Path, files: dict[str, str]) -> dict[str, str]:
    """What is found in each file."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    told = [each for each in security(root, GoLanguage()._cache) if each.level != "note"]
    return {(each.path or "").partition("/word-count/")[2]: f"{each.rule}: {each.message}" for each in told}


def apart(cases: dict[str, str]) -> dict[str, str]:
    """Each case as a package of one skill: the analyser reads all of them at once."""
    return {f"p{number}/skill.go": code for number, code in enumerate(cases.values())}


@threat(91)
def test_what_code_uses_without_naming_it_is_told(tmp_path: Path) -> None:
    files = apart(HIDDEN)
    told = found(tmp_path / "word-count", files)
    assert [how for how, name in zip(HIDDEN, files, strict=True) if name not in told] == []


@pytest.mark.parametrize("how", FILES)
def test_what_the_compiler_takes_otherwise_is_told(tmp_path: Path, how: str) -> None:
    assert found(tmp_path / "word-count", FILES[how])


def test_what_hides_nothing_is_let_be(tmp_path: Path) -> None:
    assert found(tmp_path / "word-count", apart(HONEST)) == {}


def test_a_text_of_many_names_keeps_nobody_busy(tmp_path: Path) -> None:
    lines = [f"const a{n} = {' + '.join([f'a{n + 1}'] * 150)}" for n in range(40)]
    assert found(tmp_path / "word-count", {"skill.go": "package skill\n\n" + "\n".join(lines) + '\nconst a40 = "x"\n'}) == {}
