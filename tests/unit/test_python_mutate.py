"""Mutants and gutted modules, as changes to source."""

from __future__ import annotations

import ast

import pytest

from agent.languages.python.gut import gutted
from agent.languages.python.mutate import mutated, sites


def changes(source: str) -> list[str]:
    return [site.change for site in sites(ast.parse(source))]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", "`a < b` → `a <= b`"),
        ("x = a == b", "`a == b` → `a != b`"),
        ("x = a in b", "`a in b` → `a not in b`"),
        ("x = a + b", "`a + b` → `a - b`"),
        ("x = a and b", "`a and b` → `a or b`"),
        ("x = not a", "`not a` → `a`"),
        ("x = 3", "`3` → `4`"),
        ("x = True", "`True` → `False`"),
        ("x = 'word'", "`'word'` → `''`"),
        ("x = ''", "`''` → `'x'`"),
        ("x += 1", "`x += 1` → `x -= 1`"),
        ("x += 1", "`x += 1` → `pass`"),
        ("call()", "`call()` → `pass`"),
        ("if a:\n    b()\nelse:\n    c()", "`if a: b() else: c()` → `if a: c() else: b()`"),
        ("while ready():\n    pass", "`while ready(): pass` → `while not ready(): pass`"),
        ("x = a if b else c", "`a if b else c` → `c if b else a`"),
        ("def f():\n    return x", "`return x` → `return None`"),
        ("for a in b:\n    break", "`break` → `continue`"),
        ("for a in b:\n    continue", "`continue` → `break`"),
        ("def f():\n    raise E('x')", "`raise E('x')` → `pass`"),
    ],
)
def test_each_operator_makes_its_mutant(source, expected):
    assert expected in changes(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "def f(x: Literal[3]) -> Literal['a']: ...",
        "if __name__ == '__main__':\n    main(1)",
        "if TYPE_CHECKING:\n    x = 1",
        "import a",
        "x = f'a {b} c'",
        "__all__ = ['a']",
        "@decorator(1)\ndef f():\n    return None",
    ],
)
def test_nothing_is_made_of_what_tests_cannot_fairly_notice(source):
    assert changes(source) == []


def test_the_words_of_an_error_stay():
    assert changes("raise ValueError('bad ' + 'input')") == ["`raise ValueError('bad ' + 'input')` → `pass`"]


def test_a_mutant_changes_one_place_and_compiles():
    source = b"def f(a, b):\n    if a < b and b > 0:\n        return a + 1\n    return -b\n"
    before = ast.unparse(ast.parse(source))
    after = [ast.unparse(mutated(source, number)) for number in range(len(sites(ast.parse(source))))]
    assert len(set(after)) == len(after) >= 10
    for text in after:
        compile(text, "skill.py", "exec")
        assert sum(old != new for old, new in zip(before.splitlines(), text.splitlines(), strict=False)) == 1


def test_a_mutant_knows_its_line_and_whether_a_function_holds_it():
    found = [(site.line, site.statement, site.inside) for site in sites(ast.parse("LIMIT = 3\n\n\ndef f():\n    return (\n        1,\n    )\n"))]
    assert found == [(1, 1, False), (5, 5, True), (6, 5, True)]


def run(tree: ast.Module) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(compile(tree, "skill.py", "exec"), names)
    return names


def test_a_gutted_function_returns_what_its_schema_or_annotation_allows_at_least():
    source = b"""
import functools
from collections.abc import Iterator

def execute(inputs, context): return {"n": 1}
def count(text: str) -> int: return 3
def names() -> "list[str] | None": return ["a"]
@functools.cache
def each() -> Iterator[int]: yield 1
def bare(): return 1
def _private() -> int: return 7
"""
    names = run(gutted(source, {"execute": {"n": 0}}))
    assert [names[name](*args) for name, args in (("count", ("",)), ("names", ()), ("bare", ()), ("_private", ()))] == [0, [], None, 7]  # type: ignore[operator]
    assert names["execute"]({}, {}) == {"n": 0}  # type: ignore[operator]
    assert list(names["each"]()) == []  # type: ignore[operator]
