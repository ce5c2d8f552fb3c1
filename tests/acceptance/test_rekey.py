"""A recording whose questions have changed is made to fit again by one command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.demo import RECORDING, tell_story
from agent.errors import ConfigurationError, NoRecording
from agent.screen import Quiet

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]


def a_recording_with_other_keys(path: Path) -> Path:
    session = json.loads(RECORDING.read_text())
    for number, exchange in enumerate(session["exchanges"]):
        exchange["key"] = f"sha256:{number:064x}"
    path.write_text(json.dumps(session))
    return path


def test_a_recording_that_no_longer_fits_is_rekeyed_and_then_tells_the_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = a_recording_with_other_keys(tmp_path / "session.json")
    monkeypatch.setattr("agent.demo.RECORDING", recording)
    with pytest.raises((NoRecording, ConfigurationError)) as caught:
        tell_story(Quiet(), tmp_path / "before", live=False, record=None, rekey=None)
    assert "SKILLOPS_MODEL" in str(caught.value)

    tell_story(Quiet(), tmp_path / "rekeying", live=False, record=None, rekey=recording)

    keys = [exchange["key"] for exchange in json.loads(recording.read_text())["exchanges"]]
    assert keys == [exchange["key"] for exchange in json.loads(RECORDING.read_text())["exchanges"]]
    assert tell_story(Quiet(), tmp_path / "after", live=False, record=None, rekey=None)["registry_revision"] == 2
