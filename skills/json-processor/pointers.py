"""JSON Pointer (RFC 6901)."""

import re
from typing import Any

from faults import MalformedPathError, NotFoundError


def below(pointer: str, step: str | int) -> str:
    """The pointer of the member or element `step` of what lies at `pointer`."""
    return f"{pointer}/{str(step).replace('~', '~0').replace('/', '~1')}"


def steps_of(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise MalformedPathError("a JSON Pointer starts with / and a JSONPath with $")
    if re.search(r"~(?![01])", pointer):
        raise MalformedPathError("in a JSON Pointer ~ is written ~0")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def at_pointer(document: Any, pointer: str) -> Any:
    value, place = document, ""
    for step in steps_of(pointer):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}", step) and int(step) < len(value):
            value = value[int(step)]
        else:
            raise NotFoundError(f"there is no {step!r} at {place or 'the top'}")
        place = below(place, step)
    return value
