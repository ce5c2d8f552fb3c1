"""Releasing: what was approved is merged; what was merged is built and entered in registry.yaml, in one commit.

Only this stage writes registry.yaml. It covers every skill whose tree differs from the registry, so that a cancelled
or raced run is healed by the next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from agent import messages
from agent.catalog import Catalog
from agent.domain.event import Event
from agent.domain.proposal import DEPLOYER, Proposal
from agent.domain.registry import Entry
from agent.domain.release import Artifact, Release
from agent.domain.review import Review
from agent.domain.skill import NAME_PATTERN, WITNESS_PATH, Manifest
from agent.errors import CouldNotTell, HeadMoved, InvalidFile, SkillOpsError
from agent.manifest_file import read_manifest, read_struck
from agent.ports import Builder, Forge
from agent.registry_file import revision_of, splice_all
from agent.snapshot import snapshot

REGISTRY = "registry.yaml"
RACES = 8  # how often a release is tried anew because main moved under it

Record = Callable[[Event], Any]


def merge(proposal: Proposal, forge: Forge, record: Record) -> str:
    """Merges at the judged head only (HeadMoved otherwise) and returns the commit on main."""
    commit = forge.merge(proposal.number, expected_head=proposal.head, message=messages.merge_message(proposal), author=DEPLOYER)
    record(merged(proposal, commit))
    return commit


def merged(proposal: Proposal, commit: str) -> Event:
    """How a merge comes into the trail."""
    return Event(stage="releasing", what="merged", actor=DEPLOYER, request=proposal.request, proposal=proposal.number,
                 skill=proposal.skill, commit=commit, key=f"merged:{proposal.number}")  # fmt: skip


def unreleased(forge: Forge, catalog: Catalog) -> tuple[str, ...]:
    """Names of skills whose tree on main is not the one in the registry, and of entries whose folder is gone."""
    trees, entered = forge.children(forge.main, "skills"), catalog.trees()
    different = {name for name, _ in trees.items() ^ entered.items()}
    return tuple(sorted(name for name in different if name in entered or re.fullmatch(NAME_PATTERN, name)))


def _raised(name: str, fault: SkillOpsError) -> None:
    raise fault


def release(
    names: Sequence[str],
    forge: Forge,
    catalog: Catalog,
    builder: Builder,
    sync: Callable[[], None],
    record: Record,
    broken: Callable[[str, SkillOpsError], object] = _raised,
    ledger: Callable[[], str] = str,
) -> tuple[Release, ...]:
    """Builds the skills named and enters them, with `revision` + 1, in one commit. HeadMoved where main never holds still.

    `sync` brings the catalog up to the registry on main. `broken` is told of what cannot be released (InvalidFile for a
    folder that is no skill), and the others are released without it; left out, that is raised. `ledger` tells how far the ledger is,
    which the commit then vouches for.
    """
    for _ in range(RACES):
        sync()
        main = forge.head(forge.main)
        data = forge.read(main, REGISTRY) if main else None
        if main is None or data is None:
            raise InvalidFile(REGISTRY, "main has no registry.yaml", next_step="`skillops init DIR` makes a skills repository.")
        present, gone = _entries(names, main, forge, catalog, builder, broken)
        if not present and not gone:
            return ()
        text = data.decode()
        revision = revision_of(text) + 1
        message, spliced = messages.release_message(present, revision, gone, ledger()), splice_all(text, present, gone).encode()
        try:
            forge.commit(forge.main, {REGISTRY: spliced}, parent=main, author=DEPLOYER, message=message)
        except HeadMoved:
            continue
        sync()
        return tuple(_recorded(entry, revision, record) for entry in present)
    raise HeadMoved("main kept moving while the release was being written.", next_step="Run `skillops run` again.")


def _entries(
    names: Sequence[str], main: str, forge: Forge, catalog: Catalog, builder: Builder, broken: Callable[[str, SkillOpsError], object]
) -> tuple[list[Entry], list[str]]:
    """What is to be entered, and what is to be taken out. What the registry holds already is in neither."""
    present, gone = [], []
    for name in names:
        held = catalog.entry(name)
        try:
            entry = _entry(name, main, forge, builder)
        except SkillOpsError as fault:
            broken(name, fault)
            continue
        if entry and not (held and entry == held.model_copy(update={"commit": entry.commit})):
            present.append(entry)
        elif held and not entry:
            gone.append(name)
    return present, gone


def artifact_of(entry: Entry, forge: Forge, builder: Builder) -> tuple[Artifact, Manifest]:
    """The artifact of a registry entry, built again from its commit where it is not at hand."""
    files = released_files(forge, entry.commit, entry.name)
    manifest = read_manifest(files.get("skill.yaml", b""), f"skills/{entry.name}/skill.yaml")
    artifact = builder.find(entry.digest) or _fetched(entry, builder) or _build(entry.name, files, manifest, builder)
    if artifact.digest != entry.digest:
        raise CouldNotTell(
            f"{entry.name} {entry.version} does not build to the digest that the registry holds.",
            why="The toolchain or SkillOps itself is another than at its release.",
            next_step=f"`skillops release --rebuild {entry.name}` enters it anew as built here.",
        )
    return artifact, manifest


def _fetched(entry: Entry, builder: Builder) -> Artifact | None:
    """The image that a release pushed to a registry of images."""
    return builder.fetch(entry.digest, entry.image) if entry.image and "@" in entry.image else None


def released_files(forge: Forge, commit: str, name: str) -> dict[str, bytes]:
    """The files of a skill at a commit, the witness cases left out."""
    return {path: data for path, data in forge.files(commit, f"skills/{name}").items() if path != WITNESS_PATH}


def _build(name: str, files: Mapping[str, bytes], manifest: Manifest, builder: Builder) -> Artifact:
    if found := builder.find(builder.digest(files, manifest)):
        return found
    with snapshot(name, files) as root:
        return builder.build(root, files, manifest)


def _entry(name: str, main: str, forge: Forge, builder: Builder) -> Entry | None:
    tree = forge.object_id(main, f"skills/{name}")
    if tree is None:
        return None
    files, path = released_files(forge, main, name), f"skills/{name}/skill.yaml"
    manifest = read_manifest(files.get("skill.yaml", b""), path)
    if manifest.name != name:
        raise InvalidFile(path, f"name: {manifest.name} lies in the folder {name}; they have to be the same")
    artifact = _build(name, files, manifest, builder)
    proposal = _origin(name, tree, forge)
    return Entry(
        name=name, version=manifest.version, status=manifest.status, runtime=manifest.runtime, description=manifest.description,
        aliases=manifest.aliases, artifact=artifact.kind, digest=artifact.digest, image=artifact.location if artifact.kind == "image" else None,
        commit=proposal.merged_commit or main if proposal else main, tree=tree,
        origin="proposal" if proposal else "bundled", proposal=proposal.number if proposal else None,
        approvals=approvers(forge.reviews(proposal.number, proposal.head)) if proposal else (),
        struck=_struck(name, main, forge), permissions=manifest.permissions,
    )  # fmt: skip


def _struck(name: str, commit: str, forge: Forge) -> int | None:
    """How many cases were taken out of its witness's; None where none was, or the file says nothing that can be read."""
    path = f"skills/{name}/{WITNESS_PATH}"
    data = forge.read(commit, path)
    try:
        return len(read_struck(data, path)) or None if data is not None else None
    except InvalidFile:
        return None


def _origin(name: str, tree: str, forge: Forge) -> Proposal | None:
    """The merged proposal that brought this tree, the newest first."""
    for proposal in reversed(forge.proposals("merged", skill=name)):
        if forge.object_id(proposal.merged_commit or proposal.head, f"skills/{name}") == tree:
            return proposal
    return None


def approvers(reviews: Iterable[Review]) -> tuple[str, ...]:
    return tuple(sorted(review.reviewer for review in reviews if review.verdict == "approve"))


def released(entry: Entry, revision: int) -> Event:
    """How a release comes into the trail."""
    return Event(stage="releasing", what="released", actor=DEPLOYER, proposal=entry.proposal, skill=entry.name, commit=entry.commit,
                 note=f"{entry.version} {entry.digest}", data={"version": entry.version, "digest": entry.digest, "revision": revision},
                 key=f"released:{entry.name}:{entry.tree}:{entry.digest}")  # fmt: skip


def _recorded(entry: Entry, revision: int, record: Record) -> Release:
    record(released(entry, revision))
    return Release(skill=entry.name, version=entry.version, digest=entry.digest, commit=entry.commit, revision=revision, proposal=entry.proposal)
