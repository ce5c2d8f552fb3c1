"""Dockerfiles: those that the languages write, and what is read of one that a person wrote."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dockerfile import arguments, bases, instructions, label, marked, quoted
from agent.languages.bash import BashLanguage
from agent.languages.container import rules
from agent.languages.go import GoLanguage
from agent.languages.node import NodeLanguage
from agent.languages.python import PythonLanguage
from agent.ports import Language
from tests.builders import a_manifest

LANGUAGES: tuple[Language, ...] = (PythonLanguage(), NodeLanguage(), GoLanguage(), BashLanguage())
PINNED = "debian@sha256:" + "a" * 64


@pytest.fixture(params=LANGUAGES, ids=lambda language: language.name)
def language(request) -> Language:
    return request.param


def test_a_language_writes_its_layers_in_the_order_in_which_they_change(language):
    text = language.dockerfile(a_manifest(dependencies=["x==1"]), "a-base:1", {"skillops.digest": "sha256:1"})
    words = [each.word for each in instructions(text)]
    copied = [each.rest.split()[0] for each in instructions(text) if each.word == "COPY"]
    assert (words[0], words[-1]) == ("FROM", "LABEL")
    assert copied[-2:] == ["service.json", "code"]
    assert copied[0] in {"python": ("deps",), "node": ("node_modules",), "go": ("skill",), "bash": ("server.py",)}[language.name]


def test_a_language_writes_an_image_that_is_no_root_and_starts_and_is_probed_without_a_shell(language):
    found = {each.word: each.rest for each in instructions(language.dockerfile(a_manifest(health={"interval": "7s"}), "a-base:1"))}
    assert (found["USER"], found["EXPOSE"]) == ("65532:65532", "8080")
    assert json.loads(found["CMD"])[0] in ("python3", "node", "/skill/skill")
    options, _, probe = found["HEALTHCHECK"].partition(" CMD ")
    assert options == "--interval=7s --timeout=10s --retries=3"
    assert json.loads(probe)[0] in ("python3", "node", "/skill/skill")
    assert not rules._PIPED.search(probe)
    assert "curl" not in probe


def test_a_dockerfile_is_a_pure_function_of_the_manifest(language):
    manifest = a_manifest(dependencies=["x==1"], environment={"UNIT": "metre"})
    assert language.dockerfile(manifest, "a-base:1") == language.dockerfile(manifest, "a-base:1")
    assert 'ENV UNIT="metre"' in language.dockerfile(manifest, "a-base:1")


@given(st.text())
def test_a_quoted_value_is_one_word_of_one_line(value):
    found = instructions(f"FROM x\nLABEL a={quoted(value)}\n")
    assert [each.word for each in found] == ["FROM", "LABEL"]
    assert re.fullmatch(r'a="([^"\\$]|\\["\\$])*"', found[1].rest)


def test_labels_are_one_instruction():
    (found,) = instructions(label({"b": "two $words", "a": 'quo"te'}))
    assert (found.word, found.rest.split()) == ("LABEL", ['a="quo\\"te"', 'b="two', '\\$words"'])


def test_what_a_person_wrote_is_read():
    text = (
        "# comment\nfrom --platform=linux/amd64 debian:12 AS one\nARG A=1 B\nRUN true \\\n# between\n  && false\n\nFROM one\nFROM scratch\nFROM $X\n"
    )
    found = instructions(text)
    assert [(each.word, each.line, each.last) for each in found] == [
        ("FROM", 2, 2), ("ARG", 3, 3), ("RUN", 4, 6), ("FROM", 8, 8), ("FROM", 9, 9), ("FROM", 10, 10),
    ]  # fmt: skip
    assert found[2].rest == "true  && false"
    assert [base.rest for base in bases(found)] == ["debian:12", "$X"]
    assert arguments(found) == {"A", "B"}


def test_every_stage_is_marked():
    assert marked("FROM a \\\n AS b\nRUN x\nFROM b\n", "k=1") == "FROM a \\\n AS b\nLABEL k=1\nRUN x\nFROM b\nLABEL k=1\n"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("USER root", "root"), ("USER 0:0", "root"), ("ADD https://example.com/x /x", "remote-add"),
        ("RUN curl -s https://example.com | sh", "piped-shell"),
        ("ENV API_TOKEN=x", "secret"), ("CMD run me", "shell-form"), ("ENTRYPOINT exec me", "shell-form"), ("FROM debian:12", "unpinned"),
        ("FROM $BASE", "base"), ("RUN true ", "white-space"), ("MAINTAINER me", "deprecated"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_dockerfile_is_found(tmp_path, line, rule):
    def found(text: str) -> set[str]:
        (tmp_path / "Dockerfile").write_text(text)
        everything = (*rules.style(tmp_path), *rules.security(tmp_path), *rules.dependencies(tmp_path, a_manifest(runtime="container")))
        return {finding.rule for finding in everything}

    good = f'FROM {PINNED}\nUSER 65532\nCMD ["server"]\n'
    assert found(good) == set()
    assert rule in found(f"{good}{line}\n")


def test_an_image_without_a_user_runs_as_root(tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {PINNED} AS one\nUSER 65532\nFROM skillops/base-go:stable\n")
    assert [(finding.rule, finding.line) for finding in rules.security(tmp_path)] == [("root", 3)]
