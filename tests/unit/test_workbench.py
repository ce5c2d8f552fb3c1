from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.domain.check import CheckResult, Finding, Outcome, Subject
from agent.domain.release import Artifact, Endpoint
from agent.domain.skill import WITNESS_PATH, tree_digest
from agent.domain.stand_in import STAND_INS_PATH
from agent.errors import ConfigurationError, CouldNotTell, Refused, UsageError
from agent.manifest_file import read_manifest
from agent.ports import Workbench
from agent.workbench import Bench, TryOut, examine, make_subject, read_folder, subject_of_folder
from tests.builders import HEAD
from tests.subjects import CASE, SKILL_YAML, WITNESS, ToldBench, a_subject, skill_files


@dataclass
class CountingBuilder:
    """Counts what it builds, or refuses to."""

    refuses: bool = False
    built: list[dict[str, bytes]] = field(default_factory=list)

    def build(self, root: Path, files: dict[str, bytes], manifest: Any) -> Artifact:
        self.built.append(files)
        if self.refuses:
            raise Refused("The lock file is broken.")
        return Artifact(digest="sha256:" + "1" * 64, kind="directory", location="unused")


@dataclass
class CountingRuntime:
    """Notes the threads on which trials begin and end."""

    began: list[threading.Thread] = field(default_factory=list)
    given: list[Any] = field(default_factory=list)
    ended: list[threading.Thread] = field(default_factory=list)

    @contextmanager
    def trial(self, artifact: Artifact, manifest: Any, stand_ins: Any) -> Iterator[Endpoint]:
        self.began.append(threading.current_thread())
        self.given.append(stand_ins)
        yield Endpoint(socket="unused")
        self.ended.append(threading.current_thread())


@dataclass
class ACheck:
    """Does `act` and passes."""

    name: str
    act: Any = lambda subject, bench: None

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        self.act(subject, bench)
        return CheckResult(name=self.name, outcome=Outcome.PASSED, head=subject.head, summary="fine")


def raising(error: Exception) -> Any:
    def act(subject: Subject, bench: Workbench) -> None:
        raise error

    return act


# ---- subjects ------------------------------------------------------------------------------------------------------


def test_a_subject_holds_the_files_and_a_snapshot_without_the_witness_cases(tmp_path: Path) -> None:
    files = skill_files(**{WITNESS_PATH: WITNESS})
    subject = a_subject(tmp_path, files)
    on_disk = {path.relative_to(subject.root).as_posix(): path.read_bytes() for path in subject.root.rglob("*") if path.is_file()}
    assert subject.files == files and subject.witness == (CASE,)
    assert on_disk == skill_files()
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in subject.root.rglob("*") if path.is_file())


def test_a_broken_manifest_is_a_finding_with_path_and_line(tmp_path: Path) -> None:
    subject = a_subject(tmp_path, skill_files(**{"skill.yaml": SKILL_YAML.replace("1.0.0", "one")}))
    assert subject.manifest is None and subject.manifest_error
    assert (subject.manifest_error.path, subject.manifest_error.line is not None) == ("skills/word-count/skill.yaml", True)


def test_a_base_is_read_and_a_broken_base_is_none(tmp_path: Path) -> None:
    good = a_subject(tmp_path / "good", base_files=skill_files())
    broken = a_subject(tmp_path / "broken", base_files={"skill.yaml": b"["})
    assert good.base_manifest and good.base_manifest.version == "1.0.0"
    assert broken.base_manifest is None


def test_a_full_disk_could_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device", "/some/where")))
    with pytest.raises(CouldNotTell, match="No space left on device") as caught:
        make_subject("word-count", HEAD, skill_files(), root=tmp_path / "word-count")
    assert "/some/where" not in str(caught.value)


def test_a_folder_on_disk_becomes_a_subject_with_its_modes(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    (folder / "run.sh").write_text("echo\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("/etc/hostname")
    subject = subject_of_folder(folder, tmp_path / "snapshot")
    modes = {change.path: change.mode for change in subject.changes}
    assert modes["skills/word-count/run.sh"] == "100755" and modes["skills/word-count/link"] == "120000"
    assert "link" not in subject.files and not (subject.root / "link").exists()
    assert subject.manifest and subject.manifest.name == "word-count"


def test_left_overs_of_tools_are_passed_over(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    (folder / "tests" / "__pycache__").mkdir()
    (folder / "tests" / "__pycache__" / "x.pyc").write_bytes(b"\0")
    assert read_folder(folder) == skill_files()


def test_a_folder_with_a_link_is_not_read(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    (folder / "secrets").symlink_to("/etc")
    with pytest.raises(Refused, match="secrets cannot be part of a skill"):
        read_folder(folder)


@pytest.mark.parametrize("name", ["Word_Count", "word-count"])
def test_a_folder_that_is_none_or_badly_named_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        subject_of_folder(tmp_path / name, tmp_path / "snapshot")


def a_folder(tmp_path: Path) -> Path:
    for path, data in skill_files().items():
        place = tmp_path / "word-count" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return tmp_path / "word-count"


def test_the_tree_digest_follows_the_content_and_not_the_witness() -> None:
    plain, with_cases = tree_digest(skill_files()), tree_digest(skill_files(**{WITNESS_PATH: WITNESS}))
    assert plain == with_cases != tree_digest(skill_files(**{"skill.py": "x = 1\n"}))
    assert tree_digest({"a": b"bc"}) != tree_digest({"ab": b"c"})


# ---- the bench -----------------------------------------------------------------------------------------------------


def test_everybody_who_asks_gets_the_one_build_and_the_one_trial(tmp_path: Path) -> None:
    builder, runtime = CountingBuilder(), CountingRuntime()
    subject = a_subject(tmp_path, skill_files(**{WITNESS_PATH: WITNESS}))
    with Bench(subject, builder, runtime) as bench:  # type: ignore[arg-type]
        checks = [ACheck(f"c{number}", lambda _, bench: (bench.trial(), bench.artifact())) for number in range(8)]
        report = examine(checks, subject, bench, workers=8)
        assert not runtime.ended
    assert report.outcome is Outcome.PASSED
    assert builder.built == [skill_files()]
    assert len(runtime.began) == 1 and runtime.began == runtime.ended


def test_a_trial_begins_on_a_thread_that_outlives_the_checks(tmp_path: Path) -> None:
    runtime, subject = CountingRuntime(), a_subject(tmp_path)
    with Bench(subject, CountingBuilder(), runtime) as bench:  # type: ignore[arg-type]
        examine([ACheck("c", lambda _, bench: bench.trial())], subject, bench, workers=1)
        assert runtime.began[0].is_alive()


def test_everybody_who_asks_gets_the_same_exception_and_it_is_tried_once(tmp_path: Path) -> None:
    builder = CountingBuilder(refuses=True)
    with Bench(a_subject(tmp_path), builder, CountingRuntime()) as bench:  # type: ignore[arg-type]
        caught = []
        for ask in (bench.artifact, bench.trial, bench.trial):
            with pytest.raises(Refused) as error:
                ask()
            caught.append(error.value)
    assert len(builder.built) == 1 and caught[0] is caught[1] is caught[2]


def test_nothing_is_built_of_a_skill_without_a_manifest(tmp_path: Path) -> None:
    builder = CountingBuilder()
    with Bench(a_subject(tmp_path, {}), builder, CountingRuntime()) as bench, pytest.raises(Refused):  # type: ignore[arg-type]
        bench.trial()
    assert not builder.built


def test_a_trial_is_given_the_stand_ins_of_the_subject(tmp_path: Path) -> None:
    runtime = CountingRuntime()
    route = "hosts: [{host: 'api.example.com:443', routes: [{path: /, reply: {}}]}]"
    files = skill_files(**{STAND_INS_PATH: f"apiVersion: skillops/v1\nkind: StandIns\n{route}\n"})
    with Bench(a_subject(tmp_path, files), CountingBuilder(), runtime) as bench:  # type: ignore[arg-type]
        bench.trial()
    with Bench(a_subject(tmp_path / "none"), CountingBuilder(), runtime) as bench:  # type: ignore[arg-type]
        bench.trial()
    assert [[one.host for one in stand_ins.hosts] for stand_ins in runtime.given] == [["api.example.com:443"], []]


def test_there_is_no_trial_with_a_broken_stand_ins_file(tmp_path: Path) -> None:
    runtime, files = CountingRuntime(), skill_files(**{STAND_INS_PATH: "hosts: [{host: nowhere}]\n"})
    with Bench(a_subject(tmp_path, files), CountingBuilder(), runtime) as bench, pytest.raises(Refused, match=r"stand-ins.yaml:1"):  # type: ignore[arg-type]
        bench.trial()
    assert runtime.began == []


# ---- examining -----------------------------------------------------------------------------------------------------


def test_results_come_as_they_end_and_are_reported_in_the_checks_order(tmp_path: Path) -> None:
    first_told = threading.Event()
    slow = ACheck("slow", lambda *_: first_told.wait(10))
    told: list[str] = []

    def on_result(result: CheckResult) -> None:
        told.append(result.name)
        first_told.set()

    report = examine([slow, ACheck("quick")], a_subject(tmp_path), ToldBench(), workers=2, on_result=on_result)
    assert told == ["quick", "slow"]
    assert [result.name for result in report.results] == ["slow", "quick"]
    assert all(result.seconds >= 0 for result in report.results)


@pytest.mark.parametrize(
    ("error", "outcome", "said"),
    [
        (Refused("The lock file is broken."), Outcome.FAILED, "The lock file is broken."),
        (CouldNotTell("No index.", next_step="Try again."), Outcome.COULD_NOT_TELL, "No index. Try again."),
        (ConfigurationError("No ruff."), Outcome.COULD_NOT_TELL, "No ruff."),
        (OSError(errno.ENOSPC, "No space left on device", "/some/where"), Outcome.COULD_NOT_TELL, "No space left on device. Look at the disk"),
        (TimeoutError(), Outcome.COULD_NOT_TELL, "TimeoutError"),
    ],
)
def test_what_stops_a_check_becomes_its_outcome(tmp_path: Path, error: Exception, outcome: Outcome, said: str) -> None:
    report = examine([ACheck("c", raising(error))], a_subject(tmp_path), ToldBench(), workers=1)
    result = report.results[0]
    assert result.outcome is outcome and said in result.summary and "/some/where" not in result.summary
    assert bool(result.findings) is (outcome is Outcome.FAILED)


def test_a_mistake_of_our_own_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        examine([ACheck("c", raising(ZeroDivisionError()))], a_subject(tmp_path), ToldBench(), workers=1)


# ---- the author's trial --------------------------------------------------------------------------------------------


def tried(*checks: Any) -> Any:
    return TryOut(checks, CountingBuilder(), CountingRuntime(), 2)(skill_files(), read_manifest(SKILL_YAML.encode(), "skill.yaml"))  # type: ignore[arg-type]


@dataclass
class Failing:
    name: str = "style"

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        findings = (Finding(message="bad", path="skills/word-count/skill.py", line=2), Finding(message="so-so", level="note"))
        return CheckResult(name=self.name, outcome=Outcome.FAILED, head=subject.head, summary="bad", findings=findings)


def test_a_draft_is_told_its_problems_without_notes() -> None:
    problems = tried(ACheck("manifest"), Failing(), ACheck("tests", raising(CouldNotTell("No sandbox."))))
    assert [(p.source, p.message, p.path, p.line) for p in problems] == [("style", "bad", "skills/word-count/skill.py", 2)]


def test_a_draft_that_could_not_be_tried_is_nobodys_fault() -> None:
    with pytest.raises(CouldNotTell, match=r"tests: No sandbox\."):
        tried(ACheck("manifest"), ACheck("tests", raising(CouldNotTell("No sandbox."))))
