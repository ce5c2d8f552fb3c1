"""Whoever can write the ledger, and would have something not have happened."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from agent.anchors import AnchoredLedger
from agent.doctor import _ledger
from agent.domain.event import Event
from agent.ledger import SqliteLedger
from agent.workplace import Workplace
from tests.builders import a_manifest
from tests.gateways import a_place_with, publish
from tests.redteam.threats import threat


def forge_anew(place: Workplace, entries: int, last: int) -> None:
    """What somebody who knows how the chain is made puts in its place: `entries` of the old ones, and others up to the number `last`."""
    path = place.checkout.kept / "ledger.sqlite"
    kept = SqliteLedger(path).entries()[:entries]
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    forged = SqliteLedger(path)
    for entered in kept:
        forged._clock = partial(_seconds, entered.at)
        assert forged.record(entered.event).hash == entered.hash
    for _ in range(last - len(kept)):
        forged.record(Event(stage="checking", what="checked", actor="mallory"))
    assert forged.tampered() is None  # the chain holds


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def forget(place: Workplace) -> None:
    """As another clone, or this one after its state was deleted."""
    for note in place.parts.settings.state.glob("ledger-*.seen"):
        note.unlink()


@threat(124)
@pytest.mark.parametrize("clone", ["that has seen it", "that has not"])
def test_a_ledger_that_was_cut_off_replaced_or_written_anew_is_told_from_the_one_that_was(tmp_path: Path, clone: str) -> None:
    place = a_place_with(tmp_path, a_manifest())
    for number in range(3):
        place.parts.record(Event(stage="checking", what="checked", actor="ada", note=str(number)))
    publish(place, a_manifest(version="1.1.0"))
    ledger = place.parts.ledger
    length = len(ledger.entries())
    assert ledger.tampered() is None and _ledger(place).ok and length > 4
    for entries, last, found in ((length - 2, 0, length - 1), (0, 0, 1), (2, length - 2, length - 1), (2, length, None)):
        if clone == "that has not":
            forget(place)
        forge_anew(place, entries, last)
        told = ledger.tampered()
        assert told is not None and (found is None or told <= found)
        assert not _ledger(place).ok
    place.parts.record(Event(stage="checking", what="checked", actor="mallory"))  # and going on does not heal it
    assert ledger.tampered() is not None


def test_a_ledger_that_was_begun_anew_on_purpose_is_told_so_by_policy_and_another_forges_releases_say_nothing_of_this_one(tmp_path: Path) -> None:
    place = a_place_with(tmp_path, a_manifest())
    publish(place, a_manifest(version="1.1.0"))
    ledger, forge = place.parts.ledger, place.parts.forge
    forge_anew(place, 0, 1)
    forget(place)
    assert ledger.tampered() is not None
    release = forge.history("registry.yaml")[0]
    policy = f"apiVersion: skillops/v1\nledger_since: {release.commit}\n"
    forge.commit(forge.main, {"reviewers/policy.yaml": policy.encode()}, parent=forge.head(forge.main), message="Begin anew", author="ada")
    assert ledger.tampered() is None
    publish(place, a_manifest(version="1.2.0"))
    forge_anew(place, 0, 1)
    forget(place)
    assert ledger.tampered() is not None  # the releases since then vouch for the new one

    name = release.ledger.split()[0]
    inner = SqliteLedger(place.checkout.kept / "ledger.sqlite")
    assert AnchoredLedger(inner, name, tmp_path / "none", lambda: [release.ledger]).tampered() is not None
    assert AnchoredLedger(inner, "another", tmp_path / "none", lambda: [release.ledger]).tampered() is None
