"""Our own security rules for JavaScript: what they stop, and the ordinary code that they leave alone."""

from __future__ import annotations

import base64
import textwrap

import pytest

from agent.languages.node import NodeLanguage
from agent.languages.node.rules import broken
from agent.languages.node.toolchain import HERE, node
from agent.languages.node.tree import Unreadable, parse
from agent.languages.permitted import Permitted

pytestmark = pytest.mark.node_tools

BLOB = base64.b64encode(bytes(range(60))).decode()
OPAQUE = "".join(chr(48 + 11 * n % 75) for n in range(300)).replace("\\", "a")
STOPPED = [
    ("files", "const fs = require('fs'); fs.readFileSync('/etc/passwd')"),
    ("files", "const { readFile } = require('node:fs/promises'); const place = '/root/.ssh/id_rsa'; readFile(place)"),
    ("files", "require('fs').writeFileSync('kept.txt', 'x')"),
    ("files", "const fs = require('fs'); fs.rmSync(inputs.path)"),
    ("dynamic-code", "eval('1')"),
    ("dynamic-code", "const run = eval;"),
    ("dynamic-code", "new Function('return 1')()"),
    ("dynamic-code", "globalThis.eval('1')"),
    ("dynamic-code", "globalThis['ev' + 'al']('1')"),
    ("dynamic-code", "(() => {}).constructor('return process')()"),
    ("dynamic-code", "const A = Object.getPrototypeOf(async () => {})['constructor'];"),
    ("dynamic-code", "require('vm').runInThisContext('1')"),
    ("dynamic-code", "import('node:vm')"),
    ("dynamic-code", "require(name)"),
    ("dynamic-code", "import(`./${name}.js`)"),
    ("dynamic-code", "require('./addon.node')"),
    ("dynamic-code", "setTimeout('run()', 1)"),
    ("dynamic-code", "process.binding('fs')"),
    ("dynamic-code", "process['bin' + 'ding']('fs')"),
    ("dynamic-code", "require.cache.x"),
    ("object-as-value", "const load = require;"),
    ("object-as-value", "const { env } = process;"),
    ("object-as-value", "globalThis.process.env"),
    ("object-as-value", "const own = (self) => self; own(globalThis)"),
    ("object-as-value", "const own = (self) => self; own(self)"),
    ("process", "require('child_process').exec('ls')"),
    ("process", "const { spawn } = require('node:child_process');"),
    ("process", "process.kill(1)"),
    ("native-code", "new WebAssembly.Module(x)"),
    ("native-code", "require('v8')"),
    ("network", "require('https')"),
    ("network", "require(`node:net`)"),
    ("network", "require('dns/promises')"),
    ("network", "fetch('https://a.example')"),
    ("network", "globalThis.fetch('https://a.example')"),
    ("network", "new WebSocket('wss://a.example')"),
    ("environment", "process.env.AWS_SECRET"),
    ("environment", "Object.keys(process.env)"),
    ("environment", "require('fs').readFileSync('/proc/1/environ')"),
    ("environment", "require('process')"),
    ("encoded-payload", f"Buffer.from('{BLOB}', 'base64')"),
    ("encoded-payload", f"const x = '{BLOB}'; atob(x)"),
    ("encoded-payload", f"const x = '{OPAQUE}';"),
    ("encoded-payload", f"String.fromCharCode({', '.join(map(str, range(50)))})"),
]
ORDINARY = [
    "const fs = require('fs'); fs.readFileSync(`${__dirname}/words.txt`); fs.existsSync('words.txt')",
    "const fs = require('fs'); const os = require('os'); fs.writeFileSync(`${os.tmpdir()}/x`, 'x')",
    "exports.route = '/etc/passwd';",
    "'use strict'; const fs = require('node:fs'); const { part } = require('./lib/part.js'); module.exports = { part };",
    "exports.execute = async (inputs) => ({ n: inputs.a + 1 });",
    "const unit = process.env.SKILL_STORAGE ?? process.cwd();",
    "setTimeout(() => {}, 1); setTimeout(done, 1);",
    "class A { constructor() { this.name = this.constructor.name; } } const b = new A(); b.constructor.name;",
    "const fetched = { fetch: 1, eval: 2, process: 3 }; fetched.fetch;",
    "Buffer.from(text, 'base64'); atob(text);",
    "const x = typeof process === 'undefined' ? 1 : 2;",
    "const alike = (list) => list.filter((each, at, self) => first(self, each) === at);",
    "const url = new URL('https://a.example/x'); // eval('1') and require('net')",
]


NOTHING = Permitted()


def found(source: str, permitted: Permitted = NOTHING, path: str = "skill.js", **options: bool) -> list[tuple[str, str, int]]:
    (tree,) = parse(node(), str(HERE / "parse.js"), [(path, source)])
    assert not isinstance(tree, Unreadable)
    return [(rule, level, line) for line, rule, _, level in broken(tree, permitted, **options)]


@pytest.mark.parametrize(("rule", "source"), STOPPED)
def test_what_hides_or_reaches_out_is_stopped(rule, source):
    assert (rule, "error", 1) in found(source)


@pytest.mark.parametrize("source", ORDINARY)
def test_ordinary_code_is_left_alone(source):
    assert found(source) == []


def test_modules_are_read_as_such():
    assert found("import { readFile } from 'node:fs/promises';\nexport const execute = async () => ({});\n", path="skill.mjs") == []
    assert found("import net from 'net';\nexport * from 'vm';\n", path="skill.mjs") == [("network", "error", 1), ("dynamic-code", "error", 2)]


def test_the_manifest_permits_the_network_and_variables():
    permitted = Permitted(network=True, variables=frozenset({"UNIT"}))
    assert found("const https = require('https'); fetch(process.env.UNIT); globalThis.fetch;", permitted) == []


def test_what_is_ordinary_in_tests_is_a_note_there():
    assert {level for _, level, _ in found("process.env.HOME; const p = process;", in_tests=True)} == {"note"}
    assert {level for _, level, _ in found("eval('1')", in_tests=True)} == {"error"}


def security(tmp_path, files: dict[str, bytes]) -> list[tuple[str, str | None, int | None]]:
    root = tmp_path / "word-count"
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return [(finding.rule, finding.path, finding.line) for finding in NodeLanguage(tmp_path / "cache").security(root)]


def test_what_cannot_be_read_or_is_hidden_is_found_with_its_place(tmp_path):
    files = {"skill.js": b"const a = 1;\nconst = ;\n", "other.js": b"\xff", "x.node": b"", "node_modules/a/index.js": b"", "deep.js": b"[" * 100_000}
    assert security(tmp_path, files) == [
        ("skillops-unreadable", "skills/word-count/deep.js", None),
        ("skillops-hidden-code", "skills/word-count/node_modules/a/index.js", None),
        ("skillops-unreadable", "skills/word-count/other.js", None),
        ("skillops-unreadable", "skills/word-count/skill.js", 2),
        ("skillops-hidden-code", "skills/word-count/x.node", None),
    ]


def test_a_package_json_may_not_redirect_names(tmp_path):
    assert security(tmp_path, {"package.json": b'{"type": "module", "name": "a"}'}) == []
    assert [rule for rule, *_ in security(tmp_path, {"package.json": b'{"imports": {"#a": "./b.js"}}'})] == ["skillops-package"]
    assert [rule for rule, *_ in security(tmp_path, {"package.json": b"{"})] == ["skillops-package"]


def test_a_finding_has_the_path_of_the_repository(tmp_path):
    source = textwrap.dedent("""\
        'use strict';

        exports.execute = () => eval('1');
    """)
    assert security(tmp_path, {"skill.js": source.encode()}) == [("skillops-dynamic-code", "skills/word-count/skill.js", 3)]
