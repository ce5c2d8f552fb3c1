"""A bill of materials of a skill's image, as CycloneDX 1.6 in JSON (cyclonedx.org/docs/1.6/json).

It lists what the lock files pin, with hashes, and the base images by digest. What is in a base image its own bill says, and so the list is said
to be incomplete there. The same skill gives the same bytes.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from agent.domain.package import Package
from agent.domain.skill import Manifest

_KINDS = {"PyPI": "pypi", "npm": "npm", "Go": "golang"}


def bill(manifest: Manifest, digest: str, packages: Sequence[Package], bases: Mapping[str, str]) -> bytes:
    """`digest` is the artifact's; `bases` has the base images by digest, by the reference that they are called by."""
    parts = [*map(_library, sorted(packages, key=package_url)), *(_image(name, pinned) for name, pinned in sorted(bases.items()))]
    root = f"{manifest.name}@{manifest.version}"
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "skillops-agent", "version": version("skillops-agent")}]},
            "component": {
                "type": "container", "bom-ref": root, "name": manifest.name, "version": manifest.version, "description": manifest.description,
                "properties": [{"name": "skillops:digest", "value": digest}],
            },
        },
        "components": parts,
        "dependencies": [{"ref": root, "dependsOn": [part["bom-ref"] for part in parts]}],
        "compositions": [{"aggregate": "incomplete", "assemblies": [part["bom-ref"] for part in parts if part["type"] == "container"]}],
    }  # fmt: skip
    return (json.dumps(document, indent=1) + "\n").encode()


def package_url(package: Package) -> str:
    """As github.com/package-url/purl-spec has it, like pkg:npm/%40scope/name@1.2.3."""
    name = "/".join(quote(part, safe="") for part in package.name.split("/"))
    return f"pkg:{_KINDS[package.ecosystem]}/{name}@{quote(package.version, safe='')}"


def _library(package: Package) -> dict[str, Any]:
    url = package_url(package)
    said = [("SHA-256", package.sha256), ("SHA-512", package.sha512)]
    hashes = [{"alg": name, "content": value} for name, values in said for value in values]
    return {"type": "library", "bom-ref": url, "name": package.name, "version": package.version, "purl": url, "hashes": hashes}


def _image(name: str, pinned: str) -> dict[str, Any]:
    repository, _, digest = pinned.partition("@")
    url = f"pkg:oci/{quote(repository.rpartition('/')[2], safe='')}@{quote(digest, safe='')}?repository_url={quote(repository, safe='/')}"
    return {"type": "container", "bom-ref": url, "name": name, "version": digest, "purl": url}
