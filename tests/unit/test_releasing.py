"""Only this stage writes registry.yaml: what main holds and the registry does not is built and entered, in one commit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.domain.event import Event
from agent.domain.skill import WITNESS_PATH
from agent.errors import CouldNotTell, HeadMoved, InvalidFile, Refused, SkillOpsError
from agent.registry_file import parse
from agent.stages import releasing
from tests.acceptance.harness import CODE, Home
from tests.builders import a_review
from tests.engines import need_base_images
from tests.images import Images, remove_image


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.founded(tmp_path / "skills").bare()
    home.parts.sync()
    return home


def push(home: Home, name: str = "word-count", version: str = "1.0.0", **changes: bytes | None) -> str:
    return home.commit({f"skills/{name}/{path}": data for path, data in {**home.folder_by_hand(name, version), **changes}.items()})


def release(home: Home, *names: str, **more: Any) -> Any:
    parts = home.parts
    wanted = names or releasing.unreleased(parts.forge, parts.catalog)
    return releasing.release(wanted, parts.forge, parts.catalog, parts.builder, parts.sync, parts.record, **more)


# ---- merging -------------------------------------------------------------------------------------------------------


def test_a_merge_is_recorded_once(home: Home) -> None:
    proposal = home.propose_by_hand("eve")
    commits = {releasing.merge(proposal, home.forge, home.parts.record) for _ in range(2)}
    assert commits == {home.proposal().merged_commit}
    assert [event.commit for event in home.ledger("merged")] == [*commits]


def test_a_head_that_was_not_judged_is_not_merged(home: Home) -> None:
    proposal = home.propose_by_hand("eve")
    home.commit({"skills/word-count/skill.py": b"x = 1\n"}, proposal.branch)
    with pytest.raises(HeadMoved):
        releasing.merge(proposal, home.forge, home.parts.record)
    assert (home.proposal().state, home.ledger("merged")) == ("open", [])


# ---- what there is to release --------------------------------------------------------------------------------------


def test_what_main_holds_and_the_registry_does_not_is_unreleased(home: Home) -> None:
    push(home)
    assert releasing.unreleased(home.forge, home.parts.catalog) == ("word-count",)
    release(home)
    assert releasing.unreleased(home.forge, home.parts.catalog) == ()
    push(home, version="1.0.1")
    assert releasing.unreleased(home.forge, home.parts.catalog) == ("word-count",)


def test_files_that_lie_beside_the_skills_are_no_skills(home: Home) -> None:
    home.commit({"skills/README.md": b"# Skills\n"})
    assert releasing.unreleased(home.forge, home.parts.catalog) == ()


def test_where_nothing_differs_no_commit_is_made(home: Home) -> None:
    push(home)
    release(home)
    main = home.forge.head("main")
    assert release(home) == ()
    assert release(home, "word-count") == ()
    assert (home.forge.head("main"), home.registry().revision) == (main, 1)


# ---- what is entered -----------------------------------------------------------------------------------------------


def test_the_entry_names_the_proposal_that_brought_the_tree_and_who_approved(home: Home) -> None:
    proposal = home.propose_by_hand("eve")
    for review in (
        a_review("fit", head=proposal.head),
        a_review("security", "reject", head=proposal.head),
        a_review("bob", kind="person", head=proposal.head),
    ):
        home.forge.post_review(proposal.number, review)
    commit = releasing.merge(proposal, home.forge, home.parts.record)

    (released,) = release(home)

    entry = home.registry().skills[0]
    assert (entry.proposal, entry.approvals, entry.commit) == (proposal.number, ("bob", "fit"), commit)
    assert entry.tree == home.forge.object_id(commit, "skills/word-count")
    assert (released.version, released.digest, released.revision, released.commit) == ("1.0.0", entry.digest, 1, commit)
    assert [(event.proposal, event.data["revision"]) for event in home.ledger("released")] == [(proposal.number, 1)]


def test_a_tree_that_no_proposal_brought_claims_no_approvals(home: Home) -> None:
    proposal = home.propose_by_hand("eve")
    releasing.merge(proposal, home.forge, home.parts.record)
    push(home, **{"skill.py": CODE.replace("How many", "The number of").encode()})
    release(home)
    entry = home.registry().skills[0]
    assert (entry.origin, entry.proposal, entry.approvals) == ("bundled", None, ())


def test_the_witness_cases_are_no_part_of_what_is_built(home: Home) -> None:
    push(home)
    (first,) = release(home)
    push(home, **{WITNESS_PATH: b"cases: []\n"})
    (second,) = release(home)
    assert first.digest == second.digest
    assert WITNESS_PATH not in releasing.released_files(home.forge, "main", "word-count")


def test_a_folder_that_is_gone_leaves_the_registry(home: Home) -> None:
    push(home, "a-count")
    push(home)
    release(home)
    before = home.registry_bytes()
    home.commit(dict.fromkeys((f"skills/a-count/{path}" for path in home.folder_by_hand()), None))

    assert release(home) == ()

    assert [entry.name for entry in home.registry().skills] == ["word-count"]
    assert home.registry_bytes().endswith(before[before.index(b"  word-count:") :])
    assert home.git("log", "-1", "--format=%s", "main").strip() == "remove a-count (registry revision 2)"


def test_several_go_in_with_one_commit_and_the_others_keep_every_byte(home: Home) -> None:
    push(home, "m-count")
    release(home)
    before = home.registry_bytes()
    block = before[before.index(b"  m-count:") :]
    push(home, "a-count")
    push(home, "z-count")

    assert [each.skill for each in release(home)] == ["a-count", "z-count"]

    assert [entry.name for entry in home.registry().skills] == ["a-count", "m-count", "z-count"]
    assert block in home.registry_bytes()
    assert home.registry().revision == 2


# ---- what goes wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manifest", "told"),
    [(b"name: [\n", r"skill\.yaml:\d"), (None, "word-count/skill.yaml"), (b"other-count", "other-count lies in the folder word-count")],
)
def test_a_folder_that_is_no_skill_is_told_with_its_file(home: Home, manifest: bytes | None, told: str) -> None:
    if manifest == b"other-count":
        manifest = home.folder_by_hand("other-count")["skill.yaml"]
    push(home, **{"skill.yaml": manifest})
    with pytest.raises(InvalidFile, match=told):
        release(home)
    assert home.registry().revision == 0


def test_what_is_broken_keeps_nothing_else_from_its_release(home: Home) -> None:
    push(home, "a-count", **{"skill.yaml": b"name: [\n"})
    push(home)
    faults: dict[str, SkillOpsError] = {}

    released = release(home, broken=faults.__setitem__)

    assert ([each.skill for each in released], list(faults)) == (["word-count"], ["a-count"])
    assert [entry.name for entry in home.registry().skills] == ["word-count"]


def test_a_broken_version_leaves_the_entry_of_the_one_before(home: Home) -> None:
    push(home)
    release(home)
    push(home, version="1.1.0", **{"skill.yaml": b"name: [\n"})
    release(home, broken=lambda name, fault: None)
    assert [entry.version for entry in home.registry().skills] == ["1.0.0"]


def test_a_registry_that_main_has_not_is_told(home: Home) -> None:
    push(home)
    home.commit({"registry.yaml": None})
    with pytest.raises(InvalidFile, match=r"registry\.yaml"):
        release(home, "word-count")


def test_main_that_never_holds_still_is_told_in_the_end(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    push(home)

    def moved(*_: Any, **__: Any) -> str:
        raise HeadMoved("main moved.")

    monkeypatch.setattr(home.forge, "commit", moved)
    with pytest.raises(HeadMoved, match="kept moving"):
        release(home)


def test_a_release_that_another_run_made_in_between_is_not_made_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    push(home)
    elsewhere, commit = home.reopened().bare(), home.forge.commit

    def raced(*given: Any, **named: Any) -> str:
        if not elsewhere.registry().skills:
            push(elsewhere, "a-count")
            release(elsewhere)
        return commit(*given, **named)

    monkeypatch.setattr(home.forge, "commit", raced)

    assert release(home) == ()

    assert [entry.name for entry in home.registry().skills] == ["a-count", "word-count"]
    assert home.registry().revision == 1


# ---- artifacts -----------------------------------------------------------------------------------------------------


def test_an_artifact_that_is_not_at_hand_is_built_again_from_its_commit(home: Home) -> None:
    push(home)
    release(home)
    shutil.rmtree(home.parts.settings.state / "artifacts")
    elsewhere = home.reopened()
    entry = elsewhere.registry().skills[0]
    push(home, version="2.0.0")
    artifact, manifest = releasing.artifact_of(entry, elsewhere.forge, elsewhere.parts.builder)
    assert (artifact.digest, manifest.version) == (entry.digest, "1.0.0")


def test_another_toolchain_than_at_the_release_could_not_tell(home: Home) -> None:
    push(home)
    release(home)
    entry = home.registry().skills[0].model_copy(update={"digest": "sha256:" + "0" * 64})
    with pytest.raises(CouldNotTell, match="release --rebuild word-count"):
        releasing.artifact_of(entry, home.forge, home.parts.builder)


def test_what_cannot_be_built_is_told_of_that_skill_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    push(home, "a-count")
    push(home)
    build = home.parts.builder.build

    def building(root: Path, files: Any, manifest: Any) -> Any:
        if manifest.name == "a-count":
            raise Refused("The lock file is broken.")
        return build(root, files, manifest)

    monkeypatch.setattr(home.parts.builder, "build", building)
    faults: dict[str, SkillOpsError] = {}
    release(home, broken=faults.__setitem__)
    assert list(faults) == ["a-count"]
    assert [entry.name for entry in parse(home.registry_bytes().decode()).skills] == ["word-count"]


def test_a_release_is_recorded_once_for_a_tree_and_a_digest(home: Home) -> None:
    push(home)
    release(home)
    event = releasing.released(home.registry().skills[0], 1)
    assert isinstance(event, Event)
    home.parts.record(event)
    assert len(home.ledger("released")) == 1


@pytest.mark.docker
def test_an_image_is_entered_with_its_reference_and_built_again_where_it_is_gone(home: Home, images: Callable[..., Images], tmp_path: Path) -> None:
    need_base_images("python")
    place = images(tmp_path / "contexts")
    home.change(builder=place.builder(home.parts.languages))
    push(home)
    release(home)
    entry = home.registry().entry("word-count")
    assert entry is not None
    assert (entry.artifact, [entry.image]) == ("image", place.artifacts())
    remove_image(place.api, entry.image)
    artifact, _ = releasing.artifact_of(entry, home.forge, home.parts.builder)
    assert (artifact.location, artifact.digest) == (entry.image, entry.digest)
    assert release(home) == ()
