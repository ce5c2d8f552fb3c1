"""What a person is to look at in Python: each weakness in some of its shapes, and the honest code beside it that nobody is bothered with."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from agent.languages.python.analysis import security
from agent.languages.python.doubts import doubts

FOUND = [
    # decisions by what people are
    ("protected-characteristic", "def pay(worker):\n    return 10 if worker['gender'] == 'male' else 9"),
    ("protected-characteristic", "WEIGHTS = {'a': 1}\ndef score(one):\n    return WEIGHTS.get(one.religion, 0)"),
    (
        "protected-characteristic",
        "def admit(marital_status):\n    match marital_status:\n        case 'single':\n            return 1\n        case _:\n            return 2",
    ),
    ("protected-characteristic", "def rate(p):\n    return p.income * 2 + p.skin_color"),
    ("protected-characteristic", "def rate(p, ages):\n    return ages[p['age']]"),
    ("protected-characteristic", "def good(p):\n    return p.nationality.lower() in ('x', 'y')"),
    # credentials
    ("credential", "def login(name, password):\n    expected_password = 'tr0ub4dor'\n    return password == expected_password"),
    ("credential", "def login(password):\n    return password == 'tr0ub4dor'"),
    ("credential", "PIN = '4711'\ndef open_door(given):\n    return given.startswith(PIN)"),
    ("credential", "def check_coupon(given):\n    valid = 'SUMMER'\n    return given == valid"),
    ("credential", "USERS = {'password': 'abc'}\ndef ok(x):\n    return x == USERS['password']"),
    ("slow-comparison", "def verify(a, b):\n    for i in range(len(a)):\n        if a[i] != b[i]:\n            return False\n    return True"),
    # what must not be guessed
    ("guessable", "import random\ndef make_token():\n    return random.randint(0, 9)"),
    ("guessable", "from random import choice\ndef run():\n    session_id = ''.join(choice('ab') for _ in range(9))\n    return session_id"),
    ("guessable", "import time\ndef run():\n    api_key = str(time.time())\n    return api_key"),
    ("quick-hash", "import hashlib\ndef store(password):\n    return hashlib.sha256(password.encode()).hexdigest()"),
    ("quick-hash", "import hashlib\ndef store(pwd):\n    h = hashlib.sha512()\n    h.update(b'salt' + pwd)\n    return h.digest()"),
    ("told-password", "import base64\ndef hide(password):\n    return base64.b64encode(password)"),
    ("told-password", "def show(user):\n    print(f'{user.password} is it')"),
    ("told-password", "import logging\nlogger = logging.getLogger()\ndef f(passwd):\n    logger.info(passwd)"),
    # patterns
    ("loose-pattern", "import re\ndef is_valid_zip(text):\n    return bool(re.match(r'\\d{5}', text))"),
    ("loose-pattern", "import re\nCODE = re.compile('[A-Z]+')\ndef validate(text):\n    return CODE.search(text) is not None"),
    ("loose-pattern", "import re\ndef is_ip(text):\n    return re.fullmatch(r'\\d+\\.\\d+\\.\\d+\\.\\d+', text) is not None"),
    ("endless-pattern", "import re\nre.fullmatch(r'(a+)+b', 'aaaa')"),
    ("endless-pattern", "import re\nX = re.compile(r'^((?:\\w*\\d?)*)$')\nX.match('a')"),
    # ways
    ("no-default", "def f(x):\n    match x:\n        case 1:\n            return 'a'\n        case 2 | 3:\n            return 'b'"),
    ("no-default", "def f(x):\n    match x:\n        case n if n < 1:\n            return 'a'\n        case n if n < 9:\n            return 'b'"),
    (
        "unasked",
        """
        def may_write(): return True
        def write(): ...
        def erase(): ...
        def move(): ...
        def handle(what):
            if what == 'write':
                if may_write():
                    write()
            elif what == 'erase':
                erase()
            elif what == 'move':
                if may_write():
                    move()
        """,
    ),
    ("unasked", "def has_permission(user):\n    return user == 'a'\ndef execute(inputs, context):\n    return {}"),
    (
        "kept-privilege",
        "def f():\n    try:\n        elevate_rights()\n        work()\n        drop_rights()\n    except OSError:\n        return None",
    ),
    ("swallowed", "def f():\n    try:\n        g()\n    except:\n        pass"),
    ("swallowed", "def f(xs):\n    for x in xs:\n        try:\n            g(x)\n        except Exception:\n            continue"),
    ("doubled-key", "P = [('a', 1), ('b', 2), ('a', 3)]\ndef get(key):\n    for k, v in P:\n        if k == key:\n            return v"),
    ("doubled-key", "P = []\nP.append(('a', 1))\nP.append(('a', 2))\ndef get(key):\n    return next(filter(lambda p: p[0] == key, P))"),
    # ends
    ("endless-loop", "def f():\n    while True:\n        g()"),
    ("endless-loop", "def f(x):\n    while 1:\n        for y in x:\n            break"),
    ("endless-loop", "def f():\n    n = 3\n    while n > 0:\n        print(n)"),
    ("endless-recursion", "def f(n):\n    return f(n - 1) + 1"),
    ("endless-recursion", "class A:\n    def f(self):\n        self.f()"),
    # growth
    ("growth", "SEEN = []\ndef execute(inputs, context):\n    SEEN.append(inputs)\n    return {}"),
    ("growth", "class A:\n    known = {}\n    def put(self, k, v):\n        self.known[k] = v"),
    ("growth", "def f(x, seen=[]):\n    seen.append(x)\n    return seen"),
    ("growth", "def f():\n    kept = []\n    for n in range(9):\n        kept.append('x' * 1_000_000)\n    return kept"),
]
LEFT_ALONE = [
    "def pay(worker):\n    if worker.gender is None:\n        raise ValueError\n    return worker.hours * 10",
    "def race(cars):\n    return max(cars, key=lambda car: car.speed)",
    "def adult(p):\n    return p.age >= 18",
    "def login(password, stored):\n    return hmac.compare_digest(password, stored)",
    "def parse(token):\n    return token == '('",
    "def ask():\n    password = getpass()\n    if password == '':\n        return None\n    return password",
    "import random\ndef deal(cards):\n    key = random.choice(cards)\n    return key",
    "import secrets\ndef make_token():\n    return secrets.token_hex()",
    "import random\ndef make_token():\n    return random.SystemRandom().random()",
    "import hashlib\ndef digest(data):\n    return hashlib.sha256(data).hexdigest()",
    "import hashlib\ndef store(password, salt):\n    return hashlib.scrypt(password, salt=salt, n=2, r=8, p=1)",
    "import re\ndef is_valid_zip(text):\n    return bool(re.fullmatch(r'\\d{5}', text))",
    "import re\ndef is_valid_zip(text):\n    return bool(re.match(r'^\\d{5}$', text))",
    "import re\ndef words(text):\n    return re.search(r'\\w+', text)",
    "import re\nre.compile(r'(?:\\.\\w+)*')",
    "import re\nre.compile('(')",
    "def f(x):\n    match x:\n        case 1:\n            return 'a'\n        case 2:\n            return 'b'\n        case _:\n            raise E",
    "def is_even(n):\n    return n % 2 == 0\ndef f(x):\n    if x == 1:\n        if is_even(x):\n            a()\n    elif x == 2:\n        b()",
    "def f():\n    try:\n        acquire_lock()\n        work()\n    finally:\n        release_lock()",
    "def f():\n    try:\n        g()\n    except KeyError:\n        pass",
    "def f():\n    try:\n        g()\n    except Exception:\n        raise ValueError from None",
    "EDGES = [('a', 1), ('a', 2)]\ndef f():\n    return [b for a, b in EDGES]",
    "P = [('a', 1), ('b', 2)]\ndef get(key):\n    for k, v in P:\n        if k == key:\n            return v",
    "def f():\n    while True:\n        if g():\n            break",
    "def f():\n    while True:\n        yield 1",
    "def f(n):\n    while n > 0:\n        n -= 1",
    "def f(stack):\n    while stack:\n        stack.pop()",
    "def f(n):\n    if n == 0:\n        return 1\n    return f(n - 1)",
    "def f(n):\n    return n and f(n - 1)",
    "def height(t): ...\nclass A:\n    def height(self):\n        return height(self.root)",
    "NAMES = ['a']\ndef f(x):\n    names = []\n    names.append(x)\n    return names",
    "SEEN = []\ndef f(x):\n    SEEN.append(x)\n    if len(SEEN) > 9:\n        SEEN.pop(0)",
    "SEEN = []\nfor x in range(3):\n    SEEN.append(x)",
    "import collections\nLAST = collections.deque(maxlen=5)\ndef f(x):\n    LAST.append(x)",
    "def f():\n    return '-' * 1_000_000",
]


@pytest.mark.parametrize(("rule", "source"), FOUND)
def test_a_weakness_is_shown_to_a_person(rule: str, source: str) -> None:
    assert rule in {found for _, found, _ in doubts(ast.parse(textwrap.dedent(source)))}


@pytest.mark.parametrize("source", LEFT_ALONE)
def test_honest_code_bothers_nobody(source: str) -> None:
    assert doubts(ast.parse(source)) == []


def test_a_doubt_blocks_nothing_and_is_not_looked_for_in_tests(tmp_path: Path) -> None:
    root = tmp_path / "word-count"
    (root / "tests").mkdir(parents=True)
    (root / "skill.py").write_text("def f():\n    while True:\n        pass\n")
    (root / "tests/test_skill.py").write_text("def test_it():\n    while True:\n        pass\n")
    assert [(one.rule, one.level, one.path, one.line) for one in security(root)] == [
        ("skillops-endless-loop", "person", "skills/word-count/skill.py", 2)
    ]


def test_code_that_is_nested_too_deeply_is_left_to_the_rule_that_refuses_it() -> None:
    deep = ast.parse("x = 1")
    node: ast.expr = ast.Name("x", ast.Load())
    for _ in range(5000):
        node = ast.Attribute(node, "x", ast.Load())
    deep.body.append(ast.Expr(node, lineno=1))
    assert doubts(deep) == []


def test_a_query_that_is_put_together_of_texts_goes_to_a_person(tmp_path: Path) -> None:
    root = tmp_path / "word-count"
    root.mkdir()
    (root / "skill.py").write_text("def f(name):\n    return \"SELECT a FROM b WHERE c = '%s'\" % name\n")
    assert [(one.rule, one.level, one.line) for one in security(root)] == [("B608", "person", 2)]
