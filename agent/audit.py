"""The audit of a repository's released skills, and what comes of it: proposals that raise dependencies, labels on what waits for too long."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from agent import messages
from agent.domain.audit import Advisory, Audit, Drift, Stale, Update, Warned
from agent.domain.package import Package
from agent.domain.progress import next_step
from agent.domain.proposal import AGENT, DEPLOYER, STALE, Proposal, ProposalDraft
from agent.domain.registry import Entry
from agent.domain.skill import Manifest, digest_of
from agent.errors import Refused, SkillOpsError
from agent.manifest_file import read_manifest, write_manifest
from agent.parts import Parts
from agent.ports import Forge
from agent.situation import Work, look, open_work
from agent.stages import deploying, proposing, releasing

PARTS = ("drift", "advisories", "updates", "stale")
Advise = Callable[[Sequence[Package]], Sequence[Advisory]]


def audit(parts: Parts, advise: Advise, only: Sequence[str] = PARTS, now: datetime | None = None) -> Audit:
    """Looks, and changes nothing; `now` is the time that waiting is counted to.

    What cannot be told of one skill keeps nothing else from being told.
    """
    parts.sync()
    unknown: list[str] = []
    entries = [entry for entry in parts.catalog.entries() if entry.status != "retired"]
    found = Audit(
        drift=tuple(_drift(parts, unknown)) if "drift" in only else (),
        advisories=tuple(_advisories(parts, entries, advise, unknown)) if "advisories" in only else (),
        updates=tuple(_updates(parts, entries, unknown)) if "updates" in only else (),
        stale=tuple(_stale(parts, now or datetime.now(UTC), unknown)) if "stale" in only else (),
    )
    return found.model_copy(update={"unknown": tuple(unknown)})


def propose(parts: Parts, update: Update, warned: Sequence[Warned] = ()) -> Proposal | None:
    """Raises the dependencies of one skill, by a patch version, through the same gates. None where these very versions were proposed before.

    An older proposal of this kind for the skill is closed: this one goes further.
    """
    name, forge = update.skill, parts.forge
    files, manifest = _on_main(forge, name)
    version = str(manifest.semver.next_patch())
    branch = f"skillops/update-{name}-{version}-{digest_of(list(update.after)).removeprefix('sha256:')[:8]}"
    if forge.head(branch) is not None or any(each.branch == branch for each in forge.proposals("all", skill=name)):
        return None
    raised = _raised(files, manifest, update, version)
    locked = parts.languages[manifest.runtime].lock(read_manifest(raised["skill.yaml"], f"skills/{name}/skill.yaml"))
    mends = [each.advisory.id for each in warned if each.skill == name]
    draft = ProposalDraft(
        branch=branch, skill=name, kind="update", author=DEPLOYER, title=messages.update_title(name),
        body=messages.update_body(name, version, update.raised, mends),
    )  # fmt: skip
    made = proposing.put_up(draft, {**raised, **locked}, forge)
    parts.record(proposing.opening(made, version))
    close_older(forge, made)
    return made


def _raised(files: dict[str, bytes], manifest: Manifest, update: Update, version: str) -> dict[str, bytes]:
    """The files with the new pins and the next version in skill.yaml, everything else in it as its author wrote it where that can be."""
    text = re.sub(r"(?m)^version:.*$", f"version: {version}", files["skill.yaml"].decode(), count=1)
    for old, new in update.raised:
        text = re.sub(rf"(?<![\w./@-]){re.escape(old)}(?![\w.+-])", lambda _, new=new: new, text)  # type: ignore[misc]
    wanted = manifest.model_copy(update={"version": version, "dependencies": update.after})
    data = text.encode()
    return {**files, "skill.yaml": data if read_manifest(data, "skill.yaml") == wanted else write_manifest(wanted)}


def close_older(forge: Forge, newest: Proposal) -> None:
    """Closes other open proposals that raise the dependencies of the same skill."""
    for each in forge.proposals("open", skill=newest.skill):
        if each.kind == "update" and each.number != newest.number:
            forge.close_proposal(each.number)


def mark(parts: Parts, found: Audit) -> None:
    """Labels what has waited for too long, says so once, and takes the label off what moves again."""
    forge, waiting = parts.forge, {each.number: each for each in found.stale}
    for each in found.stale:
        forge.label(each.number, add=[STALE])
        forge.say(each.number, messages.stale_comment(each.days, each.why), author=AGENT, marker=messages.STALE)
    if not found.unknown:
        for thing in (*forge.requests("open"), *forge.proposals("open")):
            if STALE in thing.labels and thing.number not in waiting:
                forge.label(thing.number, remove=[STALE])


# ---- looking -----------------------------------------------------------------------------------------------------------


@contextmanager
def _noting(what: str, unknown: list[str]) -> Iterator[None]:
    try:
        yield
    except SkillOpsError as error:
        unknown.append(f"{what}: {error.fault}")


def _drift(parts: Parts, unknown: list[str]) -> Iterator[Drift]:
    with _noting("What runs", unknown):
        services = parts.runtime.services()
        for name in dict.fromkeys(deploying.drifted(parts.catalog, services)):
            runs = next(service for service in services if service.skill == name)
            yield Drift(skill=name, what=_difference(runs.version, parts.catalog.entry(name)))
    with _noting("What main holds", unknown):
        for name in releasing.unreleased(parts.forge, parts.catalog):
            yield Drift(skill=name, what="main holds another tree of it than the registry")


def _difference(version: str, entry: Entry | None) -> str:
    if entry is None:
        return f"{version} runs, and the registry does not hold it"
    if entry.status == "retired":
        return f"{version} runs, and it is retired"
    return f"{version} runs, and the registry holds {entry.version if entry.version != version else 'another build of it'}"


def _advisories(parts: Parts, entries: Sequence[Entry], advise: Advise, unknown: list[str]) -> Iterator[Warned]:
    users: dict[Package, list[str]] = {}
    for entry in entries:
        with _noting(f"The packages of {entry.name}", unknown):
            files, manifest = _on_main(parts.forge, entry.name)
            packages = parts.languages[manifest.runtime].locked(files)
            if manifest.dependencies and not packages:
                raise Refused("Its lock file names none.")
            for package in packages:
                users.setdefault(package.model_copy(update={"sha256": (), "sha512": ()}), []).append(entry.name)
    with _noting("Advisories", unknown):
        for advisory in advise(tuple(users)):
            for name in users[advisory.package]:
                yield Warned(skill=name, advisory=advisory)


def _updates(parts: Parts, entries: Sequence[Entry], unknown: list[str]) -> Iterator[Update]:
    for entry in entries:
        with _noting(f"Newer versions for {entry.name}", unknown):
            manifest = _on_main(parts.forge, entry.name)[1]
            pins = parts.languages[manifest.runtime].newer(manifest) if manifest.dependencies else ()
            if pins != manifest.dependencies:
                yield Update(skill=entry.name, before=manifest.dependencies, after=pins)


def _stale(parts: Parts, now: datetime, unknown: list[str]) -> Iterator[Stale]:
    """What waits for a person, and of which the trail has told nothing for longer than the policy allows."""
    limit = parts.policy().stale_days
    for work in open_work(parts) if limit else ():
        with _noting(str(work), unknown):
            seen = look(parts, work)
            step = next_step(seen)
            lines = parts.ledger.entries(request=work.request) if work.request else parts.ledger.entries(proposal=work.proposal)
            days = (now - datetime.fromisoformat(lines[-1].at)).days if lines else 0
            if step.waiting_for == "person" and days >= limit:
                yield Stale(number=_number(work), days=days, why=step.why)


def _number(work: Work) -> int:
    return work.request or work.proposal or 0


def _on_main(forge: Forge, name: str) -> tuple[dict[str, bytes], Manifest]:
    files = dict(forge.files(forge.main, f"skills/{name}"))
    return files, read_manifest(files.get("skill.yaml", b""), f"skills/{name}/skill.yaml")
