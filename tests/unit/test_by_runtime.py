"""Where images are built, a workflow is a folder all the same."""

from __future__ import annotations

from pathlib import Path

from agent.builders.by_runtime import ByRuntime
from agent.builders.directory import DirectoryBuilder
from agent.languages.python import PythonLanguage
from agent.languages.workflow import WorkflowLanguage
from agent.manifest_file import write_manifest
from agent.settings import Settings
from agent.wiring_runtimes import builder_of, languages_of
from tests.builders import a_manifest
from tests.unit.test_workflow import PLAN, Shelf, a_workflow


def test_each_skill_is_built_by_the_builder_of_its_runtime(tmp_path: Path) -> None:
    languages = {"python": PythonLanguage(), "workflow": WorkflowLanguage(Shelf(a_manifest()))}
    usual, data = DirectoryBuilder(tmp_path / "usual", languages), DirectoryBuilder(tmp_path / "data", languages)
    builder = ByRuntime(usual, data, {"workflow"})
    workflow = {"skill.yaml": write_manifest(a_workflow()), "workflow.yaml": PLAN.encode()}
    code = {"skill.yaml": write_manifest(a_manifest()), "skill.py": b"def execute(inputs, context):\n    return {}\n"}

    built = [builder.build(tmp_path, files, manifest) for files, manifest in ((workflow, a_workflow()), (code, a_manifest()))]

    assert [Path(artifact.location).parent.name for artifact in built] == ["data", "usual"]
    assert [builder.find(artifact.digest) for artifact in built] == built
    assert builder.digest(workflow, a_workflow()) == built[0].digest
    assert (Path(built[0].location) / "workflow.yaml").read_text() == PLAN


def test_the_settings_for_images_give_such_a_builder(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, builder="docker", runtime="docker")

    assert isinstance(builder_of(settings, tmp_path / "store", languages_of(Shelf())), ByRuntime)
