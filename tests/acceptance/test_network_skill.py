"""A skill that reaches a host goes through all eight checks without reaching it: its stand-in answers."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agent import wiring
from agent.domain.check import CheckReport
from agent.settings import Settings
from tests.acceptance.harness import Home
from tests.contracts.networks import serving

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]

CHECKS = ("scope", "manifest", "style", "security", "secrets", "dependencies", "tests", "contract")
FILES = {
    "skill.yaml": """\
apiVersion: skillops/v1
name: exchange-rate
version: 1.0.0
description: Say what one unit of a currency costs in euros. Use when somebody asks for an exchange rate.
entrypoint: skill.py
inputs: {type: object, properties: {currency: {type: string, pattern: "^[A-Z]{3}$"}}, required: [currency], additionalProperties: false}
outputs: {type: object, properties: {euros: {type: number}}, required: [euros], additionalProperties: false}
examples:
  - inputs: {currency: USD}
    outputs: {euros: 0.9}
permissions: {network: ["rates.example.com:443"], secrets: [], storage: none}
""",
    "SKILL.md": """\
---
name: exchange-rate
description: Say what one unit of a currency costs in euros. Use when somebody asks for an exchange rate.
---

# Exchange rate

Give `currency`; `euros` says what one unit of it costs.
""",
    "skill.py": '''\
"""Exchange rates from rates.example.com."""

import json
import urllib.error
import urllib.request


class NoRate(ValueError):
    """The service has no rate."""

    code = "no-rate"


def fetch(currency: str) -> bytes:
    """The body of the reply."""
    with urllib.request.urlopen(f"https://rates.example.com/v1/{currency}", timeout=5) as reply:
        return reply.read(65536)


def execute(inputs: dict, context: dict) -> dict:
    """What one unit of the currency costs in euros."""
    try:
        said = fetch(inputs["currency"])
    except (OSError, KeyError, TypeError):
        raise NoRate("there is no rate") from None
    return {"euros": json.loads(said)["rate"]}
''',
    "tests/test_skill.py": """\
from urllib.error import URLError

import pytest

import skill


def test_the_rate_is_what_the_service_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skill, "fetch", lambda currency: b'{"rate": 0.9}' if currency == "USD" else b'{"rate": 1.2}')
    assert skill.execute({"currency": "USD"}, {}) == {"euros": 0.9}
    assert skill.execute({"currency": "GBP"}, {}) == {"euros": 1.2}


def test_without_a_rate_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(currency: str) -> bytes:
        raise URLError(currency)

    monkeypatch.setattr(skill, "fetch", down)
    with pytest.raises(skill.NoRate) as error:
        skill.execute({"currency": "USD"}, {})
    assert (error.value.code, str(error.value)) == ("no-rate", "there is no rate")


def test_the_service_is_asked_for_the_currency(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Reply:
        def __enter__(self) -> "Reply":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, size: int) -> bytes:
            return b"x" * min(size, 65536)

    def urlopen(url: str, timeout: float) -> Reply:
        asked.append((url, timeout))
        return Reply()

    monkeypatch.setattr(skill.urllib.request, "urlopen", urlopen)
    assert len(skill.fetch("USD")) == 65536
    assert asked == [("https://rates.example.com/v1/USD", 5)]
""",
    "tests/stand-ins.yaml": """\
apiVersion: skillops/v1
kind: StandIns
hosts:
  - host: rates.example.com:443
    routes:
      - {path: /v1/USD, reply: {json: {rate: 0.9}}}
""",
}


def checked(folder: Path, home: Home, resolve: dict[str, str], **changed: str) -> CheckReport:
    for path, text in {**FILES, **{name.replace("__", "/"): text for name, text in changed.items()}}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return wiring.check_folder(folder, Settings.load(home.path, mutants=6, egress_resolve=resolve))


def test_all_checks_pass_by_the_stand_in_and_the_host_hears_nothing(tmp_path: Path) -> None:
    home, folder = Home.founded(tmp_path / "skills"), tmp_path / "exchange-rate"
    heard: list[str] = []

    class Canary(BaseHTTPRequestHandler):
        def setup(self) -> None:
            heard.append("somebody")
            super().setup()

    with serving(ThreadingHTTPServer, Canary) as port:
        resolve = {"rates.example.com:443": f"127.0.0.1:{port}"}
        report = checked(folder, home, resolve)
        told = {result.name: (result.outcome.value, result.summary, result.findings) for result in report.results}
        assert {name: outcome for name, (outcome, *_) in told.items()} == dict.fromkeys(CHECKS, "passed"), told

        (folder / "tests/stand-ins.yaml").unlink()
        report = wiring.check_folder(folder, Settings.load(home.path, mutants=0, egress_resolve=resolve))
        failed = {result.name: result.summary for result in report.results if result.outcome.value == "failed"}
        assert failed.keys() == {"contract"} and "no-rate" in failed["contract"]
    assert heard == []


def test_a_stand_in_that_says_otherwise_fails_the_contract_the_same_each_time(tmp_path: Path) -> None:
    home, folder = Home.founded(tmp_path / "skills"), tmp_path / "exchange-rate"
    wrong = FILES["tests/stand-ins.yaml"].replace("0.9", "0.8")
    summaries = {checked(folder, home, {}, **{"tests__stand-ins.yaml": wrong}).results[-1].summary for _ in range(2)}
    assert len(summaries) == 1 and "0.8" in summaries.pop()
