"""Manifest: skill.yaml and SKILL.md are valid, agree with each other, and raise the version as SemVer asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.checks import concluded, language_of
from agent.checks.skill_md import skill_md_findings
from agent.domain.capability import Capability
from agent.domain.check import CheckResult, Finding, Subject
from agent.domain.look_alike import skills_alike
from agent.domain.permissions import MOST_HOSTS
from agent.domain.requirement import DEEPEST, Requirement, circle, depth, left_behind, may_do, reach, requirements, unmet
from agent.domain.schema import violations
from agent.domain.skill import Manifest, same_json
from agent.domain.stand_in import STAND_INS_PATH, StandIns
from agent.domain.workflow import RUNTIME, annotations_of
from agent.errors import InvalidFile
from agent.manifest_file import read_stand_ins
from agent.ports import Check, Language, Registered, Workbench
from agent.strict_yaml import locate

RESTORES = frozenset(("rollback", "revert", "retire"))  # kinds that take something back, under a patch version
# Names that never leave this machine or its network (RFC 6761, RFC 8375, and Kubernetes' own).
_LOCAL = (".localhost", ".local", ".internal", ".home.arpa", ".localdomain")


class ManifestCheck(Check):
    name = "manifest"

    def __init__(self, languages: Mapping[str, Language], shelf: Registered | None = None) -> None:
        """`shelf`: the registry, without which nothing is said of the skills that are required."""
        self._languages, self._shelf = languages, shelf

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        manifest = subject.manifest
        if manifest is None:
            findings = [subject.manifest_error] if subject.manifest_error else []
        else:
            language = language_of(subject, self._languages)
            findings = [language] if isinstance(language, Finding) else []
            findings += [_finding(subject, *found) for found in _problems(subject, manifest)]
            findings += _stand_ins(subject, manifest, self._shelf)
            if self._shelf:
                findings += [_finding(subject, *found) for found in _required(manifest, self._shelf)]
                findings += [_finding(subject, *found) for found in _relied_upon(subject, manifest, self._shelf)]
        findings += [*skill_md_findings(subject), *_look_alikes(subject)]
        version = manifest.version if manifest else ""
        result = concluded(self.name, subject, findings, f"skill.yaml and SKILL.md of {subject.skill} {version} are valid.")
        return result.model_copy(update={"capabilities": _calls(subject, self._shelf)}) if manifest and self._shelf else result


def _look_alikes(subject: Subject) -> Iterator[Finding]:
    """Of a new skill: names of others that it could be taken for. Which is meant, a person says."""
    if not subject.base_files and (near := next((other for other in sorted(subject.others) if skills_alike(subject.skill, other)), None)):
        message = f"{subject.skill} looks like {near}, a skill that there is: who calls one may mean the other"
        yield Finding(message=message, rule="look-alike", path=f"skills/{subject.skill}/skill.yaml", level="person")


Problem = tuple[str, str, str]
"""Rule, message, and the JSON Pointer of its place in skill.yaml."""


def _problems(subject: Subject, manifest: Manifest) -> Iterator[Problem]:
    if manifest.name != subject.skill:
        yield "name", f"the name is {manifest.name!r} and the folder {subject.skill!r}; they must be the same", "/name"
    if subject.base_files:
        yield from _version(subject, manifest)
    yield from _status(subject, manifest)
    entrypoint = "Dockerfile" if manifest.runtime == "container" else manifest.entrypoint
    if entrypoint not in subject.files:
        yield "entrypoint", f"the entrypoint {entrypoint!r} is not among the files", "/entrypoint"
    yield from _requires(manifest)
    yield from _hosts(manifest)


def _version(subject: Subject, manifest: Manifest) -> Iterator[Problem]:
    """A change raises the version; unless it raises the major part, what held for callers still holds (semver.org, 8)."""
    base = subject.base_manifest
    if base is None:  # what is on the base cannot be read; anything valid mends it
        return
    old, new = base.semver, manifest.semver
    if subject.files == subject.base_files:
        yield "version", "the proposal changes nothing in the skill", ""
    elif new <= old:
        yield "version", f"the version {new} is not above {old}, which is on the base; raise it to {old.next_patch()} or more", "/version"
    elif new.major == old.major and subject.kind not in RESTORES:
        for pointer, broken in _breaks(base, manifest):
            yield "compatibility", f"{broken}; keep what callers rely on, or raise the version to {old.major + 1}.0.0", pointer


def _breaks(base: Manifest, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """How the new contract breaks an old example."""
    for number, example in enumerate(base.examples, 1):
        if broken := violations(manifest.inputs, example.inputs, limit=1):
            yield "/inputs", f"the inputs of example {number} of {base.version} are no longer accepted ({broken[0]})"
        known = manifest.outputs.get("properties", {}).keys()
        if gone := sorted(example.outputs.keys() & base.outputs.get("properties", {}).keys() - known):
            yield "/outputs", f"the output {gone[0]!r} of {base.version} is gone"
        again = next((now for now in manifest.examples if same_json(now.inputs, example.inputs)), None)
        if again and not all(key in again.outputs and same_json(again.outputs[key], value) for key, value in example.outputs.items()):
            yield "/examples", f"the inputs of example {number} of {base.version} now give other outputs"


def _status(subject: Subject, manifest: Manifest) -> Iterator[Problem]:
    before = subject.base_manifest.status if subject.base_manifest else None
    if subject.kind == "retire" and manifest.status != "retired":
        yield "status", "a proposal that retires a skill sets its status to retired", "/status"
    elif subject.kind in ("new", "extend") and manifest.status != "active":
        yield "status", f"the status is {manifest.status!r}; a skill that is asked for is active", "/status"
    elif before is None and manifest.status != "active":
        yield "status", f"the status is {manifest.status!r}; a new skill starts as active", "/status"
    elif before == "retired" and manifest.status == "deprecated":
        yield "status", "a retired skill becomes active again or stays retired", "/status"


def _requires(manifest: Manifest) -> Iterator[Problem]:
    names = set()
    for index, text in enumerate(manifest.requires):
        try:
            name = Requirement.parse(text).name
        except ValueError as error:
            yield "requires", str(error), f"/requires/{index}"
            continue
        if name == manifest.name:
            yield "requires", "a skill cannot require itself", f"/requires/{index}"
        elif name in names:
            yield "requires", f"{name} is required twice", f"/requires/{index}"
        names.add(name)


def _required(manifest: Manifest, shelf: Registered) -> Iterator[Problem]:
    """What is required is there, does not lead back here, and does no more than this skill says of itself: whoever may be asked before a
    destructive skill is called has to be asked before this one is."""
    if manifest.status == "retired" or manifest.runtime == RUNTIME:  # a workflow's plan is held against the registry by its language
        return
    place = {Requirement.parse(text).name: f"/requires/{number}" for number, text in enumerate(manifest.requires) if _parses(text)}
    for name, why in unmet(manifest, shelf).items():
        yield "requires", why, place[name]
    if way := circle(manifest, shelf):
        yield "requires", f"it would call itself without end: {' → '.join(way)}", place[way[1]]
    elif depth(manifest, shelf) > DEEPEST:
        yield "requires", f"more than {DEEPEST} skills would call one another in a row", "/requires"
    called = [there for name in requirements(manifest) if (there := shelf.manifest(name))]
    allowed, mine = annotations_of(called), manifest.annotations
    for what, claimed in (("readOnly", mine.readOnly and not allowed.readOnly), ("idempotent", mine.idempotent and not allowed.idempotent)):
        if claimed:
            yield "requires", f"it says {what}: true, and what it requires is not", "/annotations"
    if allowed.destructive and not mine.destructive:
        yield "requires", "what it requires is destructive, so it has to say destructive: true as well", "/annotations"


def _parses(text: str) -> bool:
    try:
        return bool(Requirement.parse(text))
    except ValueError:
        return False


def _relied_upon(subject: Subject, manifest: Manifest, shelf: Registered) -> Iterator[Problem]:
    """Skills that require this one go on having it. What takes back a version that did not become healthy is not held up by that."""
    if subject.kind == "revert":
        return
    version = None if manifest.status == "retired" else manifest.semver
    if left := left_behind(subject.skill, version, shelf.dependants(subject.skill)):
        do = "retire them, or propose versions of them without it" if version is None else f"propose versions of them that take {version} as well"
        yield "dependants", f"{', '.join(left)} {'requires' if len(left) == 1 else 'require'} another version of it than this; first {do}", "/version"


def _calls(subject: Subject, shelf: Registered) -> tuple[Capability, ...]:
    """Each skill that it may call, over whatever others, with what that one may do; `gained` where the version before could not."""
    assert subject.manifest is not None
    before = {each.name for each in reach(subject.base_manifest, shelf)} if subject.base_manifest else None
    path = f"skills/{subject.skill}/skill.yaml"
    line = locate(subject.files["skill.yaml"], "/requires") if subject.manifest.requires else None
    return tuple(
        Capability(
            kind="skills", what=may_do(each), path=path, line=line, declared=True, gained=before is not None and each.name not in before
        ) for each in reach(subject.manifest, shelf)
    )  # fmt: skip


def _hosts(manifest: Manifest) -> Iterator[Problem]:
    if (count := len({rule.host for rule in manifest.permissions.rules if rule.exact})) > MOST_HOSTS and manifest.runtime != RUNTIME:
        yield "network", f"it names {count} hosts, and {MOST_HOSTS} are the most; use a wildcard", "/permissions/network"
    for index, rule in enumerate(manifest.permissions.rules):
        if rule.host.endswith(_LOCAL):
            yield "network", f"'{rule}' is a name of the machine's own network", f"/permissions/network/{index}"


def _stand_ins(subject: Subject, manifest: Manifest, shelf: Registered | None) -> Iterator[Finding]:
    """The scripted servers that answer in a trial: a file that can be read, for hosts that the manifest declares and skills that it requires."""
    path = f"skills/{subject.skill}/{STAND_INS_PATH}"
    data, network = subject.files.get(STAND_INS_PATH), manifest.permissions.network
    try:
        stand_ins = read_stand_ins(data, path) if data is not None else StandIns()
    except InvalidFile as error:
        yield Finding(message=error.expected, rule="stand-ins", path=path, line=error.line)
        return
    for number, why in stand_ins.misfits(network):
        yield Finding(message=why, rule="stand-ins", path=path, line=locate(data or b"", f"/hosts/{number}"))
    for number, why in stand_ins.unlike(requirements(manifest), shelf.manifest if shelf else lambda name: None):
        yield Finding(message=why, rule="stand-ins", path=path, line=locate(data or b"", f"/skills/{number}"))
    for entry in stand_ins.missing(network):
        message = f"no stand-in in {STAND_INS_PATH} answers for {entry}: in a trial, a connection there is refused"
        yield Finding(message=message, rule="stand-ins", path=path if data is not None else None, level="note")


def _finding(subject: Subject, rule: str, message: str, pointer: str) -> Finding:
    line = locate(subject.files["skill.yaml"], pointer)
    return Finding(message=message, rule=rule, path=f"skills/{subject.skill}/skill.yaml", line=line)
