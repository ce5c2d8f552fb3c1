"""Adoption: what an earlier supervisor started and left running is taken over, or ended where nobody wants it any more."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.instance import Instance
from agent.ports import Launcher, Running
from agent.served import Served

log = logging.getLogger("agent.supervisor")


def take_over(launcher: Launcher, owners: Mapping[str, Served], kept: Mapping[str, Mapping[str, Any]]) -> dict[str, Instance]:
    """The living instances among those that were `kept`, each given to its owner; those without one, or of another digest, are ended."""
    living, unwanted = {}, []
    for name, told in kept.items():
        server, owner = _attached(launcher, name, told), owners.get(name)
        if server is None:
            continue
        if owner and owner.deployment.digest == told["digest"] and server.listens():
            living[name] = Instance(owner.deployment.manifest, server, owner.deployment.digest)
            owner.gain(living[name])
            log.info("adopted %s of %s", name, owner.deployment.skill)
        else:
            log.info("ending %s, which nobody wants any more", name)
            unwanted.append(server.stop)
    all_at_once(unwanted)
    return living


def all_at_once(doing: Iterable[Callable[[], object]]) -> None:
    """Does all of it side by side; returns when all is done."""
    threads = [threading.Thread(target=one) for one in doing]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _attached(launcher: Launcher, name: str, told: Mapping[str, Any]) -> Running | None:
    try:
        return launcher.attach(name, told)
    except (ValueError, KeyError, TypeError) as error:
        log.warning("%s in services.json cannot be understood: %r", name, error)
        return None
