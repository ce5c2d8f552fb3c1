"""What a person is to look at in JavaScript: each weakness in some of its shapes, and the honest code beside it that nobody is bothered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.languages.node.analysis import security
from agent.languages.node.doubts import doubts
from agent.languages.node.reading import trees
from agent.languages.node.tree import Node, Unreadable

FOUND = [
    ("protected-characteristic", "const pay = (w) => w.gender === 'male' ? 10 : 9;"),
    ("protected-characteristic", "const rate = (w) => WEIGHTS[w.religion];"),
    ("credential", "function login(password) { const expectedPassword = 'tr0ub4dor'; return password === expectedPassword; }"),
    ("credential", "const login = (password) => password === 'tr0ub4dor';"),
    ("credential", "function checkCoupon(given) { const validCoupon = 'SUMMER'; return given === validCoupon; }"),
    ("slow-comparison", "const ok = (given, user) => given === user.secret;"),
    ("guessable", "function makeToken() { return Math.random().toString(36); }"),
    ("guessable", "const sessionId = String(Date.now());"),
    ("quick-hash", "function store(password) { return crypto.createHash('sha256').update(password).digest('hex'); }"),
    ("weak-cipher", "crypto.createHash('md5');"),
    ("weak-cipher", "crypto.createCipheriv('aes-128-ecb', key, null);"),
    ("computed-pattern", "const found = (text, what) => new RegExp(what).test(text);"),
    ("endless-pattern", "/(a+)+b/.test(text);"),
    ("loose-pattern", "function validateZip(text) { return /[0-9]{5}/.test(text); }"),
    ("built-query", "db.query(`SELECT name FROM users WHERE id = ${id}`);"),
    ("built-query", "db.query('DELETE FROM users WHERE id = ' + id);"),
    ("no-default", "function f(x) { switch (x) { case 1: return 'a'; case 2: return 'b'; } }"),
    ("endless-loop", "function f() { while (true) { g(); } }"),
    ("endless-loop", "function f(xs) { for (;;) { for (const x of xs) { break; } } }"),
    ("swallowed", "try { f(); } catch {}"),
]
LEFT_ALONE = [
    "if (worker.gender === undefined) { throw new Error('who?'); }",
    "const adult = (p) => p.age >= 18;",
    "const key = xs[Math.floor(Math.random() * xs.length)];",
    "const token = crypto.randomBytes(16).toString('hex');",
    "const digest = (data) => crypto.createHash('sha256').update(data).digest('hex');",
    "const words = /\\w+/.exec(text);",
    "function validateZip(text) { return /^[0-9]{5}$/.test(text); }",
    "const re = new RegExp('^a+$', 'u');",
    "const message = `select one of ${names}`;",
    "function f(x) { switch (x) { case 1: return 'a'; default: throw new Error(x); } }",
    "function f() { while (true) { if (g()) { break; } } }",
    "async function f() { for (;;) { await g(); } }",
    "try { f(); } catch (error) { tell(error); }",
]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Node | Unreadable]:
    """The trees of all of them, in one run of Node."""
    root = tmp_path_factory.mktemp("sources")
    sources = [source for _, source in FOUND] + LEFT_ALONE
    for number, source in enumerate(sources):
        (root / f"{number}.js").write_text(source)
    return dict(zip(sources, trees(root, [f"{number}.js" for number in range(len(sources))]).values(), strict=True))


@pytest.mark.parametrize(("rule", "source"), FOUND)
def test_a_weakness_is_shown_to_a_person(read: dict[str, Node], rule: str, source: str) -> None:
    assert rule in {found for _, found, _ in doubts(read[source])}


@pytest.mark.parametrize("source", LEFT_ALONE)
def test_honest_code_bothers_nobody(read: dict[str, Node], source: str) -> None:
    assert doubts(read[source]) == []


def test_a_doubt_blocks_nothing_and_is_not_looked_for_in_tests(tmp_path: Path) -> None:
    root = tmp_path / "word-count"
    (root / "tests").mkdir(parents=True)
    for name in ("skill.js", "tests/skill.test.js"):
        (root / name).write_text("function f() {\n  while (true) {}\n}\n")
    assert [(one.rule, one.level, one.path, one.line) for one in security(root)] == [
        ("skillops-endless-loop", "person", "skills/word-count/skill.js", 2)
    ]
