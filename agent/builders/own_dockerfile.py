"""A skill's own Dockerfile (`runtime: container`): its folder is the context, and this machine's package settings go in as build
arguments. The classic builder writes those into the image's history, so an image that has them there is taken apart and put
together again without its history, and what the build left on its way is removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.builders.engine_build import DONE, MARK, import_tar
from agent.docker_engine import DockerEngine, faults, remove
from agent.dockerfile import NAME, arguments, bases, instructions, label, marked, quoted
from agent.errors import CouldNotTell, Refused

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")  # known to every RUN, without an ARG
# What a Dockerfile may name in an ARG, and the command that says it where no variable of this machine does.
SETTINGS: dict[str, tuple[str, ...]] = {
    "PIP_INDEX_URL": (sys.executable, "-m", "pip", "config", "get", "global.index-url"),
    "PIP_EXTRA_INDEX_URL": (sys.executable, "-m", "pip", "config", "get", "global.extra-index-url"),
    "PIP_TRUSTED_HOST": (sys.executable, "-m", "pip", "config", "get", "global.trusted-host"),
    "NPM_CONFIG_REGISTRY": ("npm", "config", "get", "registry"),
    "GOPROXY": ("go", "env", "GOPROXY"),
    "GOSUMDB": ("go", "env", "GOSUMDB"),
    "GOPRIVATE": ("go", "env", "GOPRIVATE"),
}
SECONDS = 20.0
_CREDENTIALS = re.compile(r"//([^/@\s]+:[^/@\s]+)@")


class OwnDockerfile:
    """The Dockerfile of a skill, read. Raises Refused where there is none, or where it cannot be read."""

    def __init__(self, files: Mapping[str, bytes], skill: str) -> None:
        try:
            self._text = files[NAME].decode()
        except KeyError:
            fix = "Write one whose server answers /execute, /health and /metrics, or set another `runtime` in skill.yaml."
            raise Refused(f"{skill} has no {NAME}, and its runtime is `container`.", next_step=fix) from None
        except UnicodeDecodeError:
            raise Refused(f"The {NAME} of {skill} is no text in UTF-8.", next_step="Write it as text.") from None
        self._instructions = instructions(self._text)
        if not any(each.word == "FROM" for each in self._instructions):
            raise Refused(f"The {NAME} of {skill} has no FROM.", next_step="Name what the image is built on, like FROM skillops/base-python:stable.")

    @property
    def bases(self) -> tuple[str, ...]:
        """The images that it is built on; what a variable names is left out."""
        return tuple(dict.fromkeys(base.rest for base in bases(self._instructions) if "$" not in base.rest))

    def text(self, labels: Mapping[str, str]) -> str:
        """As it is built: with labels at its end, and every stage marked, so that what a killed build leaves is known."""
        return f"{marked(self._text, f'{MARK}=1')}{label(labels)}\n"

    def arguments(self, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """This machine's settings that it can use. Paths of this machine mean nothing in an image and stay here."""
        declared = arguments(self._instructions)
        found = {name: environment.get(name) or environment.get(name.lower(), "") for name in PROXIES}
        found |= {name: environment.get(name) or _said(*command) for name, command in SETTINGS.items() if name in declared}
        return {name: value for name, value in found.items() if value and not Path(value).is_absolute()}


def without_settings(engine: DockerEngine, image: str, tag: str, values: Iterable[str]) -> None:
    """Makes `tag` name an image that has none of `values` in its history. Raises Refused where they are in it otherwise."""
    values = sorted({value for value in values if value})
    with faults("look at an image"):
        api = engine.client().api
        config, history = api.inspect_image(image)["Config"], json.dumps(api.history(image))
        kept = json.dumps({key: value for key, value in config.items() if key in ("Env", "Labels", "Cmd", "Entrypoint", "Healthcheck")})
    secret = [match[1].encode() for value in values for match in _CREDENTIALS.finditer(value)]
    leaked = any(json.dumps(value)[1:-1] in kept for value in values)
    told = any(json.dumps(value)[1:-1] in history for value in values)
    try:
        if not leaked and (told or secret):
            leaked = _again(api, image, tag if told else "", config, secret)
    finally:
        if leaked or told:
            _forget(api, image, tag if leaked else "")
    if leaked:
        raise Refused(
            f"The image {tag} keeps this machine's package settings.",
            why="A value that was passed in as a build argument is in the image's environment, its commands or its files.",
            next_step="Use the ARG in RUN alone: put it into no ENV and no file.",
        )


def _again(api: Any, image: str, tag: str, config: Mapping[str, Any], secret: list[bytes]) -> bool:
    """Imports the image's files under `tag`, where one is given; whether one of the files holds something of `secret`."""
    found: list[bytes] = []
    with faults("take an image apart"):
        container = api.create_container(image, command=["-"], labels={MARK: "1", DONE: ""})["Id"]
        try:
            stream = _searched(api.export(container), secret, found)
            if tag:
                import_tar(api, stream, tag, _changes(config))
            for _ in stream:
                pass
        finally:
            remove(api, container)
    return bool(found)


def _searched(chunks: Iterable[bytes], secret: list[bytes], found: list[bytes]) -> Iterator[bytes]:
    """The chunks as they come; what of `secret` is in them goes to `found`, also where two chunks share it."""
    longest, end = max(map(len, secret), default=1), b""
    for chunk in chunks:
        end += chunk
        found += [each for each in secret if each in end]
        end = end[-longest:]
        yield chunk


def _changes(config: Mapping[str, Any]) -> list[str]:
    """What an image is like beside its files, as `docker import` takes it (STOPSIGNAL and ONBUILD it does not take)."""
    lines = [f"ENV {key}={quoted(value)}" for key, _, value in (entry.partition("=") for entry in config.get("Env") or ())]
    lines += [f"LABEL {key}={quoted(value)}" for key, value in sorted((config.get("Labels") or {}).items())]
    lines += [f"EXPOSE {port}" for port in sorted(config.get("ExposedPorts") or ())]
    lines += [f"VOLUME {json.dumps([path])}" for path in sorted(config.get("Volumes") or ())]
    lines += [f"{word} {json.dumps(config[key])}" for word, key in (("ENTRYPOINT", "Entrypoint"), ("CMD", "Cmd")) if config.get(key)]
    lines += [f"{word} {config[key]}" for word, key in (("WORKDIR", "WorkingDir"), ("USER", "User")) if config.get(key)]
    health = config.get("Healthcheck") or {}
    if health.get("Test", ["NONE"])[0] in ("CMD", "CMD-SHELL"):
        kind, *test = health["Test"]
        nanoseconds = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod"}
        options = [f"--{name}={health[key] // 10**6}ms" for name, key in nanoseconds.items() if health.get(key)]
        options += [f"--retries={health['Retries']}"] if health.get("Retries") else []
        lines.append(" ".join(["HEALTHCHECK", *options, "CMD", json.dumps(test) if kind == "CMD" else test[0]]))
    return lines


def _forget(api: Any, image: str, tag: str) -> None:
    """Removes an image with those it was built of; where it still has the name `tag`, that, too."""
    for name in filter(None, (tag, image)):
        with contextlib.suppress(CouldNotTell), faults("remove an image"):
            api.remove_image(name, force=True)


def forget_steps(engine: DockerEngine, steps: Iterable[str], values: Iterable[str]) -> None:
    """Removes the nameless images that a build made on its way, where their history tells one of `values`."""
    wanted = [json.dumps(value)[1:-1] for value in values if value]
    for step in reversed(tuple(steps)):
        with contextlib.suppress(CouldNotTell), faults("remove an image"):
            api = engine.client().api
            if not api.inspect_image(step)["RepoTags"] and any(value in json.dumps(api.history(step)) for value in wanted):
                api.remove_image(step)


def _said(*command: str) -> str:
    """What a tool says of its settings; nothing where it is not here, or says that there is nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
