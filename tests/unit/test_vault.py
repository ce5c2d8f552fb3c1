"""The vault: sealed at rest, bound to name and skills, never shown, handed to the skills that may have it."""

from __future__ import annotations

import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from agent.errors import ConfigurationError, MissingSecret, NotFound, UsageError, WaitsForPerson
from agent.key_file import make_key, read_key
from agent.vault import LINKS, Vault

VALUE = "correct horse battery staple"


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vault(tmp_path: Path, clock: Clock) -> Vault:
    return Vault(tmp_path, clock)


def kept(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# ---- set, rotate, remove ------------------------------------------------------------------------------------------


def test_a_secret_is_handed_to_a_skill_by_another_process(vault: Vault, tmp_path: Path) -> None:
    vault.set("API_KEY", VALUE, "ada")
    assert Vault(tmp_path).values("weather", ["API_KEY"]) == {"API_KEY": VALUE}


def test_a_value_is_in_no_file_and_the_key_is_for_its_owner_alone(vault: Vault, tmp_path: Path) -> None:
    vault.set("API_KEY", VALUE, "ada")
    vault.set("API_KEY", "another value entirely", "bob")
    assert VALUE.encode() not in kept(tmp_path) and b"another value" not in kept(tmp_path)
    assert (tmp_path / "vault.key").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("vault.sqlite")) == ["vault.key"]


def test_what_is_known_of_a_secret_keeps_when_it_was_set_and_by_whom(vault: Vault, clock: Clock) -> None:
    vault.set("API_KEY", VALUE, "ada", ["weather"])
    clock.now += 60
    rotated = vault.set("API_KEY", VALUE + "2", "bob")
    assert [(change.what, change.at[11:19], change.by) for change in rotated.changes] == [("set", "22:13:20", "ada"), ("rotated", "22:14:20", "bob")]
    assert rotated.skills == ("weather",)  # rotating leaves whom it is for as it is
    assert vault.all() == [rotated]
    assert VALUE not in repr(rotated)


def test_a_removed_secret_is_gone_and_what_was_done_with_it_is_not_forgotten(vault: Vault) -> None:
    vault.set("API_KEY", VALUE, "ada")
    vault.remove("API_KEY", "bob")
    with pytest.raises(MissingSecret):
        vault.values("weather", ["API_KEY"])
    assert [change.what for change in vault.set("API_KEY", VALUE, "eve").changes] == ["set", "removed", "set"]
    with pytest.raises(NotFound, match="There are: API_KEY"):
        vault.remove("OTHER", "bob")


@pytest.mark.parametrize("name", ["", "lower", "A-B", "1A", "A" * 65, "A\n", "ÄB"])
def test_a_name_that_no_manifest_could_name_is_refused(vault: Vault, name: str) -> None:
    with pytest.raises(UsageError, match="no name of a secret"):
        vault.set(name, VALUE, "ada")


@pytest.mark.parametrize("value", ["", "   \n ", "abc", "x" * 65_537, "\udcff is not text"])
def test_a_value_that_none_can_be_is_refused_and_not_quoted(vault: Vault, value: str) -> None:
    with pytest.raises(UsageError) as refused:
        vault.set("API_KEY", value, "ada")
    assert not value.strip() or value not in str(refused.value)
    assert vault.all() == []


def test_a_skill_that_none_can_be_is_refused(vault: Vault) -> None:
    with pytest.raises(UsageError, match="no name of a skill"):
        vault.set("API_KEY", VALUE, "ada", ["two words"])


# ---- what skills get ----------------------------------------------------------------------------------------------


def test_a_secret_for_certain_skills_is_for_no_other(vault: Vault) -> None:
    vault.set("API_KEY", VALUE, "ada", ["weather", "mail"])
    assert vault.values("mail", ["API_KEY"])
    with pytest.raises(MissingSecret, match="for other skills") as waits:
        vault.values("scrape", ["API_KEY"])
    assert "`skillops secret set API_KEY --skill mail --skill weather --skill scrape` sets it" in waits.value.next_step


def test_what_is_missing_is_named_with_the_command_that_sets_it_and_waits_for_a_person(vault: Vault) -> None:
    vault.set("HERE", VALUE, "ada")
    with pytest.raises(WaitsForPerson) as waits:
        vault.values("weather", ["HERE", "GONE", "LOST"])
    assert waits.value.exit_code == 3
    assert "GONE, LOST" in waits.value.what and "HERE" not in waits.value.what
    assert "skillops secret set GONE" in waits.value.next_step


def test_a_skill_that_asks_for_nothing_needs_no_vault(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "nothing")
    assert (vault.values("weather", ()), vault.revision("weather", ())) == ({}, "")
    assert not (tmp_path / "nothing").exists()


def test_the_revision_moves_with_each_change_of_what_the_skill_may_have_and_with_no_other(vault: Vault) -> None:
    seen = [vault.revision("weather", ["API_KEY"])]

    def moved() -> bool:
        seen.append(vault.revision("weather", ["API_KEY"]))
        return seen[-1] not in seen[:-1]

    vault.set("OTHER", VALUE, "ada")
    assert not moved()
    vault.set("API_KEY", VALUE, "ada")
    assert moved()
    vault.set("API_KEY", VALUE, "ada")
    assert moved()
    vault.set("API_KEY", VALUE, "ada", ["mail"])
    assert vault.revision("weather", ["API_KEY"]) == seen[0]  # as good as none
    vault.remove("API_KEY", "ada")
    vault.set("API_KEY", VALUE, "ada", [])
    assert moved()


# ---- what others do to the files ----------------------------------------------------------------------------------


def test_what_was_sealed_opens_under_no_other_name_and_for_no_other_skill(vault: Vault, tmp_path: Path) -> None:
    vault.set("MINE", VALUE, "ada", ["mail"])
    vault.set("OTHER", "something else", "ada", ["weather"])
    with sqlite3.connect(tmp_path / "vault.sqlite") as file:
        file.execute("UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE name = 'MINE') WHERE name = 'OTHER'")
        file.execute("UPDATE secret SET skills = '' WHERE name = 'MINE'")
    for skill, name in (("weather", "OTHER"), ("weather", "MINE")):
        with pytest.raises(ConfigurationError, match="cannot be opened"):
            vault.values(skill, [name])


def test_a_key_that_others_can_read_is_refused(vault: Vault, tmp_path: Path) -> None:
    vault.set("API_KEY", VALUE, "ada")
    (tmp_path / "vault.key").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        vault.values("weather", ["API_KEY"])
    with pytest.raises(ConfigurationError, match="not for you alone"):
        vault.set("OTHER", VALUE, "ada")


def test_a_link_in_the_place_of_the_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"k" * 32)
    (tmp_path / "vault.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError):
        Vault(tmp_path).set("API_KEY", VALUE, "ada")


def test_a_key_that_is_gone_is_not_replaced_while_secrets_need_it(vault: Vault, tmp_path: Path) -> None:
    vault.set("API_KEY", VALUE, "ada")
    (tmp_path / "vault.key").unlink()
    for doing in (lambda: vault.values("weather", ["API_KEY"]), lambda: vault.set("OTHER", VALUE, "ada")):
        with pytest.raises(ConfigurationError, match="key is gone"):
            doing()
    vault.remove("API_KEY", "ada")
    vault.set("API_KEY", VALUE, "ada")
    assert vault.values("weather", ["API_KEY"])


def test_of_many_who_make_the_key_at_once_all_get_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: make_key(tmp_path / "new" / "key"), range(16)))
    assert keys == {read_key(tmp_path / "new" / "key")}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["key"]


def test_half_a_key_is_none(tmp_path: Path) -> None:
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_bytes(b"half")
    with pytest.raises(ConfigurationError, match="no key"):
        read_key(tmp_path / "key")


# ---- one-time forms -----------------------------------------------------------------------------------------------


def test_a_form_takes_one_value_once(vault: Vault) -> None:
    token, form = vault.open_form("API_KEY", "ada", ["weather"])
    assert vault.form(token) == vault.form(token) == form  # looking uses nothing up
    taken = vault.submit(token, VALUE)
    assert taken and taken.skills == ("weather",) and taken.changes[-1].by == "form of ada"
    assert (vault.form(token), vault.submit(token, "another one")) == (None, None)
    assert vault.values("weather", ["API_KEY"]) == {"API_KEY": VALUE}


def test_of_many_who_submit_at_once_one_is_heard(vault: Vault) -> None:
    token, _ = vault.open_form("API_KEY", "ada")
    with ThreadPoolExecutor(8) as pool:
        taken = [secret for secret in pool.map(lambda n: vault.submit(token, f"value {n}"), range(8)) if secret]
    assert len(taken) == 1


def test_a_value_that_none_can_be_does_not_use_the_form_up(vault: Vault) -> None:
    token, _ = vault.open_form("API_KEY", "ada")
    with pytest.raises(UsageError):
        vault.submit(token, "")
    assert vault.submit(token, VALUE)


def test_a_form_ends_by_itself(vault: Vault, clock: Clock) -> None:
    token, form = vault.open_form("API_KEY", "ada")
    assert form.expires - clock.now == 900
    clock.now += 901
    assert (vault.form(token), vault.submit(token, VALUE)) == (None, None)


def test_the_token_is_kept_nowhere_and_its_signature_is_its_own(vault: Vault, tmp_path: Path) -> None:
    token, other = vault.open_form("API_KEY", "ada")[0], vault.open_form("API_KEY", "ada")[0]
    assert len(token) > 40 and token.encode() not in kept(tmp_path)
    assert vault.signature(token) == Vault(tmp_path).signature(token) != vault.signature(other)
    assert vault.form(token[:-1]) is None and vault.form("\udcff") is None


def test_a_form_for_a_secret_that_is_there_keeps_whom_it_is_for(vault: Vault) -> None:
    vault.set("API_KEY", VALUE, "ada", ["weather"])
    token, form = vault.open_form("API_KEY", "bob")
    assert form.skills == ("weather",)
    rotated = vault.submit(token, VALUE + "2")
    assert rotated and rotated.skills == ("weather",)


# ---- the key in the keyring of the operating system -----------------------------------------------------------------


class Ring(ModuleType):
    """A keyring in memory, in place of the package `keyring`."""

    def __init__(self) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}
        self.errors = ModuleType("keyring.errors")
        self.errors.KeyringError = type("KeyringError", (Exception,), {})  # type: ignore[attr-defined]
        self.locked = False

    def get_password(self, service: str, account: str) -> str | None:
        if self.locked:
            raise self.errors.KeyringError
        return self.kept.get((service, account))

    def set_password(self, service: str, account: str, value: str) -> None:
        self.kept[service, account] = value


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Ring:
    ring = Ring()
    monkeypatch.setitem(sys.modules, "keyring", ring)
    monkeypatch.setitem(sys.modules, "keyring.errors", ring.errors)
    return ring


def test_a_key_in_the_keyring_lies_in_no_file(tmp_path: Path, ring: Ring) -> None:
    Vault(tmp_path, in_keyring=True).set("API_KEY", VALUE, "ada")
    assert Vault(tmp_path, in_keyring=True).values("weather", ["API_KEY"]) == {"API_KEY": VALUE}
    (key,) = ring.kept.values()
    assert not (tmp_path / "vault.key").exists() and bytes.fromhex(key) not in kept(tmp_path) and key.encode() not in kept(tmp_path)


def test_a_keyring_that_is_locked_emptied_or_not_there_says_what_to_do(tmp_path: Path, ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = Vault(tmp_path, in_keyring=True)
    vault.set("API_KEY", VALUE, "ada")
    ring.locked = True
    with pytest.raises(ConfigurationError, match="keyring"):
        vault.values("weather", ["API_KEY"])
    ring.locked = False
    ring.kept.clear()
    with pytest.raises(ConfigurationError, match="gone"):  # and no second key is made
        vault.set("OTHER", VALUE, "ada")
    assert ring.kept == {}
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationError, match="needs the package"):
        vault.values("weather", ["API_KEY"])


# ---- what is one person's --------------------------------------------------------------------------------------------


def test_a_secret_of_one_person_is_of_one_skill_and_never_stands_in_for_another(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    vault.set("API_KEY", "ada's value", "ada", ["weather"], "ada")
    vault.set("API_KEY", "one for all", "ada")
    assert vault.values("weather", ["API_KEY"], "ada") == {"API_KEY": "ada's value"}
    assert vault.values("weather", ["API_KEY"]) == {"API_KEY": "one for all"}
    for skill, person in (("weather", "eve"), ("weather", "Ada"), ("weather", "ada "), ("other", "ada")):
        with pytest.raises(MissingSecret, match="each caller's own"):
            vault.values(skill, ["API_KEY"], person)
    assert set(vault.known("weather")) == {"ada's value", "one for all"} and vault.known("other") == ["one for all"]
    before = vault.revision("weather", ["API_KEY"], "ada"), vault.revision("weather", ["API_KEY"], "eve")
    vault.set("API_KEY", "eve's value", "eve", ["weather"], "eve")
    assert vault.revision("weather", ["API_KEY"], "ada") == before[0] and vault.revision("weather", ["API_KEY"], "eve") != before[1]
    assert [secret.person for secret in vault.personal()] == ["ada", "eve"] and [secret.person for secret in vault.all()] == [""]
    assert vault.remove("API_KEY", "ada", "weather", "ada").person == "ada"
    assert [secret.person for secret in vault.personal()] == ["eve"] and len(vault.all()) == 1


@pytest.mark.parametrize("skills", [None, [], ["one", "two"]])
def test_a_secret_of_one_person_names_its_one_skill(tmp_path: Path, skills: list[str] | None) -> None:
    for put in (
        lambda: Vault(tmp_path).set("API_KEY", "a value", "ada", skills, "ada"),
        lambda: Vault(tmp_path).open_form("API_KEY", "ada", skills, person="ada"),
    ):
        with pytest.raises(UsageError, match="Of which skill"):
            put()


@pytest.mark.parametrize("person", [" ada", "ada\n", "a" * 201, "ada\0"])
def test_a_person_has_a_name_that_can_be_told(tmp_path: Path, person: str) -> None:
    with pytest.raises(UsageError, match="no name of a person"):
        Vault(tmp_path).set("API_KEY", "a value", "ada", ["weather"], person)


def test_a_row_cannot_be_made_another_persons(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    vault.set("API_KEY", "ada's value", "ada", ["weather"], "ada")
    with closing(sqlite3.connect(tmp_path / "vault.sqlite")) as file:
        file.execute("UPDATE secret SET name = 'API_KEY weather eve'")
        file.commit()
    with pytest.raises(ConfigurationError, match=r"of eve for weather cannot be opened.*`skillops secret rm API_KEY --skill weather --for eve`"):
        vault.values("weather", ["API_KEY"], "eve")


def test_a_form_of_one_person_takes_theirs_is_ended_by_taking_it_back_and_comes_in_small_numbers(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    token, form = vault.open_form("API_KEY", "ada", ["weather"], person="ada o'connor")
    assert (form.person, vault.form(token)) == ("ada o'connor", form)
    assert vault.submit(token, "a value") and vault.values("weather", ["API_KEY"], "ada o'connor") == {"API_KEY": "a value"}
    left = vault.open_form("API_KEY", "ada", ["weather"], person="ada o'connor")[0]
    vault.remove("API_KEY", "ada", "weather", "ada o'connor")
    assert vault.form(left) is None
    other, _ = vault.open_form("API_KEY", "eve", ["weather"], person="eve")
    tokens = [vault.open_form("API_KEY", "ada", ["weather"], person="ada")[0] for _ in range(LINKS + 3)]
    assert sum(vault.form(each) is not None for each in tokens) == LINKS and vault.form(other) is not None
