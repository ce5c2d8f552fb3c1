"""Dependencies of Go skills: pins, go.mod and go.sum as their lock, and the modules that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.errors import CouldNotTell, Refused
from agent.languages.go import GoLanguage, toolchain
from agent.languages.go.locking import locked, newer
from tests.builders import a_manifest
from tests.engines import missing

pytestmark = pytest.mark.go_tools

UUID = "github.com/google/uuid@v1.6.0"
MOD = "module skill\n\ngo 1.22\n\nrequire (\n\tgithub.com/google/uuid v1.6.0\n)\n"
HASH = "h1:" + "A" * 43 + "="
SUM = f"github.com/google/uuid v1.6.0 {HASH}\ngithub.com/google/uuid v1.6.0/go.mod {HASH}\n"
SKILL = """package skill

import "github.com/google/uuid"

func Execute(inputs, context map[string]any) (map[string]any, error) {
	return map[string]any{"nil": uuid.Nil.String()}, nil
}
"""


def its(*pins: str) -> Any:
    return a_manifest(runtime="go", entrypoint="skill.go", dependencies=list(pins))


def found(root: Path, mod: str | None, sums: str | None, *pins: str) -> list[tuple[str, str, str]]:
    for name, text in (("go.mod", mod), ("go.sum", sums)):
        (root / name).unlink(missing_ok=True)
        if text is not None:
            (root / name).write_text(text)
    findings = GoLanguage(root / "cache").dependencies(root, its(*pins))
    return [(finding.rule, finding.level, finding.message) for finding in findings]


def test_a_lock_that_fits_its_pins_is_right(tmp_path):
    assert found(tmp_path, MOD, SUM, UUID) == []
    assert found(tmp_path, None, None) == found(tmp_path, "module skill\n\ngo 1.22\n", None) == []


@pytest.mark.parametrize(
    "pin", ["github.com/google/uuid", "github.com/google/uuid@latest", "github.com/google/uuid@v1", "uuid@v1.6.0", "../a@v1.0.0"]
)
def test_what_is_not_pinned_exactly_is_found_and_never_locked(tmp_path, pin):
    assert "unpinned" in [rule for rule, *_ in found(tmp_path, MOD, SUM, pin)]
    with pytest.raises(Refused):
        GoLanguage(tmp_path / "cache").lock(its(pin))


@pytest.mark.parametrize(
    ("mod", "sums", "message"),
    [
        (None, SUM, "go.mod is missing"),
        (MOD, None, "go.sum is missing"),
        (MOD, "junk\n", "not of the form"),
        (MOD, "", "has no hash"),
        (MOD, SUM.replace("v1.6.0 h1", "v1.5.0 h1"), "has no hash"),
        (MOD, SUM.replace("h1:", "h2:"), "not of the form"),
        (MOD.replace("1.6.0", "1.5.0"), SUM, "make it again"),
        (MOD + "require example.com/other v1.0.0\n", SUM, "make it again"),
        (MOD + "replace github.com/google/uuid => ../mine\n", SUM, "is no `module skill`"),
        (MOD + "toolchain go1.99.0\n", SUM, "is no `module skill`"),
        (MOD.replace("module skill", "module other"), SUM, "is no `module skill`"),
        (MOD + "require github.com/stretchr/testifi v1.0.0 // indirect\n", SUM, "looks like github.com/stretchr/testify"),
        (MOD + "require -modfile=/etc/go.mod v1.0.0 // indirect\n", SUM, "is no `module skill`"),
    ],
)
def test_a_lock_that_is_broken_is_found_and_nothing_is_built_with_it(tmp_path, mod, sums, message):
    root, target = tmp_path / "word-count", tmp_path / "target"
    root.mkdir()
    target.mkdir()
    assert any(message in told and level == "error" for _, level, told in found(root, mod, sums, UUID))
    (root / "skill.go").write_text(SKILL)
    with pytest.raises(Refused):
        GoLanguage().prepare(root, its(UUID), target)


def test_a_lock_without_dependencies_is_found(tmp_path):
    assert [rule for rule, *_ in found(tmp_path, None, SUM)] == ["lock"]
    assert [rule for rule, *_ in found(tmp_path, MOD, None)] == ["lock"]


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("go: a.example/b@v1.0.0: reading https://p/a.example/b/@v/v1.0.0.info: 404 Not Found", Refused),
        ("go: a.example/b@v1.0.0: invalid version: unknown revision v1.0.0", Refused),
        ("verifying a.example/b@v1.0.0: checksum mismatch\nSECURITY ERROR", Refused),
        ('go: a.example/b@v1.0.0: Get "https://p/": dial tcp: lookup p: no such host', CouldNotTell),
        ("go: a.example/b@v1.0.0: reading https://p/: 503 Service Unavailable", CouldNotTell),
        ("write /x: no space left on device", CouldNotTell),
    ],
)
def test_what_go_says_is_refused_or_not_known(tmp_path, monkeypatch, told, kind):
    program = tmp_path / "go"
    program.write_text(f"#!/bin/sh\n[ \"$1\" = env ] && exit 0\ncat >&2 <<'X'\n{told}\nX\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("agent.languages.go.locking.go", lambda: str(program))
    with pytest.raises((Refused, CouldNotTell)) as caught:
        GoLanguage(tmp_path / "cache").lock(its(UUID))
    assert isinstance(caught.value, kind) and caught.value.next_step


def test_a_proxy_that_is_out_of_reach_is_no_fault_of_the_author(tmp_path, monkeypatch):
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:9")
    with pytest.raises(CouldNotTell, match="out of reach"):
        GoLanguage(tmp_path / "cache").lock(its(UUID))


def test_locking_and_building_run_nothing_and_give_the_same_twice(tmp_path):
    language, manifest = GoLanguage(), its(UUID)
    try:
        lock = language.lock(manifest)
    except CouldNotTell as error:
        missing(f"the module proxy cannot be reached: {error}")
    assert lock["go.mod"].decode() == MOD
    root = tmp_path / "word-count"
    root.mkdir()
    for name, data in {**lock, "skill.go": SKILL.encode()}.items():
        (root / name).write_bytes(data)
    assert language.lock(manifest) == lock
    assert language.dependencies(root, manifest) == ()
    made = []
    for target in (tmp_path / "one", tmp_path / "two"):
        target.mkdir()
        language.prepare(root, manifest, target)
        made.append((target / "skill").read_bytes())
    assert made[0] == made[1]

    (root / "go.sum").write_bytes(lock["go.sum"].replace(b"h1:N", b"h1:M"))
    (tmp_path / "three").mkdir()
    with pytest.raises(Refused, match="dependencies cannot be fetched"):
        language.prepare(root, manifest, tmp_path / "three")
    with pytest.raises(Refused):
        language.lock(its("github.com/google/uuid@v1.987.0"))


# ---- the toolchain --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("says", "message"), [(None, "not installed"), ("go version go1.21.3 linux/amd64", "too old"), ("gibberish", "too old")])
def test_a_go_that_is_missing_or_too_old_is_told(tmp_path, monkeypatch, says, message):
    if says:
        (tmp_path / "go").write_text(f"#!/bin/sh\necho '{says}'\n")
        (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/nowhere")
    toolchain.go.cache_clear()
    try:
        with pytest.raises(CouldNotTell, match=message) as caught:
            toolchain.go()
        assert "1.22" in caught.value.next_step
    finally:
        toolchain.go.cache_clear()


def test_a_tool_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    with pytest.raises(CouldNotTell, match=r"took longer than"):
        toolchain.said("/bin/sh", "-c", "sleep 3600 & sleep 3600", cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, seconds=0.3)


def test_nothing_of_the_machines_settings_changes_a_build(tmp_path, monkeypatch):
    for name, value in {"GOFLAGS": "-toolexec=/bin/evil", "CGO_ENABLED": "1", "GOTOOLCHAIN": "go1.99.0", "CC": "evil"}.items():
        monkeypatch.setenv(name, value)
    settings = toolchain.environment(tmp_path)
    assert (settings["CGO_ENABLED"], settings["GOTOOLCHAIN"], settings["GOPROXY"], settings["GOENV"]) == ("0", "local", "off", "off")
    assert "toolexec" not in settings["GOFLAGS"] and "CC" not in settings


def test_newer_versions_are_of_the_same_major_and_what_is_no_tag_stays(tmp_path: Path) -> None:
    pins = ("github.com/google/uuid@v1.3.0", "example.com/x@v0.0.0-20200101000000-abcdefabcdef")
    raised, same = newer(a_manifest(runtime="go", entrypoint="skill.go", dependencies=pins), tmp_path)
    assert pins[0] < raised < "github.com/google/uuid@v2" and same == pins[1]


def test_a_lock_file_says_what_it_locks() -> None:
    text = b"module skill\n\ngo 1.22\n\nrequire (\n\texample.com/a v1.0.0\n)\nrequire example.com/b v2.0.0+incompatible // indirect\n"
    assert [str(package) for package in locked({"go.mod": text})] == ["example.com/a v1.0.0", "example.com/b v2.0.0+incompatible"]
