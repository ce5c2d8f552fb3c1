"""The pages of a one-time form: plain HTML without a script, for light and dark, keyboard and screen reader. Pure."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from agent.slot import Slot
from agent.vault import Form

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1.0625rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 3rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff; }
label { display: block; font-weight: 600; margin: 1.5rem 0 .3rem; }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .6rem; border: 1px solid #6b6b6b; border-radius: .3rem; color: inherit;
  background: transparent; }
button { font: inherit; margin-top: 1rem; padding: .6rem 1.2rem; border: 0; border-radius: .3rem; color: #fff; background: #1a56b0; cursor: pointer; }
:focus-visible { outline: 3px solid #1a56b0; outline-offset: 2px; }
.fault { border-left: .3rem solid #b00020; padding-left: .8rem; }
code { overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) {
  body { color: #ececec; background: #161616; } input { border-color: #a0a0a0; } button { color: #10131a; background: #8ab4f8; }
  :focus-visible { outline-color: #8ab4f8; } .fault { border-color: #ff8a80; }
}
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    # With no-referrer a browser says `Origin: null` when the form is sent (Fetch standard, 3.2), which could be anybody's.
    "referrer-policy": "same-origin",
}


def form_page(form: Form, proof: str, fault: str = "") -> str:
    """The form; `fault` is what was wrong with the value sent before."""
    name, skills, more = form.name, form.skills, ""
    whom = f"the skill{'s' if len(skills) > 1 else ''} {', '.join(skills)}" if skills else "every skill that asks for it"
    asked = f"{escape(form.by)} asks you for the secret <code>{escape(name)}</code>."
    if form.person:
        asked = f"This is for <b>{escape(form.person)}</b>: your own <code>{escape(name)}</code>."
        more = (
            f" It is used when {escape(form.person)} calls, and in no call of anybody else. Are you not {escape(form.person)}? Then close this page."
        )
    told = f'<p class="fault" role="alert" id="fault">{escape(fault)}</p>' if fault else ""
    described = "hint fault" if fault else "hint"
    command = escape(Slot.of(name, skills, form.person).command)
    return _page(
        f"Secret {name}",
        f"""<p>{asked} It goes to {escape(whom)} and to nobody else.{more}</p>{told}
<form method="post" autocomplete="off"><input type="hidden" name="proof" value="{escape(proof)}">
<label for="value">Value of {escape(name)}</label>
<input id="value" name="value" type="password" required autofocus autocomplete="off" spellcheck="false" aria-describedby="{described}">
<p id="hint">It is kept encrypted and never shown again. This page takes it once; a value of several lines is set with
<code>skillops secret set {command} &lt; FILE</code>.</p>
<button type="submit">Keep it</button></form>""",
    )


def done_page(name: str) -> str:
    return _page(f"{name} is set", f"<p>The secret <code>{escape(name)}</code> is set. You can close this page.</p>")


def refusal_page(what: str, next_step: str) -> str:
    return _page(what, f"<p>{escape(next_step)}</p>")


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="robots" content="noindex"><title>{escape(title)}</title><style>{_STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
