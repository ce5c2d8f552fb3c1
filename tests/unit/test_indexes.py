"""What the package indexes say of how old a release is, as this machine's own clients are set up; each is held to the port."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.domain.package import Package
from agent.errors import CouldNotTell, Refused
from agent.languages.go import GoLanguage
from agent.languages.go.index import GoIndex
from agent.languages.node import NodeLanguage
from agent.languages.node.index import NpmIndex
from agent.languages.python import PythonLanguage
from agent.languages.python.index import PythonIndex
from agent.ports import Index
from tests.builders import a_manifest
from tests.package_index import PackageIndex, package_index

HASH, OTHER = "a" * 64, "b" * 64
OLD, NEW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 11, 20, 8, tzinfo=UTC)
EACH = [
    pytest.param("PyPI", PythonIndex(), id="python"),
    pytest.param("npm", NpmIndex(), id="npm", marks=pytest.mark.node_tools),
    pytest.param("Go", GoIndex(), id="go-proxy", marks=pytest.mark.go_tools),
]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    with package_index() as index:
        for name, value in index.environment.items():
            monkeypatch.setenv(name, value)
        yield index


def a_package(ecosystem: Any, name: str) -> Package:
    if ecosystem == "PyPI":
        return Package(ecosystem="PyPI", name=name, version="1.0.0", sha256=(HASH,))
    return Package(
        ecosystem=ecosystem, name=name if ecosystem == "npm" else f"example.com/{name}", version="1.0.0" if ecosystem == "npm" else "v1.0.0"
    )


def put(index: PackageIndex, package: Package, at: datetime | None) -> None:
    said = at.isoformat().replace("+00:00", "Z") if at else None
    if package.ecosystem == "PyPI":
        index.python(package.name, {"filename": "a.whl", "url": "a.whl", "hashes": {"sha256": HASH}, **({"upload-time": said} if said else {})})
    elif package.ecosystem == "npm":
        index.npm(package.name, {"1.0.0": said} if said else None)
    else:
        index.go(package.name, package.version, said)


@pytest.mark.parametrize(("ecosystem", "index"), EACH)
def test_it_tells_when_each_release_was_taken_in_and_does_not_guess(ecosystem: Any, index: Index, served: PackageIndex) -> None:
    old, new, silent = (a_package(ecosystem, name) for name in ("old-one", "new-one", "silent-one"))
    for package, at in ((old, OLD), (new, NEW), (silent, None)):
        put(served, package, at)

    assert index.released([old, new, silent]) == {old: OLD, new: NEW, silent: None}
    assert index.released([]) == {}


@pytest.mark.parametrize(("ecosystem", "index"), EACH)
def test_what_it_does_not_have_is_refused_and_out_of_reach_could_not_be_told(ecosystem: Any, index: Index, served: PackageIndex) -> None:
    absent, broken = a_package(ecosystem, "absent-one"), a_package(ecosystem, "broken-one")
    for path in ("/simple/broken-one/", "/broken-one", "/example.com/broken-one/@v/v1.0.0.info"):
        served.told[path] = 503

    with pytest.raises(Refused):
        index.released([absent])
    with pytest.raises(CouldNotTell):
        index.released([broken])


@pytest.mark.parametrize(("ecosystem", "index"), EACH[1:])
def test_a_name_that_is_an_option_of_the_client_is_none_to_it(ecosystem: Any, index: Index, served: PackageIndex, tmp_path: Path) -> None:
    option = f"--cache={tmp_path / 'cache'}" if ecosystem == "npm" else f"-modfile={tmp_path}/go.mod"
    with pytest.raises((Refused, CouldNotTell)) as found:
        index.released([Package(ecosystem=ecosystem, name=option, version="v1.0.0")])
    assert option in str(found.value) and not [*tmp_path.iterdir()]


def test_of_python_the_youngest_file_that_the_lock_file_allows_counts(served: PackageIndex) -> None:
    package = Package(ecosystem="PyPI", name="alpha", version="1.0", sha256=(HASH, OTHER))
    files = [
        {"hashes": {"sha256": digest}, "upload-time": at.isoformat()} for digest, at in ((HASH, OLD), (OTHER, NEW), ("c" * 64, NEW.replace(day=25)))
    ]
    served.python("alpha", *files)

    assert PythonIndex().released([package]) == {package: NEW}
    with pytest.raises(Refused, match="no such alpha"):
        PythonIndex().released([package.model_copy(update={"sha256": ("d" * 64,)})])


def test_an_index_of_python_that_speaks_html_alone_says_no_age(served: PackageIndex) -> None:
    package = a_package("PyPI", "alpha")
    served.told["/simple/alpha/"] = "<!doctype html><a href='a.whl#sha256=" + HASH + "'>a.whl</a>"

    assert PythonIndex().released([package]) == {package: None}


def test_the_password_of_an_index_of_python_is_in_no_error(served: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{served.url.replace('//', '//ada:hunter2%21@')}/simple")
    served.told["/simple/alpha/"] = 401

    with pytest.raises(CouldNotTell, match="401") as found:
        PythonIndex().released([a_package("PyPI", "alpha")])
    assert "hunter2" not in str(found.value)


def test_where_pip_asks_several_indexes_each_is_asked(served: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    package = a_package("PyPI", "alpha")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{served.url}/simple/more")
    served.told["/simple/more/alpha/"] = {"files": [{"hashes": {"sha256": HASH}, "upload-time": NEW.isoformat()}]}

    assert PythonIndex().released([package]) == {package: NEW}
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(CouldNotTell, match="no index"):
        PythonIndex().released([package])


def a_wheel(version: str) -> bytes:
    """Of a distribution called alpha."""
    packed, info = io.BytesIO(), f"alpha-{version}.dist-info"
    with zipfile.ZipFile(packed, "w") as wheel:
        wheel.writestr("alpha.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: alpha\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return packed.getvalue()


def python_releases(index: PackageIndex, **at: datetime) -> None:
    files = []
    for minor, time in at.items():
        version = f"1.{minor[1:]}"
        name, data = f"alpha-{version}-py3-none-any.whl", a_wheel(version)
        index.told[f"/files/{name}"] = data
        digest = hashlib.sha256(data).hexdigest()
        files.append({"filename": name, "url": f"{index.url}/files/{name}", "hashes": {"sha256": digest}, "upload-time": time.isoformat()})
    index.python("alpha", *files)


def npm_releases(index: PackageIndex, **at: datetime) -> None:
    index.npm("alpha", {f"1.{minor[1:]}.0": time.isoformat() for minor, time in at.items()})


def go_releases(index: PackageIndex, **at: datetime) -> None:
    for minor, time in at.items():
        index.go("example.com/alpha", f"v1.{minor[1:]}.0", time.isoformat().replace("+00:00", "Z"))
    index.told["/example.com/alpha/@v/list"] = "".join(f"v1.{minor[1:]}.0\n" for minor in at)


@pytest.mark.parametrize(
    ("language", "releases", "pin", "raised"),
    [
        pytest.param(PythonLanguage, python_releases, "alpha=={}", "alpha==1.1", id="python"),
        pytest.param(NodeLanguage, npm_releases, "alpha@{}.0", "alpha@1.1.0", id="npm", marks=pytest.mark.node_tools),
        pytest.param(GoLanguage, go_releases, "example.com/alpha@v{}.0", "example.com/alpha@v1.1.0", id="go-proxy", marks=pytest.mark.go_tools),
    ],
)
def test_a_newer_version_is_one_that_is_old_enough(language: Any, releases: Any, pin: str, raised: str, served: PackageIndex, tmp_path: Path) -> None:
    releases(served, m0=OLD, m1=NEW)
    manifest = a_manifest(dependencies=[pin.format("1.0")])

    assert language(tmp_path / "a").newer(manifest) == (raised,)
    assert language(tmp_path / "b", cutoff=lambda: NEW - timedelta(days=1)).newer(manifest) == manifest.dependencies


@pytest.mark.parametrize(
    ("language", "releases", "pin"),
    [
        pytest.param(PythonLanguage, python_releases, "alpha==1.1", id="python"),
        pytest.param(NodeLanguage, npm_releases, "alpha@1.1.0", id="npm", marks=pytest.mark.node_tools),
    ],
)
def test_what_is_pinned_is_locked_also_where_it_is_younger_for_the_check_judges_that(
    language: Any, releases: Any, pin: str, served: PackageIndex, tmp_path: Path
) -> None:
    releases(served, m0=OLD, m1=NEW)
    made = language(tmp_path, cutoff=lambda: NEW - timedelta(days=1))
    assert [package.version[:3] for package in made.locked(made.lock(a_manifest(dependencies=[pin])))] == ["1.1"]
