"""The bundled skills: each passes its checks, registry.yaml names them as they are, and a new repository can start with them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent import wiring, wiring_checks
from agent.checks.tests import TestsCheck
from agent.domain.check import CheckReport, CheckResult, Outcome
from agent.domain.registry import Entry
from agent.domain.skill import Manifest
from agent.errors import ConfigurationError, CouldNotTell, InvalidFile, Refused, UsageError
from agent.languages.bash import toolchain as bash
from agent.languages.go import toolchain as go
from agent.languages.node import toolchain as node
from agent.manifest_file import read_manifest
from agent.registry_file import parse
from agent.settings import Settings
from agent.starter import found, shelf, verdicts
from tests.command import git, skillops

ROOT = Path(__file__).parents[2]
NAMES = sorted(folder.name for folder in (ROOT / "skills").iterdir() if (folder / "skill.yaml").is_file())


def entries(root: Path) -> dict[str, Entry]:
    return {entry.name: entry for entry in parse((root / "registry.yaml").read_bytes()).skills}


def manifest_of(name: str) -> Manifest:
    return read_manifest((ROOT / "skills" / name / "skill.yaml").read_bytes(), "skill.yaml")


def tree_in(root: Path, name: str) -> str:
    return git(root, "rev-parse", f"HEAD:skills/{name}").strip()


@contextmanager
def without(monkeypatch: pytest.MonkeyPatch, *programs: str) -> Iterator[None]:
    """A machine that has not these programs."""
    known = (node.node, node.version, bash.versions, go.go, go.version)
    which = shutil.which
    for tool in known:
        tool.cache_clear()
    with monkeypatch.context() as machine:
        machine.setattr(shutil, "which", lambda name, *rest, **more: None if name in programs else which(name, *rest, **more))
        yield
    for tool in known:
        tool.cache_clear()


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that was made with the bundled skills."""
    checkout = found(tmp_path_factory.mktemp("stocked") / "skills", shelf=True)
    shelf.stock(checkout)
    return checkout.root


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source tree with one skill and an empty registry, committed."""
    root = tmp_path / "source"
    for path, data in {**shelf.shelf_files(), "registry.yaml": b"apiVersion: skillops/v1\nkind: Registry\nrevision: 0\nskills: {}\n"}.items():
        if path.startswith("skills/calculator/") or path == "registry.yaml":
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
    git(tmp_path, "init", "--quiet", str(root))
    commit(root)
    return root


def commit(root: Path) -> str:
    git(root, "add", "--all")
    git(root, "-c", "user.name=ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "--message", "a change")
    return git(root, "rev-parse", "HEAD").strip()


TOOLS = {"python": (), "node": ("node_tools",), "bash": ("bash_tools",), "go": ("go_tools",)}

# ---- the skills


@pytest.mark.bubblewrap
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[getattr(pytest.mark, tool) for tool in TOOLS[manifest_of(name).runtime]]) for name in NAMES]
)
def test_each_bundled_skill_passes_its_checks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but those that run its tests again on changed code, which `make shelf` made of the very tree (see below)."""
    monkeypatch.setattr(wiring_checks, "TestsCheck", lambda *parts, **traits: TestsCheck(*parts, **{**traits, "mutants": 0, "gut": False}))
    report = wiring.check_folder(ROOT / "skills" / name, Settings.load(ROOT))
    assert [result.summary for result in report.results if result.outcome is not Outcome.PASSED] == []
    assert report.outcome is Outcome.PASSED


def test_the_tree_of_each_bundled_skill_passed_every_check(stocked: Path) -> None:
    """With as many mutants as a proposal meets. Where this fails, commit skills/ and run `make shelf`."""
    kept, mutants = verdicts.read(ROOT), Settings.load(ROOT).mutants
    assert {name: verdict.tree for name, verdict in kept.items()} == {name: tree_in(stocked, name) for name in NAMES}
    assert [name for name, verdict in kept.items() if verdict.mutants < mutants or "mutants noticed" not in verdict.tests] == []


def test_the_registry_names_the_bundled_skills_as_they_are(stocked: Path) -> None:
    """Tree ids are of content, so those of a fresh repository are those that ours has to name; `make shelf` brings ours up to date."""
    assert sorted(entries(ROOT)) == NAMES
    for name, entry in entries(ROOT).items():
        manifest = manifest_of(name)
        assert (entry.version, entry.description, entry.status) == (manifest.version, manifest.description, manifest.status)
        assert (name, entry.tree) == (name, tree_in(stocked, name))


def test_the_registry_claims_no_approvals_for_what_is_bundled() -> None:
    assert {(entry.origin, entry.proposal, entry.approvals) for entry in entries(ROOT).values()} == {("bundled", None, ())}


# ---- a repository that starts with them


def test_a_new_repository_holds_and_releases_them(stocked: Path) -> None:
    """Those in Python that bring no packages at least: they need nothing that SkillOps itself does not."""
    released = entries(stocked)
    assert {name for name in NAMES if manifest_of(name).runtime == "python" and not manifest_of(name).dependencies} <= released.keys() <= set(NAMES)
    assert {entry.origin for entry in released.values()} == {"bundled"}
    assert {name: entry.tree for name, entry in released.items()} == {name: tree_in(stocked, name) for name in released}
    assert git(stocked, "status", "--porcelain") == ""


def test_a_new_repository_is_empty_unless_they_are_asked_for(tmp_path: Path) -> None:
    assert not (found(tmp_path / "skills").root / "skills").exists()


@pytest.mark.bubblewrap
def test_they_can_be_called_at_once(tmp_path: Path) -> None:
    made = skillops("init", tmp_path / "skills", "--with-shelf", "--json")
    assert (made.code, "calculator" in made.document["unreleased"]) == (0, False)
    try:
        done = skillops("invoke", "calculator", "--input", '{"expression": "0.1 + 0.2"}', "--repository", tmp_path / "skills", "--json")
        assert (done.code, done.document["outputs"]) == (0, {"result": 0.3, "text": "0.3"})
    finally:
        wiring.open_workplace(tmp_path / "skills").parts.runtime.shutdown()  # type: ignore[attr-defined]


def test_what_cannot_be_built_here_is_told_and_the_rest_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = shelf.shelf_files()
    broken = {"skills/calculator/skill.yaml": files["skills/calculator/skill.yaml"].replace(b"runtime: python", b"runtime: container")}
    monkeypatch.setattr(shelf, "shelf_files", lambda: files | broken)
    checkout = found(tmp_path / "skills", shelf=True)

    faults = shelf.stock(checkout)
    assert "calculator" in faults
    assert sorted(entries(checkout.root)) == [name for name in NAMES if name not in faults]
    assert "csv-to-json" in entries(checkout.root)


@pytest.mark.bash_tools
@pytest.mark.go_tools
@pytest.mark.node_tools
def test_where_a_language_has_no_tools_its_skills_wait_until_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of somebody who wants Python alone has neither Node nor Go, jq or shellcheck."""
    some = ("calculator", "file-ops", "http-request", "kv-store")
    files = {path: data for path, data in shelf.shelf_files().items() if path.split("/")[1] in some}
    monkeypatch.setattr(shelf, "shelf_files", lambda: files)
    checkout = found(tmp_path / "skills", shelf=True)

    with without(monkeypatch, "node", "nodejs", "go", "jq", "shellcheck"):
        faults = shelf.stock(checkout)
    assert sorted(faults) == ["file-ops", "http-request", "kv-store"]
    assert [name for name, fault in faults.items() if "not installed here" not in fault.what or not fault.next_step] == []
    assert list(entries(checkout.root)) == ["calculator"]

    assert shelf.stock(checkout) == {}
    assert sorted(entries(checkout.root)) == sorted(some)


def test_an_installation_without_them_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "resources", lambda package: tmp_path)
    with pytest.raises(ConfigurationError, match="not part of this installation"):
        found(tmp_path / "skills", shelf=True)
    assert not (tmp_path / "skills.git").exists()


def test_what_tools_leave_behind_is_not_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("a/skill.py", "a/__pycache__/skill.pyc", "a/.hidden/x", ".cache"):
        (tmp_path / "skills" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "skills" / path).write_bytes(b"x")
    monkeypatch.setattr(shelf, "resources", lambda package: tmp_path)
    assert shelf.shelf_files() == {"skills/a/skill.py": b"x"}


# ---- the registry of the source tree


def test_the_registry_is_made_from_what_is_committed(source: Path) -> None:
    head = git(source, "rev-parse", "HEAD").strip()
    (source / "registry.yaml").write_bytes(shelf.shelf_registry(source))

    entry = entries(source)["calculator"]
    assert (entry.commit, entry.tree) == (head, tree_in(source, "calculator"))
    assert parse((source / "registry.yaml").read_bytes()).revision == 1


def test_making_the_registry_again_changes_nothing(source: Path) -> None:
    made = shelf.shelf_registry(source)
    assert shelf.shelf_registry(source) == made
    (source / "registry.yaml").write_bytes(made)
    commit(source)
    assert shelf.shelf_registry(source) == made


def test_changes_that_are_not_committed_are_refused(source: Path) -> None:
    (source / "skills/calculator/SKILL.md").write_text("changed")
    with pytest.raises(UsageError, match="not as it was committed"):
        shelf.shelf_registry(source)


def test_a_skill_that_cannot_be_released_is_told(source: Path) -> None:
    (source / "skills/calculator/skill.yaml").write_text("name: calculator\n")
    commit(source)
    with pytest.raises(InvalidFile, match=r"skill\.yaml"):
        shelf.shelf_registry(source)


# ---- what the checks said of them


class Checks:
    """In place of the checks, which take minutes: they say `outcome` of each skill, and which were looked at with how many mutants is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.outcome, self.asked = Outcome.PASSED, list[tuple[Path, int]]()
        monkeypatch.setattr(wiring, "check_folder", self._say)

    def _say(self, folder: Path, settings: Settings) -> CheckReport:
        self.asked.append((folder, settings.mutants))
        said = CheckResult(name="tests", outcome=self.outcome, head="a", summary="9 tests passed, 38 of 40 mutants noticed.")
        return CheckReport(head="a", results=(said,))


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    return Checks(monkeypatch)


def test_a_skill_is_entered_once_its_tree_passed_with_all_mutants(source: Path, checks: Checks) -> None:
    shelf.renew(source)

    assert checks.asked == [(source / "skills/calculator", 40)]
    tree = tree_in(source, "calculator")
    assert verdicts.read(source)["calculator"] == verdicts.Verdict(tree=tree, mutants=40, tests="9 tests passed, 38 of 40 mutants noticed.")
    assert entries(source)["calculator"].tree == tree


def test_a_tree_that_passed_is_not_checked_again_and_another_is(source: Path, checks: Checks) -> None:
    shelf.renew(source)
    shelf.renew(source)
    assert len(checks.asked) == 1

    (source / "skills/calculator/SKILL.md").write_text((source / "skills/calculator/SKILL.md").read_text() + "more\n")
    commit(source)
    shelf.renew(source)
    assert len(checks.asked) == 2
    assert verdicts.read(source)["calculator"].tree == tree_in(source, "calculator")


def test_what_passed_with_fewer_mutants_is_checked_again(source: Path, checks: Checks) -> None:
    verdicts.examine(source, lambda folder: wiring.check_folder(folder, Settings()), 8)
    shelf.renew(source)
    assert len(checks.asked) == 2
    assert verdicts.read(source)["calculator"].mutants == 40


@pytest.mark.parametrize(("outcome", "kind"), [(Outcome.FAILED, Refused), (Outcome.COULD_NOT_TELL, CouldNotTell)])
def test_a_skill_that_did_not_pass_is_not_entered(source: Path, checks: Checks, outcome: Outcome, kind: type[Exception]) -> None:
    checks.outcome, before = outcome, (source / "registry.yaml").read_bytes()
    with pytest.raises(kind, match="bundled skill calculator"):
        shelf.renew(source)
    assert (verdicts.read(source), (source / "registry.yaml").read_bytes()) == ({}, before)


def test_a_skill_that_is_gone_has_no_verdict(source: Path, checks: Checks) -> None:
    shelf.renew(source)
    shutil.rmtree(source / "skills")
    commit(source)
    verdicts.examine(source, lambda folder: wiring.check_folder(folder, Settings()), 40)
    assert verdicts.read(source) == {}
