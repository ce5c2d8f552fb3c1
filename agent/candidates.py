"""Which skills a plan is shown: whole those that the task most likely needs, and of the others enough to ask for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.catalog import Catalog
from agent.domain.profile import Profile
from agent.domain.skill import Manifest

HITS = 8  # that one search brings
OWN = 16  # of those that an agent's manifest names: they are what it is for
NAMED = 60  # others, about 40 tokens each


@dataclass(frozen=True)
class Candidates:
    """`skills` are shown with their schemas, `others` by name and description: words find no skill that calls the same thing otherwise."""

    skills: tuple[Manifest, ...]
    others: Mapping[str, str]

    def opened(self, names: Sequence[str], catalog: Catalog) -> Candidates:
        """With the named ones whole, and no others to look at."""
        looked_at = [manifest for name in names if name in self.others and (manifest := catalog.manifest(name))]
        return replace(self, skills=(*self.skills, *looked_at), others={})


def candidates(catalog: Catalog, profile: Profile, task: str, history: Sequence[str], wanted: Sequence[str]) -> Candidates:
    """For a task: `wanted` (what its requests brought), what it finds, and a few that what was said before finds; of all these what the agent
    may use. An agent whose manifest names its skills is shown those as well."""
    narrow = "*" not in profile.skills
    found = [hit.entry.name for hit in catalog.search(task, limit=8 * HITS if narrow else HITS)]
    names = [*wanted, *[name for name in found if profile.may_use(name)][:HITS]]
    if history:
        names += [hit.entry.name for hit in catalog.search(" ".join(history[-3:]), limit=HITS // 2)]
    names += [name for name in profile.skills if narrow and catalog.entry(name)][:OWN]
    manifests = [catalog.manifest(name) for name in dict.fromkeys(names)]
    skills = tuple(manifest for manifest in manifests if manifest and _usable(manifest, profile))
    shown = {manifest.name for manifest in skills}
    others = [manifest for manifest in _around(catalog, task) if manifest.name not in shown and _usable(manifest, profile)]
    return Candidates(skills, {manifest.name: manifest.description for manifest in others[:NAMED]})


def _around(catalog: Catalog, task: str) -> Iterator[Manifest]:
    """All skills where there are few, else those nearest to the task."""
    few = len(catalog.trees()) <= NAMED
    entries = catalog.entries() if few else [hit.entry for hit in catalog.search(task, limit=2 * NAMED)]
    for entry in entries:
        if manifest := catalog.manifest(entry.name):
            yield manifest


def _usable(manifest: Manifest, profile: Profile) -> bool:
    never = profile.autonomy.destructive == "never" and manifest.annotations.destructive and not profile.acts_alone_with(manifest.name)
    return profile.may_use(manifest.name) and manifest.status != "retired" and not never
