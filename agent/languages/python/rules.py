"""Our own security rules, on the syntax tree: what hides code from a reader or reaches out of the sandbox.

They look at references, not at calls, so that `f = os.system` is as good as `os.system(...)`. A name counts as a module's only
where the module is imported, so that a variable called `requests` is nobody's business. In tests, what is ordinary there
(patching, sample data) is a note.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from agent.languages.literals import PAYLOAD, opaque
from agent.languages.permitted import Permitted
from agent.languages.python import files
from agent.languages.python.banned import (
    BANNED,
    BUILTINS,
    DECODERS,
    DYNAMIC,
    ENCODED,
    ENVIRONMENT,
    ENVIRONMENTS,
    HARMLESS,
    NETWORK,
    SENSITIVE,
    WAYS_OUT,
)
from agent.languages.python.evasion import Lent, evasions
from agent.languages.python.imported import dotted, imported, qualified

LENIENT = frozenset((ENVIRONMENT[0], ENCODED[0], "module-as-value", "import"))  # in tests
NONE: Lent = {}
LONGEST = 30  # parts of a name that leads anywhere
TESTING = frozenset(("pytest", "_pytest"))
Broken = tuple[int, str, str, Literal["error", "note"]]


def broken(tree: ast.Module, permitted: Permitted, *, own: frozenset[str] = frozenset(), in_tests: bool = False, lent: Lent = NONE) -> list[Broken]:
    """The rules that a module breaks: line, rule, message, level; each once a line. `own`: the names of the skill's own modules;
    `lent`: as in `evasions`."""
    reading = _Reading(permitted)
    try:
        reading.names(tree)
        found = [*reading.broken(tree), *_unknown_imports(tree, permitted, own)]
        found += evasions(tree, reading.modules, reading.qualified, lent, network=permitted.network, in_tests=in_tests)
        if not in_tests:  # whose files are the sandbox's
            found += files.reached(tree, reading.qualified, storage=permitted.storage)
    except RecursionError:
        return [(1, "unreadable", "nested too deeply to be read", "error")]
    lenient = LENIENT if in_tests else frozenset()
    unique = dict.fromkeys((line, rule, message) for line, rule, message in found)
    return [(line, rule, message, "note" if rule in lenient else "error") for line, rule, message in sorted(unique)]


@dataclass
class _Reading:
    permitted: Permitted
    modules: dict[str, str] = field(default_factory=dict)  # a local name and what it was imported as
    literals: dict[str, int] = field(default_factory=dict)  # a name and the length of the literal that it was given

    def names(self, tree: ast.Module) -> None:
        self.modules = imported(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self.literals[target.id] = max(_literal_size(node.value), self.literals.get(target.id, 0))

    def broken(self, tree: ast.Module) -> Iterator[tuple[int, str, str]]:
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            parent = parents.get(node)
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from self._import(node)
            elif isinstance(node, ast.Name | ast.Attribute):
                yield from self._reference(node, parent, parents)
            elif isinstance(node, ast.Call):
                yield from self._call(node)
            elif isinstance(node, ast.Constant) and id(node) not in documentation:
                yield from self._constant(node)

    # ---- one kind of node each; all yield (line, rule, message) --------------------------------------------------------

    def _import(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[int, str, str]]:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif node.level:
            return
        else:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            if any(alias.name == "*" for alias in node.names) and str(node.module).partition(".")[0] in SENSITIVE:
                yield node.lineno, DYNAMIC[0], f"`from {node.module} import *` hides which of its members are used"
        for name in names:
            if rule := self._rule(name):
                yield node.lineno, rule[0], f"{name} {rule[1]}"
            elif name in ENVIRONMENTS:
                yield node.lineno, ENVIRONMENT[0], f"{name} {ENVIRONMENT[1]}"

    def _reference(self, node: ast.Name | ast.Attribute, parent: ast.AST | None, parents: dict[ast.AST, ast.AST]) -> Iterator[tuple[int, str, str]]:
        if isinstance(node, ast.Attribute) and node.attr in WAYS_OUT:
            yield node.lineno, DYNAMIC[0], f"{node.attr} {DYNAMIC[1]}"
        if isinstance(parent, ast.Attribute):
            return  # the whole chain is looked at once
        name = self.qualified(node)
        if name is None:
            if isinstance(node, ast.Name) and node.id in BUILTINS and node.id not in self.modules:
                yield node.lineno, DYNAMIC[0], f"{node.id} {DYNAMIC[1]}"
        elif rule := self._rule(name):
            yield node.lineno, rule[0], f"{name} {rule[1]}"
        elif name in SENSITIVE and isinstance(getattr(node, "ctx", None), ast.Load) and not _asked_of(node, parent):
            yield (
                node.lineno,
                "module-as-value",
                f"the module {name} is used as a value, which hides what is used of it: name the member",
            )
        elif any(name == known or name.startswith(f"{known}.") for known in ENVIRONMENTS) and not self._own_variable(node, name, parents):
            yield node.lineno, ENVIRONMENT[0], f"{name} {ENVIRONMENT[1]}"
        elif name.partition(".")[0] in SENSITIVE and ".__dict__" in name:
            yield node.lineno, DYNAMIC[0], f"{name} {DYNAMIC[1]}"

    def _call(self, node: ast.Call) -> Iterator[tuple[int, str, str]]:
        called = self.qualified(node.func) or dotted(node.func)
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        plain = called in ("bytes", "bytearray") and not any(_numbers(argument) for argument in arguments)  # text as bytes hides nothing
        if (called in DECODERS and not plain and any(self._payload(argument) for argument in arguments)) or (
            called == "codecs.decode" and any(isinstance(item, ast.Constant) and str(item.value).startswith("rot") for item in arguments)
        ):
            yield node.lineno, ENCODED[0], f"{called} {ENCODED[1]}"
        elif called in ("getattr", "setattr", "operator.attrgetter", "operator.methodcaller"):
            for argument in arguments:
                if isinstance(argument, ast.Constant) and argument.value in (*BUILTINS, *WAYS_OUT, "system", "popen"):
                    yield node.lineno, DYNAMIC[0], f"{called} with {argument.value!r} {DYNAMIC[1]}"

    def _constant(self, node: ast.Constant) -> Iterator[tuple[int, str, str]]:
        value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
        if not isinstance(value, str):
            return
        if value.startswith(("/proc/", "/sys/")):
            yield node.lineno, ENVIRONMENT[0], f"{value[:40]} {ENVIRONMENT[1]}"
        elif opaque(value):
            yield (
                node.lineno,
                ENCODED[0],
                f"a literal of {len(value)} characters that nobody can read: write its content in plain",
            )

    # ---- names and literals ----------------------------------------------------------------------------------------------

    def qualified(self, node: ast.AST) -> str | None:
        """`os.path.join` for whatever local name that goes by; None where it does not start at an import."""
        return qualified(node, self.modules)

    def _rule(self, name: str) -> tuple[str, str] | None:
        """The rule that bans a qualified name. Its ends count too: `shutil.os.system` is `os.system`."""
        parts = name.split(".")
        if len(parts) > LONGEST:  # of which every part of every length would be looked up
            return DYNAMIC
        for start in range(len(parts)):
            for end in range(start + 1, len(parts) + 1):
                known = ".".join(parts[start:end])
                if known in BANNED and (start == 0 or end - start > 1) and not ".".join(parts[start:]).startswith(HARMLESS):
                    rule = BANNED[known]
                    return None if rule is NETWORK and self.permitted.network else rule
        return None

    def _own_variable(self, node: ast.AST, name: str, parents: dict[ast.AST, ast.AST]) -> bool:
        """Whether a variable of the environment is read that the skill was given: by a constant name."""
        parent = parents.get(node)
        key: ast.AST | None = None
        if isinstance(parent, ast.Subscript) and parent.value is node:
            key = parent.slice
        elif isinstance(parent, ast.Call) and parent.func is node and parent.args and name in ("os.getenv", "os.environ.get"):
            key = parent.args[0]
        elif isinstance(parent, ast.Compare) and node in parent.comparators:
            key = parent.left
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            return False
        return key.value.startswith("SKILL_") or key.value in self.permitted.variables

    def _payload(self, node: ast.AST) -> bool:
        return (
            max((self.literals.get(part.id, 0) for part in ast.walk(node) if isinstance(part, ast.Name)), default=0) + _literal_size(node) >= PAYLOAD
        )


def _asked_of(node: ast.AST, parent: ast.AST | None) -> bool:
    """`hasattr(os, "fork")` asks, and uses nothing."""
    return isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name) and parent.func.id == "hasattr" and parent.args[:1] == [node]


def _numbers(node: ast.AST) -> bool:
    return any(isinstance(part, ast.List | ast.Tuple | ast.Set) for part in ast.walk(node)) or isinstance(node, ast.Name | ast.GeneratorExp)


def _unknown_imports(tree: ast.Module, permitted: Permitted, own: frozenset[str]) -> Iterator[tuple[int, str, str]]:
    """What is imported and comes from nowhere. Where there are dependencies, the tests tell: a package need not be called like its modules."""
    if permitted.packages:
        return
    known = sys.stdlib_module_names | own | TESTING
    optional = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Try) and _catches_import(node) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in optional:
            continue
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [str(node.module)]
        for name in names:
            if name.partition(".")[0] not in known:
                yield node.lineno, "import", f"{name} is neither Python's own, nor the skill's, nor of its dependencies"


def _catches_import(node: ast.Try) -> bool:
    return any(handler.type is not None and "ImportError" in ast.unparse(handler.type) for handler in node.handlers)


def _literal_size(node: ast.AST) -> int:
    """How much is written out in an expression: characters of its strings, numbers of its lists."""
    constants = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return sum(len(value) if isinstance(value, str | bytes) else 1 for value in constants)
