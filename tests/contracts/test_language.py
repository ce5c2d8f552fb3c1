"""What every language keeps to. A language adds itself to `LANGUAGES` with an edit that breaks its template's skill."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.caller import call, execute, health
from agent.domain.check import Outcome
from agent.domain.invocation import Invocation
from agent.domain.release import Endpoint
from agent.domain.skill import Manifest
from agent.errors import Refused
from agent.languages.bash import BashLanguage
from agent.languages.go import GoLanguage
from agent.languages.node import NodeLanguage
from agent.languages.python import PythonLanguage
from agent.manifest_file import read_manifest
from agent.ports import Language
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.sandboxes.gvisor import GvisorSandbox
from agent.starter import new_skill
from tests.builders import a_manifest

LANGUAGES: dict[str, tuple[Language, str, str]] = {
    "python": (PythonLanguage(), "return outputs", "return None"),
    "node": (NodeLanguage(), "return known.outputs", "return {}"),
    "go": (GoLanguage(), "return example.Outputs, err", "return nil, nil"),
    "bash": (BashLanguage(), '"$outputs"\n}', "'{}'\n}"),
}
SCHEMA = {"type": "object", "properties": {"a": {}}, "required": ["a"]}
ODD_VALUES: list[Any] = [
    "plain",
    "",
    "quo\"te's",
    "new\nline \\ back",
    "ünïcode ✓ \u2028",
    0,
    -1.5,
    1e300,
    True,
    None,
    [],
    [[1], {"b": None}],
    {"": {"c": []}},
    "x" * 500,
]
TRAITS: dict[str, dict[str, Any]] = {
    "one example": {},
    "odd values": {"inputs": SCHEMA, "outputs": SCHEMA, "examples": [{"inputs": {"a": value}, "outputs": {"a": value}} for value in ODD_VALUES]},
    "outputs that are the least": {"outputs": {"type": "object"}, "examples": [{"inputs": {"text": ""}, "outputs": {}}]},
    "an odd description": {"description": 'Says "hello": \\n, \'quotes\', """three""" and {braces}. #1 — ok?\nAnd more.'},
}


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> Language:
    return LANGUAGES[request.param][0]


def its(language: Language, **traits: Any) -> Manifest:
    """A manifest of that language."""
    return a_manifest(**{"runtime": language.name, "entrypoint": language.entrypoint, **traits})


@pytest.fixture
def edit(language: Language) -> tuple[bytes, bytes]:
    _, old, new = LANGUAGES[language.name]
    return old.encode(), new.encode()


def written(folder: Path, language: Language, manifest: Manifest) -> Path:
    root = folder / manifest.name
    for name, data in language.template(manifest).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.mark.parametrize("traits", TRAITS.values(), ids=TRAITS)
def test_the_template_keeps_to_style_and_security(tmp_path, language, traits):
    manifest = its(language, **traits)
    root = written(tmp_path, language, manifest)
    assert [finding for finding in language.style(root) if finding.level == "error"] == []
    assert [finding for finding in language.security(root) if finding.level == "error"] == []
    assert language.dependencies(root, manifest) == ()
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    language.tidy(root)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


@pytest.mark.bubblewrap
@pytest.mark.parametrize("traits", TRAITS.values(), ids=TRAITS)
def test_the_templates_tests_are_good_tests(tmp_path, language, traits):
    manifest = its(language, **traits)
    report = language.run_tests(written(tmp_path, language, manifest), manifest, BubblewrapSandbox(), mutants=20, seed=1, gut=True)
    assert (report.problem, report.outcome) == (None, Outcome.PASSED)
    assert {test.outcome for test in report.tests} == {"passed"}
    assert all(test.seconds is not None and test.seconds < 30 for test in report.tests) and any(test.seconds for test in report.tests)
    assert report.coverage is not None and report.coverage >= 0.9
    assert report.gutted_passes is False
    assert sum(mutant.killed for mutant in report.mutants) >= 0.6 * len(report.mutants) > 0


def test_the_template_is_an_agent_skill(language):
    manifest = its(language, **TRAITS["an odd description"])
    files = language.template(manifest)
    assert "skill.yaml" not in files and manifest.entrypoint in files
    _, front, body = files["SKILL.md"].decode().split("---\n", 2)
    assert yaml.safe_load(front) == {"name": manifest.name, "description": manifest.description}
    assert body.strip()


@pytest.mark.bubblewrap
def test_a_broken_skill_fails_with_the_place(tmp_path, language, edit):
    root = written(tmp_path, language, its(language))
    entrypoint = root / its(language).entrypoint
    entrypoint.write_bytes(entrypoint.read_bytes().replace(*edit))
    report = language.run_tests(root, its(language), BubblewrapSandbox(), mutants=5, gut=True)
    failed = [test for test in report.tests if test.outcome == "failed"]
    assert failed and all(test.message and test.path and test.path.startswith("skills/word-count/") and test.line for test in failed)
    assert report.mutants == () and report.gutted_passes is None


def test_a_new_skill_names_the_entrypoint_of_its_language(tmp_path, language):
    root = new_skill("my-skill", language.name, tmp_path, {language.name: language})
    manifest = read_manifest((root / "skill.yaml").read_bytes(), "skill.yaml")
    assert (manifest.runtime, manifest.entrypoint) == (language.name, language.entrypoint)
    assert (root / language.entrypoint).is_file()


def test_the_digest_stays_and_has_the_form_of_a_digest(language):
    assert language.digest() == language.digest()
    assert language.digest().startswith("sha256:") and len(language.digest()) == 71


def test_preparing_leaves_the_tests_behind_and_runs_nothing(tmp_path, language):
    manifest = its(language)
    root = written(tmp_path, language, manifest)
    (root / "data").mkdir()
    (root / "data" / "table.csv").write_text("a,b\n")
    target = tmp_path / "target"
    target.mkdir()
    language.prepare(root, manifest, target)
    assert (target / "code" / manifest.entrypoint).read_bytes() == (root / manifest.entrypoint).read_bytes()
    assert (target / "code" / "data" / "table.csv").is_file()
    assert not (target / "code" / "tests").exists()


def test_preparing_refuses_links_and_a_missing_entrypoint(tmp_path, language):
    root = written(tmp_path, language, its(language))
    (tmp_path / "target").mkdir()
    with pytest.raises(Refused):
        language.prepare(root, its(language, entrypoint="nowhere.x"), tmp_path / "target")
    (root / "link").symlink_to("/etc/passwd")
    with pytest.raises(Refused):
        language.prepare(root, its(language), tmp_path / "target")


def test_no_dependencies_make_no_lock_file(language):
    assert language.lock(its(language)) == {}


@pytest.mark.parametrize("sandbox", [pytest.param(kind(), marks=getattr(pytest.mark, kind.name)) for kind in (BubblewrapSandbox, GvisorSandbox)])
def test_what_was_prepared_serves_the_contract(tmp_path, language, sandbox):
    manifest = its(language, **TRAITS["odd values"])
    target, sockets = tmp_path / "target", tmp_path / "sockets"
    target.mkdir()
    sockets.mkdir()
    language.prepare(written(tmp_path, language, manifest), manifest, target)
    process = sandbox.start(language.server(target, manifest, sockets), log=tmp_path / "log")
    endpoint = Endpoint(socket=str(sockets / "skill.sock"))
    try:
        until = time.monotonic() + 20
        while health(endpoint, 5)[0] != "healthy" and time.monotonic() < until:
            time.sleep(0.01)
        for example in manifest.examples:
            reply = execute(endpoint, Invocation(skill=manifest.name, inputs=example.inputs, request_id="1", caller="ada"))
            assert reply.outputs == example.outputs
        assert not execute(endpoint, Invocation(skill=manifest.name, inputs={"no": "example"}, request_id="2", caller="ada")).success
        status, body = call(endpoint, "POST", "/execute", b"{", 10)
        assert (status, json.loads(body)["success"]) == (400, False)
        assert call(endpoint, "GET", "/metrics", None, 10)[0] == 200
        assert process.running()
    finally:
        process.stop()
    assert not process.running()
