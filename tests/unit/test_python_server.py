"""What only Python's server does; the rest is in tests/contracts/test_server.py."""

from __future__ import annotations

import socket

import pytest

from agent.languages.python import PythonLanguage
from tests.contracts.test_server import a_request, asked, running

pytestmark = pytest.mark.bubblewrap


def test_modules_of_the_skill_may_lie_in_folders_and_be_called_like_ours(tmp_path):
    main = "import zygote\nfrom lib.part import seven\n\n\ndef execute(inputs, context):\n    return {'n': seven() + zygote.ONE}\n"
    files = {"lib/main.py": main, "lib/part.py": "def seven():\n    return 7\n", "zygote.py": "ONE = 1\n"}
    with running(tmp_path, PythonLanguage(), files, entrypoint="lib/main.py") as endpoint:
        assert asked(endpoint, "").outputs == {"n": 8}


def test_only_the_skills_own_folder_is_on_the_path(tmp_path):
    source = "import sys\n\n\ndef execute(inputs, context):\n    return {'path': sys.path[:1], 'site': [p for p in sys.path if 'packages' in p]}\n"
    with running(tmp_path, PythonLanguage(), source) as endpoint:
        assert asked(endpoint, "").outputs == {"path": ["/skill/code"], "site": []}


def test_an_exception_is_logged_with_its_traceback(tmp_path):
    with running(tmp_path, PythonLanguage(), "def execute(inputs, context):\n    return inputs['nothing']\n") as endpoint:
        asked(endpoint, "")
    assert "KeyError: 'nothing'" in (tmp_path / "log").read_text()


def test_who_has_said_all_and_waits_is_answered(tmp_path):
    source = "def execute(inputs, context):\n    return {'n': 1}\n"
    with running(tmp_path, PythonLanguage(), source) as endpoint, socket.socket(socket.AF_UNIX) as line:
        line.settimeout(10)
        line.connect(endpoint.socket)
        line.sendall(a_request())
        line.shutdown(socket.SHUT_WR)
        assert b'"success": true' in line.makefile("rb").read()
