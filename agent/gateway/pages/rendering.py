"""Data into pages: Jinja2 with everything escaped, and the headers that keep a page to itself."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.domain import plain
from agent.domain.check import Outcome
from agent.domain.wording import unturned
from agent.keys import Scope
from agent.markdown import woken
from agent.story import event_sentence

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

FOLDER = Path(__file__).parent / "templates"
CSRF = f"csrf-{secrets.token_hex(16)}"  # stands for the token of whoever looks, so that one rendering serves many
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    # With no-referrer a browser says `Origin: null` when a form is sent (Fetch standard, 3.2), which could be anybody's.
    "referrer-policy": "same-origin",
    "vary": "accept, cookie",
    "content-type": "text/html; charset=utf-8",
}

# Each page with the scopes that it takes to see it; a gap has no name.
MENU: tuple[tuple[str, str, tuple[Scope, ...]], ...] = (
    ("/attention", "Needs attention", ("request",)), ("/ask", "Ask", ("invoke", "request")), ("", "", ("request",)),
    ("/requests", "Requests", ("request",)), ("/proposals", "Proposals", ("request",)), ("/skills", "Skills", ("invoke",)), ("", "", ("invoke",)),
    ("/registry", "Registry", ("invoke",)), ("/own-secrets", "Your secrets", ("invoke",)),
    ("/ledger", "Ledger", ("admin",)), ("/vault", "Vault", ("admin",)), ("/settings", "Settings", ("admin",)),
)  # fmt: skip
# What a page says after a form: `said` in its address names one of these, and nothing else can be said there.
WORDS = {
    "approve": "Your approval is noted.", "reject": "Your rejection is noted.", "revise": "It goes back to its author.",
    "hold": "It is stopped, until somebody lets it go on.", "retry": "It goes on.", "opened": "The proposal is open, and passes the gates.",
    "raised": "The request is raised.", "replied": "Your answer is noted.", "removed": "The secret is removed.",
    "withdrawn": "The request is taken back.",
    "expired": "Your session is over. Sign in again to go on where you were.", "out": "You are signed out.",
}  # fmt: skip

# Each verdict as a shape and a word: colour comes on top (WCAG 2.2, 1.4.1). Shapes are symbols in `shapes.html`.
_SIGNS = {
    "passed": ("yes", "passed"), "failed": ("no", "failed"), "error": ("no", "error"), "could_not_tell": ("unknown", "could not tell"),
    "approve": ("yes", "approves"), "revise": ("again", "asks for changes"), "reject": ("no", "rejects"),
    "merge": ("yes", "merge"), "wait": ("wait", "wait"),
    "healthy": ("yes", "healthy"), "unhealthy": ("no", "unhealthy"), "starting": ("again", "starting"), "resting": ("rest", "resting"),
    "stopped": ("rest", "stopped"), "active": ("yes", "active"), "deprecated": ("wait", "deprecated"), "retired": ("rest", "retired"),
    "open": ("wait", "open"), "merged": ("yes", "merged"), "closed": ("rest", "closed"), "done": ("yes", "done"), "covered": ("yes", "covered"),
    "refused": ("no", "refused"), "withdrawn": ("rest", "withdrawn"), "running": ("yes", "running"), "drifted": ("no", "drifted"),
    "not running": ("rest", "not running"), "gone": ("no", "not in the registry"),
    "skipped": ("rest", "skipped"), "held": ("wait", "waits for leave"), "not begun": ("rest", "not begun"),
}  # fmt: skip
_TONES = {"yes": "good", "no": "bad", "unknown": "odd", "wait": "odd", "again": "calm", "rest": "calm"}


def page(template: str, context: Mapping[str, Any], csrf: str) -> str:
    """A whole page for one visitor."""
    return _environment().get_template(template).render(**context, csrf=CSRF).replace(CSRF, csrf)


def block(template: str, name: str, context: Mapping[str, Any]) -> str:
    """One block of a page, with CSRF in place of anybody's token."""
    found = _environment().get_template(template)
    return "".join(found.blocks[name](found.new_context({**context, "csrf": CSRF})))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=lambda value: unturned(value) if isinstance(value, str) else value,
    )
    made.filters |= {
        "sentence": event_sentence,
        "ago": ago,
        "clock": clock,
        "took": took,
        "money": money,
        "count": count,
        "pretty": pretty,
        "ticked": ticked,
    }
    made.globals |= {"sign": sign, "menu": MENU, "words": WORDS}
    for name, template in (("ui", "ui.html"), ("progress_road", "road.html")):
        made.globals[name] = made.get_template(template).module
    return made


def sign(word: object) -> dict[str, str]:
    """The shape, the words and the tone of a verdict or state; one that is not known is said as it is."""
    text = str(word.value if isinstance(word, Outcome) else word)
    shape, said = _SIGNS.get(text, ("rest", text.replace("_", " ")))
    return {"shape": shape, "said": said, "tone": _TONES[shape]}


def ticked(text: str) -> Markup:
    """Text in which what stands `between ticks` is code, as our sentences have it; all of it is escaped."""
    from markupsafe import Markup, escape

    parts = woken(text).split("`")
    if len(parts) % 2 == 0:  # one tick is no pair
        return escape(woken(text))
    return Markup("").join(Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts))


def ago(at: str | float) -> str:
    """How long since a time (ISO 8601, or seconds since 1970), in the largest unit that fits."""
    try:
        then = datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else datetime.fromisoformat(at)
    except ValueError:
        return str(at)[:40]
    seconds = (datetime.now(UTC) - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds()
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if number > 1 else ''} ago"
    return "just now"


def clock(at: str) -> str:
    """`2026-01-31 12:00:00` of ISO 8601."""
    return at[:19].replace("T", " ")


def took(seconds: float) -> str:
    """Seconds in a person's units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def money(dollars: float) -> str:
    return f"${dollars:.2f}" if dollars >= 1 or dollars == 0 else f"${dollars:.4f}"


def count(number: float) -> str:
    return f"{number:,.0f}"


def pretty(value: Any) -> str:
    return json.dumps(plain(value), indent=2, ensure_ascii=False)
