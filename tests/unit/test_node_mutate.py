"""Mutants of JavaScript and gutted modules: the changes that tests ought to notice, and the places that have none."""

from __future__ import annotations

import pytest

from agent.languages.node.mutate import gutted, mutated, sites
from agent.languages.node.toolchain import HERE, node, said
from agent.languages.node.tree import Node, Unreadable, parse

pytestmark = pytest.mark.node_tools


def tree_of(source: str, path: str = "skill.js") -> Node:
    (tree,) = parse(node(), str(HERE / "parse.js"), [(path, source)])
    assert not isinstance(tree, Unreadable), tree
    return tree


def changes(source: str) -> set[str]:
    return {mutated(source, site) for site in sites(source, tree_of(source))}


@pytest.mark.parametrize(
    ("source", "one"),
    [
        ("x = a < b;", "x = a <= b;"),
        ("x = a === b;", "x = a !== b;"),
        ("x = a /* + */ - b;".replace("/* + */ ", ""), "x = a + b;"),
        ("x = a && b;", "x = a || b;"),
        ("x = a ?? b;", "x = a && b;"),
        ("x += 1;", "x -= 1;"),
        ("x = i++;", "x = i--;"),
        ("x = --i;", "x = ++i;"),
        ("x = !a;", "x = a;"),
        ("x = 41;", "x = 42;"),
        ("x = true;", "x = false;"),
        ("x = 'abc';", "x = '';"),
        ("x = '😀' + 1;", "x = '😀' + 2;"),
        ("if (ready()) go();", "if (!(ready())) go();"),
        ("x = a.b ? 1 : 2;", "x = !(a.b) ? 1 : 2;"),
        ("const f = () => { return 1; };", "const f = () => { return undefined; };"),
        ("const f = (a) => a.b;", "const f = (a) => undefined;"),
        ("for (;;) { if (a) continue; b(); }", "for (;;) { if (a) break; b(); }"),
        ("tidy();", ";"),
        ("throw a;", ";"),
    ],
)
def test_a_small_change_is_a_mutant(source, one):
    assert one in changes(source)


@pytest.mark.parametrize(
    "source",
    [
        "'use strict';",
        "const a = require('b');",
        "module.exports = { a };",
        "exports.a = b;",
        "const { a: b } = c;",
        "// 1 + 2",
        "x: for (;;) break x;",
    ],
)
def test_what_tests_cannot_fairly_notice_has_none(source):
    assert changes(source) == set()


def test_the_words_of_an_error_are_left_alone():
    assert changes("throw new RangeError('too ' + 'long');") == {";"}


def test_every_mutant_is_another_program_that_node_can_read(tmp_path):
    loop = "  for (const x of a) {\n    if (x > b && !x.y) return -x;\n    b **= 2;\n  }\n"
    source = "const f = (a, b = 2) => {\n" + loop + "  return `${a}${1 + b}`;\n};\nf([1]);\n"
    found = changes(source)
    assert len(found) >= 10 and source not in found
    for number, text in enumerate(sorted(found)):
        path = tmp_path / f"{number}.js"
        path.write_text(text)
        assert said(node(), "--check", str(path)).returncode == 0, text


def test_a_mutant_tells_its_place_and_change():
    source = "a;\nconst f = () => {\n  g(\n    1 > 2,\n  );\n};\n"
    (site,) = [site for site in sites(source, tree_of(source)) if site.old == ">"]
    assert (site.line, site.statement, site.inside, site.change) == (4, 3, True, "`>` → `>=`")


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("a.js", "function a() { return 1; }", "function a() { return undefined; }"),
        ("a.js", "exports.execute = async (x) => ({ x });", 'exports.execute = async (x) =>{ return {"n": 0}; };'),
        ("a.js", "exports.execute = async (x) => { return x; };", 'exports.execute = async (x) => { return {"n": 0}; };'),
        ("a.js", "const b = 1, c = function () { go(); };", "const b = 1, c = function () { return undefined; };"),
        ("a.js", "module.exports = { execute() { go(); } };", 'module.exports = { execute() { return {"n": 0}; } };'),
        ("a.mjs", "export async function execute() { go(); }", 'export async function execute() { return {"n": 0}; }'),
        (
            "a.mjs",
            "export default { execute: async () => { go(); } };",
            'export default { execute: async () => { return {"n": 0}; } };',
        ),
    ],
)
def test_gutting_leaves_the_least(path, source, expected):
    changed = gutted(source, tree_of(source, path), {"execute": {"n": 0}})
    assert changed == expected
    tree_of(changed, path)
