"""What the relay was told: where each name leads, and which skill may reach what. Pure: no I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from agent.egress.rules import Rule

Place = tuple[str, int]
"""An address and a port in the closed network."""


@dataclass(frozen=True)
class Skill:
    """`lent`: the `host:port` for which connections are lent: to stand-ins in a trial, else to the broker. `sealed`: nothing else is reached."""

    name: str
    rules: tuple[Rule, ...]
    sealed: bool = False
    lent: tuple[str, ...] = ()


@dataclass
class Table:
    """`routes`: the places of each name, any of which answers for it. `ways`: who is at each address, and what they may reach.

    `pinned`: where a `host:port` is instead of what its name says.
    """

    routes: dict[str, tuple[Place, ...]] = field(default_factory=dict)
    ways: dict[str, Skill] = field(default_factory=dict)
    pinned: dict[str, Place] = field(default_factory=dict)
    busy: Counter[Place] = field(default_factory=Counter)

    def learn(self, told: Any) -> None:
        """Takes over what the supervisor says there is now. ValueError, KeyError or TypeError for what is not of the form; then nothing changes."""
        routes = {str(name): tuple(_place(place) for place in places) for name, places in told["routes"].items()}
        ways = {
            str(address): Skill(str(name), tuple(map(Rule.parse, rules)), bool(sealed), tuple(map(str, lent)))
            for address, (name, rules, sealed, lent) in told["ways"].items()
        }
        pinned = {str(host): _place(place) for host, place in told["pinned"].items()}
        self.routes, self.ways, self.pinned = routes, ways, pinned

    def places(self, name: str) -> list[Place]:
        """Where `name` leads, the place with the fewest connections first."""
        return sorted(self.routes.get(name, ()), key=lambda place: self.busy[place])

    def ports(self) -> set[int]:
        """The ports at which skills are let out."""
        return {rule.port for skill in self.ways.values() for rule in skill.rules}


def _place(told: Any) -> Place:
    address, port = told
    return str(address), int(port)
