"""API keys: made once, kept as hashes, with scopes, revocable."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.errors import NotFound, UsageError
from agent.keys import Keys


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.sqlite", clock=lambda: 1_700_000_000.0)


def test_a_key_is_found_by_its_secret_in_another_process(keys: Keys, tmp_path: Path) -> None:
    key, secret = keys.create("eve", ["request", "invoke"])

    assert Keys(tmp_path / "keys.sqlite").find(secret) == key
    assert (key.name, key.scopes, key.created) == ("eve", ("invoke", "request"), "2023-11-14T22:13:20+00:00")
    assert keys.find(secret + "x") is None
    assert keys.find("\udcff") is None


def test_the_secret_is_kept_nowhere(keys: Keys, tmp_path: Path) -> None:
    secret = keys.create("eve", ["invoke"])[1]

    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert len(secret) > 40
    assert secret.encode() not in kept and secret.split("_")[1].encode() not in kept


def test_no_two_keys_are_alike(keys: Keys) -> None:
    assert len({keys.create("eve", ["invoke"])[1] for _ in range(20)}) == 20


def test_a_scope_allows_itself_and_admin_allows_all(keys: Keys) -> None:
    one, admin = keys.create("eve", ["request"])[0], keys.create("ada", ["admin"])[0]

    assert [one.may(scope) for scope in ("invoke", "request", "approve", "admin")] == [False, True, False, False]
    assert all(admin.may(scope) for scope in ("invoke", "request", "approve", "admin"))


def test_a_revoked_key_is_found_no_more_and_stays_in_the_list(keys: Keys) -> None:
    key, secret = keys.create("eve", ["invoke"])

    revoked = keys.revoke(key.id)

    assert keys.find(secret) is None
    assert keys.revoke(key.id) == revoked
    assert keys.all() == [revoked] and revoked.revoked
    for other in ("nobody", "nobody\udcff"):
        with pytest.raises(NotFound, match="'nobody"):
            keys.revoke(other)


@pytest.mark.parametrize(("name", "scopes"), [("eve", []), ("eve", ["root"]), ("", ["invoke"]), ("e\nve", ["invoke"]), ("e" * 81, ["invoke"])])
def test_a_key_without_a_right_scope_or_name_is_refused(keys: Keys, name: str, scopes: list[str]) -> None:
    with pytest.raises(UsageError):
        keys.create(name, scopes)
    assert keys.all() == []


def test_the_first_key_is_made_once_for_good(keys: Keys) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [secret for secret in pool.map(lambda _: keys.first("ada"), range(8)) if secret]

    assert len(made) == 1
    first = keys.find(made[0])
    assert first and first.scopes == ("admin",)
    keys.revoke(first.id)
    assert keys.first("ada") is None


def test_the_last_use_is_noted(keys: Keys) -> None:
    key, _ = keys.create("eve", ["invoke"])
    assert key.used is None

    keys.note_use(key.id)

    assert keys.all()[0].used == "2023-11-14T22:13:20+00:00"
