"""What grows from call to call and is never given back (CWE-401, CWE-770): a skill's process answers many calls, and what a module, a class or a
default keeps stays. And what is made large on purpose, again and again."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from agent.languages.python.doubts.seen import Found, Module, last

GROWING = frozenset(("append", "extend", "add", "insert", "setdefault", "appendleft", "update"))
SHRINKING = frozenset(("pop", "popitem", "popleft", "remove", "clear", "discard"))
CONTAINERS = frozenset(("list", "dict", "set", "defaultdict", "OrderedDict", "deque", "Counter"))
LARGE = 4_000  # characters or elements that something is repeated to


def found(module: Module) -> Found:
    kept = {**_shared(module), **_defaults(module)}
    given_back = set(_shrinking(module))
    for node in module.nodes:
        if name := _grown(node):
            where = kept.get(name)
            if where and name not in given_back and module.function_of(node) is not None and not _hidden(module, node, name):
                yield node.lineno, "growth", f"`{name}` ({where}) grows with every call and nothing is ever taken out of it (CWE-770)"
        elif isinstance(node, ast.BinOp) and _large(node) and module.in_loop(node):
            yield node.lineno, "growth", f"something is repeated to {LARGE} characters or more, again and again (CWE-770)"


def _shared(module: Module) -> dict[str, str]:
    """The containers that a module or a class keeps."""
    kept: dict[str, str] = {}
    for owner in module.nodes:
        if isinstance(owner, ast.Module | ast.ClassDef):
            for name in _containers(owner.body):
                kept[name] = "of the module" if isinstance(owner, ast.Module) else f"of the class {owner.name}"
    return kept


def _containers(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None and _is_container(statement.value):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def _is_container(value: ast.expr) -> bool:
    """Empty, or made by a call without a bound."""
    if isinstance(value, ast.List | ast.Set):
        return not value.elts
    if isinstance(value, ast.Dict):
        return not value.keys
    return isinstance(value, ast.Call) and last(value.func) in CONTAINERS and not any(keyword.arg == "maxlen" for keyword in value.keywords)


def _defaults(module: Module) -> dict[str, str]:
    """The parameters whose default is a container: one for all calls."""
    kept = {}
    for function in module.functions:
        arguments = [*function.args.posonlyargs, *function.args.args]
        for argument, default in zip(reversed(arguments), reversed(function.args.defaults), strict=False):
            if _is_container(default):
                kept[argument.arg] = f"the default of {function.name}"
    return kept


def _grown(node: ast.AST) -> str:
    """The name of what a node adds to."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in GROWING:
        return last(node.func.value)
    if (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Subscript)
        and not isinstance(node.targets[0].slice, ast.Constant | ast.Slice)
    ):
        return last(node.targets[0].value)
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) and isinstance(node.value, ast.List | ast.ListComp):
        return last(node.target)
    return ""


def _shrinking(module: Module) -> Iterator[str]:
    """The names of what is emptied somewhere, bound anew in a function, or handed away whole."""
    for node in module.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SHRINKING:
            yield last(node.func.value)
        elif isinstance(node, ast.Delete):
            yield from (last(target.value if isinstance(target, ast.Subscript) else target) for target in node.targets)
        elif isinstance(node, ast.Global):
            yield from (name for name in node.names if _rebound(module, name))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute | ast.Subscript) and module.function_of(node) is not None:
            target = node.targets[0]
            if isinstance(target, ast.Attribute) or isinstance(target.slice, ast.Slice):
                yield last(target if isinstance(target, ast.Attribute) else target.value)


def _rebound(module: Module, name: str) -> bool:
    return any(
        isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        and module.function_of(node)
        for node in module.nodes
    )


def _hidden(module: Module, node: ast.AST, name: str) -> bool:
    """Whether the function has a variable of its own by that name."""
    function = module.function_of(node)
    if function is None:
        return True
    own = {
        part.id
        for part in ast.walk(function)
        if isinstance(part, ast.Name)
        and isinstance(part.ctx, ast.Store)
        and name not in {n for g in ast.walk(function) if isinstance(g, ast.Global) for n in g.names}
    }
    arguments = {argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)}
    return name in own or (name in arguments and name not in _defaults_of(function))


def _defaults_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    arguments = [*function.args.posonlyargs, *function.args.args]
    return {argument.arg for argument, default in zip(reversed(arguments), reversed(function.args.defaults), strict=False) if _is_container(default)}


def _large(node: ast.BinOp) -> bool:
    """`"x" * 1_000_000`, `[0] * 10**7`: a text or a list that is written out, many times."""
    if not isinstance(node.op, ast.Mult):
        return False
    for what, times in ((node.left, node.right), (node.right, node.left)):
        written = isinstance(what, ast.List | ast.Tuple | ast.JoinedStr) or (isinstance(what, ast.Constant) and isinstance(what.value, str | bytes))
        if written and _number(times) * _length(what) >= LARGE:
            return True
    return False


def _length(node: ast.AST) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
        return len(node.value)
    return (
        len(node.elts)
        if isinstance(node, ast.List | ast.Tuple)
        else sum(_length(part) if isinstance(part, ast.Constant) else 1 for part in ast.iter_child_nodes(node))
    )


def _number(node: ast.AST) -> int:
    """A number that is written out, also as a product or a small power; 0 of anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return min(node.value, 10**12)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return min(_number(node.left) * _number(node.right), 10**12)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and _number(node.right) < 40:
        return min(_number(node.left) ** _number(node.right), 10**12)
    return 0
