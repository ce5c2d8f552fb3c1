"""What a manifest may ask for, and what is more than before."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from agent.domain.decision import Policy, RiskRules
from agent.domain.permissions import Permissions
from agent.domain.risk import risk_of
from agent.domain.workflow import permissions_of
from tests.builders import a_manifest

HOST, OTHER = "api.example.com:443", "other.example.com:443"


def asking(*brokered: tuple[str, str], secrets: tuple[str, ...] = ("API_KEY",)) -> Permissions:
    return Permissions.model_validate(
        {"network": [HOST, OTHER], "secrets": secrets, "broker": [{"secret": secret, "host": host} for secret, host in brokered]}
    )


@pytest.mark.parametrize(
    ("broker", "network", "why"),
    [
        ([("OTHER_KEY", HOST)], [HOST], "secrets does not name it"),
        ([("API_KEY", OTHER)], [HOST], "network does not name"),
        ([("API_KEY", "*.example.com:443")], ["*.example.com:443"], "single host"),
        ([("API_KEY", HOST), ("API_KEY", OTHER)], [HOST, OTHER], "named twice"),
    ],
)
def test_a_secret_is_brokered_to_one_host_that_is_asked_for(broker: list[tuple[str, str]], network: list[str], why: str) -> None:
    told = {"network": network, "secrets": ["API_KEY"], "broker": [{"secret": secret, "host": host} for secret, host in broker]}
    with pytest.raises(ValidationError, match=why):
        Permissions.model_validate(told)


def test_what_names_no_broker_is_written_as_before_there_was_one() -> None:
    assert Permissions().model_dump() == {"network": (), "secrets": (), "storage": "none"}
    assert Permissions.model_validate(asking(("API_KEY", HOST)).model_dump(mode="json")) == asking(("API_KEY", HOST))


def test_a_secret_that_is_held_or_sent_elsewhere_from_now_on_is_wider_and_one_that_is_brokered_is_not() -> None:
    held, here, there = asking(), asking(("API_KEY", HOST)), asking(("API_KEY", OTHER))
    assert held.wider_than(here) == ("secret API_KEY in its own hands",)
    assert there.wider_than(here) == (f"secret API_KEY at {OTHER}",)
    assert here.wider_than(held) == here.wider_than(here) == ()


def test_a_brokered_secret_has_a_risk_of_its_own_that_is_high_unless_policy_says_otherwise() -> None:
    manifest = a_manifest(permissions=asking(("API_KEY", HOST)).model_dump())
    assert risk_of(manifest, None, Policy())[0] == "high"
    eased = Policy(risk=RiskRules(brokered="medium"))
    assert risk_of(manifest, None, eased) == (
        "medium", (f"reaches {HOST}, {OTHER}", f"uses, without reading them, the secrets API_KEY at {HOST}"),
    )  # fmt: skip
    assert risk_of(a_manifest(permissions=asking().model_dump()), None, eased)[0] == "high"


def test_a_workflow_brokers_what_every_step_brokers_to_the_same_host_and_shows_the_rest_as_held() -> None:
    def together(*steps: Permissions) -> tuple[str, ...]:
        return permissions_of([a_manifest(permissions=step.model_dump()) for step in steps]).held

    here, there, held = asking(("API_KEY", HOST)), asking(("API_KEY", OTHER)), asking()
    assert together(here, here) == ()
    assert together(here, there) == together(here, held) == ("API_KEY",)


def personal(*names: str, secrets: tuple[str, ...] = ("API_KEY",)) -> Permissions:
    return Permissions.model_validate({"secrets": secrets, "personal": names})


def test_what_is_personal_is_among_the_secrets_and_is_written_only_where_it_says_something() -> None:
    with pytest.raises(ValidationError, match="secrets does not name it"):
        personal("OTHER")
    with pytest.raises(ValidationError, match="cannot have personal secrets"):
        a_manifest(runtime="container", permissions={"secrets": ["API_KEY"], "personal": ["API_KEY"]})
    assert "personal" not in personal().model_dump() and personal("API_KEY").model_dump()["personal"] == ("API_KEY",)
    assert (personal("API_KEY").shared, personal("API_KEY", secrets=("API_KEY", "B")).shared) == ((), ("B",))


def test_another_whose_secret_it_is_is_more_than_before() -> None:
    assert personal("API_KEY").wider_than(personal()) == ("secret API_KEY of each caller",)
    assert personal().wider_than(personal("API_KEY")) == ("secret API_KEY, one for all callers",)
    assert personal("API_KEY").wider_than(personal("API_KEY")) == ()
