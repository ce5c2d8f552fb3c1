"""A module as the rules of this package look at it: its functions, what hangs where, and what its names lead to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from agent.languages.python.imported import imported, qualified

Doubt = tuple[int, str, str]
"""Line, rule and message."""
Found = Iterator[Doubt]
Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
LOOP = (ast.While, ast.For, ast.AsyncFor)
COMPREHENSION = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Module:
    tree: ast.Module
    nodes: tuple[ast.AST, ...]
    parents: dict[ast.AST, ast.AST]
    modules: dict[str, str]
    functions: tuple[Function, ...]

    @classmethod
    def of(cls, tree: ast.Module) -> Module:
        nodes = tuple(ast.walk(tree))
        parents = {child: node for node in nodes for child in ast.iter_child_nodes(node)}
        return cls(tree, nodes, parents, imported(tree), tuple(node for node in nodes if isinstance(node, FUNCTION)))

    def qualified(self, node: ast.AST) -> str:
        return qualified(node, self.modules) or ""

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """What `node` lies in, from the inside."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def function_of(self, node: ast.AST) -> Function | None:
        return next((parent for parent in self.above(node) if isinstance(parent, FUNCTION)), None)

    def in_loop(self, node: ast.AST) -> bool:
        """Whether it runs again and again in its own function."""
        for parent in self.above(node):
            if isinstance(parent, (*LOOP, *COMPREHENSION)):
                return True
            if isinstance(parent, (*FUNCTION, ast.ClassDef, ast.Lambda)):
                return False
        return False


def inside(node: ast.AST) -> Iterator[ast.AST]:
    """`node` and what is below it, without the functions and classes that are defined in it."""
    waiting: list[ast.AST] = [node]
    while waiting:
        one = waiting.pop()
        yield one
        waiting.extend(child for child in ast.iter_child_nodes(one) if not isinstance(child, (*FUNCTION, ast.ClassDef, ast.Lambda)))


def names(node: ast.AST) -> Iterator[str]:
    """The names that an expression is made of: variables, attributes, parameters, and keys that are written out."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr
        elif isinstance(part, ast.arg):
            yield part.arg
        elif (isinstance(part, ast.Subscript) and (key := text(part.slice))) or (
            isinstance(part, ast.Call)
            and isinstance(part.func, ast.Attribute)
            and part.func.attr == "get"
            and part.args
            and (key := text(part.args[0]))
        ):
            yield key


def text(node: ast.AST | None) -> str | None:
    """A string that is written out; None of anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def last(node: ast.AST) -> str:
    """The last name of what is called or named."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def target_names(node: ast.AST) -> list[str]:
    """The names that a statement gives a value to."""
    if isinstance(node, ast.Assign):
        targets: list[ast.expr] = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
        targets = [node.target]
    else:
        return []
    return [name for target in targets for name in names(target)]
