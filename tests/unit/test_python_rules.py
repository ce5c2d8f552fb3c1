"""Our own security rules: what they stop, and the ordinary code that they leave alone."""

from __future__ import annotations

import ast
import textwrap
import time

import pytest

from agent.languages.python.rules import Permitted, broken

OPAQUE = "".join(chr(48 + 11 * n % 75) for n in range(300))
STOPPED = [
    ("dynamic-code", "exec('x = 1')"),
    ("dynamic-code", "run = eval"),
    ("dynamic-code", "__import__('os').system('id')"),
    ("dynamic-code", "import importlib\nimportlib.import_module('o' + 's')"),
    ("dynamic-code", "from importlib import import_module"),
    ("dynamic-code", "import builtins\nbuiltins.exec('x')"),
    ("module-as-value", "import builtins\nx = builtins"),
    ("dynamic-code", "globals()['__builtins__']"),
    ("dynamic-code", "import os\ngetattr(os, 'system')('id')"),
    ("dynamic-code", "getattr(object(), '__subclasses__')"),
    ("dynamic-code", "().__class__.__base__.__subclasses__()"),
    ("dynamic-code", "(lambda: 0).__globals__"),
    ("dynamic-code", "import os\nos.__dict__['system']"),
    ("dynamic-code", "import marshal"),
    ("dynamic-code", "import pickle\npickle.loads(b'')"),
    ("dynamic-code", "from os import *"),
    ("module-as-value", "import os\nname = 'sys' + 'tem'\ngetattr(os, name)"),
    ("module-as-value", "import os as o\n[o][0].system('id')"),
    ("process", "import subprocess"),
    ("process", "import os as o\no.system('id')"),
    ("process", "from os import popen as p"),
    ("process", "import os\nrun = os.execvp"),
    ("process", "import shutil\nshutil.os.system('id')"),
    ("process", "import os\nos._exit(0)"),
    ("process", "import multiprocessing.pool"),
    ("process", "from concurrent.futures import ProcessPoolExecutor"),
    ("process", "import asyncio\nasyncio.create_subprocess_shell('id')"),
    ("native-code", "import ctypes"),
    ("native-code", "from cffi import FFI"),
    ("network", "import socket"),
    ("network", "import urllib.request"),
    ("network", "from http.client import HTTPConnection"),
    ("network", "import requests\nrequests.get('http://example.org')"),
    ("environment", "import os\nprint(dict(os.environ))"),
    ("environment", "import os\nos.getenv('AWS_SECRET_ACCESS_KEY')"),
    ("environment", "from os import environ"),
    ("environment", "import os\nfor name in ['A']:\n    os.environ[name]"),
    ("environment", "open('/proc/self/environ')"),
    ("frames", "import sys\nsys.modules['json']"),
    ("frames", "import inspect\ninspect.currentframe()"),
    ("frames", "import gc\ngc.get_objects()"),
    ("encoded-payload", f"import base64\nbase64.b64decode('{'QUJD' * 12}')"),
    ("encoded-payload", f"import base64\nblob = b'{'QUJD' * 12}'\nbase64.b64decode(blob)"),
    ("encoded-payload", f"from base64 import b64decode as d\nd('{'QUJD' * 6}' + '{'QUJD' * 6}')"),
    ("encoded-payload", f"bytes.fromhex('{'6162' * 12}')"),
    ("encoded-payload", f"bytes([{', '.join(['105'] * 50)}])"),
    ("encoded-payload", "import codecs\ncodecs.decode('vzcbeg bf', 'rot13')"),
    ("encoded-payload", f"x = {OPAQUE!r}"),
    ("files", "open('/etc/passwd')"),
    ("files", "opened = open\nopened('/etc/passwd')"),
    ("files", "import os\nos.remove(os.path.join('/usr', 'x'))"),
    ("files", "from pathlib import Path\nPath('../../etc').joinpath('passwd').read_text()"),
    ("files", "def read(path):\n    return open(path).read()\n\nread('/app/secrets')"),
    ("files", "PLACES = {'a': '/root/.ssh/id_rsa'}\ndef execute(inputs, context):\n    return {'text': open(PLACES[inputs['a']]).read()}"),
    ("files", "for name in ['/home/x', '/home/y']:\n    with open(name) as file:\n        file.read()"),
    ("files", "from pathlib import Path\nprint(Path.home())"),
    ("files", "open('kept.txt', 'w').write('x')"),
    ("files", "import shutil\ndef execute(inputs, context):\n    shutil.rmtree(inputs['path'])"),
    ("files", "def execute(inputs, context):\n    open(inputs['path'], mode='a').write('x')"),
    ("import", "import psutil"),
    ("import", "from requests_html import HTMLSession"),
]

ORDINARY = [
    "import re\npattern = re.compile('a+')",
    "import os, tempfile\npath = os.path.join(tempfile.mkdtemp(), 'b')\nos.makedirs(path, exist_ok=True)",
    "import os\nstorage = os.environ['SKILL_STORAGE']\nsecrets = os.environ.get('SKILL_SECRETS')\nold = os.getenv('SKILL_X', '')",
    "import os\nif 'SKILL_STORAGE' in os.environ:\n    pass",
    "import os\nunit = os.environ.get('UNIT')",
    "import sys\nprint('x', file=sys.stderr)\nsys.setrecursionlimit(2000)",
    "import base64\ndef execute(inputs, context):\n    return {'text': base64.b64decode(inputs['data']).decode()}",
    "import base64\nassert base64.b64encode(b'abc') == b'YWJj'",
    "from urllib.parse import urlparse\nurlparse('https://example.org/x').netloc",
    "from http import HTTPStatus\nHTTPStatus.OK",
    "requests = [1, 2]\nsocket = requests.pop()\nprint(requests, socket.real)",
    "def execute(inputs, context):\n    system = inputs['system']\n    return {'code': system.upper()}",
    "from importlib import resources\nresources.files('x')",
    "from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor(2)",
    "class A:\n    def __init__(self):\n        self.eval_count = 0\n        self.__dict__.update(a=1)\n        print(type(self).__name__)",
    "import inspect\ninspect.signature(print)",
    "import asyncio\nasyncio.run(asyncio.sleep(0))",
    "ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'",
    f"TEXT = '{'the quick brown fox jumps over the lazy dog ' * 20}'",
    "getattr(object(), 'name', None)\ngetattr(object(), 'na' + 'me', None)",
    "import platform\nplatform.system()",
    "import hashlib\nhashlib.sha256(b'x').hexdigest()",
    "from types import SimpleNamespace\nSimpleNamespace(a=1)",
    "import pickle\npickle.dumps(1)",
    "bytes([1, 2, 3]) + bytes(40)",
    "from pathlib import Path\nWORDS = (Path(__file__).parent / 'words.txt').read_text()",
    "open('table.csv').read()",
    "import os\nopen(os.path.join(os.environ['SKILL_STORAGE'], 'x.db'), 'w')",
    "import tempfile\nwith tempfile.TemporaryDirectory() as folder:\n    path = f'{folder}/x.txt'\n    open(path, 'w').write('x')",
    "import io, zipfile\nzipfile.ZipFile(io.BytesIO(), 'w')",
    "import sqlite3\nsqlite3.connect(':memory:')",
    "ROUTE = '/etc/passwd'.split('/')",
    "try:\n    import orjson\nexcept ImportError:\n    orjson = None",
    "import os\nhasattr(os, 'fork')",
    "bytes('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', 'ascii')",
]


def the_rules(source: str, **traits: object) -> set[str]:
    return {rule for _, rule, _, level in broken(ast.parse(textwrap.dedent(source)), Permitted(**traits)) if level == "error"}  # type: ignore[arg-type]


@pytest.mark.parametrize(("rule", "source"), STOPPED)
def test_what_hides_or_reaches_out_is_stopped(rule, source):
    assert rule in the_rules(source)


@pytest.mark.parametrize("source", ORDINARY)
def test_ordinary_code_is_left_alone(source):
    assert the_rules(source, variables=frozenset({"UNIT"})) == set()


def test_what_is_kept_is_written_where_the_manifest_says_so():
    source = "def execute(inputs, context):\n    open(inputs['path'], 'w').write('x')"
    assert (the_rules(source), the_rules(source, storage=True)) == ({"files"}, set())
    assert the_rules("open('/etc/passwd', 'w')", storage=True) == {"files"}


def test_following_paths_takes_no_time_that_grows_without_bound():
    chain = "\n".join(f"a{n} = [a{n + 1}, a{n + 1}, f(a{n + 2})]" for n in range(400))
    start = time.process_time()
    the_rules(f"{chain}\ndef f(x):\n    return [f(x), a0, f(a1)]\n\nopen(a0)")
    assert time.process_time() - start < 5  # following each path by itself would take years


def test_the_network_is_allowed_where_the_manifest_declares_it():
    source = "import urllib.request\nurllib.request.urlopen('https://api.example.com')"
    assert the_rules(source) == {"network"}
    assert the_rules(source, network=True) == set()


def test_a_finding_names_its_line_once():
    found = broken(ast.parse("import os\n\nos.system(os.system('x'))"), Permitted())
    assert [(line, rule) for line, rule, _, _ in found] == [(3, "process")]


def test_in_tests_sample_data_and_patching_are_notes_and_processes_are_not():
    source = f"import base64, os, subprocess\nbase64.b64decode('{'QUJD' * 12}')\nprint(os.environ)"
    levels = {rule: level for _, rule, _, level in broken(ast.parse(source), Permitted(), in_tests=True)}
    assert levels == {"encoded-payload": "note", "environment": "note", "process": "error"}


def test_code_that_is_nested_beyond_reading_is_a_finding():
    deep: ast.expr = ast.Name("os", ast.Load())
    for _ in range(5000):
        deep = ast.Attribute(deep, "x", ast.Load())
    tree = ast.fix_missing_locations(ast.parse("import os"))
    tree.body.append(ast.Expr(deep, lineno=2))
    assert [rule for _, rule, _, _ in broken(tree, Permitted())] == ["unreadable"]
