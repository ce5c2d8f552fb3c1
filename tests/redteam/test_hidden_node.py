"""Who writes JavaScript that uses what it does not seem to name, so that a proposal is told to do less than it can."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.languages.node import analysis
from tests.redteam.threats import threat

pytestmark = pytest.mark.node_tools

# Ways to Function, and so to any code, from any function at hand.
CODE = {
    "a member in pieces": "(() => {})['const' + 'ructor']('return 1')()",
    "a member in a text": "(() => {})[`const${'ructor'}`]('return 1')()",
    "a member in a list": "(() => {})[['const', 'ructor'].join('')]('return 1')()",
    "a member as a list": "(() => {})[['constructor']]('return 1')()",
    "a member by a name": "const k = 'constructor'; (() => {})[k]('return 1')()",
    "a member by two": "const a = 'const', b = 'ructor'; (() => {})[a + b]('return 1')()",
    "a member of a table": "const t = { a: 'const', b: 'ructor' }; (() => {})[t.a + t.b]('return 1')()",
    "a member backwards": "(() => {})['rotcurtsnoc'.split('').reverse().join('')]('return 1')()",
    "a member spread backwards": "(() => {})[[...'rotcurtsnoc'].reverse().join('')]('return 1')()",
    "a member by numbers": "(() => {})[String.fromCharCode(99, 111, 110, 115, 116, 114, 117, 99, 116, 111, 114)]('return 1')()",
    "a member in base64": "(() => {})[atob('Y29uc3RydWN0b3I=')]('return 1')()",
    "a member in a buffer": "(() => {})[Buffer.from('636f6e7374727563746f72', 'hex').toString()]('return 1')()",
    "a member in percents": "(() => {})[decodeURIComponent('%63onstructor')]('return 1')()",
    "a member in JSON": "(() => {})[JSON.parse('\"\\\\u0063onstructor\"')]('return 1')()",
    "a member that is replaced": "(() => {})['c0nstruct0r'.replaceAll('0', 'o')]('return 1')()",
    "a member that is cut": "(() => {})['xconstructorx'.slice(1, -1)]('return 1')()",
    "a member of an object's text": "(() => {})[{ toString: () => 'const' + 'ructor' }]('return 1')()",
    "a member by brackets alone": "[][([][[]] + '')[5] + 'ind']",
    "a member that is matched": "const { constructor: F } = () => {}; F('return 1')()",
    "a member that is matched in pieces": "const { ['const' + 'ructor']: F } = () => {}; F('return 1')()",
    "a member of a parameter": "(({ constructor: F }) => F('return 1')())(() => {})",
    "Reflect": "Reflect.get(() => {}, 'constructor')('return 1')()",
    "Reflect in pieces": "Reflect.get(() => {}, 'const' + 'ructor')('return 1')()",
    "Reflect by another name": "const { get } = Reflect; get(() => {}, process.argv[2])('return 1')()",
    "a descriptor": "Object.getOwnPropertyDescriptor(Object.getPrototypeOf(() => {}), 'constructor').value('return 1')()",
    "all descriptors": "Object.values(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(() => {})))[4].value('return 1')()",
    "all names": "const p = Object.getPrototypeOf(() => {}); p[Object.getOwnPropertyNames(p)[4]]('return 1')()",
    "all keys": "const p = Object.getPrototypeOf(() => {}); p[Reflect.ownKeys(p).find((k) => k.length === 11)]('return 1')()",
    "a function's member that is computed": "exports.execute = (inputs) => (() => {})[inputs.a](inputs.b)()",
    "a named function's member that is computed": "function f() {} exports.execute = (inputs) => f[inputs.a](inputs.b)()",
    "a method's member that is computed": "exports.execute = (inputs) => [].map[inputs.a](inputs.b)()",
    "two computed members and two calls": "exports.execute = (i) => i.x[i.a][i.b](i.c)()",
    "this of a class": "class A { static f() { return this.constructor; } } A.f()('return 1')()",
    "this of another": "class A { f() { const C = this.constructor; return C('return 1')(); } } A.prototype.f.call(() => {})",
    "super": "class A { f() { return super.constructor.constructor('return 1')(); } }",
    "escapes in a name": "\\u0065val('1')",
    "the stack": "Error.prepareStackTrace = (_, frames) => frames[0].getFunction(); module.exports = new Error().stack",
    "who called": "function f() { return f.caller.arguments[1]('child_process'); } f()",
    "arguments of the module": "arguments[1]('child_process').execSync('id')",
    "arguments in an arrow": "(() => arguments[1]('child_process'))()",
    "callee": "(function () { return arguments.callee.caller; })()",
}
# Ways to `process`, `require` and the global object.
OBJECTS = {
    "require by call": "require.call(null, 'child_process').execSync('id')",
    "require by bind": "const r = require.bind(null); r('child_process')",
    "require in a sequence": "(0, require)('child_process')",
    "with process": "with (process) binding('fs')",
    "with the global object": "with (globalThis) process.kill(1)",
    "with a module": "with (require('fs')) readFileSync('/etc/passwd')",
    "this of a function": "(function () { return this; })().process.kill(1)",
    "this of a method": "const { f } = { f() { return this; } }; f().process.kill(1)",
    "this of a getter": "const x = { get g() { return this; } }; (function () { return this['process']; })()",
    "a member of this": "(function () { this.process.kill(1); })()",
    "an eval of this": "(function () { this.eval('1'); })()",
    "a method of all emitters": "require('events').prototype.emit = function (...a) { globalEmit(this, a); }",
    "a method of all texts": "String.prototype.startsWith = function () { return true; }",
    "a getter of all objects": "Object.defineProperty(Object.prototype, 'shell', { get() { return '/bin/sh'; } })",
    "all methods": "Object.assign(Array.prototype, { map() { return this; } })",
    "a member of process that nobody knows": "process.report.getReport().environmentVariables",
    "an old member of process": "process._linkedBinding('fs')",
    "what process loads": "process.loadEnvFile('/tmp/x')",
    "how modules are found": "module.paths.unshift('/tmp'); require('x')",
    "a process member in pieces": "process['e' + 'nv']",
    "the module that runs tests": "require('node:test').run({ files: ['/tmp/x.js'] })",
    "a private module": "require('_http_client').ClientRequest",
    "a private module of TLS": "require('_tls_wrap').connect(443, 'h')",
    "a database that loads": "require('node:sqlite')",
    "hooks that see all": "require('async_hooks').createHook({ init() {} })",
    "an engine": "require('crypto').setEngine('/tmp/x.so')",
    "a module of Node that nobody knows": "require('node:sea')",
}
# Files, the environment, and what is read in two ways.
REACHED = {
    "a path in pieces": "const fs = require('fs'); fs.readFileSync('/e' + 'tc/passwd')",
    "a path in a list": "const fs = require('fs'); fs.readFileSync(['', 'etc', 'passwd'].join('/'))",
    "a path that is joined": "const fs = require('fs'); fs.readFileSync(require('path').join('/', 'etc', 'passwd'))",
    "a path that goes up": "const fs = require('fs'); fs.readFileSync(`${__dirname}${'/..'.repeat(9)}/etc/passwd`)",
    "a path that is resolved": "const fs = require('fs'), path = require('path'); fs.readFileSync(path.resolve('..', '..', 'x'))",
    "a path as a URL": "const fs = require('fs'); fs.readFileSync(new URL('file:///etc/passwd'))",
    "a path by numbers": "const fs = require('fs'); fs.readFileSync(String.fromCharCode(47, 101, 116, 99, 47, 112, 97, 115, 115, 119, 100))",
    "a folder by another name": "const { readdirSync: list } = require('fs'); list('/')",
    "a writer by another name": "const { writeFileSync: keep } = require('fs'); keep('kept.txt', 'x')",
    "a writer as a value": "const fs = require('fs'); const keep = fs.writeFileSync; keep('kept.txt', 'x')",
    "a writer in pieces": "const fs = require('fs'); fs['write' + 'FileSync']('kept.txt', 'x')",
    "a writer that is computed": "const fs = require('fs'); exports.execute = (i) => fs[i.how](i.where, i.what)",
    "a stream by its class": "const fs = require('fs'); new fs.WriteStream('kept.txt')",
    "processes' files in pieces": "const fs = require('fs'); fs.readFileSync('/pro' + 'c/self/environ')",
    "somebody's account": "require('os').userInfo()",
    "the machine's addresses": "const { networkInterfaces } = require('os'); networkInterfaces()",
    "the machine's name": "require('os').hostname()",
    "a payload in pieces": f"const x = '{'aZ3k9Qw7Lm2Xc8Vb' * 7}' + '{'bN4j5Er6Tz1Yu0Io' * 7}' + '{'Pq8Ws2Dx6Cf4Vg7B' * 3}'; use(x)",
    "code behind a mark of HTML": "let a = 1, b = 1;\na <!--b; eval('1')\n",
    "a comment that ends in another way": "await /1;[/*]/.test(''); eval('1') //*/ ]",
}
# A skill of several files: what Node loads as code is not what a reader takes for it.
FILES = {
    "code in a text": {"skill.js": "require('./words.txt')", "words.txt": "eval('1')"},
    "code in a file without an ending": {"skill.js": "require('./words')", "words": "eval('1')"},
    "code in TypeScript": {"skill.mjs": "import './words.ts';", "words.ts": "eval('1')"},
    "an entrypoint that is not read": {"skill.yaml": "runtime: node\nentrypoint: skill.ts\n", "skill.ts": "eval('1')"},
    "a folder that leads on": {"skill.js": "require('./lib')", "lib/package.json": '{"main": "words.txt"}', "lib/words.txt": "eval('1')"},
    "what is ours": {"skill.js": "require('../pool.js').Pool"},
    "a file outside by a way round": {"lib/a.js": "require('./../../worker.js')"},
    "files by another module": {"skill.js": "const { f } = require('./a.js'); f.readFileSync('/etc/passwd')", "a.js": "exports.f = require('fs');"},
}
HIDDEN = CODE | OBJECTS | REACHED
HONEST = {
    "members": "exports.execute = (i) => { const t = { a: 1 }; return t[i.key] + t['a'] + i.rows[i.n - 1][0]; };",
    "guards": "const bad = (k) => k === '__proto__' || ['constructor', 'prototype'].includes(k) || new Set(['__proto__']).has(k);",
    "a plain object": "const plain = (v) => Object.getPrototypeOf(v) === Object.prototype;",
    "a class": "class A { #n = 0; get n() { return this.#n; } copy() { return Object.assign(new A(), this); } } module.exports = { A };",
    "a prototype of its own": "'use strict'; function A() { this.n = 1; } A.prototype.more = function () { this.n += 1; return this; };",
    "a function's arguments": "function sum() { let n = 0; for (const each of arguments) n += each; return n; }",
    "paths": "const fs = require('fs'), path = require('path'); fs.readFileSync(path.join(__dirname, 'words.txt'));",
    "a scratch file": "const { writeFileSync: keep, mkdtempSync } = require('node:fs'); keep(`${mkdtempSync('/tmp/x')}/y`, 'z');",
    "iterators": "const x = { *[Symbol.iterator]() { yield 1; } }; const k = 'n'; x[k] = [1][0] + x[`a${k}`];",
    "text": "const s = 'a' + 'b' + ['c', 'd'].join(''); const words = 'the constructor of a house'.split(' ');",
    "who called": "exports.execute = (inputs, context) => ({ who: context.caller, node: inputs.arguments });",
    "what process has": "process.on('exit', () => process.stdout.write(process.version)); process.hrtime.bigint();",
}


def errors(root: Path) -> dict[str, str]:
    """What is found in each file."""
    return {
        (each.path or "").partition("/word-count/")[2]: f"{each.rule}: {each.message}" for each in analysis.security(root) if each.level != "note"
    }


def written(root: Path, cases: dict[str, str]) -> dict[str, str]:
    """Each case as a file of one skill, by its name: Node reads all of them at once."""
    root.mkdir()
    for number, code in enumerate(cases.values()):
        (root / f"case{number}.js").write_text(code)
    return {f"case{number}.js": how for number, how in enumerate(cases)}


@threat(90)
def test_what_code_uses_without_naming_it_is_told(tmp_path: Path) -> None:
    names = written(tmp_path / "word-count", HIDDEN)
    told = errors(tmp_path / "word-count")
    assert [how for name, how in names.items() if name not in told] == []


@pytest.mark.parametrize("how", FILES)
def test_what_node_loads_without_its_being_read_is_told(tmp_path: Path, how: str) -> None:
    for name, text in FILES[how].items():
        (tmp_path / "word-count" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "word-count" / name).write_text(text)
    assert errors(tmp_path / "word-count")


def test_what_hides_nothing_is_let_be(tmp_path: Path) -> None:
    names = written(tmp_path / "word-count", HONEST)
    assert {names[name]: found for name, found in errors(tmp_path / "word-count").items()} == {}


def test_a_text_of_many_pieces_keeps_nobody_busy(tmp_path: Path) -> None:
    many = "const a = 'x'.repeat(9999); const b = [a, a, a].join('').repeat(99999); use(b" + " + 'y'" * 150 + ");"
    written(tmp_path / "word-count", {"many": many})
    assert errors(tmp_path / "word-count") == {}
