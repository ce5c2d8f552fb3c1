"""What the version on the base could do: what a new version is held against."""

from __future__ import annotations

from agent.domain.capability import Capability, compared
from agent.domain.check import Subject
from agent.domain.paths import odd_path
from agent.ports import Language
from agent.snapshot import snapshot


def marked(subject: Subject, language: Language, found: tuple[Capability, ...]) -> tuple[Capability, ...]:
    """`found`, in which is marked as gained what is of a kind that the version on the base had nothing of; nothing is where there was none.

    Of what was tried in the sandbox counts as had before what the manifest on the base declared: a library does it, and no syntax shows that.
    """
    if not subject.base_files or not found:
        return found
    with snapshot(subject.skill, {path: data for path, data in subject.base_files.items() if not odd_path(path)}) as root:
        before = language.capabilities(root)
    asked = subject.base_manifest.permissions if subject.base_manifest else None
    declared = [Capability(kind="network", what="")] if asked and asked.network else []
    declared += [Capability(kind="files", what="")] if asked and asked.storage != "none" else []
    return tuple(compared([one], [*before, *declared] if one.source == "sandbox" else before)[0] for one in found)


def named(subject: Subject) -> str:
    """That version, in words."""
    return f"{subject.skill} {subject.base_manifest.version}" if subject.base_manifest else "the version on the base"
