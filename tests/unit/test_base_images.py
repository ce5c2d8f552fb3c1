"""Making the base images: what stands in the way is said, with the next step; a root gives the same bytes on another day."""

from __future__ import annotations

import os
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.builders import base_images
from agent.builders.bases import STABLE
from agent.builders.root_tar import EPOCH, add_user, write_tar
from agent.errors import ConfigurationError, CouldNotTell


class NoImages:
    """An engine that has no images and takes none."""

    def client(self) -> SimpleNamespace:
        return SimpleNamespace(api=SimpleNamespace(images=lambda **_: []))


def on_the_path(folder: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> None:
    """Programs of the test's own, and no others but the shell's."""
    folder.mkdir()
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def made(mirror: str = "http://mirror.example.com/debian") -> list[str]:
    return list(base_images.make(NoImages(), "bookworm", mirror))  # type: ignore[arg-type]


def test_without_debootstrap_the_package_and_the_other_way_are_named(tmp_path, monkeypatch):
    on_the_path(tmp_path / "bin", monkeypatch, node="echo v20.0.0")
    with pytest.raises(ConfigurationError) as caught:
        made()
    assert "apt-get install debootstrap" in caught.value.next_step
    assert "base_images" in caught.value.next_step


def test_who_is_no_root_is_told(tmp_path, monkeypatch):
    on_the_path(tmp_path / "bin", monkeypatch, debootstrap="exit 1", node="echo v20.0.0")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigurationError, match="Only root"):
        made()


@pytest.mark.parametrize(("node", "what"), [("echo v18.19.0", "older than 20"), ("", "not installed")])
def test_a_node_that_is_too_old_or_not_there_is_told(tmp_path, monkeypatch, node, what):
    on_the_path(tmp_path / "bin", monkeypatch, debootstrap="exit 1", **({"node": node} if node else {}))
    with pytest.raises(ConfigurationError, match=what):
        made()


@pytest.mark.parametrize(
    ("says", "what"),
    [
        ("E: Failed getting release file http://mirror.example.com/debian/dists/bookworm/Release", "mirror .* is out of reach"),
        ("W: cp: error writing: No space left on device", "no space left"),
        ("E: Cannot mount proc", "made no root"),
    ],
)
def test_what_debootstrap_says_is_told(tmp_path, monkeypatch, says, what):
    on_the_path(tmp_path / "bin", monkeypatch, debootstrap=f"echo '{says}'; exit 1", node="echo v20.0.0")
    with pytest.raises(CouldNotTell, match=what) as caught:
        made()
    assert caught.value.why == says


def test_a_full_disk_is_told_before_anything_is_fetched(tmp_path, monkeypatch):
    on_the_path(tmp_path / "bin", monkeypatch, debootstrap="exit 1", node="echo v20.0.0")
    monkeypatch.setattr(base_images, "FREE", 2**60)
    with pytest.raises(CouldNotTell, match="no space for the base images"):
        made()


def test_images_of_the_same_recipe_are_not_made_again(monkeypatch):
    monkeypatch.setattr(base_images, "_node_version", lambda: "20.0.0")
    recipes = {STABLE[runtime]: base_images.recipe(runtime, "bookworm") for runtime in STABLE}

    class Full:
        def client(self) -> SimpleNamespace:
            return SimpleNamespace(api=SimpleNamespace(images=lambda filters: [{"Labels": {"skillops.base.recipe": recipes[filters["reference"]]}}]))

    assert list(base_images.make(Full(), "bookworm")) == [f"{STABLE[runtime]} is there." for runtime in base_images.STEPS]  # type: ignore[arg-type]
    assert base_images.recipe("python", "trixie") != recipes[STABLE["python"]]


def a_root(folder: Path, day: str) -> Path:
    (folder / "etc").mkdir(parents=True)
    for name in ("passwd", "group"):
        (folder / "etc" / name).write_text("root:x:0:0:root:/root:/bin/sh\n")
    (folder / "etc/shadow").write_text(f"root:*:{day}:0:99999:7:::\n")
    for gone in ("etc/resolv.conf", "etc/machine-id", "var/log/apt.log", "usr/share/doc/a/copyright"):
        (folder / gone).parent.mkdir(parents=True, exist_ok=True)
        (folder / gone).write_text(f"of this machine, on {day}")
    (folder / "usr/bin").mkdir()
    (folder / "usr/bin/old").write_text("from a package")
    os.utime(folder / "usr/bin/old", (EPOCH - 1000, EPOCH - 1000))
    os.link(folder / "usr/bin/old", folder / "usr/bin/linked")
    os.mkfifo(folder / "usr/bin/pipe")
    return folder


def test_the_same_packages_give_the_same_bytes_on_another_day(tmp_path):
    digests = []
    for day in ("20000", "20001"):
        since = time.time() - 1
        root = a_root(tmp_path / day, day)
        add_user(root, 65532)
        digests.append(write_tar(root, tmp_path / f"{day}.tar", since))
    assert digests[0] == digests[1]
    with tarfile.open(tmp_path / "20000.tar") as tar:
        members = {member.name: member for member in tar}
        passwd = tar.extractfile("./etc/passwd").read().decode()  # type: ignore[union-attr]
    assert "skill:x:65532:65532:" in passwd
    assert {"./var/log/apt.log", "./etc/resolv.conf", "./etc/machine-id", "./usr/share/doc", "./usr/bin/pipe"}.isdisjoint(members)
    assert "./var/log" in members
    assert members["./usr/bin/old"].mtime == EPOCH - 1000 == members["./etc/passwd"].mtime - 1000
