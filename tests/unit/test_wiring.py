"""Settings in, parts out; nothing is started, and two commands on one repository take turns."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import cast

import pytest

from agent import wiring
from agent.domain.check import Outcome
from agent.domain.decision import DependencyRules
from agent.domain.requirement import Shelf
from agent.errors import ConfigurationError, CouldNotTell, ModelUnavailable
from agent.ports import Language
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.settings import Settings
from agent.starter import found
from tests.acceptance.harness import CODE, Home
from tests.fakes import FakeModel

CHECKS = ["scope", "manifest", "style", "security", "secrets", "dependencies", "tests", "contract"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return found(tmp_path / "skills").root


def test_opening_a_repository_starts_nothing_and_leaves_nothing_behind(root: Path) -> None:
    before = sorted(root.rglob("*"))
    place = wiring.open_workplace(root)
    assert [check.name for check in place.parts.checks] == CHECKS
    assert sorted(place.parts.reviewers) == ["correctness", "fit", "security"]
    assert list(place.parts.runtime.services()) == []
    assert [path for path in sorted(root.rglob("*")) if path not in before and "supervisor" in path.name] == []


def test_a_folder_inside_the_clone_opens_the_clone(root: Path) -> None:
    (root / "skills" / "deep").mkdir(parents=True)
    assert wiring.open_workplace(root / "skills" / "deep").checkout.root == root


def test_a_folder_that_is_no_skills_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="skillops init"):
        wiring.open_workplace(tmp_path)


def test_options_win_over_the_file_and_reach_the_parts(root: Path) -> None:
    (root / "skillops.toml").write_text('user = "carol"\nworkers = 2\n')
    assert (wiring.open_workplace(root).parts.user, wiring.open_workplace(root, user="ada").parts.user) == ("carol", "ada")
    assert wiring.open_workplace(root).parts.settings.workers == 2


def test_without_a_user_the_login_speaks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "grace")
    assert wiring.open_workplace(root).parts.user == "grace"

    def nobody() -> str:
        raise KeyError("no such user")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert wiring.open_workplace(root).parts.user == "somebody"


def test_an_unknown_setting_is_named_with_its_place(root: Path) -> None:
    (root / "skillops.toml").write_text("wokers = 2\n")
    with pytest.raises(ConfigurationError, match="wokers"):
        wiring.open_workplace(root)


def test_without_a_model_there_is_one_that_says_how_to_set_it(root: Path) -> None:
    model = wiring.model_of(Settings.load(root))
    assert not model.available().ok
    assert "SKILLOPS_MODEL" in model.available().fix
    with pytest.raises(ModelUnavailable):
        model.complete(None)  # type: ignore[arg-type]


def test_a_recording_stands_before_a_live_model(root: Path) -> None:
    recording = Path(wiring.__file__).parent / "recordings" / "demo.json"
    model = wiring.model_of(Settings.load(root, recording=recording, model="openai/gpt-5"))
    assert model.available().ok
    assert type(model).__name__ == "RecordedModel"


def test_a_live_model_is_recorded_where_that_is_asked(root: Path, tmp_path: Path) -> None:
    settings = Settings.load(root, model="openai/gpt-5", record=tmp_path / "session.json")
    assert type(wiring.model_of(settings)).__name__ == "RecordingModel"
    assert type(wiring.model_of(Settings.load(root, model="openai/gpt-5"))).__name__ == "TendedModel"


def test_the_author_tries_with_fewer_checks_than_judge_the_proposal(root: Path) -> None:
    light = wiring.checks_of(Settings.load(root), BubblewrapSandbox(), wiring.languages_of(), DependencyRules, light=True)
    assert [check.name for check in light] == CHECKS[1:]


def test_two_that_move_things_take_turns(root: Path) -> None:
    one, two = (wiring.open_workplace(root, stand_in=FakeModel()).parts for _ in range(2))
    order: list[str] = []
    inside, waits = threading.Event(), threading.Event()

    def second() -> None:
        inside.wait()
        waits.set()
        with two.alone():
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with one.alone():
        inside.set()
        waits.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_lock_that_cannot_be_taken_could_not_tell(root: Path) -> None:
    place = wiring.open_workplace(root)
    (place.checkout.origin / "skillops" / "run.lock").mkdir(parents=True)
    with pytest.raises(CouldNotTell, match=r"run\.lock"), place.parts.alone():
        pass


@pytest.mark.bubblewrap
@pytest.mark.slow
def test_a_folder_on_disk_is_checked_without_a_proposal(tmp_path: Path) -> None:
    home = Home.founded(tmp_path / "skills")
    folder = tmp_path / "word-count"
    for path, data in home.folder_by_hand().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    settings = Settings.load(home.path, mutants=6)

    report = wiring.check_folder(folder, settings)
    assert {result.name: result.outcome.value for result in report.results} == dict.fromkeys(CHECKS, "passed")

    (folder / "skill.py").write_text(CODE.replace("len(", "1 + len("))
    failed = {result.name for result in wiring.check_folder(folder, settings).of(Outcome.FAILED)}
    assert {"tests", "contract"} <= failed
    assert home.forge.proposals("all") == []

    home.write_policy(min_tier={"checks": {"tests": "docker"}, "skills": {"word-count": "docker"}})
    (folder / "reviewers").mkdir()
    (folder / "reviewers" / "policy.yaml").write_text("min_tier: {default: bubblewrap}\n")
    untold = wiring.check_folder(folder, settings).of(Outcome.COULD_NOT_TELL)
    assert {result.name for result in untold} == {"tests", "contract"} and all("min_tier" in result.summary for result in untold)


def test_the_docker_runtime_wants_images_and_is_opened_without_an_engine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    (root / "skillops.toml").write_text("runtime = 'docker'\n")
    with pytest.raises(ConfigurationError, match="builder = directory makes folders") as wrong:
        wiring.open_workplace(root)
    assert "builder = 'docker'" in wrong.value.next_step
    (root / "skillops.toml").write_text("runtime = 'docker'\nbuilder = 'docker'\n")
    runtime = wiring.open_workplace(root).parts.runtime
    assert (runtime.name, runtime.available().ok, list(runtime.services())) == ("docker", False, [])


def test_each_language_has_all_that_the_port_asks_for() -> None:
    wanted = {name for name in dir(Language) if not name.startswith("_")}
    for name, language in wiring.languages_of(cast(Shelf, object())).items():  # with a shelf there are workflows, too
        assert [each for each in sorted(wanted) if not hasattr(language, each)] == [], name
