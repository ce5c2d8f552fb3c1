"""What one job built and others pushed, as the job with the right to enter it reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.domain.package import Package
from agent.errors import CouldNotTell, Refused
from agent.sbom import bill
from agent.shipment import Built, Shipment, Shipped, Unbuilt, read_pushed, read_shipment, source_of
from tests.builders import a_manifest

FILES = {"skill.py": b"pass", "skill.yaml": b"x"}
DIGEST = "sha256:" + "1" * 64
IMAGES = "ghcr.io/acme/skills"
PUSHED = f"{IMAGES}/word-count@sha256:{'2' * 64}"


def a_shipment(image: str = "") -> Shipment:
    return Shipment(built=(Built(skill="word-count", source=source_of(FILES), digest=DIGEST, image=image),))


def test_what_was_built_is_found_by_the_very_files(tmp_path: Path) -> None:
    folder = Shipped(a_shipment(), {}).build(tmp_path, FILES, a_manifest())
    image = Shipped(a_shipment(f"{IMAGES}/word-count:1.0.0-x"), {"word-count": PUSHED}).build(tmp_path, FILES, a_manifest())

    assert (folder.kind, folder.digest) == ("directory", DIGEST)
    assert (image.kind, image.digest, image.location) == ("image", DIGEST, PUSHED)


def test_what_changed_since_is_left_for_the_next_run(tmp_path: Path) -> None:
    with pytest.raises(CouldNotTell, match="changed on main since"):
        Shipped(a_shipment(), {}).digest({**FILES, "skill.py": b"other"}, a_manifest())


def test_what_kept_it_from_being_built_is_told_as_it_was(tmp_path: Path) -> None:
    for refused, kind in ((True, Refused), (False, CouldNotTell)):
        fault = Unbuilt(skill="word-count", source=source_of(FILES), refused=refused, what="The index is out of reach.")
        with pytest.raises(kind, match="out of reach"):
            Shipped(Shipment(unbuilt=(fault,)), {}).digest(FILES, a_manifest())


def test_an_image_that_nobody_pushed_is_not_entered(tmp_path: Path) -> None:
    with pytest.raises(CouldNotTell, match="was not pushed"):
        Shipped(a_shipment(f"{IMAGES}/word-count:1.0.0-x"), {}).build(tmp_path, FILES, a_manifest())


@pytest.mark.parametrize(
    "image", [f"ghcr.io/mallory/skills/word-count@{DIGEST}", f"{IMAGES}/word-count:latest", f"{IMAGES}/other@{DIGEST}", f"{PUSHED}\n", ""]
)
def test_an_image_from_elsewhere_or_by_a_tag_is_refused(tmp_path: Path, image: str) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"skill": "word-count", "image": image}))
    with pytest.raises(Refused, match="is not entered"):
        read_pushed(tmp_path, IMAGES)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"built": [{"skill": "../x"}]}', b" " * (5 * 2**20)])
def test_what_is_no_shipment_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        read_shipment(data)


def test_the_bill_of_materials_is_what_cyclonedx_says_it_is() -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    packages = (
        Package(ecosystem="npm", name="@scope/ms", version="2.1.3", sha512=("a" * 128,)),
        Package(ecosystem="PyPI", name="humanize", version="4.0.0", sha256=("b" * 64, "c" * 64)),
        Package(ecosystem="Go", name="github.com/google/uuid", version="v1.6.0"),
    )
    bases = {"python:3.12-slim": f"python@{DIGEST}", "127.0.0.1:5000/base:1": f"127.0.0.1:5000/base@{DIGEST}"}

    made = bill(a_manifest(), DIGEST, packages, bases)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.decode()) is None
    urls = [part["purl"].partition("?")[0] for part in json.loads(made)["components"]]
    assert urls[:3] == ["pkg:golang/github.com/google/uuid@v1.6.0", "pkg:npm/%40scope/ms@2.1.3", "pkg:pypi/humanize@4.0.0"]
    assert made == bill(a_manifest(), DIGEST, packages[::-1], bases)
