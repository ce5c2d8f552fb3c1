"""What a skill's code can do, from what the rules of its language say of it: in any language the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from agent.domain.capability import Capability, Kind, first_of
from agent.domain.check import Finding
from agent.languages.permitted import NOTHING, Permitted, permitted_by

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("network",), "network"),
    **dict.fromkeys(("process", "privilege"), "process"),
    **dict.fromkeys(("files",), "files"),
    **dict.fromkeys(("environment",), "environment"),
    **dict.fromkeys(("native-code",), "native code"),
    **dict.fromkeys(("dynamic-code", "frames", "module-as-value", "object-as-value", "dot-import", "encoded-payload", "hidden-code"), "dynamic code"),
}
# Where a rule's message goes on after what the code names.
_VERBS = (
    " uses the",
    " reads the",
    " starts ",
    " ends ",
    " runs ",
    " reaches ",
    " changes ",
    " decodes ",
    " writes ",
    " is none of",
    " is used",
    " hides ",
)


def capabilities(root: Path, said: Callable[[Path, Permitted], Iterable[Finding]]) -> tuple[Capability, ...]:
    """`said`: what the rules of the language say of the skill at `root`, where a manifest allows what is given."""
    permitted = permitted_by(root)
    refused = set(said(root, permitted))
    return first_of([*_each(root, said(root, NOTHING), refused), *(_keeping(root) if permitted.storage else ())])


def _each(root: Path, found: Iterable[Finding], refused: set[Finding]) -> Iterator[Capability]:
    for finding in found:
        kind = _KINDS.get(finding.rule.removeprefix("skillops-"))
        if kind and not (finding.path or "").startswith(f"skills/{root.name}/tests/"):
            yield Capability(kind=kind, what=_named(finding.message), path=finding.path, line=finding.line, declared=finding not in refused)


def _keeping(root: Path) -> Iterator[Capability]:
    """Where code names the storage that it was given."""
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root).as_posix()
        if path.suffix in (".md", ".yaml") or inside.startswith("tests/") or not path.is_file():
            continue
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if b"SKILL_STORAGE" in line:
                yield Capability(kind="files", what="$SKILL_STORAGE", path=f"skills/{root.name}/{inside}", line=number, declared=True)


def _named(message: str) -> str:
    ends = [at for verb in _VERBS if (at := message.find(verb)) > 0]
    return message[: min(ends, default=60)].strip("`'\" :")[:60]
