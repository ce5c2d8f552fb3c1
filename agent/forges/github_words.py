"""What GitHub says in the body of an answer that refuses something. Pure."""

from __future__ import annotations

from typing import Any


def said_in(body: Any) -> str:
    """GitHub's message with its details, of at most 500 characters; empty where there is none."""
    told = body if isinstance(body, dict) else {}
    details = "; ".join(
        str(each.get("message") or each.get("code") or "") if isinstance(each, dict) else str(each) for each in told.get("errors") or ()
    )
    return f"{told.get('message', '')} {f'({details})' if details else ''}".strip()[:500]


def ruled(body: Any) -> bool:
    """Whether a rule is in the way, and not a conflict of the moment."""
    return any(word in said_in(body).lower() for word in ("protected", "rule", "restrict"))
