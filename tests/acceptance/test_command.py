"""A skill's life by the command alone, without a model: written, proposed, approved, called, changed, taken back, retired."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent import wiring
from tests.command import Done, skillops

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]
EXAMPLE = '{"text": "hello"}'


@dataclass
class Life:
    """What was said at each step, by the step's name."""

    repository: Path
    folder: Path
    said: dict[str, Done] = field(default_factory=dict)

    def did(self, name: str, *arguments: str | Path | int, user: str = "ada") -> Done:
        self.said[name] = skillops(*arguments, "-C", self.repository, user=user)
        return self.said[name]

    def approved(self, name: str, number: int) -> None:
        """Takes a proposal through the gates and a second person's approval."""
        self.did(f"{name}: waits", "run", number)
        self.did(f"{name}: approved", "approve", number, user="bob")
        self.did(f"{name}: done", "run", number, "--json")

    def edit(self, old: str, new: str) -> None:
        for path in (self.folder / "skill.yaml", self.folder / "SKILL.md"):
            path.write_text(path.read_text().replace(old, new))


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    home = tmp_path_factory.mktemp("life")
    skillops("init", home / "skills")
    skillops("new", "word-echo", "--in", home)
    life = Life(home / "skills", home / "word-echo")
    try:
        tell(life)
        yield life
    finally:
        wiring.open_workplace(life.repository).parts.runtime.shutdown()


def tell(life: Life) -> None:
    life.did("checked by hand", "check", life.folder, "--json")
    life.did("proposed", "propose", "--from", life.folder, "--json")
    life.did("waits", "run")
    life.did("check shows", "check", 1, "--json")
    life.did("review shows", "review", 1, "--json")
    life.did("decide shows", "decide", 1, "--json")
    life.did("own approval", "approve", 1)
    life.did("approved", "approve", 1, "--why", "fine", user="bob")
    life.did("merged", "run", "--json")
    life.did("listed", "list", "--json")
    life.did("called", "invoke", "word-echo", "--input", EXAMPLE, "--json")
    life.did("used", "stats", "--json")
    life.did("unknown restarted", "deploy", "nothing", "--restart")
    life.did("still used", "stats", "--json")
    life.did("restarted", "deploy", "--restart", "--json")
    life.did("used anew", "stats", "--json")
    life.did("nothing earlier", "rollback", "word-echo")
    life.did("wrong type", "invoke", "word-echo", "--input", '{"text": 5}', "--json")
    life.did("missing", "invoke", "word-echo", "--json")
    life.did("its own error", "invoke", "word-echo", "--input", '{"text": "é"}', "--json")
    life.did("misspelt", "show", "word-ecko")
    life.did("found", "search", "echo", "--json")
    life.did("told", "explain", 1)
    life.edit("version: 1.0.0", "version: 1.0.1")
    life.edit("Say what word-echo does", "Say what else word-echo does")
    life.did("proposed again", "propose", "--from", life.folder, "--json")
    life.approved("change", 2)
    life.did("rolled back", "rollback", "word-echo", "--why", "it said too much", "--json")
    life.approved("rollback", 3)
    life.did("history", "history", "word-echo", "--json")
    life.did("retired", "retire", "word-echo", "--json")
    life.approved("retire", 4)
    life.did("called when retired", "invoke", "word-echo", "--input", EXAMPLE, "--json")
    life.did("searched when retired", "search", "echo", "--json")


def test_a_skill_from_the_template_passes_every_check(life: Life) -> None:
    done = life.said["checked by hand"]
    assert done.code == 0
    assert {result["outcome"] for result in done.document["results"]} == {"passed"}
    assert len(done.document["results"]) == 8


def test_without_a_model_the_run_waits_for_a_person_and_says_so(life: Life) -> None:
    done = life.said["waits"]
    assert done.code == 3
    assert "#1 waits for the person: 3 reviewers could not tell. correctness, fit, security: No model is set." in done.out
    assert "skillops approve 1" in done.out
    assert "✓ tests: passed." in done.err


def test_each_stage_can_be_looked_at_by_hand(life: Life) -> None:
    checks, reviews, decision = (life.said[f"{verb} shows"] for verb in ("check", "review", "decide"))
    assert checks.code == 0 and checks.document["outcome"] == "passed"
    assert reviews.code == 4 and {review["verdict"] for review in reviews.document["reviews"]} == {"could_not_tell"}
    assert decision.code == 3 and (decision.document["action"], decision.document["waiting_for"]) == ("wait", "person")


def test_a_restart_ends_what_runs_and_serves_it_anew(life: Life) -> None:
    def instances(label: str) -> set[str]:
        return {load["instance"] for load in life.said[label].document}

    assert life.said["unknown restarted"].code == 2 and instances("still used") == instances("used")
    assert [service["state"] for service in life.said["restarted"].document["services"]] == ["healthy"]
    assert instances("used anew") and not instances("used anew") & instances("used")


def test_only_another_person_approves(life: Life) -> None:
    own, other = life.said["own approval"], life.said["approved"]
    assert own.code == 1 and "self_approval is off" in own.err
    assert other.code == 0 and "#1: approve by bob" in other.out


def test_an_approved_skill_is_merged_released_and_deployed(life: Life) -> None:
    done = life.said["merged"]
    assert done.code == 0
    stages = [step["stage"] for step in done.document["moved"]]
    assert stages[:3] == ["merging", "releasing", "deploying"]
    listed = life.said["listed"].document
    assert listed["revision"] == 1
    assert [(skill["version"], skill["proposal"], skill["approvals"]) for skill in listed["skills"]] == [("1.0.0", 1, ["bob"])]
    assert [(service["version"], service["state"]) for service in listed["services"]] == [("1.0.0", "healthy")]


def test_a_call_answers_with_a_receipt(life: Life) -> None:
    done = life.said["called"]
    assert done.code == 0 and done.document["outputs"] == {"text": "hello"}
    receipt = done.document["receipt"]
    assert (receipt["skill"], receipt["version"], receipt["proposal"], receipt["approvers"]) == ("word-echo", "1.0.0", 1, ["bob"])
    assert receipt["digest"] == life.said["listed"].document["skills"][0]["digest"]


@pytest.mark.parametrize(
    ("step", "exit_code", "code", "why"),
    [
        ("wrong type", 2, "invalid-inputs", 'is not of type "string"'),
        ("missing", 2, "invalid-inputs", '"text" is a required property'),
        ("its own error", 1, "invocation-failed", "only the examples"),
        ("called when retired", 1, "refused", "is not called"),
    ],
)
def test_a_call_that_cannot_be_answered_says_why(life: Life, step: str, exit_code: int, code: str, why: str) -> None:
    done = life.said[step]
    assert done.code == exit_code
    assert done.document["error"]["code"] == code and why in done.document["error"]["why"]


def test_a_misspelt_name_gets_the_nearest_one(life: Life) -> None:
    assert life.said["misspelt"].code == 2 and "The nearest names are word-echo." in life.said["misspelt"].err


def test_the_trail_tells_how_it_came_to_be(life: Life) -> None:
    told = life.said["told"].out
    order = ["opened proposal #1: word-echo 1.0.0", "tests: passed", "correctness: could not tell", "policy says wait", "bob approved: fine"]
    order += ["policy says merge", "merged #1", "released word-echo 1.0.0 as registry revision 1", "word-echo 1.0.0 is healthy and serves"]
    places = [told.find(sentence) for sentence in order]
    assert -1 not in places and places == sorted(places)


def test_a_change_a_rollback_and_a_retirement_pass_the_same_gates(life: Life) -> None:
    for name in ("change", "rollback", "retire"):
        assert [life.said[f"{name}: {step}"].code for step in ("waits", "approved", "done")] == [3, 0, 0]
    versions = [(past["version"], past["status"]) for past in life.said["history"].document]
    assert versions == [("1.0.2", "active"), ("1.0.1", "active"), ("1.0.0", "active")]
    assert life.said["rolled back"].document["kind"] == "rollback"


def test_a_first_version_goes_back_to_nothing(life: Life) -> None:
    done = life.said["nothing earlier"]
    assert done.code == 2 and "1.0.0 is its first; `skillops retire word-echo`" in done.err


def test_a_rollback_restores_the_tree_but_for_its_version(life: Life) -> None:
    def skill_yaml(version: str) -> str:
        commit = next(past["commit"] for past in life.said["history"].document if past["version"] == version)
        show = ["git", "-C", str(life.repository.with_name("skills.git")), "show", f"{commit}:skills/word-echo/skill.yaml"]
        return subprocess.run(show, capture_output=True, text=True, check=True).stdout.replace(version, "VERSION")

    assert skill_yaml("1.0.2") == skill_yaml("1.0.0") != skill_yaml("1.0.1")


def test_a_retired_skill_is_found_no_more(life: Life) -> None:
    assert [hit["name"] for hit in life.said["found"].document] == ["word-echo"]
    assert life.said["searched when retired"].document == []


def test_the_clone_is_brought_up_to_date_and_stays_clean(life: Life) -> None:
    git = ["git", "-C", str(life.repository)]
    assert subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True).stdout == b""
    assert "status: retired" in (life.repository / "skills/word-echo/skill.yaml").read_text()
