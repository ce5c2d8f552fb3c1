"""The verbs of the vault: values come from stdin, never from the command line, and are shown by none."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.commands import secrets
from agent.starter import found
from agent.wiring import open_vault
from tests.command import skillops, told

VALUE = "correct horse battery staple"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return found(tmp_path / "skills").root


def test_a_secret_is_set_from_stdin_listed_and_removed(here: Path) -> None:
    told(skillops("secret", "set", "API_KEY", "--skill", "weather", "-C", here, stdin=f"{VALUE}\n"), 0, "is set, for weather")
    told(skillops("secret", "set", "API_KEY", "-C", here, stdin=f"{VALUE}2", user="bob"), 0, "is rotated, for weather")
    assert open_vault(here)[0].values("weather", ["API_KEY"]) == {"API_KEY": f"{VALUE}2"}
    listed = skillops("secret", "list", "-C", here)
    told(listed, 0, "API_KEY weather rotated", "by bob")
    told(skillops("secret", "set", "API_KEY", "--for-all", "-C", here, stdin=VALUE), 0, "for every skill")
    told(skillops("secret", "rm", "API_KEY", "-C", here), 0, "is removed")
    told(skillops("secret", "rm", "API_KEY", "-C", here), 2, "has no secret 'API_KEY'")
    assert VALUE not in listed.said


def test_each_verb_prints_json_without_the_value(here: Path) -> None:
    done = [
        skillops("secret", "set", "API_KEY", "--json", "-C", here, stdin=VALUE),
        skillops("secret", "list", "--json", "-C", here),
        skillops("secret", "form", "API_KEY", "--json", "-C", here),
        skillops("secret", "rm", "API_KEY", "--json", "-C", here),
    ]
    assert [one.code for one in done] == [0, 0, 0, 0]
    assert done[0].document["name"] == done[1].document[0]["name"] == done[3].document["name"] == "API_KEY"
    assert set(done[2].document) == {"url", "expires_at"}
    assert [one for one in done if VALUE in one.out + one.err] == []


@pytest.mark.parametrize("data", [b"", b"\n", b"\xff\xfe binary", b"x" * 70_000])
def test_what_no_value_can_be_is_refused(here: Path, data: bytes) -> None:
    told(skillops("secret", "set", "API_KEY", "-C", here, stdin=data), 2)
    assert open_vault(here)[0].all() == []


def test_a_wrong_name_is_told_before_a_value_is_asked_for(here: Path) -> None:
    told(skillops("secret", "set", "api-key", "-C", here, stdin=VALUE), 2, "no name of a secret", "WEATHER_KEY")
    told(skillops("secret", "form", "api-key", "-C", here), 2, "no name of a secret")
    told(skillops("secret", "set", "API_KEY", "--skill", "a", "--for-all", "-C", here, stdin=VALUE), 2, "exclude each other")


def test_the_command_line_takes_no_value(here: Path) -> None:
    assert skillops("secret", "set", "API_KEY", VALUE, "-C", here).code == 2


def test_at_a_terminal_the_value_is_asked_for_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def prompt(text: str, **traits: object) -> str:
        asked.update(traits)
        return VALUE

    monkeypatch.setattr(secrets.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(secrets.typer, "prompt", prompt)
    assert secrets._value("API_KEY") == VALUE
    assert asked == {"hide_input": True, "err": True}


def test_a_form_leads_to_the_gateway_and_never_in_the_clear(here: Path) -> None:
    told(skillops("secret", "form", "API_KEY", "-C", here), 0, "http://127.0.0.1:8765/secrets/forms/", "while `skillops serve` runs")
    told(
        skillops("secret", "form", "API_KEY", "-C", here, SKILLOPS_GATEWAY_URL="https://skills.example.com"), 0, "https://skills.example.com/secrets"
    )
    told(skillops("secret", "form", "API_KEY", "-C", here, "--gateway", "http://skills.example.com"), 5, "in the clear")


def test_a_secret_of_one_person_is_set_listed_asked_for_and_removed(here: Path) -> None:
    own = ("--skill", "weather", "--for", "eve")
    told(skillops("secret", "set", "API_KEY", *own, "-C", here, stdin=VALUE), 0, "is set, for weather, in calls of eve alone")
    told(skillops("secret", "set", "API_KEY", "--for", "eve", "-C", here, stdin=VALUE), 2, "Of which skill")
    assert open_vault(here)[0].values("weather", ["API_KEY"], "eve") == {"API_KEY": VALUE}
    listed = skillops("secret", "list", "--for", "eve", "-C", here)
    told(listed, 0, "API_KEY weather, in calls of eve alone set")
    told(skillops("secret", "list", "--for", "bob", "-C", here), 0, "There are none")
    told(skillops("secret", "form", "API_KEY", *own, "-C", here), 0, "/secrets/forms/")
    told(skillops("secret", "rm", "API_KEY", "-C", here), 2, "has no secret 'API_KEY'")
    told(skillops("secret", "rm", "API_KEY", *own, "-C", here), 0, "is removed")
    assert VALUE not in listed.said
