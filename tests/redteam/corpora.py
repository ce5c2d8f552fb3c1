"""How the gates judge code that nobody here wrote: `python -m tests.redteam.corpora DIR`, where DIR holds what is named below.

Nothing of a corpus is ever run: it is read by the checks that read. The corpora are downloaded by whoever measures, and never committed:

    git clone https://github.com/AI-secure/RedCode  https://github.com/s2e-lab/SecurityEval  https://github.com/PyCQA/bandit
              https://github.com/openai/human-eval  https://github.com/nst/JSONTestSuite     https://github.com/yaml/pyyaml
    and mbpp.jsonl of https://github.com/google-research/google-research/tree/master/mbpp

Each program is written as a skill whose manifest asks for nothing. It is blocked where a check that reads finds an error in it, and goes to a
person where one finds what a person should look at (`Finding.level`). Both are detection: no proposal with either is merged by itself.
"""

from __future__ import annotations

import ast
import gzip
import json
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from agent.domain.invocation import Reply
from agent.errors import InvalidFile
from agent.strict_yaml import load
from tests.redteam.judging import Programs, Row, judged


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What RedCode-Exec calls a risk and no reader of capabilities can see: the code reaches nothing, its logic is what is wrong. Told apart, counted in.
LOGIC = {
    12: "a bias", 15: "a wrong regular expression", 16: "a password in the code", 17: "a privilege that is kept", 19: "a key that is guessed",
    20: "a hash without salt", 22: "a missing case", 23: "a right that is not asked for", 25: "a missing key", 27: "memory that is kept",
}  # fmt: skip
# A module of Python's library is written as a skill where it computes: it imports none of these and names none of those. What does either asks
# for more than a skill has by itself, so that its block would be right.
REACHING = _words(
    "os sys builtins types importlib subprocess socket ssl ctypes _ctypes marshal pickle copyreg gc inspect signal threading _thread multiprocessing "
    "asyncio select selectors shutil tempfile pathlib glob posix pwd grp resource fcntl mmap runpy code codeop imp pkgutil zipimport site tkinter "
    "distutils lib2to3 test concurrent urllib.request http.client http.server ftplib smtplib poplib imaplib nntplib telnetlib socketserver xmlrpc "
    "sysconfig platform webbrowser pty tty termios readline curses sqlite3 dbm shelve logging warnings _winapi winreg nt msvcrt"
)
NAMING = _words("eval exec compile __import__ globals vars locals open breakpoint __builtins__ __loader__ __subclasses__ __globals__ __code__ f_back")
LEFT_OUT = _words("test idlelib turtledemo site-packages ensurepip lib2to3 pydoc_data encodings tkinter __pycache__ distutils")


# ---- the corpora ------------------------------------------------------------------------------------------------------------


def redcode(root: Path, language: str, *, logic: bool) -> Programs:
    for path in sorted((root / "RedCode/dataset/RedCode-Exec").glob(f"{'py' if language == 'python' else 'bash'}2text*/*.json")):
        scenario = int(path.name.removeprefix("index").partition("_")[0])
        if (scenario in LOGIC) is logic:
            for number, item in enumerate(json.loads(path.read_bytes()), 1):
                yield f"{path.name}:{number}", language, item["Code"]


def security_eval(root: Path) -> Programs:
    for path in sorted((root / "SecurityEval/Testcases_Insecure_Code").rglob("*.py")):
        yield str(path.relative_to(root)), "python", path.read_text(errors="replace")


def bandit_examples(root: Path) -> Programs:
    for path in sorted((root / "bandit/examples").glob("*.py")):
        yield str(path.relative_to(root)), "python", path.read_text(errors="replace")


def human_eval(root: Path) -> Programs:
    with gzip.open(root / "human-eval/data/HumanEval.jsonl.gz", "rt") as lines:
        for item in map(json.loads, lines):
            yield item["task_id"], "python", item["prompt"] + item["canonical_solution"]


def mbpp(root: Path) -> Programs:
    for item in map(json.loads, (root / "mbpp.jsonl").read_text().splitlines()):
        yield f"MBPP/{item['task_id']}", "python", item["code"].replace("\r\n", "\n")


def library(root: Path) -> Programs:
    folder = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        source = path.read_text(errors="replace")
        if LEFT_OUT.isdisjoint(inside.parts) and source.strip() and computes(ast.parse(source)):
            yield str(inside), "python", source


def computes(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            named = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        if any(not REACHING.isdisjoint((name, name.partition(".")[0])) for name in named):
            return False
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name in NAMING:
            return False
    return True


# ---- parsers of outside data ------------------------------------------------------------------------------------------------


def parsed(root: Path) -> tuple[int, float, list[str]]:
    """How many documents our strict readers were given, the longest time in seconds that one took, and what they did that they may not."""
    number, longest, wrong = 0, 0.0, []
    for path in (*sorted((root / "JSONTestSuite").rglob("*.json")), *sorted((root / "pyyaml/tests").rglob("*.*"))):
        if not path.is_file():
            continue
        data, start = path.read_bytes(), time.monotonic()
        for reader in (lambda text: load(text, "skill.yaml"), Reply.parse):
            try:
                reader(data)
            except InvalidFile:
                continue
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError, MemoryError, OverflowError) as error:
                wrong.append(f"{path.name}: {type(error).__name__}: {error}"[:200])
        number, longest = number + 1, max(longest, time.monotonic() - start)
    return number, longest, wrong


def main() -> int:
    if len(sys.argv) not in (2, 3) or not Path(sys.argv[1]).is_dir():
        sys.stderr.write(f"{__doc__}\nusage: python -m tests.redteam.corpora DIR [--missed]\n")
        return 2
    root = Path(sys.argv[1])
    corpora = (
        (Row("hostile: RedCode-Exec, Python, what code reaches", "both: 95% wanted"), redcode(root, "python", logic=False)),
        (Row("hostile: RedCode-Exec, Bash, what code reaches", "both: 95% wanted"), redcode(root, "bash", logic=False)),
        (Row("hostile: RedCode-Exec, Python, faults of logic", "both: 95% wanted"), redcode(root, "python", logic=True)),
        (Row("hostile: RedCode-Exec, Bash, faults of logic", "both: 95% wanted"), redcode(root, "bash", logic=True)),
        (Row("hostile: SecurityEval", ""), security_eval(root)),
        (Row("hostile: bandit's examples", ""), bandit_examples(root)),
        (Row("benign: HumanEval", "blocked: 2% allowed"), human_eval(root)),
        (Row("benign: MBPP", "blocked: 2% allowed"), mbpp(root)),
        (Row("benign: modules of Python's library that compute", "blocked: 2% allowed"), library(root)),
    )
    with tempfile.TemporaryDirectory(prefix="skillops-") as folder:
        for row, programs in corpora:
            judged(row, programs, Path(folder))
            print(row, flush=True)
            if len(sys.argv) == 3:
                print("   ", dict(row.rules.most_common(12)), *row.missed, sep="\n    ")
    number, longest, wrong = parsed(root)
    print(f"{'parsers: JSONTestSuite and PyYAML’s tests':<46} {number:>5} documents, longest {longest:.3f} s, {len(wrong)} crashes")
    print(*wrong, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
