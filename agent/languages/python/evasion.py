"""Ways by which code uses what it does not seem to name: a module under another name, one inside another, an attribute spelled as text.

`rules.py` reads what is named. What is here has no use but to keep a name from being read, so it is refused whatever it leads to. What a
program only makes up while it runs (a name that comes with its inputs) is not seen: the sandbox is the wall, this is what a reader is told.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from agent.languages.python.banned import BANNED, DYNAMIC, FRAMES, NETWORK, PROCESS, SENSITIVE, WAYS_OUT

Found = Iterator[tuple[int, str, str]]
Qualified = Callable[[ast.AST], str | None]
Lent = Mapping[str, Mapping[str, str]]

VALUE = "module-as-value"
# Modules that hold no other: as a value they hide nothing.
CALM = frozenset(("math", "cmath", "time", "itertools", "array", "binascii", "zlib", "unicodedata"))
# What a module of the library holds of others is no part of it: tempfile._os, inspect.importlib.
_REACHED = frozenset(name.partition(".")[0] for name in BANNED) | frozenset(SENSITIVE) | {"io"}
_BUILTINS = frozenset(dir(builtins))
_AS_VALUES = frozenset(("getattr", "setattr", "delattr", "vars"))
_LOOKS = ("__getattribute__", "gi_frame", "cr_frame", "ag_frame", "gi_code", "cr_code", "ag_code", "f_builtins", "f_locals", "co_code")
_OUT = frozenset((*WAYS_OUT, *_LOOKS))
_SPELLED = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, sorted(_OUT - {"__import__"}))) + r")(?!\w)")
# Private twins of what is refused.
_TWINS = """
    _socket _ssl _io _pyio _pickle _imp _frozen_importlib _frozen_importlib_external _ctypes _posixsubprocess _posixshmem _multiprocessing
    _xxsubinterpreters _interpreters _testcapi _testinternalcapi _tkinter
"""
# What evaluates, imports or starts what it is given; and what looks at code in place of what that does.
_EVALUATE = """
    pydoc pdb bdb trace profile cProfile pstats logging.config typing.get_type_hints typing.ForwardRef typing._eval_type inspect.get_annotations
    doctest.run_docstring_examples doctest.DocTestParser doctest.DocTestRunner doctest.debug_src site rlcompleter distutils setuptools pip lib2to3
    idlelib venv ensurepip turtle turtledemo tkinter test compileall py_compile zipapp pickletools copyreg annotationlib concurrent.interpreters
    sys.path unittest.mock pickle._loads pickle._load pickle._Unpickler dataclasses._create_fn collections._eval
"""
_CALL_OUT = """
    logging.handlers.SocketHandler logging.handlers.DatagramHandler logging.handlers.SysLogHandler logging.handlers.SMTPHandler
    logging.handlers.HTTPHandler urllib.robotparser wsgiref syslog
"""
_SIGNAL = "signal.raise_signal signal.pthread_kill signal.pidfd_send_signal os.pidfd_open os.memfd_create"
_EXAMINE = """
    dis opcode symtable inspect.getmembers inspect.getmembers_static inspect.getattr_static inspect.getclosurevars traceback.walk_stack
    traceback.walk_tb
"""
_EVERYWHERE = {name: rule for rule, names in ((DYNAMIC, _TWINS), (FRAMES, _EXAMINE)) for name in names.split()}
_OUTSIDE_TESTS = {name: rule for rule, names in ((DYNAMIC, _EVALUATE), (NETWORK, _CALL_OUT), (PROCESS, _SIGNAL)) for name in names.split()}
_METHODS = {
    name: rule
    for rule, names in (
        (NETWORK, "create_connection create_server create_datagram_endpoint create_unix_connection create_unix_server"),
        (PROCESS, "subprocess_exec subprocess_shell"),
        (DYNAMIC, "enable_load_extension"),
    )
    for name in names.split()
}


def evasions(tree: ast.Module, modules: Mapping[str, str], qualified: Qualified, lent: Lent, *, network: bool, in_tests: bool) -> Found:
    """Line, rule and message of each. `modules`: local names and what they were imported as; `lent`: what the skill's own modules have
    imported, by module and name; `network`: the manifest declares hosts."""
    seen = _Seen(modules, qualified, lent, network, in_tests)
    whole, own = _whole(tree), _defined(tree)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        parent = parents.get(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from seen.imports(node)
        elif isinstance(node, ast.Name):
            yield from _name(node, parent, whole, modules, own)
        elif isinstance(node, ast.Attribute):
            yield from seen.attribute(node, parent, own)
        elif isinstance(node, ast.MatchClass):
            yield from ((node.lineno, DYNAMIC[0], f"{name} {DYNAMIC[1]}") for name in node.kwd_attrs if name in _OUT)
        elif isinstance(node, ast.BinOp | ast.JoinedStr | ast.Call | ast.Constant) and id(node) not in said:
            yield from _text(node, parent)


def lendings(tree: ast.Module) -> dict[str, str]:
    """What another module could take from this one under a name of its own, and what that is."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {name: meant for name, meant in found.items() if meant.partition(".")[0] in _REACHED}


def _defined(tree: ast.Module) -> set[str]:
    """Names that mean something of the module's own."""
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    return found | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _whole(tree: ast.Module) -> set[str]:
    """Local names that are modules, by `import`."""
    imports = [alias for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return {alias.asname or alias.name.partition(".")[0] for alias in imports}


def _name(node: ast.Name, parent: ast.AST | None, whole: set[str], modules: Mapping[str, str], own: set[str]) -> Found:
    if not isinstance(node.ctx, ast.Load) or isinstance(parent, ast.Attribute):
        return
    if node.id == "hasattr" and "hasattr" in own:
        yield node.lineno, VALUE, "hasattr is not Python's here, and may use what it is given"
    if node.id in whole and (module := modules.get(node.id, "")) and module not in CALM and module not in SENSITIVE:
        if not (isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name) and parent.func.id == "hasattr"):
            yield node.lineno, VALUE, f"the module {module} is used as a value, which hides what is used of it: name the member"
    elif node.id in _AS_VALUES and node.id not in modules and node.id not in own and not (isinstance(parent, ast.Call) and parent.func is node):
        yield node.lineno, DYNAMIC[0], f"{node.id} as a value {DYNAMIC[1]}"


@dataclass(frozen=True)
class _Seen:
    modules: Mapping[str, str]
    qualified: Qualified
    lent: Lent
    network: bool
    in_tests: bool

    def imports(self, node: ast.Import | ast.ImportFrom) -> Found:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = [f"{node.module or ''}.{alias.name}".lstrip(".") for alias in node.names]
            if node.level:
                names = [name for name in names if name.partition(".")[0] in self.lent]
        for name in names:
            yield from self._named(node.lineno, name)

    def attribute(self, node: ast.Attribute, parent: ast.AST | None, own: set[str]) -> Found:
        name = self.qualified(node)
        rule = _METHODS.get(node.attr)
        if node.attr in _LOOKS or (node.attr == "__self__" and self._is_a_library_function(node.value, own)):
            yield node.lineno, DYNAMIC[0], f"{node.attr} {DYNAMIC[1]}"
        elif name is None and rule and node.attr not in own and not (self.network and rule is NETWORK):
            yield node.lineno, rule[0], f"{node.attr} {rule[1]}"
        if name is not None and not isinstance(parent, ast.Attribute):
            yield from self._named(node.lineno, name)

    def _is_a_library_function(self, node: ast.expr, own: set[str]) -> bool:
        """Of which `__self__` is the module that it is of: the builtins, for one."""
        return self.qualified(node) is not None or (isinstance(node, ast.Name) and node.id in _BUILTINS - own)

    def _named(self, line: int, name: str) -> Found:
        """What a qualified name breaks: by itself, by what it is a part of, or by what it is reached through."""
        first, *rest = name.split(".")
        if rest and (meant := self.lent.get(first, {}).get(rest[0])):
            yield line, VALUE, f"{name} is {meant}, under a name that another module gave it: import it by its own"
        elif rule := self._rule(name):
            yield line, rule[0], f"{name} {rule[1]}"
        elif first in sys.stdlib_module_names and (inner := next((part for part in rest if _inside(part)), None)):
            yield line, DYNAMIC[0], f"{name} {DYNAMIC[1]}: import {inner.strip('_')} by its own name"

    def _rule(self, name: str) -> tuple[str, str] | None:
        parts = name.split(".")
        for end in range(1, min(len(parts), 4) + 1):  # as many as the longest of them has
            known = ".".join(parts[:end])
            if rule := _EVERYWHERE.get(known) or (None if self.in_tests else _OUTSIDE_TESTS.get(known)):
                return None if rule is NETWORK and self.network else rule
        return None


def _inside(part: str) -> bool:
    return part.removeprefix("_") in _REACHED


def _text(node: ast.AST, parent: ast.AST | None) -> Found:
    """Text that spells a way out, in one piece or put together from pieces that are written out."""
    if isinstance(parent, ast.BinOp | ast.JoinedStr):
        return  # the whole is looked at once
    text = _folded(node)
    if text and (found := _SPELLED.search(text)):
        yield node.lineno, DYNAMIC[0], f"{found[1]} as text {DYNAMIC[1]}"  # type: ignore[attr-defined]


def _folded(node: ast.AST | None) -> str | None:
    """The text that an expression of constants is; None where it is not one."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _folded(node.left), _folded(node.right)
        return None if left is None and right is None else (left or "") + (right or "")
    if isinstance(node, ast.JoinedStr):
        pieces = [_folded(part.value if isinstance(part, ast.FormattedValue) else part) for part in node.values]
        return "".join(piece or "" for piece in pieces)
    joins = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join" and len(node.args) == 1
    if joins and isinstance(node.args[0], ast.List | ast.Tuple):  # type: ignore[attr-defined]
        between, pieces = _folded(node.func.value), [_folded(part) for part in node.args[0].elts]  # type: ignore[attr-defined]
        return None if between is None else between.join(piece or "" for piece in pieces)
    return None
