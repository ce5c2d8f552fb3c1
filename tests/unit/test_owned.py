"""A skill with personal secrets: a server for each person who calls it, and none for everybody."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import owned
from agent import supervisor_client as client
from agent.domain.release import Endpoint
from agent.errors import CouldNotTell, MissingSecret, NotFound
from agent.ports import Deployment, SandboxProcess, SandboxSpec
from agent.runtimes.process import ProcessLauncher
from agent.supervision import Supervisor
from agent.vault import Vault
from tests.runtimes import eventually
from tests.unit.test_supervisor import AnyLanguage, Threads, a_deployment

ADA, EVE = "ada's-own-token", "eve's-own-token"


class Noting(Threads):
    """Keeps what each server was handed."""

    def __init__(self) -> None:
        super().__init__()
        self.handed: list[dict[str, str]] = []
        self.lock = threading.Lock()

    def start(self, spec: SandboxSpec, *, log: Path, outlive: bool = False) -> SandboxProcess:
        with self.lock:
            process = super().start(spec, log=log, outlive=outlive)
            self.handed.append({path.rpartition("/")[2]: value.decode() for path, value in spec.files.items()})
            return process


class Bench:
    def __init__(self, folder: Path) -> None:
        self.state, self.sandbox, self.vault = folder / "state", Noting(), Vault(folder / "kept")
        (self.state / "supervisor").mkdir(parents=True)
        client.make_sockets(self.state)
        self.supervisor = self.another()

    def another(self) -> Supervisor:
        launcher = ProcessLauncher(self.state, self.sandbox, {"python": AnyLanguage()}, secrets=self.vault)  # type: ignore[dict-item]
        return Supervisor(self.state, launcher, 900.0, self.vault)

    def gives(self, person: str, value: str) -> None:
        self.vault.set("TOKEN", value, person, ["word-count"], person)

    def alive(self) -> list[str]:
        return [handed["TOKEN"] for handed, thread in zip(self.sandbox.handed, self.sandbox.started, strict=False) if thread.running()]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.supervisor.stop()
    shutil.rmtree(client.sockets(bench.state), ignore_errors=True)


def personal(digest: str = "sha256:1", **more: object) -> Deployment:
    return a_deployment(digest, permissions={"secrets": ["TOKEN"], "personal": ["TOKEN"], **more})


def test_it_shows_that_it_becomes_healthy_with_made_up_secrets_and_then_serves_nobody(bench: Bench) -> None:
    bench.vault.set("TOKEN", "one for all", "ada")  # which is another secret, of the same name
    service = bench.supervisor.deploy(personal())
    assert (service.state, bench.sandbox.handed, bench.alive()) == ("resting", [{"TOKEN": "trial-TOKEN"}], [])
    for person in ("", "ada"):
        with pytest.raises(MissingSecret):
            bench.supervisor.endpoint("word-count", person)
    assert len(bench.sandbox.started) == 1  # nothing was begun for those who gave none
    with pytest.raises(NotFound, match="another"):
        bench.supervisor.endpoint("another", "ada")


def test_each_person_has_a_server_a_place_and_a_storage_of_their_own(bench: Bench) -> None:
    bench.supervisor.deploy(personal(storage="persistent"))
    bench.gives("ada", ADA)
    bench.gives("eve", EVE)
    places: dict[str, Endpoint] = {person: bench.supervisor.endpoint("word-count", person) for person in ("ada", "eve")}
    assert places["ada"] != places["eve"] != bench.supervisor._launcher.endpoint("word-count")
    assert places["ada"] == bench.supervisor.endpoint("word-count", "ada") and sorted(bench.alive()) == [ADA, EVE]
    with pytest.raises(NotFound):
        bench.supervisor.endpoint(personal().owned_by("ada").place)
    storages = {path.name for path in (bench.state / "storage").iterdir()}
    assert len(storages - {"word-count"}) == 2
    assert [service.skill for service in bench.supervisor.services()] == ["word-count"]


def test_what_one_rotates_or_takes_back_ends_their_server_and_nobody_elses(bench: Bench) -> None:
    bench.supervisor.deploy(personal())
    bench.gives("ada", ADA)
    bench.gives("eve", EVE)
    for person in ("ada", "eve"):
        bench.supervisor.endpoint("word-count", person)
    bench.gives("ada", "another-token")

    def until(alive: list[str]) -> None:
        def so() -> bool:
            bench.supervisor.look()
            return sorted(bench.alive()) == sorted(alive)

        eventually(so)

    until(["another-token", EVE])
    bench.vault.remove("TOKEN", "ada", "word-count", "ada")
    until([EVE])
    with pytest.raises(MissingSecret) as caught:
        bench.supervisor.endpoint("word-count", "ada")
    assert (caught.value.person, caught.value.names, caught.value.skill) == ("ada", ("TOKEN",), "word-count")
    assert len(bench.sandbox.started) == 4  # the one that showed its health, two, and the rotated: none was tried without a secret


def test_a_new_version_ends_what_people_have_of_the_old_one(bench: Bench) -> None:
    bench.gives("ada", ADA)
    bench.supervisor.deploy(personal())
    before = bench.supervisor.endpoint("word-count", "ada")
    bench.supervisor.deploy(personal("sha256:2"))
    eventually(lambda: bench.alive() == [])
    assert bench.supervisor.endpoint("word-count", "ada") == before and bench.alive() == [ADA]
    bench.supervisor.remove("word-count")
    eventually(lambda: bench.alive() == [])


def test_the_next_supervisor_leads_each_person_to_their_own_again(bench: Bench) -> None:
    bench.gives("ada", ADA)
    bench.gives("eve", EVE)
    bench.supervisor.deploy(personal())
    places = {person: bench.supervisor.endpoint("word-count", person) for person in ("ada", "eve")}
    bench.supervisor = bench.another()
    bench.supervisor.adopt()
    assert {person: bench.supervisor.endpoint("word-count", person) for person in ("ada", "eve")} == places
    assert len(bench.sandbox.started) == 3


def test_the_one_who_called_longest_ago_makes_room_and_nobody_who_is_being_answered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.supervisor._owned, "_at_once", 2)
    bench.supervisor.deploy(personal())
    for person in ("ada", "bob", "eve"):
        bench.gives(person, f"the token of {person}")
        bench.supervisor.endpoint("word-count", person)
    eventually(lambda: bench.alive() == ["the token of bob", "the token of eve"])
    for thread in bench.sandbox.started:
        thread.server.metrics = b"skill_calls_total 1\nskill_calls_in_flight 1\n"
    with pytest.raises(CouldNotTell, match="2 people"):
        bench.supervisor.endpoint("word-count", "ada")


def test_many_who_call_at_once_start_one_server_each(bench: Bench) -> None:
    assert owned.AT_ONCE >= 4
    bench.supervisor.deploy(personal())
    found: list[tuple[str, Endpoint]] = []
    people = [f"person {number}" for number in range(4)]
    for person in people:
        bench.gives(person, f"the token of {person}")
    threads = [threading.Thread(target=lambda who=who: found.append((who, bench.supervisor.endpoint("word-count", who)))) for who in people * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 4 and sorted(bench.alive()) == sorted(f"the token of {person}" for person in people)
