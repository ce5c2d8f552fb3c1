"""Compression of large blobs: the stream is git's, and what was compressed before is not compressed again."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.forges import git_deflate
from agent.forges.git_deflate import Deflate
from agent.forges.local import LocalForge
from tests.plain_git import git

HEADER = b"blob 7\0"


def a_registry(skills: int, changed: int = -1) -> bytes:
    """Lines like registry.yaml's; the skill `changed` has another digest and a longer text."""
    blocks = []
    for number in range(skills):
        digest = hashlib.sha256(b"%d %d" % (number, number == changed)).hexdigest()
        text = "Count words. " * (2 if number == changed else 1)
        blocks.append(f"  skill-{number:05}:\n    description: {text}\n    digest: sha256:{digest}\n    tree: {digest[:40]}\n")
    return "".join(blocks).encode()


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 1500)), max_size=4))
@settings(max_examples=25, deadline=None)
def test_any_stream_reads_back_after_any_other(parts: list[tuple[bytes, int]]) -> None:
    deflate = Deflate()
    for repeated, times in parts:
        data = (repeated + b"00\n") * times
        assert zlib.decompress(deflate(HEADER, data)) == HEADER + data


def test_only_what_changed_is_compressed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    deflate, before, after = Deflate(), a_registry(5000), a_registry(5000, changed=2500)
    deflate(HEADER, before)
    compressed: list[bytes] = []
    compress = git_deflate._compressed
    monkeypatch.setattr(git_deflate, "_compressed", lambda piece: compressed.append(piece) or compress(piece))

    assert zlib.decompress(deflate(HEADER, after)) == HEADER + after

    assert compressed and sum(map(len, compressed)) < len(after) / 3


def test_git_reads_a_large_file_that_changed_and_finds_nothing_wrong(tmp_path: Path) -> None:
    forge, parent = LocalForge.found(tmp_path / "origin.git"), None
    for changed in (-1, 40, 1999):
        data = a_registry(2000, changed)
        parent = forge.commit("main", {"registry.yaml": data}, parent=parent, message="m", author="ada")

        assert git(tmp_path / "origin.git", "cat-file", "blob", "main:registry.yaml") == data
        assert LocalForge(tmp_path / "origin.git").read("main", "registry.yaml") == data == forge.read("main", "registry.yaml")
    git(tmp_path / "origin.git", "fsck", "--strict", "--full")
