"""How a post looks in Slack: blocks ("Block Kit"), and the form in which a reason is given. Pure.

Whatever a model or a skill said is escaped: in Slack `<!channel>` would call everybody, `<@U1>` somebody, and `<http://a|b>` hide where it leads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.chats.posts import Button, Post
from agent.domain.wording import unturned

TEXT, NOTE, LABEL, REASON = 2900, 1400, 75, 1800  # characters: Slack takes 3000 in a section, 75 on a button, 3000 in a field
NOTES, WIDTH, SECTIONS = 8, 30, 3  # notes of a post, characters of a cell, and sections that its text may take
_CALLS = re.compile(r"@(?=(?:channel|here|everyone)\b)", re.IGNORECASE)


def escaped(text: str) -> str:
    """`text` as Slack shows it word for word ("Escaping text"); a word that might call everybody calls nobody."""
    return _CALLS.sub("@\u2060", unturned(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def cut(text: str, most: int) -> tuple[str, bool]:
    """As much of `text` as has `most` characters when it is escaped, and whether that is less than all."""
    if len(escaped(text)) <= most:
        return text, False
    low, high = 0, min(len(text), most)
    while low < high:  # escaping is what makes it longer, so the end is looked for
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(escaped(text[:middle])) <= most else (low, middle - 1)
    return text[:low], True


def sections(text: str) -> tuple[list[str], bool]:
    """`text` in as many parts as a message takes, parted at an end of a line or between words, and whether that is less than all."""
    parts, rest = list[str](), text
    while rest and len(parts) < SECTIONS:
        part, more = cut(rest, TEXT)
        if more:
            ends = (part.rfind(mark) + 1 for mark in ("\n", " "))
            part = part[: next((end for end in ends if end > len(part) // 2), len(part))]
        parts.append(part)
        rest = rest[len(part) :]
    return parts, bool(rest)


def plain_of(post: Post) -> str:
    """What a notification says."""
    return escaped(cut(post.text, 300)[0])


def blocks_of(post: Post, base: str) -> list[dict[str, Any]]:
    """The blocks; `base` is the gateway's address, empty where it has none that people reach."""
    texts, shortened = sections(post.text or " ")
    blocks = [_section(escaped(text)) for text in texts]
    drawn = [drawing(rows) for rows in post.tables]
    blocks += [_section(table) for table, _ in drawn]
    shortened = shortened or not all(whole for _, whole in drawn)
    blocks += [_section(escaped(cut(note, NOTE)[0])) for note in post.notes[:NOTES] if note]
    buttons = [_button(button, number) for number, button in enumerate(post.buttons)]
    blocks += [{"type": "actions", "elements": buttons[:25]}] if buttons else []
    link = f"{base.rstrip('/')}{post.page}" if base and post.page else ""
    if shortened:
        where = f"<{link}|All of it>" if link else "`skillops chat` has all of it"
        blocks.append(_small(f"… cut here. {where}"))
    elif link:
        blocks.append(_small(f"<{link}|Open the page>"))
    return blocks


def drawing(rows: Sequence[Sequence[str]]) -> tuple[str, bool]:
    """A table as text of fixed width, with as many of its rows as a section takes, and whether these are all. The first row is its head."""
    shown = [[_fence(cell if len(cell) <= WIDTH else f"{cell[: WIDTH - 1]}…") for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in shown) for place in range(len(shown[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    lines.insert(1, "  ".join("─" * width for width in widths))
    kept, length = list[str](), len("``````\n\n")
    for line in map(escaped, lines):
        length += len(line) + 1
        if length > TEXT:
            break
        kept.append(line)
    return "```\n" + "\n".join(kept) + "\n```", len(kept) == len(lines)


def _fence(text: str) -> str:
    """Text that does not end the block that it stands in."""
    return text.replace("`", "\u02cb")


def reason_form(about: Mapping[str, Any]) -> dict[str, Any]:
    """The form that is opened to reject a proposal: its author learns the reason and nothing else."""
    field = {"type": "plain_text_input", "action_id": "why", "multiline": True, "min_length": 1, "max_length": REASON}
    return {
        "type": "modal", "callback_id": "reject", "private_metadata": json.dumps(dict(about)), "title": _plain("Reject"), "submit": _plain("Reject"),
        "close": _plain("Cancel"),
        "blocks": [{"type": "input", "block_id": "why", "label": _plain(f"Why not, of proposal #{about.get('proposal')}?"), "element": field}],
    }  # fmt: skip


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}  # verbatim: nothing is made a link or a mention


def _small(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text, "verbatim": True}]}


def _button(button: Button, number: int) -> dict[str, Any]:
    label = button.label if len(button.label) <= LABEL else f"{button.label[: LABEL - 1]}…"
    shown = {"type": "button", "text": _plain(label), "action_id": f"{button.action}:{number}", "value": json.dumps(button.about)}
    return {**shown, "style": button.style} if button.style else shown


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": unturned(text), "emoji": False}
