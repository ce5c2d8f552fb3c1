"""Mutants: every small change that can be made to a module's own code. Standard library only; runs in the sandbox too.

The operators are the usual ones (Offutt's sufficient set, with constants, statements and jumps); a place that tests cannot fairly be asked to
notice has none: docstrings, annotations, the words of an error, `if __name__ == "__main__"`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
REMOVABLE = (ast.Expr, ast.AugAssign, ast.Delete, ast.Raise)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True)
class Site:
    """One mutant: `holder.field` (or its item `index`) becomes `new`.

    `inside` tells whether it lies in a function, `statement` is the line where the statement around it starts.
    """

    holder: ast.AST
    field: str
    index: int | None
    old: ast.AST
    new: ast.AST
    inside: bool
    statement: int

    @property
    def line(self) -> int:
        return int(getattr(self.old, "lineno", 1))

    @property
    def change(self) -> str:
        """In words: `a < b` → `a <= b`."""
        return f"`{_shown(self.old)}` → `{_shown(self.new)}`"

    def apply(self) -> None:
        """Changes the tree that the site was found in."""
        ast.copy_location(self.new, self.old)
        if self.index is None:
            setattr(self.holder, self.field, self.new)
        else:
            getattr(self.holder, self.field)[self.index] = self.new
        ast.fix_missing_locations(self.holder)


def sites(tree: ast.Module) -> list[Site]:
    """All mutants of a module, in the order of the source."""
    return list(_walk(tree, inside=False, words=False, statement=1))


def mutated(source: bytes, number: int) -> ast.Module:
    """The tree of `source` with its mutant `number` in place."""
    tree = ast.parse(source)
    sites(tree)[number].apply()
    return tree


def _walk(holder: ast.AST, *, inside: bool, words: bool, statement: int) -> Iterator[Site]:
    for field, index, child in _children(holder):
        if _left_out(holder, field, child):
            continue
        first = child.lineno if isinstance(child, ast.stmt) else statement
        spoken = words or isinstance(child, ast.Raise) or (isinstance(holder, ast.Assert) and field == "msg")
        if not (words and isinstance(child, ast.Constant | ast.JoinedStr | ast.BinOp)):
            for new in _mutations(child, holder):
                yield Site(holder, field, index, child, new, inside, first)
        if isinstance(
            child,
            ast.stmt | ast.expr | ast.comprehension | ast.ExceptHandler | ast.match_case | ast.keyword | ast.arguments | ast.pattern,
        ):
            yield from _walk(child, inside=inside or isinstance(child, FUNCTIONS), words=spoken, statement=first)


def _children(holder: ast.AST) -> Iterator[tuple[str, int | None, ast.AST]]:
    for field, value in ast.iter_fields(holder):
        if isinstance(value, ast.AST):
            yield field, None, value
        elif isinstance(value, list):
            yield from ((field, index, item) for index, item in enumerate(value) if isinstance(item, ast.AST))


def _left_out(holder: ast.AST, field: str, child: ast.AST) -> bool:
    if field in ("annotation", "returns", "decorator_list", "type_params") or isinstance(child, ast.JoinedStr | ast.Import | ast.ImportFrom):
        return True
    if isinstance(child, ast.If) and isinstance(child.test, ast.Compare | ast.Name | ast.Attribute):
        return any(word in ast.unparse(child.test) for word in ("__name__", "TYPE_CHECKING"))
    if isinstance(child, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id.startswith("__") for target in child.targets)
    return isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)


def _mutations(node: ast.AST, holder: ast.AST) -> Iterator[ast.AST]:
    """What may stand in place of `node`."""
    if isinstance(node, ast.Compare):
        for index, op in enumerate(node.ops):
            if other := COMPARISONS.get(type(op)):
                yield ast.Compare(node.left, [*node.ops[:index], other(), *node.ops[index + 1 :]], node.comparators)
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        if (operator := ARITHMETIC.get(type(node.op))) and not _formats(node):
            yield _with(node, op=operator())
        if isinstance(node, ast.AugAssign):
            yield ast.Pass()
    elif isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.Not | ast.USub):
            yield node.operand
    elif isinstance(node, ast.Constant):
        yield from _constants(node, holder)
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield from _conditions(node)
    elif isinstance(node, ast.Return):
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Break | ast.Continue):
        yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()
    elif isinstance(node, REMOVABLE):
        yield ast.Pass()


def _constants(node: ast.Constant, holder: ast.AST) -> Iterator[ast.Constant]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, str | bytes) and not isinstance(holder, ast.JoinedStr | ast.FormattedValue):
        grown = "x" if isinstance(value, str) else b"x"
        yield ast.Constant(value[:0] if value else grown)


def _conditions(node: ast.If | ast.While | ast.IfExp) -> Iterator[ast.AST]:
    if isinstance(node, ast.If) and node.orelse and not (len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If)):
        yield ast.If(node.test, node.orelse, node.body)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif not isinstance(node.test, ast.Compare | ast.UnaryOp | ast.Constant):  # those have mutants of their own
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))


def _formats(node: ast.BinOp | ast.AugAssign) -> bool:
    """Whether `%` here is string formatting."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)


def _with(node: ast.AST, **fields: Any) -> ast.AST:
    return type(node)(**{**dict(ast.iter_fields(node)), **fields})


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else text[:59] + "…"
