"""What the jobs of a release in GitHub Actions do: one builds and holds no right, one pushes what that packed, one enters both in registry.yaml."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.actions import mirror_of, parts_on
from agent.domain.progress import Stage
from agent.errors import ConfigurationError, InvalidFile, Refused, SkillOpsError
from agent.manifest_file import read_manifest
from agent.parts import Parts
from agent.pipeline import Outcome
from agent.sbom import bill
from agent.settings import Settings
from agent.shipment import Built, Shipment, Shipped, Unbuilt, read_pushed, source_of
from agent.snapshot import snapshot
from agent.stages import releasing
from agent.workplace import Workplace

MOST = 200  # skills of one run; GitHub starts at most 256 jobs of a matrix. The next run takes the rest


def build(root: Path, contexts: Path) -> Shipment:
    """Builds every skill that main holds and the registry does not; nothing is asked of GitHub.

    Of an image, what it is built from goes to `contexts` as NAME.tar, with its bill of materials as NAME.cdx.json.
    """
    settings, built, unbuilt = Settings.load(root), list[Built](), list[Unbuilt]()
    with mirror_of(root) as mirror:
        _, parts = parts_on(settings, mirror, None)
        parts.sync()
        names = releasing.unreleased(parts.forge, parts.catalog)
        there = [name for name in names if parts.forge.object_id(parts.forge.main, f"skills/{name}")]
        for name in there[:MOST]:
            files = releasing.released_files(parts.forge, parts.forge.main, name)
            try:
                built.append(_built(name, files, parts, contexts))
            except SkillOpsError as error:
                if isinstance(error, ConfigurationError) and not isinstance(error, InvalidFile):
                    raise  # it is of the repository, and keeps every skill from being released
                told = {"what": error.what[:1000], "why": error.why[:2000], "next_step": error.next_step[:1000]}
                unbuilt.append(Unbuilt(skill=name, source=source_of(files), refused=isinstance(error, Refused | InvalidFile), **told))
    return Shipment(built=tuple(built), unbuilt=tuple(unbuilt))


def images(shipment: Shipment) -> list[dict[str, str]]:
    """The matrix of the job that pushes: of each image the skill, the registry to log in to, its repository and its tag."""
    found = []
    for each in shipment.built:
        if each.image:
            repository, _, tag = each.image.rpartition(":")
            found.append({"skill": each.skill, "registry": repository.partition("/")[0], "repository": repository, "tag": tag})
    return found


def enter(place: Workplace, shipment: Shipment, pushed: Path) -> Outcome:
    """Enters what was built and pushed in registry.yaml, and nothing else: what is not there is told, and left for the next run."""
    parts = place.parts
    shipped: Any = Shipped(shipment, read_pushed(pushed, parts.settings.images))
    limited = replace(place, parts=replace(parts, builder=shipped)).limited_to(frozenset((Stage.RELEASE, Stage.WAIT, Stage.NOTHING)))
    return limited.work()[0]


def _built(name: str, files: dict[str, bytes], parts: Parts, contexts: Path) -> Built:
    manifest = read_manifest(files.get("skill.yaml", b""), f"skills/{name}/skill.yaml")
    with snapshot(name, files) as root:
        context = parts.builder.pack(root, files, manifest)
        if context is None:
            return Built(skill=name, source=source_of(files), digest=parts.builder.build(root, files, manifest).digest)
    if not parts.settings.images:
        raise ConfigurationError(
            "Nothing says where images are pushed to.", next_step="Set `image_repository` in skillops.toml, like ghcr.io/acme/skills."
        )
    contexts.mkdir(parents=True, exist_ok=True)
    with context.packed as packed, (contexts / f"{name}.tar").open("wb") as target:
        shutil.copyfileobj(packed, target)
    packages = parts.languages[manifest.runtime].locked(files)
    (contexts / f"{name}.cdx.json").write_bytes(bill(manifest, context.digest, packages, context.bases))
    tag = f"{manifest.version}-{context.digest.removeprefix('sha256:')[:12]}"
    return Built(skill=name, source=source_of(files), digest=context.digest, image=f"{parts.settings.images}/{name}:{tag}")


def as_output(shipment: Shipment) -> str:
    """The matrix as a line for GITHUB_OUTPUT."""
    return f"images={json.dumps(images(shipment), separators=(',', ':'))}"
