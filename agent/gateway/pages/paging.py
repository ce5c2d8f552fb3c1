"""Long lists, a page at a time, so that the first one is as quick and as small with ten thousand rows as with ten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = 100  # rows of a page


def page_asked(query: Mapping[str, str]) -> int:
    """The page that an address asks for; the first where it asks for none that there can be."""
    asked = query.get("page", "1")
    return max(int(asked), 1) if asked.isdecimal() and len(asked) < 8 else 1


def paged(found: int, query: Mapping[str, str], shown: int = SHOWN) -> tuple[dict[str, int], slice]:
    """What a page says of `found` rows (`found`, `page`, `pages`), and which of them it shows. A page beyond the last is the last."""
    pages = max(-(-found // shown), 1)
    page = min(page_asked(query), pages)
    return {"found": found, "page": page, "pages": pages}, slice((page - 1) * shown, page * shown)


def leaf(name: str, rows: Sequence[Any], query: Mapping[str, str], shown: int = SHOWN) -> dict[str, Any]:
    """The rows of the page that is asked for, under their name, with what the page says of them all."""
    told, part = paged(len(rows), query, shown)
    return {name: rows[part], **told}
