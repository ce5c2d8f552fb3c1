"""Ways through code that are missing or differ from their neighbours: a case for all others (CWE-478), a right that is asked for on most ways and not
on one (CWE-862; Engler et al., "Bugs as Deviant Behavior", SOSP 2001), a privilege that stays after an error (CWE-271), a failure that nobody
hears of (CWE-390), a key that leads to several things (CWE-462)."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable

from agent.languages.python.doubts.seen import COMPREHENSION, LOOP, Found, Module, inside, last
from agent.languages.sensitive import asks, asks_for_rights, opposite

WAYS = 3  # of a choice, from which on one of them may differ from the others


def found(module: Module) -> Found:
    for node in module.nodes:
        if isinstance(node, ast.Match):
            yield from _open_choice(module, node)
        if isinstance(node, ast.Try):
            yield from _kept(node)
            yield from _swallowed(node)
    for function in module.functions:
        yield from _deviant(function)
    yield from _unasked(module)
    yield from _doubled(module)


# ---- a choice without a case for all others --------------------------------------------------------------------------------------


def _open_choice(module: Module, node: ast.Match) -> Found:
    """A choice among values, or one that every case answers, with none for the rest: then nothing is done, and nobody is told."""
    if len(node.cases) < 2 or any(_takes_all(case) for case in node.cases):
        return
    values = all(_values(case.pattern) for case in node.cases)
    answers = all(isinstance(case.body[-1], ast.Return) and case.body[-1].value is not None for case in node.cases)
    function = module.function_of(node)
    if values or (answers and function is not None and function.body[-1] is node):
        yield node.lineno, "no-default", "no case for anything else: then nothing is done, and nobody is told (CWE-478)"


def _values(pattern: ast.pattern) -> bool:
    if isinstance(pattern, ast.MatchOr):
        return all(map(_values, pattern.patterns))
    return isinstance(pattern, ast.MatchValue | ast.MatchSingleton)


def _takes_all(case: ast.match_case) -> bool:
    """Whether a pattern takes anything, without a condition."""
    pattern = case.pattern
    while isinstance(pattern, ast.MatchAs) and pattern.pattern is not None:
        pattern = pattern.pattern
    return case.guard is None and isinstance(pattern, ast.MatchAs)


# ---- rights ---------------------------------------------------------------------------------------------------------------------


def _deviant(function: ast.AST) -> Found:
    """A choice whose ways are behind one and the same question, but for some."""
    for ways in _choices(function):
        asked = Counter(name for way in ways if (name := _question(way)))
        free = [way for way in ways if not _question(way) and _acts(way)]
        if asked and free:
            name, number = asked.most_common(1)[0]
            if number >= len(free) and number + len(free) >= WAYS:
                yield free[0][0].lineno, "unasked", f"done without `{name}()`, which the other ways ask first: is that meant? (CWE-862)"


def _choices(function: ast.AST) -> list[list[list[ast.stmt]]]:
    """The bodies of each chain of `elif` and of each `match`."""
    nodes = list(inside(function))
    later = {id(node.orelse[0]) for node in nodes if isinstance(node, ast.If) and len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If)}
    found = [[case.body for case in node.cases] for node in nodes if isinstance(node, ast.Match)]
    for node in nodes:
        if isinstance(node, ast.If) and id(node) not in later:
            found.append(_chain(node))
    return found


def _chain(node: ast.If) -> list[list[ast.stmt]]:
    bodies = [node.body]
    while len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        node = node.orelse[0]
        bodies.append(node.body)
    return bodies


def _question(body: list[ast.stmt]) -> str:
    """The function that a body asks, before it does anything else."""
    first = body[0]
    test = first.test if isinstance(first, ast.If) else None
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test = test.operand
    return last(test.func) if isinstance(test, ast.Call) and asks(last(test.func)) else ""


def _acts(body: list[ast.stmt]) -> bool:
    """Whether a body calls something for what it does."""
    first = body[0]
    return isinstance(first, ast.Expr | ast.Return) and isinstance(first.value, ast.Call) and last(first.value.func) != "print"


def _unasked(module: Module) -> Found:
    """A question about rights that the module has, and asks nowhere."""
    used = {last(node) for node in module.nodes if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)}
    for function in module.functions:
        if asks_for_rights(function.name) and function.name not in used and isinstance(module.parents[function], ast.Module):
            yield function.lineno, "unasked", f"nothing asks `{function.name}()`: is what it guards done without it? (CWE-862)"


# ---- what an error leaves behind ---------------------------------------------------------------------------------------------------


def _kept(node: ast.Try) -> Found:
    """What a `try` takes and gives back only where nothing goes wrong."""
    called = [last(call.func) for statement in node.body for call in inside(statement) if isinstance(call, ast.Call)]
    elsewhere = {last(call.func) for part in (*node.finalbody, *node.handlers) for call in inside(part) if isinstance(call, ast.Call)}
    for first in called:
        back = next((name for name in called if opposite(first, name) and name not in elsewhere), "")
        if back and (node.handlers or node.finalbody):
            yield node.lineno, "kept-privilege", f"`{back}` is left out where something fails after `{first}`: it belongs into `finally` (CWE-271)"
            return


def _swallowed(node: ast.Try) -> Found:
    for handler in node.handlers:
        silent = all(
            isinstance(part, ast.Pass | ast.Continue) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            for part in handler.body
        )
        if silent and (handler.type is None or last(handler.type) in ("Exception", "BaseException")):
            yield handler.lineno, "swallowed", "whatever goes wrong here, nobody hears of it: name the error, or tell (CWE-390)"


# ---- keys ---------------------------------------------------------------------------------------------------------------------------


def _doubled(module: Module) -> Found:
    """A list of pairs that is searched by key, in which a key stands twice: one of the values is never found, or found by chance."""
    if not any(_searches(node) for node in module.nodes if isinstance(node, (*LOOP, *COMPREHENSION, ast.Lambda))):
        return
    appended: dict[str, list[tuple[object, int]]] = {}
    for node in module.nodes:
        if isinstance(node, ast.List) and len(keys := list(_keys(node.elts))) == len(node.elts):
            yield from _twice(keys)
        elif isinstance(node, ast.Call) and last(node.func) == "append" and isinstance(node.func, ast.Attribute):
            appended.setdefault(ast.dump(node.func.value), []).extend(_keys(node.args))
    for pairs in appended.values():
        yield from _twice(pairs)


def _searches(node: ast.AST) -> bool:
    """Whether a loop over pairs, or a function for `filter`, compares the first of each."""
    targets = [part.target for part in ([node] if isinstance(node, ast.For) else getattr(node, "generators", []))]
    pairs = [part for target in targets for part in ast.walk(target) if isinstance(part, ast.Tuple) and len(part.elts) == 2]
    firsts = {pair.elts[0].id for pair in pairs if isinstance(pair.elts[0], ast.Name)}
    wholes = {target.id for target in targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.Lambda):
        wholes = {argument.arg for argument in node.args.args}
    for part in ast.walk(node):
        if isinstance(part, ast.Compare) and isinstance(part.ops[0], ast.Eq):
            for side in (part.left, *part.comparators):
                if isinstance(side, ast.Name) and side.id in firsts:
                    return True
                if isinstance(side, ast.Subscript) and last(side.value) in wholes and isinstance(side.slice, ast.Constant) and side.slice.value == 0:
                    return True
    return False


def _keys(elements: Iterable[ast.AST]) -> Iterable[tuple[object, int]]:
    for element in elements:
        if isinstance(element, ast.Tuple | ast.List) and len(element.elts) == 2 and isinstance(element.elts[0], ast.Constant):
            yield element.elts[0].value, element.lineno


def _twice(keys: Iterable[tuple[object, int]]) -> Found:
    seen: set[object] = set()
    for key, line in keys:
        if key in seen and isinstance(key, str):
            yield line, "doubled-key", f"{key[:40]!r} is there twice, and a search by key finds one of them (CWE-462)"
            return
        seen.add(key)
