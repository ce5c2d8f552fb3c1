"""The design, held by tests: who may import whom, one door for each library, the layout's words, cheap imports."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*(ROOT / "agent").rglob("*.py"), *(ROOT / "reviewers").rglob("*.py")])

# Each outside library is imported behind one door.
DOORS = {
    "litellm": {"agent/llms/litellm.py"},
    "git": {"agent/forges/git_door.py"},
    "github": {"agent/forges/github.py"},
    "docker": {
        "agent/docker_engine.py", "agent/builders/docker.py",
        *(path.relative_to(ROOT).as_posix() for path in (ROOT / "agent/sandboxes").glob("docker*.py")),
        *(path.relative_to(ROOT).as_posix() for path in (ROOT / "agent/runtimes").glob("docker*.py")),
    },
    "detect_secrets": {"agent/detectors.py"},
    "rich": {"agent/screen.py"},
    "typer": {"agent/cli.py", *(path.relative_to(ROOT).as_posix() for path in (ROOT / "agent/commands").glob("*.py"))},
    "aiohttp": {"agent/stand_ins/http.py"},
    "keyring": {"agent/key_ring.py"},
    "h11": {"agent/broker/carrying.py", "agent/broker/heads.py", "agent/runtimes/way_back.py"},
    "httptools": {"agent/exchange.py", "agent/heads.py", "agent/gateway/bounded.py"},
    "fastapi": {path.relative_to(ROOT).as_posix() for path in (ROOT / "agent/gateway").glob("*.py")},
    "prometheus_client": {"agent/gateway/meters.py"},
    "uvicorn": {"agent/gateway/bounded.py", "agent/gateway/server.py", "agent/gateway/fast_lane.py"},
    "jinja2": {"agent/prompts/__init__.py", "agent/gateway/pages/rendering.py"},
    "jsonschema_rs": {"agent/domain/schema.py"},
    "yaml": {"agent/strict_yaml.py"},
    "cryptography": {"agent/vault.py", "agent/stand_ins/authority.py"},
    "starlette": {path.relative_to(ROOT).as_posix() for path in (ROOT / "agent/gateway").rglob("*.py")},
    "slack_bolt": {"agent/chats/slack.py"},
    "slack_sdk": {"agent/chats/slack.py"},
    "mcp": {path.relative_to(ROOT).as_posix() for path in (ROOT / "agent/gateway").glob("*.py")},
}  # fmt: skip
FLOW = ("agent/domain", "agent/stages", "agent/ports.py", "agent/pipeline.py", "agent/steps.py", "agent/conversation.py", "agent/situation.py")
CONCRETE = ("agent.sandboxes", "agent.builders", "agent.runtimes", "agent.llms", "agent.forges", "agent.languages", "agent.checks", "reviewers")
HEAVY = (
    "litellm", "git", "bandit", "detect_secrets", "httpx", "docker", "mcp", "cryptography", "fastapi", "pytest", "coverage", "pydantic_settings",
    "slack_bolt", "slack_sdk", "aiohttp", "asyncio", "github", "h11", "jinja2", "rich", "ruamel", "starlette", "structlog", "uvicorn",
)  # fmt: skip
LATER = ("agent.chats", "agent.gateway", "agent.broker.carrying", *(f"agent.languages.{name}.{part}" for name in ("bash", "go", "node", "python")
         for part in ("analysis", "rules", "testing", "template")))  # fmt: skip


@functools.cache
def imports_of(path: Path) -> set[str]:
    """The full names of the modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return found


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_import_rules_hold() -> None:
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("library", DOORS)
def test_each_outside_library_has_one_door(library: str) -> None:
    outside_of_the_sandbox = [path for path in SOURCES if "languages" not in path.parts]
    users = {named(path) for path in outside_of_the_sandbox if any(name.split(".")[0] == library for name in imports_of(path))}
    assert users <= DOORS[library]


def test_the_flow_never_names_a_concrete_part() -> None:
    flow = [path for path in SOURCES if named(path).startswith(FLOW)]
    named_parts = {(named(path), name) for path in flow for name in imports_of(path) if name.startswith(CONCRETE)}
    assert named_parts == set()


def test_stages_do_not_call_the_pipeline_or_the_doors() -> None:
    above = ("agent.pipeline", "agent.conversation", "agent.wiring", "agent.commands", "agent.cli", "agent.workplace")
    found = {(named(path), name) for path in (ROOT / "agent/stages").glob("*.py") for name in imports_of(path) if name.startswith(above)}
    assert found == set()


def test_a_skill_is_never_imported() -> None:
    assert {named(path) for path in SOURCES if any(name.split(".")[0] == "skills" for name in imports_of(path))} == set()


def test_the_domain_does_no_input_or_output() -> None:
    forbidden = {"os", "subprocess", "socket", "sqlite3", "time", "datetime", "random", "httpx", "shutil", "tempfile", "urllib"}
    found = {(named(path), name) for path in (ROOT / "agent/domain").glob("*.py") for name in imports_of(path) if name.split(".")[0] in forbidden}
    assert found == set()


@pytest.mark.parametrize("door", ["agent.cli", "agent.wiring", "agent.supervisor"])
def test_nothing_heavy_is_loaded_before_a_verb_asks_for_it(door: str) -> None:
    script = f"import sys, json, {door}; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    heavy = {name for name in loaded if name.split(".")[0] in HEAVY or name.startswith(LATER)}
    settings = {"pydantic_settings", "asyncio"} if door == "agent.wiring" else set()  # it reads them, by a library that loads asyncio
    assert {name for name in heavy if name.split(".")[0] not in settings} == set()


def test_the_shelves_and_stages_of_the_layout_are_there() -> None:
    shelves = ("stages", "checks", "forges", "sandboxes", "languages", "builders", "runtimes", "llms", "chats", "prompts", "domain")
    stages = ("planning", "assessing", "proposing", "checking", "reviewing", "deciding", "releasing", "deploying", "invoking")
    checks = ("scope", "manifest", "style", "security", "secrets", "dependencies", "tests", "contract")
    assert [name for name in shelves if not (ROOT / "agent" / name).is_dir()] == []
    assert [name for name in stages if not (ROOT / "agent/stages" / f"{name}.py").is_file()] == []
    assert [name for name in checks if not (ROOT / "agent/checks" / f"{name}.py").is_file()] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "core", "manager", "common", "misc"}
    assert [named(path) for path in SOURCES if path.stem in empty] == []


def test_no_module_outgrows_its_room() -> None:
    """A file asks to be split at 300 lines; the ports are one list of sockets and may be longer."""
    long = {named(path): len(path.read_text().splitlines()) for path in SOURCES if named(path) != "agent/ports.py"}
    assert {name: lines for name, lines in long.items() if lines > 300} == {}


def test_only_the_outermost_doors_catch_everything() -> None:
    doors = {"agent/cli.py", "agent/gateway/door.py", "agent/pipeline.py"}
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
            ):
                found.add(named(path))
    in_the_sandbox = {name for name in found if name.startswith("agent/languages/")}
    assert found - in_the_sandbox <= doors
