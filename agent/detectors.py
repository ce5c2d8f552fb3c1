"""The door to detect-secrets: its plugins, each of which knows the form of one kind of secret."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def detectors() -> Iterable[type[Any]]:
    """The classes of its plugins. Loading them takes a third of a second."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    classes: Iterable[type[Any]] = get_mapping_from_secret_type_to_class().values()
    return classes
