"""The routes of the builder: build a skill's folder or manifest, and ask whether a digest was built. Nothing built here serves:
what serves came through a proposal."""

from __future__ import annotations

import asyncio
import base64
import binascii
import tempfile
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field, model_validator

from agent.domain import Frozen
from agent.domain.release import Artifact
from agent.domain.skill import Manifest
from agent.errors import InvalidFile, NotFound, UsageError
from agent.gateway.access import needs
from agent.gateway.bodies import Body
from agent.gateway.gateway import Gateway
from agent.manifest_file import read_manifest, write_manifest
from agent.parts import Parts

MANIFEST = "skill.yaml"


class Source(Body):
    """What to build; exactly one of the two.

    `files`: the skill's folder, by relative path: text or, as base64, bytes. `manifest`: a skill.yaml, for the code that
    lies on main under its name.
    """

    files: dict[str, str] | None = Field(default=None, max_length=2000)
    manifest: dict[str, Any] | None = None
    encoding: Literal["utf-8", "base64"] = "utf-8"

    @model_validator(mode="after")
    def _one(self) -> Source:
        if (self.files is None) == (self.manifest is None):
            raise ValueError("exactly one of files and manifest is expected")
        return self


class Build(Frozen):
    """Something built. `image` is its reference where it is an image."""

    digest: str
    kind: Literal["directory", "image"]
    image: str | None = None
    skill: str | None = None
    version: str | None = None


def router(gateway: Gateway) -> APIRouter:
    routes, parts = APIRouter(tags=["builds"]), gateway.place.parts

    @routes.post("/builds", status_code=201, dependencies=[needs("admin")])
    async def build(source: Source) -> Build:
        """Builds, or finds what was built from the same inputs. One build at a time; no code of the skill is run."""
        async with gateway.building:
            return await asyncio.to_thread(_build, source, parts)

    @routes.get("/builds/{digest}", dependencies=[needs("request")])
    def find_build(digest: str) -> Build:
        """Whether something with this digest was built here."""
        if artifact := parts.builder.find(digest):
            return _told(artifact)
        raise NotFound("Nothing with this digest was built here.", next_step="POST /builds builds it; a digest is like sha256:0123….")

    return routes


def _build(source: Source, parts: Parts) -> Build:
    files, manifest = _files(source, parts)
    with tempfile.TemporaryDirectory(prefix="skillops-") as folder:
        artifact = parts.builder.build(Path(folder), files, manifest)
    return _told(artifact).model_copy(update={"skill": manifest.name, "version": manifest.version})


def _files(source: Source, parts: Parts) -> tuple[dict[str, bytes], Manifest]:
    """What the builder takes. UsageError for a folder that is no skill's."""
    try:
        if source.manifest is not None:
            manifest = read_manifest(write_manifest(Manifest.model_validate(source.manifest)), MANIFEST)
            code = parts.forge.files(parts.forge.main, f"skills/{manifest.name}")
            if not code:
                raise NotFound(f"There is no code of {manifest.name!r} on {parts.forge.main}.", next_step="Send the whole folder, as `files`.")
            return {**code, MANIFEST: write_manifest(manifest)}, manifest
        files = {path: _bytes(text, source.encoding) for path, text in (source.files or {}).items()}
        if MANIFEST not in files:
            raise UsageError("The folder has no skill.yaml.", next_step='{"files": {"skill.yaml": "…", "skill.py": "…"}}')
        return files, read_manifest(files[MANIFEST], MANIFEST)
    except InvalidFile as error:
        raise UsageError(error.what, why=error.why, next_step=error.next_step) from None
    except ValueError as error:  # pydantic's ValidationError, binascii's, and text that is none
        raise UsageError("The skill cannot be read.", why=str(error)[:500], next_step="GET /openapi.json has the form.") from None


def _bytes(text: str, encoding: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if encoding == "base64" else text.encode()
    except binascii.Error as error:
        raise ValueError(f"this is not base64: {error}") from None


def _told(artifact: Artifact) -> Build:
    image = artifact.location if artifact.kind == "image" else None  # a folder of this machine is nobody else's business
    return Build(digest=artifact.digest, kind=artifact.kind, image=image)
