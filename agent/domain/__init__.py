"""Frozen things and the arithmetic on them. Nothing here does I/O, reads a clock or knows a concrete part."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of every domain thing: immutable, and strict about keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
