"""What a careful person would type to take a skill from its author's answer to a call, one command after the other."""

from __future__ import annotations

import ast
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.caller import NoAnswer, call
from agent.checks.contract import CALLS, malformed, wrongly_typed
from agent.domain.registry import Entry
from agent.domain.release import Endpoint
from agent.domain.schema import least_value
from agent.domain.skill import WITNESS_PATH, Case, Manifest, tree_digest
from agent.languages.python import PythonLanguage, gut, mutate
from agent.languages.python.toolchain import CODE, SITE, base_mounts, interpreter, package_mounts
from agent.manifest_file import read_manifest, read_witness
from agent.ports import Mount
from agent.registry_file import parse, splice
from agent.starter import found
from tests.benchmarks.bench_sandbox import bare_command

BIN = Path(sys.executable).parent
INSIDE = {"PYTHONPATH": f"{SITE}:{CODE}", "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "HOME": "/tmp", "TZ": "UTC"}
PYTEST = (interpreter(), "-s", "-S", "-m", "pytest", "-q", "-p", "no:cacheprovider")
COVERED = f"{interpreter()} -s -S -m coverage"
