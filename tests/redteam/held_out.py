"""The gates on programs that nobody looked at while the rules were written: `python -m tests.redteam.held_out DIR [--missed] [WORD …]`. DIR holds

    git clone https://github.com/lxyeternal/pypi_malregistry       https://github.com/redcanaryco/atomic-red-team
              https://github.com/GTFOBins/GTFOBins.github.io       https://github.com/Co1lin/CWEval
              https://github.com/semgrep/semgrep-rules             https://github.com/securego/gosec
              https://github.com/eslint-community/eslint-plugin-security
              https://github.com/TheAlgorithms/Python (as TheAlgorithms-Python)
              https://github.com/exercism/{python,bash,javascript,go} (as exercism-python, …)

WORDs choose among the rows by their names. As in `corpora`, everything is read and nothing is run; archives are read in memory. Of malicious
packages one in two hundred is taken.
"""

from __future__ import annotations

import ast
import re
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from agent.languages.node.reading import trees
from agent.languages.node.tree import Node, Unreadable, literal, walk
from tests.redteam.corpora import computes
from tests.redteam.judging import Programs, Row, findings, judged

STEP = 200  # one malicious package of so many
LARGEST = 2**20  # bytes of a file of a package


# ---- hostile ------------------------------------------------------------------------------------------------------------------


def packages(root: Path) -> Programs:
    """The Python of malicious packages that PyPI took down."""
    archives = sorted(path for path in (root / "pypi_malregistry").rglob("*") if path.name.endswith((".tar.gz", ".whl", ".zip")))
    for path in archives[::STEP]:
        files = dict(_members(path))
        if files:
            yield str(path.relative_to(root)), "python", {f"part{number}.py": text for number, text in enumerate(files.values())} | {"skill.py": ""}


def _members(path: Path) -> Iterator[tuple[str, str]]:
    """The Python files of an archive; none where it cannot be read."""
    try:
        if path.name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.isfile() and member.name.endswith(".py") and member.size <= LARGEST and (file := archive.extractfile(member)):
                        yield member.name, file.read().decode(errors="replace")
        else:
            with zipfile.ZipFile(path) as zipped:
                for info in zipped.infolist():
                    if info.filename.endswith(".py") and info.file_size <= LARGEST:
                        yield info.filename, zipped.read(info).decode(errors="replace")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, zlib.error):
        return


def atomic(root: Path) -> Programs:
    """The attacks of Atomic Red Team that are shell scripts, with the inputs that they bring."""
    for path in sorted((root / "atomic-red-team/atomics").glob("T*/T*.yaml")):
        for number, test in enumerate(yaml.safe_load(path.read_bytes())["atomic_tests"]):
            executor = test.get("executor") or {}
            if executor.get("name") in ("sh", "bash") and executor.get("command") and "linux" in test["supported_platforms"]:
                inputs = {name: str(given.get("default", "")) for name, given in (test.get("input_arguments") or {}).items()}
                yield f"{path.name}:{number}", "bash", re.sub(r"#\{([^}]+)\}", lambda match, of=inputs: of.get(match[1], ""), executor["command"])


def gtfobins(root: Path) -> Programs:
    """What GTFOBins knows ordinary programs to be abused for."""
    for path in sorted((root / "GTFOBins.github.io/_gtfobins").iterdir()):
        if path.is_file():
            for number, code in enumerate(_codes(next(yaml.safe_load_all(path.read_bytes())))):
                yield f"{path.name}:{number}", "bash", code


def _codes(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "code" and isinstance(value, str):
                yield value
            else:
                yield from _codes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _codes(value)


def cweval(root: Path, language: str, kind: str) -> Programs:
    """CWEval: one task each, solved in a way that is unsafe, and in one that is safe (`task`)."""
    folder, suffix = {"python": ("py", ".py"), "node": ("js", ".js"), "go": ("go", ".go")}[language]
    middle = "" if language == "python" else f"_{folder}"
    for path in sorted((root / f"CWEval/benchmark/core/{folder}").glob(f"*{middle}_{kind}{suffix}")):
        yield path.name, language, path.read_text(errors="replace")


def gosec(root: Path, *, bad: bool) -> Programs:
    """The samples of gosec's tests, with the number of findings that each should have."""
    for path in sorted((root / "gosec/testutils").glob("g*_samples.go")):
        for number, match in enumerate(re.finditer(r"\{\[\]string\{(.*?)\}, (\d+), gosec", path.read_text(), re.DOTALL)):
            sources = re.findall(r"`([^`]*)`", match[1])
            if sources and (match[2] != "0") is bad:
                files = {"skill.go" if not at else f"other{at}.go": source for at, source in enumerate(sources)}
                yield f"{path.name}:{number}", "go", files


def eslint_security(root: Path, kind: str) -> Programs:
    """The tests of eslint-plugin-security: what is invalid and what is valid."""
    folder = root / "eslint-plugin-security/test/rules"
    for name, tree in sorted(trees(folder, sorted(path.name for path in folder.glob("*.js"))).items()):
        if isinstance(tree, Unreadable):
            continue
        for node in walk(tree):
            if node["type"] == "Property" and not node["computed"] and node["key"].get("name") == kind and node["value"]["type"] == "ArrayExpression":
                for number, code in enumerate(filter(None, map(_code, node["value"]["elements"]))):
                    yield f"{name}:{number}", "node", code


def _code(node: Node | None) -> str | None:
    if node and node["type"] == "ObjectExpression":
        return next((literal(part["value"]) for part in node["properties"] if part["type"] == "Property" and part["key"].get("name") == "code"), None)
    return literal(node)


SEMGREP = re.compile(r"(?:#|//)\s*(ruleid|ok):")


def semgrep(root: Path, folders: str, suffix: str, language: str, folder: Path) -> tuple[int, int, int, int]:
    """Of the lines that semgrep's tests of its rules mark: how many are bad and found, bad, fine and found, fine. The line below a mark is meant."""
    found = [0, 0, 0, 0]
    for name in folders.split():
        for path in sorted((root / "semgrep-rules" / name).rglob(f"*{suffix}")):
            text = path.read_text(errors="replace")
            lines = {one.line for one in findings(text, language, folder) if one.line and one.rule != "skillops-import"}
            for number, line in enumerate(text.splitlines(), 1):
                if mark := SEMGREP.search(line):
                    bad = mark[1] == "ruleid"
                    found[1 if bad else 3] += 1
                    found[0 if bad else 2] += any(number + ahead in lines for ahead in (1, 2, 3))
    return found[0], found[1], found[2], found[3]


# ---- benign ---------------------------------------------------------------------------------------------------------------------


def algorithms(root: Path) -> Programs:
    """Of TheAlgorithms what computes, by the rule of `corpora.computes`, and needs no package."""
    for path in sorted((root / "TheAlgorithms-Python").rglob("*.py")):
        source = path.read_text(errors="replace")
        if source.strip() and _plain(source):
            yield str(path.relative_to(root)), "python", source


def _plain(source: str) -> bool:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return False
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return computes(tree) and all(name.partition(".")[0] in sys.stdlib_module_names for name in names)


def exercism(root: Path, language: str) -> Programs:
    """The example solutions of Exercism's exercises; for Node as the scripts that skills are: without `export`, and none that imports."""
    names = {"python": "python", "bash": "bash", "node": "javascript", "go": "go"}
    shapes = {"python": ".meta/example.py", "bash": ".meta/example.sh", "node": ".meta/proof.ci.js", "go": ".meta/example.go"}
    for path in sorted((root / f"exercism-{names[language]}/exercises/practice").glob(f"*/{shapes[language]}")):
        text = path.read_text(errors="replace")
        if language == "node" and re.search(r"^import\b", text, re.MULTILINE):
            continue
        yield path.parent.parent.name, language, re.sub(r"^export (default )?", "", text, flags=re.MULTILINE) if language == "node" else text


def main() -> int:
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_dir():
        sys.stderr.write(f"{__doc__}\n")
        return 2
    root, words = Path(sys.argv[1]), [word for word in sys.argv[2:] if word != "--missed"]
    corpora = (
        (Row("hostile: Atomic Red Team, Bash"), atomic(root)),
        (Row("hostile: GTFOBins, Bash"), gtfobins(root)),
        *((Row(f"hostile: CWEval, unsafe, {name}"), cweval(root, name, "unsafe")) for name in ("node", "go")),
        (Row("hostile: gosec's samples with findings, Go"), gosec(root, bad=True)),
        (Row("hostile: eslint-plugin-security, invalid, Node"), eslint_security(root, "invalid")),
        *((Row(f"benign: CWEval, safe, {name}"), cweval(root, name, "task")) for name in ("python", "node", "go")),
        (Row("benign: gosec's samples without findings, Go"), gosec(root, bad=False)),
        (Row("benign: eslint-plugin-security, valid, Node"), eslint_security(root, "valid")),
        (Row("benign: TheAlgorithms that compute, Python"), algorithms(root)),
        *((Row(f"benign: Exercism's examples, {name}"), exercism(root, name)) for name in ("python", "bash", "node", "go")),
        (Row("hostile: packages that PyPI took down, Python"), packages(root)),
    )
    with tempfile.TemporaryDirectory(prefix="skillops-") as folder:
        for row, programs in corpora:
            if words and not any(word in row.name for word in words):
                continue
            print(judged(row, programs, Path(folder)), flush=True)
            if "--missed" in sys.argv:
                print("   ", dict(row.rules.most_common(12)), *row.missed, sep="\n    ")
        for folders, suffix, language in (
            ("python/lang", ".py", "python"),
            ("javascript/lang", ".js", "node"),
            ("go/lang", ".go", "go"),
            ("bash", ".sh", "bash"),
        ):
            if words and "semgrep" not in words:
                break
            hits, bad, false, fine = semgrep(root, folders, suffix, language, Path(folder))
            print(f"semgrep's marked lines, {language}: {hits} of {bad} bad ones found, {false} of {fine} fine ones", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
