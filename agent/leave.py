"""How a person is asked for leave: with the very inputs that destructive skills would be called with, as they are."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable

from agent.domain.plan import Held
from agent.domain.schema import Json
from agent.stages.planning import cut

UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))  # categories of Unicode
SHOWN = 1500  # characters of the inputs of one call
CALLS = 5  # of one step


def leave_text(held: Iterable[Held], strike: Callable[[str], str]) -> str:
    """The inputs are quoted: some may be what another skill gave. No secret that `strike` knows is."""
    return f"This changes or removes things, and I ask before I do it. May I call {'; and '.join(_call(each, strike) for each in held)}?"


def _call(held: Held, strike: Callable[[str], str]) -> str:
    shown = " and ".join(_quoted(cut(inputs, SHOWN, strike)) for inputs in held.inputs[:CALLS])
    more = f" and {len(held.inputs) - CALLS} more" if len(held.inputs) > CALLS else ""
    return f"{held.skill} with {shown}{more}"


def _quoted(value: Json) -> str:
    """As JSON, where signs that are not seen or turn the writing round are written out: what is read is what would be done."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(sign if unicodedata.category(sign) not in UNSEEN else json.dumps(sign)[1:-1] for sign in text)
