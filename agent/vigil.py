"""The vigil of a supervisor over the vault: which skills run with secrets that have changed, and what must not be read in their words."""

from __future__ import annotations

import logging

from agent.errors import SkillOpsError
from agent.instance import handed
from agent.pasted import struck_out, without_secrets
from agent.ports import Deployment, Secrets
from agent.redactor import Redactor
from agent.served import Served

REMEMBERED = 256  # values of a skill
log = logging.getLogger("agent.supervisor")


class Vigil:
    """Of `secrets`; where there are none, nothing ever changes."""

    def __init__(self, secrets: Secrets | None) -> None:
        self._secrets = secrets
        self._past: dict[str, tuple[str, ...]] = {}

    def revision(self, deployment: Deployment) -> str:
        """That of the secrets which it is handed. Raises CouldNotTell."""
        if self._secrets is None:
            return ""
        asked, person = deployment.manifest.permissions, deployment.person
        own = self._secrets.revision(deployment.skill, asked.personal, person) if asked.personal and person else ""
        return " ".join(filter(None, (self._secrets.revision(deployment.skill, asked.shared), own)))

    def demand(self, deployment: Deployment) -> None:
        """Raises MissingSecret where the vault has not all that it is to be handed."""
        handed(deployment, self._secrets)

    def remember(self, deployment: Deployment) -> None:
        """Keeps in mind, while this supervisor lives, what it is about to be handed: that stands in its log also when it was rotated or removed.
        Raises MissingSecret, CouldNotTell."""
        values = handed(deployment, self._secrets).values() if deployment.manifest.permissions.secrets else ()
        self._past[deployment.skill] = tuple(dict.fromkeys((*values, *self._past.get(deployment.skill, ()))))[:REMEMBERED]

    def outdated(self, served: Served) -> bool:
        """Whether it runs, or could not be started, with other secrets than it would be now. A vault that cannot be read has not changed."""
        if not served.deployment.manifest.permissions.secrets or served.state == "resting":
            return False
        try:
            return self.revision(served.deployment) != served.secrets
        except SkillOpsError as error:
            log.warning("%s", error)
            return False

    def struck(self, skill: str, text: str) -> str:
        """The text without any secret that the skill may have, or had, or that has the form of one, which it was given or made; none of it where
        the vault cannot be read."""
        text = Redactor(self._past.get(skill, ()))(text)
        return struck_out(self._secrets, skill, text) if self._secrets else without_secrets(text).text
