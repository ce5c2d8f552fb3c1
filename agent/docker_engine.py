"""The one door to Docker Engine for the sandbox, the builder and the runtime: who it is, whether it answers, and what its faults mean.

The engine is the one of this machine or, by `DOCKER_HOST`, another's (`tcp://`, or `ssh://user@host` through the system's ssh).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agent.errors import CouldNotTell
from agent.ports import Availability

if TYPE_CHECKING:
    from docker import DockerClient

FIX = "Install Docker Engine (apt-get install docker.io), start it, and see to it that you may use it; DOCKER_HOST names one elsewhere."
IN_PROGRESS = 409  # what the engine answers to whoever removes what is being removed (Engine API 1.41, "Remove a container")


class DockerEngine:
    """One engine, connected to when it is first needed. May be shared by threads. `timeout` in seconds, of one answer.

    `address` is used instead of DOCKER_HOST where it is given.
    """

    def __init__(self, timeout: float = 60.0, address: str = "") -> None:
        self._timeout, self._address, self._lock = timeout, address, threading.Lock()
        self._client: DockerClient | None = None

    def client(self) -> DockerClient:
        """Raises CouldNotTell where no engine answers."""
        with self._lock, faults("reach Docker Engine"):
            if self._client is None:
                import docker

                environment = {**os.environ, "DOCKER_HOST": self._address} if self._address else None
                self._client = docker.from_env(timeout=self._timeout, use_ssh_client=True, environment=environment)
            return self._client

    def available(self) -> Availability:
        try:
            with faults("reach Docker Engine"):
                self.client().ping()
        except CouldNotTell as error:
            return Availability(ok=False, why=error.why or error.what, fix=FIX)
        return Availability(ok=True)


def remove(api: Any, container: str) -> None:
    """Removes a container, with the volumes that are its alone. Returns when it is gone, also where somebody else was quicker, or is at it.

    Raises what docker-py does.
    """
    import docker.errors

    with contextlib.suppress(docker.errors.NotFound):
        try:
            api.remove_container(container, force=True, v=True)
        except docker.errors.NotFound:
            raise
        except docker.errors.APIError as error:
            if error.status_code == IN_PROGRESS:
                api.wait(container, condition="removed")
            else:  # a busy engine kills it, and does not hear in time that it ended
                api.remove_container(container, force=True, v=True)


@contextlib.contextmanager
def faults(doing: str) -> Iterator[None]:
    """Turns what docker-py and its connection raise while `doing` (a verb phrase) into CouldNotTell.

    Who wants to tell one of the engine's answers apart (a missing container, a conflict) catches that inside.
    """
    import docker.errors
    import requests.exceptions
    import urllib3.exceptions

    try:
        yield
    except docker.errors.APIError as error:
        raise CouldNotTell(f"Docker Engine did not {doing}.", why=str(error.explanation or error)[:500], next_step="See the engine's log.") from error
    except docker.errors.StreamParseError as error:  # it ended in the middle of a word
        raise CouldNotTell(f"Docker Engine stopped; it could not {doing}.", why=str(error.msg)[:500], next_step=FIX) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise CouldNotTell(f"Could not {doing}.", why=str(error)[:500], next_step=FIX) from error
