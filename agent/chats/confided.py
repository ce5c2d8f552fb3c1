"""What a person gives a skill in confidence: the forms of a chat, each shown to one person alone."""

from __future__ import annotations

from agent.chats.inbox import Said
from agent.chats.posts import Post
from agent.chats.standing import Standing
from agent.errors import MissingSecret, Refused, SkillOpsError
from agent.gateway.own_secrets import offer_links, own_link, own_secrets
from agent.gateway.secrets import Wanted, make_link
from agent.parts import Parts
from agent.pasted import without_secrets

GATEWAY = "http://127.0.0.1:8765"
MOST_FORMS = 3  # that somebody is offered at once


def shared_form(said: Said, parts: Parts, standing: Standing) -> Post:
    """A link to a form that takes a skill's secret once, for one who may approve: whoever has it can give any value."""
    name, skill = str(said.about["name"]), str(said.about["skill"])
    if not parts.policy().may_approve(said.person):
        raise Refused(f"{said.person} gives no secrets here.", next_step="Ask one of the approvers of reviewers/policy.yaml.")
    if name not in standing.absent(skill):
        return Post(text=f"The secret {name} is there already.")
    link = make_link(parts.vault, parts.settings.gateway_url or GATEWAY, Wanted(name=name, skills=(skill,)), said.person)
    return Post(text=f"The form for {name}, for you alone; it takes the value once, until {link.expires_at}:\n{link.url}")


def own_forms(said: Said, parts: Parts, error: SkillOpsError) -> list[Post]:
    """Where a skill works with each caller's own secrets, the links at which the one who called gives theirs."""
    if not isinstance(error, MissingSecret):
        return []
    offer_links(error, parts, parts.settings.gateway_url or GATEWAY, said.person)
    return [
        Post(text=f"The form for your own {name}, for you alone. {error.skill} uses it when you ask, and for nobody else:\n{url}\nThen say it again.")
        for name, url in error.links.items()
    ]


def without_pasted(said: Said) -> Said:
    """What was said as it may be kept: a secret that was pasted into it is on no disk of ours."""
    found = without_secrets(said.text)
    return said.model_copy(update={"text": found.text, "about": {**said.about, "pasted": found.told}}) if found.kinds else said


def pasted(said: Said, parts: Parts) -> list[Post]:
    """What one who pasted a secret is told, alone; with the form for each that a skill still wants from them."""
    missing = [each for each in own_secrets(parts, said.person) if each.secret is None][:MOST_FORMS]
    base, posts = parts.settings.gateway_url or GATEWAY, [Post(text=str(said.about["pasted"]))]
    for each in missing:
        link = own_link(parts, base, each.skill, each.name, said.person)
        posts.append(Post(text=f"If it was your {each.name} for {each.skill}: the new one goes here, and to nobody else.\n{link.url}"))
    return posts
