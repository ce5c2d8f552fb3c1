"""Our own security rules for Go, on what the analyser read from the syntax tree: what hides code from a reader or reaches out of the sandbox.

They look at references, not at calls, so that `run := exec.Command` is as good as `exec.Command(…)`. In tests, what is ordinary there is a note.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Literal

from agent.languages.go.analyser import Facts
from agent.languages.go.banned import (
    ALLOWED,
    DECODERS,
    DIRECTIVES,
    DYNAMIC,
    ENCODED,
    ENVIRONMENT,
    HARMLESS,
    HIDDEN,
    MACHINES,
    MEMBERS,
    NAMES,
    NATIVE,
    NETWORK,
    OPENING,
    PACKAGES,
    PARTLY,
    READERS,
    READING,
    SCRATCH,
    SUFFIXES,
    WRITING,
)
from agent.languages.literals import PAYLOAD, opaque
from agent.languages.permitted import Permitted
from agent.languages.places import FILES, KEEPS, outside, standard, temporary

Broken = tuple[int, str, str, Literal["error", "note"]]
UNKNOWN = "\x00"  # in what the analyser tells of an argument: a part that only a run knows
Found = Iterator[tuple[int, str, str]]


def broken(facts: Facts, permitted: Permitted, *, in_tests: bool = False, opens: bool = False) -> list[Broken]:
    """The rules that a file breaks: line, rule, message, level; each once a line. `opens`: another file of the skill opens files."""
    found = {*_imports(facts, permitted, in_tests), *_directives(facts), *_names(facts, permitted), *_literals(facts)}
    if not in_tests:  # whose files are the sandbox's
        found |= {*_files(facts, permitted, opens), *_members(facts)}
    lenient = {ENVIRONMENT[0], ENCODED[0], "dot-import"} if in_tests else set()
    return [(number, rule, message, "note" if rule in lenient else "error") for number, rule, message in sorted(found)]


def hidden(path: str) -> str:
    """Why a file of that name is not what it seems, or nothing."""
    name = PurePosixPath(path)
    if name.suffix in SUFFIXES:
        return "assembly, C and compiled code cannot be read here and are not built"
    if path in ("go.work", "go.work.sum") or name.parts[0] == "vendor":
        return "dependencies come from the lock file, never from the skill's folder"
    if name.suffix != ".go":
        return ""
    words = name.stem.removesuffix("_test").split("_")
    if name.name.startswith(("_", ".")) or "testdata" in name.parts[:-1] or any(part.startswith(("_", ".")) for part in name.parts[:-1]):
        return "Go leaves this file out without a word"
    if len(words) > 1 and not MACHINES.isdisjoint(words[-1:]):
        return f"Go leaves this file out on other machines, as its name ends with _{words[-1]}"
    if name.stem.endswith("_test") and name.parts[0] != "tests":
        return "tests lie in tests/"
    return "" if name.stem.endswith("_test") or name.parts[0] != "tests" else "code does not lie in tests/, and tests are in files *_test.go"


def opening(facts: Facts) -> bool:
    """Whether a file names what opens files."""
    return bool(_opened(facts))


def _opened(facts: Facts) -> list[Facts]:
    reading = [told for told in facts["names"] if told["path"] in ("os", "io/ioutil") and told["name"] in READING | WRITING]
    return reading + [told for told in facts["names"] if (told["path"], told["name"]) in OPENING]


def _imports(facts: Facts, permitted: Permitted, in_tests: bool) -> Found:
    for told in facts["imports"]:
        path, line = told["path"], told["line"]
        rule = None if path in ALLOWED or path in PARTLY else next((PACKAGES[above] for above in _and_above(path) if above in PACKAGES), None)
        if rule and not ((rule is NETWORK and permitted.network) or (in_tests and path == "testing")):
            yield line, rule[0], f"{path} {rule[1]}"
        elif not rule and not in_tests and _of_go(path) and HARMLESS.isdisjoint(_and_above(path)):
            yield line, DYNAMIC[0], f"{path} {DYNAMIC[1]}: no rule knows what that package does"
        elif told["name"] == ".":
            yield line, "dot-import", f"a dot before {path} hides where names come from: import it by its name"
        elif path.startswith("skill/skillops_"):
            yield line, DYNAMIC[0], f"{path} is SkillOps' own"


def _of_go(path: str) -> bool:
    """Whether Go brings a package: the others' paths begin with a host, and the skill's own with `skill`."""
    first = path.partition("/")[0]
    return "." not in first and first != "skill"


def _members(facts: Facts) -> Found:
    for told in (*facts["members"], *facts["names"]):
        if rule := MEMBERS.get(told["name"].rpartition(".")[2]):
            yield told["line"], rule[0], f".{told['name'].rpartition('.')[2]} {rule[1]}"


def _and_above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]


def _directives(facts: Facts) -> Found:
    for told in facts["directives"]:
        if not f"{told['text']} ".startswith(DIRECTIVES):
            yield told["line"], HIDDEN[0], f"{told['text'].split()[0]} {HIDDEN[1]}"


def _names(facts: Facts, permitted: Permitted) -> Found:
    for told in facts["names"]:
        path, name, line = told["path"], told["name"], told["line"]
        if (path, name) in NAMES or (path, name.partition(".")[0]) in NAMES:
            rule = NAMES.get((path, name)) or NAMES[(path, name.partition(".")[0])]
            if rule is NETWORK and permitted.network:
                continue
            yield line, rule[0], f"{path}.{name} {rule[1]}"
        elif path in PARTLY and name not in PARTLY[path]:
            yield line, NATIVE[0], f"{path}.{name} {NATIVE[1]}"
        elif path == "os" and name in READERS:
            variable = told["argument"] or ""
            if not (variable.startswith("SKILL_") or variable in permitted.variables):
                yield line, ENVIRONMENT[0], f"os.{name} {ENVIRONMENT[1]}"
        elif (path, name.rpartition(".")[2]) in DECODERS and told["size"] >= PAYLOAD:
            yield line, ENCODED[0], f"{name} {ENCODED[1]}"


def _literals(facts: Facts) -> Found:
    for told in facts["literals"]:
        text = told["text"]
        if text.startswith(("/proc/", "/sys/")):
            yield told["line"], ENVIRONMENT[0], f"{text[:40]} {ENVIRONMENT[1]}"
        elif opaque(text):
            yield told["line"], ENCODED[0], f"a literal of {len(text)} characters that nobody can read: write its content in plain"


def _files(facts: Facts, permitted: Permitted, opens: bool) -> Found:
    """Paths that lead out of what the skill has, and what is written where nothing is kept."""
    calls = _opened(facts)
    keeps = permitted.storage or any(told["path"] in ("os", "io/ioutil") and told["name"] in SCRATCH for told in facts["names"])
    for told in calls:
        path, name = told["argument"], f"{told['path']}.{told['name']}"
        if path and outside(path):
            yield told["line"], FILES[0], f"{name} of {path[:60].replace(UNKNOWN, '…')!r} {FILES[1]}"
        elif told["name"] in WRITING and not (temporary(path) if path and UNKNOWN not in path else keeps):
            yield told["line"], KEEPS[0], f"{name} {KEEPS[1]}"
    for told in facts["literals"] if calls or opens else ():
        if standard(told["text"]):
            yield told["line"], FILES[0], f"{told['text'][:60]!r} {FILES[1]}"
