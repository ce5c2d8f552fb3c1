"""The audit of what is released, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent import audit
from agent.dashboard import dashboard
from agent.domain.audit import Advisory, Audit, Stale, Update, Warned
from agent.domain.package import Package
from agent.domain.proposal import DEPLOYER, STALE
from agent.domain.release import Service
from agent.errors import CouldNotTell
from agent.journal import Committed, Journal, Proposed, faults
from agent.manifest_file import read_manifest
from agent.nightly_job import read_audit, together
from agent.stages import releasing
from tests.acceptance.harness import Home, RememberingRuntime
from tests.command import skillops

OLD, NEW = ("humanize==4.0.0",), ("humanize==4.9.0",)
PACKAGE = Package(ecosystem="PyPI", name="humanize", version="4.0.0")
BAD = Advisory(id="PYSEC-1", package=PACKAGE, summary="<b>@ada</b>", fixed=("4.0.1",))


class Locking:
    """The language of the skill, as if the index held what we say."""

    def __init__(self, language: Any, fault: str = "") -> None:
        self._language, self._fault = language, fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self._language, name)

    def newer(self, manifest: Any) -> tuple[str, ...]:
        if self._fault:
            raise CouldNotTell(self._fault)
        return NEW

    def locked(self, files: Any) -> tuple[Package, ...]:
        return (PACKAGE.model_copy(update={"sha256": ("a" * 64,)}),) if b"4.0.0" in files.get("requirements.lock", b"") else ()

    def lock(self, manifest: Any) -> dict[str, bytes]:
        return {"requirements.lock": f"{manifest.dependencies[0]} --hash=sha256:{'b' * 64}\n".encode()}


class Services(RememberingRuntime):
    def services(self) -> tuple[Service, ...]:
        return (Service(skill="word-count", version="0.9.0", digest="sha256:other", state="healthy"),)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A repository that has released a skill with a dependency."""
    home = Home.founded(tmp_path / "skills").bare()
    files = home.folder_by_hand()
    files["skill.yaml"] = b"# of ours\n" + files["skill.yaml"].replace(b"dependencies: []", b"") + b"dependencies:\n- humanize==4.0.0 # the old one\n"
    files["requirements.lock"] = b"humanize==4.0.0 --hash=sha256:" + b"a" * 64 + b"\n"
    assert read_manifest(files["skill.yaml"], "skill.yaml").dependencies == OLD
    home.commit({f"skills/word-count/{path}": data for path, data in files.items()})
    home.change(languages={**home.parts.languages, "python": Locking(home.parts.languages["python"])})
    from tests.unit.test_shipment import DIGEST

    class Anything:
        def digest(self, *_: Any) -> str:
            return DIGEST

        def find(self, digest: str) -> Any:
            from agent.domain.release import Artifact

            return Artifact(digest=DIGEST, kind="directory", location="")

    home.parts.sync()
    releasing.release(("word-count",), home.forge, home.parts.catalog, Anything(), home.parts.sync, home.parts.record)  # type: ignore[arg-type]
    return home


def told(packages: Sequence[Package]) -> list[Advisory]:
    return [BAD] if PACKAGE in packages else []


def test_each_thing_that_is_to_be_known_is_found(home: Home) -> None:
    home.change(runtime=Services())
    found = audit.audit(home.parts, told)

    assert [(each.skill, each.what) for each in found.drift] == [("word-count", "0.9.0 runs, and the registry holds 1.0.0")]
    assert found.advisories == (Warned(skill="word-count", advisory=BAD),)
    assert found.updates == (Update(skill="word-count", before=OLD, after=NEW),)
    assert (found.stale, found.unknown) == ((), ())
    shown = dashboard(home.parts, found)
    assert "humanize 4.0.0: PYSEC-1 (mended in 4.0.1) ‹b›@\u200bada‹/b›" in shown and "humanize==4.0.0 → humanize==4.9.0" in shown


def test_what_could_not_be_told_is_said_and_is_no_success(home: Home) -> None:
    home.change(languages={**home.parts.languages, "python": Locking(home.parts.languages["python"], "The index is out of reach.")})

    def silent(packages: Sequence[Package]) -> list[Advisory]:
        raise CouldNotTell("The database is out of reach.")

    found = audit.audit(home.parts, silent)

    assert not found.clean and found.advisories == found.updates == ()
    assert found.unknown == ("Advisories: The database is out of reach.", "Newer versions for word-count: The index is out of reach.")


def test_a_lock_file_that_names_nothing_is_not_taken_for_safe(home: Home) -> None:
    home.commit({"skills/word-count/requirements.lock": b""})
    (unknown,) = audit.audit(home.parts, told, ("advisories",)).unknown
    assert unknown == "The packages of word-count: Its lock file names none."


def test_newer_versions_are_proposed_once_by_a_patch_with_the_lock_raised(home: Home) -> None:
    found = audit.audit(home.parts, told)
    proposal = audit.propose(home.parts, found.updates[0], found.advisories)

    assert proposal and (proposal.kind, proposal.author, proposal.request) == ("update", DEPLOYER, None) and "PYSEC-1" in proposal.body
    text = home.forge.read(proposal.head, "skills/word-count/skill.yaml") or b""
    assert text.startswith(b"# of ours\n") and b"- humanize==4.9.0 # the old one" in text and b"\nversion: 1.0.1\n" in text
    assert b"humanize==4.9.0" in (home.forge.read(proposal.head, "skills/word-count/requirements.lock") or b"")
    assert audit.propose(home.parts, found.updates[0]) is None
    home.forge.close_proposal(proposal.number)
    assert audit.propose(home.parts, found.updates[0]) is None  # a person said no

    later = audit.propose(home.parts, Update(skill="word-count", before=OLD, after=("humanize==4.10.0",)))
    last = audit.propose(home.parts, Update(skill="word-count", before=OLD, after=("humanize==4.11.0",)))
    assert later and last and [each.number for each in home.forge.proposals("open")] == [last.number]


def test_what_waits_for_a_person_for_long_is_marked_until_it_moves(home: Home) -> None:
    home.commit({"reviewers/policy.yaml": b"apiVersion: skillops/v1\nautonomy: manual\nstale_days: 40\n"})
    proposal = home.propose_by_hand("eve", name="word-sum")
    home.run()
    assert audit.audit(home.parts, told, ("stale",)).stale == ()

    found = audit.audit(home.parts, told, ("stale",), now=datetime.now(UTC) + timedelta(days=45, minutes=1))

    assert [(each.number, each.days) for each in found.stale] == [(proposal.number, 45)]
    for _ in range(2):
        audit.mark(home.parts, found)
    assert STALE in home.proposal(proposal.number).labels
    assert sum("for 45 days" in comment.text for comment in home.forge.comments(proposal.number)) == 1
    audit.mark(home.parts, Audit(unknown=("something",)))
    assert STALE in home.proposal(proposal.number).labels  # who could not look takes nothing back
    audit.mark(home.parts, Audit())
    assert STALE not in home.proposal(proposal.number).labels


# ---- what a nightly job may ------------------------------------------------------------------------------------------


def a_journal(**traits: Any) -> Journal:
    branch = traits.pop("branch", "skillops/update-word-count-1.0.1-0123abcd")
    draft = {"branch": branch, "skill": "word-count", "kind": "update", "title": "t", "body": "", "author": DEPLOYER, **traits.pop("draft", {})}
    commit = {"branch": branch, "files": {"skills/word-count/skill.yaml": ""}, "onto": None, "message": "m", "author": DEPLOYER, **traits}
    return Journal(job="nightly", lines=(Committed(**commit), Proposed(draft=draft)))


def test_a_nightly_job_may_raise_dependencies_and_nothing_else() -> None:
    assert list(faults(a_journal())) == []
    void = [
        a_journal(files={"skills/other/skill.yaml": ""}), a_journal(files={".github/workflows/check.yml": ""}), a_journal(author="ada"),
        a_journal(branch="main"), a_journal(onto="a" * 40), a_journal(draft={"kind": "new"}), a_journal(draft={"author": "skillops-author"}),
        a_journal(draft={"request": 7}), a_journal(draft={"skill": "other"}),
        Journal(job="nightly", lines=({"kind": "said", "number": 1, "text": "hello", "author": "skillops"},)),
    ]  # fmt: skip
    assert [journal for journal in void if not list(faults(journal))] == []


def test_audits_of_several_jobs_are_one_and_one_that_left_nothing_is_told(tmp_path: Path) -> None:
    left = Journal(job="nightly", audit=Audit(stale=(Stale(number=1, days=40, why="x"),)))
    (tmp_path / "nightly.json").write_text(left.model_dump_json())
    (tmp_path / "broken.json").write_text('{"drift": 7}')

    found = together(*(read_audit(tmp_path / name) for name in ("nightly.json", "broken.json", "absent.json")))

    assert [each.number for each in found.stale] == [1] and len(found.unknown) == 2


# ---- the verb --------------------------------------------------------------------------------------------------------


def test_the_verb_says_what_it_found_by_its_exit_code_and_leaves_labels_alone_that_it_did_not_look_at(home: Home) -> None:
    place, offline = ("-C", home.path, "--json"), {"SKILLOPS_ADVISORIES": "http://127.0.0.1:1"}
    number = home.propose_by_hand("eve", name="word-sum").number
    home.forge.label(number, add=[STALE])

    assert skillops("audit", "--only", "nonsense", *place).code == 2
    unknown = skillops("audit", "--only", "advisories", *place, **offline)
    assert unknown.code == 4 and "out of reach" in unknown.document["unknown"][0]
    assert skillops("audit", "--only", "drift", "--propose", *place).code == 0 and STALE in home.proposal(number).labels
    home.commit({"skills/word-count/skill.py": b"x = 1\n"})
    drifted = skillops("audit", "--only", "drift", *place)
    assert drifted.code == 1 and drifted.document["drift"] == [{"skill": "word-count", "what": "main holds another tree of it than the registry"}]
    assert skillops("audit", "--only", "stale", "--propose", *place).code == 0 and STALE not in home.proposal(number).labels
