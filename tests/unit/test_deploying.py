"""The runtime is made to serve what the registry holds, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.domain.event import Event
from agent.domain.release import Endpoint, Service
from agent.errors import NotFound, Refused
from agent.ports import Deployment
from agent.stages import deploying
from tests.acceptance.harness import Home, RememberingRuntime
from tests.builders import an_entry

DIGEST = an_entry().digest


def a_service(**traits: object) -> Service:
    return Service.model_validate({"skill": "word-count", "version": "1.0.0", "digest": DIGEST, "state": "healthy", **traits})


class Refusing(RememberingRuntime):
    def deploy(self, deployment: Deployment) -> Service:
        raise Refused("It did not become healthy.", why="It stopped with status 1.", next_step="Look at its log.")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A repository whose registry holds word-count 1.0.0, deployed nowhere."""
    home = Home.founded(tmp_path / "skills").bare()
    home.commit({f"skills/word-count/{path}": data for path, data in home.folder_by_hand().items()})
    home.run()
    return home


def deploy(home: Home, runtime: RememberingRuntime | None = None, **traits: object) -> list[Event]:
    told: list[Event] = []
    entry = home.registry().skills[0].model_copy(update=traits)
    deploying.deploy(entry, home.forge, home.parts.builder, runtime or home.runtime, told.append)
    return told


@pytest.mark.parametrize(
    ("service", "served"),
    [
        (a_service(), True),
        (a_service(state="resting"), True),
        (a_service(state="stopped"), False),
        (a_service(digest="sha256:" + "1" * 64), False),
        (a_service(skill="other"), False),
    ],
)
def test_an_entry_is_served_by_a_service_of_its_digest_that_was_not_stopped(service: Service, served: bool) -> None:
    assert deploying.serves(an_entry(), [service]) is served


def test_what_the_registry_holds_is_deployed_and_recorded(home: Home) -> None:
    told = deploy(home)
    entry = home.registry().skills[0]
    assert home.runtime.services() == [a_service(digest=entry.digest)]
    assert [(event.what, event.outcome, event.data) for event in told] == [
        ("deployed", "passed", {"version": "1.0.0", "digest": entry.digest}),
    ]  # fmt: skip


def test_what_does_not_become_healthy_is_recorded_with_the_reason_and_refused(home: Home) -> None:
    told: list[Event] = []
    with pytest.raises(Refused):
        deploying.deploy(home.registry().skills[0], home.forge, home.parts.builder, Refusing(), told.append)
    assert [(event.what, event.outcome, event.note) for event in told] == [
        ("deploy_failed", "failed", "It did not become healthy. It stopped with status 1."),
    ]  # fmt: skip


def test_what_can_no_longer_be_built_is_a_failed_deploy_too(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise Refused("The lock file is broken.")

    monkeypatch.setattr(home.parts.builder, "find", lambda digest: None)
    monkeypatch.setattr(home.parts.builder, "build", refused)
    told: list[Event] = []
    with pytest.raises(Refused):
        deploying.deploy(home.registry().skills[0], home.forge, home.parts.builder, home.runtime, told.append)
    assert [event.what for event in told] == ["deploy_failed"]


def test_a_retired_skill_is_removed(home: Home) -> None:
    deploy(home)
    told = deploy(home, status="retired")
    assert (home.runtime.services(), [event.what for event in told]) == ([], ["removed"])


def test_a_service_drifted_where_its_entry_differs_is_retired_or_is_gone(home: Home) -> None:
    catalog, entry = home.parts.catalog, home.registry().skills[0]
    right, wrong = a_service(digest=entry.digest), a_service(digest="sha256:" + "1" * 64)
    assert deploying.drifted(catalog, [right]) == ()
    assert deploying.drifted(catalog, [wrong, a_service(skill="gone")]) == ("word-count", "gone")


class Cold(RememberingRuntime):
    """Answers for what was deployed alone."""

    def endpoint(self, skill: str, person: str = "") -> Endpoint:
        if skill not in self.running:
            raise NotFound(f"{skill} is not deployed.")
        return Endpoint(socket=f"/run/{skill}.sock")


def test_what_nobody_deployed_here_is_deployed_when_it_is_called() -> None:
    runtime, asked = Cold(), []

    def deploy_now(name: str) -> None:
        asked.append(name)
        runtime.running[name] = a_service(skill=name)

    endpoints = deploying.OnDemand(runtime, deploy_now)
    for _ in range(2):
        assert endpoints.endpoint("word-count").socket == "/run/word-count.sock"
    assert asked == ["word-count"]


def test_what_cannot_be_deployed_when_it_is_called_says_why() -> None:
    def deploy_now(name: str) -> None:
        raise Refused("It did not become healthy.")

    with pytest.raises(Refused, match="healthy"):
        deploying.OnDemand(Cold(), deploy_now).endpoint("word-count")
