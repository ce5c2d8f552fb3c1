"""The gateway with its worker and its pages, as `skillops serve --work` runs it, but for what is slow: a model that says what a test wants,
checks that pass, a runtime that remembers, and a skill that counts words. `python -m tests.pages_server FOLDER PORT`.

Prints {"url": …} when it listens; it may be killed and started again on the same folder.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from agent.gateway.app import make_app
from agent.gateway.gateway import Gateway
from agent.gateway.pages.feed import Feed
from agent.gateway.server import listen, run, url_of
from agent.gateway.worker import Worker
from agent.halting import pause
from agent.keys import Keys
from tests.acceptance.harness import Home, a_draft, an_assessment, answers
from tests.builders import a_manifest
from tests.gateways import FakeRuntime, SkillServer, publish

HOSTILE = "<script>document.title='pwned'</script><img src=x onerror=alert(1)>"


def said() -> dict[str, Any]:
    """What the model says; its drafts take a moment, so that somebody can watch, and hold what a page must not run. It takes for ever over what
    somebody wants slowly."""
    usual = answers()

    def draft(question: Any) -> dict[str, Any]:
        if "slowly" in str(question.variables["mend"]):
            pause(600)
        time.sleep(0.5)
        return a_draft(notes=HOSTILE)

    def plan(question: Any) -> dict[str, Any]:
        if "slowly" in question.variables["task"]:
            pause(600)
        return dict(usual["plan"](question))

    def assessment(question: Any) -> dict[str, Any]:
        return an_assessment("letter-count" if "letters" in str(question.variables) else "word-count")

    return answers(author=draft, plan=plan, assess=assessment)


def home_in(folder: Path, feed: Feed) -> Home:
    """The repository in a folder, founded where there is none: with two versions of one skill, another that takes a secret from each who calls it,
    and a policy that asks a person."""
    path = folder / "skills"
    new = not path.exists()
    home = (Home.founded if new else Home)(path, said(), tell=feed)
    home.bare(FakeRuntime(folder / "skill.sock"))  # type: ignore[arg-type]
    if new:
        home.write_policy(autonomy="manual", self_approval=True)
        own = a_manifest(name="own-length", permissions={"secrets": ["LENGTH_TOKEN"], "personal": ["LENGTH_TOKEN"]})
        for version, more in (("1.0.0", (own,)), ("1.1.0", ())):
            publish(home.place, a_manifest(name="text-length", version=version, description="Count the words of a text that is long."), *more)
    return home


def keys_in(folder: Path) -> Keys:
    return Keys(folder / "keys.sqlite")


def answering(folder: Path) -> None:
    """Has the skill's server listen, in a thread of its own."""

    async def listen_for_ever() -> None:
        (folder / "skill.sock").unlink(missing_ok=True)
        server = await asyncio.start_unix_server(SkillServer().talk, folder / "skill.sock")
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(listen_for_ever()), daemon=True).start()


def main(folder: str, port: str) -> None:
    place, feed = Path(folder), Feed()
    home = home_in(place, feed)
    answering(place)
    worker = Worker(home.place, every=0.5)
    hosts = frozenset(("127.0.0.1", "localhost"))
    gateway = Gateway(home.place, keys_in(place), hosts=hosts, worker=worker, feed=feed)
    listening = listen("127.0.0.1", int(port))
    print(json.dumps({"url": url_of(listening)}), flush=True)
    worker.start()
    run(make_app(gateway), listening)


if __name__ == "__main__":
    main(*sys.argv[1:])
