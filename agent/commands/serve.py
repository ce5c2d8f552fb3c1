"""The verb that opens the gateway: serve."""

from __future__ import annotations

import sys
import threading
from typing import Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Serve")(serve)


def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any that is free.")] = 8765,
    host: Annotated[str, typer.Option(help="The address to listen on. Another than loopback lets others in: put TLS before it.")] = "127.0.0.1",
    work: Annotated[bool, typer.Option("--work", help="Work on requests too; otherwise `skillops run` does.")] = False,
    forge: Annotated[str | None, typer.Option(help="Where requests live: local or github (webhooks to /webhooks/github).")] = None,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Open the gateway: skills over HTTP, with keys, limits and receipts.

    On the first start one admin key is shown on stderr, once. Ctrl-C ends it.
    Example: skillops serve --port 8765 --work
    """
    from agent import wiring
    from agent.gateway.pages.feed import Feed
    from agent.gateway.server import listen, run, url_of
    from agent.pasted import get_ready
    from agent.screen import Watcher

    feed = Feed(wiring.silent if as_json else Watcher())
    place = wiring.open_workplace(repository, feed, forge=forge)
    gateway = wiring.gateway_of(place, host, work=work, feed=feed)
    chat = wiring.chat_of(gateway)
    listening = listen(host, port)
    threading.Thread(target=get_ready, name="patterns", daemon=True).start()
    if first := gateway.keys.first(place.parts.user):
        print(f"The first admin key, shown this once: {first}", file=sys.stderr)
    url = url_of(listening)
    emit({"url": url}, as_json, f"The gateway listens at {url}: sign in there with a key. {url}/docs shows what it offers.")
    sys.stdout.flush()
    if gateway.worker:
        gateway.worker.start()
    if chat:
        chat.start()
    try:
        run(wiring.app_of(gateway, chat), listening)
    finally:
        if chat:
            chat.stop()
        if gateway.worker:
            gateway.worker.stop()
