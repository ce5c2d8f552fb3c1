"""What a chat says, whatever the platform: a text, small print and buttons. All words here are plain; a platform's module escapes them.

Nothing of it is kept: it is made of what the conversation's memory and the forge hold now, each time that somebody looks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from agent.domain import Frozen
from agent.domain.plan import Step
from agent.domain.progress import NextStep, Situation, State
from agent.domain.question import NO, YES, Question
from agent.errors import SkillOpsError
from agent.gateway.pages.requests import progress_of
from agent.gateway.pages.wants import Wants

CHOICES = 20  # buttons of a question at most; the rest is answered in words
About = dict[str, str | int | float]


class Button(Frozen):
    """`about` is what comes back when it is pressed."""

    label: str
    action: Literal["answer", "approve", "reject", "secret", "stop"]
    about: About
    style: Literal["", "primary", "danger"] = ""


class Post(Frozen):
    """One message. `tables` are rows of text, the first their head; `page` is where, below the gateway's address, the same is shown in full."""

    text: str
    notes: tuple[str, ...] = ()
    tables: tuple[tuple[tuple[str, ...], ...], ...] = ()
    buttons: tuple[Button, ...] = ()
    page: str = ""


WORKING = Post(text="I am on it …")


def planned(steps: Sequence[Step], called: Collection[str]) -> Post:
    """A plan, and which of its steps have begun."""
    lines = [f"{'▸' if step.id in called else '·'} {step.id}: {step.skill or (step.need.title if step.need else '')}" for step in steps]
    return Post(text="I am on it …", notes=("\n".join(lines),) if lines else (), buttons=(Button(label="Stop", action="stop", about={}),))


def trouble(error: SkillOpsError) -> str:
    """What went wrong, why, and the next step, each in a line."""
    return "\n".join(part for part in (error.what, error.why, error.next_step) if part)


def asked(question: Question, turn: int) -> Post:
    """A question with a button for each answer that it takes, where these can be listed."""
    choices = question.choices or ((YES, NO) if question.expects == "yes-no" else ())
    buttons = tuple(
        Button(label=choice, action="answer", about={"turn": turn, "until": question.until, "choice": number})
        for number, choice in enumerate(choices[:CHOICES], 1)
    )
    how = "Press a button, or answer in this thread" if buttons else f"Answer in this thread ({question.wanted})"
    note = f"{how}; `cancel` leaves it."
    return Post(text=question.text, notes=(note,), buttons=buttons)


def choice_of(question: Question, number: int) -> str | None:
    """The answer that a button of `asked` stands for."""
    choices = question.choices or ((YES, NO) if question.expects == "yes-no" else ())
    return choices[number - 1] if 0 < number <= len(choices) else None


def building(number: int, seen: Situation, step: NextStep, wants: Wants | None, secret: str) -> Post:
    """How far a request is, and what a person can do about it: approve or reject what is proposed, or give a secret that its skill needs."""
    at, proposal = progress_of(number, seen, step), seen.proposal
    lines = [f"#{number} {at.title}: {at.state} ({at.at} of {len(at.milestones)})"]
    buttons: tuple[Button, ...] = ()
    if secret and proposal:
        lines.append(f"The skill {proposal.skill} needs the secret {secret}. It is taken by a form alone: never write it here.")
        buttons = (Button(label=f"Give {secret}", action="secret", about={"name": secret, "skill": proposal.skill}),)
    elif step.state is State.WAITING and proposal:
        lines.append(f"Proposal #{proposal.number} waits for a person: {step.why}")
        lines += [f"• {line}" for line in _asks(wants)]
        about: About = {"proposal": proposal.number, "head": proposal.head}
        buttons = (
            Button(label="Approve", action="approve", about=about, style="primary"),
            Button(label="Reject …", action="reject", about=about, style="danger"),
        )
        lines.append(f"The buttons speak of {proposal.head[:8]}, and count from those alone whom the policy lets approve.")
    elif at.waiting_for and step.why:
        lines.append(f"It waits for the {at.waiting_for}: {step.why}")
    page = f"/proposals/{proposal.number}" if buttons and proposal else f"/requests/{number}"
    return Post(text="\n".join(lines), buttons=buttons, page=page)


def _asks(wants: Wants | None) -> list[str]:
    """What a skill asks for that it did not have, and what makes it a risk."""
    if wants is None:
        return []
    wider = [f"{want.what}: {want.now}" + (f" (before: {want.before})" if want.before else "") for want in wants.wider]
    return [*wider, f"risk: {wants.risk}" + (f" ({'; '.join(wants.reasons)})" if wants.reasons else "")]
