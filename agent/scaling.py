"""Scaling: how many instances of a skill there should be, from how many calls are under way. Arithmetic: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BUSY = 4  # calls under way in each instance, at which another is wanted
LOOKS = 3  # in a row, before one is started
SOON, SELDOM = 0.5, 8.0  # seconds between two looks: at a skill with calls, and at most at one without

Step = Literal["more", "fewer", "stay"]


@dataclass
class Scale:
    """What was seen of one skill's load. Times are monotonic seconds."""

    next_look: float = 0.0
    pause: float = SOON
    busy: int = 0
    calm_since: float | None = None

    def weigh(self, under_way: float, instances: int, most: int, now: float, patience: float) -> Step:
        """The step to take after a look. One goes when for `patience` seconds those that stay would not have been busy."""
        self.pause = SOON if under_way or instances > 1 else min(self.pause * 2, SELDOM)
        self.next_look = now + self.pause
        self.busy = self.busy + 1 if under_way >= BUSY * instances else 0
        if self.busy >= LOOKS and instances < most:
            self.busy, self.calm_since = 0, None
            return "more"
        if instances == 1 or under_way >= BUSY * (instances - 1):
            self.calm_since = None
            return "stay"
        if self.calm_since is None:
            self.calm_since = now
        if instances > most or now - self.calm_since >= patience:
            self.calm_since = None
            return "fewer"
        return "stay"
