"""The gateway as `skillops serve` runs it, with one skill that answers at a place of its own. `python -m … FOLDER SKILL_URL [SKILLS]`.

Prints {"url": …, "key": …} when it listens. SKILLS: how many skills are registered.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from agent.domain.release import Endpoint
from agent.gateway.app import make_app
from agent.gateway.gateway import Gateway
from agent.gateway.server import listen, run, url_of
from agent.keys import Keys
from agent.pipeline import Pipeline
from tests.builders import a_manifest
from tests.gateways import FakeRuntime, a_place_with


class Elsewhere(FakeRuntime):
    """A runtime whose skills all answer at one URL."""

    def __init__(self, url: str) -> None:
        super().__init__(Path())
        self._url = url

    def endpoint(self, skill: str, person: str = "") -> Endpoint:
        return Endpoint(url=self._url)


def main(folder: str, url: str, skills: str = "1") -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    place = a_place_with(Path(folder), *(a_manifest(name=f"word-count-{number}" if number else "word-count") for number in range(int(skills))))
    parts = replace(place.parts, runtime=Elsewhere(url))  # type: ignore[arg-type]
    place = replace(place, parts=parts, pipeline=Pipeline(parts))
    keys = Keys(Path(folder) / "keys.sqlite")
    listening = listen("127.0.0.1", 0)
    gateway = Gateway(place, keys, hosts=frozenset(("127.0.0.1",)))
    print(json.dumps({"url": url_of(listening), "key": keys.create("bench", ["admin"])[1]}), flush=True)
    run(make_app(gateway), listening)


if __name__ == "__main__":
    main(*sys.argv[1:])
