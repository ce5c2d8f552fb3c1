"""A shipment: what a job without rights built, as data, for the job that enters it in registry.yaml.

The second job builds nothing: what it is to enter it looks up here, by the very files that main holds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from agent.domain import Frozen
from agent.domain.release import Artifact
from agent.domain.skill import Manifest, SkillName, digest_of
from agent.errors import CouldNotTell, Refused

MOST = 4 * 2**20  # bytes of a shipment
_AGAIN = "Look at the jobs of this run; the next release builds it again."


class Built(Frozen):
    """`source` is the digest of the files that it was built from. `image`: where its image is pushed, empty where it is a folder."""

    skill: SkillName
    source: str
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    image: str = ""


class Unbuilt(Frozen):
    """What kept a skill from being built. `refused`: it is the skill's own fault."""

    skill: SkillName
    source: str
    refused: bool
    what: str
    why: str = ""
    next_step: str = ""


class Shipment(Frozen):
    built: tuple[Built, ...] = Field(default=(), max_length=5000)
    unbuilt: tuple[Unbuilt, ...] = Field(default=(), max_length=5000)


class Pushed(Frozen):
    """What the job that pushed an image left of it: the reference by digest."""

    skill: SkillName
    image: str


def source_of(files: Mapping[str, bytes]) -> str:
    """The digest of a skill's files as they are released."""
    return digest_of({path: hashlib.sha256(data).hexdigest() for path, data in files.items()})


def read_shipment(data: bytes) -> Shipment:
    """A shipment that another job left. Refused where it is none."""
    if len(data) > MOST:
        raise Refused("What was built is told in too many words.", why=f"{len(data):,} bytes; {MOST:,} is the most.", next_step=_AGAIN)
    try:
        return Shipment.model_validate_json(data)
    except ValidationError as error:
        raise Refused("This is not what the job that builds should leave.", why=str(error)[:500], next_step=_AGAIN) from None


def read_pushed(folder: Path, images: str) -> dict[str, str]:
    """The references by skill, of the files in `folder` (none where it is missing). Refused where one is not below `images`, by digest."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            pushed = Pushed.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise Refused(f"{path.name} is not what the job that pushes should leave.", why=str(error)[:500], next_step=_AGAIN) from None
        if not re.fullmatch(rf"{re.escape(images)}/{re.escape(pushed.skill)}@sha256:[0-9a-f]{{64}}", pushed.image):
            why = f"It names {pushed.image[:160]}, and the images of this repository are in {images}."
            raise Refused(f"The image of {pushed.skill} is not entered.", why=why, next_step=_AGAIN)
        found[pushed.skill] = pushed.image
    return found


class Shipped:
    """A `Builder` that builds nothing and knows what is in a shipment; `pushed` has the images by skill."""

    def __init__(self, shipment: Shipment, pushed: Mapping[str, str]) -> None:
        self._built = {(each.skill, each.source): each for each in shipment.built}
        self._unbuilt = {(each.skill, each.source): each for each in shipment.unbuilt}
        self._pushed = pushed

    def digest(self, files: Mapping[str, bytes], manifest: Manifest) -> str:
        return self._found(files, manifest).digest

    def build(self, root: Path, files: Mapping[str, bytes], manifest: Manifest) -> Artifact:
        built = self._found(files, manifest)
        if not built.image:
            return Artifact(digest=built.digest, kind="directory", location="")
        if built.skill not in self._pushed:
            raise CouldNotTell(f"The image of {built.skill} was not pushed.", next_step=_AGAIN)
        return Artifact(digest=built.digest, kind="image", location=self._pushed[built.skill])

    def find(self, digest: str) -> Artifact | None:
        return None

    def pack(self, root: Path, files: Mapping[str, bytes], manifest: Manifest) -> None:
        return None

    def fetch(self, digest: str, image: str) -> Artifact | None:
        return None

    def _found(self, files: Mapping[str, bytes], manifest: Manifest) -> Built:
        key = manifest.name, source_of(files)
        if fault := self._unbuilt.get(key):
            raise (Refused if fault.refused else CouldNotTell)(fault.what, why=fault.why, next_step=fault.next_step)
        if key not in self._built:
            raise CouldNotTell(f"{manifest.name} was not built in this run, or changed on main since.", next_step="The next release builds it.")
        return self._built[key]
