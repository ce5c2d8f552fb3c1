"""What a manifest may put into the environment: settings that the skill's own code reads, and nothing that steers what runs or tests it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.builders import a_manifest

STEERING = [
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONWARNINGS",
    "PYTEST_ADDOPTS",
    "PYTEST_PLUGINS",
    "COVERAGE_PROCESS_START",
    "LD_PRELOAD",
    "LD_AUDIT",
    "GLIBC_TUNABLES",
    "GCONV_PATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "BASH_ENV",
    "ENV",
    "IFS",
    "SHELLOPTS",
    "PS4",
    "GOFLAGS",
    "GOPROXY",
    "GODEBUG",
    "CC",
    "PATH",
    "HOME",
    "TMPDIR",
    "TZ",
    "SKILL_LISTEN",
    "SKILL_CALLERS",
    "SKILL_SECRETS",
    "OPENSSL_CONF",
]


@pytest.mark.parametrize("name", STEERING)
def test_a_variable_that_steers_what_runs_the_skill_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="give the setting a name of its own"):
        a_manifest(environment={name: "x"})


@pytest.mark.parametrize(
    "name",
    [
        "UNIT",
        "USER_AGENT",
        "PROXY",
        "GOAL",
        "GOVERNOR",
        "SSL_CERT_FILE",
        "NODE_EXTRA_CA_CERTS",
        "CURL_CA_BUNDLE",
        "WEATHER_API",
        "MODE",
        "LEVEL",
        "CCY",
    ],
)
def test_a_setting_of_its_own_is_taken(name: str) -> None:
    assert a_manifest(environment={name: "x"}).environment == {name: "x"}
