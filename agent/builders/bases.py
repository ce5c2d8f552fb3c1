"""The images that skills are built on: what ours are called, and what an engine knows of one."""

from __future__ import annotations

from typing import NamedTuple

from agent.docker_engine import DockerEngine, faults
from agent.errors import ConfigurationError, CouldNotTell

OURS = "skillops/base-"
STABLE = {runtime: f"{OURS}{runtime}:stable" for runtime in ("bash", "python", "node", "go")}
RECIPE, DIGEST, VERSION = "skillops.base.recipe", "skillops.base.digest", "skillops.base.version"  # labels of ours


class Base(NamedTuple):
    """An image to build on. `digest` identifies its content; `version` is its language's, empty where it does not say."""

    reference: str
    digest: str
    version: str = ""


def base_image(engine: DockerEngine, reference: str) -> Base:
    """Pulled where the engine does not have it. Raises CouldNotTell with the way to get it."""
    found = _inspected(engine, reference)
    if found is None and not reference.startswith(OURS):
        try:
            with faults(f"pull {reference}"):
                engine.client().api.pull(reference, **({} if _has_tag(reference) else {"tag": "latest"}))
        except CouldNotTell as error:
            fix = "`make base-images` makes our own without a registry; the setting `base_images` says which is used."
            raise CouldNotTell(f"The base image {reference} cannot be pulled.", why=error.why, next_step=fix) from error
        found = _inspected(engine, reference)
    if found is None:
        fix = "`make base-images` makes it; the setting `base_images` names another, like python:3.12-slim."
        raise CouldNotTell(f"The base image {reference} is not there.", next_step=fix)
    return found


def in_registry(engine: DockerEngine, reference: str) -> str:
    """The image by its digest in the registry that it came from, for an engine elsewhere. ConfigurationError where it is of this one alone."""
    base_image(engine, reference)
    with faults("inspect an image"):
        known = engine.client().api.inspect_image(reference).get("RepoDigests") or []
    repository = reference.partition("@")[0]
    repository = repository.rpartition(":")[0] if _has_tag(repository) else repository
    if found := next((name for name in known if name.partition("@")[0] == repository), None):
        return str(found)
    raise ConfigurationError(
        f"The base image {reference} is in no registry, so an image cannot be built on it elsewhere.",
        next_step="Push it to one, and name it there in the setting `base_images`; or name an official one, like python:3.12-slim.",
    )


def labels_of(engine: DockerEngine, reference: str) -> dict[str, str]:
    """The labels of an image of the engine; empty where it has no such image."""
    with faults("list its images"):
        found = engine.client().api.images(filters={"reference": reference})
    return dict(found[0].get("Labels") or {}) if found else {}


def _inspected(engine: DockerEngine, reference: str) -> Base | None:
    with faults("inspect an image"):
        api = engine.client().api
        found = api.images(filters={"reference": reference})
        if not found:
            return None
        labels = found[0].get("Labels") or {}
        if DIGEST in labels:
            return Base(reference, labels[DIGEST], labels.get(VERSION, ""))
        said = api.inspect_image(found[0]["Id"])
    environment = dict(entry.partition("=")[::2] for entry in said["Config"].get("Env") or ())
    version = environment.get("PYTHON_VERSION") or environment.get("NODE_VERSION") or ""  # as the official images say it
    repository = (said.get("RepoDigests") or [""])[0].rpartition("@")[2]
    return Base(reference, repository or said["Id"], version)


def _has_tag(reference: str) -> bool:
    return "@" in reference or ":" in reference.rpartition("/")[2]
