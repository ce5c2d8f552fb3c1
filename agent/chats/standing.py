"""How things stand with a task, as a post: read off the memory and the forge at each look."""

from __future__ import annotations

from agent.chats import posts
from agent.chats.inbox import Shown
from agent.chats.posts import Post
from agent.domain.progress import State
from agent.errand import WAITING
from agent.errors import MissingSecret, NotFound
from agent.gateway.gateway import Gateway
from agent.gateway.pages.attention import wants_at
from agent.gateway.wishes import standing
from agent.memory import Memory, Turn
from agent.pending import Pending, taken


def begun(memory: Memory, shown: Shown) -> int:
    """The turn of the task that began after the message was put up, and is not done; 0 where there is none."""
    return next((task.turn for task in memory.undone(shown.conversation) if task.turn > shown.after), 0)


class Standing:
    """As one gateway's process sees it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._place = gateway, gateway.place

    def look(self, shown: Shown, *, busy: bool = False) -> tuple[Post, bool]:
        """What the message has to show now, and whether that is the end of it. `busy`: the agent is at it in this process."""
        page = f"/ask/{shown.conversation}"
        if shown.trouble:
            return Post(text=shown.trouble), True
        memory = self._place.conversations.memory
        turn = begun(memory, shown) or shown.turn
        task = next((each for each in memory.undone(shown.conversation) if each.turn == turn), None)
        words = [each for each in memory.turns(shown.conversation) if each.role == "agent" and (each.data or {}).get("turn") == turn]
        if task:
            post = self._under_way(Pending.model_validate({**task.pending, "turn": turn}))
            return post.model_copy(update={"page": post.page or page}), False
        if busy or not (turn and words):
            return posts.WORKING, False
        drawn = memory.drawings(turn, data=False)
        tables = tuple(each.rows for each in drawn if each.rows)
        return Post(text=words[-1].text, notes=_receipts(words[-1]), tables=tables, page=page), True

    def _under_way(self, task: Pending) -> Post:
        if task.question:
            return posts.asked(task.question, task.turn)
        if task.requests and task.plan is None:
            built = [self._building(number) for number in task.requests]
            buttons = tuple(button for each in built for button in each.buttons)
            # Whoever is to decide cannot open the talk of another: the page is the one of what they decide on.
            decided = next((each.page for each in built if each.buttons), "")
            return Post(text=WAITING, notes=tuple(each.text for each in built), buttons=buttons, page=decided)
        feed, calls = self._gateway.feed, f"{task.ident}-"
        lines = feed.lately() if feed else []
        called = {str(line.event.data.get("step", "")) for line in lines if str(line.event.data.get("call", "")).startswith(calls)}
        return posts.planned(task.plan.steps if task.plan else (), called)

    def _building(self, number: int) -> Post:
        seen, step = standing(number, self._place.parts)
        waits = step.state is State.WAITING
        secrets = self.absent(seen.proposal.skill) if seen.proposal and step.state is State.RELEASED else []
        return posts.building(number, seen, step, wants_at(self._place.parts, seen) if waits else None, secrets[0] if secrets else "")

    def absent(self, skill: str) -> list[str]:
        """The secrets of a published skill that the vault does not have for it."""
        parts = self._place.parts
        try:
            entry = parts.entry(skill)
            parts.vault.values(skill, entry.permissions.shared)
        except NotFound:
            return []
        except MissingSecret:
            there = {secret.name for secret in parts.vault.all() if not secret.skills or skill in secret.skills}
            return [name for name in entry.permissions.shared if name not in there]
        return []


def _receipts(turn: Turn) -> tuple[str, ...]:
    """Which skills an answer came from, and what it took."""
    data = turn.data or {}
    skills = ", ".join(dict.fromkeys(f"{receipt['skill']} {receipt['version']}" for receipt in data.get("receipts", ())))
    took = taken(data.get("tokens", 0), data.get("cost", 0.0))
    return (f"{skills} · {took}" if skills else took,)
