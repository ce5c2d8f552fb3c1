"""Secrets in these tests are put together at run time, so that no scanner takes this file for a leak."""

from __future__ import annotations

import base64
import hashlib
import random
from pathlib import Path

import pytest

from agent.checks.secrets import SecretsCheck
from agent.domain.check import CheckResult, Outcome
from tests.subjects import SKILL_YAML, TESTS, ToldBench, a_subject, skill_files

RANDOM = random.Random(7)
HEX_KEY = RANDOM.randbytes(20).hex()
KEY = base64.b64encode(RANDOM.randbytes(48)).decode()
AWS = "AKIA" + "QYLPMN5HHHFPZAM2"
GITHUB = "gh" + "p_" + "A7f9K2mQ8xZ4wL1nR6tY3vB5cD0eF2gH4jK8"
PRIVATE = "-----BEGIN RSA " + "PRIVATE KEY-----"


def run(tmp_path: Path, **files: str) -> CheckResult:
    return SecretsCheck().run(a_subject(tmp_path, skill_files(**files)), ToldBench())


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("skill.py", f'KEY = "{AWS}"'),
        ("skill.py", f'KEY = "{GITHUB}"'),
        ("skill.py", f'KEY = "{KEY}"'),
        ("skill.py", f'KEY = "{HEX_KEY}"'),
        ("skill.py", 'password = "' + "hunter2horse" + '"'),
        ("skill.py", 'password = "' + "hunter2horse" + '"  # pragma: allowlist secret'),
        ("tests/data.txt", PRIVATE),
        ("config.yaml", "password: " + "correct-horse-9"),
        ("swagger.lock", f"KEY: {AWS}"),
        ("photo.png", f"KEY = {AWS}"),
    ],
)
def test_a_secret_is_found_at_its_line_and_never_repeated(tmp_path: Path, path: str, line: str) -> None:
    result = run(tmp_path, **{path: f"# first\n{line}\n"})
    assert result.outcome is Outcome.FAILED
    assert {(f.path, f.line) for f in result.findings} == {(f"skills/word-count/{path}", 2)}
    assert not any(secret in result.model_dump_json() for secret in (AWS, GITHUB, KEY, HEX_KEY, "hunter2horse", "correct-horse-9"))


def test_a_secret_far_along_a_long_line_is_found(tmp_path: Path) -> None:
    result = run(tmp_path, **{"data.json": '{"a": "' + "word " * 20_000 + f'", "key": "{AWS}"}}\n'})
    assert result.outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "line",
    [
        'TOKEN = Path(os.environ["SKILL_SECRETS"], "API_KEY").read_text()',
        'ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"',
        'password = "YOUR_PASSWORD"',
        'api_key = "<your key>"',
        'secret = "secret"',
        'name = "test_that_a_long_snake_case_identifier_is_no_secret"',
        'UUID = "6f1c1f0e-5a57-4c0f-9a57-0d7c1a4a5b6e"',
        f'DIGEST = "sha256:{hashlib.sha256(b"x").hexdigest()}"',
        'ADDRESS = "93.184.216.34"',
    ],
)
def test_ordinary_code_is_no_secret(tmp_path: Path, line: str) -> None:
    assert run(tmp_path, **{"skill.py": line + "\n"}).findings == ()


def test_expected_hashes_in_a_file_that_speaks_of_hashes_are_no_secrets(tmp_path: Path) -> None:
    assert run(tmp_path, **{"tests/test_hash.py": f'# MD5 and SHA-256\nA = "{hashlib.md5(b"x").hexdigest()}"\n'}).findings == ()


def test_hashes_of_a_lock_file_are_no_secrets_and_tokens_in_it_are(tmp_path: Path) -> None:
    locked = f'a==1 --hash=sha256:{hashlib.sha256(b"a").hexdigest()}\n"{KEY}"\n'
    assert run(tmp_path / "clean", **{"requirements.lock": locked}).findings == ()
    assert run(tmp_path / "token", **{"requirements.lock": locked + AWS + "\n"}).outcome is Outcome.FAILED


def test_a_manifest_that_declares_secrets_and_a_password_input_is_none(tmp_path: Path) -> None:
    yaml = SKILL_YAML.replace("version: 1.0.0", "version: 1.0.0\npermissions: {network: [], secrets: [API_KEY], storage: none}")
    yaml = yaml.replace("{text: {type: string}}", "{text: {type: string}, password: {type: string, minLength: 8}}")
    assert run(tmp_path, **{"skill.yaml": yaml, "tests/test_skill.py": TESTS}).findings == ()
